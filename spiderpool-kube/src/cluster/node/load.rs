//! How a transaction's needs are met: definitions from the cache, what an owner or a container holds
//! by the record and the endpoint, blocks from their lanes.

use super::lane::Listed;
use super::meet::is_full;
use super::read::{Question, Read};
use super::run::{Progress, Run, RunId};
use super::{Node, Waiter};
use crate::cluster::object::{Index, IndexKey, Key};
use spiderpool_core::event::{Event, ObjectKey};
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::BlockKey;
use spiderpool_core::view::{Need, Tally, View, Wanted};
use std::collections::BTreeSet;

/// So many blocks of a pool are looked into before the index is asked which are worth it.
const MISSES: u32 = 2;

/// A shard of the index is good for so long, in milliseconds: it only holds hints.
const HINTS_MS: u64 = 1_000;

/// One in so many blocks that the index says are full is looked into all the same by whoever would be
/// refused: an old hint does not last.
const DOUBT: u64 = 8;

/// Pools of up to so many blocks are looked through whatever the index says before anybody is refused.
const SMALL: u128 = 16;

impl Node {
    pub(super) fn load(&mut self, id: RunId, run: &mut Run, need: &Need) -> Progress {
        let since = *run.since.get_or_insert(self.counter);
        let mut progress = Progress::Made;
        for wanted in &need.0 {
            if self.meet(id, run, wanted, since) == Progress::Waits {
                progress = Progress::Waits;
            }
        }
        if progress == Progress::Made {
            run.since = None;
            run.transaction.loaded();
        }
        progress
    }

    fn meet(&mut self, id: RunId, run: &mut Run, wanted: &Wanted, since: u64) -> Progress {
        match wanted {
            Wanted::Pools | Wanted::Everything => {
                self.definitions.load_all(run.transaction.view());
            }
            Wanted::Pool(name) => self.definitions.load_pool(name, run.transaction.view()),
            Wanted::Owner(owner) => return self.load_owner(id, run, owner, since),
            Wanted::Container(container) => return self.load_container(id, run, container, since),
            Wanted::Block { key, pool } => {
                return self.load_candidate(id, run, (key, pool.as_ref()), since);
            }
            Wanted::Resting(pool) => run.transaction.view().know_resting_of(pool),
            Wanted::Quarantine(pool) => run.transaction.view().know_quarantine_of(pool),
            Wanted::Tally(pool) => {
                let view = run.transaction.view();
                let tally = tally(view, pool);
                view.know_tally(pool, tally);
            }
            Wanted::Tombstones(before_ms) => run.transaction.view().know_tombstones(*before_ms),
        }
        Progress::Made
    }

    /// Puts blocks into a run's view, each as the server had it after a call.
    pub(super) fn load_blocks(
        &mut self,
        id: RunId,
        run: &mut Run,
        blocks: &BTreeSet<BlockKey>,
        since: Option<u64>,
    ) -> Progress {
        let mut found = Vec::with_capacity(blocks.len());
        for key in blocks {
            found.push(self.block(key, since, &Waiter::Run(id)).map(|state| (key, state)));
        }
        let Some(found) = found.into_iter().collect::<Option<Vec<_>>>() else {
            return Progress::Waits;
        };
        let view = run.transaction.view();
        for (key, (block, token)) in found {
            match block {
                Some(block) => view.load_block(key, block, token),
                None => view.know_absent(key),
            }
        }
        Progress::Made
    }

    fn load_owner(&mut self, id: RunId, run: &mut Run, owner: &Owner, since: u64) -> Progress {
        let mut blocks = self.record.blocks_of(owner);
        if owner.is_static() {
            let Some(pointed) = self.read_endpoint(id, run, owner, since) else {
                return Progress::Waits;
            };
            blocks.extend(pointed);
        }
        if self.load_blocks(id, run, &blocks, Some(since)) == Progress::Waits {
            return Progress::Waits;
        }
        run.transaction.view().know_owner(owner);
        self.follow(run, owner);
        Progress::Made
    }

    fn load_container(
        &mut self,
        id: RunId,
        run: &mut Run,
        container: &Name,
        since: u64,
    ) -> Progress {
        let blocks = self.record.trace(container).map(|trace| trace.blocks.clone());
        if self.load_blocks(id, run, &blocks.unwrap_or_default(), Some(since)) == Progress::Waits {
            return Progress::Waits;
        }
        let stone = self.record.tombstone(container);
        let view = run.transaction.view();
        if let Some(stone) = stone {
            view.load_tombstone(container, stone, 1);
        }
        view.know_container_all(container);
        Progress::Made
    }

