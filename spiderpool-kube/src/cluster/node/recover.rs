//! When the store went back in time, or lost a block: nothing is given out until every ready node has
//! written back what its live sandboxes hold.
//!
//! Whoever sees it says so in the ledger, by compare-and-swap. Every node then writes back what it
//! told its containers, and adds itself; when all ready nodes have, whoever notices ends it. A node
//! that was away does the same for itself before it gives anything out: the ledger's epoch is another
//! than the one in its record.

use super::claim::{Clash, slot_of};
use super::contested::Contested;
use super::lane::{Flight, Member};
use super::read::{Question, Read};
use super::repoint::{Mismatch, Repointing};
use super::run::ASSERTING;
use super::{Entry, Node, Progress, Purpose, Waiter, is_over};
use crate::cluster::object::{Body, Key, Ledger, Meta, Recovery};
use crate::cluster::port::{Alarm, CallId, Fault, Outcome, Output, Request};
use crate::cluster::record::Told;
use spiderpool_core::address::bits;
use spiderpool_core::command::Place;
use spiderpool_core::event::{Event, Revision};
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::{Block, BlockKey, BlockSize};
use spiderpool_core::transaction::Written;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often the ready nodes are asked for while a recovery lasts, in milliseconds.
const NODES_MS: u64 = 2_000;

/// What of a recovery is this node's business.
#[derive(Debug, Default)]
pub(super) struct Recovering {
    /// What was seen here and is not in the ledger yet.
    seen: Option<Seen>,
    writing: bool,
    /// What the server would not have, as people were told.
    refused: Option<String>,
    /// What the ledger has to be newer than.
    since: CallId,
    /// The epoch for which this node writes back, and the call before which it began.
    asserting: Option<(u64, CallId)>,
    /// Addresses that somebody else holds.
    pub(super) clashes: BTreeMap<Place, Clash>,
    /// Clashes that outlasted a recovery.
    pub(super) contested: Contested,
    pub(super) repointing: Repointing,
    nodes_at: Option<u64>,
    /// The ready nodes, once they were handed in.
    nodes: Option<BTreeSet<Name>>,
}

/// Something that the ledger has to say.
#[derive(Clone, Debug)]
struct Seen {
    why: String,
    /// Blocks that are gone, or in which two hold one address.
    lost: BTreeSet<BlockKey>,
    /// Whether the store went back, and with it what this node had written back before.
    went_back: bool,
}

impl Recovering {
    pub(super) fn retry_at(&self) -> Option<u64> {
        [self.nodes_at, self.contested.retry_at()].into_iter().flatten().min()
    }

    /// What was read of the ledger up to a call does not count any more.
    pub(super) const fn look_again(&mut self, since: CallId) {
        self.since = since;
    }
}

/// What one container is to be found to hold.
pub(super) type Claimed = (Name, Owner, Place, Told);
/// The same by block.
pub(super) type Claims = BTreeMap<BlockKey, Vec<Claimed>>;

impl Node {
    /// Why nothing is given out, if that is so.
    pub(super) fn recovery_reason(&self) -> Option<String> {
        if let Some(seen) = &self.recovering.seen {
            return Some(seen.why.clone());
        }
        let (ledger, _) = self.definitions.ledger()?;
        match &ledger.recovery {
            Some(recovery) => Some(recovery.why.clone()),
            None => (ledger.epoch != self.record.epoch())
                .then(|| "this node was away during a recovery".to_owned()),
        }
    }

    /// Whether this node has still to write back what it told, for a recovery that it knows of.
    fn has_to_assert(&self) -> bool {
        self.definitions.ledger().is_some_and(|(ledger, _)| ledger.epoch > self.record.epoch())
    }

    /// The store is older than what was seen of it. While a recovery is under way in which this node has
    /// written back already, what it wrote may be lost as well: another begins.
    pub(super) fn went_back(&mut self, why: String) {
        let known = self.recovering.seen.as_ref().is_some_and(|seen| seen.went_back);
        if known || self.has_to_assert() {
            return;
        }
        self.alarm(Alarm::WentBack { why: why.clone() });
        let lost = self.recovering.seen.take().map(|seen| seen.lost).unwrap_or_default();
        self.recovering.seen = Some(Seen { why, lost, went_back: true });
        self.recovering.since = self.counter;
        self.ready.push_back(Waiter::Recovery);
    }

