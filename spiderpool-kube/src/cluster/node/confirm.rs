//! What is checked after the hold and before the reply, and the reply.

use super::lane::Listed;
use super::meet::is_full;
use super::read::{Question, Read};
use super::run::{Progress, Run, RunId};
use super::verify::is_elsewhere;
use super::{Entry, Node, Purpose, Waiter};
use crate::cluster::object::{IndexKey, Key, Listing};
use crate::cluster::port::{Alarm, Fault, Outcome, Request};
use crate::cluster::record::Told;
use spiderpool_core::address::Family;
use spiderpool_core::command::{Allocated, Answer, Command, Granted, Place};
use spiderpool_core::slots::BlockKey;

/// After so many milliseconds a hold is looked at once more before it is told: no store is restored faster.
const LONG_MS: u64 = 2_000;

impl Node {
    /// Goes on with a run that has its addresses: their blocks are listed, the store can be trusted,
    /// and the endpoint of a static identity names them. Then it is told.
    pub(super) fn confirm(&mut self, id: RunId, mut run: Box<Run>) {
        let Some(Answer::Allocated(allocated)) = run.answer.clone() else {
            return self.runs.insert(id, run).map_or((), drop);
        };
        let since = *run.since.get_or_insert(run.verified_since.unwrap_or(self.counter));
        let mut progress = Progress::Made;
        let mut blocks: Vec<_> =
            allocated.addresses.iter().map(|a| self.block_of(&mut run, a)).collect();
        blocks.dedup();
        for key in &blocks {
            if self.listed(key, &Waiter::Run(id)) == Progress::Waits {
                progress = Progress::Waits;
            }
        }
        if let Some(why) = self.recovery_reason() {
            return self.take_back(id, run, Fault::Recovering { why });
        }
        match self.read_ledger(&Waiter::Run(id), since) {
            None => progress = Progress::Waits,
            Some(Some(why)) => return self.take_back(id, run, Fault::Recovering { why }),
            Some(None) => {}
        }
        match self.point_after(id, &mut run, &allocated) {
            Ok(Progress::Made) => {}
            Ok(Progress::Waits) => progress = Progress::Waits,
            Err(fault) => return self.take_back(id, run, fault),
        }
        match self.still_holds(id, &mut run, &allocated, since) {
            Ok(Progress::Made) => {}
            Ok(Progress::Waits) => progress = Progress::Waits,
            Err(fault) => return self.take_back(id, run, fault),
        }
        if progress == Progress::Waits {
            self.runs.insert(id, run);
            return;
        }
        self.note_told(&mut run, &allocated);
        self.end(run, Ok(Answer::Allocated(allocated)));
    }

    /// Whether slots are still this container's: another pod of a static identity, on another node, may have
    /// taken them over since; and a store may have gone back while a reply took long.
    fn still_holds(
        &mut self,
        id: RunId,
        run: &mut Run,
        allocated: &Allocated,
        since: u64,
    ) -> Result<Progress, Fault> {
        let Command::Allocate(request) = &run.command else { return Ok(Progress::Made) };
        let holder = request.holder.clone();
        let now_ms = self.moment.now_ms;
        let is_long = run.held_since_ms.is_some_and(|since| now_ms.abs_diff(since) > LONG_MS);
        if !is_long && !holder.owner.is_static() {
            return Ok(Progress::Made);
        }
        let mut progress = Progress::Made;
        for granted in &allocated.addresses {
            let key = self.block_of(run, granted);
            let Some((block, _)) = self.block(&key, Some(since), &Waiter::Run(id)) else {
                progress = Progress::Waits;
                continue;
            };
            let address = granted.address.addr();
            let slot = key.slot(spiderpool_core::address::bits(address));
            let held = block.as_ref().and_then(|block| block.allocation(slot));
            let container = holder.container.as_deref().unwrap_or_default();
            if held.is_some_and(|h| h.owner == holder.owner.as_str() && h.container == container) {
                continue;
            }
            let grant = (&holder.owner, address, granted.generation);
            if block.as_ref().is_some_and(|block| is_elsewhere(block, &key, grant)) {
                self.went_back(format!("block {key} is not the one in which {address} was held"));
            }
            return Err(Fault::Contended { attempts: 1 });
        }
        Ok(progress)
    }

    fn block_of(&self, run: &mut Run, granted: &Granted) -> BlockKey {
        let address = granted.address.addr();
        let size = run.transaction.view().block_size(&granted.space, Family::of(address));
        BlockKey::of(&granted.space, address, size)
    }

