//! Which interface has the pod's default route, and where the others' are.
//!
//! One interface keeps its default route in the main table. Each other one's goes to a table of its own,
//! with a rule that has packets from its addresses looked up there, so that each answers for itself. Each
//! family is decided by itself: a default route leaves only where another one stays.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::moved::{self, Move};
use super::natural;
use super::situation::{Situation, usable};
use super::{
    Displaced, Founder, Note, POD_END, Reason, Refusal, Style, Tenure, Want, Wish, table as tables,
};
use crate::address::Family;
use crate::net::{LinkName, Route, Rule, Side, table};

/// What becomes of default routes.
#[derive(Debug)]
pub(super) struct Tuning {
    pub(super) wishes: Vec<Wish>,
    pub(super) notes: Vec<Note>,
    /// The interface that had the default route before.
    pub(super) keeper: Option<LinkName>,
    pub(super) displaced: Option<Displaced>,
    /// The table in which packets from the interface are looked up.
    pub(super) home: u32,
}

/// Which interface should have the default route.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// The one that has it.
    Keeper,
    /// The one that is attached.
    This,
    /// Another one, of which nothing is recorded.
    Third(LinkName),
}

/// What becomes of default routes as this interface comes.
///
/// The first interface of an underlay pod has nothing to move; a pod whose other interfaces have no
/// default route neither.
pub(super) fn tune(situation: &Situation<'_>) -> Result<Tuning, Refusal> {
    let mut tuning = Tuning {
        wishes: Vec::new(),
        notes: Vec::new(),
        keeper: keeper(situation),
        displaced: None,
        home: table::MAIN,
    };
    if !situation.configuration.tunes_routes {
        return Ok(tuning);
    }
    let Some(keeper) = tuning.keeper.clone() else {
        refuse_unknown(situation)?;
        return Ok(tuning);
    };
    let choice = choice(situation, &keeper, &mut tuning.notes)?;
    if situation.standing.style == Style::Underlay && situation.standing.is_first {
        return Ok(tuning);
    }
    match choice {
        Choice::Keeper => tuning.move_this(situation),
        Choice::This => {
            let interface = &situation.topology.interface;
            let displaced = Displaced { interface: keeper, table: situation.table };
            tuning.displace(situation, displaced, interface);
        }
        Choice::Third(chosen) => {
            let table = displaced_table(situation, &keeper)?;
            let displaced = Displaced { interface: keeper, table };
            tuning.displace(situation, displaced, &chosen);
            tuning.move_this(situation);
        }
    }
    Ok(tuning)
}

impl Tuning {
    /// The attached interface answers out of its own table, and leaves the main one to another.
    fn move_this(&mut self, situation: &Situation<'_>) {
        let interface = &situation.topology.interface;
        let displaced = self.displaced.as_ref().map(|displaced| &displaced.interface);
        let leaving = situation
            .natural
            .iter()
            .filter(|route| {
                stays(route, situation, |device| device != interface && Some(device) != displaced)
            })
            .map(Route::family)
            .collect();
        let (table, parts) = (situation.table, &situation.parts);
        let change = Move { interface, table, parts, leaving };
        self.wishes.extend(from(&situation.addresses, situation.table, Tenure::Attachment));
        self.wishes.extend(moved::wishes(&situation.natural, &change, &mut self.notes));
        self.home = situation.table;
    }

    /// The interface that had the default route makes room for the chosen one.
    fn displace(&mut self, situation: &Situation<'_>, displaced: Displaced, chosen: &LinkName) {
        let leaving = defaults(&situation.natural, chosen);
        let had = defaults(&situation.natural, &displaced.interface);
        self.notes.extend(
            had.difference(&leaving)
                .map(|family| Note::NoDefaultRoute { interface: chosen.clone(), family: *family }),
        );
        let (interface, table) = (&displaced.interface, displaced.table);
        let change = Move { interface, table, parts: &situation.parts, leaving };
        let addresses = usable(situation.topology, &displaced.interface);
        self.wishes.extend(from(&addresses, displaced.table, Tenure::Attachment));
        self.wishes.extend(moved::wishes(&situation.natural, &change, &mut self.notes));
        self.displaced = Some(displaced);
    }
}

