//! What is said about a pod's networks, from whichever side: the configuration or the cluster.
//!
//! Every field may be left unsaid. The network's own configuration goes before what the pod's
//! annotations say, those before the cluster's facts, and those before the defaults
//! (`the_first_that_speaks_wins`).

use super::key::{BadKey, Entry, Keys};
use ipnet::IpNet;
use serde_json::Value;
use spiderpool_core::intend::{
    Configuration, HostTable, MacPrefix, Mode, PolicyRoute, RpFilter, Setting, VethMtu,
    tx_queue_length, veth_link_address,
};
use spiderpool_core::net::{BadLinkName, LinkName};
use std::error::Error;
use std::net::Ipv4Addr;

/// The pod annotation that names the interface of the default route.
pub(crate) const DEFAULT_ROUTE_NIC: &str = "ipam.spidernet.io/default-route-nic";

/// What is said; `None` is unsaid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// `mode`.
    pub mode: Option<Mode>,
    /// `podDefaultCniNic`: the pod's first interface.
    pub default_nic: Option<LinkName>,
    /// `vethLinkAddress`: an address for the pod's end of the pair.
    pub veth_address: Option<Ipv4Addr>,
    /// `vethMTU`.
    pub veth_mtu: Option<VethMtu>,
    /// `podMACPrefix`.
    pub mac_prefix: Option<MacPrefix>,
    /// `overlayPodCIDR`.
    pub pods: Option<Vec<IpNet>>,
    /// `serviceCIDR`.
    pub services: Option<Vec<IpNet>>,
    /// `hijackCIDR`.
    pub hijacked: Option<Vec<IpNet>>,
    /// `policyRoutes`.
    pub policy_routes: Option<Vec<PolicyRoute>>,
    /// `tunePodRoutes`.
    pub tunes_routes: Option<bool>,
    /// `podDefaultRouteNic`.
    pub default_route: Option<LinkName>,
    /// `hostRuleTable`.
    pub host_table: Option<HostTable>,
    /// `podRPFilter`.
    pub rp_filter: Option<Setting<RpFilter>>,
    /// `txQueueLen`.
    pub tx_queue_length: Option<Setting<u32>>,
    /// `podNics`: every interface that the pod will have.
    pub expected: Option<Vec<LinkName>>,
}

/// The keys that a draft is made of.
pub(crate) const KEYS: [&str; 15] = [
    "mode",
    "podDefaultCniNic",
    "vethLinkAddress",
    "vethMTU",
    "podMACPrefix",
    "overlayPodCIDR",
    "serviceCIDR",
    "hijackCIDR",
    "policyRoutes",
    "tunePodRoutes",
    "podDefaultRouteNic",
    "hostRuleTable",
    "podRPFilter",
    "txQueueLen",
    "podNics",
];

impl Draft {
    /// What an object with the keys of the reference says.
    ///
    /// # Errors
    /// [`BadKey`] for the first value that cannot be used.
    pub(crate) fn read(keys: Keys<'_>) -> Result<Self, BadKey> {
        Ok(Self {
            mode: keys.read("mode", mode)?,
            default_nic: keys.read("podDefaultCniNic", Entry::link)?,
            veth_address: keys.read("vethLinkAddress", veth_address)?.flatten(),
            veth_mtu: keys.read("vethMTU", mtu)?,
            mac_prefix: keys.read("podMACPrefix", mac_prefix)?,
            pods: keys.read("overlayPodCIDR", Entry::prefixes)?,
            services: keys.read("serviceCIDR", Entry::prefixes)?,
            hijacked: keys.read("hijackCIDR", Entry::prefixes)?,
            policy_routes: keys.read("policyRoutes", policy_routes)?,
            tunes_routes: keys.read("tunePodRoutes", Entry::truth)?,
            default_route: keys.read("podDefaultRouteNic", Entry::link)?,
            host_table: keys.read("hostRuleTable", host_table)?,
            rp_filter: keys.read("podRPFilter", rp_filter)?,
            tx_queue_length: keys.read("txQueueLen", queue)?,
            expected: keys.read("podNics", links)?,
        })
    }

