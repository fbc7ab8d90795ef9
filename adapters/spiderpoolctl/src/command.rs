//! The commands, one file each: its arguments, what it does, what it prints.
//!
//! Each offers `run`, which [`crate::cli`] calls. What changes something says in its answer what has
//! changed, also when it fails half-way.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod completion;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod edit;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod ip;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod net;
pub(crate) mod reclaim;
pub(crate) mod replay;
pub(crate) mod restore;
pub(crate) mod simulate;
pub(crate) mod version;
