//! When an address is taken back because its holder is gone: one decision for events, scans and
//! commands.
//!
//! [`decide`] looks at one held slot with all that was observed of its pod, its node, its sandbox, its
//! identity and its endpoint, and says whether it is kept, observed again, asked about, or freed.
//! [`Sweep`] feeds it from snapshots, remembers what was seen, and gives the commands. A node's agent
//! runs one over its own slots, a controller one over all, and the simulator either.
//!
//! Invariants:
//! 1. Nothing is freed on one observation: at least two agree, some time apart, the last of them live
//!    (`tests::one_observation_frees_nothing`).
//! 2. A slot whose pod was last seen alive by a live read is never freed
//!    (`tests::what_was_seen_alive_is_never_freed`).
//! 3. The slot that a valid static identity's endpoint names is never freed, and no slot of an identity
//!    because of a UID (`tests::a_valid_identity_is_never_freed`).
//! 4. The order in which observations arrive changes nothing, only when they were made
//!    (`tests::the_order_of_arrival_is_irrelevant`, `sweep_tests::snapshots_may_come_in_any_order`).
//! 5. A claim carries the generation that was judged (`sweep_tests::a_claim_carries_its_generation`).

mod decide;
mod history;
mod index;
mod settings;
mod sight;
mod suspect;
mod sweep;

#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod tests;

pub use decide::{
    Case, Freed, Kept, Look, Rival, Sandbox, Verdict, classify, decide, keeps_on_del,
};
pub use history::{History, Sighting, Standing};
pub use settings::{BadSetting, BadSettings, GcSettings};
pub use sight::{
    Coverage, EndpointSeen, EndpointsSeen, IdentitySeen, NodeState, NodesSeen, PodsSeen,
    SandboxesSeen, Told, lift_endpoint, lift_node,
};
pub use sweep::{Absence, Ask, Round, Scope, Sweep};
