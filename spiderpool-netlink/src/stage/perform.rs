//! One op, as requests to the kernel.

use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use spiderpool_core::net::{LinkName, Route, Rule, Side};
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op};

use super::place::Place;
use super::presence::Taken;
use super::{Stage, words};
use crate::fault::NetlinkFault;
use crate::lower::{self, Indices, Request};
use crate::trial::{self, Way};
use crate::{link, netfilter};

/// Why an op was not carried out, or not wholly.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) fault: NetlinkFault,
    /// Whether the kernel had acknowledged a part of it.
    pub(super) is_begun: bool,
}

impl From<NetlinkFault> for Problem {
    fn from(fault: NetlinkFault) -> Self {
        Self { fault, is_begun: false }
    }
}

/// One op under way.
struct Deed {
    subject: String,
    way: Way,
    is_begun: bool,
}

impl Stage {
    /// Carries out one op; it is done when this returns.
    pub(super) fn perform(&mut self, side: Side, op: &Op, way: Way) -> Result<(), Problem> {
        let mut deed = Deed { subject: words::subject(side, op), way, is_begun: false };
        self.try_to(side, op, &mut deed).map_err(|fault| Problem { fault, is_begun: deed.is_begun })
    }

    fn try_to(&mut self, side: Side, op: &Op, deed: &mut Deed) -> Result<(), NetlinkFault> {
        match op {
            Op::CreateLink(new) => self.create_link(side, new, deed),
            Op::DeleteLink(name) => self.delete_link(side, name, deed),
            Op::MoveLink { name, target } => self.move_link(side, name, target, deed),
            Op::SetLink { name, change } => {
                self.place(side, &deed.subject)?.set_link(name, change, deed)
            }
            Op::AddAddress(_)
            | Op::DeleteAddress(_)
            | Op::SetNeighbour(_)
            | Op::DeleteNeighbour(_)
            | Op::AddRoute(_)
            | Op::AppendRoute(_)
            | Op::DeleteRoute(_)
            | Op::AddRule(_)
            | Op::DeleteRule(_)
            | Op::SetSysctl(..)
            | Op::AddMarks(_)
            | Op::DeleteMarks => self.place(side, &deed.subject)?.try_to(op, deed),
        }
    }

    /// Makes a link. Its alias, and that of a pair's other end, take a request of their own.
    fn create_link(
        &mut self,
        side: Side,
        new: &NewLink,
        deed: &mut Deed,
    ) -> Result<(), NetlinkFault> {
        let peer = if let NewKind::Veth(peer) = &new.kind { Some(peer) } else { None };
        let there = match peer {
            Some(_) => Some(self.descriptor(side.other(), &deed.subject)?),
            None => None,
        };
        let place = self.place(side, &deed.subject)?;
        let parent = match parent_of(&new.kind) {
            Some(name) => Some(place.index(&deed.subject, name)?),
            None => None,
        };
        place.send(new_link(link::create(new, parent, there), lower::EXCLUSIVE), deed)?;
        place.expect_anew(&new.name);
        if new.alias.is_some() {
            place.set_link(&new.name, &LinkChange::Alias(new.alias.clone()), deed)?;
        }
        let Some(peer) = peer else { return Ok(()) };
        let place = self.place(side.other(), &deed.subject)?;
        place.expect_anew(&peer.name);
        if peer.alias.is_some() {
            place.set_link(&peer.name, &LinkChange::Alias(peer.alias.clone()), deed)?;
        }
        Ok(())
    }

    fn delete_link(
        &mut self,
        side: Side,
        name: &LinkName,
        deed: &mut Deed,
    ) -> Result<(), NetlinkFault> {
        let place = self.place(side, &deed.subject)?;
        let index = place.index(&deed.subject, name)?;
        let message = RouteNetlinkMessage::DelLink(link::deletion(index));
        place.send((message, 0), deed)?;
        self.each_place(Place::forget_indices);
        Ok(())
    }

    fn move_link(
        &mut self,
        side: Side,
        name: &LinkName,
        target: &LinkName,
        deed: &mut Deed,
    ) -> Result<(), NetlinkFault> {
        let there = self.descriptor(side.other(), &deed.subject)?;
        let place = self.place(side, &deed.subject)?;
        let index = place.index(&deed.subject, name)?;
        place.send(new_link(link::move_to(index, there, target), 0), deed)?;
        place.expect_anew(name);
        self.place(side.other(), &deed.subject)?.expect_anew(target);
        Ok(())
    }

    /// The open file of a namespace; it stays open for as long as the stage.
    fn descriptor(&mut self, side: Side, subject: &str) -> Result<RawFd, NetlinkFault> {
        Ok(self.place(side, subject)?.namespace.as_fd().as_raw_fd())
    }
}

