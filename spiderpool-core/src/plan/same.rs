//! When what is there is what is wished for.
//!
//! Who made a thing does not count: an equal route, rule or neighbour of somebody else's serves as well.
//! Nor does what only the kernel says about it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::kernel::normal::route as plain;
use crate::net::{Address, Link, Neighbour, Route, RouteProtocol, Rule};
use crate::plan::LinkChange;

pub(super) fn is_same_route(found: &Route, wanted: &Route) -> bool {
    let anonymous = |route: &Route| Route { protocol: RouteProtocol::UNSPECIFIED, ..plain(route) };
    anonymous(found) == anonymous(wanted)
}

pub(super) fn is_same_rule(found: &Rule, wanted: &Rule) -> bool {
    *found == Rule { protocol: found.protocol, ..wanted.clone() }
}

pub(super) fn is_same_neighbour(found: &Neighbour, wanted: &Neighbour) -> bool {
    *found == Neighbour { protocol: found.protocol, ..wanted.clone() }
}

/// Whether two addresses of a link are one to the kernel: in IPv6 the address itself, in IPv4 the prefix
/// counts, too.
pub(super) fn is_same_place(found: &Address, wanted: &Address) -> bool {
    if found.device != wanted.device || found.net.addr() != wanted.net.addr() {
        return false;
    }
    match (found.net, wanted.net) {
        (IpNet::V4(found_net), IpNet::V4(wanted_net)) => {
            let far = |address: &Address, own: IpAddr| address.peer.unwrap_or(own);
            found_net.prefix_len() == wanted_net.prefix_len()
                && far(found, found.net.addr()) == far(wanted, wanted.net.addr())
        }
        _ => true,
    }
}

pub(super) fn is_same_address(found: &Address, wanted: &Address) -> bool {
    let is_scoped = found.net.addr().is_ipv6() || found.scope == wanted.scope;
    is_same_place(found, wanted)
        && (found.net, found.peer) == (wanted.net, wanted.peer)
        && is_scoped
        && (wanted.broadcast.is_none() || wanted.broadcast == found.broadcast)
        && found.flags.has_no_prefix_route == wanted.flags.has_no_prefix_route
}

/// Whether a link is as a change would make it; its name and the options of a bond are others' to see to.
pub(super) fn has(link: &Link, change: &LinkChange) -> bool {
    match change {
        LinkChange::Up(is_up) => link.is_up == *is_up,
        LinkChange::Mtu(mtu) => link.mtu == *mtu,
        LinkChange::Mac(mac) => link.mac.as_ref() == Some(mac),
        LinkChange::Name(name) => link.name == *name,
        LinkChange::Controller(controller) => link.controller == *controller,
        LinkChange::TxQueueLength(length) => link.tx_queue_length == *length,
        LinkChange::Alias(alias) => {
            link.alias.as_deref().unwrap_or("") == alias.as_deref().unwrap_or("")
        }
        LinkChange::Bond(bond) => bond_changes(link, bond).options.is_empty(),
    }
}

/// Those of a bond's options that a link has not.
pub(super) fn bond_changes(link: &Link, wanted: &crate::net::Bond) -> crate::net::Bond {
    let crate::net::LinkKind::Bond(found) = &link.kind else { return wanted.clone() };
    let differs = |(option, value): &(_, _)| found.options.get(option) != Some(value);
    let pairs = wanted.options.iter().map(|(option, value)| (*option, value.clone()));
    crate::net::Bond { options: pairs.filter(differs).collect() }
}
