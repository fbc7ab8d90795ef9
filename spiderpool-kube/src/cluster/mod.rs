//! The cluster store's protocol: one state machine for each node, without I/O, clock or chance.
//!
//! [`node::Node`] takes what happened ([`port::Input`]) with a moment, and says what is to be done
//! ([`port::Output`]). The agent's async code and the simulator drive the very same code.
//!
//! Modules, in reading order: [`object`], [`port`], [`record`], then [`node`]; [`wire`]
//! is how objects stand on a server.

pub mod node;
pub mod object;
pub mod port;
pub mod record;
pub mod wire;
