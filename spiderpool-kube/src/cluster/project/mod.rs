//! Projections: what people and other programs read of the blocks, in the reference's shapes.
//!
//! An endpoint of an ordinary pod and a pool's status are computed from blocks, can be computed again,
//! and are never read back by the allocation. [`endpoint()`] and [`pool_status`] compute them as pure
//! functions of what was read, [`Projector`] says when which one is due.
//!
//! Invariants:
//! 1. A projection carries the revision of its source, and one from an older source replaces nothing:
//!    two leaders do no harm (`tests::projections_never_go_back`).
//! 2. A write carries only what differs, and the revision of what it replaces
//!    (`tests::what_does_not_differ_is_not_written`).
//! 3. Two projections of one object are at least [`Pace::apart_ms`] apart, and none that was asked for
//!    is lost (`projector::tests::every_mark_is_served_in_time`).

mod endpoint;
mod patch;
mod pool;
mod projector;

#[cfg(test)]
mod tests;

pub use endpoint::{EndpointSource, endpoint, finalizers};
pub use patch::{FINALIZER, NODE_LABEL, PROJECTED_FROM, Projection, projected_from};
pub use pool::{ALLOCATIONS_TRUNCATED, Condition, ENTRIES_MAX, PoolSource, pool_status};
pub use projector::{Pace, Projector};
