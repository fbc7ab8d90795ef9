//! Steps: an op with all that it brings about.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Op;
use crate::intend::{Reason, Tenure};
use crate::net::{Object, Side};

/// The ordered way from a scene to an intent; empty if the scene holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Each step, the first to perform first.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether nothing is to be done: the intent is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The runs of steps that may be sent to the kernel at once: it goes on after an error, so what must
    /// not happen beside a step that fails is a run of its own. If a step of a run fails, what was
    /// performed of that run and the runs before it can be undone, last first
    /// (`plans_return_though_one_step_fails`).
    pub fn runs(&self) -> impl Iterator<Item = &[Step]> {
        self.steps.chunk_by(|step, next| !step.is_alone() && !next.is_alone())
    }

    /// What it destroys and cannot restore, to be said before it starts.
    pub fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.steps.iter().flat_map(|step| &step.losses)
    }
}

/// One op, why it is done, what else it changes, and how to undo all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// In which namespace.
    pub side: Side,
    /// What is done.
    pub op: Op,
    /// How long it is to stay; [`Tenure::Node`] is ensured, and never undone.
    pub tenure: Tenure,
    /// What for.
    pub reason: Reason,
    /// What restores the scene before this step, in order. Empty for [`Tenure::Node`].
    pub undo: Vec<(Side, Op)>,
    /// What goes or changes along with it, though it was not asked for, as it was before.
    pub collateral: Vec<(Side, Object)>,
    /// What its undo cannot bring back.
    pub losses: Vec<Loss>,
}

/// Something that a step destroys for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Loss {
    /// Where it was.
    pub side: Side,
    /// What it was; none for what no [`Object`] describes: a damaged table of marks, or a value that was
    /// not observed.
    pub object: Option<Object>,
    /// Why it cannot come back.
    pub cause: LossCause,
}

/// Why something cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LossCause {
    /// It has attributes that are not observed: it would come back without them.
    Unobserved,
    /// It is of a kind, or has its other end in a place, that no op can make.
    Unmakeable,
    /// The kernel would refuse it after this step.
    Refused,
}

impl Step {
    /// Whether it may be performed only if all steps before it were, and those after it only if it was: it
    /// takes away or overwrites what was there, which its undo would put back where it never was.
    fn is_alone(&self) -> bool {
        let is_addition = matches!(
            self.op,
            Op::CreateLink(_)
                | Op::AddAddress(_)
                | Op::SetNeighbour(_)
                | Op::AddRoute(_)
                | Op::AppendRoute(_)
                | Op::AddRule(_)
                | Op::AddMarks(_)
        );
        !is_addition || !self.collateral.is_empty() || self.undo.len() > 1
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unobserved => "parts of it are not observed",
            Self::Unmakeable => "nothing here can make it again",
            Self::Refused => "the kernel would not take it back",
        })
    }
}

impl fmt::Display for Plan {
    /// A line for each step, and its undo below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing to do\n");
        }
        for loss in self.losses() {
            writeln!(f, "cannot be undone: {loss}")?;
        }
        for (position, step) in self.steps.iter().enumerate() {
            write!(f, "{:3}. {step}", position + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    /// Side, command and reason; below, what goes along and what undoes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:4}  {}  # so that {}", self.side, self.op, self.reason)?;
        for (side, object) in &self.collateral {
            writeln!(f, "       also  {side:4}  {object}")?;
        }
        for (side, op) in &self.undo {
            writeln!(f, "       undo  {side:4}  {op}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{object} ({}): {}", self.side, self.cause),
            None => write!(f, "what was there before ({}): {}", self.side, self.cause),
        }
    }
}
