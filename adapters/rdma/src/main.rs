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

use std::process::ExitCode;

fn main() -> ExitCode {
    spiderpool_host::plugin::run(verb::run)
}
