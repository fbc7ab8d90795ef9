//! The objects that were read: what decisions look at, and the only state that events change.
//!
//! A [`View`] may be complete (an in-memory store, an audit) or partial (a plugin process that
//! loaded two blocks). A question that a partial view cannot answer gives a [`Need`]; the store
//! loads what is needed and the same decision is asked again.
//!
//! Invariants:
//! 1. [`View::apply`] is total, and nothing else changes state (`replay` gives equal state).
//! 2. The free index of a pool is exactly its mask less the busy slots of the blocks that were
//!    loaded (`indexes_follow_the_blocks`).

mod apply;
mod ground;
mod load;
mod names;
mod need;
mod tags;

pub use apply::block_after;
pub use ground::Found;
pub use need::{Need, Tally, Wanted};

use crate::address::{AddressSet, Family, Range};
use crate::definition::{Pool, Reservation, Subnet};
use crate::event::{ObjectKey, Revision, Space, Tombstone};
use crate::name::Name;
use crate::owner::Owner;
use crate::slots::{Block, BlockKey, BlockSize, FreeIndex};
use ground::Ground;
use names::NameMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Objects of a store, each at the revision at which it was read.
#[derive(Clone, Debug, Default)]
pub struct View {
    partial: Option<Known>,
    spaces: BTreeMap<Name, Versioned<Space>>,
    subnets: BTreeMap<Name, Versioned<Arc<Subnet>>>,
    reservations: BTreeMap<Name, Versioned<Arc<Reservation>>>,
    pools: NameMap<PoolEntry>,
    tombstones: NameMap<Versioned<Tombstone>>,
    grounds: BTreeMap<(Name, Family), Ground>,
}

/// What a partial view knows to be complete.
#[derive(Clone, Debug, Default)]
struct Known {
    all_pools: bool,
    pools: BTreeSet<Name>,
    owners: BTreeSet<Owner>,
    containers: BTreeSet<Name>,
    resting: BTreeSet<Name>,
    quarantine: BTreeSet<Name>,
    tallies: BTreeMap<Name, Tally>,
    tombstones_before_ms: u64,
}

#[derive(Clone, Debug)]
struct Versioned<T> {
    value: T,
    revision: Revision,
}

/// A pool with what is derived from it.
#[derive(Clone, Debug)]
pub struct PoolEntry {
    /// The definition.
    pub pool: Arc<Pool>,
    /// The addresses that may be given out: ranges, less exclusions, less reservations.
    pub usable: Arc<AddressSet>,
    /// Those of them that are free.
    pub free: FreeIndex,
    /// Those of them that rest, longest first: (since when in ms, number).
    pub resting: BTreeSet<(u64, u128)>,
    /// Those that a partial view was told to be busy without loading their blocks.
    busy_elsewhere: Vec<(u128, u128)>,
    revision: Revision,
}

impl View {
    /// An empty view that knows everything: what it does not hold does not exist.
    #[must_use]
    pub fn complete() -> Self {
        Self::default()
    }

    /// An empty view that knows nothing yet.
    #[must_use]
    pub fn partial() -> Self {
        Self { partial: Some(Known::default()), ..Self::default() }
    }

