//! Makes a link again that is gone.

use std::collections::BTreeMap;

use super::{NewKind, NewLink, Op, VethPeer};
use crate::net::{Link, LinkKind, LinkName, Scene, Side};

/// The ops that make a link again as it was; none if it cannot be made, or what it rests on is missing.
///
/// A child of a link of the other namespace is made beside its parent, and moved.
pub(super) fn remake(
    scene: &Scene,
    side: Side,
    link: &Link,
    gone: &BTreeMap<(Side, LinkName), Link>,
) -> Vec<(Side, Op)> {
    let make = |at: Side, kind: NewKind| (at, Op::CreateLink(new(link, kind)));
    let free = match &link.kind {
        LinkKind::Veth => peer(side, link, gone).map(NewKind::Veth),
        LinkKind::Bond(bond) => Some(NewKind::Bond(bond.clone())),
        LinkKind::Dummy => Some(NewKind::Dummy),
        LinkKind::Vrf(table) => Some(NewKind::Vrf(*table)),
        LinkKind::Vlan(_) | LinkKind::Macvlan(_) | LinkKind::Ipvlan(_) => None,
        // What else a bridge, a partition or an unknown kind has is not observed.
        LinkKind::Bridge | LinkKind::Plain | LinkKind::Ipoib { .. } | LinkKind::Other(_) => {
            return Vec::new();
        }
    };
    if let Some(kind) = free {
        return vec![make(side, kind)];
    }
    let Some((at, parent)) = parent(scene, side, link, gone) else { return Vec::new() };
    let kind = match &link.kind {
        LinkKind::Vlan(vlan) => NewKind::Vlan { parent, vlan: *vlan },
        LinkKind::Macvlan(macvlan) => NewKind::Macvlan { parent, macvlan: *macvlan },
        LinkKind::Ipvlan(ipvlan) => NewKind::Ipvlan { parent, ipvlan: *ipvlan },
        LinkKind::Veth
        | LinkKind::Bond(_)
        | LinkKind::Dummy
        | LinkKind::Vrf(_)
        | LinkKind::Bridge
        | LinkKind::Plain
        | LinkKind::Ipoib { .. }
        | LinkKind::Other(_) => return Vec::new(),
    };
    let mut ops = vec![make(at, kind)];
    if at != side {
        let (name, target) = (link.name.clone(), link.name.clone());
        ops.push((at, Op::MoveLink { name, target }));
    }
    ops
}

fn new(link: &Link, kind: NewKind) -> NewLink {
    // A VLAN and an ipvlan have their parent's hardware address unless they are told otherwise.
    let mac = link.mac.clone();
    NewLink { name: link.name.clone(), kind, mtu: Some(link.mtu), mac, alias: link.alias.clone() }
}

/// The other end of a pair, if it went along and was in the other namespace.
fn peer(side: Side, link: &Link, gone: &BTreeMap<(Side, LinkName), Link>) -> Option<VethPeer> {
    let index = link.parent.as_ref()?.index;
    let is_it = |other: &&Link| {
        let back = other.parent.as_ref().map(|parent| parent.index);
        other.kind == LinkKind::Veth && other.index == index && back == Some(link.index)
    };
    let near = |at: &Side| *at == side.other();
    let found = gone.iter().filter(|((at, _), _)| near(at)).map(|(_, other)| other).find(is_it)?;
    Some(VethPeer {
        name: found.name.clone(),
        mtu: Some(found.mtu),
        mac: found.mac.clone(),
        alias: found.alias.clone(),
    })
}

/// Where a link's parent is: it may have gone along, and come back under another index.
fn parent(
    scene: &Scene,
    side: Side,
    link: &Link,
    gone: &BTreeMap<(Side, LinkName), Link>,
) -> Option<(Side, LinkName)> {
    let parent = link.parent.as_ref()?;
    if let Some(name) = &parent.name {
        return Some((side, name.clone()));
    }
    let far = side.other();
    let went = gone.iter().find(|((at, _), other)| *at == far && other.index == parent.index);
    let went = went.map(|(_, other)| other);
    let stays = || scene.side(far).links.values().find(|other| other.index == parent.index);
    went.or_else(stays).map(|other| (far, other.name.clone()))
}
