//! How runs, lanes and the server meet: reading blocks, sending what waits, and what became of it.

use super::lane::{Batch, Flight, Known, Lane, Listed, Member, is_visible};
use super::read::{Question, Read};
use super::run::{ASSERTING, RunId};
use super::{Node, Purpose, Waiter, is_over, pause};
use crate::cluster::object::{Body, IndexKey, Key, Listing, Meta, Object};
use crate::cluster::port::{Alarm, CallId, Fault, Outcome, Request};
use spiderpool_core::event::Revision;
use spiderpool_core::slots::{Block, BlockKey};
use spiderpool_core::transaction::Written;
use std::sync::Arc;

/// So many lanes without anybody in them are kept, for the next one who asks.
const IDLE_LANES: usize = 64;

/// After so many tries, which take 80 seconds and more, no earlier request is under way: an API server
/// gives one up after a minute (`--request-timeout`). Tries are counted and not time, since clocks jump.
const UNDER_WAY_TRIES: u32 = 40;

impl Node {
    /// The latest state of a block, if it was known after a call; otherwise it is read, and the waiter
    /// goes on when it is.
    pub(super) fn block(
        &mut self,
        key: &BlockKey,
        since: Option<CallId>,
        waiter: &Waiter,
    ) -> Option<(Option<Arc<Block>>, Revision)> {
        let lane = self.lanes.entry(key.clone()).or_default();
        let fresh = since.is_none_or(|since| lane.is_fresh(since));
        let settled = !matches!(
            lane.flight,
            Some(Flight::Reading | Flight::Absent { .. } | Flight::Resolving { .. })
        );
        if let Some((block, token)) = lane.latest().filter(|_| fresh && settled) {
            return Some((block.cloned(), token));
        }
        lane.waiters.insert(waiter.clone());
        if lane.flight.is_none() && lane.pending.is_some() {
            self.ready.push_back(Waiter::Lane(key.clone()));
        } else if lane.flight.is_none() && lane.retry_at.is_none() {
            self.send_block_read(key);
        }
        None
    }

    fn send_block_read(&mut self, key: &BlockKey) {
        let request = Request::Read(Key::Block(key.clone()));
        self.call(Purpose::Lane(key.clone()), request);
        let lane = self.lanes.entry(key.clone()).or_default();
        match &mut lane.flight {
            Some(Flight::Resolving { sent, .. }) => *sent = true,
            _ => lane.flight = Some(Flight::Reading),
        }
    }

    /// Takes a run's write in if it was decided on the latest state.
    pub(super) fn write_block(
        &mut self,
        key: &BlockKey,
        base: Revision,
        (run, events): (RunId, Vec<spiderpool_core::event::Event>),
    ) -> bool {
        let token = self.count();
        let Some(lane) = self.lanes.get_mut(key) else { return false };
        let is_latest = lane.latest().is_some_and(|(_, latest)| latest == base);
        if !is_latest || matches!(lane.flight, Some(Flight::Reading | Flight::Absent { .. })) {
            return false;
        }
        lane.append(Member { run, events, token });
        self.ready.push_back(Waiter::Lane(key.clone()));
        true
    }

    /// Sends what waits, or goes on with what was in trouble.
    pub(super) fn advance_lane(&mut self, key: &BlockKey) {
        let now_ms = self.moment.now_ms;
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.retry_at.is_some_and(|at| !is_over(at, now_ms)) {
            return;
        }
        lane.retry_at = None;
        match &lane.flight {
            None if lane.pending.is_some() => self.send_pending(key),
            None if !lane.waiters.is_empty() => self.send_block_read(key),
            Some(Flight::Resolving { sent: false, .. }) => self.send_block_read(key),
            Some(Flight::Absent { as_of }) => {
                let as_of = *as_of;
                self.ask_index(key, as_of);
            }
            None | Some(Flight::Reading | Flight::Writing { .. } | Flight::Resolving { .. }) => {}
        }
    }

