//! The retry loop as a value: load, decide, write one object after the other, meet conflicts and
//! lost replies, give up without leaving anything behind.
//!
//! For stores that can only compare and swap one object at a time. A [`Transaction`] does no I/O: a
//! driver does what [`Transaction::step`] says and reports back. A store that commits a whole
//! decision at once (the embedded one, [`crate::memory`]) does not need it.
//!
//! Invariants, each kept by a test of that name under `tests/ledger/races.rs`:
//! 1. Whatever the order in which transactions meet, an address has one owner
//!    (`racing_transactions_never_share_an_address`).
//! 2. As many transactions as there are addresses succeed (`as_many_transactions_as_addresses_succeed`).
//! 3. A transaction that does not succeed leaves nothing allocated, unless its last write got no
//!    reply (`whoever_fails_holds_nothing`).
//! 4. A write whose reply was lost is not made twice (`lost_replies_are_not_losses`).
//! 5. After the hold and before the answer, the container's tombstone and every pool that gave
//!    something are read again; what was given against them is given back
//!    (`an_add_whose_del_came_between_decision_and_write_leaves_nothing`,
//!    `a_pool_that_goes_between_decision_and_write_gives_nothing`).

mod rebase;

use crate::command::{Answer, Command, Decision};
use crate::decide::decide;
use crate::definition::Pool;
use crate::event::{Ending, Event, ObjectKey, Revision, Write};
use crate::moment::Moment;
use crate::name::Name;
use crate::refusal::{AllocateRefusal, Obstacle, Refusal};
use crate::slots::BlockKey;
use crate::view::{Need, View};
use rebase::{already_done, patch_answer, rebase};
use std::collections::BTreeSet;
use thiserror::Error;

/// What a driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Load what is needed into [`Transaction::view`], then call [`Transaction::loaded`].
    Load(Need),
    /// Read these objects again into [`Transaction::view`] ([`View::forget`] those that are gone),
    /// then call [`Transaction::loaded`].
    Reload(BTreeSet<ObjectKey>),
    /// Commit this write if its object is still at `base`, then call [`Transaction::written`].
    Write(Write),
    /// It is over.
    Done(Result<Answer, Failure>),
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable, and the object has this revision.
    Done(Revision),
    /// The object was at another revision; nothing was written.
    Conflict,
    /// No reply came: it may be durable, or become so later.
    Unknown,
}

/// Why a transaction came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The rules say no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Others were faster too often.
    #[error("gave up after {attempts} attempts; try again later")]
    GaveUp {
        /// How many decisions were tried.
        attempts: u32,
        /// Objects whose last write got no reply: what it may still leave behind is a leak.
        uncertain: Vec<ObjectKey>,
    },
}

/// How often a transaction decides anew before it gives up. Each time somebody else made progress,
/// so this only bounds a store that never lets one through.
pub const ATTEMPTS_MAX: u32 = 4_096;

/// How often one write is tried before it is decided anew, or, when it got no reply, before its
/// outcome is left open.
const TRIES_MAX: u32 = 16;

/// One command on its way through a store.
#[derive(Debug)]
pub struct Transaction {
    command: Command,
    moment: Moment,
    view: View,
    state: State,
    attempts: u32,
    /// Slots that this transaction was the first to give to its owner.
    granted: Vec<(BlockKey, u8, u64)>,
    uncertain: Vec<ObjectKey>,
}

#[derive(Debug)]
enum State {
    Deciding,
    Loading(Need),
    Writing(Progress),
    Rereading(Progress, Trouble),
    /// Everything is written; what the decision rested on is read once more.
    Verifying(Answer),
    /// Giving back; then it is over with the failure, or, without one, decided anew.
    Undoing {
        then: Option<Failure>,
        tries: u32,
        reread: Option<ObjectKey>,
    },
    Over(Result<Answer, Failure>),
}

/// A decision of which some writes are durable.
#[derive(Debug)]
struct Progress {
    decision: Decision,
    at: usize,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Conflict,
    Unknown,
}

impl Transaction {
    /// A transaction that has not looked at anything yet.
    #[must_use]
    pub fn new(command: Command, moment: Moment) -> Self {
        let (granted, uncertain) = (Vec::new(), Vec::new());
        let view = View::partial();
        Self { command, moment, view, state: State::Deciding, attempts: 0, granted, uncertain }
    }

    /// Where the driver puts what it loads.
    pub const fn view(&mut self) -> &mut View {
        &mut self.view
    }

