//! Whether what an op aims at is so already: somebody else was first, or it went along with something.

use spiderpool_core::net::{
    Address, Link, LinkKind, Marking, Neighbour, NeighbourState, Route, RouteProtocol, Rule, Side,
};
use spiderpool_core::plan::{NewKind, NewLink, Op};

use super::Stage;
use super::place::Place;
use crate::fault::NetlinkFault;
use crate::focus::Tables;

impl Stage {
    /// Whether a fault only says that it is so already. What cannot be looked at is not so.
    pub(super) fn is_so(&mut self, side: Side, op: &Op, fault: &NetlinkFault) -> bool {
        if !fault.is_about_presence() {
            return false;
        }
        let Ok(place) = self.place(side, "look again") else { return false };
        place.holds(op).unwrap_or(false)
    }
}

impl Place {
    fn holds(&mut self, op: &Op) -> Result<bool, NetlinkFault> {
        Ok(match op {
            Op::CreateLink(new) => {
                self.session.links()?.get(&new.name).is_some_and(|link| fits(new, link))
            }
            Op::DeleteLink(name) => self.session.link(name)?.is_none(),
            Op::AddAddress(address) => self.has_address(address)?,
            Op::DeleteAddress(address) => !self.has_address(address)?,
            Op::SetNeighbour(neighbour) => self.has_neighbour(neighbour)?,
            Op::DeleteNeighbour(neighbour) => !self.has_neighbour(neighbour)?,
            Op::AddRoute(route) | Op::AppendRoute(route) => self.has_route(route)?,
            Op::DeleteRoute(route) => !self.has_route(route)?,
            Op::AddRule(rule) => self.has_rule(rule)?,
            Op::DeleteRule(rule) => !self.has_rule(rule)?,
            Op::SetSysctl(which, value) => self.sysctl(which)? == Some(*value),
            Op::AddMarks(marks) => self.marking()? == Marking::Present(marks.clone()),
            Op::DeleteMarks => self.marking()? == Marking::Absent,
            // Nothing of theirs can be there already: what they say is the truth.
            Op::SetLink { .. } | Op::MoveLink { .. } => false,
        })
    }

    fn has_address(&mut self, wanted: &Address) -> Result<bool, NetlinkFault> {
        let key = |address: &Address| (address.device.clone(), address.net, address.peer);
        Ok(self.session.addresses()?.iter().any(|address| key(address) == key(wanted)))
    }

    fn has_neighbour(&mut self, wanted: &Neighbour) -> Result<bool, NetlinkFault> {
        let same = |neighbour: &Neighbour| {
            let is_fixed = neighbour.state != NeighbourState::Learned;
            is_fixed && Neighbour { protocol: wanted.protocol, ..neighbour.clone() } == *wanted
        };
        Ok(self.session.neighbours()?.iter().any(same))
    }

    fn has_route(&mut self, wanted: &Route) -> Result<bool, NetlinkFault> {
        let routes = self.session.routes_of(&Tables::Only([wanted.table].into()))?;
        let same = |route: &Route| Route { protocol: wanted.protocol, ..route.clone() } == *wanted;
        Ok(routes.iter().any(same))
    }

    fn has_rule(&mut self, wanted: &Rule) -> Result<bool, NetlinkFault> {
        let same = |rule: &Rule| Rule { protocol: wanted.protocol, ..rule.clone() } == *wanted;
        Ok(self.session.rules_in_order(wanted.family)?.iter().any(same))
    }

    /// What the kernel would do if asked to delete a rule: it takes the first that has what is told
    /// (`rule_find` in `net/core/fib_rules.c`), and what is not told may be anything.
    pub(super) fn deleted_for(&mut self, wanted: &Rule) -> Result<Taken, NetlinkFault> {
        let rules = self.session.rules_in_order(wanted.family)?;
        if !rules.contains(wanted) {
            return Ok(Taken::Nothing);
        }
        let first = rules.into_iter().find(|rule| is_told_by(wanted, rule));
        Ok(first.filter(|first| first != wanted).map_or(Taken::ThatOne, Taken::Another))
    }
}

/// Which rule the kernel would delete.
pub(super) enum Taken {
    /// There is no such rule: none should be deleted.
    Nothing,
    /// The one that is meant.
    ThatOne,
    /// One before it that has more selectors.
    Another(Rule),
}

fn is_told_by(told: &Rule, rule: &Rule) -> bool {
    fn agree<T: PartialEq>(told: Option<&T>, has: Option<&T>) -> bool {
        told.is_none() || told == has
    }
    let is_anybodys = told.protocol == RouteProtocol::UNSPECIFIED;
    (told.action, told.priority) == (rule.action, rule.priority)
        && told.is_inverted == rule.is_inverted
        && (is_anybodys || told.protocol == rule.protocol)
        && agree(told.from.as_ref(), rule.from.as_ref())
        && agree(told.to.as_ref(), rule.to.as_ref())
        && agree(told.input.as_ref(), rule.input.as_ref())
        && agree(told.output.as_ref(), rule.output.as_ref())
        && agree(told.mark.as_ref(), rule.mark.as_ref())
}

/// Whether a link is what is to be made: kind and the kind's own attributes, and the parent.
fn fits(new: &NewLink, link: &Link) -> bool {
    let parent = link.parent.as_ref().and_then(|parent| parent.name.as_ref());
    match (&new.kind, &link.kind) {
        (NewKind::Veth(_), LinkKind::Veth)
        | (NewKind::Bridge, LinkKind::Bridge)
        | (NewKind::Dummy, LinkKind::Dummy) => true,
        (NewKind::Vlan { parent: below, vlan }, LinkKind::Vlan(has)) => {
            vlan == has && parent == Some(below)
        }
        (NewKind::Macvlan { parent: below, macvlan }, LinkKind::Macvlan(has)) => {
            macvlan == has && parent == Some(below)
        }
        (NewKind::Ipvlan { parent: below, ipvlan }, LinkKind::Ipvlan(has)) => {
            ipvlan == has && parent == Some(below)
        }
        (NewKind::Bond(bond), LinkKind::Bond(has)) => bond.beyond(has).options.is_empty(),
        (NewKind::Vrf(table), LinkKind::Vrf(has)) => table == has,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use spiderpool_core::address::Family;

    use super::*;

    #[test]
    fn a_plain_rule_tells_narrower_ones_too() {
        let plain = Rule::new(Family::V4, 1000, 500);
        let narrow = Rule { from: Some("10.0.0.9/32".parse().unwrap()), ..plain.clone() };
        assert!(is_told_by(&plain, &narrow));
        assert!(!is_told_by(&narrow, &plain));
        let other = Rule { protocol: RouteProtocol::STATIC, ..plain.clone() };
        assert!(!is_told_by(&plain, &other));
    }
}
