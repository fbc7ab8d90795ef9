//! Steps as they are printed for programs: commands, and what comes with them.
//!
//! For people a plan prints itself ([`spiderpool_core::plan::Plan`]); the names of the fields here are a
//! promise.

use serde::Serialize;
use spiderpool_core::intend::Tenure;
use spiderpool_core::net::{Object, Side};
use spiderpool_core::plan::{Loss, Op, Plan, Step};

/// One step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToldStep {
    /// `host` or `pod`.
    side: String,
    /// The `ip`, `sysctl` or `nft` command that it equals.
    command: String,
    /// As the end of "so that …".
    so_that: String,
    /// `attachment`, `pod` or `node`: with whom it ends.
    serves: &'static str,
    /// What restores the state before this step, in order.
    undo: Vec<Sided>,
    /// What goes or changes along with it, as it was before.
    collateral: Vec<Sided>,
    /// What its undo cannot bring back.
    losses: Vec<ToldLoss>,
}

/// Something in one of the two namespaces.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sided {
    side: String,
    what: String,
}

/// Something that would be destroyed for good.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldLoss {
    side: String,
    /// Absent for what no object describes.
    what: Option<String>,
    why: String,
}

/// The steps of a plan.
pub(crate) fn told(plan: &Plan) -> Vec<ToldStep> {
    plan.steps.iter().map(step).collect()
}

/// With whom a wish ends.
pub(crate) const fn serves(tenure: Tenure) -> &'static str {
    match tenure {
        Tenure::Attachment => "attachment",
        Tenure::Pod => "pod",
        Tenure::Node => "node",
    }
}

fn step(step: &Step) -> ToldStep {
    let undo = |(side, op): &(Side, Op)| Sided { side: side.to_string(), what: op.to_string() };
    let collateral = |(side, object): &(Side, Object)| Sided {
        side: side.to_string(),
        what: object.to_string(),
    };
    ToldStep {
        side: step.side.to_string(),
        command: step.op.to_string(),
        so_that: step.reason.to_string(),
        serves: serves(step.tenure),
        undo: step.undo.iter().map(undo).collect(),
        collateral: step.collateral.iter().map(collateral).collect(),
        losses: step.losses.iter().map(loss).collect(),
    }
}

fn loss(loss: &Loss) -> ToldLoss {
    ToldLoss {
        side: loss.side.to_string(),
        what: loss.object.as_ref().map(ToString::to_string),
        why: loss.cause.to_string(),
    }
}
