//! Single changes as messages: addresses, neighbours, routes and rules ([`link`](crate::link) has its own).
//!
//! Called by [`stage`](crate::stage), which resolves names to indices and sends. All of this is pure.
//! Invariants:
//!
//! 1. Creating is exclusive: what is there already is refused by the kernel
//!    (`creating_is_exclusive`). Only [`set_neighbour`] takes the place of what the kernel learned.
//! 2. What is lowered and lifted again is what it was (`what_is_lowered_lifts_to_itself` in each
//!    module), so deleting tells the kernel all that is known of the object.

mod address;
mod neighbour;
mod route;
mod rule;

use std::collections::BTreeMap;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use spiderpool_core::net::{Address, LinkName, Neighbour, Route, Rule};

/// A request: what is asked, and how.
pub(crate) type Request = (RouteNetlinkMessage, u16);

/// Indices of the links that an object names.
pub(crate) type Indices = BTreeMap<LinkName, u32>;

/// What is there already is an error.
pub(crate) const EXCLUSIVE: u16 = NLM_F_CREATE | NLM_F_EXCL;

pub(crate) fn add_address(address: &Address, index: u32) -> Request {
    (RouteNetlinkMessage::NewAddress(address::message(address, index)), EXCLUSIVE)
}

pub(crate) fn delete_address(address: &Address, index: u32) -> Request {
    (RouteNetlinkMessage::DelAddress(address::message(address, index)), 0)
}

pub(crate) fn set_neighbour(neighbour: &Neighbour, index: u32) -> Request {
    let message = RouteNetlinkMessage::NewNeighbour(neighbour::message(neighbour, index));
    (message, NLM_F_CREATE | NLM_F_REPLACE)
}

pub(crate) fn delete_neighbour(neighbour: &Neighbour, index: u32) -> Request {
    (RouteNetlinkMessage::DelNeighbour(neighbour::message(neighbour, index)), 0)
}

pub(crate) fn add_route(route: &Route, indices: &Indices) -> Request {
    (RouteNetlinkMessage::NewRoute(route::message(route, indices)), EXCLUSIVE)
}

/// Adds a route behind those of its key: neither exclusive nor in place of them.
pub(crate) fn append_route(route: &Route, indices: &Indices) -> Request {
    let flags = NLM_F_CREATE | NLM_F_APPEND;
    (RouteNetlinkMessage::NewRoute(route::message(route, indices)), flags)
}

pub(crate) fn delete_route(route: &Route, indices: &Indices) -> Request {
    (RouteNetlinkMessage::DelRoute(route::message(route, indices)), 0)
}

pub(crate) fn add_rule(rule: &Rule) -> Request {
    (RouteNetlinkMessage::NewRule(rule::message(rule)), EXCLUSIVE)
}

pub(crate) fn delete_rule(rule: &Rule) -> Request {
    (RouteNetlinkMessage::DelRule(rule::message(rule)), 0)
}

/// The question which route leads to an address.
pub(crate) use route::look_up;

#[cfg(test)]
mod tests {
    use spiderpool_core::address::Family;

    use super::*;

    #[test]
    fn creating_is_exclusive() {
        let device = LinkName::new("eth0").unwrap();
        let net = "10.0.0.1/24".parse().unwrap();
        let (_, address) = add_address(&Address::new(device.clone(), net), 3);
        let (_, route) = add_route(&Route::on_link(net, 100, device), &Indices::new());
        let (_, rule) = add_rule(&Rule::new(Family::V4, 1000, 100));
        assert_eq!([address, route, rule], [EXCLUSIVE; 3]);
    }
}
