//! Routes come and go: what the kernel takes as one.

use std::net::IpAddr;

use super::derived::speaks_v6;
use super::journal::Journal;
use super::lookup::rivals;
use super::reach::{check_v4, check_v6};
use super::{Errno, KernelRefusal};
use crate::address::Family;
use crate::net::{Hop, Link, Observed, Route, RouteType, Scope, Side};

pub(super) fn add(
    journal: &mut Journal<'_>,
    side: Side,
    route: &Route,
) -> Result<(), KernelRefusal> {
    let route = taken(journal, side, route)?;
    if rivals(journal.side(side), &route).next().is_some() {
        let reason = "a route with its destination, metric and table is there already";
        return Err(Errno::Exists.because(reason));
    }
    journal.add_route(side, route);
    Ok(())
}

/// Only one that goes the very same way is in the way (`fib_table_insert` in `net/ipv4/fib_trie.c`).
pub(super) fn append(
    journal: &mut Journal<'_>,
    side: Side,
    route: &Route,
) -> Result<(), KernelRefusal> {
    if route.family() == Family::V6 {
        return Err(Errno::Invalid.because("IPv6 merges such routes into one"));
    }
    let route = taken(journal, side, route)?;
    let way = |route: &Route| (route.kind, route.scope, route.hops.clone(), route.source);
    if rivals(journal.side(side), &route).any(|rival| way(rival) == way(&route)) {
        return Err(Errno::Exists.because("a route that goes the same way is there already"));
    }
    journal.add_route(side, route);
    Ok(())
}

/// A route as the kernel would keep it, if it takes it.
fn taken(journal: &Journal<'_>, side: Side, route: &Route) -> Result<Route, KernelRefusal> {
    let route = normal(route);
    let observed = journal.side(side);
    match route.family() {
        Family::V4 => v4(observed, &route)?,
        Family::V6 => v6(observed, &route)?,
    }
    Ok(route)
}

/// A route as it is observed: in IPv6 without host bits; what is dropped leaves by no link, though the
/// kernel names loopback in IPv6.
pub(in crate::plan) fn normal(route: &Route) -> Route {
    let mut kept = route.clone();
    if route.family() == Family::V6 {
        kept.destination = route.destination.trunc();
    }
    if drops(route.kind) {
        kept.hops.clear();
    }
    kept
}

/// Whether packets of such a route go nowhere.
pub(in crate::plan) const fn drops(kind: RouteType) -> bool {
    matches!(
        kind,
        RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
    )
}

fn v4(observed: &Observed, route: &Route) -> Result<(), KernelRefusal> {
    if route.destination.trunc() != route.destination {
        return Err(Errno::Invalid.because("the destination has bits beyond its prefix"));
    }
    if drops(route.kind) || route.nexthop_id.is_some() {
        return Ok(());
    }
    for hop in &route.hops {
        present(observed, hop)?;
        let is_narrow = u8::from(route.scope) >= u8::from(Scope::Link);
        match hop.gateway {
            Some(_) if is_narrow => {
                return Err(Errno::Invalid.because("a route over a gateway is of a wider scope"));
            }
            Some(IpAddr::V4(gateway)) => check_v4(observed, route.table, hop, gateway)?,
            Some(IpAddr::V6(gateway)) => check_v6(observed, route.table, hop, gateway)?,
            None => {}
        }
        up(observed, route, hop)?;
    }
    check_source(observed, route)
}

fn v6(observed: &Observed, route: &Route) -> Result<(), KernelRefusal> {
    if drops(route.kind) || route.nexthop_id.is_some() {
        return Ok(());
    }
    for hop in &route.hops {
        let link = present(observed, hop)?;
        if let Some(IpAddr::V6(gateway)) = hop.gateway {
            check_v6(observed, route.table, hop, gateway)?;
        }
        if !speaks_v6(observed, link) {
            return Err(Errno::NoAccess.because("IPv6 is disabled on its link"));
        }
        up(observed, route, hop)?;
    }
    check_source(observed, route)
}

fn check_source(observed: &Observed, route: &Route) -> Result<(), KernelRefusal> {
    if route.hops.is_empty() {
        return Err(Errno::NoDevice.because("it leaves by no link"));
    }
    let is_own = |ip: IpAddr| observed.addresses.iter().any(|address| address.net.addr() == ip);
    if route.source.is_some_and(|source| !is_own(source)) {
        return Err(Errno::Invalid.because("its source is no address of this namespace"));
    }
    Ok(())
}

/// The link that a hop leaves by.
fn present<'a>(observed: &'a Observed, hop: &Hop) -> Result<&'a Link, KernelRefusal> {
    let refused = Errno::NoDevice.because("the link that it leaves by is not there");
    hop.device.as_ref().and_then(|device| observed.links.get(device)).ok_or(refused)
}

fn up(observed: &Observed, route: &Route, hop: &Hop) -> Result<(), KernelRefusal> {
    if present(observed, hop)?.is_up || route.scope == Scope::Host {
        return Ok(());
    }
    Err(Errno::NetworkDown.because("the link that it leaves by is down"))
}

pub(super) fn delete(
    journal: &mut Journal<'_>,
    side: Side,
    route: &Route,
) -> Result<(), KernelRefusal> {
    let route = normal(route);
    if !journal.side(side).routes.contains(&route) {
        return Err(Errno::NoSuchRoute.because("no such route"));
    }
    journal.drop_route(side, &route);
    Ok(())
}
