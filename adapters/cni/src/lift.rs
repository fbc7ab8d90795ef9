//! Reading a result that another plugin wrote.
//!
//! Called by `conf` for `prevResult`, and by plugins that delegate to others. One reader serves all versions:
//! what a version lacks is absent, and what we do not know is passed over. Invariants:
//!
//! 1. Lifting undoes lowering (`lowering_then_lifting_loses_only_newer_keys` in `tests/properties.rs`).
//! 2. The family that old versions name beside an address is not read: the address itself says it
//!    (`what_others_write_is_read`).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    field::{self, BadField, Place},
    result::{CniResult, Dns, Interface, IpConfig, Route},
    version::{BadVersion, SpecVersion},
};

/// Why a result cannot be read: CNI code 1 for its version, else 6.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadResult {
    /// A field has the wrong kind of value.
    #[error("the result of another plugin cannot be decoded")]
    Field(#[from] BadField),
    /// Its version is not supported.
    #[error("the result of another plugin is of a version that cannot be read")]
    Version(#[from] BadVersion),
}

impl CniResult {
    /// The result in `value`, of any supported version; without `cniVersion`, it is taken for any of them.
    ///
    /// ```
    /// use spiderpool_cni::CniResult;
    ///
    /// let old = serde_json::json!({"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.1.2.3/24"}]});
    /// assert_eq!(CniResult::lift(&old)?.ips[0].address.to_string(), "10.1.2.3/24");
    /// # Ok::<(), spiderpool_cni::BadResult>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadResult`], for the first mistake found.
    pub fn lift(value: &Value) -> Result<Self, BadResult> {
        lift(value, &Place::Root.key("result"))
    }
}

pub(crate) fn lift(value: &Value, place: &Place<'_>) -> Result<CniResult, BadResult> {
    let object = value.as_object().ok_or_else(|| place.bad("an object", value))?;
    if let Some(version) = field::text(object, "cniVersion", place)? {
        version.parse::<SpecVersion>()?;
    }
    Ok(CniResult {
        interfaces: field::objects(object, "interfaces", place, interface)?.unwrap_or_default(),
        ips: field::objects(object, "ips", place, ip)?.unwrap_or_default(),
        routes: field::objects(object, "routes", place, route)?.unwrap_or_default(),
        dns: dns(object, place)?,
    })
}

/// The `dns` of a result or of a configuration; empty if there is none.
pub(crate) fn dns(parent: &Map<String, Value>, place: &Place<'_>) -> Result<Dns, BadField> {
    let Some(object) = field::object(parent, "dns", place)? else { return Ok(Dns::default()) };
    let place = place.key("dns");
    Ok(Dns {
        nameservers: field::texts(object, "nameservers", &place)?,
        domain: field::text(object, "domain", &place)?,
        search: field::texts(object, "search", &place)?,
        options: field::texts(object, "options", &place)?,
    })
}

const NUMBER: &str = "a number from 0 to 4294967295";
const ADDRESS: &str = "an address, such as 10.1.2.1";
const NET: &str = "an address with a prefix length, such as 10.1.2.3/24";

fn interface(object: &Map<String, Value>, place: &Place<'_>) -> Result<Interface, BadField> {
    Ok(Interface {
        name: field::required_text(object, "name", place)?,
        mac: field::text(object, "mac", place)?,
        mtu: field::number(object, "mtu", NUMBER, place)?,
        sandbox: field::text(object, "sandbox", place)?,
        socket_path: field::text(object, "socketPath", place)?,
        pci_id: field::text(object, "pciID", place)?,
    })
}

fn ip(object: &Map<String, Value>, place: &Place<'_>) -> Result<IpConfig, BadField> {
    Ok(IpConfig {
        address: net(object, "address", place)?,
        gateway: address(object, "gateway", place)?,
        interface: field::number(object, "interface", NUMBER, place)?,
    })
}

fn route(object: &Map<String, Value>, place: &Place<'_>) -> Result<Route, BadField> {
    Ok(Route {
        dst: net(object, "dst", place)?,
        gw: address(object, "gw", place)?,
        mtu: field::number(object, "mtu", NUMBER, place)?,
        advmss: field::number(object, "advmss", NUMBER, place)?,
        priority: field::number(object, "priority", NUMBER, place)?,
        table: field::number(object, "table", NUMBER, place)?,
        scope: field::number(object, "scope", "a number from 0 to 255", place)?,
    })
}

fn net(object: &Map<String, Value>, key: &str, place: &Place<'_>) -> Result<IpNet, BadField> {
    field::parsed(object, key, NET, place)?.ok_or_else(|| place.key(key).bad(NET, &Value::Null))
}

fn address(
    object: &Map<String, Value>,
    key: &str,
    place: &Place<'_>,
) -> Result<Option<IpAddr>, BadField> {
    field::parsed(object, key, ADDRESS, place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_write_is_read() {
        let result = CniResult::lift(&json!({
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "veth1", "sandbox": "", "mac": "", "unknown": true}],
            "ips": [{"version": "6", "address": "10.1.2.3/24", "gateway": "", "interface": null}],
            "routes": null,
            "dns": {},
        }));
        let expected = CniResult {
            interfaces: vec![Interface { name: "veth1".into(), ..Interface::default() }],
            ips: vec![IpConfig::from("10.1.2.3/24".parse::<IpNet>().unwrap())],
            ..CniResult::default()
        };
        assert_eq!(result, Ok(expected));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |result: Value, expected: &str| {
            let told = match CniResult::lift(&result).unwrap_err() {
                BadResult::Field(bad) => bad.to_string(),
                BadResult::Version(bad) => bad.to_string(),
            };
            assert!(told.starts_with(expected), "{told:?}");
        };
        check(json!([]), "field `result` must be an object, got `[]`");
        check(json!({"cniVersion": "0.2.0"}), "cniVersion `0.2.0` is not supported");
        check(json!({"interfaces": [{}]}), "field `result.interfaces[0].name` must be text");
        check(json!({"ips": [{"address": "10.1.2.3"}]}), "field `result.ips[0].address` must be");
        check(
            json!({"ips": [{"address": "10.1.2.3/24", "interface": -1}]}),
            "field `result.ips[0].interface` must be a number",
        );
        check(
            json!({"routes": [{"dst": "::/0", "gw": "x"}]}),
            "field `result.routes[0].gw` must be an address",
        );
        check(
            json!({"routes": [{"dst": "::/0", "scope": 256}]}),
            "field `result.routes[0].scope` must be a number from 0 to 255, got `256`",
        );
    }
}
