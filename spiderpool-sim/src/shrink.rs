//! Cuts a failing schedule down: actions are left out for as long as it still fails in the same way.

use crate::machine::Machine;
use crate::run::{kind, run};
use crate::saboteur::Bug;
use crate::schedule::Schedule;

/// The fewest actions of a failing schedule, by their places in it, with which it still fails.
#[must_use]
pub fn shrink<M: Machine>(schedule: &Schedule, bug: Option<Bug>) -> Vec<usize> {
    let fails = |schedule: &Schedule| run::<M>(schedule, bug).violation.as_deref().map(kind);
    let first = fails(schedule);
    let mut kept: Vec<usize> = (0..schedule.actions.len()).collect();
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < kept.len() {
            let fewer: Vec<_> =
                kept.iter().take(at).chain(kept.iter().skip(at + chunk)).copied().collect();
            if fails(&only(schedule, &fewer)) == first {
                kept = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    kept
}

/// A schedule with some of its actions alone.
#[must_use]
pub fn only(schedule: &Schedule, kept: &[usize]) -> Schedule {
    let actions = kept.iter().filter_map(|at| schedule.actions.get(*at).copied()).collect();
    Schedule { actions, ..schedule.clone() }
}
