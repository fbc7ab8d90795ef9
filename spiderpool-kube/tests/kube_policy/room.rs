//! A cluster with everything below `deploy/` applied, and everybody who acts in it.

use serde_json::{Value, json};
use spiderpool_kube_lab::{Bound, Cluster, Controllers, Identity, Options, Reply};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The API of the custom resources.
pub(crate) const API: &str = "/apis/spiderpool.spidernet.io/v2beta1";

/// A cluster and who acts in it.
pub(crate) struct Room {
    pub(crate) cluster: Cluster,
    /// The agent of node `a`, by a token that is bound to a pod there, as the kubelet's are.
    pub(crate) agent_a: Identity,
    /// The agent of node `b`.
    pub(crate) agent_b: Identity,
    /// The agent's account by a token that names no node.
    pub(crate) agent_nowhere: Identity,
    pub(crate) controller: Identity,
    pub(crate) init: Identity,
    /// Somebody with the role `spiderpool-operate`.
    pub(crate) operator: Identity,
    /// Somebody with the role `spiderpool-view`.
    pub(crate) viewer: Identity,
    /// Somebody who may write every object of the group, by a role that somebody else made.
    pub(crate) stranger: Identity,
    /// The Go implementation's agent.
    pub(crate) reference: Identity,
    blocks: AtomicU32,
}

/// Whether the programs are those of the oldest Kubernetes: no controllers are built for it.
pub(crate) fn is_oldest() -> bool {
    std::env::var("SPIDERPOOL_KUBE").is_ok_and(|version| version == "oldest")
}

/// A directory or file of the repository.
pub(crate) fn path(below: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(below)
}

/// The room that tests share.
pub(crate) fn shared() -> &'static Room {
    static ROOM: OnceLock<Option<Room>> = OnceLock::new();
    // A room that cannot be opened fails every test at once, and the first one says why.
    let room = ROOM.get_or_init(|| std::panic::catch_unwind(Room::open).ok());
    room.as_ref().expect("the cluster that tests share could not be made ready")
}

impl Room {
    pub(crate) fn open() -> Self {
        let names =
            ["clusterrole-aggregation-controller", "validatingadmissionpolicy-status-controller"];
        let controllers = match is_oldest() {
            true => Controllers::None,
            false => Controllers::These(names.map(str::to_owned).to_vec()),
        };
        let manifests = ["spiderpool-kube/crds", "deploy/rbac", "deploy/policy"].map(path).to_vec();
        let options = Options { controllers, manifests, ..Options::default() };
        let cluster = Cluster::start(options).unwrap();
        let admin = cluster.admin();
        for node in ["a", "b"] {
            create(admin, "/api/v1/nodes", &json!({ "metadata": { "name": node } }));
            create(admin, "/api/v1/namespaces/spiderpool/pods", &pod(node));
        }
        let account = json!({ "metadata": { "name": "spiderpool-agent" } });
        create(admin, "/api/v1/namespaces/kube-system/serviceaccounts", &account);
        let token =
            |namespace: &str, name: &str, bound| cluster.token_for(namespace, name, bound).unwrap();
        let room = Self {
            agent_a: token("spiderpool", "spiderpool-agent", Bound::Pod("agent-a")),
            agent_b: token("spiderpool", "spiderpool-agent", Bound::Pod("agent-b")),
            agent_nowhere: token("spiderpool", "spiderpool-agent", Bound::Nothing),
            controller: token("spiderpool", "spiderpool-controller", Bound::Nothing),
            init: token("spiderpool", "spiderpool-init", Bound::Nothing),
            reference: token("kube-system", "spiderpool-agent", Bound::Nothing),
            operator: cluster.kubeconfig_for("olga", &["operators"]).unwrap(),
            viewer: cluster.kubeconfig_for("vera", &[]).unwrap(),
            stranger: cluster.kubeconfig_for("mallory", &[]).unwrap(),
            blocks: AtomicU32::new(0),
            cluster,
        };
        room.bind();
        room.await_policies();
        room
    }

