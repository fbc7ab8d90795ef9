//! What was there before and is changed or removed, so that it can be put back.

use super::natural;
use super::settle::is_same;
use super::situation::Situation;
use super::{Reason, Record, Want, Wish};
use crate::net::{Link, LinkName, Object, Rule, Side, Sysctl, SysctlName, table};
use crate::plan::LinkChange;

/// What the wishes change or remove; what earlier records know of it counts before what is there, for
/// that has been changed already.
pub(super) fn before(
    wishes: &[Wish],
    situation: &Situation<'_>,
    displaces: bool,
) -> Vec<(Side, Object)> {
    let mut found: Vec<(Side, Object)> = Vec::new();
    for wish in wishes {
        let Some(object) = object(wish, situation) else { continue };
        if !found.contains(&(wish.side, object.clone())) {
            found.push((wish.side, object));
        }
    }
    for inherited in inherited(situation, displaces) {
        if !found.contains(&inherited) {
            found.push(inherited);
        }
    }
    found
}

/// The default routes that earlier attachments displaced, for one that displaces again: whichever goes
/// last puts them back.
fn inherited(situation: &Situation<'_>, displaces: bool) -> Vec<(Side, Object)> {
    let own = situation.records.own.into_iter().flat_map(|own| &own.before);
    let own = own.filter(|(_, object)| {
        let Object::Route(route) = object else { return false };
        let is_own = route.leaves_by(&situation.topology.interface);
        route.is_default() && route.table == table::MAIN && !is_own
    });
    let others = situation.records.others.iter().filter_map(|record| {
        let displaced = &record.displaced.as_ref()?.interface;
        let parts = natural::parts(&situation.topology.scene.pod, &[*record]).into_iter();
        let of_displaced = parts.filter(|part| part.leaves_by(displaced));
        Some(of_displaced.map(|part| (Side::Pod, Object::Route(part))).collect::<Vec<_>>())
    });
    if displaces { own.cloned().chain(others.flatten()).collect() } else { Vec::new() }
}

fn object(wish: &Wish, situation: &Situation<'_>) -> Option<Object> {
    match &wish.want {
        Want::NoRoute(route) if wish.reason != Reason::Leftover => {
            Some(Object::Route(route.clone()))
        }
        Want::Setting { link, change } => original_link(wish, link, change, situation),
        Want::Sysctl(sysctl, value) => original_value(wish, sysctl, *value, situation),
        Want::Route(_) | Want::Rule(_) => held(wish, situation),
        Want::Link(_)
        | Want::Address(_)
        | Want::Neighbour(_)
        | Want::Marks(_)
        | Want::NoLink(_)
        | Want::NoAddress(_)
        | Want::NoNeighbour(_)
        | Want::NoRoute(_)
        | Want::NoRule(_)
        | Want::NoMarks => None,
    }
}

/// The interface as it was. The pair's ends go with the pair.
fn original_link(
    wish: &Wish,
    name: &LinkName,
    change: &LinkChange,
    situation: &Situation<'_>,
) -> Option<Object> {
    if *name != situation.topology.interface {
        return None;
    }
    let own = situation.records.own;
    let mut recorded = own.into_iter().flat_map(|record| &record.before);
    let known = recorded.find_map(|(side, object)| {
        let Object::Link(link) = object else { return None };
        (*side == wish.side && link.name == *name).then(|| object.clone())
    });
    if known.is_some() || own.is_some_and(|own| own.intent.wishes.contains(wish)) {
        return known;
    }
    let link = situation.link;
    (!is_so(link, change)).then(|| Object::Link(link.clone()))
}

/// Whether a link is as a change would make it.
fn is_so(link: &Link, change: &LinkChange) -> bool {
    match change {
        LinkChange::Up(is_up) => link.is_up == *is_up,
        LinkChange::Mac(mac) => link.mac.as_ref() == Some(mac),
        LinkChange::TxQueueLength(length) => link.tx_queue_length == *length,
        LinkChange::Mtu(mtu) => link.mtu == *mtu,
        LinkChange::Name(_)
        | LinkChange::Controller(_)
        | LinkChange::Alias(_)
        | LinkChange::Bond(_) => false,
    }
}

/// What a setting was. IPv6 that was switched on stays on: writing 1 for all links writes it to each of
/// them, and takes every address along.
fn original_value(
    wish: &Wish,
    sysctl: &Sysctl,
    value: i64,
    situation: &Situation<'_>,
) -> Option<Object> {
    if sysctl.name == SysctlName::DisableIpv6 {
        return None;
    }
    let objects = situation.records.all().flat_map(|record| &record.before);
    let mut recorded = objects.filter_map(|(side, object)| {
        let Object::Sysctl(other, _) = object else { return None };
        (*side == wish.side && other == sysctl).then(|| object.clone())
    });
    if let Some(known) = recorded.next() {
        return Some(known);
    }
    if situation.records.all().any(|record| speaks_of(record, wish.side, sysctl)) {
        return None;
    }
    let there = *situation.topology.scene.side(wish.side).sysctls.get(sysctl)?;
    (there != value).then(|| Object::Sysctl(sysctl.clone(), there))
}

/// Whether a record sets a sysctl.
pub(super) fn speaks_of(record: &Record, side: Side, sysctl: &Sysctl) -> bool {
    let is_about = |want: &Want| matches!(want, Want::Sysctl(other, _) if other == sysctl);
    record.intent.wishes.iter().any(|wish| wish.side == side && is_about(&wish.want))
}

/// What somebody else made just so: it is not ours to remove.
fn held(wish: &Wish, situation: &Situation<'_>) -> Option<Object> {
    let observed = situation.topology.scene.side(wish.side);
    if let Want::Route(route) = &wish.want {
        let mut same = observed.routes.iter().filter(|other| is_same(other, route));
        let foreign = same.find(|other| other.protocol != route.protocol)?;
        return Some(Object::Route(foreign.clone()));
    }
    let Want::Rule(rule) = &wish.want else { return None };
    let is_foreign = |other: &&Rule| {
        Rule { protocol: rule.protocol, ..(*other).clone() } == *rule
            && other.protocol != rule.protocol
    };
    Some(Object::Rule(observed.rules.iter().find(is_foreign)?.clone()))
}
