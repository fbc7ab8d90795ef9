//! Wishes that could not both be had: the first of them counts.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::situation::Situation;
use super::{Note, Reason, Tenure, Want, Wish};
use crate::net::{Route, RouteProtocol, Side};

/// What the kernel tells routes of one table apart by.
pub(super) type Key = (Side, IpNet, u32, u32, u8);

pub(super) fn key(side: Side, route: &Route) -> Key {
    (side, route.destination, route.table, route.metric, route.tos)
}

/// Whether two routes are the same, whoever made them.
pub(super) fn is_same(one: &Route, other: &Route) -> bool {
    Route { protocol: other.protocol, ..one.clone() } == *other
}

/// Each wish once; of routes to one place the first; foreign routes stay, and ours that are stale go.
pub(super) fn settle(wishes: Vec<Wish>, situation: &Situation<'_>) -> (Vec<Wish>, Vec<Note>) {
    let mut settled: Vec<Wish> = Vec::new();
    let mut stale: Vec<Wish> = Vec::new();
    let mut notes = Vec::new();
    let mut places: BTreeMap<Key, Route> = BTreeMap::new();
    let gone: Vec<Wish> =
        wishes.iter().filter(|wish| matches!(wish.want, Want::NoRoute(_))).cloned().collect();
    for wish in wishes {
        let is_told =
            settled.iter().any(|other| (other.side, &other.want) == (wish.side, &wish.want));
        if is_told {
            continue;
        }
        if let Want::Route(route) = &wish.want {
            let first = places.entry(key(wish.side, route)).or_insert_with(|| route.clone());
            let in_way = in_way(wish.side, route, situation, &gone);
            if !is_same(first, route) || in_way.iter().any(|(_, is_ours)| !is_ours) {
                let (destination, table) = (route.destination, route.table);
                notes.push(Note::RouteTaken { destination, table });
                continue;
            }
            stale.extend(in_way.into_iter().map(|(route, _)| no_more(wish.side, route)));
        }
        settled.push(wish);
    }
    stale.retain(|wish| !settled.iter().any(|other| other.want == wish.want));
    stale.sort();
    stale.dedup();
    (stale.into_iter().chain(settled).collect(), notes)
}

fn no_more(side: Side, route: Route) -> Wish {
    let (tenure, reason) = (Tenure::Attachment, Reason::Leftover);
    Wish { side, want: Want::NoRoute(route), tenure, reason }
}

/// What is at a route's place and is another, with whether it is ours to remove.
fn in_way(
    side: Side,
    route: &Route,
    situation: &Situation<'_>,
    gone: &[Wish],
) -> Vec<(Route, bool)> {
    let observed = situation.topology.scene.side(side);
    let at_place = observed
        .routes
        .iter()
        .filter(|other| key(side, other) == key(side, route) && !is_same(other, route));
    let stays = at_place.filter(|other| {
        let want = Want::NoRoute((*other).clone());
        !gone.iter().any(|wish| wish.side == side && wish.want == want)
    });
    stays
        .filter(|other| !is_beside(other, route, situation))
        .map(|other| (other.clone(), is_ours(side, other, situation)))
        .collect()
}

/// A default route of what the main table has of itself may have others beside it: the kernel keeps them
/// in the order in which they came.
fn is_beside(other: &Route, route: &Route, situation: &Situation<'_>) -> bool {
    route.is_default() && situation.natural.contains(other)
}

fn is_ours(side: Side, route: &Route, situation: &Situation<'_>) -> bool {
    let want = Want::Route(route.clone());
    let mut recorded = situation.records.all().flat_map(|record| &record.intent.wishes);
    route.protocol == RouteProtocol::OURS
        || recorded.any(|wish| wish.side == side && wish.want == want)
}
