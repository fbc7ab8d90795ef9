//! Whether a gateway can be reached by the link that a route over it leaves by.
//!
//! Sources: `fib_check_nh_v4_gw` (`net/ipv4/fib_semantics.c`), `ip6_validate_gw` and
//! `ip6_route_check_nh` (`net/ipv6/route.c`). Both look in the route's own table first, then as for any
//! packet of the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Errno, KernelRefusal};
use crate::address::Family;
use crate::net::{Hop, LinkName, Observed, Route, RouteType, Rule, RuleAction, Scope};

pub(super) fn check_v4(
    observed: &Observed,
    table: u32,
    hop: &Hop,
    gateway: Ipv4Addr,
) -> Result<(), KernelRefusal> {
    if hop.is_onlink {
        return Ok(());
    }
    let refused = Errno::NetworkUnreachable.because("its gateway is not on a connected subnet");
    let device = hop.device.as_ref();
    let in_table = |table| best(observed, table, IpAddr::V4(gateway), device, is_near_v4);
    let found = in_table(table).or_else(|| walk(observed, Family::V4, in_table));
    match found.ok_or(refused)?.kind {
        RouteType::Unicast | RouteType::Local => Ok(()),
        RouteType::Broadcast
        | RouteType::Anycast
        | RouteType::Multicast
        | RouteType::Blackhole
        | RouteType::Unreachable
        | RouteType::Prohibit
        | RouteType::Throw
        | RouteType::Other(_) => Err(Errno::Invalid.because("its gateway is no single station")),
    }
}

/// Routes over a gateway are of a wider scope, and lead to no gateway.
fn is_near_v4(route: &Route) -> bool {
    u8::from(route.scope) >= u8::from(Scope::Link) && !super::route::drops(route.kind)
}

pub(super) fn check_v6(
    observed: &Observed,
    table: u32,
    hop: &Hop,
    gateway: Ipv6Addr,
) -> Result<(), KernelRefusal> {
    let is_link_local = gateway.is_unicast_link_local();
    let is_here = observed.addresses.iter().any(|address| {
        address.net.addr() == IpAddr::V6(gateway)
            && (!is_link_local || Some(&address.device) == hop.device.as_ref())
    });
    if is_here {
        return Err(Errno::Invalid.because("its gateway is an address of this namespace"));
    }
    if is_link_local || hop.is_onlink {
        return Ok(());
    }
    let in_table =
        |table| best(observed, table, IpAddr::V6(gateway), hop.device.as_ref(), |_| true);
    let is_near = |route: &&Route| {
        !super::route::drops(route.kind) && route.hops.iter().all(|hop| hop.gateway.is_none())
    };
    let found = in_table(table).filter(is_near);
    found
        .or_else(|| walk(observed, Family::V6, in_table).filter(is_near))
        .map(|_| ())
        .ok_or(Errno::HostUnreachable.because("its gateway is not on a connected subnet"))
}

/// The route with the longest prefix that leads to an address by a link.
fn best<'a>(
    observed: &'a Observed,
    table: u32,
    address: IpAddr,
    device: Option<&LinkName>,
    counts: impl Fn(&Route) -> bool,
) -> Option<&'a Route> {
    prefixes(address).flat_map(|destination| to(observed, destination, table)).find(|route| {
        let leaves = device.is_none_or(|device| route.leaves_by(device));
        leaves && counts(route)
    })
}

/// The prefixes that hold an address, the longest first.
fn prefixes(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    (0..=longest).rev().filter_map(move |length| match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length).ok().map(|net| IpNet::V4(net.trunc())),
        IpAddr::V6(address) => Ipv6Net::new(address, length).ok().map(|net| IpNet::V6(net.trunc())),
    })
}

/// The routes to a destination in a table, those with the lowest metric first.
fn to(observed: &Observed, destination: IpNet, table: u32) -> impl Iterator<Item = &Route> {
    let lowest = Route {
        metric: 0,
        protocol: crate::net::RouteProtocol::UNSPECIFIED,
        ..Route::new(destination, table)
    };
    observed
        .routes
        .range(lowest..)
        .take_while(move |route| route.destination == destination && route.table == table)
}

/// What the rules find for a packet that the host sends itself, without a source or a mark.
fn walk<'a>(
    observed: &Observed,
    family: Family,
    look: impl Fn(u32) -> Option<&'a Route>,
) -> Option<&'a Route> {
    let mut rules: Vec<&Rule> = observed
        .rules
        .iter()
        .filter(|rule| rule.family == family)
        .filter(|rule| rule.from.is_none() && rule.to.is_none() && rule.mark.is_none())
        .filter(|rule| rule.input.is_none() && rule.output.is_none() && !rule.is_inverted)
        .collect();
    rules.sort_by_key(|rule| rule.priority);
    rules.into_iter().find_map(|rule| match rule.action {
        RuleAction::Lookup(table) => look(table),
        RuleAction::Other(_) => None,
    })
}
