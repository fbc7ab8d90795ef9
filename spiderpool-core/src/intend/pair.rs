//! The two links that join pod and node: a pair of our own, or another plugin's.

use super::mode::Standing;
use super::situation::{Records, Situation};
use super::{Configuration, Reason, Refusal, Style, Tenure, Topology, Want, Wish};
use crate::address::Family;
use crate::net::{Address, HardwareAddress, Link, LinkKind, LinkName, Side, Sysctl, SysctlName};
use crate::plan::{LinkChange, NewKind, NewLink, VethPeer};

/// The name of the pod's end.
pub const POD_END: &str = "veth0";

/// The name of the node's end: `veth` and the first eleven characters of the container's id.
///
/// # Errors
///
/// [`Refusal::BadContainer`] for an id that gives no link's name.
pub fn host_end(container: &str) -> Result<LinkName, Refusal> {
    let head: String = container.chars().take(11).collect();
    LinkName::new(format!("veth{head}"))
        .map_err(|source| Refusal::BadContainer { container: container.to_owned(), source })
}

/// One end of the way between pod and node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) link: LinkName,
    pub(super) mac: HardwareAddress,
}

/// Both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) pod: End,
    pub(super) host: End,
    /// The bytes that the pair takes, where it is another program's and stays as it is.
    pub(super) foreign_mtu: Option<u32>,
}

/// The links that join the pod to its node.
pub(super) fn ends(
    topology: &Topology,
    configuration: &Configuration,
    records: &Records<'_>,
    standing: Standing,
) -> Result<Ends, Refusal> {
    if standing.style == Style::Overlay {
        return overlay_ends(topology, &configuration.default_nic);
    }
    let pod = LinkName::new(POD_END).map_err(|source| Refusal::BadContainer {
        container: topology.container.clone(),
        source,
    })?;
    let host = host_end(&topology.container)?;
    let is_ours = standing.is_first || records.any_underlay();
    if !is_ours && let Some(ends) = foreign_ends(topology, &pod) {
        return Ok(ends);
    }
    refuse_taken(topology, &pod, &host)?;
    let [pod_mac, host_mac] = ["pod", "host"].map(|end| derived_mac(&topology.container, end));
    let (pod, host) = (End { link: pod, mac: pod_mac }, End { link: host, mac: host_mac });
    Ok(Ends { pod, host, foreign_mtu: None })
}

/// A pair that another program made, and of which nothing is recorded.
fn foreign_ends(topology: &Topology, pod: &LinkName) -> Option<Ends> {
    let link = topology.scene.pod.links.get(pod)?;
    let peer = other_end(topology, link)?;
    Some(Ends {
        pod: End { link: link.name.clone(), mac: link.mac.clone()? },
        host: End { link: peer.name.clone(), mac: peer.mac.clone()? },
        foreign_mtu: Some(link.mtu),
    })
}

fn overlay_ends(topology: &Topology, default_nic: &LinkName) -> Result<Ends, Refusal> {
    let refused = |reason| Refusal::NoWayToNode { default_nic: default_nic.clone(), reason };
    let link =
        topology.scene.pod.links.get(default_nic).ok_or_else(|| refused("it is not in the pod"))?;
    if link.kind != LinkKind::Veth {
        return Err(refused("it is no veth"));
    }
    let peer = other_end(topology, link)
        .ok_or_else(|| refused("its other end is not in the node's namespace"))?;
    let end = |link: &Link| {
        let mac = link.mac.clone().ok_or_else(|| refused("it has no hardware address"))?;
        Ok(End { link: link.name.clone(), mac })
    };
    Ok(Ends { pod: end(link)?, host: end(peer)?, foreign_mtu: None })
}

/// The host's link at the other end of a pod's veth. Indices are counted per namespace, so both ends
/// must name each other.
fn other_end<'a>(topology: &'a Topology, link: &Link) -> Option<&'a Link> {
    let index = link.parent.as_ref()?.index;
    topology.scene.host.links.values().find(|peer| {
        let is_back = peer.parent.as_ref().is_none_or(|parent| parent.index == link.index);
        peer.index == index && peer.kind == LinkKind::Veth && is_back
    })
}

