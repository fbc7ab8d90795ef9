//! What an operator defines: pools, subnets and reservations.
//!
//! Each has a *draft* (plain public fields, text as it was written) and a checked form that cannot
//! be wrong. The rules of `pool`, `subnet` and `reservation` judge one object by itself; rules that
//! need other objects (overlap, what stands in the way of a change) are judged in `decide`, where
//! the view is at hand.
//!
//! Invariants:
//! 1. A [`Pool`]'s and a [`Subnet`]'s ranges lie within its prefix (`rules_of_one_pool`).
//! 2. A gateway is never among the addresses to give out (`rules_of_one_pool`).
//! 3. A draft that is lowered from a checked form is accepted again, unchanged (`drafts_round_trip`).

mod error;
mod pool;
mod reservation;
mod route;
mod subnet;

pub use error::{BadDefinition, BadField, Flaw};
pub use pool::{Policy, Pool, PoolDraft, Scope};
pub use reservation::{Reservation, ReservationDraft};
pub use route::{BadRoute, Route, RouteDraft};
pub use subnet::{Subnet, SubnetDraft};

use crate::address::{AddressSet, Family, Range, parse_list};
use ipnet::IpNet;
use std::net::IpAddr;

/// Collects every flaw of a draft, so that one round of mending is enough.
#[derive(Debug, Default)]
struct Flaws(Vec<BadField>);

impl Flaws {
    fn add(&mut self, field: &str, flaw: impl Into<Flaw>) {
        self.0.push(BadField { field: field.to_owned(), flaw: flaw.into() });
    }

    /// The value, or its error as a flaw of `field`.
    fn keep<T, E: Into<Flaw>>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|flaw| self.add(field, flaw)).ok()
    }
}

/// The prefix that a draft names, in network form.
fn parse_prefix(text: &str) -> Result<IpNet, Flaw> {
    let prefix: IpNet = text.trim().parse().map_err(|_| Flaw::Prefix { got: text.to_owned() })?;
    if prefix.trunc() == prefix {
        Ok(prefix)
    } else {
        Err(Flaw::HostBits { got: text.to_owned(), network: prefix.trunc() })
    }
}

/// The addresses that `ips` and `excludeIPs` name, each judged against the prefix.
fn parse_within(flaws: &mut Flaws, field: &str, prefix: IpNet, entries: &[String]) -> AddressSet {
    let family = Family::of(prefix.addr());
    let set =
        flaws.keep(field, parse_list(family, entries)).unwrap_or_else(|| AddressSet::empty(family));
    let all = AddressSet::from_ranges(family, [Range::of_prefix(prefix)]);
    let outside = set.difference(&all);
    if let Some(range) = outside.ranges().next() {
        flaws.add(field, Flaw::Outside { range, prefix });
    }
    set
}

/// The gateway, judged against the prefix and the addresses that would be given out.
fn parse_gateway(
    flaws: &mut Flaws,
    prefix: IpNet,
    usable: &AddressSet,
    text: Option<&str>,
) -> Option<IpAddr> {
    let text = text.filter(|t| !t.is_empty())?;
    let parsed = text.parse::<IpAddr>().map_err(|_| Flaw::Address { got: text.to_owned() });
    let gateway = flaws.keep("gateway", parsed)?;
    if !prefix.contains(&gateway) {
        flaws.add("gateway", Flaw::GatewayOutside { gateway, prefix });
    } else if usable.contains(gateway) {
        flaws.add("gateway", Flaw::GatewayInRange { gateway });
    }
    Some(gateway)
}

/// The lowered text of a set: one entry for each range.
fn lower_set(set: &AddressSet) -> Vec<String> {
    set.ranges().map(|range| range.to_string()).collect()
}

#[cfg(test)]
mod tests;
