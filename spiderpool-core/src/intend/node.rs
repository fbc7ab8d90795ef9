//! The node's own addresses, which a pod reaches through its node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::mode::is_founder;
use super::situation::Records;
use super::{POD_END, Topology};
use crate::address::Family;
use crate::net::{Address, Observed};

/// Links whose addresses are not the node's: bridges and ends that others make for containers.
const OTHERS: [&str; 12] = [
    "docker",
    "cbr",
    "dummy",
    "virbr",
    "lxcbr",
    "veth",
    "cali",
    "flannel",
    "kube-ipvs",
    "cni",
    "vx-submariner",
    "cilium",
];

/// The node's addresses, and the one of each family that serves as gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Node {
    /// Each once, those from which the node reaches the pod first.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) gateways: BTreeMap<Family, IpAddr>,
}

/// The node as a pod's attachments see it, in these families.
pub(super) fn node(topology: &Topology, records: &Records<'_>, families: &[Family]) -> Node {
    let toward = pod_addresses(&topology.scene.pod)
        .into_iter()
        .filter_map(|address| topology.toward.get(&address).copied())
        .filter(is_sensible);
    let own = by_link(&topology.scene.host, is_node_link);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in toward.chain(own) {
        if families.contains(&Family::of(address)) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let gateways = families
        .iter()
        .filter_map(|family| Some((*family, gateway(*family, &addresses, records)?)))
        .collect();
    Node { addresses, gateways }
}

/// The gateway that the pod's first attachment has, for as long as it is the node's; then this one's
/// own; then the address from which the node reaches the pod.
fn gateway(family: Family, addresses: &[IpAddr], records: &Records<'_>) -> Option<IpAddr> {
    let founders = records.others.iter().copied().filter(|record| is_founder(record));
    let recorded = founders.chain(records.own).chain(records.others.iter().copied());
    recorded
        .filter_map(|record| record.gateways.get(&family))
        .find(|address| addresses.contains(address))
        .or_else(|| addresses.iter().find(|address| Family::of(**address) == family))
        .copied()
}

/// The pod's addresses in the order of its links; those of the pair to the node do not count.
fn pod_addresses(pod: &Observed) -> Vec<IpAddr> {
    by_link(pod, |name| name != "lo" && name != POD_END)
}

/// The usable addresses of the links that are asked for, in the order of the links' indices.
fn by_link(observed: &Observed, is_asked: impl Fn(&str) -> bool) -> Vec<IpAddr> {
    let mut found: Vec<(u32, &Address)> = observed
        .addresses
        .iter()
        .filter(|address| address.is_usable() && !address.flags.has_dad_failed)
        .filter(|address| is_asked(&address.device))
        .filter_map(|address| Some((observed.links.get(&address.device)?.index, address)))
        .collect();
    found.sort_by_key(|(index, address)| (*index, address.flags.is_secondary, address.net.addr()));
    found.into_iter().map(|(_, address)| address.net.addr()).collect()
}

fn is_node_link(name: &str) -> bool {
    name != "lo" && !OTHERS.iter().any(|prefix| name.starts_with(prefix))
}

/// A route look-up without a source answers with nothing, or with the unspecified address.
fn is_sensible(address: &IpAddr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
}