impl Place {
    fn send(&mut self, request: Request, deed: &mut Deed) -> Result<(), NetlinkFault> {
        let (message, flags) = request;
        let socket = &mut self.session.socket;
        trial::change(&deed.subject, deed.way, || {
            socket.request(&deed.subject, message, flags).map(drop)
        })?;
        deed.is_begun = true;
        Ok(())
    }

    fn set_link(
        &mut self,
        name: &LinkName,
        change: &LinkChange,
        deed: &mut Deed,
    ) -> Result<(), NetlinkFault> {
        let index = self.index(&deed.subject, name)?;
        let other = match link::names_link(change) {
            Some(other) => Some(self.index(&deed.subject, other)?),
            None => None,
        };
        for message in link::change(index, change, other) {
            self.send(new_link(message, 0), deed)?;
        }
        if let LinkChange::Name(new) = change {
            self.expect_anew(name);
            self.expect_anew(new);
        }
        Ok(())
    }

    /// Does what concerns one namespace, and no link itself.
    fn try_to(&mut self, op: &Op, deed: &mut Deed) -> Result<(), NetlinkFault> {
        let subject = deed.subject.clone();
        let request = match op {
            Op::AddAddress(address) => {
                lower::add_address(address, self.index(&subject, &address.device)?)
            }
            Op::DeleteAddress(address) => {
                lower::delete_address(address, self.index(&subject, &address.device)?)
            }
            Op::SetNeighbour(neighbour) => {
                lower::set_neighbour(neighbour, self.index(&subject, &neighbour.device)?)
            }
            Op::DeleteNeighbour(neighbour) => {
                lower::delete_neighbour(neighbour, self.index(&subject, &neighbour.device)?)
            }
            Op::AddRoute(route) => {
                refuse_more(&subject, route.has_more)?;
                lower::add_route(route, &self.indices(&subject, route)?)
            }
            Op::AppendRoute(route) => {
                refuse_more(&subject, route.has_more)?;
                lower::append_route(route, &self.indices(&subject, route)?)
            }
            Op::DeleteRoute(route) => lower::delete_route(route, &self.indices(&subject, route)?),
            Op::AddRule(rule) => {
                refuse_more(&subject, rule.has_more)?;
                lower::add_rule(rule)
            }
            Op::DeleteRule(rule) => {
                self.refuse_other_rule(&subject, rule)?;
                lower::delete_rule(rule)
            }
            Op::SetSysctl(which, value) => return self.set_sysctl(which, *value, deed.way),
            Op::AddMarks(marks) => {
                let socket = self.netfilter()?;
                return trial::change(&subject, deed.way, || netfilter::add_marks(socket, marks));
            }
            Op::DeleteMarks => {
                let socket = self.netfilter()?;
                return trial::change(&subject, deed.way, || netfilter::delete_marks(socket));
            }
            Op::CreateLink(_) | Op::DeleteLink(_) | Op::SetLink { .. } | Op::MoveLink { .. } => {
                return Ok(());
            }
        };
        self.send(request, deed)
    }

    fn indices(&mut self, subject: &str, route: &Route) -> Result<Indices, NetlinkFault> {
        let mut indices = Indices::new();
        for device in route.hops.iter().filter_map(|hop| hop.device.as_ref()) {
            indices.insert(device.clone(), self.index(subject, device)?);
        }
        Ok(indices)
    }

    /// The kernel cannot be told that a rule has *no* selector, so it may delete a narrower one.
    fn refuse_other_rule(&mut self, subject: &str, rule: &Rule) -> Result<(), NetlinkFault> {
        refuse_more(subject, rule.has_more)?;
        match self.deleted_for(rule)? {
            Taken::ThatOne => Ok(()),
            Taken::Nothing => Err(NetlinkFault::NotThere { subject: subject.to_owned() }),
            Taken::Another(other) => Err(NetlinkFault::Unasked {
                subject: subject.to_owned(),
                reason: format!(
                    "the kernel would delete {} first, which has the same priority; delete one of them \
                     by hand",
                    words::rule(&other)
                ),
            }),
        }
    }
}

fn refuse_more(subject: &str, has_more: bool) -> Result<(), NetlinkFault> {
    if !has_more {
        return Ok(());
    }
    Err(NetlinkFault::Unasked {
        subject: subject.to_owned(),
        reason: "it has attributes that are not understood here, and would come out as something \
                 else; do it by hand"
            .to_owned(),
    })
}

fn new_link(message: LinkMessage, flags: u16) -> Request {
    (RouteNetlinkMessage::NewLink(message), flags)
}

fn parent_of(kind: &NewKind) -> Option<&LinkName> {
    match kind {
        NewKind::Vlan { parent, .. }
        | NewKind::Macvlan { parent, .. }
        | NewKind::Ipvlan { parent, .. } => Some(parent),
        NewKind::Veth(_)
        | NewKind::Bond(_)
        | NewKind::Bridge
        | NewKind::Dummy
        | NewKind::Vrf(_) => None,
    }
}
