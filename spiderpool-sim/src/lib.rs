//! A deterministic simulator of many Spiderpool nodes against one API server.
//!
//! It drives the very state machine that an agent runs ([`spiderpool_kube::cluster::node::Node`]) on
//! virtual time, with everything that goes wrong in a cluster drawn from one seed, and checks after
//! every step what must hold ([`truth`]) and at the end what must have come right ([`finish`]).
//!
//! A seed is a replay: `spiderpool-sim --seed X --schedules 1` repeats a failure to the last bit.
//!
//! Modules, in reading order:
//!
//! * [`chance`], [`schedule`], `draw`: what is going to happen;
//! * [`machine`], [`server`], `wire`: who takes part, and what lies between them;
//! * [`world`], `agent`, `runtime`, `control`, `leader`: what happens;
//! * [`truth`], [`finish`]: what must hold;
//! * [`saboteur`]: bugs planted on purpose; [`run`], [`shrink`]: series, failures, replays.

pub mod chance;
mod draw;
pub mod schedule;

pub mod machine;
pub mod server;
mod wire;

mod agent;
mod control;
mod leader;
mod runtime;
pub mod world;

pub mod finish;
pub mod truth;

pub mod run;
pub mod saboteur;
pub mod shrink;
mod trace;

pub use wire::Counts;
