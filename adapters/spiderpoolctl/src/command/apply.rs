//! `apply`: makes or changes what manifests define.
//!
//! Everything is read and tried on a copy before the write, and the store commits all definitions
//! or none, so that a flaw or a refusal leaves it as it was (`tests/golden`: `apply`).

use crate::copy::{Copy, Step, put};
use crate::definition::{self, Definition, Kind, Reading};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use spiderpool_core::command::Standing;
use spiderpool_core::name::Name;
use spiderpool_core::view::View;
use spiderpool_kube::manifest::Manifest;
use spiderpool_store::{Extra, Store};
use std::path::PathBuf;

/// Make or change pools, subnets and reservations from manifests
///
/// Reads SpiderIPPool, SpiderSubnet and SpiderReservedIP in YAML or JSON, several documents a file, in
/// any order. Everything is checked on a copy first: when a manifest has a flaw or the rules refuse a
/// definition, nothing is written. A store that does not exist is made. On a cluster the API server
/// judges everything by a dry run as well, before the first custom resource is written.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl apply -f pools.yaml\n  \
       spiderpoolctl apply -f manifests/ --dry-run\n  \
       spiderpoolctl --cluster apply -f pools.yaml\n  \
       spiderpoolctl get pools -o yaml | spiderpoolctl --store other apply -f -"
))]
pub(crate) struct Apply {
    /// A file, a directory, or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Check everything, write nothing
    #[arg(long)]
    dry_run: bool,
    /// The namespace of networks that multusName gives without one
    #[arg(long, default_value = "kube-system", value_name = "NAME")]
    agent_namespace: String,
}

/// What became of one definition; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    kind: String,
    name: String,
    change: &'static str,
    dry_run: bool,
    /// Allocations that the definition does not cover, which stay until they are released.
    standing: Vec<Standing>,
}

impl Apply {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Reading { definitions, manifests, warnings } =
            definition::read(&self.filename, &self.agent_namespace)?;
        warnings.iter().for_each(|warning| session.note(&format!("warning: {warning}")));
        if definitions.is_empty() {
            return Err(Failure::bad("there is no manifest in what was given"));
        }
        apply(session, (definitions, manifests), self.dry_run)
    }
}

/// Tries definitions on a copy, then writes them in the order that worked.
pub(crate) fn apply(
    session: &Session,
    (definitions, manifests): (Vec<Definition>, Vec<(Kind, Name, Manifest)>),
    dry_run: bool,
) -> Result<Exit, Failure> {
    #[cfg(feature = "cluster")]
    if let Some(cluster) = session.cluster()? {
        let view = session.view()?;
        let mut steps = put(&mut Copy { view }, definitions, session.moment())?;
        crate::cluster::apply(&cluster, &mut steps, &manifests, dry_run)?;
        return tell(session, steps, dry_run);
    }
    // What a store keeps is the definition itself.
    drop(manifests);
    let there = session.look_if_there()?;
    let view = there.as_ref().map(Store::load_all).transpose()?.unwrap_or_else(View::complete);
    let steps = put(&mut Copy { view }, definitions, session.moment())?;
    if there.is_none() {
        let verb = if dry_run { "would make" } else { "making" };
        session.note(&format!("{verb} the store `{}`", session.dir()?.display()));
    }
    if !dry_run {
        let store = session.open_or_create()?;
        let commands: Vec<_> = steps.iter().map(|step| step.definition.define()).collect();
        store
            .execute_all(&commands, session.moment(), &Extra::default())
            .map_err(|(at, error)| nothing_applied(&steps, at, error.into()))?;
    }
    tell(session, steps, dry_run)
}

fn tell(session: &Session, steps: Vec<Step>, dry_run: bool) -> Result<Exit, Failure> {
    let applied: Vec<_> = steps.into_iter().map(|step| report(step, dry_run)).collect();
    session.show(&applied, || print(&applied))?;
    Ok(Exit::Done)
}

fn report(step: Step, dry_run: bool) -> Applied {
    Applied {
        kind: step.definition.kind().to_string(),
        name: step.definition.name().to_string(),
        change: step.change.word(),
        dry_run,
        standing: step.standing,
    }
}

fn print(applied: &[Applied]) -> String {
    let mut text = String::new();
    for Applied { kind, name, change, dry_run, standing } in applied {
        let suffix = if *dry_run { " (dry run)" } else { "" };
        text.push_str(&format!("{kind} {name} {change}{suffix}\n"));
        for held in standing {
            let (address, owner) = (held.place.address, &held.owner);
            text.push_str(&format!("  {address} stays with {owner} until it is released\n"));
        }
    }
    text
}

/// A write that failed although it had succeeded on the copy; none of the others was made.
fn nothing_applied(steps: &[Step], at: usize, failure: Failure) -> Failure {
    let name = steps.get(at).map(|step| step.definition.to_string()).unwrap_or_default();
    failure.while_doing(format!("{name} could not be applied; nothing was changed"))
}
