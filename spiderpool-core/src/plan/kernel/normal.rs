//! Scenes without what only the kernel decides, so that two of them can be compared.

use std::collections::BTreeSet;

use super::route::normal as kept;
use crate::address::Family;
use crate::net::{Address, AddressFlags, Link, NeighbourState, Observed, Parent, Route, Scene};

/// A scene without indexes, carriers, learned neighbours and the passing states of addresses: what two
/// scenes differ in after this, somebody has changed.
#[must_use]
pub fn normal(scene: &Scene) -> Scene {
    Scene { host: side(&scene.host), pod: side(&scene.pod) }
}

fn side(observed: &Observed) -> Observed {
    let is_told = |state| state != NeighbourState::Learned;
    Observed {
        links: observed.links.iter().map(|(name, it)| (name.clone(), link(it))).collect(),
        addresses: observed.addresses.iter().map(address).collect(),
        routes: observed.routes.iter().map(route).collect(),
        rules: observed.rules.clone(),
        neighbours: observed
            .neighbours
            .iter()
            .filter(|neighbour| is_told(neighbour.state))
            .cloned()
            .collect::<BTreeSet<_>>(),
        sysctls: observed.sysctls.clone(),
        marking: observed.marking.clone(),
    }
}

pub(in crate::plan) fn link(link: &Link) -> Link {
    let parent = link.parent.as_ref().map(|parent| Parent {
        name: parent.name.clone(),
        index: 0,
        netns_id: parent.netns_id.map(|_| 0),
    });
    Link { index: 0, has_carrier: false, parent, ..link.clone() }
}

pub(in crate::plan) fn address(address: &Address) -> Address {
    let flags = AddressFlags {
        is_tentative: false,
        has_dad_failed: false,
        is_deprecated: false,
        ..address.flags
    };
    Address { flags, ..address.clone() }
}

pub(in crate::plan) fn route(route: &Route) -> Route {
    let mut route = kept(route);
    if route.family() == Family::V6 {
        route.hops.sort();
    }
    route
}
