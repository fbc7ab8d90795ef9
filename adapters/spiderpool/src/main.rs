//! The CNI IPAM plugin `spiderpool`.
//!
//! Called by a main CNI plugin (macvlan, bridge, ptp, …) for every pod. It parses, asks the
//! embedded store, and prints; the rules about addresses are those of `spiderpool-core`. One file
//! for each verb:
//!
//! | verb | what it does here |
//! |---|---|
//! | ADD | allocates, all or nothing, asks the wire if told to, and records a witness of the namespace |
//! | DEL | gives back what this container holds on this interface |
//! | CHECK | holds the previous result against the store and the namespace |
//! | STATUS | says whether store and configuration can serve an ADD |
//! | GC | gives back what the runtime does not list |
//! | VERSION | names the versions of the specification |

mod conf;
mod detect;
mod failure;
mod forget;
mod master;
mod request;
mod session;
mod verb;

use std::process::ExitCode;

fn main() -> ExitCode {
    spiderpool_host::plugin::run(verb::run)
}
