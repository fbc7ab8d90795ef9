//! The pod's main table as it would be without coordination.
//!
//! Decisions are made from it, not from what is there: a default route that was moved is still the
//! interface's, and is moved again to the same place. That makes intending again ask for nothing.

use std::collections::BTreeSet;

use super::situation::Records;
use super::{Reason, Record, Want};
use crate::net::{Hop, Object, Observed, Route, Side, table};

/// What is there, without what records want, and with what they moved away: all of a route of which this
/// attachment moved a part, and the parts that others moved.
///
/// A user's own routes stay in: whoever moves an interface's routes takes them along.
pub(super) fn main_routes(pod: &Observed, records: &Records<'_>) -> BTreeSet<Route> {
    let made: BTreeSet<&Route> = records
        .all()
        .flat_map(|record| &record.intent.wishes)
        .filter(|wish| wish.side == Side::Pod && wish.reason != Reason::PolicyRoute)
        .filter_map(|wish| if let Want::Route(route) = &wish.want { Some(route) } else { None })
        .collect();
    let there = pod.routes.iter().filter(|route| !made.contains(route)).cloned();
    let own = records.own.into_iter().flat_map(moved);
    let own = own.filter_map(|route| remaining(pod, route));
    let all = there.chain(own).chain(parts(pod, &records.others));
    all.filter(|route| route.table == table::MAIN).collect()
}

/// The default routes that a record moved, each as it was before.
fn moved(record: &Record) -> impl Iterator<Item = &Route> {
    record.before.iter().filter_map(|(side, object)| {
        let (Side::Pod, Object::Route(route)) = (side, object) else { return None };
        (route.is_default() && route.table == table::MAIN).then_some(route)
    })
}

/// Those parts of default routes that other attachments moved out of the main table.
pub(super) fn parts(pod: &Observed, others: &[&Record]) -> Vec<Route> {
    let parts = others.iter().flat_map(|record| {
        let is_moved = |hop: &Hop| elsewhere(record).any(|other| leads_alike(hop, other));
        moved(record).filter_map(move |route| with_hops(&remaining(pod, route)?, is_moved))
    });
    parts.collect()
}

/// The hops of default routes that a record has in other tables.
fn elsewhere(record: &Record) -> impl Iterator<Item = &Hop> {
    let wishes = record.intent.wishes.iter().filter(|wish| wish.reason == Reason::DefaultRoute);
    let routes = wishes.filter_map(|wish| {
        let Want::Route(route) = &wish.want else { return None };
        (route.table != table::MAIN).then_some(route)
    });
    routes.flat_map(|route| &route.hops)
}

fn leads_alike(one: &Hop, other: &Hop) -> bool {
    (&one.device, one.gateway) == (&other.device, other.gateway)
}

/// What is left of a route without the parts that others moved.
pub(super) fn without(route: &Route, parts: &[Route]) -> Option<Route> {
    let is_of_route =
        |part: &&Route| Route { hops: route.hops.clone(), ..(*part).clone() } == *route;
    let same: Vec<&Route> = parts.iter().filter(is_of_route).collect();
    let leads_alike =
        |one: &Hop, other: &Hop| (&one.device, one.gateway) == (&other.device, other.gateway);
    with_hops(route, |hop| {
        !same.iter().flat_map(|part| &part.hops).any(|other| leads_alike(hop, other))
    })
}

/// What can be of a route: its hops by links that are there.
pub(super) fn remaining(observed: &Observed, route: &Route) -> Option<Route> {
    with_hops(route, |hop| {
        hop.device.as_ref().is_none_or(|device| observed.links.contains_key(device))
    })
}

/// A route with those of its hops that are asked for; none if it had hops and has none left. One hop alone
/// has no share to speak of.
pub(super) fn with_hops(route: &Route, is_asked: impl Fn(&Hop) -> bool) -> Option<Route> {
    let mut hops: Vec<Hop> = route.hops.iter().filter(|hop| is_asked(hop)).cloned().collect();
    if let [hop] = hops.as_mut_slice() {
        hop.weight = 1;
    }
    let is_left = route.hops.is_empty() || !hops.is_empty();
    is_left.then(|| Route { hops, ..route.clone() })
}
