//! What the kernel makes of a link's addresses by itself: connected, local, broadcast, anycast and
//! multicast routes.
//!
//! Owns the rule that [`settle`] keeps: a route that follows from the addresses of a link comes when they
//! come and goes when they go (`fib_add_ifaddr` and `fib_del_ifaddr` in `net/ipv4/fib_frontend.c`,
//! `net/ipv6/addrconf.c`). Checked by `addresses_make_routes` and against the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::journal::Journal;
use super::lookup::addresses;
use crate::address::Family;
use crate::net::{
    Address, Hop, Link, LinkKind, LinkName, Observed, Route, RouteProtocol, RouteType, Scope, Side,
    Sysctl, SysctlName, SysctlPlace, table,
};

/// The least MTU with which a link has IPv6 (RFC 8200, section 5).
pub(super) const V6_MTU: u32 = 1280;

/// Does something to the addresses or the state of a link, and settles the routes that follow from them.
pub(super) fn settle(
    journal: &mut Journal<'_>,
    side: Side,
    device: &LinkName,
    change: impl FnOnce(&mut Journal<'_>),
) {
    let before = derived(journal.side(side), device);
    change(journal);
    let after = derived(journal.side(side), device);
    for route in before.difference(&after) {
        journal.drop_route(side, route);
    }
    for route in after.difference(&before) {
        journal.add_route(side, route.clone());
    }
}

/// All routes that follow from the addresses of a link as it is.
pub(super) fn derived(observed: &Observed, device: &LinkName) -> BTreeSet<Route> {
    let Some(link) = observed.links.get(device) else { return BTreeSet::new() };
    let mut routes = BTreeSet::new();
    let has_v6 = speaks_v6(observed, link);
    for address in addresses(observed, device) {
        match address.net {
            IpNet::V4(net) => routes.extend(of_v4(observed, link, address, net)),
            IpNet::V6(net) if has_v6 => routes.extend(of_v6(observed, link, address, net)),
            IpNet::V6(_) => {}
        }
    }
    if link.is_up && has_v6 && has_groups(observed, link) {
        routes.insert(groups(observed, link));
    }
    routes
}

/// Whether a link has IPv6 at all: it is not disabled, and the MTU is large enough.
pub(super) fn speaks_v6(observed: &Observed, link: &Link) -> bool {
    let setting = Sysctl::link(Family::V6, link.name.clone(), SysctlName::DisableIpv6);
    link.mtu >= V6_MTU && observed.sysctls.get(&setting).is_none_or(|value| *value == 0)
}

/// Whether a link is a port of a bond, which then has the IPv6 addresses.
pub(super) fn is_bond_port(observed: &Observed, link: &Link) -> bool {
    let controller = link.controller.as_ref().and_then(|name| observed.links.get(name));
    controller.is_some_and(|controller| matches!(controller.kind, LinkKind::Bond(_)))
}

/// A carrier, once had, keeps the groups until the link goes down.
fn has_groups(observed: &Observed, link: &Link) -> bool {
    if is_bond_port(observed, link) || &*link.name == "lo" {
        return false;
    }
    link.has_carrier || observed.routes.contains(&groups(observed, link))
}

/// The tables that a link's connected and local routes are in: those of its VRF, if it is in one.
pub(super) fn tables(observed: &Observed, link: &Link) -> (u32, u32) {
    let controller = link.controller.as_ref().and_then(|name| observed.links.get(name));
    match controller.map(|controller| &controller.kind) {
        Some(LinkKind::Vrf(table)) => (*table, *table),
        _ => (table::MAIN, table::LOCAL),
    }
}

fn made(destination: IpNet, table: u32, metric: u32, device: &LinkName) -> Route {
    Route {
        metric,
        hops: vec![Hop::on(device.clone())],
        protocol: RouteProtocol::KERNEL,
        ..Route::new(destination, table)
    }
}

fn of_v4(observed: &Observed, link: &Link, address: &Address, net: Ipv4Net) -> Vec<Route> {
    let (main, local) = tables(observed, link);
    let source = Some(IpAddr::V4(primary(observed, address, net)));
    let route = |destination, table, kind, scope| Route {
        kind,
        scope,
        source,
        ..made(IpNet::V4(destination), table, 0, &link.name)
    };
    let host = |address| Ipv4Net::from(address);
    let mut routes = vec![route(host(net.addr()), local, RouteType::Local, Scope::Host)];
    if !link.is_up {
        return routes;
    }
    let broadcast = |at| route(host(at), local, RouteType::Broadcast, Scope::Link);
    let limited = Ipv4Addr::BROADCAST;
    routes.extend(address.broadcast.filter(|at| *at != limited).map(broadcast));
    let connected = prefix_v4(address, net);
    let is_host = connected.prefix_len() == 32 && connected.addr() == net.addr();
    if address.flags.is_secondary || is_host || connected.addr().octets()[0] == 0 {
        return routes;
    }
    if !address.flags.has_no_prefix_route {
        let (table, kind, scope) = if &*link.name == "lo" {
            (local, RouteType::Local, Scope::Host)
        } else {
            (main, RouteType::Unicast, Scope::Link)
        };
        routes.push(route(connected, table, kind, scope));
    }
    if connected.prefix_len() < 31 {
        routes.push(broadcast(connected.broadcast()));
    }
    routes
}

/// The prefix that an address of IPv4 connects to: its peer's, if it has one.
pub(super) fn prefix_v4(address: &Address, net: Ipv4Net) -> Ipv4Net {
    let far = match address.peer {
        Some(IpAddr::V4(peer)) => peer,
        Some(IpAddr::V6(_)) | None => net.addr(),
    };
    Ipv4Net::new(far, net.prefix_len()).unwrap_or(net).trunc()
}

/// The first address of the prefix: what is sent from it, and what its secondaries go with.
fn primary(observed: &Observed, address: &Address, net: Ipv4Net) -> Ipv4Addr {
    if !address.flags.is_secondary {
        return net.addr();
    }
    let prefix = prefix_v4(address, net);
    addresses(observed, &address.device)
        .filter(|other| !other.flags.is_secondary)
        .find_map(|other| match other.net {
            IpNet::V4(first) if prefix_v4(other, first) == prefix => Some(first.addr()),
            IpNet::V4(_) | IpNet::V6(_) => None,
        })
        .unwrap_or(net.addr())
}

fn of_v6(observed: &Observed, link: &Link, address: &Address, net: Ipv6Net) -> Vec<Route> {
    let (main, local) = tables(observed, link);
    let own = |at: Ipv6Addr, kind| Route {
        kind,
        ..made(IpNet::V6(Ipv6Net::from(at)), local, 0, &link.name)
    };
    let mut routes = Vec::new();
    // While the link is down, duplicate address detection waits, and with it what is the address's own.
    if !link.is_up && !address.flags.has_no_dad {
        return routes;
    }
    routes.push(own(net.addr(), RouteType::Local));
    let is_loopback = &*link.name == "lo";
    if net.prefix_len() < 127 && !is_loopback && forwards(observed, link) {
        routes.push(own(net.trunc().addr(), RouteType::Anycast));
    }
    if link.is_up && !address.flags.has_no_prefix_route && !is_loopback {
        routes.push(made(IpNet::V6(prefix_v6(address, net)), main, 256, &link.name));
    }
    routes
}

fn prefix_v6(address: &Address, net: Ipv6Net) -> Ipv6Net {
    match address.peer {
        Some(IpAddr::V6(peer)) => Ipv6Net::new(peer, net.prefix_len()).unwrap_or(net).trunc(),
        Some(IpAddr::V4(_)) | None => net.trunc(),
    }
}

fn forwards(observed: &Observed, link: &Link) -> bool {
    let at = |place| Sysctl { family: Family::V6, place, name: SysctlName::Forwarding };
    let own = observed.sysctls.get(&at(SysctlPlace::Link(link.name.clone())));
    own.or_else(|| observed.sysctls.get(&at(SysctlPlace::All))).is_some_and(|value| *value != 0)
}

/// The route to all multicast groups of IPv6 (`addrconf_add_mroute`).
pub(super) fn groups(observed: &Observed, link: &Link) -> Route {
    let (_, local) = tables(observed, link);
    let all = Ipv6Net::new(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).unwrap_or_default();
    Route { kind: RouteType::Multicast, ..made(IpNet::V6(all), local, 256, &link.name) }
}
