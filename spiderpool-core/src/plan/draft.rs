//! From one wish to the ops that would make it true.
//!
//! Called by the planner, again after each step: a wish that holds gives no op.

use super::kernel::lookup::{in_place_of, rivals};
use super::kernel::route::normal;
use super::same::{
    bond_changes, has, is_same_address, is_same_neighbour, is_same_place, is_same_route,
    is_same_rule,
};
use super::{LinkChange, Op, PlanRefusal, draft_link};
use crate::intend::{Want, Wish};
use crate::net::{
    Address, Bond, BondOption, Link, LinkKind, LinkName, Marking, Marks, Neighbour, NeighbourState,
    Object, Observed, Route, RouteProtocol, Rule, Scene, Side, Sysctl, SysctlPlace,
};

/// A scene, and all that is wished for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) scene: &'a Scene,
    pub(super) wishes: &'a [Wish],
}

/// Ops in order, each in its namespace; none for a wish that holds.
pub(super) type Draft = Result<Vec<(Side, Op)>, PlanRefusal>;

impl Look<'_> {
    pub(super) fn draft(&self, wish: &Wish) -> Draft {
        let side = wish.side;
        let observed = self.scene.side(side);
        match &wish.want {
            Want::Link(new) => draft_link::link(self.scene, side, new),
            Want::Setting { link, change } => setting(observed, side, link, change),
            Want::Address(it) => self.address(side, it),
            Want::Neighbour(it) => self.neighbour(side, it),
            Want::Route(it) => self.route(side, it),
            Want::Rule(it) => Ok(rule(observed, side, it)),
            Want::Sysctl(name, value) => sysctl(observed, side, name, *value),
            Want::Marks(marks) => Ok(mark(observed, side, marks)),
            Want::NoLink(_)
            | Want::NoAddress(_)
            | Want::NoNeighbour(_)
            | Want::NoRoute(_)
            | Want::NoRule(_)
            | Want::NoMarks => {
                Ok(absent(observed, &wish.want).map(|op| (side, op)).into_iter().collect())
            }
        }
    }

    /// Whether somebody wishes that this very object were not there.
    fn is_unwanted(&self, side: Side, object: &Object) -> bool {
        let is_it = |want: &Want| match (want, object) {
            (Want::NoAddress(it), Object::Address(found)) => it.net == found.net,
            (Want::NoNeighbour(it), Object::Neighbour(found)) => it == found,
            (Want::NoRoute(it), Object::Route(found)) => normal(it) == *found,
            _ => false,
        };
        self.wishes.iter().any(|wish| wish.side == side && is_it(&wish.want))
    }

    fn route(&self, side: Side, wanted: &Route) -> Draft {
        let wanted = normal(wanted);
        let observed = self.scene.side(side);
        if rivals(observed, &wanted).any(|found| is_same_route(found, &wanted)) {
            return Ok(Vec::new());
        }
        let mut ops = Vec::new();
        for found in rivals(observed, &wanted) {
            let object = Object::Route(found.clone());
            if found.protocol != RouteProtocol::OURS && !self.is_unwanted(side, &object) {
                return Err(foreign(side, Object::Route(wanted.clone()), object));
            }
            ops.push((side, Op::DeleteRoute(found.clone())));
        }
        ops.push((side, Op::AddRoute(wanted)));
        Ok(ops)
    }

    fn address(&self, side: Side, wanted: &Address) -> Draft {
        let observed = self.scene.side(side);
        link(observed, side, &wanted.device)?;
        let found = observed.addresses.iter().find(|found| is_same_place(found, wanted));
        let Some(found) = found else { return Ok(vec![(side, Op::AddAddress(wanted.clone()))]) };
        if is_same_address(found, wanted) {
            return Ok(Vec::new());
        }
        let object = Object::Address(found.clone());
        if !self.is_unwanted(side, &object) {
            return Err(foreign(side, Object::Address(wanted.clone()), object));
        }
        let delete = Op::DeleteAddress(found.clone());
        Ok(vec![(side, delete), (side, Op::AddAddress(wanted.clone()))])
    }

    fn neighbour(&self, side: Side, wanted: &Neighbour) -> Draft {
        let observed = self.scene.side(side);
        link(observed, side, &wanted.device)?;
        if let Some(found) = in_place_of(observed, wanted) {
            if is_same_neighbour(found, wanted) {
                return Ok(Vec::new());
            }
            let object = Object::Neighbour(found.clone());
            let is_free = found.state == NeighbourState::Learned
                || found.protocol == RouteProtocol::OURS
                || self.is_unwanted(side, &object);
            if !is_free {
                return Err(foreign(side, Object::Neighbour(wanted.clone()), object));
            }
        }
        Ok(vec![(side, Op::SetNeighbour(wanted.clone()))])
    }
}