    fn send_pending(&mut self, key: &BlockKey) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let Some(batch) = lane.pending.take() else { return };
        self.note_intents(key, &batch);
        self.send_batch(key, batch);
    }

    fn send_batch(&mut self, key: &BlockKey, batch: Batch) {
        let Some(lane) = self.lanes.get(key) else { return };
        let listed = lane.listing == Listed::Yes;
        let request = lane.request(key, &batch, listed);
        self.call(Purpose::Lane(key.clone()), request);
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.flight = Some(Flight::Writing { batch, listed });
        }
    }

    pub(super) fn lane_reply(&mut self, key: &BlockKey, call: CallId, outcome: Outcome) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        match lane.flight.take() {
            Some(Flight::Reading) => self.block_read(key, call, outcome),
            Some(Flight::Writing { batch, listed, .. }) => {
                self.block_written(key, call, (batch, listed), outcome);
            }
            Some(Flight::Resolving { batch, listed, .. }) => {
                self.block_resolved(key, call, (batch, listed), outcome);
            }
            other @ (Some(Flight::Absent { .. }) | None) => lane.flight = other,
        }
    }

    fn block_read(&mut self, key: &BlockKey, call: CallId, outcome: Outcome) {
        match outcome {
            Outcome::Found(object) => {
                if let Err(fault) = self.learn(key, call, &object) {
                    self.fail_lane(key, &fault);
                }
                self.wake_lane(key);
            }
            Outcome::Absent | Outcome::Missing => {
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.flight = Some(Flight::Absent { as_of: call });
                }
                self.ask_index(key, call);
            }
            Outcome::Refused { why } => {
                let object = Key::Block(key.clone());
                self.fail_lane(key, &Fault::Forbidden { object, why });
            }
            Outcome::Meta(_)
            | Outcome::Objects(_)
            | Outcome::Done(_)
            | Outcome::Conflict
            | Outcome::Unknown => self.pause_lane(key),
        }
    }

    fn pause_lane(&mut self, key: &BlockKey) {
        let moment = self.moment;
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.tries += 1;
        lane.retry_at = Some(moment.now_ms.saturating_add(pause(moment, lane.tries)));
    }

    /// Takes in what the server has. A counter that went backwards means that the store did.
    fn learn(&mut self, key: &BlockKey, call: CallId, object: &Object) -> Result<(), Fault> {
        let object_key = Key::Block(key.clone());
        let unreadable = |why: String| Fault::Unreadable { object: object_key.clone(), why };
        let body = match &object.body {
            Body::Block(body) => body,
            Body::Unreadable { why } => return Err(unreadable(why.clone())),
            Body::Pool(_)
            | Body::Subnet(_)
            | Body::Reservation(_)
            | Body::Index(_)
            | Body::Ledger(_)
            | Body::Endpoint(_) => return Err(unreadable("it is no block".to_owned())),
        };
        let known = self.lanes.get(key).and_then(|lane| lane.known.as_ref());
        let block = match known.and_then(|known| known.block_in(object)) {
            Some(block) => Arc::clone(block),
            None => {
                let read = Block::try_from(&body.sheet);
                Arc::new(read.map_err(|bad| unreadable(bad.to_string()))?)
            }
        };
        let token = self.count();
        let Some(lane) = self.lanes.get_mut(key) else { return Ok(()) };
        let before = lane.known.as_ref().and_then(|known| known.block.as_ref().map(|b| (known, b)));
        // A recovery, which may make a block anew, forgets what was known.
        let back = before.is_some_and(|(known, was)| {
            object.meta.revision < known.meta.revision
                || (object.meta.revision == known.meta.revision && *was != block)
                || was.incarnation() != block.incarnation()
                || block.commits() < was.commits()
        });
        lane.tries = 0;
        lane.suspect = false;
        let same = before.is_some_and(|(_, was)| was.incarnation() == block.incarnation());
        if body.listed {
            lane.listing = Listed::Yes;
        } else if !same && lane.listing == Listed::Yes {
            lane.listing = Listed::No;
        }
        if !same {
            lane.born = call;
        }
        lane.hinted_full = lane.hinted_full && is_full(&block);
        let (meta, listed) = (object.meta, body.listed);
        let block = Some(block);
        lane.known = Some(Known { block, listed, meta, as_of: call, token });
        if back {
            self.went_back(format!("block {key} is older than it was"));
        }
        Ok(())
    }

    /// A block does not exist: the index says whether it ever did.
    fn ask_index(&mut self, key: &BlockKey, as_of: CallId) {
        let index = Key::Index(IndexKey::of(key));
        let waiter = Waiter::Lane(key.clone());
        let Some(read) = self.read(Question::Object(index), as_of, &waiter) else { return };
        let listed = matches!(&read, Read::Object(object)
            if matches!(&object.body, Body::Index(index) if index.blocks.contains_key(&key.first)));
        let unreadable = matches!(&read, Read::Object(object)
            if !matches!(&object.body, Body::Index(_)));
        let had = self
            .lanes
            .get(key)
            .and_then(|lane| lane.known.as_ref())
            .is_some_and(|known| known.block.is_some());
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.flight = None;
        lane.known = None;
        if listed && !had && !lane.suspect {
            lane.suspect = true;
            return self.send_block_read(key);
        }
        if unreadable {
            let object = Key::Index(IndexKey::of(key));
            let why =
                "this version does not know its format; use the version that wrote it".to_owned();
            self.fail_lane(key, &Fault::Unreadable { object, why });
        } else if (listed || had) && !self.may_rebuild(key) {
            self.block_lost(key);
        } else if let Some(lane) = self.lanes.get_mut(key) {
            lane.listing = Listed::No;
            lane.tries = 0;
            lane.known =
                Some(Known { block: None, listed: false, meta: Meta::default(), as_of, token: 0 });
        }
        self.wake_lane(key);
    }

    fn block_lost(&mut self, key: &BlockKey) {
        self.fail_lane(key, &Fault::Lost { block: key.clone() });
        self.alarm(Alarm::BlockLost { block: key.clone() });
        self.lose_block(key.clone());
    }

    fn block_written(
        &mut self,
        key: &BlockKey,
        call: CallId,
        (batch, listed): (Batch, bool),
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Done(meta) => self.commit(key, call, (batch, listed), meta),
            Outcome::Conflict | Outcome::Missing => self.give_back(key, batch),
            Outcome::Refused { why } => self.block_refused(key, (batch, listed), &why),
            Outcome::Found(_)
            | Outcome::Meta(_)
            | Outcome::Absent
            | Outcome::Objects(_)
            | Outcome::Unknown => {
                let mut batch = batch;
                batch.unsure = true;
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.flight = Some(Flight::Resolving { sent: false, batch, listed });
                }
                self.send_block_read(key);
            }
        }
    }

    /// The server will not have a batch. Whoever waits is told; but while an earlier request of the same
    /// batch may still land, nobody goes on with the block.
    fn block_refused(&mut self, key: &BlockKey, (batch, listed): (Batch, bool), why: &str) {
        let fault = Fault::Forbidden { object: Key::Block(key.clone()), why: why.to_owned() };
        let pending = self.lanes.get_mut(key).and_then(|lane| lane.pending.take());
        let waiting = pending.iter().flat_map(|batch| &batch.members);
        let runs: Vec<_> = batch.members.iter().chain(waiting).map(|member| member.run).collect();
        if let Some(lane) = self.lanes.get_mut(key) {
            if batch.unsure && lane.tries < UNDER_WAY_TRIES {
                lane.flight = Some(Flight::Resolving { sent: false, batch, listed });
                self.pause_lane(key);
            } else {
                lane.known = None;
            }
        }
        if runs.contains(&ASSERTING) {
            self.assertion_refused(&Key::Block(key.clone()), why);
        }
        runs.into_iter().for_each(|run| self.abort(run, fault.clone()));
        self.wake_lane(key);
    }

    /// A batch is durable.
    fn commit(&mut self, key: &BlockKey, call: CallId, (batch, listed): (Batch, bool), meta: Meta) {
        let Batch { members, block, token, .. } = batch;
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.tries = 0;
            let made = lane.known.as_ref().is_none_or(|known| known.block.is_none());
            if made {
                lane.born = call;
            }
            lane.known = Some(Known { block: Some(block), listed, meta, as_of: call, token });
        }
        for Member { run, events, token } in members {
            self.written(run, key, &events, Written::Done(token));
        }
        self.hint(key);
        self.ready.push_back(Waiter::Lane(key.clone()));
        self.wake_lane(key);
    }

    /// Nothing of a batch, nor of what waits behind it, was written: all decide on the block as it is.
    fn give_back(&mut self, key: &BlockKey, batch: Batch) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let pending = lane.pending.take();
        lane.known = lane.known.take().map(|known| Known { as_of: 0, ..known });
        lane.flight = None;
        self.send_block_read(key);
        let waiting = pending.into_iter().flat_map(|batch| batch.members);
        for Member { run, events, .. } in batch.members.into_iter().chain(waiting) {
            self.written(run, key, &events, Written::Conflict);
        }
    }

    /// The block was read after a write without a reply.
    fn block_resolved(
        &mut self,
        key: &BlockKey,
        call: CallId,
        (batch, listed): (Batch, bool),
        outcome: Outcome,
    ) {
        let base = self.lanes.get(key).and_then(|lane| lane.known.clone());
        let existed = base.as_ref().is_some_and(|known| known.block.is_some());
        match outcome {
            Outcome::Found(object) if base.is_some_and(|base| base.is_seen_in(&object)) => {
                // It may still land: the same write again either lands or shows that it did.
                self.send_batch(key, batch);
            }
            Outcome::Absent if !existed => self.send_batch(key, batch),
            Outcome::Found(object) => {
                if let Err(fault) = self.learn(key, call, &object) {
                    let runs = self.members_of(key, batch);
                    runs.into_iter().for_each(|run| self.abort(run, fault.clone()));
                    self.fail_lane(key, &fault);
                    return;
                }
                self.settle_batch(key, batch);
            }
            Outcome::Absent | Outcome::Missing => self.give_back(key, batch),
            Outcome::Meta(_)
            | Outcome::Objects(_)
            | Outcome::Done(_)
            | Outcome::Conflict
            | Outcome::Refused { .. }
            | Outcome::Unknown => {
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.flight = Some(Flight::Resolving { sent: false, batch, listed });
                }
                self.pause_lane(key);
            }
        }
    }

    /// The block has moved on since the write: what can be seen in it landed, the rest never will.
    fn settle_batch(&mut self, key: &BlockKey, batch: Batch) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let pending = lane.pending.take();
        let block = lane.known.as_ref().and_then(|known| known.block.clone());
        for Member { run, events, token } in batch.members {
            let landed = events.iter().all(|event| is_visible(block.as_deref(), event));
            let outcome = if landed { Written::Done(token) } else { Written::Conflict };
            self.written(run, key, &events, outcome);
        }
        for Member { run, events, .. } in pending.into_iter().flat_map(|batch| batch.members) {
            self.written(run, key, &events, Written::Conflict);
        }
        self.wake_lane(key);
    }

    /// The runs of a batch and of what waits behind it, which is dropped.
    fn members_of(&mut self, key: &BlockKey, batch: Batch) -> Vec<RunId> {
        let pending = self.lanes.get_mut(key).and_then(|lane| lane.pending.take());
        let waiting = pending.into_iter().flat_map(|batch| batch.members);
        batch.members.into_iter().chain(waiting).map(|member| member.run).collect()
    }

    /// Nobody who waits for the block can go on.
    fn fail_lane(&mut self, key: &BlockKey, fault: &Fault) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.flight = None;
        lane.known = None;
        for waiter in std::mem::take(&mut lane.waiters) {
            match waiter {
                Waiter::Run(run) => self.abort(run, fault.clone()),
                Waiter::Rebuild => {
                    if let Some(rebuild) = &mut self.rebuilding {
                        rebuild.skip(key);
                    }
                    self.ready.push_back(Waiter::Rebuild);
                }
                Waiter::Recovery => self.pause_recovery(),
                Waiter::Verify => self.verifying = None,
                other @ Waiter::Lane(_) => self.ready.push_back(other),
            }
        }
    }

    pub(super) fn wake_lane(&mut self, key: &BlockKey) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        self.ready.extend(std::mem::take(&mut lane.waiters));
    }

    /// Tells the index when a block came to be full, or is not any more.
    pub(super) fn hint(&mut self, key: &BlockKey) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let Some(block) = lane.known.as_ref().and_then(|known| known.block.as_ref()) else {
            return;
        };
        let full = is_full(block);
        if full == lane.hinted_full || lane.listing != Listed::Yes {
            return;
        }
        lane.hinted_full = full;
        let listing = Listing { incarnation: block.incarnation(), full };
        let index = IndexKey::of(key);
        let request = Request::List { index: index.clone(), first: key.first, listing };
        self.call(Purpose::Hint(index), request);
    }

    pub(super) fn forget_idle_lanes(&mut self) {
        if self.lanes.len() <= IDLE_LANES {
            return;
        }
        let idle = |(_, lane): &(&BlockKey, &Lane)| lane.is_idle();
        let mut idle: Vec<_> = self.lanes.iter().filter(idle).collect();
        idle.sort_by_key(|(_, lane)| lane.known.as_ref().map_or(0, |known| known.as_of));
        let more = self.lanes.len() - IDLE_LANES;
        let oldest: Vec<_> = idle.into_iter().take(more).map(|(key, _)| key.clone()).collect();
        for key in oldest {
            self.lanes.remove(&key);
        }
    }
}

/// Whether every slot of a block has an owner.
pub(super) fn is_full(block: &Block) -> bool {
    let all = u64::MAX >> (64 - block.size().slots().min(64));
    block.allocated() == all
}
