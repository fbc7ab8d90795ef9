//! Reading parts of a JSON object, each complaint with the path of what it is about.

use super::error::BadObject;
use serde::Deserialize;
use serde_json::Value;

/// The format of everything that is written here.
pub(super) const FORMAT: u64 = 1;

/// Fails unless `spec.format` is the one that is read here.
pub(super) fn check_format(json: &Value) -> Result<(), BadObject> {
    let got: u64 = part(json, "/spec/format")?;
    if got == FORMAT { Ok(()) } else { Err(BadObject::Format { got, known: FORMAT }) }
}

/// The part at a JSON pointer (RFC 6901).
pub(super) fn part<'a, T: Deserialize<'a>>(json: &'a Value, pointer: &str) -> Result<T, BadObject> {
    let named = || pointer.trim_start_matches('/').replace('/', ".");
    let value =
        json.pointer(pointer).ok_or_else(|| BadObject::damaged(named(), "it is missing"))?;
    T::deserialize(value).map_err(|why| BadObject::damaged(named(), &why))
}

/// The entries of the mapping at a JSON pointer; none when there is no such mapping.
pub(super) fn entries<'a>(
    json: &'a Value,
    pointer: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, BadObject> {
    let mapping = match json.pointer(pointer) {
        None | Some(Value::Null) => None,
        Some(Value::Object(mapping)) => Some(mapping),
        Some(_) => {
            let named = pointer.trim_start_matches('/').replace('/', ".");
            return Err(BadObject::damaged(named, "it is no mapping"));
        }
    };
    Ok(mapping.into_iter().flatten())
}
