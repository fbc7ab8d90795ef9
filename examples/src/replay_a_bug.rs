//! Replay a bug: a journal of commands and moments is the whole bug report.
//!
//! A user says: "web-0 was deleted, yet the address it had went to web-1 at once, although the pool has
//! a cool-down." Attached is the journal below. Replayed, every decision comes out as it was recorded,
//! on this machine as on the user's; and the state in between can be looked at. Here it shows that the
//! cool-down was two seconds, not two minutes: somebody wrote it in milliseconds and forgot three zeros.

use serde_json::{Value, json};
use spiderpool_core::audit::audit;
use spiderpool_core::command::{Answer, Command, Decision};
use spiderpool_core::decide::{decide, explain};
use spiderpool_core::memory::Memory;
use spiderpool_core::moment::Moment;
use std::error::Error;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One line of a journal: what was asked, when, and what was answered.
type Line = (Command, Moment, Answer);

/// What the user sent.
const JOURNAL: &str = include_str!("journal.json");

fn main() -> Outcome<()> {
    let journal: Vec<Line> = serde_json::from_str(JOURNAL)?;
    let mut ledger = Memory::new();
    for (number, (command, moment, told)) in journal.iter().enumerate() {
        if let Command::Allocate(request) = command {
            let shortlist =
                explain(ledger.view(), request, *moment).map_err(|o| format!("{o:?}"))?;
            for candidate in shortlist.demands.iter().flat_map(|demand| &demand.candidates) {
                println!("    pool {}: {}", candidate.pool, candidate.verdict);
            }
        }
        let decision = replayed(&ledger, command, *moment)?;
        assert_eq!(decision.answer, *told, "line {number} comes out as it was recorded");
        ledger.commit(&decision);
        println!("{:>6} ms: {} -> {}", moment.now_ms, asked(command)?, answered(told));

        let found = audit(ledger.view()).map_err(|need| need.to_string())?;
        assert!(found.is_clean(), "after line {number}: {found}");
    }

    let entry = ledger.view().pool("blue").map_err(|need| need.to_string())?.ok_or("no pool")?;
    println!("the cool-down of pool blue is {} ms", entry.pool.cool_down_ms());
    assert_eq!(entry.pool.cool_down_ms(), 2_000, "the report's two minutes were two seconds");
    Ok(())
}

/// The decision, made twice: a replay is worth nothing unless both are one.
fn replayed(ledger: &Memory, command: &Command, moment: Moment) -> Outcome<Decision> {
    let decide = || decide(ledger.view(), command, moment).map_err(|o| format!("{o:?}"));
    let (one, other) = (decide()?, decide()?);
    assert_eq!(one, other, "the same view, command and moment");
    Ok(one)
}

/// The command's name with whom it is about.
fn asked(command: &Command) -> Outcome<String> {
    let whom = if let Command::Allocate(request) = command {
        request.holder.owner.to_string()
    } else if let Command::Release(release) = command {
        release.container.to_string()
    } else {
        "of a definition".to_owned()
    };
    let value = serde_json::to_value(command)?;
    let verb = value.as_object().and_then(|object| object.keys().next().cloned());
    Ok(format!("{} {whom}", verb.unwrap_or_default()))
}

fn answered(answer: &Answer) -> Value {
    match answer {
        Answer::Allocated(given) => {
            json!(given.addresses.iter().map(|a| a.address).collect::<Vec<_>>())
        }
        Answer::Freed(freed) => json!(freed.iter().map(|s| s.place.address).collect::<Vec<_>>()),
        Answer::Defined { .. } => json!("defined"),
        Answer::Quarantined { .. } | Answer::Spared(_) | Answer::Done => json!("done"),
    }
}
