//! The way back from a step: found by trying it on the model.
//!
//! Called by the planner after each step, with the step's changes in the journal. What is new is taken
//! away, from the top down; what is gone is put back, from the ground up; what the kernel made again by
//! itself meanwhile is left alone. The journal is then taken back to where the step left it. What is still
//! missing at the end is a [`Loss`].
//!
//! Invariant: performing the ops after the step gives the scene before it, its losses excepted
//! (`plans_return_from_every_step`).

use std::collections::BTreeMap;

use super::balance::{Balance, balance, links_before};
use super::kernel::attempt;
use super::kernel::journal::Journal;
use super::kernel::lookup::{below, rivals};
use super::kernel::normal::route as plain;
use super::remake::remake;
use super::{LinkChange, Loss, LossCause, Op};
use crate::address::Family;
use crate::net::{
    Address, Link, LinkKind, LinkName, NeighbourState, Object, Route, Scene, Side, Sysctl,
    SysctlName, SysctlPlace,
};

/// How a step is undone, and what that leaves out.
#[derive(Debug, Default)]
pub(super) struct Undo {
    pub(super) ops: Vec<(Side, Op)>,
    pub(super) losses: Vec<Loss>,
}

/// Finds the undo of what the journal holds since `mark`, and leaves the scene as it is.
pub(super) fn find(journal: &mut Journal<'_>, mark: usize, side: Side, op: &Op) -> Undo {
    let after = journal.mark();
    let before = links_before(journal.since(mark));
    let mut search = Search { journal, mark, before, ops: Vec::new() };
    search.reverse(side, op);
    // Links that come and go bring and take things with them: one pass may leave a rest for the next.
    for _ in 0..3 {
        let done = search.ops.len();
        search.take();
        search.put();
        if search.ops.len() == done {
            break;
        }
    }
    let (ops, rest) = (std::mem::take(&mut search.ops), search.balance());
    journal.rewind(after);
    Undo { ops, losses: losses(rest) }
}

struct Search<'j, 'a> {
    journal: &'j mut Journal<'a>,
    mark: usize,
    before: BTreeMap<(Side, LinkName), Link>,
    ops: Vec<(Side, Op)>,
}

impl Search<'_, '_> {
    fn balance(&self) -> Balance {
        balance(self.journal.since(self.mark))
    }

    fn scene(&self) -> &Scene {
        self.journal.scene()
    }

    /// Performs an op if the kernel takes it, and keeps it.
    fn attempt(&mut self, side: Side, op: Op) -> bool {
        let is_done = attempt(self.journal, side, &op).is_ok();
        if is_done {
            self.ops.push((side, op));
        }
        is_done
    }

    /// Does the op's own opposite first: much of what came along goes along.
    fn reverse(&mut self, side: Side, op: &Op) {
        match op {
            Op::MoveLink { name, target } => {
                let back = Op::MoveLink { name: target.clone(), target: name.clone() };
                self.attempt(side.other(), back);
            }
            Op::SetLink { name, change: LinkChange::Name(target) } if name != target => {
                let change = LinkChange::Name(name.clone());
                self.attempt(side, Op::SetLink { name: target.clone(), change });
            }
            Op::SetLink { name, change } => {
                if let Some(before) = self.before.get(&(side, name.clone())).cloned() {
                    self.set(side, &before, opposite(change, &before));
                }
            }
            Op::CreateLink(new) => {
                self.attempt(side, Op::DeleteLink(new.name.clone()));
            }
            Op::AddAddress(it) => {
                self.attempt(side, Op::DeleteAddress(it.clone()));
            }
            Op::SetSysctl(name, _) => {
                let gone = self.balance().gone;
                let before = gone.into_iter().find(|(at, object)| {
                    *at == side && matches!(object, Object::Sysctl(gone, _) if gone == name)
                });
                if let Some((_, Object::Sysctl(name, value))) = before {
                    self.attempt(side, Op::SetSysctl(name, value));
                }
            }
            Op::DeleteRoute(it) if !it.has_more && it.nexthop_id.is_none() => {
                self.put_route(side, it);
            }
            Op::DeleteLink(_)
            | Op::DeleteAddress(_)
            | Op::SetNeighbour(_)
            | Op::DeleteNeighbour(_)
            | Op::AddRoute(_)
            | Op::AppendRoute(_)
            | Op::DeleteRoute(_)
            | Op::AddRule(_)
            | Op::DeleteRule(_)
            | Op::AddMarks(_)
            | Op::DeleteMarks => {}
        }
    }

    /// Takes away what is new: links and addresses first, with which much of the rest goes.
    fn take(&mut self) {
        for (side, object) in self.balance().new {
            if let Some(op) = self.removal(side, object) {
                self.attempt(side, op);
            }
        }
    }

