//! What ADD gives back, apart from any version, and its shape in each version.
//!
//! Plugins build a [`CniResult`] and lower it; `lift` reads one. Invariants:
//!
//! 1. A lowered result holds no key that its version does not define (`each_version_has_its_keys`).
//! 2. What is empty is left out, so an IPAM plugin's result has no `interfaces` (`an_ipam_result_is_short`).
//! 3. Addresses keep their host bits (`an_ipam_result_is_short`).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::version::SpecVersion;

/// The outcome of ADD (CNI spec 1.1.0, section 5, "ADD Success").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniResult {
    /// Interfaces that the attachment made, in the container and on the host. IPAM plugins give none.
    pub interfaces: Vec<Interface>,
    /// Addresses given to the attachment.
    pub ips: Vec<IpConfig>,
    /// Routes of the attachment.
    pub routes: Vec<Route>,
    /// Name resolution.
    pub dns: Dns,
}

/// An interface that ADD made. Text that is empty counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, as written.
    pub mac: Option<String>,
    /// Its MTU in bytes; from 1.1.0.
    pub mtu: Option<u32>,
    /// The path of the network namespace that it is in; none for the host's.
    pub sandbox: Option<String>,
    /// The path of a socket that belongs to it (vhost-user, say); from 1.1.0.
    pub socket_path: Option<String>,
    /// The PCI address of the device behind it; from 1.1.0.
    pub pci_id: Option<String>,
}

/// An address that ADD gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpConfig {
    /// The address, host bits included, and the prefix length of its subnet.
    pub address: IpNet,
    /// The gateway of the subnet, if there is one.
    pub gateway: Option<IpAddr>,
    /// The interface that has it, as a position in [`CniResult::interfaces`]. IPAM plugins give none.
    pub interface: Option<u32>,
}

impl From<IpNet> for IpConfig {
    /// An address without gateway or interface.
    fn from(address: IpNet) -> Self {
        Self { address, gateway: None, interface: None }
    }
}

/// A route of the attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub dst: IpNet,
    /// Through whom; if none, the plugin's choice (often the gateway of the address).
    pub gw: Option<IpAddr>,
    /// The MTU of the path in bytes; from 1.1.0.
    pub mtu: Option<u32>,
    /// The largest TCP segment to announce, in bytes; from 1.1.0.
    pub advmss: Option<u32>,
    /// The priority, lower first; from 1.1.0.
    pub priority: Option<u32>,
    /// The number of its routing table; from 1.1.0.
    pub table: Option<u32>,
    /// Its scope, as in `rtnetlink(7)`: 0 universe, 253 link, 254 host; from 1.1.0.
    pub scope: Option<u8>,
}

