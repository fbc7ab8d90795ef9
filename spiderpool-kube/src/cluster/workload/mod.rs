//! Pods, what controls them, and whose an address is: the rules of Kubernetes in plain values.
//!
//! An adapter lifts what an API server says of a pod ([`lift_pod`]), walks to the workload that
//! controls it ([`Walk`]), and asks whose its addresses are ([`Identity::of`]) and whether that
//! identity still stands ([`judge`]). Nothing in here reads anything: what is missing is answered as
//! a [`Reading`] to be made.
//!
//! Invariants:
//! 1. A pod is the same one only by UID, or for a mirror pod by the hash of its configuration, which
//!    is the UID that the node knows it by (`pod::tests::a_mirror_pod_is_known_by_its_hash`).
//! 2. Only direct controllers make an identity (`identity::tests::direct_controllers_alone_count`).
//! 3. An identity is never called invalid without the live reads that show it
//!    (`identity::tests::nothing_is_invalid_unread`).

mod identity;
mod pod;
mod walk;

pub use identity::{
    Identity, IdentityKind, KUBEVIRT, Lookup, MIGRATION_JOB, Machine, Ordinals, Reading, Records,
    Switches, Validity, judge, lift_machine, lift_ordinals, migration,
};
pub use pod::{
    BadPod, CONFIG_HASH, CONFIG_MIRROR, Controller, Deletion, Phase, Pod, Restart, Status, lift_pod,
};
pub use walk::{Known, Step, Walk, WalkFault, Workload};