    /// A block in which a free slot is looked for, or of which something is known to be.
    fn load_candidate(
        &mut self,
        id: RunId,
        run: &mut Run,
        (key, pool): (&BlockKey, Option<&Name>),
        since: u64,
    ) -> Progress {
        let looked = pool.map_or(0, |pool| run.looked.get(pool).copied().unwrap_or_default());
        if let Some(pool) = pool.filter(|_| looked > MISSES) {
            let Some(index) = self.index(key, &Waiter::Run(id), since) else {
                return Progress::Waits;
            };
            if self.pass_over(run, (key, pool), &index) {
                return Progress::Made;
            }
        }
        let one = BTreeSet::from([key.clone()]);
        let progress = self.load_blocks(id, run, &one, run.fresh.then_some(since));
        if let (Progress::Made, Some(pool)) = (progress, pool) {
            *run.looked.entry(pool.clone()).or_default() += 1;
        }
        progress
    }

    fn index(&mut self, key: &BlockKey, waiter: &Waiter, since: u64) -> Option<Index> {
        let read_key = Question::Object(Key::Index(IndexKey::of(key)));
        let recent = self.moment.now_ms.saturating_sub(HINTS_MS);
        let read = match self.reads.recent(&read_key, recent) {
            Some(read) => read.clone(),
            None => self.read(read_key, since, waiter)?,
        };
        Some(match read {
            Read::Object(object) => object.body.index().cloned().unwrap_or_default(),
            Read::Meta(_) | Read::Absent | Read::Objects => Index::default(),
        })
    }

    /// Tells the view which blocks are believed to be full, and whether the one in question is.
    fn pass_over(&mut self, run: &mut Run, (key, pool): (&BlockKey, &Name), index: &Index) -> bool {
        let slots = u128::from(run.transaction.view().block_size(&key.space, key.family).slots());
        let usable = match run.transaction.view().pool(pool) {
            Ok(Some(entry)) => entry.usable.count(),
            Ok(None) | Err(_) => return false,
        };
        let is_small = usable.div_ceil(slots) <= SMALL;
        if run.fresh && is_small {
            return false;
        }
        let moment = self.moment;
        let doubts = |first: u128| {
            let (low, high) = (first & u128::from(u64::MAX), first >> 64);
            let salt = u64::try_from(low ^ high).unwrap_or_default();
            run.fresh && moment.draw(salt).checked_rem(DOUBT) == Some(0)
        };
        let known_free = |first: &u128| {
            let key = BlockKey { first: *first, ..key.clone() };
            let known = self.lanes.get(&key).and_then(|lane| lane.known.as_ref());
            known.is_some_and(|known| known.block.as_ref().is_none_or(|block| !is_full(block)))
        };
        let full: Vec<u128> = index
            .blocks
            .iter()
            .filter(|(first, listing)| listing.full && !doubts(**first) && !known_free(first))
            .map(|(first, _)| *first)
            .collect();
        let view = run.transaction.view();
        for first in &full {
            view.know_exhausted(pool, *first, first.saturating_add(slots - 1));
        }
        run.hinted |= !full.is_empty();
        full.contains(&key.first)
    }

    /// Reads again what a transaction asks for.
    pub(super) fn reload(
        &mut self,
        id: RunId,
        run: &mut Run,
        objects: &BTreeSet<ObjectKey>,
    ) -> Progress {
        let since = *run.since.get_or_insert(self.counter);
        let mut progress = Progress::Made;
        for object in objects {
            let made = match object {
                ObjectKey::Block(key) => {
                    self.load_blocks(id, run, &BTreeSet::from([key.clone()]), None)
                }
                ObjectKey::Container(container) => {
                    if let Some(stone) = self.record.tombstone(container) {
                        run.transaction.view().load_tombstone(container, stone, 1);
                    }
                    Progress::Made
                }
                ObjectKey::Pool(name) => {
                    run.verified_since = Some(since);
                    self.read_ledger(&Waiter::Run(id), since);
                    let reserved = self.verify_reservations(id, run, since);
                    let pool = self.verify_pool(id, run, name, since);
                    if reserved == Progress::Waits { reserved } else { pool }
                }
                ObjectKey::Space(_) | ObjectKey::Subnet(_) | ObjectKey::Reservation(_) => {
                    Progress::Made
                }
            };
            if made == Progress::Waits {
                progress = Progress::Waits;
            }
        }
        if progress == Progress::Made {
            run.since = None;
            run.transaction.loaded();
        }
        progress
    }