    /// A block that was is gone.
    pub(super) fn lose_block(&mut self, key: BlockKey) {
        let why = format!("block {key} is gone");
        self.dispute(key, why);
    }

    /// Every node has to look into a block.
    pub(super) fn dispute(&mut self, key: BlockKey, why: String) {
        if self.disputed().contains(&key) {
            return;
        }
        let new = || Seen { why, lost: BTreeSet::new(), went_back: false };
        self.recovering.seen.get_or_insert_with(new).lost.insert(key);
        self.recovering.since = self.counter;
        self.ready.push_back(Waiter::Recovery);
    }

    /// Whether a block that was and is gone may be made again.
    pub(super) fn may_rebuild(&self, key: &BlockKey) -> bool {
        self.disputed().contains(key)
    }

    pub(super) fn judge_recovery(&mut self, nodes: &BTreeSet<Name>) {
        self.recovering.nodes = Some(nodes.clone());
        self.ready.push_back(Waiter::Recovery);
    }

    pub(super) fn ledger_reply(&mut self, outcome: Outcome) {
        self.recovering.writing = false;
        self.recovering.since = self.counter;
        if let Outcome::Refused { why } = outcome {
            let object = Key::Ledger;
            self.refused(format!("{object} cannot be written to say so: {why}"));
            return;
        }
        self.ready.push_back(Waiter::Recovery);
    }

    /// The server will not have what this node writes back to a block.
    pub(super) fn assertion_refused(&mut self, object: &Key, why: &str) {
        self.refused(format!("what pods hold cannot be written back to {object}: {why}"));
    }

    /// People are told once; it is tried again after a while.
    fn refused(&mut self, why: String) {
        if self.recovering.refused.as_ref() != Some(&why) {
            self.recovering.refused = Some(why.clone());
            self.alarm(Alarm::WentBack { why });
        }
        self.pause_recovery();
    }

    /// A block cannot be had: it is looked at again after a while.
    pub(super) fn pause_recovery(&mut self) {
        self.recovering.nodes_at = Some(self.moment.now_ms.saturating_add(NODES_MS));
    }

    /// Does whatever of a recovery is due.
    pub(super) fn advance_recovery(&mut self) {
        let now_ms = self.moment.now_ms;
        let pauses = self.recovering.nodes_at.is_some_and(|at| !is_over(at, now_ms));
        if self.recovering.writing || (pauses && self.recovering.nodes.is_none()) {
            return;
        }
        self.recovering.nodes_at = None;
        if self.recovery_reason().is_none() {
            self.recovering.asserting = None;
            self.advance_contested();
            return;
        }
        let Some((ledger, meta)) = self.fresh_ledger() else { return };
        let ledger_now = ledger.clone().unwrap_or_default();
        if self.recovering.seen.is_some() {
            return self.announce(ledger, meta);
        }
        let Ledger { epoch, recovery } = ledger_now.clone();
        let has_said = recovery.as_ref().is_some_and(|said| said.asserted.contains(&self.name));
        if epoch < self.record.epoch() {
            // Whoever has written back in the time that is forgotten has to do so again.
            return self.went_back("the recovery that was the last is gone".to_owned());
        }
        if epoch != self.record.epoch() {
            if self.assert(epoch) == Progress::Waits {
                return;
            }
            if let Some(mut next) = recovery.filter(|_| !has_said) {
                next.asserted.insert(self.name.clone());
                self.write_ledger(ledger, meta, Ledger { recovery: Some(next), ..ledger_now });
                return;
            }
            self.note(Entry::Asserted { epoch, revision: meta.revision });
            self.recovering.asserting = None;
            self.recovering.refused = None;
            self.recovering.repointing = Repointing::default();
            let clashes = std::mem::take(&mut self.recovering.clashes);
            self.recovering.contested.add(clashes.into_keys(), self.counter);
        }
        let Some(recovery) = ledger_now.recovery.clone() else { return };
        if !has_said {
            return self.went_back("what this node said in a recovery is gone".to_owned());
        }
        self.finish_recovery((ledger, ledger_now), meta, &recovery);
    }

