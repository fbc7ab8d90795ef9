//! The CNI plugin `ifacer`: the link that pods' interfaces rest on.
//!
//! First in a chain, before macvlan, ipvlan or vlan. It makes a bond of several NICs of the node and a
//! VLAN on it, verifies and repairs what is there, and leaves all of it when the pods are gone. It
//! parses, asks and prints; what should be is decided by [`spiderpool_core::intend::parents`]. One file
//! for each verb:
//!
//! | verb | what it does here |
//! |---|---|
//! | ADD | ensures the links, under a lock of the host, and names the one to rest on |
//! | DEL, GC | nothing: the links are the node's |
//! | CHECK | says what differs from what should be |
//! | STATUS | says whether an ADD could be served |
//! | VERSION | names the versions of the specification |
//!
//! The result names the one interface that pods' interfaces rest on, without a sandbox. macvlan and
//! vlan pass it over; ipvlan takes it for its `master` if it has none configured. What was done is told
//! on standard error, one command a line.

mod conf;
mod failure;
mod lock;
mod node;
mod verb;

use std::process::ExitCode;

fn main() -> ExitCode {
    spiderpool_host::plugin::run(verb::run)
}
