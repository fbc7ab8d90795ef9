//! What a Linux network namespace holds, read and changed over netlink.
//!
//! This crate is the only one that speaks netlink. Whoever needs the kernel opens a [`Namespace`],
//! runs a closure inside it, and gets a [`Session`] there:
//!
//! ```no_run
//! use spiderpool_netlink::{Namespace, NetlinkFault, RunError};
//!
//! let pod = Namespace::by_path("/run/netns/pod-a")?;
//! let addresses = pod.run(|session| session.addresses())?;
//! for address in &addresses {
//!     println!("{} {}", address.device, address.net);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules, in reading order:
//!
//! * [`namespace`]: finding a network namespace, and running inside it;
//! * [`witness`]: remembering a namespace, and judging later whether it lives;
//! * [`session`]: the open door to the kernel from inside one namespace;
//! * [`observe`]: what is there, as plain values;
//! * [`focus`]: what of it is wanted;
//! * [`stage`]: a node's namespace and a pod's at once, where plans are applied and verified;
//! * [`change`]: single changes, each one request to the kernel;
//! * [`netfilter`]: marks on connections, and forgetting connections;
//! * [`probe`]: whether others on the link have an address, whether a gateway answers, announcements;
//! * `rdma` (a feature): RDMA devices, listed and moved;
//! * [`fault`]: what can go wrong between us and the kernel.
//!
//! Below them, private: `link` and `lower` (changes as messages), `sysctl` (files below `/proc/sys`),
//! `trial` (a testing aid), `socket` (requests, dumps, retries), `conversation` (which replies belong
//! to a request, and how it ended), `frame` (bytes to messages, extended acknowledgements).
//! Types of the netlink crates stay behind that line: their versions change often, ours must not.

pub mod namespace;
pub mod witness;

pub mod session;

pub mod observe;

pub mod focus;
pub mod stage;

pub mod change;

pub mod netfilter;

pub mod probe;

#[cfg(feature = "rdma")]
pub mod rdma;

pub mod fault;

mod socket;

mod link;
mod lower;
mod sysctl;

mod trial;

mod conversation;
mod frame;

pub use fault::{Errno, NetlinkFault};
pub use focus::{Focus, Tables, Wanted};
pub use namespace::{BadNamespace, Namespace, NamespaceId, RunError};
pub use session::Session;
pub use stage::{Done, Failed, Stage, Undone, VerifyFault};
pub use witness::{Verdict, Witness};
