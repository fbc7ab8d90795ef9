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

use std::process::ExitCode;

fn main() -> ExitCode {
    spiderpool_host::plugin::run(verb::run)
}
