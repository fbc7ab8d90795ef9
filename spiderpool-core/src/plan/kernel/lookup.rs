//! Questions to a scene: which links belong together, and what is on a link.
//!
//! Everything here reads. Called by the model and by the planner.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Bound;

use ipnet::{IpNet, Ipv4Net};

use crate::address::Family;
use crate::net::{
    Address, AddressFlags, HardwareAddress, Link, LinkKind, LinkName, Neighbour, NeighbourState,
    Observed, Parent, Route, RouteProtocol, RouteType, Scene, Scope, Side,
};

/// The link below a link or at the other end of its pair, if it is in one of the two namespaces.
pub(in crate::plan) fn below(scene: &Scene, side: Side, link: &Link) -> Option<(Side, LinkName)> {
    let parent = link.parent.as_ref()?;
    if let Some(name) = &parent.name {
        return scene.side(side).links.contains_key(name).then(|| (side, name.clone()));
    }
    parent.netns_id?;
    let is_pair = link.kind == LinkKind::Veth;
    let found = scene.side(side.other()).links.values().find(|other| {
        other.index == parent.index
            && match (&other.kind, &other.parent) {
                (LinkKind::Veth, Some(back)) if is_pair => back.index == link.index,
                _ => !is_pair,
            }
    })?;
    Some((side.other(), found.name.clone()))
}

/// The links that go when a link goes: those that rest on it, and the other end of its pair.
pub(super) fn dependents(scene: &Scene, side: Side, name: &LinkName) -> Vec<(Side, LinkName)> {
    let mut found = Vec::new();
    for from in [side, side.other()] {
        for link in scene.side(from).links.values().filter(|link| link.parent.is_some()) {
            let rests = below(scene, from, link);
            if rests.as_ref().is_some_and(|(at, below)| *at == side && below == name) {
                found.push((from, link.name.clone()));
            }
        }
    }
    found
}

/// How a link at `from` refers to a link at `to`.
pub(super) fn refer(from: Side, to: Side, link: &Link) -> Parent {
    let is_near = from == to;
    Parent {
        name: is_near.then(|| link.name.clone()),
        index: link.index,
        netns_id: (!is_near).then_some(0),
    }
}

/// The addresses of a link.
pub(super) fn addresses<'a>(
    observed: &'a Observed,
    device: &'a LinkName,
) -> impl Iterator<Item = &'a Address> {
    let first = Address {
        device: device.clone(),
        net: lowest(),
        peer: None,
        broadcast: None,
        scope: Scope::Universe,
        flags: AddressFlags::default(),
    };
    let from = (Bound::Included(first), Bound::Unbounded);
    observed.addresses.range(from).take_while(move |address| address.device == *device)
}

/// The neighbours on a link.
pub(super) fn neighbours<'a>(
    observed: &'a Observed,
    device: &'a LinkName,
) -> impl Iterator<Item = &'a Neighbour> {
    let first = Neighbour {
        device: device.clone(),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        mac: None,
        state: NeighbourState::Permanent,
        protocol: RouteProtocol::UNSPECIFIED,
    };
    let from = (Bound::Included(first), Bound::Unbounded);
    observed.neighbours.range(from).take_while(move |neighbour| neighbour.device == *device)
}

/// The routes that the kernel would not keep beside a route when it is added exclusively: those with the
/// same destination, table, metric and, in IPv4, type of service (`fib_table_insert`,
/// `fib6_add_rt2node`).
pub(in crate::plan) fn rivals<'a>(
    observed: &'a Observed,
    route: &'a Route,
) -> impl Iterator<Item = &'a Route> {
    let is_v6 = route.family() == Family::V6;
    with_metric(observed, route).filter(move |other| is_v6 || other.tos == route.tos)
}

fn with_metric<'a>(observed: &'a Observed, route: &'a Route) -> impl Iterator<Item = &'a Route> {
    let first = Route {
        metric: route.metric,
        kind: RouteType::Unicast,
        ..Route::new(route.destination.trunc(), route.table)
    };
    let first = Route { protocol: RouteProtocol::UNSPECIFIED, ..first };
    let is_same = move |other: &&Route| {
        (other.destination, other.table, other.metric)
            == (route.destination.trunc(), route.table, route.metric)
    };
    observed.routes.range((Bound::Included(first), Bound::Unbounded)).take_while(is_same)
}

/// The neighbour in the place of another: of the same link and address, and also a proxy or also none.
pub(in crate::plan) fn in_place_of<'a>(
    observed: &'a Observed,
    neighbour: &'a Neighbour,
) -> Option<&'a Neighbour> {
    let is_proxy = |one: &Neighbour| one.state == NeighbourState::Proxy;
    neighbours(observed, &neighbour.device)
        .find(|other| other.address == neighbour.address && is_proxy(other) == is_proxy(neighbour))
}

/// The link-local address that a link with a hardware address gets (RFC 4291, appendix A).
pub(in crate::plan) fn link_local(mac: &HardwareAddress) -> Option<std::net::Ipv6Addr> {
    let [a, b, c, d, e, f] = *mac.0.as_slice() else { return None };
    let words = [[0xfe, 0x80], [0, 0], [0, 0], [0, 0], [a ^ 2, b], [c, 0xff], [0xfe, d], [e, f]];
    Some(std::net::Ipv6Addr::from(words.map(u16::from_be_bytes)))
}

fn lowest() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}

/// The index that a new link would get.
pub(super) fn next_index(observed: &Observed) -> u32 {
    observed.links.values().map(|link| link.index).max().unwrap_or(0) + 1
}
