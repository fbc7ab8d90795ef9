//! What others wrote into a result that a plugin hands on, carried along.
//!
//! Called by plugins that stand behind others in a chain: what they add to the previous result they
//! lower, and the keys that no version of the specification defines stay where they were. Invariants:
//!
//! 1. A key that some version defines is never carried: it is lowered, or its version lacks it
//!    (`only_unknown_keys_are_carried`).
//! 2. Items of a list belong together by their position (`items_keep_their_own_keys`).

use serde_json::{Map, Value};

use crate::{result::CniResult, version::SpecVersion};

/// Every key that a version defines, of a result and of its parts.
const RESULT: [&str; 5] = ["cniVersion", "interfaces", "ips", "routes", "dns"];
const INTERFACE: [&str; 6] = ["name", "mac", "mtu", "sandbox", "socketPath", "pciID"];
const IP: [&str; 4] = ["version", "address", "gateway", "interface"];
const ROUTE: [&str; 7] = ["dst", "gw", "mtu", "advmss", "priority", "table", "scope"];
const DNS: [&str; 4] = ["nameservers", "domain", "search", "options"];

impl CniResult {
    /// The JSON of this result in `version`, with the keys of `previous` that no version defines, each
    /// where it was. `previous` is what this result was lifted from, and has its lists in this order.
    ///
    /// ```
    /// use spiderpool_cni::{CniResult, SpecVersion};
    /// use serde_json::json;
    ///
    /// let previous = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "queue": 3}], "x": 1});
    /// let result = CniResult::lift(&previous)?;
    /// assert_eq!(result.lower_over(SpecVersion::V1_0_0, &previous), previous);
    /// # Ok::<(), spiderpool_cni::BadResult>(())
    /// ```
    #[must_use]
    pub fn lower_over(&self, version: SpecVersion, previous: &Value) -> Value {
        let mut lowered = self.lower(version);
        carry(&mut lowered, previous, &RESULT);
        for (list, known) in [("interfaces", &INTERFACE[..]), ("ips", &IP), ("routes", &ROUTE)] {
            let items = lowered.get_mut(list).and_then(Value::as_array_mut);
            let before = previous.get(list).and_then(Value::as_array);
            let (Some(items), Some(before)) = (items, before) else { continue };
            for (item, before) in items.iter_mut().zip(before) {
                carry(item, before, known);
            }
        }
        dns(&mut lowered, previous);
        lowered
    }
}

/// A `dns` that was there stays there, be it empty: the reference library always writes one.
fn dns(lowered: &mut Value, previous: &Value) {
    let Some(before) = previous.get("dns").filter(|dns| dns.is_object()) else { return };
    let mut dns = lowered.get("dns").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    carry(&mut dns, before, &DNS);
    if let Some(object) = lowered.as_object_mut() {
        object.insert("dns".to_owned(), dns);
    }
}

fn carry(onto: &mut Value, from: &Value, known: &[&str]) {
    let (Some(onto), Some(from)) = (onto.as_object_mut(), from.as_object()) else { return };
    for (key, value) in from.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
        onto.insert(key.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn over(version: SpecVersion, previous: &Value) -> Value {
        CniResult::lift(previous).unwrap().lower_over(version, previous)
    }

    #[test]
    fn only_unknown_keys_are_carried() {
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "mtu": 9000, "bond": {"a": 1}}],
            "routes": [{"dst": "0.0.0.0/0", "table": 5, "via": "x"}],
            "dns": {"x": 1},
            "vendor": [1, 2],
        });
        assert_eq!(over(SpecVersion::V1_1_0, &previous), previous);
        let expected = json!({
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "eth0", "bond": {"a": 1}}],
            "routes": [{"dst": "0.0.0.0/0", "via": "x"}],
            "dns": {"x": 1},
            "vendor": [1, 2],
        });
        assert_eq!(over(SpecVersion::V0_4_0, &previous), expected);
    }

    #[test]
    fn items_keep_their_own_keys() {
        let previous = json!({
            "cniVersion": "1.0.0",
            "ips": [{"address": "10.1.2.3/24", "a": 1}, {"address": "fd00::1/64", "b": 2}],
        });
        assert_eq!(over(SpecVersion::V1_0_0, &previous), previous);
        for plain in [json!({"cniVersion": "1.0.0"}), json!({"cniVersion": "1.0.0", "dns": {}})] {
            assert_eq!(over(SpecVersion::V1_0_0, &plain), plain);
        }
    }
}
