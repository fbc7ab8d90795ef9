//! `replay`: decides the whole journal again and compares.

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use spiderpool_store::{Difference, Discrepancy, ReplayReport};

/// Decide every command of the journal again, and compare with what was done
///
/// The same commands at the same moments have to lead to the same state: where they do not, the store
/// was changed by something else, or this version decides otherwise. With --verify, the file is checked
/// from end to end as well. Exit code 5 says that something differs.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl replay\n  \
       spiderpoolctl replay --verify -o json"
))]
pub(crate) struct Replay {
    /// Check the file from end to end as well
    #[arg(long)]
    verify: bool,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    /// The first and the last entry.
    entries: Option<(u64, u64)>,
    count: usize,
    differences: Vec<Difference>,
    /// What --verify found; absent without it.
    discrepancies: Option<Vec<Discrepancy>>,
}

impl Replay {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.store_only(
            "a cluster keeps no journal that could be decided again",
            "`audit`, which compares blocks, index, endpoints and pods",
        )?;
        let store = session.look()?;
        let ReplayReport { entries, count, differences } = store.replay()?;
        let report = self.verify.then(|| store.check()).transpose()?;
        let discrepancies = report.map(|report| report.discrepancies);
        let replayed = Replayed { entries, count, differences, discrepancies };
        session.show(&replayed, || print(&replayed))?;
        let is_same = replayed.differences.is_empty()
            && replayed.discrepancies.as_ref().is_none_or(Vec::is_empty);
        Ok(if is_same { Exit::Done } else { Exit::Broken })
    }
}

fn print(replayed: &Replayed) -> String {
    let mut text = match replayed.entries {
        Some((first, last)) => {
            format!("{} entries, {first} to {last}, decided again: ", replayed.count)
        }
        None => "the journal is empty: ".to_owned(),
    };
    if replayed.differences.is_empty() {
        text.push_str("the same state\n");
    } else {
        text.push_str(&format!("{} differences\n", replayed.differences.len()));
    }
    let damage = replayed.discrepancies.iter().flatten().map(ToString::to_string);
    for found in replayed.differences.iter().map(ToString::to_string).chain(damage) {
        text.push_str(&format!("  {found}\n"));
    }
    if replayed.discrepancies.as_ref().is_some_and(Vec::is_empty) {
        text.push_str("the file is sound\n");
    }
    text
}
