//! Keeping pods' networks as they should be: each record of the coordinator is held against what the
//! namespaces hold, and what differs is mended.
//!
//! It works on blocking threads, one container after the other, and never while a verb of the same
//! container is under way: the records' own lock sees to that.
//!
//! Invariants:
//! 1. A pod that cannot be mended hinders no other (`a_damaged_record_hinders_nobody`).
//! 2. Nothing is made where there is nothing (`no_records_no_work`).

use crate::conf::reload::Present;
use crate::log::chain;
use spiderpool_host::attachment::{Records, repair};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one container may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon the configuration is looked at again where repair is switched off.
const OFF: Duration = Duration::from_secs(30);

/// What one round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// So many containers were looked at.
    pub looked_at: usize,
    /// What was mended, as container, interface, and the steps as commands.
    pub mended: Vec<(String, String, String)>,
    /// What could not be mended, and why.
    pub faults: Vec<(String, String)>,
}

/// Mends all pods of the records in a directory.
#[must_use]
pub fn round(dir: &Path) -> Round {
    let mut round = Round::default();
    if !dir.is_dir() {
        return round;
    }
    let records = Records::at(dir);
    let entries = match records.all() {
        Ok(entries) => entries,
        Err(fault) => {
            round.faults.push((dir.display().to_string(), chain(&fault)));
            return round;
        }
    };
    let containers: BTreeSet<&str> = entries.iter().map(|entry| entry.container()).collect();
    for container in containers {
        round.looked_at = round.looked_at.saturating_add(1);
        let now = Instant::now();
        let until = now.checked_add(PATIENCE).unwrap_or(now);
        match repair(&records, container, None, until) {
            Ok(renewed) => {
                let mended = renewed.into_iter().filter(|one| !one.plan.is_empty());
                round.mended.extend(mended.map(|one| {
                    (container.to_owned(), one.interface.to_string(), one.plan.to_string())
                }));
            }
            Err(fault) => round.faults.push((container.to_owned(), chain(&fault))),
        }
    }
    round
}

/// Mends pods in the rhythm of the configuration, for ever.
pub async fn keep(present: Present) {
    loop {
        let own = present.borrow().own.clone();
        tokio::time::sleep(own.repair_every.unwrap_or(OFF)).await;
        if own.repair_every.is_none() {
            continue;
        }
        let dir = own.coordinator_state;
        match tokio::task::spawn_blocking(move || round(&dir)).await {
            Ok(round) => tell(&round),
            Err(error) => tracing::error!(%error, "mending pods has failed: a bug"),
        }
    }
}

#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
fn tell(round: &Round) {
    for (container, interface, steps) in &round.mended {
        tracing::warn!(
            container,
            interface,
            steps,
            "a pod's network was not as it should be, and is mended"
        );
    }
    for (container, why) in &round.faults {
        tracing::warn!(container, why, "a pod's network cannot be mended");
    }
    tracing::debug!(looked_at = round.looked_at, mended = round.mended.len(), "repair");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_records_no_work() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert_eq!(round(&none), Round::default());
        assert!(!none.exists());
    }

    #[test]
    fn a_damaged_record_hinders_nobody() {
        let dir = tempfile::tempdir().unwrap();
        for container in ["c1", "c2"] {
            let pod = dir.path().join("pods").join(container);
            fs::create_dir_all(&pod).unwrap();
            fs::write(pod.join("eth0.json"), "{").unwrap();
        }
        // Without a witness of a namespace there is nothing to mend, and nothing to complain of.
        let round = round(dir.path());
        assert_eq!((round.looked_at, round.mended.len(), round.faults.len()), (2, 0, 0));
    }
}
