//! The one function that decides.
//!
//! [`decide`] looks at a view and says what should happen; it never changes anything. The same
//! view, command and moment give the same decision on every machine, for ever
//! (`same_input_same_decision`).
//!
//! Invariants, each kept by a test of that name under `tests/ledger`:
//! 1. A decision's writes, applied, leave no violation; so does every prefix of them but for
//!    leaks, which reclaim heals (`any_prefix_is_at_worst_a_leak`).
//! 2. Asking again for the same incarnation gives the same answer and writes nothing
//!    (`asking_twice_changes_nothing`).
//! 3. All attachments and families of a request are granted, or none (`all_or_nothing`).
//! 4. As many pods as addresses always fit (`as_many_pods_as_addresses_fit`).

mod allocate;
mod answer;
mod change;
mod define;
mod demand;
mod draft;
mod glob;
mod pick;
mod release;
mod remedy;
mod seat;
mod shortlist;

pub use glob::{BadPattern, glob_matches};

use crate::command::{Command, Decision};
use crate::moment::Moment;
use crate::refusal::Obstacle;
use crate::view::View;

/// What follows from a command, in a state of the world, at a moment.
///
/// # Errors
/// [`Obstacle::Need`] when a partial view lacks something: load it and ask again with the same
/// moment. [`Obstacle::Refusal`] when the rules say no.
pub fn decide(view: &View, command: &Command, moment: Moment) -> Result<Decision, Obstacle> {
    match command {
        Command::DefineSpace(space) => define::space(view, space),
        Command::DefineSubnet(subnet) => define::subnet(view, subnet),
        Command::RemoveSubnet(name) => define::remove_subnet(view, name),
        Command::DefineReservation(reservation) => define::reservation(view, reservation),
        Command::RemoveReservation(name) => define::remove_reservation(view, name),
        Command::DefinePool(pool) => define::pool(view, pool),
        Command::RemovePool(name) => define::remove_pool(view, name),
        Command::Allocate(request) => allocate::allocate(view, request, moment),
        Command::Release(release) => release::release(view, release, moment),
        Command::Reclaim(reclaim) => release::reclaim(view, reclaim, moment),
        Command::Collect(collect) => release::collect(view, collect, moment),
        Command::Hold(hold) => change::hold(view, hold, moment),
        Command::Conflict(conflict) => change::conflict(view, conflict, moment),
        Command::Clear(place) => change::clear(view, place),
        Command::Tidy { before_ms } => release::tidy(view, *before_ms),
    }
}

/// Everything that was weighed for a request, whether it succeeds or not: the same function with
/// its notes kept.
///
/// # Errors
/// As [`decide`]; a request that is refused for lack of addresses is not an error here.
pub fn explain(
    view: &View,
    request: &crate::request::Request,
    moment: Moment,
) -> Result<crate::refusal::Shortlist, Obstacle> {
    allocate::explain(view, request, moment)
}

/// Decides commands one after the other, each on the view with the events of the earlier ones
/// applied; one that is refused does not sink the others. The view ends with all events applied.
pub fn decide_all<'a>(
    view: &mut View,
    commands: impl IntoIterator<Item = (&'a Command, Moment)>,
) -> Vec<Result<Decision, Obstacle>> {
    let mut decisions = Vec::new();
    for (command, moment) in commands {
        let decision = decide(view, command, moment);
        if let Ok(decision) = &decision {
            for write in &decision.writes {
                write.events.iter().for_each(|event| view.apply(&write.object, event));
            }
        }
        decisions.push(decision);
    }
    decisions
}
