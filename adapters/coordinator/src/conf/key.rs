//! Reading the plugin's own keys, so that a mistake is named by its key.
//!
//! Keys are found whatever their case, as the reference's reader finds them: `podDefaultRouteNic` and
//! `podDefaultRouteNIC` are both in use. A key that is exactly right wins; `null` and an empty text or
//! list count as absent, since that is how templates leave a key out.

use ipnet::IpNet;
use serde_json::{Map, Value};
use spiderpool_cni::{CniError, code};
use spiderpool_core::intend::{BadSetting, prefix};
use spiderpool_core::net::LinkName;
use thiserror::Error;

/// A key whose value cannot be used: CNI code 7.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BadKey {
    /// It is of another kind than is wanted.
    #[error("`{key}` cannot be `{got}`; use {wanted}")]
    Kind {
        /// The key, with the object that it is in.
        key: String,
        /// What it is, in JSON cut to 64 characters.
        got: String,
        /// What it should be.
        wanted: String,
    },
    /// The core says what is wrong with it.
    #[error(transparent)]
    Setting(#[from] BadSetting),
}

impl From<BadKey> for CniError {
    fn from(bad: BadKey) -> Self {
        Self::caused_by(code::BAD_NETWORK_CONFIG, &bad)
    }
}

/// An object of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    object: &'a Map<String, Value>,
    prefix: &'static str,
}

/// One value and the key it stands under.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) key: String,
    pub(crate) value: &'a Value,
}

impl<'a> Keys<'a> {
    pub(crate) const fn of(object: &'a Map<String, Value>) -> Self {
        Self { object, prefix: "" }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<Entry<'a>> {
        let same = |given: &&String| given.eq_ignore_ascii_case(key);
        let given = self.object.keys().find(|given| *given == key);
        let given = given.or_else(|| self.object.keys().find(same))?;
        let value = self.object.get(given).filter(|value| !is_absent(value))?;
        Some(Entry { key: format!("{}{given}", self.prefix), value })
    }

    /// What the value under a key is read as.
    pub(crate) fn read<T>(
        &self,
        key: &str,
        read: impl Fn(&Entry<'a>) -> Result<T, BadKey>,
    ) -> Result<Option<T>, BadKey> {
        self.entry(key).map(|entry| read(&entry)).transpose()
    }

    /// The keys that are none of these.
    pub(crate) fn others(&self, known: &[&str]) -> Vec<&'a str> {
        let is_known = |key: &str| known.iter().any(|known| known.eq_ignore_ascii_case(key));
        self.object.keys().map(String::as_str).filter(|key| !is_known(key)).collect()
    }
}

fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn bad(&self, wanted: impl Into<String>) -> BadKey {
        let text = self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned);
        let mut got: String = text.chars().take(65).collect();
        if let Some((end, _)) = got.char_indices().nth(64) {
            got.truncate(end);
            got.push('…');
        }
        BadKey::Kind { key: self.key.clone(), got, wanted: wanted.into() }
    }

    /// The text, without blanks around it.
    pub(crate) fn text(&self, wanted: &str) -> Result<&'a str, BadKey> {
        self.value.as_str().map(str::trim).ok_or_else(|| self.bad(wanted))
    }

    pub(crate) fn integer(&self, wanted: &str) -> Result<i64, BadKey> {
        self.value.as_i64().ok_or_else(|| self.bad(wanted))
    }

    pub(crate) fn truth(&self) -> Result<bool, BadKey> {
        self.value.as_bool().ok_or_else(|| self.bad("true or false"))
    }

    pub(crate) fn object(&self, prefix: &'static str) -> Result<Keys<'a>, BadKey> {
        let object = self.value.as_object().ok_or_else(|| self.bad("an object"))?;
        Ok(Keys { object, prefix })
    }

    /// Each item, under the key and its position.
    pub(crate) fn items(&self, wanted: &str) -> Result<Vec<Entry<'a>>, BadKey> {
        let items = self.value.as_array().ok_or_else(|| self.bad(wanted))?;
        let entry = |(at, value)| Entry { key: format!("{}[{at}]", self.key), value };
        Ok(items.iter().enumerate().map(entry).collect())
    }

    /// The value under a key of this object.
    pub(crate) fn part(&self, key: &str, wanted: &str) -> Result<Self, BadKey> {
        let object = self.value.as_object().ok_or_else(|| self.bad(wanted))?;
        let part = Keys { object, prefix: "" }.entry(key).ok_or_else(|| self.bad(wanted))?;
        Ok(Self { key: format!("{}.{}", self.key, part.key), value: part.value })
    }

    pub(crate) fn link(&self) -> Result<LinkName, BadKey> {
        let wanted = "an interface's name: 1 to 15 bytes without `/`, `:` or blanks";
        LinkName::new(self.text(wanted)?).map_err(|_| self.bad(wanted))
    }

    /// A prefix; an address alone is a prefix of its whole length, and bits beyond it are cut.
    pub(crate) fn prefix(&self) -> Result<IpNet, BadKey> {
        let wanted = "a prefix such as `10.96.0.0/12`, or an address";
        prefix("", self.text(wanted)?).map_err(|_| self.bad(wanted))
    }

    /// A list of prefixes.
    pub(crate) fn prefixes(&self) -> Result<Vec<IpNet>, BadKey> {
        self.items("a list of prefixes")?.iter().map(Self::prefix).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn keys_are_found_whatever_their_case() {
        let map =
            map(&json!({"podDefaultRouteNIC": "net1", "vethMTU": 1, "vethmtu": 2, "x": null}));
        let keys = Keys::of(&map);
        assert_eq!(keys.read("podDefaultRouteNic", Entry::link).unwrap().unwrap().as_str(), "net1");
        assert_eq!(keys.entry("vethMTU").unwrap().value, &json!(1));
        assert_eq!(keys.entry("VETHMTU").unwrap().key, "vethMTU");
        assert!(keys.entry("x").is_none());
        assert_eq!(keys.others(&["podDefaultRouteNic", "vethMtu"]), ["x"]);
    }

    #[test]
    fn bare_addresses_are_prefixes() {
        let map = map(&json!({"l": ["10.0.0.1", "10.1.2.3/16", " fd00::1 ", "fd00::1/64"]}));
        let entry = Keys::of(&map).entry("l").unwrap();
        let read: Vec<_> = entry.prefixes().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.0.0.1/32", "10.1.0.0/16", "fd00::1/128", "fd00::/64"]);
    }

    #[test]
    fn a_mistake_is_named_by_its_key() {
        let map = map(&json!({"l": ["10.0.0.1", "x"], "long": "y".repeat(100)}));
        let keys = Keys::of(&map);
        let told = keys.read("l", Entry::prefixes).unwrap_err().to_string();
        assert_eq!(
            told,
            "`l[1]` cannot be `x`; use a prefix such as `10.96.0.0/12`, or an address"
        );
        let told = keys.read("long", Entry::truth).unwrap_err().to_string();
        assert_eq!(told, format!("`long` cannot be `{}…`; use true or false", "y".repeat(64)));
    }
}
