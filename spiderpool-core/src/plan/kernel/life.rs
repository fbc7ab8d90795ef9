//! What happens to all that is on a link when the link goes down, up, away, or loses IPv6.
//!
//! Called by the ops on links, addresses and settings. Sources: `addrconf_notify` and `addrconf_ifdown`
//! (`net/ipv6/addrconf.c`), `fib_netdev_event` and `fib_disable_ip` (`net/ipv4/fib_frontend.c`),
//! `rt6_disable_ip` (`net/ipv6/route.c`), `neigh_ifdown` (`net/core/neighbour.c`).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::derived::{is_bond_port, settle, speaks_v6, tables};
use super::journal::Journal;
use super::lookup::{addresses, below, dependents, link_local, neighbours};
use super::route::drops;
use crate::address::Family;
use crate::net::{
    Address, Link, LinkKind, LinkName, NeighbourState, Route, Scope, Side, Sysctl, SysctlPlace,
    table,
};

/// Why routes over a link go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The link is down: routes stay that have another way, and IPv4 ones to the host itself.
    Down,
    /// The link, or IPv4 on it, is gone.
    Gone,
}

/// Takes the routes of a family that leave by a link.
pub(super) fn drop_routes(
    journal: &mut Journal<'_>,
    side: Side,
    device: &LinkName,
    family: Family,
    cause: Cause,
) {
    // What IPv6 drops, it drops at loopback.
    let is_loopback = family == Family::V6 && &**device == "lo";
    let leaving = |route: &&Route| {
        let leaves = route.leaves_by(device) || is_loopback && drops(route.kind);
        route.family() == family && leaves
    };
    let routes: Vec<Route> = journal.side(side).routes.iter().filter(leaving).cloned().collect();
    for route in routes {
        match rest(journal, side, device, &route, cause) {
            None => journal.drop_route(side, &route),
            Some(rest) => journal.replace_route(side, &route, rest),
        }
    }
}

/// What is left of a route over a link.
fn rest(
    journal: &Journal<'_>,
    side: Side,
    device: &LinkName,
    route: &Route,
    cause: Cause,
) -> Option<Route> {
    let observed = journal.side(side);
    let is_v4 = route.family() == Family::V4;
    if cause == Cause::Down && is_v4 && route.scope == Scope::Host {
        return Some(route.clone());
    }
    let is_usable = |link: &Link| link.is_up && (is_v4 || speaks_v6(observed, link));
    let lives = |name: &LinkName| name != device && observed.links.get(name).is_some_and(is_usable);
    let has_other = route.hops.iter().any(|hop| hop.device.as_ref().is_some_and(lives));
    match cause {
        Cause::Down => has_other.then(|| route.clone()),
        // IPv4 has no route without its link; IPv6 loses the hop.
        Cause::Gone if is_v4 => None,
        Cause::Gone => {
            let mut rest = route.clone();
            rest.hops.retain(|hop| hop.device.as_ref() != Some(device));
            (!rest.hops.is_empty()).then_some(rest)
        }
    }
}

/// Takes the neighbours of a family on a link; proxies too, unless only its hardware address changed.
pub(super) fn drop_neighbours(
    journal: &mut Journal<'_>,
    side: Side,
    device: &LinkName,
    family: Family,
    with_proxies: bool,
) {
    let found: Vec<_> = neighbours(journal.side(side), device)
        .filter(|neighbour| Family::of(neighbour.address) == family)
        .filter(|neighbour| with_proxies || neighbour.state != NeighbourState::Proxy)
        .cloned()
        .collect();
    for neighbour in &found {
        journal.drop_neighbour(side, neighbour);
    }
}

/// IPv6 ends on a link: its addresses, routes and neighbours go.
pub(super) fn end_v6(journal: &mut Journal<'_>, side: Side, device: &LinkName, cause: Cause) {
    drop_routes(journal, side, device, Family::V6, cause);
    let own: Vec<Address> = addresses(journal.side(side), device)
        .filter(|address| address.family() == Family::V6)
        .cloned()
        .collect();
    for address in &own {
        journal.drop_address(side, address);
        forget_source(journal, side, address);
    }
    drop_neighbours(journal, side, device, Family::V6, true);
}

/// IPv4 ends on a link that goes down: its routes and neighbours go, its addresses stay.
pub(super) fn end_v4(journal: &mut Journal<'_>, side: Side, device: &LinkName, cause: Cause) {
    drop_routes(journal, side, device, Family::V4, cause);
    drop_neighbours(journal, side, device, Family::V4, true);
}

/// Takes everything that is on a link, as it leaves its namespace.
pub(super) fn strip(journal: &mut Journal<'_>, side: Side, device: &LinkName) {
    end_v6(journal, side, device, Cause::Gone);
    end_v4(journal, side, device, Cause::Gone);
    let own: Vec<Address> = addresses(journal.side(side), device).cloned().collect();
    for address in &own {
        journal.drop_address(side, address);
        forget_source(journal, side, address);
    }
    forget_settings(journal, side, device, &Family::BOTH);
}

