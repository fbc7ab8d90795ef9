//! What was weighed for a request, as people read it: each demand with its candidates.
//!
//! Called by `explain` and `simulate`. The verdicts are the core's own words.

use crate::session::{Colour, Session};
use crate::table::Table;
use spiderpool_core::refusal::{Candidate, Shortlist, Verdict, Weighed};

/// The whole shortlist: where pools were named, a table for each demand, and the remedy.
pub(crate) fn print(session: &Session, shortlist: &Shortlist) -> String {
    let mut text = format!("weighed among {}\n", shortlist.source);
    if shortlist.demands.is_empty() {
        text.push_str(&format!("{} no pool is named for either family\n", mark(session, false)));
    }
    for weighed in &shortlist.demands {
        text.push_str(&demand(session, weighed));
    }
    if let Some(remedy) = &shortlist.remedy {
        text.push_str(&format!("remedy: {remedy}\n"));
    }
    text
}

fn demand(session: &Session, weighed: &Weighed) -> String {
    let is_met = weighed.is_satisfied();
    let outcome = if is_met { "can be had" } else { "cannot be had" };
    let mut text = format!("{} {} {outcome}\n", mark(session, is_met), weighed.demand);
    if weighed.candidates.is_empty() {
        return text + "    there is no candidate\n";
    }
    let mut table = Table::new(&["POOL", "FREE", "VERDICT"]);
    for Candidate { pool, verdict, tally } in &weighed.candidates {
        let free = tally.map(|tally| format!("{}/{}", tally.free, tally.size)).unwrap_or_default();
        let told = match tally {
            Some(tally) if *verdict == Verdict::Exhausted => format!(
                "{verdict}: {} allocated, {} reserved, {} cooling, {} quarantined",
                tally.allocated, tally.reserved, tally.cooling, tally.quarantined
            ),
            _ => verdict.to_string(),
        };
        table.row([pool.clone(), free, told]);
    }
    text.push_str(&table.print(4));
    text
}

/// `+` or `-`, in green or red.
fn mark(session: &Session, is_met: bool) -> String {
    if is_met { session.paint(Colour::Green, "+") } else { session.paint(Colour::Red, "-") }
}
