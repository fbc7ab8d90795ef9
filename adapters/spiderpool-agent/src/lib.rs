//! The daemon of a node: it answers the CNI plugins over a unix socket, and keeps what the node's pods
//! hold as it should be.
//!
//! An adapter: it parses, asks and prints. Which address a pod gets is decided by the core, in the
//! protocol's driver of `spiderpool-kube`; when one is taken back, and what is shown of it, by that crate's
//! `cluster::reclaim` and `cluster::project`; how a pod's network is mended, by `spiderpool-host`. Here is
//! what brings them together on one node.
//!
//! Modules, in reading order: [`cli`], [`run`]; [`conf`], [`log`]; [`socket`], [`http`], [`order`],
//! [`agent`] and the verbs, [`failure`]; [`facts`] and [`store`], behind which the cluster is, and
//! [`book`]; [`duty`], what is done without being asked; [`herald`] and [`board`], [`health`],
//! [`metrics`].
//!
//! Invariants:
//! 1. Nothing outside of the process ends it: an API server that is away is waited for, and the probes
//!    say so (`an_api_server_that_is_away_is_waited_for` in `tests/process.rs`).
//! 2. Verbs of one container follow each other, and one that was begun is brought to its end
//!    (`two_interfaces_at_once`, `a_caller_that_leaves_abandons_nothing` in `tests/conversations`).
//! 3. DEL takes nothing from a pod that lives on (`a_sandbox_made_again_keeps_the_address`), and nothing
//!    takes anything from a static identity (`a_static_identity_keeps_a_conflicting_address`).
//! 4. What a node keeps in memory does not grow with the cluster: caches are bounded, and only the node's
//!    own pods are watched (`facts::cache`, `facts::watch`).

pub mod agent;
pub mod board;
pub mod book;
pub mod cli;
pub mod conf;
pub mod duty;
pub mod facts;
pub mod failure;
pub mod health;
pub mod herald;
pub mod http;
pub mod log;
pub mod metrics;
pub mod order;
pub mod run;
pub mod socket;
pub mod soon;
pub mod store;

mod lift;
mod verb;
