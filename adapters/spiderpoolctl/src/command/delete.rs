//! `delete`: removes definitions.

use crate::copy::{Copy, told};
use crate::definition::{self, Kind, removal};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::parse_name;
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use spiderpool_core::name::Name;
use spiderpool_store::Extra;
use std::path::PathBuf;

/// Remove pools, subnets or reservations
///
/// A pool that still has allocations and a subnet that still has pools are refused, with what stands in
/// the way. With -f, what the manifests name is removed, pools first; everything is tried on a copy, and
/// a refusal leaves all of it in place.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl delete pool blue\n  \
       spiderpoolctl delete -f pools.yaml --dry-run"
))]
pub(crate) struct Delete {
    /// What to remove: pool, subnet or reservation
    #[arg(required_unless_present = "filename", requires = "names")]
    kind: Option<Kind>,
    /// Their names
    names: Vec<String>,
    /// Manifests that name what to remove
    #[arg(short, long, value_name = "FILE", conflicts_with = "kind")]
    filename: Vec<PathBuf>,
    /// Try it on a copy, write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    kind: String,
    name: Name,
    dry_run: bool,
    /// Whether something on a cluster keeps it until its addresses are free.
    #[serde(skip_serializing_if = "is_false")]
    waits: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Delete {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut targets = self.targets()?;
        // Pools go before the subnets they were carved from.
        targets.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        let mut copy = Copy { view: session.view()? };
        let mut flaws = Vec::new();
        for (kind, name) in &targets {
            let tried = copy.run(&removal(*kind, name.clone()), session.moment())?;
            flaws.extend(tried.err().map(|refusal| told(&refusal)));
        }
        if !flaws.is_empty() {
            let failure = Failure::refused("the removal is refused; nothing was changed");
            return Err(failure.with_flaws(flaws));
        }
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            return on_cluster(session, &cluster, &targets, self.dry_run);
        }
        if !self.dry_run {
            let store = session.open()?;
            let commands: Vec<_> =
                targets.iter().map(|(kind, name)| removal(*kind, name.clone())).collect();
            store.execute_all(&commands, session.moment(), &Extra::default()).map_err(
                |(_, error)| Failure::from(error).while_doing("nothing was removed".to_owned()),
            )?;
        }
        let dry_run = self.dry_run;
        let deleted = targets.into_iter().map(|(kind, name)| Deleted {
            kind: kind.to_string(),
            name,
            dry_run,
            waits: false,
        });
        let deleted: Vec<_> = deleted.collect();
        session.show(&deleted, || print(&deleted))?;
        Ok(Exit::Done)
    }

    fn targets(&self) -> Result<Vec<(Kind, Name)>, Failure> {
        let Some(kind) = self.kind else {
            // Where bare networks lie does not matter for what is only named.
            let read = definition::read(&self.filename, "kube-system")?;
            return Ok(read.definitions.iter().map(|d| (d.kind(), d.name().clone())).collect());
        };
        self.names.iter().map(|name| Ok((kind, parse_name("name", name)?))).collect()
    }
}

/// Removes custom resources. The server has judged every removal before the first.
#[cfg(feature = "cluster")]
fn on_cluster(
    session: &Session,
    cluster: &crate::cluster::Cluster,
    targets: &[(Kind, Name)],
    dry_run: bool,
) -> Result<Exit, Failure> {
    let mut deleted = Vec::new();
    for (kind, name) in targets {
        let waits = crate::cluster::delete(cluster, (*kind, name), true)?;
        deleted.push(Deleted { kind: kind.to_string(), name: name.clone(), dry_run, waits });
    }
    if !dry_run {
        for ((kind, name), told) in targets.iter().zip(&mut deleted) {
            told.waits = crate::cluster::delete(cluster, (*kind, name), false)?;
        }
    }
    session.show(&deleted, || print(&deleted))?;
    Ok(Exit::Done)
}

fn print(deleted: &[Deleted]) -> String {
    let lines = deleted.iter().map(|Deleted { kind, name, dry_run, waits }| {
        let suffix = if *dry_run { " (dry run)" } else { "" };
        let waits = if *waits { ", and goes when the controller has seen it empty" } else { "" };
        format!("{kind} {name} deleted{waits}{suffix}\n")
    });
    lines.collect()
}
