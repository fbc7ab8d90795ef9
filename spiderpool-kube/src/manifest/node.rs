//! Text as a tree in which every value knows its place.
//!
//! Both YAML and JSON become this tree before anything is judged, so that one set of rules serves
//! both and every complaint can name a line. Called by the readers of [`super`]. Invariant: a tree
//! from JSON goes back to the same JSON (`json_goes_there_and_back`).

use crate::position::Position;
use serde_json::Value;

/// A value and its place, if the source knows places.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: Option<Position>,
    pub(super) content: Content,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number that is not an `i64`; no field takes one.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The place of the key.
    pub(super) at: Option<Position>,
    pub(super) value: Node,
}

impl Node {
    /// The value of a key, when this is a mapping that has it and it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|entry| entry.key == key)?;
        (found.value.content != Content::Null).then_some(&found.value)
    }

    /// The lines of a mapping; none when this is something else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Content::Mapping(entries) = &self.content { entries } else { &[] }
    }

    /// The text, when this is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Content::Text(text) = &self.content { Some(text) } else { None }
    }

    /// What it is, in the words of an error.
    pub(super) fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".to_owned(),
            Content::Boolean(value) => format!("the boolean {value}"),
            Content::Integer(value) => format!("the number {value}"),
            Content::Number(value) => format!("the number {value}"),
            Content::Text(text) => format!("the text `{}`", beginning(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// The same value for serde; a null in a mapping is left out, as Kubernetes does.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Boolean(value) => Value::Bool(*value),
            Content::Integer(value) => Value::from(*value),
            Content::Number(value) => Value::from(*value),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Mapping(entries) => {
                let present = entries.iter().filter(|entry| entry.value.content != Content::Null);
                present.map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
            }
        }
    }
}

/// As much of a text as an error should carry.
pub(super) fn beginning(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Boolean(*value),
            Value::Number(number) => number.as_i64().map_or_else(
                || Content::Number(number.as_f64().unwrap_or(f64::MAX)),
                Content::Integer,
            ),
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => Content::List(items.iter().map(Self::from).collect()),
            Value::Object(map) => Content::Mapping(
                map.iter()
                    .map(|(key, value)| Entry { key: key.clone(), at: None, value: value.into() })
                    .collect(),
            ),
        };
        Self { at: None, content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_goes_there_and_back() {
        let value = json!({"a": [1, -2, 1.5, "x", true, null], "b": {"c": []}});
        assert_eq!(Node::from(&value).to_json(), value);
        assert_eq!(Node::from(&json!({"a": null})).to_json(), json!({}));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(beginning(&"ü".repeat(60)), "ü".repeat(60));
        assert_eq!(beginning(&"ü".repeat(61)), format!("{}…", "ü".repeat(60)));
    }
}
