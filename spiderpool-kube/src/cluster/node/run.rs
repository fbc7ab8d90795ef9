//! One thing that was asked, on its way: a transaction, and what stands around it.
//!
//! Runs of one owner or one container go one after the other, in the order in which they were asked:
//! a run that nobody waits for any more may still take back what it was given, and must not meet the
//! next one half-way (`a_retry_waits_for_what_is_under_way`).

use super::endpoint::Pointed;
use super::{Node, Waiter};
use crate::cluster::object::{EndpointFacts, Key};
use crate::cluster::port::{AskId, CallId, Fault};
use spiderpool_core::command::{Answer, Claim, Command, Place, Reclaim};
use spiderpool_core::event::{Ending, Event, ObjectKey, Write};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use spiderpool_core::refusal::{AllocateRefusal, Refusal, Verdict};
use spiderpool_core::slots::{Block, BlockKey};
use spiderpool_core::transaction::{Failure, Step, Transaction, Written};
use std::collections::{BTreeMap, BTreeSet};

/// A run; they are in the order in which they were asked.
pub(super) type RunId = u64;

/// The run that stands for writing back what the node's pods hold.
pub(super) const ASSERTING: RunId = 0;

#[derive(Debug)]
pub(super) struct Run {
    /// Who waits for the answer; nobody any more when it is late.
    pub(super) ask: Option<AskId>,
    /// The group whose part it is.
    pub(super) group: Option<RunId>,
    pub(super) command: Command,
    pub(super) endpoint: Option<EndpointFacts>,
    pub(super) deadline_ms: u64,
    pub(super) transaction: Transaction,
    /// Whose runs wait for this one.
    pub(super) locks: Vec<String>,
    /// What is read for the present step has to be newer than this call.
    pub(super) since: Option<CallId>,
    /// What was read before the answer has to be newer than this call.
    pub(super) verified_since: Option<CallId>,
    /// Whether blocks are read anew rather than taken as they were last seen.
    pub(super) fresh: bool,
    /// Blocks that were looked into for a free slot, by pool.
    pub(super) looked: BTreeMap<Name, u32>,
    /// Whether blocks were passed over since the index says that they are full.
    pub(super) hinted: bool,
    /// Whether a write of it waits in a lane.
    pub(super) in_lane: bool,
    /// What it was given and has not given back.
    pub(super) granted: Vec<Claim>,
    /// What it freed.
    pub(super) freed: Vec<Claim>,
    /// What it knows of its identity's endpoint.
    pub(super) pointed: Pointed,
    /// The answer, while it is being confirmed.
    pub(super) answer: Option<Answer>,
    /// Since when it holds what it has, in milliseconds since the Unix epoch; `None` before that.
    pub(super) held_since_ms: Option<u64>,
    /// Why it cannot go on, if that is so.
    pub(super) stopped: Option<Fault>,
    /// Whether it only takes back what a run was given that came to nothing.
    pub(super) undoing: bool,
    /// The epoch of the record when it began.
    pub(super) epoch: u64,
    /// Pools that its identity leaves, and which were read once more.
    pub(super) left: BTreeSet<Name>,
    /// How often it began again since a recovery was writing back what it lets go.
    pub(super) again: u32,
}

/// So often a DEL looks again for what a recovery is writing back.
const AGAIN_MAX: u32 = 8;

impl Run {
    pub(super) fn new(command: Command, moment: Moment) -> Self {
        Self {
            ask: None,
            group: None,
            transaction: Transaction::new(command.clone(), moment),
            command,
            endpoint: None,
            deadline_ms: u64::MAX,
            locks: Vec::new(),
            since: None,
            verified_since: None,
            fresh: false,
            looked: BTreeMap::new(),
            hinted: false,
            in_lane: false,
            granted: Vec::new(),
            freed: Vec::new(),
            pointed: Pointed::default(),
            answer: None,
            held_since_ms: None,
            stopped: None,
            undoing: false,
            epoch: 0,
            left: BTreeSet::new(),
            again: 0,
        }
    }

