//! A laboratory for whole chains of CNI plugins: a node, pods and a network around them, each a network
//! namespace of its own, where every promise is shown by packets.
//!
//! Called by the suites beside it (`tests/`). Nothing here judges a plugin: the laboratory makes
//! namespaces, calls plugins as a runtime does, sends packets and tells what it saw. Invariants:
//!
//! 1. Nothing is changed in the machine's own network namespace, unless that is a VM made for the tests
//!    ([`Room::of_the_machine`]); plugins run in the node's.
//! 2. Whatever a laboratory makes goes with it, also when a test panics.
//! 3. A packet that takes another way than the promised one is lost: every subnet is behind a router
//!    that takes from each link only what belongs there (`packets_of_another_subnet_are_lost`).
//! 4. A program that is missing fails the test with what to install; nothing is skipped in silence.
//!
//! Modules, in reading order: [`room`] a namespace and what can be run in it, [`lab`] the node and its
//! surroundings, [`network`] a network's configuration, [`pod`] a pod and its attachments, [`call`] one
//! call of a plugin, [`talk`] servers and clients, [`tap`] counters of packets, [`proxy`] a stand-in for
//! kube-proxy, [`promise`] what pods are promised, [`snapshot`] what a namespace holds,
//! [`client`] chains through libcni.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a laboratory serves tests only: what cannot be had fails the test that wants it"
)]

pub mod room;

pub mod lab;

pub mod network;

pub mod pod;

pub mod call;

pub mod talk;

pub mod tap;

pub mod proxy;

pub mod promise;

pub mod snapshot;

pub mod client;

pub use lab::Lab;
pub use network::Network;
pub use pod::Pod;
pub use room::{Room, eventually};
