//! `net`: what pods' networks should hold, and do hold.
//!
//! What the plugin `coordinator` does for a pod is planned by the core and recorded; these commands show
//! plan, drift and intent, and mend. All but `repair` change nothing (`looking_changes_nothing`).

mod diff;
mod explain;
mod fault;
mod plan;
mod repair;
mod step;
mod target;
mod way;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use clap::{Args, Subcommand};

/// Show what a pod's network should hold, how far it is from that, and mend it
///
/// Works on what the CNI plugin coordinator wrote down of each attachment (--state-dir), or on a
/// configuration of that plugin for a pod that it has not seen yet. Runs on the node itself, as root.
#[derive(Debug, Args)]
pub(crate) struct Net {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Plan),
    Diff(diff::Diff),
    Explain(explain::Explain),
    Repair(repair::Repair),
}

impl Net {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self.command {
            Command::Plan(plan) => plan.run(session),
            Command::Diff(diff) => diff.run(session),
            Command::Explain(explain) => explain.run(session),
            Command::Repair(repair) => repair.run(session),
        }
    }
}
