//! A copy of the ledger in memory, to try commands on before, or instead of, carrying them out.
//!
//! Called by `apply`, `edit`, `delete`, `simulate`, `explain` and `import`. It decides and applies
//! with the core's own functions, so that what succeeds here succeeds on the store as long as nobody
//! else comes in between (`tests/cli/simulate.rs`: `simulated_is_what_happens`).

use crate::definition::{Definition, Kind};
use crate::failure::Failure;
use spiderpool_core::command::{Answer, Command, Standing};
use spiderpool_core::decide::decide;
use spiderpool_core::moment::Moment;
use spiderpool_core::refusal::{Obstacle, Refusal};
use spiderpool_core::view::{Need, View};

/// The state that commands are tried on.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// What it has come to.
    pub(crate) view: View,
}

impl Copy {
    /// Decides a command and applies what it writes; the inner error is a refusal.
    pub(crate) fn run(
        &mut self,
        command: &Command,
        moment: Moment,
    ) -> Result<Result<Answer, Box<Refusal>>, Failure> {
        match decide(&self.view, command, moment) {
            Ok(decision) => {
                for write in &decision.writes {
                    write.events.iter().for_each(|event| self.view.apply(&write.object, event));
                }
                Ok(Ok(decision.answer))
            }
            Err(Obstacle::Refusal(refusal)) => Ok(Err(refusal)),
            Err(Obstacle::Need(need)) => Err(incomplete(&need)),
        }
    }
}

/// A view of everything lacks something, which is a bug.
pub(crate) fn incomplete(need: &Need) -> Failure {
    Failure::world(format!("bug: {need}; please report it together with a backup of the store"))
}

/// What became of one definition on a copy.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) definition: Definition,
    pub(crate) change: Change,
    /// Allocations that it does not cover any more.
    pub(crate) standing: Vec<Standing>,
}

/// How a definition relates to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There was none of that name.
    Created,
    /// It differs from the one there was.
    Configured,
    /// It is the same.
    Unchanged,
}

impl Change {
    /// The word that is printed.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Puts definitions on a copy, whatever order they depend on each other in, and gives the order that
/// worked.
///
/// A pool may need a subnet that comes later in the text, and a subnet may only shrink after a pool
/// has: what is refused is tried again as long as anything else succeeds.
pub(crate) fn put(
    copy: &mut Copy,
    mut definitions: Vec<Definition>,
    moment: Moment,
) -> Result<Vec<Step>, Failure> {
    definitions.sort_by_key(|definition| (definition.kind(), definition.name().clone()));
    let mut steps = Vec::new();
    loop {
        let before = steps.len();
        let mut left = Vec::new();
        for definition in definitions {
            match put_one(copy, &definition, moment)? {
                Ok(step) => steps.push(step),
                Err(refusal) => left.push((definition, refusal)),
            }
        }
        if left.is_empty() {
            return Ok(steps);
        }
        if steps.len() == before {
            let flaws = left.iter().map(|(_, refusal)| told(refusal)).collect();
            let what = "the definitions are refused; nothing was changed";
            return Err(Failure::refused(what).with_flaws(flaws));
        }
        definitions = left.into_iter().map(|(definition, _)| definition).collect();
    }
}

fn put_one(
    copy: &mut Copy,
    definition: &Definition,
    moment: Moment,
) -> Result<Result<Step, Box<Refusal>>, Failure> {
    let existed = exists(&copy.view, definition.kind(), definition.name());
    Ok(copy.run(&definition.define(), moment)?.map(|answer| {
        let (changed, standing) = match answer {
            Answer::Defined { changed, standing } => (changed, standing),
            Answer::Allocated(_)
            | Answer::Freed(_)
            | Answer::Quarantined { .. }
            | Answer::Spared(_)
            | Answer::Done => (true, Vec::new()),
        };
        let change = match (existed, changed) {
            (false, _) => Change::Created,
            (true, true) => Change::Configured,
            (true, false) => Change::Unchanged,
        };
        Step { definition: definition.clone(), change, standing }
    }))
}

fn exists(view: &View, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Pool => matches!(view.pool(name), Ok(Some(_))),
        Kind::Subnet | Kind::Reservation => Definition::find(view, kind, name).is_some(),
    }
}

/// A refusal with what lies behind it, in one line.
pub(crate) fn told(refusal: &Refusal) -> String {
    let mut text = refusal.to_string();
    let mut next = std::error::Error::source(refusal);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
