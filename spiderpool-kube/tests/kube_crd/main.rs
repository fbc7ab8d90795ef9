//! What a real API server makes of the definitions in `crds/`: it takes them, explains them, and accepts
//! and refuses what the tables say; and what `cluster::wire` writes is what it takes.
//!
//! One cluster serves all tests. Documents are tried with `dryRun=All` and strict fields, so that no test
//! leaves anything behind.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod network;
mod pool;
mod store;

use serde_json::{Value, json};
use spiderpool_kube_lab::{Cluster, Options, Reply};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn definitions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let manifests = vec![definitions()];
        Cluster::start(Options { manifests, ..Options::default() }).unwrap()
    })
}

const VERSION: &str = "spiderpool.spidernet.io/v2beta1";

/// The path of the objects of a kind.
fn path(plural: &str) -> String {
    match plural {
        "spiderendpoints" | "spidermultusconfigs" => {
            format!("/apis/{VERSION}/namespaces/default/{plural}")
        }
        _ => format!("/apis/{VERSION}/{plural}"),
    }
}

fn send(method: &str, path: &str, body: &Value) -> Reply {
    cluster().admin().send(method, path, Some(body)).unwrap()
}

/// What is changed in a valid document, as a merge patch (RFC 7386): null takes a field out.
fn merged(base: &Value, edit: &Value) -> Value {
    let mut merged = base.clone();
    merge(&mut merged, edit);
    merged
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        let target = target.as_object_mut().unwrap();
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A kind with a valid document, to try others that differ from it.
struct Trial {
    plural: &'static str,
    base: Value,
}

impl Trial {
    fn try_spec(&self, spec: &Value) -> Reply {
        let document = merged(&self.base, &json!({ "spec": spec }));
        let path = format!("{}?dryRun=All&fieldValidation=Strict", path(self.plural));
        send("POST", &path, &document)
    }

    /// The server takes the document with this change to its spec.
    #[track_caller]
    fn accepts(&self, spec: &Value) {
        let reply = self.try_spec(spec);
        assert_eq!(reply.status, 201, "{spec}: {}", reply.text);
    }

    /// The server refuses the document with this change to its spec, and says so.
    #[track_caller]
    fn refuses(&self, spec: &Value, expected: &str) {
        let reply = self.try_spec(spec);
        let message = said(&reply);
        assert_eq!(reply.status, 422, "{spec}: {}", reply.text);
        assert!(message.contains(expected), "{spec}: {message}");
    }

    /// The server refuses this change to the spec of the object that stands there, and says so.
    #[track_caller]
    fn refuses_change(&self, spec: &Value, expected: &str) {
        let reply = self.change(spec);
        assert_eq!(reply.status, 422, "{spec}: {}", reply.text);
        assert!(said(&reply).contains(expected), "{spec}: {}", said(&reply));
    }

    /// The server takes this change to the spec of the object that stands there.
    #[track_caller]
    fn accepts_change(&self, spec: &Value) {
        let reply = self.change(spec);
        assert_eq!(reply.status, 200, "{spec}: {}", reply.text);
    }

    fn change(&self, spec: &Value) -> Reply {
        let name = self.base.pointer("/metadata/name").and_then(Value::as_str).unwrap();
        send("PATCH", &format!("{}/{name}?dryRun=All", path(self.plural)), &json!({ "spec": spec }))
    }

    /// Makes the object for good.
    fn make(&self) {
        let reply = send("POST", &path(self.plural), &self.base);
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
}

fn said(reply: &Reply) -> String {
    reply.json().get("message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// kubectl as the administrator, with what it printed on both streams.
fn kubectl(arguments: &[&str]) -> (String, String) {
    let tools = std::env::var_os("SPIDERPOOL_KUBE_TOOLS").unwrap();
    let output = Command::new(Path::new(&tools).join("kubectl"))
        .arg("--kubeconfig")
        .arg(cluster().kubeconfig())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "kubectl {arguments:?}: {err}");
    (out, err)
}

/// The definitions as the server holds them.
fn held() -> Vec<Value> {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let list = cluster().admin().call("GET", path, None).unwrap();
    list.get("items").and_then(Value::as_array).unwrap().clone()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn the_definitions_are_taken_without_a_warning() {
    let directory = definitions();
    let arguments = ["apply", "--dry-run=server", "--filename", directory.to_str().unwrap()];
    let (out, err) = kubectl(&arguments);
    assert_eq!(out.lines().count(), 9, "{out}");
    // The objects stand there without kubectl's own annotation, of which it tells.
    let warnings: Vec<_> =
        err.lines().filter(|line| !line.contains("last-applied-configuration")).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    for definition in held() {
        let conditions =
            definition.pointer("/status/conditions").and_then(Value::as_array).unwrap();
        let name = text(&definition, "/metadata/name");
        let has = |kind, status| {
            let fits = |one: &&Value| text(one, "/type") == kind && text(one, "/status") == status;
            conditions.iter().find(fits).is_some()
        };
        assert!(
            has("Established", "True") && has("NamesAccepted", "True"),
            "{name}: {conditions:?}"
        );
        assert!(!has("NonStructuralSchema", "True"), "{name}: {conditions:?}");
    }
}

fn count_fields(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        let description = inner.get("description").and_then(Value::as_str).unwrap_or_default();
        found.push((path.clone(), description.to_owned()));
        count_fields(inner, &path, found);
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(nested) {
            count_fields(inner, path, found);
        }
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn kubectl_explains_every_field() {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut count = 0;
    for definition in held() {
        let plural = text(&definition, "/spec/names/plural");
        let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        let mut fields = Vec::new();
        count_fields(schema, plural, &mut fields);
        // One call for a kind, which shows every field with the beginning of its description …
        let (tree, _) = kubectl(&["explain", "--recursive", plural]);
        for (path, description) in &fields {
            let last = path.rsplit('.').next().unwrap();
            assert!(tree.contains(&format!("{last}\t<")), "{path} is not in\n{tree}");
            assert!(description.len() > 8, "{path}: {description}");
        }
        // … and one for a field of the top, which shows the whole of it.
        for (path, description) in
            fields.iter().filter(|(path, _)| path.split('.').count() == 3).take(3)
        {
            let (shown, _) = kubectl(&["explain", path]);
            assert!(squeeze(&shown).contains(description), "{path}: {shown}");
        }
        count += fields.len();
    }
    assert!(count > 200, "{count}");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn kinds_have_short_names_and_columns() {
    let check = |short: &str, columns: &[&str], wide: &[&str]| {
        let table = |arguments: &[&str]| {
            let (shown, _) = kubectl(&[&["get", short, "--all-namespaces"], arguments].concat());
            let header = shown.lines().next().unwrap_or_default().to_owned();
            header.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let (narrow, broad) = (table(&[]), table(&["--output", "wide"]));
        assert!(
            columns.iter().all(|name| narrow.contains(&(*name).to_owned())),
            "{short}: {narrow:?}"
        );
        let all = columns.iter().chain(wide);
        assert!(
            all.into_iter().all(|name| broad.contains(&(*name).to_owned())),
            "{short}: {broad:?}"
        );
        assert!(
            !wide.iter().any(|name| narrow.contains(&(*name).to_owned())),
            "{short}: {narrow:?}"
        );
    };
    store::make_one_of_each();
    let counts = ["VERSION", "SUBNET", "ALLOCATED-IP-COUNT", "TOTAL-IP-COUNT"];
    check(
        "sp",
        &[&counts[..], &["DEFAULT"]].concat(),
        &["DISABLE", "NODENAME", "MULTUSNAME", "APP-NAMESPACE"],
    );
    check("ss", &counts, &[]);
    check("sr", &["VERSION"], &[]);
    check("se", &["INTERFACE", "IPV4POOL", "IPV4", "IPV6POOL", "IPV6", "NODE"], &[]);
    check("smc", &["CNITYPE"], &[]);
    check("scc", &["MODE", "PHASE"], &["REASON"]);
    check("sb", &["SPACE", "FIRST", "SIZE"], &["COMMITS", "INCARNATION"]);
    check("sbi", &["SPACE", "FIRST"], &[]);
    check("sl", &["EPOCH", "RECOVERY"], &[]);
    for definition in held() {
        let categories = definition.pointer("/spec/names/categories").unwrap();
        assert_eq!(*categories, json!(["spiderpool"]));
        let kind = text(&definition, "/spec/names/kind");
        let status = definition.pointer("/spec/versions/0/subresources/status").is_some();
        let expected = ["SpiderIPPool", "SpiderSubnet", "SpiderCoordinator"].contains(&kind);
        assert_eq!(status, expected, "{kind}");
    }
}
