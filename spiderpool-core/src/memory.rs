//! A ledger in memory: for tests, simulation, and programs that keep their own record.
//!
//! The smallest store there is: it decides, applies, and counts revisions. It shows what every
//! other store does with a decision, and is what the others are compared with.

use crate::command::{Answer, Command, Decision};
use crate::decide::decide;
use crate::event::{Revision, Write};
use crate::moment::Moment;
use crate::refusal::{Obstacle, Refusal};
use crate::view::View;
use thiserror::Error;

/// A complete view that commands change.
///
/// ```
/// use spiderpool_core::command::{Answer, Command};
/// use spiderpool_core::definition::{Pool, PoolDraft};
/// use spiderpool_core::memory::Memory;
/// use spiderpool_core::moment::Moment;
///
/// let mut ledger = Memory::new();
/// let draft = PoolDraft {
///     name: "blue".into(),
///     prefix: "10.6.0.0/16".into(),
///     ranges: vec!["10.6.0.10-10.6.0.99".into()],
///     ..PoolDraft::default()
/// };
/// let answer = ledger.execute(&Command::DefinePool(Pool::try_from(draft)?), Moment::default())?;
/// assert!(matches!(answer, Answer::Defined { changed: true, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    view: View,
    revision: u64,
}

/// A command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A complete view was said to lack something: a bug of the core.
    #[error("{0}")]
    Incomplete(String),
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self { view: View::complete(), revision: 0 }
    }

    /// The present state.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// How many decisions with writes it has committed: a ticket for requests that arrive now.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Decides a command and makes it so.
    ///
    /// # Errors
    /// [`MemoryError::Refused`] when the rules say no; nothing has changed then.
    pub fn execute(&mut self, command: &Command, moment: Moment) -> Result<Answer, MemoryError> {
        let decision = decide(&self.view, command, moment).map_err(|obstacle| match obstacle {
            Obstacle::Refusal(refusal) => MemoryError::Refused(*refusal),
            Obstacle::Need(need) => MemoryError::Incomplete(need.to_string()),
        })?;
        self.commit(&decision);
        Ok(decision.answer)
    }

    /// Applies a decision that was made on the present state.
    pub fn commit(&mut self, decision: &Decision) {
        if decision.writes.is_empty() {
            return;
        }
        self.revision += 1;
        for write in &decision.writes {
            self.commit_write(write, self.revision);
        }
    }

    /// Applies one write and notes the revision that its object has then: for stores that commit
    /// object by object.
    pub fn commit_write(&mut self, write: &Write, revision: Revision) {
        write.events.iter().for_each(|event| self.view.apply(&write.object, event));
        self.view.committed(&write.object, revision);
        self.revision = self.revision.max(revision);
    }
}