    /// What the agent says, with the same keys.
    ///
    /// # Errors
    /// The first value that cannot be used, by its key.
    pub(crate) fn of_agent(said: &Value) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let object = said.as_object().ok_or("the agent's answer is no object")?;
        Ok(Self::read(Keys::of(object))?)
    }

    /// This draft, and where it is silent the other.
    pub(crate) fn over(self, other: Self) -> Self {
        Self {
            mode: self.mode.or(other.mode),
            default_nic: self.default_nic.or(other.default_nic),
            veth_address: self.veth_address.or(other.veth_address),
            veth_mtu: self.veth_mtu.or(other.veth_mtu),
            mac_prefix: self.mac_prefix.or(other.mac_prefix),
            pods: self.pods.or(other.pods),
            services: self.services.or(other.services),
            hijacked: self.hijacked.or(other.hijacked),
            policy_routes: self.policy_routes.or(other.policy_routes),
            tunes_routes: self.tunes_routes.or(other.tunes_routes),
            default_route: self.default_route.or(other.default_route),
            host_table: self.host_table.or(other.host_table),
            rp_filter: self.rp_filter.or(other.rp_filter),
            tx_queue_length: self.tx_queue_length.or(other.tx_queue_length),
            expected: self.expected.or(other.expected),
        }
    }

    /// The configuration that is said; what is unsaid is the core's default. The first interface is
    /// `eth0` unless another is named.
    ///
    /// # Errors
    /// None that can happen: `eth0` is a link's name.
    pub fn configuration(&self) -> Result<Configuration, BadLinkName> {
        let default_nic = self.default_nic.clone().map_or_else(|| LinkName::new("eth0"), Ok)?;
        let default = Configuration::new(default_nic);
        Ok(Configuration {
            mode: self.mode.unwrap_or(default.mode),
            default_nic: default.default_nic,
            veth_link_address: self.veth_address,
            veth_mtu: self.veth_mtu.unwrap_or(default.veth_mtu),
            mac_prefix: self.mac_prefix,
            pod_prefixes: self.pods.clone().unwrap_or_default(),
            service_prefixes: self.services.clone().unwrap_or_default(),
            hijack_prefixes: self.hijacked.clone().unwrap_or_default(),
            policy_routes: self.policy_routes.clone().unwrap_or_default(),
            tunes_routes: self.tunes_routes.unwrap_or(default.tunes_routes),
            default_route_nic: self.default_route.clone(),
            host_table: self.host_table.unwrap_or(default.host_table),
            rp_filter: self.rp_filter.unwrap_or(default.rp_filter),
            tx_queue_length: self.tx_queue_length.unwrap_or(default.tx_queue_length),
        })
    }
}

fn mode(entry: &Entry<'_>) -> Result<Mode, BadKey> {
    let text = entry.text("auto, underlay, overlay or disabled")?;
    Ok(Mode::try_from(text.to_ascii_lowercase().as_str())?)
}

fn veth_address(entry: &Entry<'_>) -> Result<Option<Ipv4Addr>, BadKey> {
    Ok(veth_link_address(entry.text("an IPv4 address such as `169.254.100.1`")?)?)
}

fn mtu(entry: &Entry<'_>) -> Result<VethMtu, BadKey> {
    Ok(VethMtu::try_from(entry.integer("a number of bytes, such as 1500")?)?)
}

fn mac_prefix(entry: &Entry<'_>) -> Result<MacPrefix, BadKey> {
    Ok(MacPrefix::try_from(entry.text("two bytes such as `0a:1b`")?)?)
}

fn policy_routes(entry: &Entry<'_>) -> Result<Vec<PolicyRoute>, BadKey> {
    let wanted = r#"`{"dst": "10.9.0.0/16", "gw": "10.6.0.1"}`"#;
    let route = |item: &Entry<'_>| {
        let (destination, gateway) = (item.part("dst", wanted)?, item.part("gw", wanted)?);
        Ok(PolicyRoute::new(destination.text(wanted)?, gateway.text(wanted)?)?)
    };
    entry.items("a list of routes")?.iter().map(route).collect()
}

fn host_table(entry: &Entry<'_>) -> Result<HostTable, BadKey> {
    Ok(HostTable::try_from(entry.integer("a table's number, such as 500")?)?)
}

fn rp_filter(entry: &Entry<'_>) -> Result<Setting<RpFilter>, BadKey> {
    Ok(Setting::try_from(entry.integer("0, 1, 2, or -1 to leave it as it is")?)?)
}

fn queue(entry: &Entry<'_>) -> Result<Setting<u32>, BadKey> {
    Ok(tx_queue_length(entry.integer("a number of packets, or 0 to leave it as it is")?)?)
}

fn links(entry: &Entry<'_>) -> Result<Vec<LinkName>, BadKey> {
    entry.items("a list of interfaces' names")?.iter().map(Entry::link).collect()
}
