//! The CNI IPAM plugin `spiderpool`.
//!
//! Called by a main CNI plugin (macvlan, bridge, ptp, …) for every pod. It parses, asks whoever keeps
//! the allocations (the agent of a cluster's node, or the embedded store of one host: `ledger`), and
//! prints; the rules about addresses are those of `spiderpool-core`. One file for each verb:
//!
//! | verb | what it does here |
//! |---|---|
//! | ADD | allocates, all or nothing, and asks the wire if told to |
//! | DEL | gives back what this container holds on this interface |
//! | CHECK | holds the previous result against the ledger and the namespace |
//! | STATUS | says whether ledger and configuration can serve an ADD |
//! | GC | gives back what the runtime does not list |
//! | VERSION | names the versions of the specification |

mod agent;
mod conf;
mod detect;
mod embedded;
mod failure;
mod forget;
mod ledger;
mod master;
mod offer;
mod request;
mod session;
mod verb;

use std::process::ExitCode;

fn main() -> ExitCode {
    spiderpool_host::plugin::run(verb::run)
}