fn foreign(side: Side, wanted: Object, found: Object) -> PlanRefusal {
    PlanRefusal::Foreign { side, wanted: Box::new(wanted), found: Box::new(found) }
}

fn link<'a>(observed: &'a Observed, side: Side, name: &LinkName) -> Result<&'a Link, PlanRefusal> {
    observed.links.get(name).ok_or_else(|| PlanRefusal::NoLink { side, name: name.clone() })
}

fn setting(observed: &Observed, side: Side, name: &LinkName, change: &LinkChange) -> Draft {
    if let LinkChange::Name(target) = change
        && !observed.links.contains_key(name)
        && observed.links.contains_key(target)
    {
        return Ok(Vec::new());
    }
    let found = link(observed, side, name)?;
    if has(found, change) {
        return Ok(Vec::new());
    }
    let set = |change| (side, Op::SetLink { name: name.clone(), change });
    Ok(match change {
        LinkChange::Controller(Some(controller)) if found.is_up => {
            let above = observed.links.get(controller);
            let is_bond = above.is_some_and(|above| matches!(above.kind, LinkKind::Bond(_)));
            let down = is_bond.then(|| set(LinkChange::Up(false)));
            down.into_iter().chain([set(change.clone())]).collect()
        }
        LinkChange::Bond(wanted) => bond(side, found, wanted),
        LinkChange::Up(_)
        | LinkChange::Mtu(_)
        | LinkChange::Mac(_)
        | LinkChange::Name(_)
        | LinkChange::Controller(_)
        | LinkChange::TxQueueLength(_)
        | LinkChange::Alias(_) => vec![set(change.clone())],
    })
}

/// What changes a bond's options, in an order that the driver takes: the mode first and by itself, since
/// others depend on it; a bond that is up goes down for those that need it.
pub(super) fn bond(side: Side, found: &Link, wanted: &Bond) -> Vec<(Side, Op)> {
    let mut rest = bond_changes(found, wanted);
    let set = |change| (side, Op::SetLink { name: found.name.clone(), change });
    let is_downed = found.is_up && rest.needs().is_down();
    let mut ops: Vec<_> = is_downed.then(|| set(LinkChange::Up(false))).into_iter().collect();
    if let Some(mode) = rest.options.remove(&BondOption::Mode) {
        ops.push(set(LinkChange::Bond(Bond::with(BondOption::Mode, mode))));
    }
    if !rest.options.is_empty() {
        ops.push(set(LinkChange::Bond(rest)));
    }
    ops.extend(is_downed.then(|| set(LinkChange::Up(true))));
    ops
}

fn rule(observed: &Observed, side: Side, wanted: &Rule) -> Vec<(Side, Op)> {
    let is_there = observed.rules.iter().any(|found| is_same_rule(found, wanted));
    if is_there { Vec::new() } else { vec![(side, Op::AddRule(wanted.clone()))] }
}

fn sysctl(observed: &Observed, side: Side, name: &Sysctl, value: i64) -> Draft {
    if let SysctlPlace::Link(place) = &name.place {
        link(observed, side, place)?;
    }
    if observed.sysctls.get(name) == Some(&value) {
        return Ok(Vec::new());
    }
    Ok(vec![(side, Op::SetSysctl(name.clone(), value))])
}

fn mark(observed: &Observed, side: Side, wanted: &Marks) -> Vec<(Side, Op)> {
    let add = (side, Op::AddMarks(wanted.clone()));
    match &observed.marking {
        Marking::Present(found) if found == wanted => Vec::new(),
        Marking::Absent => vec![add],
        Marking::Present(_) | Marking::Damaged => vec![(side, Op::DeleteMarks), add],
    }
}

/// What removes exactly what is unwanted, its maker's number included: what differs is somebody else's.
fn absent(observed: &Observed, want: &Want) -> Option<Op> {
    match want {
        Want::NoLink(name) => {
            observed.links.contains_key(name).then(|| Op::DeleteLink(name.clone()))
        }
        Want::NoAddress(it) => observed
            .addresses
            .iter()
            .find(|found| found.device == it.device && (found.net, found.peer) == (it.net, it.peer))
            .map(|found| Op::DeleteAddress(found.clone())),
        Want::NoNeighbour(it) => {
            in_place_of(observed, it).filter(|found| *found == it).cloned().map(Op::DeleteNeighbour)
        }
        Want::NoRoute(it) => {
            let it = normal(it);
            observed.routes.contains(&it).then_some(Op::DeleteRoute(it))
        }
        Want::NoRule(it) => observed.rules.contains(it).then(|| Op::DeleteRule(it.clone())),
        Want::NoMarks => (observed.marking != Marking::Absent).then_some(Op::DeleteMarks),
        Want::Link(_)
        | Want::Setting { .. }
        | Want::Address(_)
        | Want::Neighbour(_)
        | Want::Route(_)
        | Want::Rule(_)
        | Want::Sysctl(..)
        | Want::Marks(_) => None,
    }
}
