//! A real Kubernetes control plane for tests: etcd, the API server and, when asked for, controllers and
//! the scheduler, on loopback ports of their own, and a proxy before it that loses replies.
//!
//! Called by the test binaries named `kube` or `kube_…` of every crate, and by `cargo xtask kube up`.
//! The programs are built by `cargo xtask kube build` from the modules in `tests/kube-tools`; nothing of
//! them is replaced by a stand-in. Invariants, each kept by a test of that name in `tests/kube_lab.rs`
//! unless another file is named:
//!
//! 1. Whatever a laboratory started ends with it, and its directory goes, also when a test panics
//!    (`nothing_is_left_after_a_panic`) or is killed (`nothing_is_left_after_a_kill`).
//! 2. A cluster that cannot start says why, with the end of the log of the program that failed
//!    (`a_server_that_cannot_start_shows_its_log`).
//! 3. A write that was answered before [`Cluster::snapshot`] is in the snapshot, and after
//!    [`Cluster::restore`] nothing later is (`a_restored_cluster_holds_the_older_state`).
//! 4. What a [`Proxy`] loses follows from its seed alone (`proxy::faults`, `a_seed_is_a_replay`).
//!
//! Modules, in reading order: `tools` the programs, `home` a directory and its guardian, `process` one
//! program that runs, `identity` who somebody is to the API server, `api` one request, `cluster` the
//! cluster, `snapshot` its past, [`proxy`] faults between a client and the API server.

mod tools;

mod home;

mod process;

mod identity;

mod api;

mod cluster;

mod snapshot;

pub mod proxy;

mod fault;

pub use api::Reply;
pub use cluster::{Bound, Cluster, Controllers, Options, Program, ServiceAccounts, Syncing};
pub use fault::Fault;
pub use identity::Identity;
pub use proxy::{Faults, Proxy};
pub use snapshot::{Restore, Snapshot};
