//! The definitions of the custom resources, as they are checked in and as people read them.
//!
//! `UPDATE_GOLDEN=1 cargo test -p spiderpool-kube --features crd,yaml --test crd` writes `crds/` anew.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;
use spiderpool_kube::crd::definitions;
use spiderpool_kube::manifest::{Document, read_manifests};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

fn file(definition: &Value) -> String {
    let (group, plural) = (text(definition, "/spec/group"), text(definition, "/spec/names/plural"));
    format!("{group}_{plural}.yaml")
}

#[test]
fn the_checked_in_definitions_are_these() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let mut different = Vec::new();
    let mut expected = BTreeSet::new();
    for definition in definitions() {
        let (path, yaml) =
            (directory().join(file(&definition)), serde_saphyr::to_string(&definition).unwrap());
        if update {
            fs::create_dir_all(directory()).unwrap();
            fs::write(&path, &yaml).unwrap();
        }
        if fs::read_to_string(&path).ok().as_deref() != Some(yaml.as_str()) {
            different.push(path.display().to_string());
        }
        expected.insert(path);
    }
    let found: BTreeSet<_> =
        fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let strays = found.difference(&expected).map(|path| path.display().to_string());
    different.extend(strays);
    assert!(
        different.is_empty(),
        "these differ from the types; `UPDATE_GOLDEN=1 cargo test -p spiderpool-kube --features crd,yaml --test crd` writes them anew (remove those that are of no kind):\n{}",
        different.join("\n")
    );
}

/// Calls `look` with the path and the schema of each field below a schema.
fn fields(schema: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, inner) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        look(&path, inner);
        fields(inner, &path, look);
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(nested) {
            fields(inner, path, look);
        }
    }
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

#[test]
fn every_field_explains_itself() {
    for definition in definitions() {
        let kind = text(&definition, "/spec/names/kind");
        let schema = definition.pointer(SCHEMA).unwrap();
        assert!(text(schema, "/description").len() > 30, "{kind}");
        fields(schema, kind, &mut |path, field| {
            let description = field.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(description.ends_with('.') && description.len() > 8, "{path}: {description}");
            assert!(field.get("nullable").is_none(), "{path}");
            let format = field.get("format").and_then(Value::as_str);
            assert!(matches!(format, None | Some("int64" | "date-time")), "{path}: {format:?}");
        });
    }
}

#[test]
fn every_rule_says_what_to_do() {
    fn rules(value: &Value, count: &mut usize) {
        for rule in
            value.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
        {
            let message = text(rule, "/message");
            assert!(message.len() > 30, "{message}");
            *count += 1;
        }
        value.as_object().into_iter().flatten().for_each(|(_, inner)| rules(inner, count));
        value.as_array().into_iter().flatten().for_each(|inner| rules(inner, count));
    }
    let mut count = 0;
    definitions().iter().for_each(|definition| rules(definition, &mut count));
    assert!(count > 80, "{count}");
}

/// The manifests of `tests/golden` have every field that is read; the definitions have the same.
#[test]
fn definitions_and_manifests_have_the_same_fields() {
    for (golden, kind) in
        [("pool", "SpiderIPPool"), ("subnet", "SpiderSubnet"), ("reservation", "SpiderReservedIP")]
    {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{golden}.out.yaml"));
        let Document { manifest, .. } =
            read_manifests(&fs::read_to_string(path).unwrap()).unwrap().remove(0);
        let manifest = manifest.to_json().unwrap();
        let definitions = definitions();
        let definition =
            definitions.iter().find(|one| text(one, "/spec/names/kind") == kind).unwrap();
        let schema = definition.pointer(&format!("{SCHEMA}/properties/spec/properties")).unwrap();
        let names =
            |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(schema), names(manifest.get("spec").unwrap()), "{kind}");
    }
}
