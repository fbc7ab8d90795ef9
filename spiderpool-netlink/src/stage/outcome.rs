//! What became of a plan.

use std::fmt;

use spiderpool_core::net::Side;
use spiderpool_core::plan::{Op, PlanRefusal};

use crate::fault::NetlinkFault;

/// A plan was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// How many steps it had.
    pub steps: usize,
    /// How many requests that took on route sockets, look-ups of links included.
    pub round_trips: u32,
}

/// A plan was not carried out: one step failed, and those before it were undone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failed {
    /// Which step failed, from 1.
    pub step: usize,
    /// How many steps the plan has.
    pub steps: usize,
    /// On which side it failed.
    pub side: Side,
    /// What failed.
    pub op: Box<Op>,
    /// Why.
    #[source]
    pub fault: Box<NetlinkFault>,
    /// What was done to undo the steps before it, in that order.
    pub rollback: Vec<Undone>,
}

/// One op of undoing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// On which side.
    pub side: Side,
    /// What was done.
    pub op: Op,
    /// What came of it: nothing if it is so now.
    pub outcome: Result<(), NetlinkFault>,
}

/// Why it cannot be said whether an intent is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFault {
    /// A namespace could not be looked at.
    #[error("the namespaces could not be looked at")]
    Observe(#[from] NetlinkFault),
    /// No steps lead from what there is to what should be.
    #[error("no plan leads to what should be")]
    Plan(#[from] PlanRefusal),
}

impl Failed {
    /// What could not be undone, and is therefore left behind.
    pub fn left_behind(&self) -> impl Iterator<Item = &Undone> {
        self.rollback.iter().filter(|undone| undone.outcome.is_err())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, steps, side, op, rollback, .. } = self;
        write!(f, "step {step} of {steps} failed, `{op}` on the {side} side; ")?;
        let left: Vec<_> = self.left_behind().collect();
        match (rollback.len(), left.as_slice()) {
            (0, _) => f.write_str("nothing had to be undone"),
            (_, []) => f.write_str("what was done before it is undone"),
            (all, left) => {
                write!(f, "of {all} things to undo, {} could not be:", left.len())?;
                left.iter().try_for_each(|undone| write!(f, " {undone};"))?;
                f.write_str(" do that by hand, or try again to delete the attachment")
            }
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on the {} side", self.op, self.side)?;
        match &self.outcome {
            Ok(()) => Ok(()),
            Err(fault) => write!(f, " ({fault})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use spiderpool_core::net::LinkName;

    use super::*;
    use crate::fault::Errno;

    fn failed(rollback: Vec<Undone>) -> Failed {
        let fault = NetlinkFault::NoLink { subject: "add a route".into(), name: "eth0".into() };
        let op = Box::new(Op::DeleteMarks);
        Failed { step: 2, steps: 3, side: Side::Pod, op, fault: Box::new(fault), rollback }
    }

    #[test]
    fn what_is_left_behind_is_told() {
        assert!(failed(Vec::new()).to_string().ends_with("side; nothing had to be undone"));
        let op = Op::DeleteLink(LinkName::new("veth0").unwrap());
        let well = Undone { side: Side::Host, op: op.clone(), outcome: Ok(()) };
        let told = failed(vec![well.clone()]).to_string();
        assert!(told.ends_with("what was done before it is undone"), "{told}");
        let (subject, text, offset) = ("delete link `veth0`".to_owned(), None, None);
        let fault = NetlinkFault::Refused { subject, errno: Errno::EBUSY, text, offset };
        let badly = Undone { side: Side::Host, op, outcome: Err(fault) };
        let told = failed(vec![well, badly]).to_string();
        assert!(told.contains("of 2 things to undo, 1 could not be: `"), "{told}");
        assert!(told.contains("EBUSY"), "{told}");
    }
}
