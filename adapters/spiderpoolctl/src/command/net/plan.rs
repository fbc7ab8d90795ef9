//! `net plan`: what the coordinator would do for an interface, with its undo; nothing is applied.

use super::step::{ToldStep, told};
use super::target::{self, Configuring, Place};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use crate::table::counted;
use clap::Args;
use serde::Serialize;
use spiderpool_core::net::LinkName;
use spiderpool_host::attachment::Foreseen;
use std::path::PathBuf;

/// Show what the coordinator would do for an interface, without doing it
///
/// Each step is printed as the ip, sysctl or nft command that it equals, with what it is for, what goes or
/// changes along with it, and what undoes it. What could not be undone is said first. The plan is for the
/// state that node and pod are in at present; an interface that is attached already needs no step.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl net plan --netns pod-a --container c0ffee --config coordinator.json\n  \
       spiderpoolctl net plan --netns 4711 --container c0ffee --ifname net1 --config 10-macvlan.conflist\n  \
       spiderpoolctl net plan --netns /run/netns/pod-a --container c0ffee --config - -o json < chain.conflist"
))]
pub(crate) struct Plan {
    /// The pod's network namespace: a path, the id of a process, or a name that ip netns knows
    #[arg(long, value_name = "PATH|PID|NAME")]
    netns: String,
    /// The coordinator's CNI configuration, or a list with it; - for standard input
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The container's id, as the runtime gives it
    #[arg(long, value_name = "ID", value_parser = target::container)]
    container: String,
    /// The pod's interface
    #[arg(long, default_value = "eth0", value_name = "NAME", value_parser = target::interface)]
    ifname: LinkName,
    #[command(flatten)]
    place: Place,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    container: String,
    interface: String,
    network: String,
    /// What was left out or done otherwise than asked, and what is passed over.
    notes: Vec<String>,
    steps: Vec<ToldStep>,
}

impl Plan {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let configuring = Configuring::read(&self.config)?;
        let netns = target::netns(&self.netns)?;
        let subject = (self.container.as_str(), &self.ifname);
        let foreseen = configuring.foresee(&self.place, subject, &netns)?;
        let planned = Planned {
            container: self.container.clone(),
            interface: self.ifname.to_string(),
            network: configuring.network().to_owned(),
            notes: notes(&configuring, foreseen.as_ref()),
            steps: foreseen.as_ref().map(|foreseen| told(&foreseen.plan)).unwrap_or_default(),
        };
        session.show(&planned, || print(&planned, foreseen.as_ref()))?;
        Ok(Exit::Done)
    }
}

/// Everything that should be known beside the steps.
pub(super) fn notes(configuring: &Configuring, foreseen: Option<&Foreseen>) -> Vec<String> {
    let mut notes = configuring.remarks().to_vec();
    match foreseen {
        None => notes.push("mode disabled: nothing is done".to_owned()),
        Some(foreseen) => {
            notes.extend(foreseen.remarks.iter().cloned());
            notes.extend(foreseen.notes.iter().map(ToString::to_string));
        }
    }
    notes
}

fn print(planned: &Planned, foreseen: Option<&Foreseen>) -> String {
    let Planned { container, interface, network, notes, steps } = planned;
    let count = counted(steps.len(), "step");
    let mut text =
        format!("interface {interface} of container {container} in network {network}: {count}\n");
    text.extend(notes.iter().map(|note| format!("note: {note}\n")));
    if let Some(foreseen) = foreseen {
        text.push_str(&foreseen.plan.to_string());
    }
    text
}
