//! The order between what is noted and what is sent: nothing leaves before the notes ahead of it are
//! durable.
//!
//! Owns [`Gate`], which holds no file and sends nothing. `driver` puts the outputs of each step in, and
//! asks what may be done. Whatever was put in while notes were being made durable waits, and its notes
//! become durable together (group commit). Invariants:
//!
//! 1. An output leaves only when every note before it is durable (`nothing_overtakes_a_note`).
//! 2. Outputs leave in the order they came in (`nothing_overtakes_a_note`).
//! 3. Notes that came in during one commit share the next (`notes_share_a_commit`).

use crate::cluster::port::{Alarm, AskId, CallId, Fault, Output, Request};
use crate::cluster::record::Entry;
use spiderpool_core::command::Answer;
use std::collections::VecDeque;

/// Something to be done that is no note.
#[derive(Debug)]
pub(super) enum Deed {
    /// Send a request.
    Call(CallId, Box<Request>),
    /// Tell whoever asked.
    Answer(AskId, Result<Answer, Fault>),
    /// List the ready nodes.
    WantNodes,
    /// Tell people.
    Alarm(Alarm),
}

/// What may be done.
#[derive(Debug)]
pub(super) enum Passage {
    /// Do these, in this order.
    Perform(Vec<Deed>),
    /// Make these durable with one sync, and say so with [`Gate::committed`].
    Commit(Vec<Entry>),
}

#[derive(Debug)]
enum Item {
    Note(Entry),
    Deed(Deed),
}

/// Outputs on their way out.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// In front of every note.
    free: Vec<Deed>,
    /// What follows, in order.
    waiting: VecDeque<Item>,
    /// Behind notes that are being made durable.
    held: Vec<Deed>,
    committing: bool,
}

impl Gate {
    /// Takes in what a step gave.
    pub(super) fn push(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match sort(output) {
                Item::Deed(deed) if self.is_open() => self.free.push(deed),
                item @ (Item::Deed(_) | Item::Note(_)) => self.waiting.push_back(item),
            }
        }
    }

    /// What may be done next; to be asked until it gives `None`.
    pub(super) fn next(&mut self) -> Option<Passage> {
        if !self.free.is_empty() {
            return Some(Passage::Perform(std::mem::take(&mut self.free)));
        }
        if self.committing || self.waiting.is_empty() {
            return None;
        }
        let mut notes = Vec::new();
        for item in self.waiting.drain(..) {
            match item {
                Item::Deed(deed) => self.held.push(deed),
                Item::Note(note) => notes.push(note),
            }
        }
        self.committing = true;
        Some(Passage::Commit(notes))
    }

    /// The notes that were handed out last are durable, and what waited for them may be done.
    pub(super) fn committed(&mut self) {
        self.committing = false;
        self.free.append(&mut self.held);
        // What came in meanwhile, up to the next note.
        let ahead = self.waiting.iter().take_while(|item| matches!(item, Item::Deed(_))).count();
        for item in self.waiting.drain(..ahead) {
            if let Item::Deed(deed) = item {
                self.free.push(deed);
            }
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.is_open() && self.free.is_empty()
    }

    /// Whether no note is ahead of what comes in.
    fn is_open(&self) -> bool {
        !self.committing && self.waiting.is_empty()
    }
}

fn sort(output: Output) -> Item {
    Item::Deed(match output {
        Output::Note(entry) => return Item::Note(entry),
        Output::Call { call, request } => Deed::Call(call, request),
        Output::Answer { id, answer } => Deed::Answer(id, answer),
        Output::WantNodes => Deed::WantNodes,
        Output::Alarm(alarm) => Deed::Alarm(alarm),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::object::Key;
    use crate::cluster::port::Request;
    use proptest::prelude::*;

    fn note(revision: u64) -> Output {
        Output::Note(Entry::Saw { revision })
    }

    fn call(call: u64) -> Output {
        Output::Call { call, request: Box::new(Request::Read(Key::Ledger)) }
    }

    /// What leaves as text: `c3` a call, `[1 2]` a commit.
    fn drain(gate: &mut Gate) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(passage) = gate.next() {
            said.push(match passage {
                Passage::Perform(outputs) => calls(&outputs),
                Passage::Commit(entries) => format!("{:?}", revisions(&entries)),
            });
        }
        said
    }

    fn calls(deeds: &[Deed]) -> String {
        let ids = deeds.iter().map(|deed| {
            let Deed::Call(call, _) = deed else { panic!("{deed:?}") };
            format!("c{call}")
        });
        ids.collect::<Vec<_>>().join(" ")
    }

    fn revisions(entries: &[Entry]) -> Vec<u64> {
        let revision = |entry: &Entry| {
            let Entry::Saw { revision } = entry else { panic!("{entry:?}") };
            *revision
        };
        entries.iter().map(revision).collect()
    }

    #[test]
    fn notes_share_a_commit() {
        let mut gate = Gate::default();
        gate.push(vec![call(1), note(1), call(2)]);
        assert_eq!(drain(&mut gate), ["c1", "[1]"]);
        gate.push(vec![call(3), note(2)]);
        gate.push(vec![note(3), call(4)]);
        assert_eq!(drain(&mut gate), [] as [&str; 0]);
        gate.committed();
        assert_eq!(drain(&mut gate), ["c2 c3", "[2, 3]"]);
        assert!(!gate.is_empty());
        gate.committed();
        assert_eq!(drain(&mut gate), ["c4"]);
        assert!(gate.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_overtakes_a_note(
            batches in prop::collection::vec((prop::collection::vec(any::<bool>(), 0..6), any::<bool>()), 0..30),
        ) {
            let mut gate = Gate::default();
            let (mut number, mut durable, mut left, mut pending) = (0, Vec::new(), Vec::new(), Vec::new());
            for (batch, commits) in batches {
                let outputs = batch.iter().map(|is_note| {
                    number += 1;
                    if *is_note { note(number) } else { call(number) }
                });
                gate.push(outputs.collect());
                if commits && !pending.is_empty() {
                    durable.append(&mut pending);
                    gate.committed();
                }
                while let Some(passage) = gate.next() {
                    match passage {
                        Passage::Perform(outputs) => leave(&mut left, &durable, &outputs)?,
                        Passage::Commit(entries) => {
                            prop_assert!(pending.is_empty() && !entries.is_empty());
                            pending = revisions(&entries);
                        }
                    }
                }
            }
            prop_assert!(left.is_sorted());
        }
    }

    /// Numbers are given in order to notes and calls alike: a call may leave when every smaller number
    /// has left or is durable.
    fn leave(left: &mut Vec<u64>, durable: &[u64], deeds: &[Deed]) -> Result<(), TestCaseError> {
        for deed in deeds {
            let Deed::Call(call, _) = deed else { panic!("{deed:?}") };
            let before = (1..*call).all(|n| left.contains(&n) || durable.contains(&n));
            prop_assert!(before, "{call} overtakes: left {left:?}, durable {durable:?}");
            left.push(*call);
        }
        Ok(())
    }
}