    fn fresh_ledger(&mut self) -> Option<(Option<Ledger>, Meta)> {
        let since = self.recovering.since;
        let read = self.read(Question::Object(Key::Ledger), since, &Waiter::Recovery)?;
        let object = match read {
            Read::Object(object) => Some(*object),
            Read::Meta(_) | Read::Absent | Read::Objects => None,
        };
        let Some(object) = object else { return Some((None, Meta::default())) };
        object.body.ledger().map(|ledger| (Some(ledger.clone()), object.meta))
    }

    /// Says in the ledger what was seen here.
    fn announce(&mut self, was: Option<Ledger>, meta: Meta) {
        let Some(Seen { why, lost, went_back }) = self.recovering.seen.clone() else { return };
        let now = was.clone().unwrap_or_default();
        // The clock keeps apart two recoveries of which the store has forgotten the first.
        let epoch = now.epoch.max(self.record.epoch()).max(self.moment.now_ms) + 1;
        let recovery = match now.recovery {
            Some(recovery)
                if lost.is_subset(&recovery.lost)
                    && (now.epoch > self.record.epoch() || !went_back) =>
            {
                // It was said; until a read shows that, it stays to be said.
                self.recovering.seen = None;
                self.ready.push_back(Waiter::Recovery);
                return;
            }
            Some(mut recovery) => {
                recovery.lost.extend(lost);
                recovery.asserted.clear();
                recovery
            }
            None => {
                let since_ms = self.moment.now_ms;
                Recovery { since_ms, why, asserted: BTreeSet::new(), lost }
            }
        };
        self.write_ledger(was, meta, Ledger { epoch, recovery: Some(recovery) });
    }

    fn write_ledger(&mut self, was: Option<Ledger>, meta: Meta, ledger: Ledger) {
        let (key, body) = (Key::Ledger, Body::Ledger(ledger));
        let request = match was {
            Some(was) => {
                Request::Replace { key, base: meta.revision, was: Body::Ledger(was), body }
            }
            None => Request::Create { key, body },
        };
        self.recovering.writing = true;
        self.call(Purpose::Ledger, request);
    }

    /// Writes back what this node's containers were told, until a read shows that it is there.
    fn assert(&mut self, epoch: u64) -> Progress {
        let since = match self.recovering.asserting {
            Some((asserting, since)) if asserting == epoch => since,
            _ => {
                self.recovering.asserting = Some((epoch, self.counter));
                self.forget_lanes();
                self.forget_grants();
                self.counter
            }
        };
        let mut progress = Progress::Made;
        let mut clashes = false;
        let mut blocks = self.claims();
        let mismatches = self.mismatches(&blocks, since);
        if mismatches.is_none() {
            progress = Progress::Waits;
        }
        let mismatches = mismatches.unwrap_or_default();
        let strays = mismatches.iter().flat_map(Mismatch::blocks);
        for key in self.disputed().into_iter().chain(strays) {
            blocks.entry(key).or_default();
        }
        for (key, claims) in blocks {
            let Some((block, token)) = self.settled_block(&key, since) else {
                progress = Progress::Waits;
                continue;
            };
            let (mut events, clash) = self.assertions(&key, block.as_deref(), (&claims, since));
            let mut freed = self.freed_strays(&key, block.as_deref(), &mismatches);
            let slot = |claim: &Claimed| Some(key.slot(bits(claim.2.address)));
            freed.retain(|event| claims.iter().all(|claim| slot(claim) != slot_of(event)));
            events.retain(|event| freed.iter().all(|freed| slot_of(freed) != slot_of(event)));
            events.extend(freed);
            clashes |= clash;
            if clash {
                self.dispute(key.clone(), format!("two hold one address in block {key}"));
            }
            if !events.is_empty() {
                progress = Progress::Waits;
                self.put_back(&key, token, events);
            } else if block.is_some() && self.listed(&key, &Waiter::Recovery) == Progress::Waits {
                progress = Progress::Waits;
            }
        }
        if progress == Progress::Made && !clashes {
            let (pointed, patient) = self.repoint(mismatches, since);
            (progress, clashes) = (pointed, patient);
        }
        if clashes && progress == Progress::Made {
            self.recovering.asserting = Some((epoch, self.counter));
            self.pause_recovery();
            return Progress::Waits;
        }
        progress
    }

