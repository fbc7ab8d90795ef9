//! `cargo xtask ci`: what `.ci/run` runs.
//!
//! Owns the order: set up, then every tier. A tier that cannot run fails, whatever the environment
//! says (`tiers::tests::a_skip_in_ci_is_a_failure`).

use crate::call::Fault;
use crate::ipam::Choice;
use crate::tiers::Rule;
use crate::workspace::Workspace;
use crate::{setup, test};

/// Sets up and runs every tier by CI's rules; `false` when a tier failed or was skipped.
///
/// # Errors
/// When a package cannot be installed.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Fault> {
    setup::run(workspace)?;
    Ok(test::all(workspace, Choice::Spiderpool, Rule::Strict))
}
