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

use std::io::{Read, Write};
use std::process::ExitCode;

use spiderpool_cni::{CniError, MAX_STDIN_BYTES, SpecVersion, code, receive, serve};

fn main() -> ExitCode {
    let mut stdin = Vec::new();
    let limit = u64::try_from(MAX_STDIN_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut stdin);
    let read = read.map_err(|error| CniError::caused_by(code::IO_FAILURE, &error));
    let reply = serve(SpecVersion::asked_in(&stdin), || {
        read?;
        verb::run(receive(std::env::vars_os(), &stdin)?)
    });
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&reply.stdout).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::from(reply.exit),
        Err(_) => ExitCode::FAILURE,
    }
}
