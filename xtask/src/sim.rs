//! `cargo xtask sim`: the simulator of many nodes.
//!
//! Owns nothing but the command; the simulator is the package `spiderpool-sim`, built with
//! optimisations since it is for running many schedules.

use std::ffi::OsString;

use clap::Args;

use crate::call::{Call, Fault};
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::Workspace;

/// What to hand on to the simulator.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Arguments for the simulator, such as `--schedules 1 --seed 7`; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// How long the tier runs schedules.
const SECONDS: &str = "90";

/// Runs as many schedules as fit into the tier's time; in some of them the store itself loses something.
/// Then all nodes of a large cluster at once.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let mut steps = Steps::new("simulator");
    let mut step = |name: &str, options: &[&str]| {
        steps.step(name, || {
            let arguments = ["run", "--quiet", "--release", "--package", "spiderpool-sim", "--"];
            Call::cargo().args(arguments).args(options).dir(&workspace.root).run()
        });
    };
    step("schedules", &["--schedules", "1000000", "--seconds", SECONDS]);
    step("restart", &["--scale", "nodes=1000,pods=20000"]);
    steps.finish()
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
