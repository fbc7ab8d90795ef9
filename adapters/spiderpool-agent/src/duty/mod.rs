//! What the agent does without being asked.

pub mod install;
pub mod project;
pub mod reclaim;
pub mod repair;
pub mod sandbox;
pub mod sysctl;
pub mod watchman;

pub(crate) mod drive;
