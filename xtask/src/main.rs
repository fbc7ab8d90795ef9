//! Developer tasks, run as `cargo xtask COMMAND`.
//!
//! Owns the command line; each command lives in a module of its own and returns whether it was
//! satisfied. People call it, and `.ci/run` does. Invariants:
//!
//! 1. No command goes through a shell: each program gets an argument list ([`call::Call`]).
//! 2. A tier that cannot run is reported as skipped with its reason, and as a failure in CI
//!    (`tiers::tests::a_skip_in_ci_is_a_failure`).

mod call;
mod counts;
mod expected;
mod steps;
mod tiers;
mod workspace;

mod bench;
mod ci;
mod demo;
mod examples;
mod fuzz;
mod go_client;
mod ipam;
mod kube;
mod lints;
mod package;
mod podman;
mod prerequisites;
mod sandbox;
mod setup;
mod sim;
mod suite;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use call::{Fault, chain};
use workspace::Workspace;

/// Developer tasks of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check layering, module docs, lengths, banned words and leaked paths in the tree's text
    Tidy,
    /// Run the tests, tier by tier, to the end; fail when any failed
    Test(test::Options),
    /// Show the main job: real pods get real addresses, meet, and leave nothing (root)
    Demo,
    /// Install from Debian's packages what the tests need and this machine lacks
    Setup,
    /// Set up, then run every tier; a tier that cannot run is a failure
    Ci,
    /// Build the fuzz targets and run each for a while on its kept corpus
    Fuzz(fuzz::Options),
    /// Run the benchmarks
    Bench(bench::Options),
    /// Simulate many nodes against one API server, on virtual time and from one seed
    Sim(sim::Options),
    /// Boot a virtual machine with a stock kernel, and run tests in it
    Vm(vm::Options),
    /// Build a real Kubernetes control plane, run it, or run the tests that need one
    Kube(kube::Options),
    /// Sum the results in saved outputs of `cargo test`
    Counts(counts::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("xtask: {}", chain(&fault));
            ExitCode::from(2)
        }
    }
}

/// Runs one command; `false` is a finding (exit status 1), a [`Fault`] is a command that could not
/// do its work (exit status 2).
fn run(command: &Command) -> Result<bool, Fault> {
    let workspace = Workspace::open()?;
    match command {
        Command::Tidy => tidy::run(&workspace),
        Command::Test(options) => test::run(&workspace, options),
        Command::Demo => demo::run(&workspace),
        Command::Setup => setup::run(&workspace),
        Command::Ci => ci::run(&workspace),
        Command::Fuzz(options) => fuzz::run(&workspace, options),
        Command::Bench(options) => bench::run(&workspace, options),
        Command::Sim(options) => sim::run(&workspace, options),
        Command::Vm(options) => vm::run(&workspace, options),
        Command::Kube(options) => kube::run(&workspace, options),
        Command::Counts(options) => counts::run(options),
    }
}
