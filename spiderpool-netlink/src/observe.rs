//! What a network namespace holds, as plain values: [`Link`]s, [`Address`]es, [`Route`]s.
//!
//! Called by adapters through a [`Session`]. Names are looked up after the objects,
//! so an object without a link is one whose link went away meanwhile, and it went with it.
//! Invariants:
//!
//! 1. The same state gives the same list: each is sorted, and no order comes from the kernel
//!    (`what_was_set_is_observed` compares whole lists).
//! 2. No message makes it panic (`hostile_messages_are_lifted_or_refused` in each module).

mod address;
mod link;
mod route;

use std::collections::BTreeMap;

use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::fault::NetlinkFault;
use crate::session::Session;
use crate::socket::unreadable;

pub use address::{Address, AddressFlags};
pub use link::{HardwareAddress, Link};
pub use route::{Hop, Route, RouteProtocol, RouteType};

/// How far an address or a route reaches (`enum rt_scope_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everywhere.
    Universe,
    /// Within the site.
    Site,
    /// On this link.
    Link,
    /// On this host.
    Host,
    /// Nowhere: the destination does not exist.
    Nowhere,
    /// Another number, which users may define.
    Other(u8),
}

impl From<u8> for Scope {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Universe,
            200 => Self::Site,
            253 => Self::Link,
            254 => Self::Host,
            255 => Self::Nowhere,
            other => Self::Other(other),
        }
    }
}

/// The families that are listed; each on its own, since a kernel without IPv6 answers a question
/// for it with everything that it has.
const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// Link names by index.
type Names = BTreeMap<u32, String>;

impl Session {
    /// All links, sorted by index.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkFault> {
        let mut links = self.list("list the links", &link::question(), link::lift)?;
        links.sort();
        Ok(links)
    }

    /// All IPv4 and IPv6 addresses, sorted by link index, then family, then address.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkFault> {
        let mut found = Vec::new();
        for family in FAMILIES {
            let question = address::question(family);
            found.extend(
                self.list("list the addresses", &question, |message| {
                    address::lift(message, family)
                })?,
            );
        }
        let names = self.names()?;
        let mut named: Vec<_> =
            found.into_iter().filter_map(|address| address::name(address, &names)).collect();
        named.sort();
        Ok(named)
    }

    /// All IPv4 and IPv6 routes of all tables, the kernel's own included, sorted by family, table,
    /// destination, then metric. Cached routes are not among them.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetlinkFault> {
        let mut found = Vec::new();
        for family in FAMILIES {
            let question = route::question(family);
            found.extend(
                self.list("list the routes", &question, |message| route::lift(message, family))?,
            );
        }
        let names = self.names()?;
        let mut named: Vec<_> =
            found.into_iter().filter_map(|route| route::name(route, &names)).collect();
        named.sort();
        Ok(named)
    }

    fn names(&mut self) -> Result<Names, NetlinkFault> {
        let links = self.links()?;
        Ok(links.into_iter().map(|link| (link.index, link.name)).collect())
    }

    fn list<T>(
        &mut self,
        subject: &str,
        question: &RouteNetlinkMessage,
        lift: impl Fn(RouteNetlinkMessage) -> Result<Option<T>, String>,
    ) -> Result<Vec<T>, NetlinkFault> {
        let mut lifted = Vec::new();
        for message in self.socket.dump(subject, question)? {
            lifted.extend(lift(message).map_err(|reason| unreadable(subject, reason))?);
        }
        Ok(lifted)
    }
}

/// Bytes that hit the decoder: any body of any size after a plausible header.
#[cfg(test)]
pub(crate) fn hostile_message(kind: u16, body: &[u8]) -> Option<RouteNetlinkMessage> {
    use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};

    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    RouteNetlinkMessage::deserialize(&header, body).ok()
}

/// A body that often decodes: a header of a family that is asked for, then attributes of true
/// lengths, most of them of the types and sizes in `usual`, with arbitrary values.
#[cfg(test)]
pub(crate) fn hostile_body(
    header_len: usize,
    usual: &'static [(u16, usize)],
) -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;

    let header = prop::collection::vec(any::<u8>(), header_len);
    let family = prop::sample::select(vec![2_u8, 10]);
    let byte = || prop_oneof![any::<u8>(), 97_u8..123];
    let known = prop::sample::select(usual).prop_flat_map(move |(kind, length)| {
        prop::collection::vec(byte(), length).prop_map(move |value| (kind, value))
    });
    let unknown = (0_u16..64, prop::collection::vec(any::<u8>(), 0..40));
    let attributes = prop::collection::vec(prop_oneof![9 => known, 1 => unknown], 0..5);
    (header, family, attributes).prop_map(|(mut body, family, attributes)| {
        body[0] = family;
        for (kind, value) in attributes {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(&value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body
    })
}
