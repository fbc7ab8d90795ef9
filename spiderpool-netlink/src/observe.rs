//! What a network namespace holds, as the core's plain values ([`spiderpool_core::net`]).
//!
//! Called by adapters through a [`Session`], and by [`stage`](crate::stage) for two namespaces at once.
//! Links are listed after what is on them, so an object whose link is not among them is one whose link
//! went away meanwhile, and it went with it. Invariants:
//!
//! 1. The same state gives the same value: no order comes from the kernel
//!    (`what_was_set_is_observed` compares whole lists).
//! 2. No message makes it panic (`hostile_messages_are_lifted_or_refused` in each module).
//! 3. A table that does not exist holds no routes (`tables_that_do_not_exist_hold_nothing`).

pub(crate) mod address;
pub(crate) mod neighbour;
pub(crate) mod route;
pub(crate) mod rule;

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use spiderpool_core::address::Family;
use spiderpool_core::net::{
    Address, Link, LinkName, Neighbour, Observed, Route, Rule, VirtualFunction,
};

use crate::fault::{Errno, NetlinkFault};
use crate::focus::{Tables, Wanted};
use crate::link;
use crate::session::Session;
use crate::socket::unreadable;

/// Link names by index.
pub(crate) type Names = BTreeMap<u32, LinkName>;

/// What the kernel answered about one family, before the links' names are known.
type Raw = Vec<(Family, Vec<RouteNetlinkMessage>)>;