/// Refuses names that other links have.
fn refuse_taken(topology: &Topology, pod: &LinkName, host: &LinkName) -> Result<(), Refusal> {
    let taken = |side, link: &LinkName, reason: String| {
        Err(Refusal::LinkTaken { side, link: link.clone(), reason })
    };
    let end = topology.scene.pod.links.get(pod);
    if let Some(link) = end
        && link.kind != LinkKind::Veth
    {
        return taken(Side::Pod, pod, format!("it is a link of kind `{}`", link.kind.name()));
    }
    let Some(peer) = topology.scene.host.links.get(host) else { return Ok(()) };
    let Some(link) = end else {
        return taken(Side::Host, host, "it is not this pod's, which has no pair".to_owned());
    };
    match other_end(topology, link) {
        Some(found) if found.name == peer.name => Ok(()),
        None if link.parent.is_none() => Ok(()),
        _ => taken(Side::Host, host, "it is not the other end of this pod's pair".to_owned()),
    }
}

/// A hardware address of one station, locally administered, which depends on the container's id alone:
/// what udev or a retry does cannot change it.
///
/// The hash is FNV-1a with 64 bits, which is the same on every machine and in every version.
pub(super) fn derived_mac(container: &str, end: &str) -> HardwareAddress {
    let hash = container
        .bytes()
        .chain([0])
        .chain(end.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let [_, _, first, rest @ ..] = (hash ^ (hash >> 48)).to_be_bytes();
    let mut bytes = vec![(first & 0xfc) | 0x02];
    bytes.extend(rest);
    HardwareAddress(bytes)
}

/// The text by which a link is known to be ours, and whose.
pub(super) fn alias(container: &str) -> String {
    format!("spiderpool:{container}")
}

/// The pair is there, up, and has its address. Every attachment wishes it, so that it outlives the first.
pub(super) fn wishes(situation: &Situation<'_>) -> Vec<Wish> {
    if situation.standing.style != Style::Underlay {
        return Vec::new();
    }
    let ends = &situation.ends;
    let shared = situation.shared_configuration();
    let wish = |side, want| Wish { side, want, tenure: Tenure::Pod, reason: Reason::Pair };
    let up = |link: &LinkName| Want::Setting { link: link.clone(), change: LinkChange::Up(true) };
    let mut wishes = vec![
        wish(Side::Pod, Want::Link(new_link(situation))),
        wish(Side::Host, up(&ends.host.link)),
        wish(Side::Pod, up(&ends.pod.link)),
    ];
    if situation.has_host_v6() {
        let name = SysctlName::AcceptRouterAdvertisements;
        let sysctl = Sysctl::link(Family::V6, ends.host.link.clone(), name);
        wishes.push(wish(Side::Host, Want::Sysctl(sysctl, 0)));
    }
    if let Some(address) = shared.veth_link_address
        && situation.shared_families.contains(&Family::V4)
    {
        let address = Address::new(ends.pod.link.clone(), std::net::IpAddr::V4(address).into());
        wishes.push(wish(Side::Pod, Want::Address(address)));
    }
    wishes
}

/// The pair, both ends with all that they have from the start: nobody sees another hardware address.
fn new_link(situation: &Situation<'_>) -> NewLink {
    let ends = &situation.ends;
    let bytes =
        ends.foreign_mtu.unwrap_or_else(|| situation.shared_configuration().veth_mtu.bytes());
    let mtu = Some(bytes);
    let alias = ends.foreign_mtu.is_none().then(|| alias(&situation.topology.container));
    let peer = VethPeer {
        name: ends.host.link.clone(),
        mtu,
        mac: Some(ends.host.mac.clone()),
        alias: alias.clone(),
    };
    let (name, mac) = (ends.pod.link.clone(), Some(ends.pod.mac.clone()));
    NewLink { name, kind: NewKind::Veth(peer), mtu, mac, alias }
}
