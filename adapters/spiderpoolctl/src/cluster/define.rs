//! Definitions on a cluster: made, changed and removed as custom resources.
//!
//! What a manifest says is the whole of an object's spec: a field that it does not have is taken out, and
//! the server fills in its default. Labels and annotations are added to those that are there, since
//! others write some of their own.
//!
//! Invariants:
//! 1. The server has judged everything before the first write (`tests/kube`: `definitions`).
//! 2. An object that somebody else changed in between is not written over: the patch carries the
//!    revision that was read (`a_patch_carries_the_revision`).

use super::Cluster;
use super::api::{Trial, plural};
use crate::copy::{Change, Step};
use crate::definition::{Definition, Kind};
use crate::failure::Failure;
use serde_json::{Map, Value, json};
use spiderpool_core::name::Name;
use spiderpool_kube::manifest::Manifest;

/// One thing to write.
struct Write {
    at: String,
    name: String,
    /// The definition, for people.
    what: String,
    how: How,
}

enum How {
    Create(Value),
    /// The patch, and the object as it is.
    Patch(Value, Value),
}

const fn plural_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Subnet => "spidersubnets",
        Kind::Reservation => "spiderreservedips",
        Kind::Pool => "spiderippools",
    }
}

/// Makes or changes what steps define, in their order, and says of each what the server makes of it.
pub(crate) fn apply(
    cluster: &Cluster,
    steps: &mut [Step],
    manifests: &[(Kind, Name, Manifest)],
    dry_run: bool,
) -> Result<(), Failure> {
    let mut writes = Vec::new();
    let mut flaws = Vec::new();
    for step in steps.iter_mut() {
        let write = cluster.prepare(&step.definition, manifests)?;
        match cluster.write(&write, Trial::DryRun) {
            Ok(change) => step.change = change,
            Err(failure) => flaws.push(failure.in_one_line()),
        }
        writes.push(write);
    }
    if !flaws.is_empty() {
        let what = "the API server refuses the definitions; nothing was changed";
        return Err(Failure::refused(what).with_flaws(flaws));
    }
    if dry_run {
        return Ok(());
    }
    let mut done: Vec<String> = Vec::new();
    for (write, step) in writes.iter().zip(steps.iter()) {
        if step.change == Change::Unchanged {
            continue;
        }
        cluster.write(write, Trial::Real).map_err(|failure| {
            if done.is_empty() {
                return failure;
            }
            failure.while_doing(format!("after {} was written", done.join(", ")))
        })?;
        done.push(write.what.clone());
    }
    Ok(())
}

/// Removes a definition, and says whether something still keeps it.
pub(crate) fn delete(
    cluster: &Cluster,
    (kind, name): (Kind, &Name),
    dry_run: bool,
) -> Result<bool, Failure> {
    let trial = if dry_run { Trial::DryRun } else { Trial::Real };
    let removed = cluster.remove(&plural(plural_of(kind)), name, trial);
    let left = removed.map_err(|fault| fault.tell(&format!("cannot delete {kind} {name}")))?;
    let finalizers = left.pointer("/metadata/finalizers").and_then(Value::as_array);
    Ok(finalizers.is_some_and(|finalizers| !finalizers.is_empty()))
}

impl Cluster {
    fn prepare(
        &self,
        definition: &Definition,
        manifests: &[(Kind, Name, Manifest)],
    ) -> Result<Write, Failure> {
        let (kind, name) = (definition.kind(), definition.name());
        let written = manifests.iter().find(|(k, n, _)| (k, n) == (&kind, name));
        let manifest =
            written.map_or_else(|| definition.lower(), |(_, _, manifest)| manifest.clone());
        let wanted = manifest
            .to_json()
            .map_err(|error| Failure::world("cannot write a manifest").because(&error))?;
        let (at, what) = (plural(plural_of(kind)), definition.to_string());
        let read = self.read(&at, name);
        let how = match read.map_err(|fault| fault.tell(&format!("cannot read {what}")))? {
            None => How::Create(wanted),
            Some(present) => How::Patch(patch(&present, &wanted), present),
        };
        Ok(Write { at, name: name.to_string(), what, how })
    }

    fn write(&self, write: &Write, trial: Trial) -> Result<Change, Failure> {
        let Write { at, name, what, how } = write;
        let doing = format!("cannot apply {what}");
        match how {
            How::Create(json) => {
                self.create(at, json, trial).map_err(|fault| fault.tell(&doing))?;
                Ok(Change::Created)
            }
            How::Patch(patch, before) => {
                let after =
                    self.patch(at, name, patch, trial).map_err(|fault| fault.tell(&doing))?;
                let is_same = |path: &str| before.pointer(path) == after.pointer(path);
                let parts = ["/spec", "/metadata/labels", "/metadata/annotations"];
                let same = parts.into_iter().all(is_same);
                Ok(if same { Change::Unchanged } else { Change::Configured })
            }
        }
    }
}

/// The merge patch that makes an object say what is wanted, if it is still as it was read.
fn patch(present: &Value, wanted: &Value) -> Value {
    let part = |json: &Value, path: &str| json.pointer(path).cloned().unwrap_or_else(|| json!({}));
    let spec = replacing(&part(present, "/spec"), &part(wanted, "/spec"));
    let mut metadata = Map::new();
    for part in ["resourceVersion", "uid"] {
        metadata.extend(
            present
                .pointer(&format!("/metadata/{part}"))
                .map(|value| (part.to_owned(), value.clone())),
        );
    }
    for part in ["labels", "annotations"] {
        let added = wanted.pointer(&format!("/metadata/{part}"));
        metadata.extend(added.map(|added| (part.to_owned(), added.clone())));
    }
    json!({"metadata": metadata, "spec": spec})
}

/// The merge patch that leaves nothing of the former but what the latter has.
fn replacing(was: &Value, now: &Value) -> Value {
    let (Value::Object(was), Value::Object(now)) = (was, now) else {
        return now.clone();
    };
    let gone =
        was.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let kept = now.iter().map(|(key, now)| {
        let was = was.get(key).unwrap_or(&Value::Null);
        (key.clone(), replacing(was, now))
    });
    Value::Object(gone.chain(kept).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_carries_the_revision() {
        let present = json!({
            "metadata": {"name": "blue", "resourceVersion": "7", "uid": "u", "labels": {"theirs": "x"}},
            "spec": {"subnet": "10.6.0.0/24", "gateway": "10.6.0.1", "nodeAffinity": {"matchLabels": {"a": "b"}}},
        });
        let wanted = json!({
            "metadata": {"name": "blue", "labels": {"ours": "y"}},
            "spec": {"subnet": "10.6.0.0/24", "nodeAffinity": {"matchLabels": {"c": "d"}}},
        });
        let expected = json!({
            "metadata": {"resourceVersion": "7", "uid": "u", "labels": {"ours": "y"}},
            "spec": {
                "subnet": "10.6.0.0/24",
                "gateway": null,
                "nodeAffinity": {"matchLabels": {"a": null, "c": "d"}},
            },
        });
        assert_eq!(patch(&present, &wanted), expected);
    }
}
