//! `cargo xtask sim`: the simulator of many nodes.
//!
//! Owns nothing but the command; the simulator is the package `spiderpool-sim`, built with
//! optimisations since it is for running many schedules.

use std::ffi::OsString;

use clap::Args;

use crate::call::{Call, Fault};
use crate::workspace::Workspace;

/// What to hand on to the simulator.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Arguments for the simulator, such as `--schedules 1 --seed 7`; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the simulator.
///
/// # Errors
/// When it cannot be built, or a schedule fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    let arguments = ["run", "--quiet", "--release", "--package", "spiderpool-sim", "--"];
    Call::cargo().args(arguments).args(&options.arguments).dir(&workspace.root).run()?;
    Ok(true)
}
