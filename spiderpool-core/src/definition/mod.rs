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

mod common;
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

use crate::address::AddressSet;

/// The lowered text of a set: one entry for each range.
fn lower_set(set: &AddressSet) -> Vec<String> {
    set.ranges().map(|range| range.to_string()).collect()
}

#[cfg(test)]
mod tests;