    /// What takes away something new; none if it went along with something else, or stays what it is.
    fn removal(&self, side: Side, object: Object) -> Option<Op> {
        let observed = self.scene().side(side);
        match object {
            Object::Marks(_) => Some(Op::DeleteMarks),
            Object::Rule(it) => Some(Op::DeleteRule(it)),
            Object::Route(it) => {
                let found = rivals(observed, &it).find(|found| plain(found) == it)?;
                Some(Op::DeleteRoute(found.clone()))
            }
            Object::Neighbour(it) => {
                observed.neighbours.contains(&it).then_some(Op::DeleteNeighbour(it))
            }
            Object::Address(it) => self.has_address(side, &it).then_some(Op::DeleteAddress(it)),
            Object::Link(it) => {
                let is_new = !self.before.contains_key(&(side, it.name.clone()));
                let is_there = observed.links.contains_key(&it.name);
                (is_new && is_there).then_some(Op::DeleteLink(it.name))
            }
            // A link without that setting has IPv6, until that of all links takes it.
            Object::Sysctl(name, 1..)
                if name.name == SysctlName::DisableIpv6
                    && matches!(name.place, SysctlPlace::Link(_)) =>
            {
                (observed.sysctls.get(&name) != Some(&0)).then_some(Op::SetSysctl(name, 0))
            }
            Object::Sysctl(..) => None,
        }
    }

    /// Puts back what is gone, from the ground up.
    fn put(&mut self) {
        self.put_links();
        self.put_settings();
        let mut sysctls = Vec::new();
        let (mut addresses, mut neighbours, mut routes, mut rest) =
            (vec![], vec![], vec![], vec![]);
        for (side, object) in self.balance().gone {
            match object {
                Object::Link(_) => {}
                Object::Sysctl(name, value) => sysctls.push((side, name, value)),
                Object::Address(it) => addresses.push((side, it)),
                Object::Neighbour(it) => neighbours.push((side, it)),
                Object::Route(it) => routes.push((side, it)),
                Object::Rule(it) => rest.push((side, Op::AddRule(it))),
                Object::Marks(it) => rest.push((side, Op::AddMarks(it))),
            }
        }
        self.put_sysctls(sysctls);
        addresses.sort_by_key(|(_, address)| (address.family(), address.flags.is_secondary));
        for (side, address) in addresses.into_iter().filter(|(_, it)| is_whole_address(it)) {
            if !self.has_address(side, &address) {
                self.attempt(side, Op::AddAddress(address));
            }
        }
        for (side, neighbour) in neighbours {
            let is_there = self.scene().side(side).neighbours.contains(&neighbour);
            if neighbour.state != NeighbourState::Learned && !is_there {
                self.attempt(side, Op::SetNeighbour(neighbour));
            }
        }
        self.put_routes(routes);
        for (side, op) in rest {
            self.attempt(side, op);
        }
    }

    fn has_address(&self, side: Side, address: &Address) -> bool {
        let observed = self.scene().side(side);
        observed.addresses.iter().any(|it| it.device == address.device && it.net == address.net)
    }

    fn has_route(&self, side: Side, route: &Route) -> bool {
        rivals(self.scene().side(side), route).any(|found| plain(found) == *route)
    }

    fn put_sysctls(&mut self, sysctls: Vec<(Side, Sysctl, i64)>) {
        for (side, name, value) in sysctls {
            if self.scene().side(side).sysctls.get(&name) != Some(&value) {
                self.attempt(side, Op::SetSysctl(name, value));
            }
        }
    }

    /// Makes the links again that are gone, those first that others rest on.
    fn put_links(&mut self) {
        let missing: Vec<(Side, Link)> = self
            .before
            .iter()
            .filter(|((side, name), _)| !self.scene().side(*side).links.contains_key(name))
            .map(|((side, _), link)| (*side, link.clone()))
            .collect();
        for _ in 0..missing.len() {
            for (side, link) in &missing {
                if self.scene().side(*side).links.contains_key(&link.name) {
                    continue;
                }
                let ops = remake(self.scene(), *side, link, &self.before);
                ops.into_iter().all(|(side, op)| self.attempt(side, op));
            }
        }
    }

    /// Makes links as they were, those first that others rest on.
    fn put_settings(&mut self) {
        let mut changed: Vec<(Side, Link)> =
            self.before.iter().map(|((side, _), link)| (*side, link.clone())).collect();
        changed.sort_by_key(|(side, link)| depth(self.scene(), *side, link));
        for (side, before) in &changed {
            for change in shape(before) {
                self.set(*side, before, change);
            }
        }
        for (side, before) in &changed {
            self.set(*side, before, LinkChange::Up(before.is_up));
        }
    }

    fn set(&mut self, side: Side, before: &Link, change: LinkChange) {
        let Some(found) = self.scene().side(side).links.get(&before.name) else { return };
        if super::same::has(found, &change) {
            return;
        }
        // A bond takes ports that are down.
        if matches!(change, LinkChange::Controller(Some(_))) && found.is_up {
            let down = LinkChange::Up(false);
            self.attempt(side, Op::SetLink { name: before.name.clone(), change: down });
        }
        self.attempt(side, Op::SetLink { name: before.name.clone(), change });
    }

