//! From what is to what should be: steps, each with its way back.
//!
//! An [`Op`] is one change to one namespace; `spiderpool-netlink` performs it.

mod op;

pub use op::{LinkChange, NewKind, NewLink, Op, VethPeer};
