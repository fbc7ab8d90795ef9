//! Which free address of a pool is next.

use super::draft::Draft;
use crate::definition::Policy;
use crate::moment::{Moment, digest};
use crate::slots::{Block, BlockKey, BlockSize, Permutation};
use crate::view::{Need, PoolEntry, View};
use std::net::IpAddr;

/// What a pool has to offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// The address with this number.
    Take(u128),
    /// Every address is taken.
    Exhausted,
    /// The address asked for is not one that the pool gives out.
    NotMember,
    /// The address asked for is taken.
    Taken {
        /// By whom, or why it is not free.
        by: String,
    },
}

/// How many blocks of its own order a node tries before it takes any free address.
const SPREAD_TRIES: u128 = 8;

/// So many milliseconds a node goes by the same chance.
const SEASON_MS: u64 = 1_000;

/// Looks for an address in one pool, passing over those that this decision has taken already.
pub(super) struct Picker<'a> {
    pub(super) view: &'a View,
    pub(super) draft: &'a Draft<'a>,
    pub(super) entry: &'a PoolEntry,
    pub(super) node: &'a str,
    pub(super) moment: Moment,
}

impl Picker<'_> {
    /// The next address by the pool's policy.
    pub(super) fn next(&self) -> Result<Pick, Need> {
        let rested = self.rested()?;
        let found = match self.entry.pool.policy() {
            Policy::Sequential => match (self.lowest(0)?, rested) {
                (Some(free), Some(rested)) => Some(free.min(rested)),
                (free, rested) => free.or(rested),
            },
            Policy::Rotate => self.lowest(0)?.or(rested),
            Policy::Spread => self.spread()?.or(rested),
        };
        let found = match found {
            Some(number) => Some(number),
            None => self.on_probation()?,
        };
        Ok(found.map_or(Pick::Exhausted, Pick::Take))
    }

    /// The address that was asked for.
    pub(super) fn named(&self, address: IpAddr) -> Result<Pick, Need> {
        let number = crate::address::bits(address);
        if !self.entry.usable.contains(address) {
            return Ok(Pick::NotMember);
        }
        let key = self.key(number);
        let slot = key.slot(number);
        let block = self.view.block(&key, None)?;
        let by = if self.draft.has_taken(&key, slot) {
            Some("another interface of the same request asks for it".to_owned())
        } else if let Some(allocation) = block.and_then(|block| block.allocation(slot)) {
            Some(format!("allocated to {}", allocation.owner))
        } else if let Some(quarantine) =
            block.and_then(|block| block.quarantined().iter().find(|q| q.slot == slot))
        {
            (quarantine.until_ms > self.moment.now_ms)
                .then(|| "another host answers for it".to_owned())
        } else {
            let resting = block.and_then(|block| block.resting().iter().find(|r| r.slot == slot));
            resting
                .filter(|resting| !self.has_rested(resting.since_ms))
                .map(|_| "it is cooling down".to_owned())
        };
        Ok(by.map_or(Pick::Take(number), |by| Pick::Taken { by }))
    }

    fn size(&self) -> BlockSize {
        self.view.block_size(self.entry.pool.space(), self.entry.pool.family())
    }

    fn key(&self, number: u128) -> BlockKey {
        BlockKey {
            space: self.entry.pool.space().clone(),
            family: self.entry.pool.family(),
            first: self.size().align(number),
        }
    }

    /// The number, once its block has been read and says that nobody has it, and this decision has
    /// not taken it. The index of a pool that overlaps another one may be behind its blocks
    /// (`two_pools_that_came_to_overlap_never_give_one_address_twice`).
    fn confirm(&self, number: u128) -> Result<Option<u128>, Need> {
        let key = self.key(number);
        let slot = key.slot(number);
        if self.draft.has_taken(&key, slot) {
            return Ok(None);
        }
        let block = self.view.block(&key, Some(self.entry.pool.name()))?;
        let allocated = block.map_or(0, Block::allocated);
        let is_held = allocated.checked_shr(slot.into()).is_some_and(|bits| bits & 1 == 1);
        Ok((!is_held).then_some(number))
    }

    fn lowest(&self, from: u128) -> Result<Option<u128>, Need> {
        self.lowest_up_to(from, u128::MAX)
    }

    fn lowest_up_to(&self, from: u128, last: u128) -> Result<Option<u128>, Need> {
        let mut from = from;
        while let Some(number) = self.entry.free.next_from(from).filter(|number| *number <= last) {
            if let Some(number) = self.confirm(number)? {
                return Ok(Some(number));
            }
            let Some(next) = number.checked_add(1) else { break };
            from = next;
        }
        Ok(None)
    }

    /// A free address in the first block of the node's own order that has one, starting at a slot
    /// of the node's own; after some misses, one that chance points at. That is the same chance for
    /// all that a node asks within a second: they meet in few blocks and share their writes, where
    /// each by itself would meet other nodes in as many blocks as there are requests.
    fn spread(&self) -> Result<Option<u128>, Need> {
        let slots = u128::from(self.size().slots());
        let units = self.entry.usable.count().div_ceil(slots);
        let key = digest(self.node);
        let order = Permutation::new(units, key);
        for at in 0..SPREAD_TRIES.min(units) {
            let unit = order
                .at(at)
                .and_then(|unit| self.entry.usable.select_bits(unit.saturating_mul(slots)));
            let Some(number) = unit else { continue };
            let first = self.size().align(number);
            let last = first + (slots - 1);
            let start = first + u128::from(key) % slots;
            let found = match self.lowest_up_to(start, last)? {
                Some(found) => Some(found),
                None => self.lowest_up_to(first, last)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        let season = Moment { seed: key, ..self.moment }.draw(self.moment.now_ms / SEASON_MS);
        let chance = u128::from(season).checked_rem(self.entry.usable.count());
        let Some(from) = chance.and_then(|rank| self.entry.usable.select_bits(rank)) else {
            return Ok(None);
        };
        match self.lowest(from)? {
            Some(found) => Ok(Some(found)),
            None => self.lowest(0),
        }
    }

    /// Of the addresses whose cool-down is over, the one that has rested for longest.
    fn rested(&self) -> Result<Option<u128>, Need> {
        let pool = &self.entry.pool;
        let last_resort = !pool.rests();
        if last_resort && self.entry.free.count() > 0 {
            return Ok(None);
        }
        self.view.know_resting(pool.name())?;
        for (since_ms, number) in &self.entry.resting {
            if !self.has_rested(*since_ms) {
                return Ok(None);
            }
            if let Some(number) = self.confirm(*number)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn has_rested(&self, since_ms: u64) -> bool {
        let until_ms = since_ms.saturating_add(self.entry.pool.cool_down_ms());
        until_ms <= self.moment.now_ms || self.entry.pool.cool_down_ms() == 0
    }

    /// When nothing else is left: an address whose quarantine is over. Whoever gets it probes it.
    fn on_probation(&self) -> Result<Option<u128>, Need> {
        let over = self.view.quarantined(self.entry)?.into_iter();
        let mut over: Vec<_> = over
            .filter(|(_, quarantine)| quarantine.until_ms <= self.moment.now_ms)
            .map(|(number, quarantine)| (quarantine.until_ms, number))
            .collect();
        over.sort_unstable();
        for (_, number) in over {
            if let Some(number) = self.confirm(number)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}