    /// Whether nobody waits for the addresses that it asks for: it begins nothing any more, since the
    /// identity may have another pod by now.
    fn is_abandoned(&self) -> bool {
        let asks = matches!(self.command, Command::Allocate(_));
        asks && self.ask.is_none() && self.group.is_none() && !self.undoing
    }

    /// Begins again from nothing, for instance with blocks read anew.
    pub(super) fn restart(&mut self, moment: Moment) {
        self.transaction = Transaction::new(self.command.clone(), moment);
        self.since = None;
        self.looked.clear();
        self.hinted = false;
    }

    fn note_events(&mut self, key: &BlockKey, events: &[Event]) {
        let claim = |slot: u8, generation: u64| Claim {
            place: Place { space: key.space.clone(), address: key.address(slot) },
            generation,
        };
        for event in events {
            if let Event::Granted { slot, grant } = event {
                self.granted.push(claim(*slot, grant.generation));
            } else if let Event::Freed { slot, generation, .. } = event {
                let freed = claim(*slot, *generation);
                self.granted.retain(|granted| *granted != freed);
                self.freed.push(freed);
            } else if let Event::Quarantined { slot, .. } = event {
                // Whoever was told it, by whichever grant, has it no more.
                self.freed.push(claim(*slot, u64::MAX));
            }
        }
    }
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Done: go on.
    Made,
    /// Something has to come back first.
    Waits,
}

impl Node {
    /// Goes on with a run as far as it can.
    pub(super) fn advance(&mut self, id: RunId) {
        let Some(mut run) = self.runs.remove(&id) else { return };
        if run.in_lane || !self.may_go(id, &run) {
            self.runs.insert(id, run);
            return;
        }
        loop {
            if let Some(fault) = run.stopped.take() {
                self.take_back(id, run, fault);
                return;
            }
            if run.is_abandoned() {
                self.take_back(id, run, Fault::Late);
                return;
            }
            if run.answer.is_some() {
                self.confirm(id, run);
                return;
            }
            let progress = match run.transaction.step() {
                Step::Load(need) => self.load(id, &mut run, &need),
                Step::Reload(objects) => self.reload(id, &mut run, &objects),
                Step::Write(write) => self.write(id, &mut run, write),
                Step::Done(outcome) => match self.over(&mut run, outcome) {
                    None => Progress::Made,
                    Some(answer) => {
                        self.end(run, answer);
                        return;
                    }
                },
            };
            if progress == Progress::Waits && run.stopped.is_none() {
                self.runs.insert(id, run);
                return;
            }
        }
    }

    /// Whether the definitions are known, the record is whole, and no earlier run is in the way.
    fn may_go(&self, id: RunId, run: &Run) -> bool {
        let first = |other: &Run| other.locks.iter().all(|lock| !run.locks.contains(lock));
        self.definitions.is_synced()
            && self.rebuilding.is_none()
            && self.runs.range(..id).all(|(_, other)| first(other))
    }

    fn write(&mut self, id: RunId, run: &mut Run, write: Write) -> Progress {
        let Write { object, base, events } = write;
        match object {
            ObjectKey::Block(key) => {
                match self.verify_left(id, run, (&key, &events)) {
                    None => return Progress::Waits,
                    Some(true) => {}
                    Some(false) => {
                        run.restart(self.moment);
                        return Progress::Made;
                    }
                }
                if run.stopped.is_some() {
                    return Progress::Made;
                }
                if self.point_before(id, run, (&key, &events)) == Progress::Waits {
                    return Progress::Waits;
                }
                run.since = None;
                let lost = self.verify_grants(&key, &events);
                let grants = |event: &Event| matches!(event, Event::Granted { .. });
                let stops = lost || events.iter().any(grants);
                if let Some(why) = self.recovery_reason().filter(|_| stops) {
                    run.stopped = Some(Fault::Recovering { why });
                    return Progress::Made;
                }
                if self.write_block(&key, base, (id, events)) {
                    run.in_lane = true;
                    return Progress::Waits;
                }
                run.transaction.written(Written::Conflict);
            }
            ObjectKey::Container(container) => {
                for event in events {
                    if let Event::Buried(tombstone) = event {
                        let container = container.clone();
                        self.note(super::Entry::Buried { container, tombstone });
                    }
                }
                run.transaction.written(Written::Done(1));
            }
            ObjectKey::Space(_)
            | ObjectKey::Subnet(_)
            | ObjectKey::Reservation(_)
            | ObjectKey::Pool(_) => run.transaction.written(Written::Conflict),
        }
        Progress::Made
    }

