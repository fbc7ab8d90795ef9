//! `net repair`: a pod is looked at, compared with its records, and mended.

use super::fault;
use super::step::{ToldStep, told};
use super::target::{self, Place};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use crate::table::counted;
use clap::Args;
use serde::Serialize;
use spiderpool_core::intend::Note;
use spiderpool_core::plan::Plan;
use spiderpool_host::attachment::{Entry, Foreseen, Renewed, foresee_repair, repair};

/// Mend a pod: make its network what it should be
///
/// Each attachment of the container is intended anew with the configuration that it was recorded with,
/// against what node and pod hold at present, and made so: what somebody removed comes back, and addresses
/// of the node that came or went are followed. The steps that were done are printed, each as the command
/// that it equals. What cannot be mended leaves what was mended before it.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl net repair --container c0ffee --dry-run\n  \
       spiderpoolctl net repair --container c0ffee"
))]
pub(crate) struct Repair {
    /// The container's id, as the runtime gave it
    #[arg(long, value_name = "ID", value_parser = target::container)]
    container: String,
    /// The pod's network namespace: a path, the id of a process, or a name [default: as recorded]
    #[arg(long, value_name = "PATH|PID|NAME")]
    netns: Option<String>,
    /// Show what would be done, do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Repaired {
    container: String,
    /// Whether the steps were done, or would be.
    is_done: bool,
    /// What could not be looked at.
    remarks: Vec<String>,
    attachments: Vec<Mended>,
    #[serde(skip)]
    plans: Vec<Plan>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mended {
    interface: String,
    notes: Vec<String>,
    steps: Vec<ToldStep>,
}

impl Repair {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let netns = self.netns.as_deref().map(target::netns).transpose()?;
        let records = self.place.records(None);
        let entries = records.of_container(&self.container);
        let entries = entries.map_err(|fault| fault::of(&fault.into()))?;
        if entries.is_empty() {
            return Err(target::unrecorded(&self.container, &self.place));
        }
        let (container, until) = (self.container.as_str(), self.place.until());
        let mended: Result<Vec<_>, _> = if self.dry_run {
            let foreseen = foresee_repair(&records, container, netns.as_deref(), until);
            foreseen.map(|all| all.into_iter().map(of_foreseen).collect())
        } else {
            let renewed = repair(&records, container, netns.as_deref(), until);
            renewed.map(|all| all.into_iter().map(of_renewed).collect())
        };
        let (attachments, plans): (Vec<_>, Vec<_>) =
            mended.map_err(|fault| fault::of(&fault))?.into_iter().unzip();
        let mut remarks: Vec<String> = entries.iter().filter_map(unreadable).collect();
        if attachments.is_empty() && remarks.is_empty() {
            remarks.push("the pod's namespace is gone; there is nothing to mend".to_owned());
        }
        let is_done = !self.dry_run;
        let repaired =
            Repaired { container: self.container.clone(), is_done, remarks, attachments, plans };
        session.show(&repaired, || print(&repaired))?;
        Ok(Exit::Done)
    }
}

fn unreadable(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Kept(_) => None,
        Entry::Unreadable { interface, why, .. } => Some(format!(
            "interface `{interface}` is passed over, since its record cannot be used: {why}"
        )),
    }
}

fn of_foreseen(foreseen: Foreseen) -> (Mended, Plan) {
    mended(foreseen.interface.to_string(), &foreseen.notes, foreseen.plan)
}

fn of_renewed(renewed: Renewed) -> (Mended, Plan) {
    mended(renewed.interface.to_string(), &renewed.notes, renewed.plan)
}

fn mended(interface: String, notes: &[Note], plan: Plan) -> (Mended, Plan) {
    let notes = notes.iter().map(ToString::to_string).collect();
    (Mended { interface, notes, steps: told(&plan) }, plan)
}

fn print(repaired: &Repaired) -> String {
    let Repaired { container, is_done, remarks, attachments, plans } = repaired;
    let mut text = format!("container {container}\n");
    text.extend(remarks.iter().map(|remark| format!("note: {remark}\n")));
    for (Mended { interface, notes, steps }, plan) in attachments.iter().zip(plans) {
        let count = counted(steps.len(), "step");
        let told = match (steps.is_empty(), is_done) {
            (true, _) => "as it should be".to_owned(),
            (false, true) => format!("mended in {count}"),
            (false, false) => format!("would be mended in {count}"),
        };
        text.push_str(&format!("interface {interface}: {told}\n"));
        text.extend(notes.iter().map(|note| format!("note: {note}\n")));
        if !plan.is_empty() {
            text.push_str(&plan.to_string());
        }
    }
    text
}