    /// Lists the reservations after the hold: what was reserved meanwhile is not given out.
    fn verify_reservations(&mut self, id: RunId, run: &mut Run, since: u64) -> Progress {
        if self.read(Question::Reservations, since, &Waiter::Run(id)).is_none() {
            return Progress::Waits;
        }
        self.definitions.renew_reservations(run.transaction.view());
        Progress::Made
    }

    /// Reads a pool's metadata after the hold; when it changed, the pool.
    fn verify_pool(&mut self, id: RunId, run: &mut Run, name: &Name, since: u64) -> Progress {
        let waiter = Waiter::Run(id);
        let key = Key::Pool(name.clone());
        let Some(read) = self.read(Question::Meta(key.clone()), since, &waiter) else {
            return Progress::Waits;
        };
        let known = self.definitions.pool_meta(name);
        let same = match (&read, known) {
            // Generations would leave changes of the status out, and come round again in a store that went
            // back.
            (Read::Meta(meta), Some(known)) => {
                meta.revision == known.revision && meta.deleting == known.deleting
            }
            (Read::Absent, None) => true,
            (Read::Object(_) | Read::Meta(_) | Read::Absent | Read::Objects, _) => false,
        };
        if !same {
            // The whole read goes into the definitions by itself.
            if self.read(Question::Object(key), since, &waiter).is_none() {
                return Progress::Waits;
            }
        }
        let view = run.transaction.view();
        let object = ObjectKey::Pool(name.clone());
        match self.definitions.pool_meta(name) {
            None => view.forget(&object),
            Some(meta) if view.revision(&object) != meta.revision => {
                self.definitions.load_pool(name, view);
            }
            Some(_) => {}
        }
        Progress::Made
    }

    /// An identity is about to be given another address than it has: only a definition that holds now takes
    /// the first away, so its pool is read once more. `Some(false)` when it says something else than was
    /// known; `None` while it is read.
    pub(super) fn verify_left(
        &mut self,
        id: RunId,
        run: &mut Run,
        (key, events): (&BlockKey, &[Event]),
    ) -> Option<bool> {
        let mut pools = BTreeSet::new();
        for event in events {
            let Event::Granted { grant, .. } = event else { continue };
            if !grant.holder.owner.is_static() {
                continue;
            }
            let Ok(held) = run.transaction.view().held_by(&grant.holder.owner) else { continue };
            let same = held.iter().filter(|found| {
                let placement = found.allocation.placement;
                placement.attachment == grant.placement.attachment && found.key.family == key.family
            });
            pools.extend(same.map(|found| found.allocation.placement.pool.clone()));
        }
        let mut holds = true;
        for pool in pools.difference(&run.left.clone()) {
            let object = ObjectKey::Pool(pool.clone());
            let before = run.transaction.view().revision(&object);
            let since = *run.since.get_or_insert(self.counter);
            if self.verify_pool(id, run, pool, since) == Progress::Waits {
                return None;
            }
            run.left.insert(pool.clone());
            // It is not gone if nobody can say what it says.
            run.stopped = run.stopped.take().or_else(|| self.unusable(pool));
            holds &= run.transaction.view().revision(&object) == before;
        }
        Some(holds)
    }

    /// Whether the index lists a block; if not, it is told to.
    pub(super) fn listed(&mut self, key: &BlockKey, waiter: &Waiter) -> Progress {
        let Some(lane) = self.lanes.get_mut(key) else { return Progress::Made };
        match lane.listing {
            Listed::Yes => Progress::Made,
            Listed::Sending => {
                lane.waiters.insert(waiter.clone());
                Progress::Waits
            }
            Listed::No => self.list(key, waiter),
        }
    }
}

/// The counts of a pool as far as its blocks were read; what was passed over counts as allocated.
fn tally(view: &View, pool: &Name) -> Tally {
    let Ok(Some(entry)) = view.pool(pool) else { return Tally::default() };
    let (size, usable) = (entry.pool.usable().count(), entry.usable.count());
    let prefix = spiderpool_core::address::Range::of_prefix(entry.pool.prefix());
    let seen = view.blocks_within(&entry.pool, prefix).map(|(first, block)| {
        (first, [block.allocated(), block.resting_mask(), block.quarantined_mask()])
    });
    let seen = Tally::from_masks(entry, seen);
    let free = entry.free.count();
    let allocated = usable.saturating_sub(free + seen.cooling + seen.quarantined);
    Tally { size, free, allocated, ..seen }
}