    /// A lane says how a run's write ended.
    pub(super) fn written(
        &mut self,
        id: RunId,
        key: &BlockKey,
        events: &[Event],
        outcome: Written,
    ) {
        if id == ASSERTING {
            self.ready.push_back(Waiter::Recovery);
            return;
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.in_lane = false;
        if matches!(outcome, Written::Done(_)) {
            run.held_since_ms.get_or_insert(self.moment.now_ms);
            run.note_events(key, events);
        }
        run.transaction.written(outcome);
        self.ready.push_back(Waiter::Run(id));
    }

    /// Whether a recovery has sent, or is about to send, an address of a container that is let go.
    fn is_written_back(&self, command: &Command) -> bool {
        let Command::Release(release) = command else { return false };
        let Some(trace) = self.record.trace(&release.container) else { return false };
        let of_container = |event: &Event| {
            matches!(event, Event::Granted { grant, .. } | Event::Adopted { grant, .. }
                if grant.holder.container.as_ref() == Some(&release.container))
        };
        let holds =
            |block: &Block| block.allocations().any(|held| *held.container == *release.container);
        let mut lanes = trace.blocks.iter().filter_map(|key| self.lanes.get(key));
        lanes.any(|lane| {
            let mut members = lane.members().filter(|member| member.run == ASSERTING);
            members.any(|member| member.events.iter().any(of_container))
                && lane.latest().is_some_and(|(block, _)| block.is_some_and(|block| holds(block)))
        })
    }

    /// What a transaction's end comes to; `None` when the run goes on.
    fn over(
        &mut self,
        run: &mut Run,
        outcome: Result<Answer, Failure>,
    ) -> Option<Result<Answer, Fault>> {
        let failure = match outcome {
            Ok(answer @ Answer::Allocated(_)) => {
                run.answer = Some(answer);
                run.held_since_ms.get_or_insert(self.moment.now_ms);
                run.since = None;
                return None;
            }
            Ok(answer) => {
                let again = run.again < AGAIN_MAX && self.is_written_back(&run.command);
                if again {
                    run.again += 1;
                    run.restart(self.moment);
                }
                return (!again).then_some(Ok(answer));
            }
            Err(failure) => failure,
        };
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::GaveUp { attempts, .. } => return Some(Err(Fault::Contended { attempts })),
        };
        if run.pointed.stop_following(&mut run.command) {
            run.restart(self.moment);
            return None;
        }
        let unsatisfied = matches!(*refusal, Refusal::Allocate(AllocateRefusal::Unsatisfied(_)));
        if unsatisfied && !run.fresh {
            run.fresh = true;
            run.restart(self.moment);
            return None;
        }
        let fault = self.unusable_pool(&refusal);
        Some(Err(fault.unwrap_or(Fault::Refused(refusal))))
    }

    /// The pool that a request named and that is there, and cannot be used: for the core there is none.
    fn unusable_pool(&self, refusal: &Refusal) -> Option<Fault> {
        let Refusal::Allocate(AllocateRefusal::Unsatisfied(shortlist)) = refusal else {
            return None;
        };
        let candidates = shortlist.demands.iter().flat_map(|weighed| &weighed.candidates);
        candidates
            .filter(|candidate| matches!(candidate.verdict, Verdict::Missing | Verdict::Disabled))
            .find_map(|candidate| self.unusable(&Name::new(&candidate.pool).ok()?))
    }