/// The interface that has, or had when the attached one came, the default route: the first of them.
pub(super) fn keeper(situation: &Situation<'_>) -> Option<LinkName> {
    let pod = &situation.topology.scene.pod;
    let recorded = situation.records.own.and_then(|own| own.keeper.clone());
    if let Some(keeper) = recorded
        && pod.links.contains_key(&keeper)
    {
        return Some(keeper);
    }
    let is_other = |name: &LinkName| {
        *name != situation.topology.interface && !matches!(name.as_str(), "lo" | POD_END)
    };
    let has_default = |name: &LinkName| {
        situation.natural.iter().any(|route| stays(route, situation, |device| device == name))
    };
    let links = pod.links.values().filter(|link| is_other(&link.name) && has_default(&link.name));
    links.min_by_key(|link| link.index).map(|link| link.name.clone())
}

/// The families of which an interface has a default route.
fn defaults(natural: &BTreeSet<Route>, interface: &LinkName) -> BTreeSet<Family> {
    let own = natural.iter().filter(|route| route.is_default() && route.leaves_by(interface));
    own.map(Route::family).collect()
}

/// Whether a default route stays in the main table by a link that is asked for: no other attachment moved it.
fn stays(route: &Route, situation: &Situation<'_>, is_asked: impl Fn(&LinkName) -> bool) -> bool {
    let is_there =
        |left: Route| left.hops.iter().any(|hop| hop.device.as_ref().is_some_and(&is_asked));
    route.is_default() && natural::without(route, &situation.parts).is_some_and(is_there)
}

/// The rules by which packets from addresses are looked up in a table, after the marks' rule.
fn from(
    addresses: &[std::net::IpAddr],
    number: u32,
    tenure: Tenure,
) -> impl Iterator<Item = Wish> + '_ {
    let priority = super::to_pod::PRIORITY + number.saturating_sub(table::REPLY);
    addresses.iter().map(move |address| {
        let rule = Rule::new(Family::of(*address), priority, number);
        let want = Want::Rule(Rule { from: Some(IpNet::from(*address)), ..rule });
        Wish { side: Side::Pod, want, tenure, reason: Reason::SourceRouting }
    })
}

fn choice(
    situation: &Situation<'_>,
    keeper: &LinkName,
    notes: &mut Vec<Note>,
) -> Result<Choice, Refusal> {
    refuse_unknown(situation)?;
    let this = &situation.topology.interface;
    let Some(wanted) = wanted(situation) else { return Ok(Choice::Keeper) };
    if wanted == this {
        return Ok(Choice::This);
    }
    if wanted == keeper {
        return Ok(Choice::Keeper);
    }
    let interface = wanted.clone();
    if !situation.topology.scene.pod.links.contains_key(wanted) {
        notes.push(Note::DefaultRouteLater { interface });
        return Ok(Choice::Keeper);
    }
    match situation.records.others.iter().find(|record| record.interface == *wanted) {
        None if is_displaced(situation, keeper) => Ok(Choice::Keeper),
        None if is_moved(situation, wanted) => {
            notes.push(Note::ChosenElsewhere { interface });
            Ok(Choice::Keeper)
        }
        None => Ok(Choice::Third(interface)),
        Some(record) => {
            let has_it = record.displaced.is_some() || record.keeper.is_none();
            if !has_it {
                notes.push(Note::ChosenElsewhere { interface });
            }
            Ok(Choice::Keeper)
        }
    }
}

