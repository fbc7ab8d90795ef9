//! What pods that are gone left on the node for an address that has a new pod.

use std::net::IpAddr;

use ipnet::IpNet;

use super::situation::Situation;
use super::{Reason, Tenure, Want, Wish};
use crate::net::{
    LinkName, NeighbourState, Observed, RouteProtocol, RouteType, Rule, RuleAction, Side,
};

/// Stale ways to the interface's addresses are gone: routes of the node's table by other links,
/// permanent neighbours on other links, and rules of the form that the reference had before 1.0.
pub(super) fn wishes(situation: &Situation<'_>) -> Vec<Wish> {
    let host = &situation.topology.scene.host;
    let way = &situation.ends.host.link;
    let table = situation.configuration.host_table.number();
    let wants = routes(host, way, &situation.addresses, table)
        .chain(neighbours(host, way, &situation.addresses))
        .chain(rules(host, &situation.addresses, table));
    wants
        .map(|want| Wish {
            side: Side::Host,
            want,
            tenure: Tenure::Attachment,
            reason: Reason::Leftover,
        })
        .collect()
}

fn routes<'a>(
    host: &'a Observed,
    way: &'a LinkName,
    addresses: &'a [IpAddr],
    table: u32,
) -> impl Iterator<Item = Want> + 'a {
    host.routes
        .iter()
        .filter(move |route| route.table == table && route.kind == RouteType::Unicast)
        .filter(|route| is_told(route.protocol) && !route.leaves_by(way))
        .filter(|route| addresses.iter().any(|address| IpNet::from(*address) == route.destination))
        .map(|route| Want::NoRoute(route.clone()))
}

fn neighbours<'a>(
    host: &'a Observed,
    way: &'a LinkName,
    addresses: &'a [IpAddr],
) -> impl Iterator<Item = Want> + 'a {
    host.neighbours
        .iter()
        .filter(|neighbour| neighbour.state == NeighbourState::Permanent)
        .filter(|neighbour| is_told(neighbour.protocol) && neighbour.device != *way)
        .filter(|neighbour| addresses.contains(&neighbour.address))
        .map(|neighbour| Want::NoNeighbour(neighbour.clone()))
}

/// Rules of the form `to ADDRESS lookup TABLE`, and nothing beside.
pub(super) fn rules<'a>(
    host: &'a Observed,
    addresses: &'a [IpAddr],
    table: u32,
) -> impl Iterator<Item = Want> + 'a {
    host.rules.iter().filter(move |rule| is_old(rule, addresses, table)).cloned().map(Want::NoRule)
}

fn is_old(rule: &Rule, addresses: &[IpAddr], table: u32) -> bool {
    let plain = Rule {
        to: rule.to,
        protocol: rule.protocol,
        ..Rule::new(rule.family, rule.priority, table)
    };
    let is_about = |to: IpNet| addresses.iter().any(|address| IpNet::from(*address) == to);
    *rule == plain
        && rule.action == RuleAction::Lookup(table)
        && is_told(rule.protocol)
        && rule.to.is_some_and(is_about)
}

/// Whether it was made as this project and the reference make things: neither by the kernel nor by a
/// routing daemon.
fn is_told(protocol: RouteProtocol) -> bool {
    matches!(protocol, RouteProtocol::OURS | RouteProtocol::BOOT | RouteProtocol::UNSPECIFIED)
}