    /// Whether what it does not hold does not exist.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.partial.is_none()
    }

    /// The revision at which an object was read; 0 when it does not exist.
    #[must_use]
    pub fn revision(&self, object: &ObjectKey) -> Revision {
        match object {
            ObjectKey::Space(name) => self.spaces.get(name).map_or(0, |v| v.revision),
            ObjectKey::Subnet(name) => self.subnets.get(name).map_or(0, |v| v.revision),
            ObjectKey::Reservation(name) => self.reservations.get(name).map_or(0, |v| v.revision),
            ObjectKey::Pool(name) => self.pools.get(name).map_or(0, |v| v.revision),
            ObjectKey::Container(name) => self.tombstones.get(name).map_or(0, |v| v.revision),
            ObjectKey::Block(key) => {
                self.ground(&key.space, key.family).map_or(0, |ground| ground.revision(key.first))
            }
        }
    }

    /// An address space, if it has been made.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&Space> {
        self.spaces.get(name).map(|v| &v.value)
    }

    /// Every subnet, by name.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded all of them.
    pub fn subnets(&self) -> Result<impl Iterator<Item = &Arc<Subnet>>, Need> {
        match &self.partial {
            Some(known) if !known.all_pools => Err(Need::one(Wanted::Pools)),
            _ => Ok(self.subnets.values().map(|v| &v.value)),
        }
    }

    /// Every reservation, by name.
    pub fn reservations(&self) -> impl Iterator<Item = &Arc<Reservation>> {
        self.reservations.values().map(|v| &v.value)
    }

    /// One pool with what is derived from it.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded it.
    pub fn pool(&self, name: &str) -> Result<Option<&PoolEntry>, Need> {
        let entry = self.pools.get(name);
        match &self.partial {
            Some(known) if entry.is_none() && !known.all_pools && !known.pools.contains(name) => {
                Err(Name::new(name).map_or_else(
                    |_| Need::one(Wanted::Pools),
                    |name| Need::one(Wanted::Pool(name)),
                ))
            }
            _ => Ok(entry),
        }
    }

    /// Every pool, by name.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded all of them.
    pub fn pools(&self) -> Result<impl Iterator<Item = &PoolEntry>, Need> {
        match &self.partial {
            Some(known) if !known.all_pools => Err(Need::one(Wanted::Pools)),
            _ => Ok(self.pools.values()),
        }
    }

    /// Every allocated slot of an owner, in the order of family and address.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded them.
    pub fn held_by(&self, owner: &Owner) -> Result<Vec<Found<'_>>, Need> {
        match &self.partial {
            Some(known) if !known.owners.contains(owner) => {
                Err(Need::one(Wanted::Owner(owner.clone())))
            }
            _ => Ok(self.find(|ground, found| ground.of_owner(owner.as_str(), found))),
        }
    }

    /// Every allocated slot of a container, in the order of family and address.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded them.
    pub fn held_in(&self, container: &Name) -> Result<Vec<Found<'_>>, Need> {
        self.know_container(container)?;
        Ok(self.find(|ground, found| ground.of_container(container, found)))
    }

    /// The tombstone of a container, if there is one.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded it.
    pub fn tombstone(&self, container: &Name) -> Result<Option<Tombstone>, Need> {
        self.know_container(container)?;
        Ok(self.tombstones.get(container).map(|v| v.value))
    }

    fn know_container(&self, container: &Name) -> Result<(), Need> {
        match &self.partial {
            Some(known) if !known.containers.contains(container) => {
                Err(Need::one(Wanted::Container(container.clone())))
            }
            _ => Ok(()),
        }
    }

    /// Every tombstone that was put up before a moment, by container.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded them.
    pub fn tombstones_before(
        &self,
        before_ms: u64,
    ) -> Result<impl Iterator<Item = (&Name, Tombstone)>, Need> {
        match &self.partial {
            Some(known) if known.tombstones_before_ms < before_ms => {
                Err(Need::one(Wanted::Tombstones(before_ms)))
            }
            _ => {
                let all = self.tombstones.iter().map(|(container, v)| (container, v.value));
                Ok(all.filter(move |(_, tombstone)| tombstone.at_ms < before_ms))
            }
        }
    }

    fn find<'a>(&'a self, search: impl Fn(&'a Ground, &mut Vec<Found<'a>>)) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        for ground in self.grounds.values() {
            search(ground, &mut found);
        }
        found
    }

    /// Every allocated slot, in the order of space, family and address.
    ///
    /// # Errors
    /// A [`Need`] when the view is partial.
    pub fn allocations(&self) -> Result<impl Iterator<Item = Found<'_>>, Need> {
        self.require_all()?;
        Ok(self.grounds.values().flat_map(Ground::allocations))
    }

    /// Every block, in order.
    ///
    /// # Errors
    /// A [`Need`] when the view is partial.
    pub fn blocks(&self) -> Result<impl Iterator<Item = (BlockKey, &Block)>, Need> {
        self.require_all()?;
        Ok(self.grounds.values().flat_map(Ground::blocks))
    }

    fn require_all(&self) -> Result<(), Need> {
        if self.is_complete() { Ok(()) } else { Err(Need::one(Wanted::Everything)) }
    }

    /// The block of a name; `None` when it does not exist.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not loaded it. `pool` is on whose behalf it is asked.
    pub fn block(&self, key: &BlockKey, pool: Option<&Name>) -> Result<Option<&Block>, Need> {
        let ground = self.ground(&key.space, key.family);
        let block = ground.and_then(|ground| ground.block(key.first));
        let known = self.is_complete()
            || block.is_some()
            || ground.is_some_and(|ground| ground.is_absent(key.first));
        if known {
            return Ok(block);
        }
        Err(Need::one(Wanted::Block { key: key.clone(), pool: pool.cloned() }))
    }

    /// The blocks of one space and family whose addresses lie between two numbers, as loaded.
    pub fn blocks_within(&self, pool: &Pool, range: Range) -> impl Iterator<Item = (u128, &Block)> {
        let ground = self.ground(pool.space(), pool.family());
        ground.into_iter().flat_map(move |ground| ground.within(range.ends()))
    }

    /// How many slots the blocks of a space and family have.
    #[must_use]
    pub fn block_size(&self, space: &str, family: Family) -> BlockSize {
        let space = self.spaces.get(space).map(|v| &v.value);
        space.map_or(BlockSize::DEFAULT, |space| match family {
            Family::V4 => space.v4_block,
            Family::V6 => space.v6_block,
        })
    }

    /// Makes sure that the resting addresses of a pool are known.
    pub(crate) fn know_resting(&self, pool: &Name) -> Result<(), Need> {
        match &self.partial {
            Some(known) if !known.resting.contains(pool) => {
                Err(Need::one(Wanted::Resting(pool.clone())))
            }
            _ => Ok(()),
        }
    }

    /// The quarantined slots of a pool: number and evidence, lowest first.
    pub(crate) fn quarantined(
        &self,
        entry: &PoolEntry,
    ) -> Result<Vec<(u128, crate::slots::Quarantine)>, Need> {
        let name = entry.pool.name();
        match &self.partial {
            Some(known) if !known.quarantine.contains(name) => {
                Err(Need::one(Wanted::Quarantine(name.clone())))
            }
            _ => Ok(self.ground(entry.pool.space(), entry.pool.family()).map_or_else(
                Vec::new,
                |ground| {
                    ground.quarantined().filter(|(number, _)| entry.usable.holds(*number)).collect()
                },
            )),
        }
    }

    /// How many addresses of a pool are in which state.
    ///
    /// # Errors
    /// A [`Need`] when a partial view has not been told.
    pub fn tally(&self, entry: &PoolEntry) -> Result<Tally, Need> {
        let name = entry.pool.name();
        match &self.partial {
            None => Ok(Tally::count(
                entry,
                self.grounds.get(&(entry.pool.space().clone(), entry.pool.family())),
            )),
            Some(known) => known
                .tallies
                .get(name)
                .copied()
                .ok_or_else(|| Need::one(Wanted::Tally(name.clone()))),
        }
    }

    fn ground(&self, space: &Name, family: Family) -> Option<&Ground> {
        self.grounds.get(&(space.clone(), family))
    }

    /// Bytes that hold allocations on the heap, and how many of them are names: for the benchmark
    /// of resident memory.
    #[must_use]
    pub fn heap_bytes(&self) -> (usize, usize) {
        let grounds = self.grounds.values().map(Ground::heap_bytes);
        let (all, names) = grounds.fold((0, 0), |(a, n), (all, names)| (a + all, n + names));
        let indexes: usize = self.pools.values().map(|entry| entry.free.heap_bytes()).sum();
        (all + indexes, names)
    }
}
