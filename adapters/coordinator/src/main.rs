//! The CNI plugin `coordinator`.
//!
//! Called by a runtime in a chain, behind the plugin that makes a pod's interface. It parses, asks the
//! core what the pod's and the node's namespace should hold, has it applied, and hands the previous
//! result on; the rules are those of `spiderpool-core`, and records, observation and repair are those of
//! `spiderpool-host`. One file for each verb:
//!
//! | verb | what it does here |
//! |---|---|
//! | ADD | records what the interface needs, and makes it so; all of it or nothing |
//! | DEL | takes back what only this interface needed, and puts back what it moved |
//! | CHECK | says what is not as recorded, as the commands that would mend it |
//! | STATUS | says whether records can be written and the kernel has what is needed |
//! | GC | takes back what the runtime does not list, and what namespaces left that are gone |
//! | VERSION | names the versions of the specification |

mod failure;
mod outcome;
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