    /// Gives people their roles.
    fn bind(&self) {
        let all = json!(["create", "delete", "get", "list", "patch", "update", "watch"]);
        let group = json!(["spiderpool.spidernet.io"]);
        let rules = json!([{ "apiGroups": group, "resources": ["*"], "verbs": all }]);
        let role = json!({ "metadata": { "name": "everything" }, "rules": rules });
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        create(self.cluster.admin(), &format!("{rbac}/clusterroles"), &role);
        let account = "system:serviceaccount:kube-system:spiderpool-agent";
        let bindings = [
            ("Group", "operators", "spiderpool-operate"),
            ("User", "vera", "spiderpool-view"),
            ("User", "mallory", "everything"),
            ("User", account, "everything"),
        ];
        for (at, (kind, name, role)) in bindings.into_iter().enumerate() {
            let group = "rbac.authorization.k8s.io";
            let binding = json!({
                "metadata": { "name": format!("binding-{at}") },
                "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role },
                "subjects": [{ "apiGroup": group, "kind": kind, "name": name }],
            });
            create(self.cluster.admin(), &format!("{rbac}/clusterrolebindings"), &binding);
        }
    }

    /// Waits until the API server holds every policy: it learns of them by a watch.
    fn await_policies(&self) {
        let shard = json!({
            "metadata": { "name": "default.4.00000000" },
            "spec": { "format": 2, "space": "default", "ipVersion": 4, "first": "0.0.0.0", "blocks": {} },
        });
        let ledger =
            json!({ "metadata": { "name": "cluster" }, "spec": { "format": 2, "epoch": 0 } });
        let block =
            self.block_named("default.4.00000000", "0.0.0.0", &json!({ "format": 2, "slots": {} }));
        let endpoint = json!({ "metadata": { "name": "x" } });
        let pool = json!({ "metadata": { "name": "probe" }, "spec": { "subnet": "10.0.0.0/24" } });
        let namespaced = format!("{API}/namespaces/default/spiderendpoints");
        let writes = [
            (&self.stranger, format!("{API}/spiderblocks"), &block),
            (&self.agent_a, format!("{API}/spiderblocks"), &block),
            (&self.agent_a, format!("{API}/spiderblockindexes"), &shard),
            (&self.agent_a, format!("{API}/spiderledgers"), &ledger),
            (&self.agent_a, namespaced, &endpoint),
        ];
        for (who, path, body) in writes {
            eventually(&format!("a policy for {path}"), || {
                let reply = post(who, &format!("{path}?dryRun=All"), body);
                says(&reply, "ValidatingAdmissionPolicy")
            });
        }
        create(self.cluster.admin(), &format!("{API}/spiderippools"), &pool);
        let path = format!("{API}/spiderippools/probe?dryRun=All");
        let flip = json!({ "metadata": { "annotations": { "ipam.spidernet.io/engine": "x" } } });
        eventually("a policy for pools", || {
            let reply = self.stranger.send("PATCH", &path, Some(&flip)).unwrap();
            says(&reply, "ValidatingAdmissionPolicy")
        });
        self.cluster.admin().call("DELETE", &format!("{API}/spiderippools/probe"), None).unwrap();
    }

    /// A name and a first address that no other block of this room has.
    pub(crate) fn place(&self) -> (String, String) {
        let first = 0x0a00_0000 + 64 * self.blocks.fetch_add(1, Ordering::Relaxed);
        (format!("default.4.{first:08x}"), std::net::Ipv4Addr::from(first).to_string())
    }

    /// A block of that name; `spec` says what differs from an empty one.
    pub(crate) fn block_named(&self, name: &str, first: &str, spec: &Value) -> Value {
        let mut block = json!({
            "metadata": { "name": name, "finalizers": ["spiderpool.spidernet.io"] },
            "spec": {
                "format": 1, "space": "default", "ipVersion": 4, "first": first, "size": 64,
                "incarnation": "0123456789abcdef", "commits": 1, "generation": 0, "listed": false,
                "slots": {},
            },
        });
        merge(&mut block["spec"], spec);
        block
    }

    /// A new block as the administrator makes it, and its path.
    pub(crate) fn stand(&self, spec: &Value) -> (String, Value) {
        let (name, first) = self.place();
        let block = self.block_named(&name, &first, spec);
        let path = format!("{API}/spiderblocks");
        (format!("{path}/{name}"), create(self.cluster.admin(), &path, &block))
    }
}

fn pod(node: &str) -> Value {
    json!({
        "metadata": { "name": format!("agent-{node}") },
        "spec": {
            "nodeName": node, "serviceAccountName": "spiderpool-agent",
            "containers": [{ "name": "main", "image": "none" }],
        },
    })
}

