//! `reclaim`: takes back what a reboot or a lost DEL left behind.
//!
//! A witness tells in which boot and which network namespace an allocation was made. What is certain to
//! be gone is reclaimed, at the generation that was judged; what cannot be known stays
//! (`unknown_is_never_reclaimed`).

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{Row, State, rows};
use crate::session::Session;
use crate::table::{Table, counted};
use clap::Args;
use serde::Serialize;
use spiderpool_core::command::Claim;
use spiderpool_host::{Fate, Survey, SweepError};
use spiderpool_store::Store;
use std::collections::BTreeMap;

/// Take back addresses whose pods are gone: after a reboot, or when no DEL came
///
/// Judges the witness of every allocation: the boot and the network namespace it was made in. What is
/// certain to be gone is given back; what lives, what cannot be known and what belongs to a static
/// identity stays. Without --boot and --dead-namespaces, both kinds are looked for.
///
/// On a cluster, everything is looked at twice, some seconds apart, by the rules of the controller: an
/// address goes when its pod is gone, and its node is gone, off or not ready. On a node that is ready
/// the agent takes care of it.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl reclaim --dry-run\n  \
       spiderpoolctl reclaim --boot --yes"
))]
pub(crate) struct Reclaim {
    /// Show what would go, give nothing back
    #[arg(long)]
    dry_run: bool,
    /// Only what an earlier boot left behind
    #[arg(long)]
    boot: bool,
    /// Only what is left of namespaces that are gone in this boot
    #[arg(long)]
    dead_namespaces: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// One allocation in the answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    #[serde(rename = "allocation")]
    row: Row,
    goes: bool,
    why: String,
}

impl Reclaim {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            if self.boot || self.dead_namespaces {
                let what = "--boot and --dead-namespaces judge the witnesses of one host's store";
                return Err(Failure::bad(what).try_this("leave them out on a cluster"));
            }
            return crate::cluster::reclaim(session, &cluster, (self.dry_run, self.yes));
        }
        let store = session.look()?;
        let survey = spiderpool_host::survey(&store).map_err(failed)?;
        let judged = self.judge(&store, &survey)?;
        let going = judged.iter().filter(|judged| judged.goes).count();
        session.show(&judged, || print(session, &judged))?;
        if self.dry_run || going == 0 {
            return Ok(Exit::Done);
        }
        session.confirm(&format!("give {} back?", counted(going, "address")), self.yes)?;
        let takes = |fate: &Fate| self.takes(fate);
        let freed = spiderpool_host::sweep(&session.open()?, &survey, takes, session.moment())
            .map_err(failed)?;
        session.note(&format!("{} reclaimed", counted(freed.len(), "address")));
        Ok(Exit::Done)
    }

    /// Every allocation as lists show it, with what becomes of it.
    fn judge(&self, store: &Store, survey: &Survey) -> Result<Vec<Judged>, Failure> {
        let fates: BTreeMap<_, _> =
            survey.judged.iter().map(|one| (&one.claim, &one.fate)).collect();
        let rows = rows(&store.load_all()?)?;
        let allocated = rows.into_iter().filter(|row| row.state == State::Allocated);
        Ok(allocated
            .filter_map(|row| {
                let generation = row.generation.unwrap_or_default();
                let fate = fates.get(&Claim { place: row.place(), generation })?;
                Some(Judged { goes: self.takes(fate), why: fate.to_string(), row })
            })
            .collect())
    }

    /// Whether a fate is one of those that were asked for.
    const fn takes(&self, fate: &Fate) -> bool {
        let both = !self.boot && !self.dead_namespaces;
        match fate {
            Fate::OtherBoot => both || self.boot,
            Fate::Dead { .. } => both || self.dead_namespaces,
            Fate::Abandoned => true,
            Fate::Alive | Fate::Unknown { .. } | Fate::Static => false,
        }
    }
}

fn failed(error: SweepError) -> Failure {
    match error {
        SweepError::Store(error) => error.into(),
        SweepError::Incomplete(why) => Failure::world(format!("bug: {why}")),
    }
}

fn print(session: &Session, judged: &[Judged]) -> String {
    let mut table = Table::new(&["ADDRESS", "OWNER", "INTERFACE", "POOL", "GOES", "WHY"]);
    for Judged { row, goes, why } in judged.iter().filter(|judged| judged.goes || session.is_wide())
    {
        table.row([
            row.address.to_string(),
            row.owner.clone(),
            row.attachment.clone(),
            row.pool.as_ref().map(ToString::to_string).unwrap_or_default(),
            if *goes { "yes" } else { "no" }.to_owned(),
            why.clone(),
        ]);
    }
    let mut text = if table.is_empty() { String::new() } else { table.print(0) };
    let going = judged.iter().filter(|judged| judged.goes).count();
    let unknown = judged.iter().filter(|judged| judged.why.starts_with("unknown")).count();
    let stays = judged.len() - going;
    text.push_str(&format!("left behind: {going}; staying: {stays}, {unknown} of them unknown\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_never_reclaimed() {
        for (boot, dead_namespaces) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let reclaim = Reclaim { dry_run: false, boot, dead_namespaces, yes: true };
            let why = String::new;
            for fate in [Fate::Alive, Fate::Static, Fate::Unknown { why: why() }] {
                assert!(!reclaim.takes(&fate), "{fate:?}");
            }
            assert!(reclaim.takes(&Fate::Abandoned));
            assert_eq!(reclaim.takes(&Fate::OtherBoot), boot || !dead_namespaces);
            assert_eq!(reclaim.takes(&Fate::Dead { why: why() }), dead_namespaces || !boot);
        }
    }
}
