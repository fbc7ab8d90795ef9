//! Which table is whose.

use std::collections::BTreeSet;

use super::mode::Standing;
use super::situation::Records;
use super::{Refusal, Style, Topology, Want};
use crate::net::{LinkName, Observed, RouteProtocol, RuleAction, table};

/// The highest number that is given to an interface.
const LAST: u32 = 252;

/// The table of the topology's interface: the recorded one; or 100+N for `netN`; or the lowest free one.
/// The first interface of an underlay pod is looked up in main, and has no table of its own.
pub(super) fn own(
    topology: &Topology,
    records: &Records<'_>,
    standing: Standing,
) -> Result<u32, Refusal> {
    if standing.style == Style::Underlay && standing.is_first {
        return Ok(table::MAIN);
    }
    if let Some(own) = records.own
        && own.style == standing.style
    {
        return Ok(own.table);
    }
    let taken = taken(topology, records);
    let named = numbered(&topology.interface).filter(|number| !taken.contains(number));
    named.map_or_else(|| lowest(topology, &taken), Ok)
}

/// A table for an interface that another one displaces: none of the recorded ones, nor this one.
pub(super) fn spare(topology: &Topology, records: &Records<'_>, own: u32) -> Result<u32, Refusal> {
    let mut taken = taken(topology, records);
    taken.insert(own);
    lowest(topology, &taken)
}

fn lowest(topology: &Topology, taken: &BTreeSet<u32>) -> Result<u32, Refusal> {
    (table::FIRST_INTERFACE..=LAST)
        .find(|number| !taken.contains(number))
        .ok_or_else(|| Refusal::NoTable { interface: topology.interface.clone(), last: LAST })
}

/// 100+N for `netN`, with N from 1 to 99.
fn numbered(interface: &LinkName) -> Option<u32> {
    let digits = interface.strip_prefix("net")?;
    let number: u32 = digits.parse().ok()?;
    let is_plain = (1..=99).contains(&number) && digits == number.to_string();
    is_plain.then_some(table::REPLY + number)
}

/// The tables that others use: those recorded, and those that foreign routes and rules speak of.
fn taken(topology: &Topology, records: &Records<'_>) -> BTreeSet<u32> {
    let of_records = records.others.iter().flat_map(|record| {
        let displaced = record.displaced.as_ref().map(|displaced| displaced.table);
        std::iter::once(record.table).chain(displaced)
    });
    of_records.chain(foreign(&topology.scene.pod, records)).collect()
}

fn foreign(pod: &Observed, records: &Records<'_>) -> BTreeSet<u32> {
    let wanted: BTreeSet<&Want> =
        records.all().flat_map(|record| &record.intent.wishes).map(|wish| &wish.want).collect();
    let routes = pod
        .routes
        .iter()
        .filter(|route| route.protocol != RouteProtocol::OURS)
        .filter(|route| !wanted.contains(&Want::Route((*route).clone())))
        .map(|route| route.table);
    let rules = pod
        .rules
        .iter()
        .filter(|rule| rule.protocol != RouteProtocol::OURS)
        .filter(|rule| !wanted.contains(&Want::Rule((*rule).clone())))
        .filter_map(|rule| match rule.action {
            RuleAction::Lookup(number) => Some(number),
            RuleAction::Other(_) => None,
        });
    routes.chain(rules).collect()
}