/// Whether another attachment has moved the keeper's default route already.
fn is_displaced(situation: &Situation<'_>, keeper: &LinkName) -> bool {
    let mut displaced =
        situation.records.others.iter().filter_map(|record| record.displaced.as_ref());
    displaced.any(|displaced| displaced.interface == *keeper)
}

/// Whether another attachment has moved an interface's default route.
fn is_moved(situation: &Situation<'_>, interface: &LinkName) -> bool {
    situation.parts.iter().any(|part| part.leaves_by(interface))
}

/// What the configuration chooses; else this one, if an earlier attachment waits for it and no other took
/// the default route meanwhile.
fn wanted<'a>(situation: &'a Situation<'_>) -> Option<&'a LinkName> {
    let this = &situation.topology.interface;
    let others = &situation.records.others;
    let waits = || {
        let has_chosen = situation.records.own.is_some_and(|own| own.displaced.is_some());
        let is_taken = others.iter().any(|record| record.displaced.is_some());
        let mut waiting = others.iter().map(|record| &record.configuration);
        let is_awaited = waiting
            .any(|other| other.tunes_routes && other.default_route_nic.as_ref() == Some(this));
        (is_awaited && (has_chosen || !is_taken)).then_some(this)
    };
    situation.configuration.default_route_nic.as_ref().or_else(waits)
}

/// Refuses a choice that nobody will ever attach.
fn refuse_unknown(situation: &Situation<'_>) -> Result<(), Refusal> {
    let (Some(chosen), Some(expected)) =
        (&situation.configuration.default_route_nic, &situation.topology.expected)
    else {
        return Ok(());
    };
    let links = &situation.topology.scene.pod.links;
    if links.contains_key(chosen) || expected.contains(chosen) {
        return Ok(());
    }
    let there = links.keys().filter(|name| !matches!(name.as_str(), "lo" | POD_END));
    let known: BTreeSet<LinkName> = there.chain(expected).cloned().collect();
    Err(Refusal::NoSuchNic { chosen: chosen.clone(), known: known.into_iter().collect() })
}

fn displaced_table(situation: &Situation<'_>, keeper: &LinkName) -> Result<u32, Refusal> {
    let recorded = situation.records.own.and_then(|own| own.displaced.as_ref());
    match recorded.filter(|displaced| displaced.interface == *keeper) {
        Some(displaced) => Ok(displaced.table),
        None => tables::spare(situation.topology, &situation.records, situation.table),
    }
}

/// In an overlay pod what comes from the default interface's addresses leaves by it, whatever takes the
/// main table's default route later.
pub(super) fn shared(situation: &Situation<'_>) -> Vec<Wish> {
    let Some(keeper) = answering_keeper(situation) else { return Vec::new() };
    let own = situation.natural.iter().filter(|route| route.is_default());
    let copies: Vec<Route> =
        own.filter_map(|route| moved::copy(route, keeper, table::REPLY, false)).collect();
    let families: BTreeSet<Family> = copies.iter().map(Route::family).collect();
    let addresses: Vec<_> = usable(situation.topology, keeper)
        .into_iter()
        .filter(|address| families.contains(&Family::of(*address)))
        .collect();
    let routes = copies.into_iter().map(|route| Wish {
        side: Side::Pod,
        want: Want::Route(route),
        tenure: Tenure::Pod,
        reason: Reason::SourceRouting,
    });
    from(&addresses, table::REPLY, Tenure::Pod).chain(routes).collect()
}

/// The interface for which [`shared`] is: the one that had the default route when the first came, unless
/// the first took it.
fn answering_keeper<'a>(situation: &'a Situation<'_>) -> Option<&'a LinkName> {
    let Founder { interface, configuration, keeper } = situation.founder.as_ref()?;
    let takes_it = configuration.default_route_nic.as_ref() == Some(interface);
    let is_tuned = configuration.tunes_routes && !takes_it;
    let is_overlay = situation.standing.style == Style::Overlay;
    keeper.as_ref().filter(|_| is_overlay && is_tuned)
}