impl Route {
    /// A route with nothing but its destination and next hop.
    #[must_use]
    pub const fn new(dst: IpNet, gw: Option<IpAddr>) -> Self {
        Self { dst, gw, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// Name resolution for the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses of name servers, in order of preference.
    pub nameservers: Vec<String>,
    /// The local domain.
    pub domain: Option<String>,
    /// Domains to search for short names, in order.
    pub search: Vec<String>,
    /// Options for the resolver.
    pub options: Vec<String>,
}

impl CniResult {
    /// The JSON of this result in `version`; what the version does not define is dropped.
    ///
    /// ```
    /// use spiderpool_cni::{CniResult, IpConfig, SpecVersion};
    ///
    /// let ips = vec![IpConfig::from("10.1.2.3/24".parse::<ipnet::IpNet>()?)];
    /// let result = CniResult { ips, ..CniResult::default() };
    /// assert_eq!(
    ///     result.lower(SpecVersion::V0_4_0).to_string(),
    ///     r#"{"cniVersion":"0.4.0","ips":[{"address":"10.1.2.3/24","version":"4"}]}"#,
    /// );
    /// # Ok::<(), ipnet::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn lower(&self, version: SpecVersion) -> Value {
        let mut object = Object::default();
        object.put("cniVersion", Some(version.as_str()));
        object.list("interfaces", self.interfaces.iter().map(|item| item.lower(version)));
        object.list("ips", self.ips.iter().map(|item| item.lower(version)));
        object.list("routes", self.routes.iter().map(|item| item.lower(version)));
        if self.dns != Dns::default() {
            object.put("dns", Some(self.dns.lower()));
        }
        object.into()
    }
}

impl Interface {
    fn lower(&self, version: SpecVersion) -> Value {
        let mut object = Object::default();
        object.put("name", Some(self.name.as_str()));
        object.text("mac", self.mac.as_deref());
        object.text("sandbox", self.sandbox.as_deref());
        if version >= SpecVersion::V1_1_0 {
            object.put("mtu", self.mtu);
            object.text("socketPath", self.socket_path.as_deref());
            object.text("pciID", self.pci_id.as_deref());
        }
        object.into()
    }
}

impl IpConfig {
    fn lower(&self, version: SpecVersion) -> Value {
        let family = match self.address {
            IpNet::V4(_) => "4",
            IpNet::V6(_) => "6",
        };
        let mut object = Object::default();
        object.put("version", (version < SpecVersion::V1_0_0).then_some(family));
        object.put("address", Some(self.address.to_string()));
        object.put("gateway", self.gateway.map(|gateway| gateway.to_string()));
        object.put("interface", self.interface);
        object.into()
    }
}

impl Route {
    fn lower(&self, version: SpecVersion) -> Value {
        let mut object = Object::default();
        object.put("dst", Some(self.dst.to_string()));
        object.put("gw", self.gw.map(|gw| gw.to_string()));
        if version >= SpecVersion::V1_1_0 {
            object.put("mtu", self.mtu);
            object.put("advmss", self.advmss);
            object.put("priority", self.priority);
            object.put("table", self.table);
            object.put("scope", self.scope);
        }
        object.into()
    }
}

impl Dns {
    fn lower(&self) -> Value {
        let texts = |texts: &[String]| texts.iter().cloned().map(Value::from).collect::<Vec<_>>();
        let mut object = Object::default();
        object.list("nameservers", texts(&self.nameservers));
        object.text("domain", self.domain.as_deref());
        object.list("search", texts(&self.search));
        object.list("options", texts(&self.options));
        object.into()
    }
}

/// A JSON object that leaves out what is absent.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        self.put(key, text.filter(|text| !text.is_empty()));
    }

    fn list(&mut self, key: &str, items: impl IntoIterator<Item = Value>) {
        let items: Vec<_> = items.into_iter().collect();
        self.put(key, (!items.is_empty()).then_some(items));
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ipam_result_is_short() {
        let ips = vec![IpConfig {
            gateway: Some("10.1.2.1".parse().unwrap()),
            ..IpConfig::from("10.1.2.3/24".parse::<IpNet>().unwrap())
        }];
        let result = CniResult { ips, ..CniResult::default() };
        assert_eq!(
            result.lower(SpecVersion::V1_1_0),
            json!({
                "cniVersion": "1.1.0",
                "ips": [{"address": "10.1.2.3/24", "gateway": "10.1.2.1"}],
            }),
        );
        assert_eq!(CniResult::default().lower(SpecVersion::V0_3_0), json!({"cniVersion": "0.3.0"}),);
    }

    #[test]
    fn each_version_has_its_keys() {
        let dst = "0.0.0.0/0".parse().unwrap();
        let result = CniResult {
            interfaces: vec![Interface {
                name: "eth0".into(),
                mac: Some("02:00:00:00:00:01".into()),
                mtu: Some(1500),
                sandbox: Some("/run/netns/a".into()),
                socket_path: Some("/run/vhost".into()),
                pci_id: Some("0000:01:00.0".into()),
            }],
            ips: vec![IpConfig::from("fd00::1/64".parse::<IpNet>().unwrap())],
            routes: vec![Route {
                mtu: Some(1400),
                advmss: Some(1360),
                priority: Some(1),
                table: Some(500),
                scope: Some(253),
                ..Route::new(dst, None)
            }],
            dns: Dns::default(),
        };
        let keys = |version, list: &str| {
            let lowered = result.lower(version);
            let keys: Vec<_> = lowered[list][0].as_object().unwrap().keys().cloned().collect();
            keys.join(" ")
        };
        for version in SpecVersion::ALL {
            let (interface, ip, route) = match version {
                SpecVersion::V0_3_0 | SpecVersion::V0_3_1 | SpecVersion::V0_4_0 => {
                    ("mac name sandbox", "address version", "dst")
                }
                SpecVersion::V1_0_0 => ("mac name sandbox", "address", "dst"),
                SpecVersion::V1_1_0 => (
                    "mac mtu name pciID sandbox socketPath",
                    "address",
                    "advmss dst mtu priority scope table",
                ),
            };
            assert_eq!(keys(version, "interfaces"), interface, "{version}");
            assert_eq!(keys(version, "ips"), ip, "{version}");
            assert_eq!(keys(version, "routes"), route, "{version}");
        }
    }
}
