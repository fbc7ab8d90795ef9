//! The CNI plugin `rdma`: moves a pod's RDMA devices into its network namespace and back.
//!
//! Chained after the plugin that moved the network device (SR-IOV). It works in the RDMA subsystem's
//! *exclusive* mode only, in which a device belongs to one namespace.
//!
//! | verb | what it does here |
//! |---|---|
//! | ADD | writes down what it will move, moves every RDMA device of the pod's PCI or auxiliary device |
//! | DEL | moves them back and gives them their names again; a namespace that is gone gave them back itself |
//! | CHECK | says which of them is not in the pod's namespace |
//! | STATUS | says whether the node has RDMA in exclusive mode |
//! | GC | does DEL for what the runtime does not list |
//! | VERSION | names the versions of the specification |

mod conf;
mod device;
mod failure;
mod record;
mod transfer;
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