    /// What a quorum read of the ledger says: the reason not to give anything out, if there is one.
    pub(super) fn read_ledger(&mut self, waiter: &Waiter, since: u64) -> Option<Option<String>> {
        let read = self.read(Question::Object(Key::Ledger), since, waiter)?;
        let reason = match &read {
            Read::Object(object) => {
                let recovery = object.body.ledger().and_then(|ledger| ledger.recovery.as_ref());
                let why = recovery.map(|recovery| recovery.why.clone());
                why.or_else(|| object.body.unreadable().map(str::to_owned))
            }
            Read::Meta(_) | Read::Absent | Read::Objects => None,
        };
        if reason.is_some() {
            self.ready.push_back(Waiter::Recovery);
        }
        Some(reason)
    }

    /// Puts a block on the list of blocks that were ever made, if it is not there. Before it is, nobody is
    /// told an address of it, so that a block that is gone and not listed was never of use to anybody. When
    /// an earlier life of it is listed, that was lost, and whoever made it anew did not know.
    pub(super) fn list(&mut self, key: &BlockKey, waiter: &Waiter) -> Progress {
        let Some(lane) = self.lanes.get(key) else { return Progress::Made };
        let Some(block) = lane.known.as_ref().and_then(|known| known.block.as_ref()) else {
            return Progress::Made;
        };
        let (full, incarnation, born) = (is_full(block), block.incarnation(), lane.born);
        let index = Key::Index(IndexKey::of(key));
        let Some(read) = self.read(Question::Object(index), born, waiter) else {
            return Progress::Waits;
        };
        let listed = match &read {
            Read::Object(object) => object.body.index(),
            Read::Meta(_) | Read::Absent | Read::Objects => None,
        };
        let listed = listed.and_then(|index| index.blocks.get(&key.first)).copied();
        let lost = listed.is_some_and(|listing| listing.incarnation != incarnation);
        if lost && !self.may_rebuild(key) {
            self.alarm(Alarm::BlockLost { block: key.clone() });
            self.lose_block(key.clone());
        }
        let Some(lane) = self.lanes.get_mut(key) else { return Progress::Made };
        if let Some(listing) = listed.filter(|_| !lost) {
            lane.hinted_full = listing.full;
            lane.listing = Listed::Yes;
            self.hint(key);
            return Progress::Made;
        }
        lane.waiters.insert(waiter.clone());
        if !lost || self.may_rebuild(key) {
            self.send_listing(key, Listing { incarnation, full });
        }
        Progress::Waits
    }

    fn send_listing(&mut self, key: &BlockKey, listing: Listing) {
        if let Some(lane) = self.lanes.get_mut(key) {
            // Whoever fills a block as it is made says both at once: a shard of the index is one object.
            lane.hinted_full = listing.full;
            lane.listing = Listed::Sending;
        }
        let request = Request::List { index: IndexKey::of(key), first: key.first, listing };
        self.call(Purpose::List(key.clone()), request);
    }

    pub(super) fn list_reply(&mut self, key: &BlockKey, outcome: &Outcome) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let done = matches!(outcome, Outcome::Done(_));
        lane.listing = if done { Listed::Yes } else { Listed::No };
        if let Outcome::Refused { why } = outcome {
            let object = Key::Index(IndexKey::of(key));
            let fault = Fault::Forbidden { object, why: why.clone() };
            for waiter in std::mem::take(&mut lane.waiters) {
                if let Waiter::Run(run) = waiter {
                    self.abort(run, fault.clone());
                }
            }
            return;
        }
        if done {
            // It may have become full, or free again, meanwhile.
            self.hint(key);
        }
        self.wake_lane(key);
    }

    /// Writes down what a container is about to be told.
    fn note_told(&mut self, run: &mut Run, allocated: &Allocated) {
        let Command::Allocate(request) = &run.command else { return };
        let holder = request.holder.clone();
        let Some(container) = holder.container else { return };
        for granted in &allocated.addresses {
            let key = self.block_of(run, granted);
            let address = granted.address.addr();
            let slot = key.slot(spiderpool_core::address::bits(address));
            let view = run.transaction.view();
            let block = view.block(&key, None).ok().flatten();
            let Some(held) = block.and_then(|block| block.allocation(slot)) else { continue };
            let (placement, since_ms) = (held.placement.clone(), held.since_ms);
            let place = Place { space: granted.space.clone(), address };
            let pod_uid = holder.pod_uid.clone();
            let generation = granted.generation;
            let told = Told { pod_uid, placement, generation, since_ms };
            let known = self.record.trace(&container).and_then(|trace| trace.told.get(&place));
            if known == Some(&told) {
                continue;
            }
            let block = key;
            let owner = holder.owner.clone();
            self.note(Entry::Sought { container: container.clone(), owner, block });
            self.note(Entry::Told { container: container.clone(), place, told });
        }
        let revision = self.record.seen();
        self.note(Entry::Saw { revision });
    }
}
