//! How a projection gets to the server.

use serde_json::{Map, Value, json};
use spiderpool_core::event::Revision;

/// The annotation with the revision of a projection's source.
pub const PROJECTED_FROM: &str = "ipam.spidernet.io/projected-from";
/// The same in a status that is a subresource, whose writes cannot touch annotations.
pub(super) const STATUS_FIELD: &str = "projectedFrom";
/// The finalizer of everything that must not go before its slots do.
pub const FINALIZER: &str = "spiderpool.spidernet.io";
/// The label with the node of an endpoint's pod.
pub const NODE_LABEL: &str = "ipam.spidernet.io/node";

/// What is to be done to bring an object up to date.
#[derive(Clone, Debug, PartialEq)]
pub enum Projection {
    /// Make it.
    Create(Value),
    /// Send this JSON merge patch (RFC 7386), which carries the revision of the object that was read.
    Patch(Value),
    /// Nothing differs.
    Current,
    /// It was projected from a newer source: leave it.
    Newer {
        /// The revision of that source.
        than: Revision,
    },
}

/// The revision of the source that an object was projected from.
#[must_use]
pub fn projected_from(object: &Value) -> Option<Revision> {
    let annotation =
        object.get("metadata")?.get("annotations").and_then(|all| all.get(PROJECTED_FROM));
    let field = || object.get("status").and_then(|status| status.get(STATUS_FIELD));
    field().or(annotation)?.as_str()?.parse().ok()
}

/// How `wanted` replaces an object. The revision is written even where nothing else differs: without
/// it, a leader that lags behind could show again what was seen to be over.
pub(super) fn replace(present: Option<&Value>, wanted: Value, revision: Revision) -> Projection {
    let Some(present) = present else { return Projection::Create(wanted) };
    if let Some(than) = projected_from(present).filter(|before| *before > revision) {
        return Projection::Newer { than };
    }
    let Some(mut patch) = difference(present, &wanted) else { return Projection::Current };
    if let Some(revision) = present.pointer("/metadata/resourceVersion")
        && let Some(patch) = patch.as_object_mut()
    {
        let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("resourceVersion".to_owned(), revision.clone());
        }
    }
    Projection::Patch(patch)
}

/// The merge patch that makes everything that `wanted` names like it; what it does not name stays, and
/// what it has as null goes. `None` when nothing differs.
fn difference(present: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (present, wanted) else {
        return (present != wanted).then(|| wanted.clone());
    };
    let mut patch = Map::new();
    for (key, value) in to {
        let differs = match from.get(key) {
            Some(before) => difference(before, value),
            None if value.is_null() => None,
            None if value.is_object() => difference(&json!({}), value),
            None => Some(value.clone()),
        };
        patch.extend(differs.map(|value| (key.clone(), value)));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(present: &Value, wanted: &Value, expected: &Value) {
        let patch = difference(present, wanted).unwrap_or_default();
        assert_eq!(patch, *expected, "{present} to {wanted}");
    }

    #[test]
    fn a_patch_names_what_differs() {
        check(&json!({"a": 1}), &json!({"a": 1}), &Value::Null);
        check(&json!({"a": 1, "b": 2}), &json!({"a": 2}), &json!({"a": 2}));
        check(
            &json!({"a": {"x": 1, "y": 1}}),
            &json!({"a": {"x": 1, "z": 3}}),
            &json!({"a": {"z": 3}}),
        );
        check(&json!({"a": [1]}), &json!({"a": [1, 2]}), &json!({"a": [1, 2]}));
        check(&json!({"a": 1}), &json!({"a": null}), &json!({"a": null}));
        check(&json!({}), &json!({"a": null}), &Value::Null);
    }
}
