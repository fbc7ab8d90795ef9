//! Reading JSON that somebody else wrote, so that a mistake is named by its place.
//!
//! Owns [`BadField`] and the few readers that `conf`, `runtime` and `lift` are made of. A reader takes a value
//! and where it stands; `null` and an absent key are the same, as they are to the reference library, which
//! writes its nil lists as `null` (`null_is_absent`). Nobody else parses JSON values.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};
use thiserror::Error;

/// A field whose value is not of the kind that it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("field `{path}` must be {wanted}, got `{got}`")]
pub struct BadField {
    /// Where it stands, such as `runtimeConfig.ips[1]`.
    pub path: String,
    /// What is expected there.
    pub wanted: &'static str,
    /// What was found, as JSON cut to 64 characters, or `nothing`.
    pub got: String,
}

/// Where a value stands in the document; it costs nothing until an error prints it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub(crate) fn key<'a>(&'a self, key: &'a str) -> Place<'a> {
        Place::Key(self, key)
    }

    pub(crate) fn bad(&self, wanted: &'static str, got: &Value) -> BadField {
        let got = if got.is_null() { "nothing".to_owned() } else { excerpt(got) };
        BadField { path: self.to_string(), wanted, got }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Key(Place::Root, key) => f.write_str(key),
            Place::Key(parent, key) => write!(f, "{parent}.{key}"),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The value in JSON, cut to 64 characters: it ends in a message for people.
pub(crate) fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    let mut head: String = text.chars().take(64).collect();
    if head.len() < text.len() {
        head.push('…');
    }
    head
}

/// The object at `key`, or an empty one if there is none.
pub(crate) fn object<'a>(
    parent: &'a Map<String, Value>,
    key: &str,
    place: &Place<'_>,
) -> Result<Option<&'a Map<String, Value>>, BadField> {
    present(parent, key)
        .map(|value| value.as_object().ok_or_else(|| place.key(key).bad("an object", value)))
        .transpose()
}

/// The text at `key`; empty text counts as absent.
pub(crate) fn text(
    parent: &Map<String, Value>,
    key: &str,
    place: &Place<'_>,
) -> Result<Option<String>, BadField> {
    let Some(value) = present(parent, key) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| place.key(key).bad("text", value))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The text at `key`, which may not be absent or empty.
pub(crate) fn required_text(
    parent: &Map<String, Value>,
    key: &str,
    place: &Place<'_>,
) -> Result<String, BadField> {
    text(parent, key, place)?.ok_or_else(|| place.key(key).bad("text", &Value::Null))
}

/// The number at `key`, within the range of `N`.
pub(crate) fn number<N: TryFrom<u64>>(
    parent: &Map<String, Value>,
    key: &str,
    wanted: &'static str,
    place: &Place<'_>,
) -> Result<Option<N>, BadField> {
    let Some(value) = present(parent, key) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| N::try_from(number).ok());
    number.map(Some).ok_or_else(|| place.key(key).bad(wanted, value))
}

/// What the text at `key` parses to; empty text counts as absent.
pub(crate) fn parsed<T: FromStr>(
    parent: &Map<String, Value>,
    key: &str,
    wanted: &'static str,
    place: &Place<'_>,
) -> Result<Option<T>, BadField> {
    let Some(text) = text(parent, key, place)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| place.key(key).bad(wanted, &Value::String(text)))
}

/// Each item of the list at `key`, read by `read`; no list if the key is absent.
pub(crate) fn list<T>(
    parent: &Map<String, Value>,
    key: &str,
    place: &Place<'_>,
    read: impl Fn(&Value, &Place<'_>) -> Result<T, BadField>,
) -> Result<Option<Vec<T>>, BadField> {
    let Some(value) = present(parent, key) else { return Ok(None) };
    let place = place.key(key);
    let items = value.as_array().ok_or_else(|| place.bad("a list", value))?;
    let read = |(index, item)| read(item, &Place::Item(&place, index));
    items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

/// The list of objects at `key`, each read by `read`.
pub(crate) fn objects<T>(
    parent: &Map<String, Value>,
    key: &str,
    place: &Place<'_>,
    read: impl Fn(&Map<String, Value>, &Place<'_>) -> Result<T, BadField>,
) -> Result<Option<Vec<T>>, BadField> {
    list(parent, key, place, |item, place| {
        read(item.as_object().ok_or_else(|| place.bad("an object", item))?, place)
    })
}

/// The list of texts at `key`, empty if absent.
pub(crate) fn texts(
    parent: &Map<String, Value>,
    key: &str,
    place: &Place<'_>,
) -> Result<Vec<String>, BadField> {
    let text = |item: &Value, place: &Place<'_>| {
        item.as_str().map(str::to_owned).ok_or_else(|| place.bad("text", item))
    };
    Ok(list(parent, key, place, text)?.unwrap_or_default())
}

fn present<'a>(parent: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    parent.get(key).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn null_is_absent() {
        for parent in [map(&json!({})), map(&json!({"k": null}))] {
            assert_eq!(text(&parent, "k", &Place::Root), Ok(None));
            assert_eq!(object(&parent, "k", &Place::Root), Ok(None));
            assert_eq!(number::<u32>(&parent, "k", "a number", &Place::Root), Ok(None));
            assert_eq!(texts(&parent, "k", &Place::Root), Ok(vec![]));
            assert_eq!(objects(&parent, "k", &Place::Root, |_, _| Ok(())), Ok(None));
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_place() {
        let parent = map(&json!({"ips": [{"a": "x"}, {"a": -1}], "long": "y".repeat(100)}));
        let read = |item: &Map<String, Value>, place: &Place<'_>| text(item, "a", place);
        let outer = Place::Root.key("prevResult").to_string();
        assert_eq!(outer, "prevResult");
        let error = objects(&parent, "ips", &Place::Root.key("prevResult"), read).unwrap_err();
        assert_eq!(error.to_string(), "field `prevResult.ips[1].a` must be text, got `-1`");
        let error = number::<u8>(&parent, "long", "a number", &Place::Root).unwrap_err();
        assert_eq!(error.got.chars().count(), 65);
        let error = required_text(&parent, "b", &Place::Root).unwrap_err();
        assert_eq!(error.to_string(), "field `b` must be text, got `nothing`");
    }
}