/// A family's number; each is listed on its own, since a kernel without IPv6 answers a question for it
/// with everything that it has.
pub(crate) const fn number(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

impl Session {
    /// All links by name.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn links(&mut self) -> Result<BTreeMap<LinkName, Link>, NetlinkFault> {
        let subject = "list the links";
        let messages = self.socket.dump(subject, &link::question())?;
        link::lift_all(messages).map_err(|reason| unreadable(subject, reason))
    }

    /// The link of a name; none if there is none. Names of other links are not in it.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`].
    pub fn link(&mut self, name: &LinkName) -> Result<Option<Link>, NetlinkFault> {
        let subject = format!("look at link `{name}`");
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        match self.socket.request(&subject, RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answer) => {
                let mut links =
                    link::lift_all(answer).map_err(|reason| unreadable(&subject, reason))?;
                Ok(links.remove(name))
            }
            Err(fault) if fault.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The virtual functions of an SR-IOV physical function, by number; none for other links.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`].
    pub fn functions(&mut self, index: u32) -> Result<Vec<VirtualFunction>, NetlinkFault> {
        let subject = format!("list the virtual functions of link {index}");
        let question = link::question_of_functions(index);
        self.socket.request(&subject, question, 0).map(link::functions_of)
    }

    /// All IPv4 and IPv6 addresses.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn addresses(&mut self) -> Result<BTreeSet<Address>, NetlinkFault> {
        let raw = self.raw_addresses()?;
        lift_all("list the addresses", raw, &self.names()?, address::lift)
    }

    /// All IPv4 and IPv6 routes of all tables, the kernel's own included. Cached routes are not among
    /// them.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn routes(&mut self) -> Result<BTreeSet<Route>, NetlinkFault> {
        self.routes_of(&Tables::All)
    }

    /// The IPv4 and IPv6 routes of some tables.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn routes_of(&mut self, tables: &Tables) -> Result<BTreeSet<Route>, NetlinkFault> {
        let raw = self.raw_routes(tables)?;
        lift_all("list the routes", raw, &self.names()?, route::lift)
            .map(|routes| keep(routes, tables))
    }

    /// All IPv4 and IPv6 rules, in no order but their values'.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn rules(&mut self) -> Result<BTreeSet<Rule>, NetlinkFault> {
        let mut rules = BTreeSet::new();
        for family in Family::BOTH {
            rules.extend(self.rules_in_order(family)?);
        }
        Ok(rules)
    }

    /// The rules of a family, in the order in which the kernel asks them.
    pub(crate) fn rules_in_order(&mut self, family: Family) -> Result<Vec<Rule>, NetlinkFault> {
        let subject = "list the rules";
        let mut rules = Vec::new();
        for message in self.socket.dump(subject, &rule::question(family))? {
            let lifted = rule::lift(message, family);
            rules.extend(lifted.map_err(|reason| unreadable(subject, reason))?);
        }
        Ok(rules)
    }

    /// All IPv4 and IPv6 neighbours, proxies included.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a list is whole or it is an error.
    pub fn neighbours(&mut self) -> Result<BTreeSet<Neighbour>, NetlinkFault> {
        let raw = self.raw_neighbours()?;
        lift_all("list the neighbours", raw, &self.names()?, neighbour::lift)
    }

    /// All that is wanted but sysctls and marks, which no route socket tells.
    pub(crate) fn observe(&mut self, wanted: &Wanted) -> Result<Observed, NetlinkFault> {
        let addresses = self.raw_addresses()?;
        let routes = self.raw_routes(&wanted.tables)?;
        let neighbours = if wanted.neighbours { self.raw_neighbours()? } else { Raw::new() };
        let rules = self.rules()?;
        let links = self.links()?;
        let names = links.values().map(|link| (link.index, link.name.clone())).collect();
        let routes = lift_all("list the routes", routes, &names, route::lift)?;
        Ok(Observed {
            addresses: lift_all("list the addresses", addresses, &names, address::lift)?,
            routes: keep(routes, &wanted.tables),
            neighbours: lift_all("list the neighbours", neighbours, &names, neighbour::lift)?,
            rules,
            links,
            ..Observed::default()
        })
    }

    fn raw_addresses(&mut self) -> Result<Raw, NetlinkFault> {
        self.of_both("list the addresses", address::question)
    }

    fn raw_neighbours(&mut self) -> Result<Raw, NetlinkFault> {
        let mut raw = self.of_both("list the neighbours", neighbour::question)?;
        raw.extend(self.of_both("list the proxied neighbours", neighbour::question_for_proxies)?);
        Ok(raw)
    }

    fn raw_routes(&mut self, tables: &Tables) -> Result<Raw, NetlinkFault> {
        let Tables::Only(tables) = tables else {
            return self.of_both("list the routes", |family| route::question(family, None));
        };
        let mut raw = Raw::new();
        for table in tables {
            let subject = format!("list the routes of table {table}");
            for family in Family::BOTH {
                match self.socket.dump(&subject, &route::question(family, Some(*table))) {
                    Ok(messages) => raw.push((family, messages)),
                    // The table is made along with its first route.
                    Err(fault) if fault.errno() == Some(Errno::ENOENT) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(raw)
    }

    fn of_both(
        &mut self,
        subject: &str,
        question: impl Fn(Family) -> RouteNetlinkMessage,
    ) -> Result<Raw, NetlinkFault> {
        let mut raw = Raw::new();
        for family in Family::BOTH {
            raw.push((family, self.socket.dump(subject, &question(family))?));
        }
        Ok(raw)
    }

    fn names(&mut self) -> Result<Names, NetlinkFault> {
        let links = self.links()?;
        Ok(links.into_values().map(|link| (link.index, link.name)).collect())
    }
}

/// A kernel that does not know strict filters gives the routes of every table.
fn keep(routes: BTreeSet<Route>, tables: &Tables) -> BTreeSet<Route> {
    match tables {
        Tables::All => routes,
        Tables::Only(tables) => {
            routes.into_iter().filter(|route| tables.contains(&route.table)).collect()
        }
    }
}

fn lift_all<T: Ord>(
    subject: &str,
    raw: Raw,
    names: &Names,
    lift: impl Fn(RouteNetlinkMessage, Family, &Names) -> Result<Option<T>, String>,
) -> Result<BTreeSet<T>, NetlinkFault> {
    let mut lifted = BTreeSet::new();
    for (family, messages) in raw {
        for message in messages {
            let one = lift(message, family, names);
            lifted.extend(one.map_err(|reason| unreadable(subject, reason))?);
        }
    }
    Ok(lifted)
}

#[cfg(test)]
pub(crate) use hostile::{hostile_body, hostile_message};

#[cfg(test)]
mod hostile {
    use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};
    use netlink_packet_route::RouteNetlinkMessage;
    use proptest::prelude::*;

    /// Bytes that hit the decoder: any body of any size after a plausible header.
    pub(crate) fn hostile_message(kind: u16, body: &[u8]) -> Option<RouteNetlinkMessage> {
        let mut header = NetlinkHeader::default();
        header.message_type = kind;
        RouteNetlinkMessage::deserialize(&header, body).ok()
    }

    /// A body that often decodes: a header of a family that is asked for, then attributes of true
    /// lengths, most of them of the types and sizes in `usual`, with arbitrary values.
    pub(crate) fn hostile_body(
        header_len: usize,
        usual: &'static [(u16, usize)],
    ) -> impl Strategy<Value = Vec<u8>> {
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
}
