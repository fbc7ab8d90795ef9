//! The text that Kubernetes users write for Spiderpool, read into plain values and written back.
//!
//! Two doors: [`manifest`] for pools, subnets and reservations as custom resources, and
//! [`annotation`] for what pods and namespaces ask for. Programs call in here at their edge and hand
//! what they get to `spiderpool-core`, which knows nothing of Kubernetes; no rule about an address
//! lives here. [`cluster`] is a node's part of the cluster's protocol, a state machine without I/O; only
//! the feature `client` adds some, to drive it against an API server.
//!
//! Invariants:
//! 1. Nothing that was written is passed over in silence: an unknown field is an error, and what is
//!    out of use is a warning (`manifest::shape`: `unknown_fields_name_their_neighbour`).
//! 2. No input makes a reader panic, and none makes it use memory without bound (`tests/round_trip`:
//!    `arbitrary_bytes_never_panic`; `manifest::yaml`: `bombs_are_refused`).
//! 3. What is written reads back as the same value (`tests/round_trip`: `manifests_round_trip`).

pub mod annotation;
#[cfg(feature = "client")]
pub mod client;
pub mod cluster;
#[cfg(feature = "crd")]
pub mod crd;
pub mod manifest;
pub mod position;
