//! `cargo xtask bench`: the benchmarks.
//!
//! Owns nothing but the command; the benchmarks are the package `spiderpool-benches`.

use std::ffi::OsString;

use clap::Args;

use crate::call::{Call, Fault};
use crate::workspace::Workspace;

/// What to hand on to the benchmarks.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Arguments for the benchmarks, such as a name to filter by
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// Runs the benchmarks.
///
/// # Errors
/// When they cannot be built or one fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    let call = Call::cargo().args(["bench", "--package", "spiderpool-benches"]);
    let call =
        if options.arguments.is_empty() { call } else { call.arg("--").args(&options.arguments) };
    call.dir(&workspace.root).run()?;
    Ok(true)
}