/// Asks for a new object; of the group's own kinds the path says which it is.
pub(crate) fn post(who: &Identity, path: &str, body: &Value) -> Reply {
    const KINDS: [(&str, &str); 5] = [
        ("spiderblocks", "SpiderBlock"),
        ("spiderblockindexes", "SpiderBlockIndex"),
        ("spiderledgers", "SpiderLedger"),
        ("spiderendpoints", "SpiderEndpoint"),
        ("spiderippools", "SpiderIPPool"),
    ];
    let plural = path.split('?').next().and_then(|path| path.rsplit('/').next());
    let mut body = body.clone();
    if let Some((_, kind)) = KINDS.into_iter().find(|(name, _)| plural == Some(*name)) {
        merge(&mut body, &json!({ "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": kind }));
    }
    who.send("POST", path, Some(&body)).unwrap()
}

/// Makes an object and gives it as the server has it.
pub(crate) fn create(who: &Identity, path: &str, body: &Value) -> Value {
    let reply = post(who, path, body);
    assert!(reply.is_well(), "{path}: {} {}", reply.status, reply.text);
    reply.json()
}

/// Asks until the answer is yes; the last answer says what is missing.
pub(crate) fn eventually(what: &str, mut ask: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(last) = ask() {
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}: {last}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether an answer holds these words.
pub(crate) fn says(reply: &Reply, words: &str) -> Result<(), String> {
    if reply.text.contains(words) {
        Ok(())
    } else {
        Err(format!("{} {}", reply.status, reply.text))
    }
}

/// What a write is to come to: accepted, or refused with these words.
pub(crate) type Expected = Result<(), &'static str>;

/// Fails when a write did not come to what it should.
pub(crate) fn judge(what: &str, reply: &Reply, expected: Expected) {
    let Reply { status, text } = reply;
    match expected {
        Ok(()) => assert!(reply.is_well(), "{what}: is to be accepted, and got {status} {text}"),
        Err(words) => {
            assert!(
                [403, 422].contains(status),
                "{what}: is to be refused, and got {status} {text}"
            );
            let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains("ValidatingAdmissionPolicy"), "{what}: {message}");
            assert!(message.contains(words), "{what}: `{words}` is to be in: {message}");
        }
    }
}

/// Merges a patch into a value (RFC 7396).
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *into = patch.clone() };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// The merge patch that makes one value of another: what differs, and nothing else.
pub(crate) fn difference(before: &Value, after: &Value) -> Value {
    let (Some(was), Some(is)) = (before.as_object(), after.as_object()) else {
        return after.clone();
    };
    let gone =
        was.keys().filter(|key| !is.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let other = is.iter().filter(|(key, value)| was.get(*key) != Some(value));
    let other = other.map(|(key, value)| {
        (key.clone(), was.get(key).map_or_else(|| value.clone(), |was| difference(was, value)))
    });
    gone.chain(other).collect::<serde_json::Map<_, _>>().into()
}

/// Writes the difference at the revision that was read, as the protocol does.
pub(crate) fn replace(who: &Identity, path: &str, read: &Value, after: &Value) -> Reply {
    let mut patch = difference(read, after);
    patch["metadata"]["resourceVersion"] = read["metadata"]["resourceVersion"].clone();
    who.send("PATCH", path, Some(&patch)).unwrap()
}

/// An allocated slot.
pub(crate) fn held(node: &str, owner: &str, generation: u64) -> Value {
    json!({
        "state": "Allocated", "owner": owner, "podUID": "0a1b", "containerID": format!("c{generation}"),
        "node": node, "pool": "blue", "interface": "eth0", "network": "net", "stage": "Attached",
        "generation": generation, "since": 1_700_000_000_000_u64,
    })
}

/// A slot that was given back, and waits.
pub(crate) fn resting() -> Value {
    json!({ "state": "Resting", "since": 1_700_000_000_000_u64 })
}

/// A slot that somebody else was seen to use.
pub(crate) fn quarantined() -> Value {
    let since = 1_700_000_000_000_u64;
    let mac = "02:00:00:00:00:01";
    json!({ "state": "Quarantined", "mac": mac, "since": since, "until": since + 1, "rounds": 1 })
}
