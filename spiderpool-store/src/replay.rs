//! Proving the present from the past: every journalled command is decided again.
//!
//! Called by `spiderpoolctl replay` and by tests. Invariant: on a sound store there is no difference
//! (`replay_gives_the_present`).

use crate::error::StoreError;
use crate::load::Loader;
use crate::open::Store;
use crate::{journal, object};
use serde::{Deserialize, Serialize};
use spiderpool_core::decide::decide;
use spiderpool_core::event::{ObjectKey, Revision};
use spiderpool_core::view::View;
use std::collections::BTreeSet;
use std::fmt;

/// What came of deciding the whole journal again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// The first and the last entry; `None` when there are none.
    pub entries: Option<(Revision, Revision)>,
    /// How many entries there are.
    pub count: usize,
    /// Where past and present do not agree.
    pub differences: Vec<Difference>,
}

/// A place where the rules, applied again, lead elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Difference {
    /// A command that was carried out is refused.
    Refused {
        /// The entry.
        seq: Revision,
        /// Why.
        why: String,
    },
    /// A command writes something else.
    Writes {
        /// The entry.
        seq: Revision,
    },
    /// A command is answered in another way.
    Answer {
        /// The entry.
        seq: Revision,
    },
    /// An object is not what its events made it.
    State {
        /// The object.
        object: ObjectKey,
        /// Its revision as stored.
        stored: Revision,
        /// Its revision as replayed.
        replayed: Revision,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { seq, why } => write!(f, "entry {seq} is refused: {why}"),
            Self::Writes { seq } => write!(f, "entry {seq} writes something else"),
            Self::Answer { seq } => write!(f, "entry {seq} is answered in another way"),
            Self::State { object, stored, replayed } => {
                write!(
                    f,
                    "{object} is at revision {stored}, replayed it is another one, at {replayed}"
                )
            }
        }
    }
}

impl Store {
    /// Decides every journalled command again, each at its moment, and compares what comes of it
    /// with what was written, and the last state with what is stored.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn replay(&self) -> Result<ReplayReport, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let loader = Loader::new(&tx, &self.site);
        let present = loader.everything()?;
        let mut view = journal::base(&loader)?;
        let mut objects = loader.names()?;
        objects.extend(journal::base_names(&loader)?);
        let entries = journal::entries(&loader, (0, Revision::MAX))?;
        let ends = entries.first().zip(entries.last()).map(|(a, b)| (a.seq, b.seq));
        let mut report =
            ReplayReport { entries: ends, count: entries.len(), ..ReplayReport::default() };
        for entry in &entries {
            report.differences.extend(compare(&view, entry));
            for write in &entry.writes {
                objects.insert(write.object.clone());
                write.events.iter().for_each(|event| view.apply(&write.object, event));
                view.committed(&write.object, entry.seq);
            }
        }
        report.differences.extend(differences(&present, &view, objects)?);
        Ok(report)
    }
}

fn compare(view: &View, entry: &journal::Entry) -> Vec<Difference> {
    let seq = entry.seq;
    match decide(view, &entry.command, entry.moment) {
        Err(obstacle) => {
            let why = match obstacle {
                spiderpool_core::refusal::Obstacle::Need(need) => need.to_string(),
                spiderpool_core::refusal::Obstacle::Refusal(refusal) => refusal.to_string(),
            };
            vec![Difference::Refused { seq, why }]
        }
        Ok(decision) => {
            let writes = (decision.writes != entry.writes).then_some(Difference::Writes { seq });
            let answer = (decision.answer != entry.answer).then_some(Difference::Answer { seq });
            writes.into_iter().chain(answer).collect()
        }
    }
}

fn differences(
    stored: &View,
    replayed: &View,
    objects: BTreeSet<ObjectKey>,
) -> Result<Vec<Difference>, StoreError> {
    let mut found = Vec::new();
    for object in objects {
        let ends = (stored.revision(&object), replayed.revision(&object));
        if ends.0 != ends.1
            || object::encode(stored, &object)? != object::encode(replayed, &object)?
        {
            found.push(Difference::State { object, stored: ends.0, replayed: ends.1 });
        }
    }
    Ok(found)
}
