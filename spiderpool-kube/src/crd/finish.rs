//! From what the derive macros make to what is installed.
//!
//! Fields are never null (a null is dropped before defaults are filled in, so that rules need not think of
//! it), whole numbers are written as such, and descriptions run on over the line ends of the source.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Number, Value, json};

/// The path of the schema in a definition with one version.
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// The definition as it is installed.
pub(super) fn finish(definition: CustomResourceDefinition) -> Value {
    // What the macros make is plain data; JSON has words for all of it.
    let mut value = serde_json::to_value(definition).unwrap_or_default();
    if let Some(schema) = value.pointer_mut(SCHEMA) {
        tidy(schema);
    }
    value
}

/// Makes a field of `spec` one that has to be there.
pub(super) fn require(definition: &mut Value, field: &str) {
    let spec = definition.pointer_mut(&format!("{SCHEMA}/properties/spec"));
    if let Some(spec) = spec.and_then(Value::as_object_mut) {
        spec.insert("required".to_owned(), json!([field]));
    }
}

/// Takes the subresources away: the status is written like everything else.
pub(super) fn drop_subresources(definition: &mut Value) {
    if let Some(version) = definition.pointer_mut("/spec/versions/0").and_then(Value::as_object_mut)
    {
        version.remove("subresources");
    }
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("nullable");
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => whole(number),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Writes a number such as `4094.0` as `4094`.
fn whole(number: &mut Number) {
    if number.is_i64() || number.is_u64() {
        return;
    }
    let text = number.to_string();
    let whole = text.strip_suffix(".0").and_then(|text| text.parse::<i64>().ok());
    if let Some(whole) = whole {
        *number = Number::from(whole);
    }
}
