//! The pod's way to its node, and through it to services and to the overlay's pods.
//!
//! The gateway is an address of the node's, on the link by a route of its own and known by a permanent
//! neighbour; neither end of the pair needs an address.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::situation::Situation;
use super::{Configuration, Note, Reason, Tenure, Want, Wish};
use crate::address::Family;
use crate::net::{Neighbour, Route, Side, table};

/// What all attachments share: the neighbours, and the first one's routes in the main table.
pub(super) fn shared(situation: &Situation<'_>, notes: &mut Vec<Note>) -> Vec<Wish> {
    let (link, mac) = (&situation.ends.pod.link, &situation.ends.host.mac);
    let known = situation.node.addresses.iter().map(|address| {
        let neighbour = Neighbour::permanent(link.clone(), *address, mac.clone());
        pod(Want::Neighbour(neighbour), Tenure::Pod, Reason::PodToNode)
    });
    let mut wishes: Vec<Wish> = known.collect();
    if let Some(founder) = &situation.founder {
        let families = &situation.shared_families;
        let place = Place { table: table::MAIN, families, tenure: Tenure::Pod };
        wishes.extend(addresses(situation, place));
        wishes.extend(prefixes(situation, &founder.configuration, place, notes));
    }
    wishes
}

/// What the interface's own table has: the node's addresses and the prefixes, so that what its addresses
/// answer takes the way that the request came by, also where the pod of a service asked. The
/// first interface of an underlay pod has no table of its own.
pub(super) fn own(situation: &Situation<'_>, notes: &mut Vec<Note>) -> Vec<Wish> {
    if situation.table == table::MAIN {
        return Vec::new();
    }
    let (table, families) = (situation.table, &situation.families);
    let place = Place { table, families, tenure: Tenure::Attachment };
    let mut wishes = addresses(situation, place);
    wishes.extend(prefixes(situation, situation.configuration, place, notes));
    wishes
}

#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    table: u32,
    families: &'a [Family],
    tenure: Tenure,
}

fn pod(want: Want, tenure: Tenure, reason: Reason) -> Wish {
    Wish { side: Side::Pod, want, tenure, reason }
}

fn addresses(situation: &Situation<'_>, place: Place<'_>) -> Vec<Wish> {
    let link = &situation.ends.pod.link;
    let of_families = situation
        .node
        .addresses
        .iter()
        .filter(|address| place.families.contains(&Family::of(**address)));
    let routes = of_families.map(|address| Route {
        source: situation.source_for(Family::of(*address)),
        ..Route::on_link(IpNet::from(*address), place.table, link.clone())
    });
    routes.map(|route| pod(Want::Route(route), place.tenure, Reason::PodToNode)).collect()
}

fn prefixes(
    situation: &Situation<'_>,
    configuration: &Configuration,
    place: Place<'_>,
    notes: &mut Vec<Note>,
) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for prefix in all(configuration) {
        let family = Family::of(prefix.addr());
        if !place.families.contains(&family) {
            continue;
        }
        let is_ours =
            situation.node.addresses.iter().any(|address| IpNet::from(*address) == prefix);
        if prefix.prefix_len() == 0 {
            notes.push(Note::PrefixOfAll { prefix });
        } else if let Some(gateway) = situation.node.gateways.get(&family)
            && !is_ours
        {
            let link = situation.ends.pod.link.clone();
            let route = Route {
                source: situation.source_for(family),
                ..Route::via(prefix, place.table, *gateway, link)
            };
            wishes.push(pod(Want::Route(route), place.tenure, Reason::Hijack));
        } else if !is_ours {
            notes.push(Note::NoGateway { family });
        }
    }
    wishes
}

/// Each prefix once, whoever named it.
fn all(configuration: &Configuration) -> BTreeSet<IpNet> {
    let Configuration { pod_prefixes, service_prefixes, hijack_prefixes, .. } = configuration;
    pod_prefixes.iter().chain(service_prefixes).chain(hijack_prefixes).map(IpNet::trunc).collect()
}