    /// A block as the server has it: what only waits to be written may still come to nothing.
    pub(super) fn settled_block(
        &mut self,
        key: &BlockKey,
        since: CallId,
    ) -> Option<(Option<Arc<Block>>, Revision)> {
        let found = self.block(key, Some(since), &Waiter::Recovery)?;
        let settled = self.lanes.get(key).is_some_and(|lane| lane.latest_is_durable());
        if !settled {
            self.wait_for_lane(key);
        }
        settled.then_some(found)
    }

    /// Writes to a block as it was looked at, or waits until it can be looked at again.
    pub(super) fn put_back(&mut self, key: &BlockKey, token: Revision, events: Vec<Event>) {
        if !self.write_block(key, token, (ASSERTING, events)) {
            self.wait_for_lane(key);
        }
    }

    fn wait_for_lane(&mut self, key: &BlockKey) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.waiters.insert(Waiter::Recovery);
        }
    }

    /// What runs were given and nobody was told yet may be lost, and nobody writes it back.
    fn forget_grants(&mut self) {
        let why = self.recovery_reason().unwrap_or_default();
        for (id, run) in self.runs.iter_mut().filter(|(_, run)| !run.undoing) {
            if run.answer.is_some() || !run.granted.is_empty() {
                run.stopped = Some(Fault::Recovering { why: why.clone() });
                self.ready.push_back(Waiter::Run(*id));
            }
        }
    }

    /// What was known of blocks is of another time, and what was decided on it.
    fn forget_lanes(&mut self) {
        let mut void = Vec::new();
        for (key, lane) in &mut self.lanes {
            if !matches!(lane.flight, Some(Flight::Writing { .. } | Flight::Resolving { .. })) {
                lane.known = None;
                void.extend(lane.pending.take().map(|batch| (key.clone(), batch)));
            }
        }
        for (key, batch) in void {
            for Member { run, events, .. } in batch.members {
                self.written(run, &key, &events, Written::Conflict);
            }
        }
    }

    /// What this node's containers were told, each address for whom it was told to last.
    pub(super) fn claims(&self) -> Claims {
        let mut newest: BTreeMap<&Place, (&Name, &Owner, &Told)> = BTreeMap::new();
        for (container, trace) in self.record.traces() {
            for (place, told) in &trace.told {
                let age = |told: &Told| (told.since_ms, told.generation);
                let known = newest.get(place).map(|(.., known)| age(known));
                if known.is_none_or(|known| known < age(told)) {
                    newest.insert(place, (container, &trace.owner, told));
                }
            }
        }
        let mut claims = Claims::new();
        for (place, (container, owner, told)) in newest {
            let key = BlockKey::of(&place.space, place.address, BlockSize::DEFAULT);
            let claim = (container.clone(), owner.clone(), place.clone(), told.clone());
            claims.entry(key).or_default().push(claim);
        }
        claims
    }

    /// Blocks that are gone, or in which two hold one address: every node looks into them.
    pub(super) fn disputed(&self) -> BTreeSet<BlockKey> {
        let ledger = self.definitions.ledger().map(|(ledger, _)| ledger);
        let recovery = ledger.and_then(|ledger| ledger.recovery.as_ref());
        recovery.map(|recovery| recovery.lost.clone()).unwrap_or_default()
    }

    /// Ends a recovery when every ready node has written back; blocks that nobody holds anything of
    /// are made again first.
    fn finish_recovery(
        &mut self,
        (was, now): (Option<Ledger>, Ledger),
        meta: Meta,
        recovery: &Recovery,
    ) {
        let Some(nodes) = self.recovering.nodes.take() else {
            self.outputs.push(Output::WantNodes);
            self.pause_recovery();
            return;
        };
        if !nodes.is_subset(&recovery.asserted) {
            self.recovering.since = self.counter;
            self.pause_recovery();
            return;
        }
        let mut whole = true;
        for key in &recovery.lost {
            let since = self.recovering.since;
            match self.settled_block(key, since) {
                None => whole = false,
                Some((Some(_), _)) => {
                    whole &= self.listed(key, &Waiter::Recovery) == Progress::Made;
                }
                Some((None, token)) => {
                    whole = false;
                    let events = vec![self.rebuilt()];
                    self.put_back(key, token, events);
                }
            }
        }
        if whole {
            self.write_ledger(was, meta, Ledger { recovery: None, ..now });
        } else {
            self.recovering.nodes = Some(nodes);
        }
    }
}