    /// What to do next; asking again without reporting gives the same step.
    pub fn step(&mut self) -> Step {
        loop {
            match &self.state {
                State::Deciding => self.state = self.decide(),
                State::Loading(need) => return Step::Load(need.clone()),
                State::Writing(progress) => match progress.decision.writes.get(progress.at) {
                    Some(write) => return Step::Write(write.clone()),
                    None => self.state = self.written_out(progress.decision.answer.clone()),
                },
                State::Rereading(progress, _) => {
                    let rest = progress.decision.writes.iter().skip(progress.at);
                    return Step::Reload(rest.map(|write| write.object.clone()).collect());
                }
                State::Undoing { reread: Some(object), .. } => {
                    return Step::Reload(BTreeSet::from([object.clone()]));
                }
                State::Verifying(_) => return Step::Reload(self.grounds()),
                State::Undoing { then, reread: None, .. } => match (self.undo(), then.clone()) {
                    (Some(write), _) => return Step::Write(write),
                    (None, Some(failure)) => {
                        self.state = State::Over(Err(self.with_uncertain(failure)));
                    }
                    (None, None) => self.state = self.again(),
                },
                State::Over(outcome) => return Step::Done(outcome.clone()),
            }
        }
    }

    /// The driver has loaded what the last step asked for.
    pub fn loaded(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Deciding) {
            State::Rereading(progress, trouble) => self.go_on(progress, trouble),
            State::Verifying(answer) => self.verify(answer),
            State::Undoing { then, tries, .. } => State::Undoing { then, tries, reread: None },
            State::Loading(_) | State::Deciding => State::Deciding,
            other @ (State::Writing(_) | State::Over(_)) => other,
        };
    }

    /// The driver reports how the write of the last step ended.
    pub fn written(&mut self, outcome: Written) {
        self.state = match std::mem::replace(&mut self.state, State::Deciding) {
            State::Writing(progress) => self.after_write(progress, outcome),
            State::Undoing { then, tries, .. } => self.after_undo(then, tries, outcome),
            other @ (State::Deciding
            | State::Verifying(_)
            | State::Loading(_)
            | State::Rereading(..)
            | State::Over(_)) => other,
        };
    }

    fn decide(&mut self) -> State {
        let seed = self.moment.draw(self.attempts.into());
        match decide(&self.view, &self.command, Moment { seed, ..self.moment }) {
            Ok(decision) => State::Writing(Progress { decision, at: 0, tries: 0 }),
            Err(Obstacle::Need(need)) => State::Loading(need),
            Err(Obstacle::Refusal(refusal)) => Self::fail(Failure::Refused(refusal)),
        }
    }

    const fn fail(outcome: Failure) -> State {
        State::Undoing { then: Some(outcome), tries: 0, reread: None }
    }

    fn after_write(&mut self, progress: Progress, outcome: Written) -> State {
        match outcome {
            Written::Done(revision) => State::Writing(self.commit(progress, revision)),
            Written::Conflict => State::Rereading(progress, Trouble::Conflict),
            Written::Unknown => State::Rereading(progress, Trouble::Unknown),
        }
    }

    /// Takes a durable write into the view and goes to the next one.
    fn commit(&mut self, progress: Progress, revision: Revision) -> Progress {
        if let Some(write) = progress.decision.writes.get(progress.at) {
            for event in &write.events {
                self.view.apply(&write.object, event);
            }
            self.view.committed(&write.object, revision);
            self.remember(write.clone());
        }
        Progress { at: progress.at + 1, tries: 0, ..progress }
    }

    fn remember(&mut self, write: Write) {
        let ObjectKey::Block(key) = write.object else { return };
        for event in write.events {
            if let Event::Granted { slot, grant } = event {
                self.granted.push((key.clone(), slot, grant.generation));
            }
        }
    }

    /// After objects were read again: done after all, the same write on the new revision, or a new
    /// decision.
    fn go_on(&mut self, mut progress: Progress, trouble: Trouble) -> State {
        let Some(write) = progress.decision.writes.get(progress.at).cloned() else {
            return State::Writing(progress);
        };
        if trouble == Trouble::Unknown && already_done(&self.view, &write) {
            self.remember(write);
            progress.at += 1;
            progress.tries = 0;
            return State::Writing(progress);
        }
        progress.tries += 1;
        if progress.tries >= TRIES_MAX {
            if trouble == Trouble::Conflict {
                return self.again();
            }
            self.uncertain.push(write.object);
            let uncertain = self.uncertain.clone();
            return Self::fail(Failure::GaveUp { attempts: self.attempts, uncertain });
        }
        let Some(rebased) = rebase(&self.view, &write) else { return self.again() };
        patch_answer(&mut progress.decision.answer, &write, &rebased);
        if let Some(place) = progress.decision.writes.get_mut(progress.at) {
            *place = rebased;
        }
        State::Writing(progress)
    }

    fn again(&mut self) -> State {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            let uncertain = self.uncertain.clone();
            return Self::fail(Failure::GaveUp { attempts: self.attempts, uncertain });
        }
        State::Deciding
    }

    /// The write that gives back the last slot that this transaction was given, if there is one.
    fn undo(&self) -> Option<Write> {
        let (key, slot, generation) = self.granted.last()?;
        let object = ObjectKey::Block(key.clone());
        let freed = Event::Freed {
            slot: *slot,
            generation: *generation,
            at_ms: self.moment.now_ms,
            rests: false,
            ending: Ending::Released,
        };
        Some(Write { base: self.view.revision(&object), object, events: vec![freed] })
    }

    fn after_undo(&mut self, then: Option<Failure>, tries: u32, written: Written) -> State {
        let next = |then| State::Undoing { then, tries: 0, reread: None };
        let Some(write) = self.undo() else { return next(then) };
        match written {
            Written::Done(revision) => {
                write.events.iter().for_each(|event| self.view.apply(&write.object, event));
                self.view.committed(&write.object, revision);
                self.granted.pop();
                next(then)
            }
            Written::Conflict | Written::Unknown if tries < TRIES_MAX => {
                State::Undoing { then, tries: tries + 1, reread: Some(write.object) }
            }
            Written::Conflict | Written::Unknown => {
                self.granted.pop();
                self.uncertain.push(write.object);
                next(then)
            }
        }
    }

    /// What to do when every write is durable.
    fn written_out(&self, answer: Answer) -> State {
        match (&self.command, self.granted.is_empty()) {
            (Command::Allocate(_), false) => State::Verifying(answer),
            _ => State::Over(Ok(answer)),
        }
    }

    /// What a grant rests on besides its block: the container, and the pools that gave.
    fn grounds(&self) -> BTreeSet<ObjectKey> {
        let Command::Allocate(request) = &self.command else { return BTreeSet::new() };
        let container = request.holder.container.clone().map(ObjectKey::Container);
        let pools = self.granted.iter().filter_map(|(key, slot, _)| self.pool_of(key, *slot));
        container.into_iter().chain(pools.map(ObjectKey::Pool)).collect()
    }

    fn pool_of(&self, key: &BlockKey, slot: u8) -> Option<Name> {
        let block = self.view.block(key, None).ok().flatten()?;
        block.allocation(slot).map(|allocation| allocation.placement.pool.clone())
    }

    /// A DEL that came in between refuses the request; a pool that went, or gives the address out no
    /// more, has it decided anew.
    fn verify(&self, answer: Answer) -> State {
        let Command::Allocate(request) = &self.command else { return State::Over(Ok(answer)) };
        let container = request.holder.container.as_ref();
        let stone = container.and_then(|name| self.view.tombstone(name).ok().flatten());
        if let (Some(container), true) =
            (container, stone.is_some_and(|stone| stone.ticket >= request.ticket))
        {
            let refusal = AllocateRefusal::Buried { container: container.clone() };
            return Self::fail(Failure::Refused(Box::new(refusal.into())));
        }
        let gives = |(key, slot, _): &(BlockKey, u8, u64)| {
            let pool = self.pool_of(key, *slot);
            let entry = pool.and_then(|name| self.view.pool(&name).ok().flatten());
            let number = key.first.saturating_add((*slot).into());
            let serves = |pool: &Pool| !pool.is_disabled() && !pool.is_deleting();
            entry.is_some_and(|entry| entry.usable.holds(number) && serves(&entry.pool))
        };
        if self.granted.iter().all(gives) {
            State::Over(Ok(answer))
        } else {
            State::Undoing { then: None, tries: 0, reread: None }
        }
    }

    fn with_uncertain(&self, outcome: Failure) -> Failure {
        match outcome {
            Failure::GaveUp { attempts, .. } => {
                Failure::GaveUp { attempts, uncertain: self.uncertain.clone() }
            }
            refused @ Failure::Refused(_) => refused,
        }
    }
}