    /// That a pool is there and cannot be used, with the reason.
    pub(super) fn unusable(&self, pool: &Name) -> Option<Fault> {
        let why = self.definitions.why_not(pool)?;
        Some(Fault::Unreadable { object: Key::Pool(pool.clone()), why })
    }

    /// A run cannot go on: what it was given is taken back, and whoever asked is told.
    pub(super) fn abort(&mut self, id: RunId, fault: Fault) {
        if let Some(run) = self.runs.remove(&id) {
            self.take_back(id, run, fault);
        }
    }

    pub(super) fn take_back(&mut self, id: RunId, mut run: Box<Run>, fault: Fault) {
        // In a store that went back the same generation may be of another grant; then the DEL, which
        // looks for the container, takes it back.
        let is_sure = run.epoch == self.record.epoch() && self.recovery_reason().is_none();
        if run.undoing || run.granted.is_empty() || !is_sure {
            self.end(run, Err(fault));
            return;
        }
        self.tell(&mut run, Err(fault));
        let claims = std::mem::take(&mut run.granted);
        let reclaim = Reclaim { claims, statics: true, ending: Ending::Released };
        run.command = Command::Reclaim(reclaim);
        run.undoing = true;
        run.in_lane = false;
        run.fresh = true;
        run.answer = None;
        run.restart(self.moment);
        self.runs.insert(id, run);
        self.ready.push_back(Waiter::Run(id));
    }

    /// The end of a run; whoever waited behind it goes on.
    pub(super) fn end(&mut self, mut run: Box<Run>, answer: Result<Answer, Fault>) {
        if answer.is_ok() && !run.undoing {
            self.note_release(&mut run);
        }
        self.tell(&mut run, answer);
        let behind = self
            .runs
            .iter()
            .filter(|(_, other)| other.locks.iter().any(|lock| run.locks.contains(lock)));
        let behind: Vec<_> = behind.map(|(id, _)| Waiter::Run(*id)).collect();
        self.ready.extend(behind);
    }

    /// Tells whoever asked, once.
    pub(super) fn tell(&mut self, run: &mut Run, answer: Result<Answer, Fault>) {
        if let Some(group) = run.group.take() {
            self.group_part(group, answer);
        } else if let Some(ask) = run.ask.take() {
            self.answer(ask, answer);
        }
    }

    /// Takes what was freed off the record, but for a later grant, and for what another owner was told: a
    /// store that went back has forgotten those.
    fn note_release(&mut self, run: &mut Run) {
        let gone: BTreeMap<&Place, u64> =
            run.freed.iter().map(|claim| (&claim.place, claim.generation)).collect();
        let owner = if let Command::Allocate(request) = &run.command {
            Some(&request.holder.owner)
        } else if let Command::Release(release) = &run.command {
            self.record.trace(&release.container).map(|trace| &trace.owner)
        } else {
            None
        };
        let theirs = self.record.traces().filter(|(_, trace)| {
            let is_owner = |owner: &Owner| trace.owner == *owner;
            owner.is_none_or(is_owner)
        });
        let holders: Vec<_> = theirs
            .flat_map(|(container, trace)| {
                let ended = trace.told.iter().filter(|(place, told)| {
                    gone.get(place).is_some_and(|generation| told.generation <= *generation)
                });
                ended.map(|(place, _)| (container.clone(), place.clone()))
            })
            .collect();
        for (container, place) in holders {
            self.note(super::Entry::Freed { container, place });
        }
        let Command::Release(release) = &run.command else { return };
        let container = release.container.clone();
        let left = run.transaction.view().held_in(&container).is_ok_and(|held| !held.is_empty());
        if !left && self.record.trace(&container).is_some() {
            self.note(super::Entry::Ended { container });
        }
    }
}
