//! `cargo xtask bench`: the benchmarks.
//!
//! Owns nothing but the command; the benchmarks are the package `spiderpool-benches`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use crate::call::{Call, Fault};
use crate::kube;
use crate::workspace::Workspace;

/// What to hand on to the benchmarks.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    figure: Option<Figure>,
    /// Arguments for the benchmarks, such as a name to filter by
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// A figure that takes more than a benchmark's own process.
#[derive(Debug, Subcommand)]
enum Figure {
    /// Allocate on a real API server, by the reference's layout, by one object for each address, and by
    /// ours
    Cluster {
        #[command(flatten)]
        settings: kube::Settings,
        /// Arguments for the program: `--agents 1,64`, `--help`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

/// Runs the benchmarks.
///
/// # Errors
/// When they cannot be built or one fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    if let Some(Figure::Cluster { settings, arguments }) = &options.figure {
        return cluster(workspace, settings, arguments);
    }
    let call = Call::cargo().args(["bench", "--package", "spiderpool-benches"]);
    let call =
        if options.arguments.is_empty() { call } else { call.arg("--").args(&options.arguments) };
    call.dir(&workspace.root).run()?;
    Ok(true)
}

fn cluster(
    workspace: &Workspace,
    settings: &kube::Settings,
    arguments: &[OsString],
) -> Result<bool, Fault> {
    let tools = kube::provide(workspace, settings)?;
    let call = Call::cargo().args(["run", "--release", "--package", "spiderpool-benches"]);
    let call = call.args(["--features", "cluster", "--bin", "cluster", "--"]).args(arguments);
    call.env("SPIDERPOOL_KUBE_TOOLS", tools).dir(&workspace.root).run()?;
    Ok(true)
}