    /// Adds a route, behind one with its destination, metric and table if there was such a one.
    fn put_route(&mut self, side: Side, route: &Route) -> bool {
        self.attempt(side, Op::AddRoute(route.clone()))
            || self.attempt(side, Op::AppendRoute(route.clone()))
    }

    /// Adds routes that are gone, those first that gateways are reached by.
    fn put_routes(&mut self, mut routes: Vec<(Side, Route)>) {
        routes.retain(|(_, route)| !route.has_more && route.nexthop_id.is_none());
        routes.sort_by_key(|(_, route)| route.hops.iter().any(|hop| hop.gateway.is_some()));
        for _ in 0..routes.len() {
            let before = routes.len();
            routes.retain(|(side, route)| {
                !self.has_route(*side, route) && !self.put_route(*side, route)
            });
            if routes.len() == before || routes.is_empty() {
                break;
            }
        }
    }
}

/// The change that takes a change back.
fn opposite(change: &LinkChange, before: &Link) -> LinkChange {
    match change {
        LinkChange::Up(_) => LinkChange::Up(before.is_up),
        LinkChange::Mtu(_) => LinkChange::Mtu(before.mtu),
        LinkChange::Mac(mac) => LinkChange::Mac(before.mac.clone().unwrap_or_else(|| mac.clone())),
        LinkChange::Name(_) => LinkChange::Name(before.name.clone()),
        LinkChange::Controller(_) => LinkChange::Controller(before.controller.clone()),
        LinkChange::TxQueueLength(_) => LinkChange::TxQueueLength(before.tx_queue_length),
        LinkChange::Alias(_) => LinkChange::Alias(before.alias.clone()),
        LinkChange::Bond(bond) => match &before.kind {
            LinkKind::Bond(before) => LinkChange::Bond(before.clone()),
            LinkKind::Plain
            | LinkKind::Veth
            | LinkKind::Macvlan(_)
            | LinkKind::Ipvlan(_)
            | LinkKind::Vlan(_)
            | LinkKind::Bridge
            | LinkKind::Dummy
            | LinkKind::Vrf(_)
            | LinkKind::Ipoib { .. }
            | LinkKind::Other(_) => LinkChange::Bond(bond.clone()),
        },
    }
}

/// What makes a link as it was, whether it is up excepted.
fn shape(before: &Link) -> Vec<LinkChange> {
    let bond = if let LinkKind::Bond(bond) = &before.kind {
        Some(LinkChange::Bond(bond.clone()))
    } else {
        None
    };
    let always = [
        LinkChange::Alias(before.alias.clone()),
        LinkChange::TxQueueLength(before.tx_queue_length),
        LinkChange::Controller(before.controller.clone()),
        LinkChange::Mtu(before.mtu),
    ];
    bond.into_iter().chain(always).chain(before.mac.clone().map(LinkChange::Mac)).collect()
}

/// How many links a link rests on.
fn depth(scene: &Scene, side: Side, link: &Link) -> usize {
    let mut depth = 0;
    let (mut side, mut link) = (side, link);
    while let Some((at, lower)) = below(scene, side, link) {
        let is_pair = link.kind == LinkKind::Veth;
        match scene.side(at).links.get(&lower) {
            Some(found) if !is_pair && depth < 8 => (side, link) = (at, found),
            _ => break,
        }
        depth += 1;
    }
    depth
}

/// Whether an address comes back as it was: one that expires, or that the kernel manages, does not.
fn is_whole_address(address: &Address) -> bool {
    let flags = address.flags;
    let is_temporary = address.family() == Family::V6 && flags.is_secondary;
    flags.is_permanent && !flags.is_managed && !is_temporary
}

fn losses(rest: Balance) -> Vec<Loss> {
    let damaged = rest.damaged.into_iter().map(|side| Loss {
        side,
        object: None,
        cause: LossCause::Unmakeable,
    });
    let gone = rest.gone.into_iter().map(|(side, object)| Loss {
        side,
        cause: cause(&object),
        object: Some(object),
    });
    damaged.chain(gone).collect()
}

fn cause(object: &Object) -> LossCause {
    match object {
        Object::Link(_) => LossCause::Unmakeable,
        Object::Route(it) if it.has_more || it.nexthop_id.is_some() => LossCause::Unobserved,
        Object::Rule(it) if it.has_more => LossCause::Unobserved,
        Object::Address(it) if !is_whole_address(it) => LossCause::Unobserved,
        Object::Address(_)
        | Object::Neighbour(_)
        | Object::Route(_)
        | Object::Rule(_)
        | Object::Sysctl(..)
        | Object::Marks(_) => LossCause::Refused,
    }
}
