//! `net diff`: how far pods are from what is recorded of them, or a pod from a configuration.

use super::fault;
use super::plan::notes;
use super::step::{ToldStep, told};
use super::target::{self, Configuring, Place};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::{Colour, Session};
use crate::table::counted;
use clap::Args;
use serde::Serialize;
use spiderpool_core::net::LinkName;
use spiderpool_core::plan::Plan;
use spiderpool_host::attachment::{Records, Seen, look};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Show how far pods are from what their networks should hold
///
/// Holds every recorded attachment, or those of one container, against what node and pod hold. With
/// --config, the pod is held against that configuration: recorded or not. Each difference is printed as the
/// command that would mend it. Exit code 0 says that all is held, 1 that something is not: it has drifted,
/// the pod is gone while its record is there, or its record cannot be read. Changed addresses of the node
/// are no drift of a record; repair --dry-run shows what follows from them.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl net diff\n  \
       spiderpoolctl net diff --container c0ffee -o json\n  \
       spiderpoolctl net diff --netns pod-a --container c0ffee --config 10-macvlan.conflist"
))]
pub(crate) struct Diff {
    /// The container's id [default: every one that is recorded]
    #[arg(long, value_name = "ID", value_parser = target::container)]
    container: Option<String>,
    /// Only this interface [default: every one that is recorded, or eth0 with --config]
    #[arg(long, value_name = "NAME", requires = "container", value_parser = target::interface)]
    ifname: Option<LinkName>,
    /// The pod's network namespace: a path, the id of a process, or a name [default: as recorded]
    #[arg(long, value_name = "PATH|PID|NAME", requires = "container")]
    netns: Option<String>,
    /// Hold the pod against this configuration: the coordinator's, or a list with it; - for standard input
    #[arg(long, value_name = "FILE", requires_all = ["container", "netns"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// What became of one attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// All is as it should be.
    Held,
    /// Steps would mend it.
    Drifted,
    /// Something is in the way of steps that would mend it.
    Blocked,
    /// The record cannot be used.
    Unreadable,
    /// The pod's namespace is gone.
    Gone,
}

/// One attachment in the answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    container: String,
    interface: String,
    state: State,
    /// Why it is in that state, where no step says so; what else should be known.
    notes: Vec<String>,
    /// The steps that would mend it.
    steps: Vec<ToldStep>,
    #[serde(skip)]
    plan: Plan,
}

impl Diff {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let compared = match (&self.config, &self.container, &self.netns) {
            (Some(config), Some(container), Some(netns)) => {
                vec![self.against(config, container, netns)?]
            }
            _ => self.recorded()?,
        };
        session.show(&compared, || print(session, &compared))?;
        let is_held = compared.iter().all(|one| one.state == State::Held);
        Ok(if is_held { Exit::Done } else { Exit::Refused })
    }

    fn against(&self, config: &Path, container: &str, netns: &str) -> Result<Compared, Failure> {
        let configuring = Configuring::read(config)?;
        let netns = target::netns(netns)?;
        let interface = match &self.ifname {
            Some(interface) => interface.clone(),
            None => target::interface("eth0").map_err(Failure::bad)?,
        };
        let foreseen = configuring.foresee(&self.place, (container, &interface), &netns)?;
        let notes = notes(&configuring, foreseen.as_ref());
        let plan = foreseen.map(|foreseen| foreseen.plan).unwrap_or_default();
        Ok(Compared { notes, ..Compared::of((container, &interface), plan) })
    }

    fn recorded(&self) -> Result<Vec<Compared>, Failure> {
        let records = self.place.records(None);
        let recorded = all(&records)?;
        let containers = match &self.container {
            Some(container) if recorded.contains(container) => BTreeSet::from([container.clone()]),
            Some(container) => return Err(target::unrecorded(container, &self.place)),
            None => recorded,
        };
        let netns = self.netns.as_deref().map(target::netns).transpose()?;
        let mut compared = Vec::new();
        for container in containers {
            let sight = look(&records, &container, netns.as_deref(), self.place.until());
            let sight = sight.map_err(|fault| fault::of(&fault))?;
            let is_wanted = |seen: &&Seen| {
                self.ifname.as_ref().is_none_or(|wanted| seen.entry.interface() == wanted)
            };
            let wanted = sight.seen.iter().filter(is_wanted);
            compared.extend(wanted.map(|seen| Compared::recorded(seen, sight.gone.as_deref())));
        }
        match &self.container {
            Some(container) if compared.is_empty() => {
                Err(target::unrecorded(container, &self.place))
            }
            _ => Ok(compared),
        }
    }
}

fn all(records: &Records) -> Result<BTreeSet<String>, Failure> {
    let entries = records.all().map_err(|fault| fault::of(&fault.into()))?;
    Ok(entries.iter().map(|entry| entry.container().to_owned()).collect())
}

impl Compared {
    fn of((container, interface): (&str, &LinkName), plan: Plan) -> Self {
        Self {
            container: container.to_owned(),
            interface: interface.to_string(),
            state: if plan.is_empty() { State::Held } else { State::Drifted },
            notes: Vec::new(),
            steps: told(&plan),
            plan,
        }
    }

    fn recorded(seen: &Seen, gone: Option<&str>) -> Self {
        let who = (seen.entry.container(), seen.entry.interface());
        let bare = Self::of(who, Plan::default());
        match (&seen.drift, gone, seen.entry.kept()) {
            (Err(fault), _, None) => {
                Self { state: State::Unreadable, notes: vec![fault::line(fault)], ..bare }
            }
            (_, Some(why), _) => {
                let told = format!("{why}; DEL or GC takes back what is left of it on the node");
                Self { state: State::Gone, notes: vec![told], ..bare }
            }
            (Err(fault), None, Some(_)) => {
                Self { state: State::Blocked, notes: vec![fault::line(fault)], ..bare }
            }
            (Ok(plan), None, _) => Self::of(who, plan.clone()),
        }
    }
}

fn print(session: &Session, compared: &[Compared]) -> String {
    let mut text = String::new();
    for one in compared {
        let state = match one.state {
            State::Held => session.paint(Colour::Green, "held"),
            State::Drifted => session
                .paint(Colour::Red, &format!("drifted by {}", counted(one.steps.len(), "step"))),
            State::Blocked => session.paint(Colour::Red, "not held, and cannot be mended"),
            State::Unreadable => session.paint(Colour::Red, "its record cannot be used"),
            State::Gone => session.paint(Colour::Yellow, "gone"),
        };
        text.push_str(&format!(
            "container {}, interface {}: {state}\n",
            one.container, one.interface
        ));
        text.extend(one.notes.iter().map(|note| format!("note: {note}\n")));
        if !one.plan.is_empty() {
            text.push_str(&one.plan.to_string());
        }
    }
    if compared.is_empty() {
        text.push_str("nothing is recorded\n");
    }
    text
}