/// The settings of a link go with it.
pub(super) fn forget_settings(
    journal: &mut Journal<'_>,
    side: Side,
    device: &LinkName,
    families: &[Family],
) {
    let place = SysctlPlace::Link(device.clone());
    let found: Vec<Sysctl> = journal
        .side(side)
        .sysctls
        .keys()
        .filter(|setting| setting.place == place && families.contains(&setting.family))
        .cloned()
        .collect();
    for setting in &found {
        journal.set_sysctl(side, setting, None);
    }
}

/// A link gets settings like those for new links, as far as these are known.
pub(super) fn inherit_settings(
    journal: &mut Journal<'_>,
    side: Side,
    device: &LinkName,
    families: &[Family],
) {
    let found: Vec<(Sysctl, i64)> = journal
        .side(side)
        .sysctls
        .iter()
        .filter(|(setting, _)| setting.place == SysctlPlace::Default)
        .filter(|(setting, _)| families.contains(&setting.family))
        .map(|(setting, value)| (setting.clone(), *value))
        .collect();
    for (setting, value) in found {
        let own = Sysctl { place: SysctlPlace::Link(device.clone()), ..setting };
        journal.set_sysctl(side, &own, Some(value));
    }
}

/// Routes with an address that is nowhere any more as their source: IPv4 ones of the main table go
/// (`fib_sync_down_addr`), IPv6 ones over the address's link lose it (`rt6_remove_prefsrc`).
pub(super) fn forget_source(journal: &mut Journal<'_>, side: Side, address: &Address) {
    let ip = address.net.addr();
    let observed = journal.side(side);
    let device = &address.device;
    let is_v4 = address.family() == Family::V4;
    if is_v4 && observed.addresses.iter().any(|other| other.net.addr() == ip) {
        return;
    }
    let main = observed.links.get(device).map_or(table::MAIN, |link| tables(observed, link).0);
    let concerned = |route: &&Route| {
        let is_near = if is_v4 { route.table == main } else { route.leaves_by(device) };
        route.source == Some(ip) && is_near
    };
    let routes: Vec<Route> = observed.routes.iter().filter(concerned).cloned().collect();
    for route in routes {
        if is_v4 {
            journal.drop_route(side, &route);
        } else {
            journal.replace_route(side, &route, Route { source: None, ..route.clone() });
        }
    }
}

/// IPv6 begins on a link that is up and carries: it gets its link-local address (RFC 4862, section 5.3).
pub(super) fn begin_v6(journal: &mut Journal<'_>, side: Side, device: &LinkName) {
    let observed = journal.side(side);
    let Some(link) = observed.links.get(device) else { return };
    let is_ready = link.is_up && link.has_carrier && &*link.name != "lo";
    if !is_ready || !speaks_v6(observed, link) || is_bond_port(observed, link) {
        return;
    }
    let mut own = addresses(observed, device);
    let has_one = own.any(|address| match address.net.addr() {
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    });
    drop(own);
    let Some(ip) = link.mac.as_ref().and_then(link_local).filter(|_| !has_one) else { return };
    let net = Ipv6Net::new(ip, 64).unwrap_or_default();
    let address = Address { scope: Scope::Link, ..Address::new(device.clone(), IpNet::V6(net)) };
    settle(journal, side, device, |journal| journal.add_address(side, address));
}

/// Sees to the carrier of a link and of those that depend on it.
pub(super) fn refresh_carrier(journal: &mut Journal<'_>, side: Side, device: &LinkName) {
    let mut queue = dependents(journal.scene(), side, device);
    queue.insert(0, (side, device.clone()));
    for (side, name) in queue {
        let Some(link) = journal.side(side).links.get(&name) else { continue };
        let carries = carrier(journal, side, &name);
        if link.has_carrier == carries {
            continue;
        }
        settle(journal, side, &name, |journal| {
            journal.change_link(side, &name, |link| link.has_carrier = carries);
        });
        if carries {
            begin_v6(journal, side, &name);
        }
        if name != *device {
            refresh_above(journal, side, &name);
        }
    }
}

/// The links that rest on one whose carrier changed (a pair's other end does not).
fn refresh_above(journal: &mut Journal<'_>, side: Side, device: &LinkName) {
    for (at, name) in dependents(journal.scene(), side, device) {
        let is_pair =
            journal.side(at).links.get(&name).is_some_and(|link| link.kind == LinkKind::Veth);
        if !is_pair {
            refresh_carrier(journal, at, &name);
        }
    }
}

/// Whether a link carries: it is up, and so is what it rests on or is paired with. What is not seen is
/// taken to carry.
fn carrier(journal: &Journal<'_>, side: Side, device: &LinkName) -> bool {
    let Some(link) = journal.side(side).links.get(device) else { return false };
    if !link.is_up {
        return false;
    }
    let Some((at, name)) = below(journal.scene(), side, link) else { return true };
    let Some(lower) = journal.side(at).links.get(&name) else { return true };
    if link.kind == LinkKind::Veth { lower.is_up } else { lower.is_up && lower.has_carrier }
}
