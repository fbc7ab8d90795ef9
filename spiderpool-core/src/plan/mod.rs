//! From what is to what should be: steps, each with its way back.
//!
//! [`plan`] compares a [`Scene`] with an [`Intent`] and gives
//! a [`Plan`]: [`Step`]s in an order in which every state on the way is safe. It decides by trying: each
//! [`Op`] is performed on a pure model of the kernel ([`kernel`]), which says what else changes, and hence
//! how to undo it. `spiderpool-netlink` performs the same ops on the real one.
//!
//! Invariants, each kept by a property over random scenes and intents (`tests/plan`):
//!
//! 1. *Arrives, rests*: performing a plan leads to a scene that needs no step (`plans_arrive_and_rest`).
//! 2. *Returns*: the undo of any first steps, last first, leads back to the scene before
//!    (`plans_return_from_every_step`), also when later steps of the same run were performed although one
//!    failed (`plans_return_though_one_step_fails`).
//! 3. *Keeps off*: nothing changes that is neither wished for nor announced as collateral
//!    (`plans_keep_off_what_nobody_spoke_of`).
//! 4. What cannot be restored is destroyed last, and announced (`losses_come_last_and_are_announced`).

mod op;
mod refusal;
mod step;

pub mod kernel;

mod balance;
mod command;
mod draft;
mod draft_link;
mod phase;
mod planner;
mod remake;
mod same;
mod undo;

pub use op::{LinkChange, NewKind, NewLink, Op, VethPeer};
pub use refusal::PlanRefusal;
pub use step::{Loss, LossCause, Plan, Step};

use crate::intend::Intent;
use crate::net::Scene;

/// The steps that lead from a scene to one that holds an intent; none if it holds it already.
///
/// # Errors
///
/// [`PlanRefusal`]: something that is not ours is in the way, wishes contradict each other, or the kernel
/// would not do it.
pub fn plan(scene: &Scene, intent: &Intent) -> Result<Plan, PlanRefusal> {
    planner::plan(scene, intent)
}
