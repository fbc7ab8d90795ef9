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
mod log;
mod master;
mod request;
mod session;
mod verb;

use spiderpool_cni::{CniError, MAX_STDIN_BYTES, SpecVersion, code, receive, serve};
use std::io::{Read, Write};
use std::process::ExitCode;

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
