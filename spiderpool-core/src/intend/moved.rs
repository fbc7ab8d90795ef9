//! An interface's routes, in a table of their own.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::natural::{with_hops, without};
use super::{Note, Reason, Tenure, Want, Wish};
use crate::address::Family;
use crate::net::{Hop, LinkName, Route, RouteProtocol, RouteType, Side, table};

/// Which interface's routes, and where to.
#[derive(Debug)]
pub(super) struct Move<'a> {
    pub(super) interface: &'a LinkName,
    pub(super) table: u32,
    /// What other attachments moved already.
    pub(super) parts: &'a [Route],
    /// The families whose default route leaves the main table; all else is copied.
    pub(super) leaving: BTreeSet<Family>,
}

/// The interface's routes are in its table too, and its default routes of the leaving families there only.
///
/// What is moved keeps all its attributes. Of a route with several hops only the interface's own move.
pub(super) fn wishes(
    natural: &BTreeSet<Route>,
    change: &Move<'_>,
    notes: &mut Vec<Note>,
) -> Vec<Wish> {
    let mut copies: Vec<Route> = Vec::new();
    let mut wishes = Vec::new();
    for route in natural.iter().filter(|route| route.leaves_by(change.interface)) {
        let leaves = route.is_default() && change.leaving.contains(&route.family());
        let Some(copy) = copy(route, change.interface, change.table, leaves) else {
            if leaves {
                notes.push(left(route));
            }
            continue;
        };
        join(&mut copies, copy);
        if leaves {
            wishes.push(wish(Want::NoRoute(route.clone()), Reason::DefaultRoute));
            let rest = rest(route, change);
            wishes.extend(rest.map(|rest| wish(Want::Route(rest), Reason::DefaultRoute)));
        }
    }
    let copies = copies.into_iter().map(|copy| {
        let reason = if copy.is_default() { Reason::DefaultRoute } else { Reason::SourceRouting };
        wish(Want::Route(copy), reason)
    });
    copies.chain(wishes).collect()
}

fn wish(want: Want, reason: Reason) -> Wish {
    Wish { side: Side::Pod, want, tenure: Tenure::Attachment, reason }
}

fn left(route: &Route) -> Note {
    let gateway = route.hops.iter().find_map(|hop| hop.gateway);
    Note::RouteLeft { destination: route.destination, gateway }
}

/// A route's hops by an interface, in another table; none for what cannot or need not be there.
///
/// A copy is ours; what moves stays its maker's.
pub(super) fn copy(
    route: &Route,
    interface: &LinkName,
    number: u32,
    keeps_protocol: bool,
) -> Option<Route> {
    let is_plain = route.kind == RouteType::Unicast && !route.has_more;
    if !is_plain || route.nexthop_id.is_some() || is_of_link(route.destination) {
        return None;
    }
    let own = with_hops(route, |hop| hop.device.as_ref() == Some(interface))?;
    let protocol = if keeps_protocol { route.protocol } else { RouteProtocol::OURS };
    if own.hops.is_empty() { None } else { Some(Route { table: number, protocol, ..own }) }
}

/// Multicast and the link-local prefix belong to a link, whatever the table.
fn is_of_link(destination: IpNet) -> bool {
    let is_link_local = destination.to_string() == "fe80::/64";
    is_link_local || destination.addr().is_multicast()
}

/// What is left of a route in the main table when an interface's hops, and those that other attachments
/// moved, are gone.
fn rest(route: &Route, change: &Move<'_>) -> Option<Route> {
    let rest = with_hops(route, |hop| hop.device.as_ref() != Some(change.interface))?;
    without(&rest, change.parts).filter(|rest| !rest.hops.is_empty())
}

/// Whether a wish is for the rest of a default route. It is none of the attachment's: who comes later may
/// add to it, or take it away.
pub(super) fn is_rest(wish: &Wish) -> bool {
    let is_main = matches!(&wish.want, Want::Route(route) if route.table == table::MAIN);
    is_main && wish.side == Side::Pod && wish.reason == Reason::DefaultRoute
}

/// Adds a copy. IPv6 knows routes that differ by their hops alone as one route with several hops.
fn join(copies: &mut Vec<Route>, copy: Route) {
    let is_same = |other: &&mut Route| {
        copy.family() == Family::V6
            && Route { hops: copy.hops.clone(), ..(**other).clone() } == copy
    };
    match copies.iter_mut().find(is_same) {
        Some(other) => {
            let more: Vec<Hop> =
                copy.hops.into_iter().filter(|hop| !other.hops.contains(hop)).collect();
            other.hops.extend(more);
        }
        None => copies.push(copy),
    }
}
