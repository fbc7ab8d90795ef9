//! What a decision lacks, and the counts that a refusal shows.

use super::PoolEntry;
use super::ground::Ground;
use crate::address::Range;
use crate::name::Name;
use crate::owner::Owner;
use crate::slots::BlockKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Something that a store has to load into a partial view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Everything there is; load it into a complete view.
    Everything,
    /// Every pool, subnet and reservation ([`super::View::know_all_pools`]).
    Pools,
    /// One pool ([`super::View::know_pool`]).
    Pool(Name),
    /// Every block that holds something of an owner ([`super::View::know_owner`]).
    Owner(Owner),
    /// Every block that holds something of a container, and its tombstone
    /// ([`super::View::know_container_all`]).
    Container(Name),
    /// One block. When it is exhausted for the pool on whose behalf it is wanted, a store may load
    /// the whole run of exhausted blocks around it instead ([`super::View::know_exhausted`]).
    Block {
        /// The block.
        key: BlockKey,
        /// On whose behalf.
        pool: Option<Name>,
    },
    /// The blocks of the sixteen addresses of the pool that have rested for longest, as far as there
    /// are so many ([`super::View::know_resting_of`]).
    Resting(Name),
    /// Every block with a quarantined address of the pool ([`super::View::know_quarantine_of`]).
    Quarantine(Name),
    /// The counts of a pool ([`super::View::know_tally`]).
    Tally(Name),
    /// Every tombstone that was put up before a moment, in milliseconds since the Unix epoch
    /// ([`super::View::know_tombstones`]).
    Tombstones(u64),
}

/// What has to be loaded before the same decision is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need(pub BTreeSet<Wanted>);

impl Need {
    pub(crate) fn one(wanted: Wanted) -> Self {
        Self(BTreeSet::from([wanted]))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the view lacks {:?}", self.0)
    }
}

/// How many addresses of a pool are in which state; they add up to `size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Ranges less exclusions.
    pub size: u128,
    /// May be given out at once.
    pub free: u128,
    /// Held by an owner.
    pub allocated: u128,
    /// Held back by a reservation.
    pub reserved: u128,
    /// Released, and resting until their cool-down is over or their turn comes.
    pub cooling: u128,
    /// Seen in use by somebody else.
    pub quarantined: u128,
}

impl Tally {
    /// Counts from the busy masks of the blocks of a pool; what is not busy is free.
    pub fn from_masks(entry: &PoolEntry, blocks: impl Iterator<Item = (u128, [u64; 3])>) -> Self {
        let size = entry.pool.usable().count();
        let usable = entry.usable.count();
        let mut tally = Self { size, reserved: size.saturating_sub(usable), ..Self::default() };
        for (first, [allocated, resting, quarantined]) in blocks {
            let mask = entry.usable.word(first);
            let ones = |word: u64| u128::from((word & mask).count_ones());
            tally.allocated += ones(allocated);
            tally.cooling += ones(resting);
            tally.quarantined += ones(quarantined);
        }
        let busy = tally.allocated + tally.cooling + tally.quarantined;
        tally.free = usable.saturating_sub(busy);
        tally
    }

    pub(super) fn count(entry: &PoolEntry, ground: Option<&Ground>) -> Self {
        let ends = Range::of_prefix(entry.pool.prefix()).ends();
        let blocks = ground.into_iter().flat_map(|ground| ground.within(ends));
        Self::from_masks(
            entry,
            blocks.map(|(first, block)| {
                (first, [block.allocated(), block.resting_mask(), block.quarantined_mask()])
            }),
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, free, allocated, reserved, cooling, quarantined } = self;
        write!(
            f,
            "{free} of {size} free, {allocated} allocated, {reserved} reserved, {cooling} cooling, {quarantined} quarantined"
        )
    }
}
