//! Quorum reads of everything but blocks, in rounds that runs share.
//!
//! A read answers whoever asked before it was sent; who asks while it is under way waits for the next
//! one (`who_asks_during_a_round_waits_for_the_next`).

use super::{Node, Purpose, Waiter, is_over, pause};
use crate::cluster::object::{Key, Meta, Object};
use crate::cluster::port::{CallId, Outcome, Request};
use std::collections::{BTreeMap, BTreeSet};

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// An object.
    Object(Key),
    /// The metadata of an object.
    Meta(Key),
    /// All reservations; they go into the definitions.
    Reservations,
}

/// What a quorum read found.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Object(Box<Object>),
    Meta(Meta),
    Absent,
    Objects,
}

/// All reads that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Reads {
    rounds: BTreeMap<Question, Round>,
}

#[derive(Debug, Default)]
struct Round {
    /// The last answer, and the call that brought it.
    answer: Option<(CallId, u64, Read)>,
    flight: Option<CallId>,
    waiters: BTreeSet<Waiter>,
    tries: u32,
    retry_at: Option<u64>,
}

impl Reads {
    pub(super) fn retry_at(&self) -> Option<u64> {
        self.rounds.values().filter_map(|round| round.retry_at).min()
    }

    /// The reads whose pause is over.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<Question> {
        let mut due = Vec::new();
        for (key, round) in &mut self.rounds {
            if round.retry_at.is_some_and(|at| is_over(at, now_ms)) {
                round.retry_at = None;
                due.push(key.clone());
            }
        }
        due
    }

    pub(super) fn forget(&mut self, key: &Question) {
        if self.rounds.get(key).is_some_and(|round| round.waiters.is_empty()) {
            self.rounds.remove(key);
        }
    }

    /// An answer that came within so many milliseconds, however it was asked for.
    pub(super) fn recent(&self, key: &Question, not_before_ms: u64) -> Option<&Read> {
        let (_, at_ms, read) = self.rounds.get(key)?.answer.as_ref()?;
        (*at_ms >= not_before_ms).then_some(read)
    }
}

impl Node {
    /// What a read that was sent after `since` found; otherwise one is sent, and the waiter goes on
    /// when it is back.
    pub(super) fn read(&mut self, key: Question, since: CallId, waiter: &Waiter) -> Option<Read> {
        let round = self.reads.rounds.entry(key.clone()).or_default();
        if let Some((.., read)) = round.answer.as_ref().filter(|(call, ..)| *call > since) {
            return Some(read.clone());
        }
        round.waiters.insert(waiter.clone());
        if round.flight.is_none() && round.retry_at.is_none() {
            self.send_read(key);
        }
        None
    }

    pub(super) fn send_read(&mut self, key: Question) {
        let request = match &key {
            Question::Object(object) => Request::Read(object.clone()),
            Question::Meta(object) => Request::ReadMeta(object.clone()),
            Question::Reservations => Request::Reservations,
        };
        let call = self.call(Purpose::Read(key.clone()), request);
        self.reads.rounds.entry(key).or_default().flight = Some(call);
    }

    pub(super) fn read_done(&mut self, key: &Question, call: CallId, outcome: Outcome) {
        let read = match outcome {
            Outcome::Found(object) => Some(Read::Object(object)),
            Outcome::Meta(meta) => Some(Read::Meta(meta)),
            Outcome::Absent | Outcome::Missing => Some(Read::Absent),
            Outcome::Objects(objects) => {
                self.definitions.list_reservations(objects, (call, self.counter));
                Some(Read::Objects)
            }
            Outcome::Done(_) | Outcome::Conflict | Outcome::Refused { .. } | Outcome::Unknown => {
                None
            }
        };
        let (moment, Some(round)) = (self.moment, self.reads.rounds.get_mut(key)) else { return };
        round.flight = None;
        let Some(read) = read else {
            round.tries += 1;
            round.retry_at = Some(moment.now_ms.saturating_add(pause(moment, round.tries)));
            return;
        };
        round.tries = 0;
        self.ready.extend(std::mem::take(&mut round.waiters));
        let object = match &read {
            Read::Object(object) => Some((**object).clone()),
            Read::Meta(_) | Read::Absent | Read::Objects => None,
        };
        round.answer = Some((call, moment.now_ms, read));
        if let Question::Object(object_key @ (Key::Pool(_) | Key::Ledger)) = key {
            self.definitions.read(object_key, object, (call, self.counter));
        }
        self.reads.sweep(moment.now_ms);
    }
}

/// So many reads are remembered although nobody waits for them.
const REMEMBERED: usize = 64;

impl Reads {
    /// Forgets answers that nobody can use any more.
    fn sweep(&mut self, now_ms: u64) {
        if self.rounds.len() > REMEMBERED {
            let recent = |at_ms: u64| at_ms.saturating_add(super::RETRY_MAX_MS) > now_ms;
            self.rounds.retain(|_, round| {
                !round.waiters.is_empty()
                    || round.flight.is_some()
                    || round.answer.as_ref().is_some_and(|(_, at_ms, _)| recent(*at_ms))
            });
        }
    }
}
