//! The cluster store's protocol: one state machine for each node, without I/O, clock or chance.
//!
//! [`node::Node`] takes what happened ([`port::Input`]) with a moment, and says what is to be done
//! ([`port::Output`]). The agent's async code and the simulator drive the very same code.
//!
//! Modules, in reading order: [`object`], [`port`], [`record`], [`node`]; [`wire`] is how objects stand
//! on a server. Beside them stand the rules of Kubernetes:
//! [`workload`] (pods, and whose their addresses are),
//! [`request`] (what a pod asks for),
//! [`reclaim`] (when an address is taken back),
//! [`project`] (what people are shown),
//! [`stamp`] (times as the server writes them).

pub mod node;
pub mod object;
pub mod port;
pub mod project;
pub mod reclaim;
pub mod record;
pub mod request;
pub mod stamp;
pub mod wire;
pub mod workload;
