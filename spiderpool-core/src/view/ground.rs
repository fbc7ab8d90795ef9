//! The blocks of one address space and family, with the indexes that find an owner's slots.
//!
//! Indexes are hints: an entry says where to look, and the block says what is true. They keep a tag
//! and a place for each allocated slot and key. A view of a few blocks has none: it is looked through
//! faster than it is indexed.

use super::tags::{Tags, number_tag, tag};
use crate::address::Family;
use crate::event::Revision;
use crate::name::Name;
use crate::slots::{Allocation, Block, BlockKey, Quarantine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An allocated slot, with where it is.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The block it is in.
    pub key: BlockKey,
    /// The number of its address.
    pub number: u128,
    /// What is known of it.
    pub allocation: Allocation<'a>,
}

impl Found<'_> {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> std::net::IpAddr {
        self.key.family.address(self.number)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ground {
    space: Name,
    family: Family,
    held: Vec<Held>,
    /// The order of the blocks; `numbers` finds a single one faster.
    by_first: BTreeMap<u128, u32>,
    numbers: Tags,
    absent: BTreeSet<u128>,
    /// Whether `numbers`, `owners` and `containers` are kept: from more than [`FEW`] blocks on.
    is_indexed: bool,
    owners: Tags,
    containers: Tags,
    quarantined: BTreeMap<u128, Quarantine>,
    /// The pools over it, by first number and length of their prefix.
    prefixes: BTreeMap<(u128, u8), Vec<Name>>,
}

#[derive(Clone, Debug)]
struct Held {
    first: u128,
    revision: Revision,
    block: Arc<Block>,
}

/// So many blocks are looked through one after the other.
const FEW: usize = 4;

/// So many prefixes are looked through rather than looked up by their lengths.
const FEW_POOLS: usize = 16;

/// What a change of one slot means to the pools over it.
#[derive(Debug)]
pub(super) struct Changed {
    /// The pool that the slot was granted through before, where that was asked for.
    pub(super) pool: Option<Name>,
    pub(super) was: Standing,
    pub(super) is: Standing,
}

/// What of a slot a pool's free index and its list of resting addresses depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) busy: bool,
    pub(super) rests_since_ms: Option<u64>,
}

impl Standing {
    fn of(block: &Block, slot: u8) -> Self {
        let bit = 1_u64.checked_shl(slot.into()).unwrap_or(0);
        Self { busy: block.busy() & bit != 0, rests_since_ms: block.rests_since(slot) }
    }
}

/// A slot's place in the arena as one number: block and slot.
const fn location(id: u32, slot: u8) -> u32 {
    (id << 6) | slot as u32
}

impl Ground {
    pub(super) fn new(space: Name, family: Family) -> Self {
        Self {
            space,
            family,
            held: Vec::new(),
            by_first: BTreeMap::new(),
            numbers: Tags::default(),
            absent: BTreeSet::new(),
            is_indexed: false,
            owners: Tags::default(),
            containers: Tags::default(),
            quarantined: BTreeMap::new(),
            prefixes: BTreeMap::new(),
        }
    }

    fn id(&self, first: u128) -> Option<u32> {
        if !self.is_indexed {
            let at = self.held.iter().position(|held| held.first == first)?;
            return u32::try_from(at).ok();
        }
        let is_it = |id: &u32| self.held.get(*id as usize).is_some_and(|held| held.first == first);
        self.numbers.places(number_tag(first)).find(is_it)
    }

    fn at(&self, first: u128) -> Option<&Held> {
        self.held.get(self.id(first)? as usize)
    }

    pub(super) fn block(&self, first: u128) -> Option<&Block> {
        self.at(first).map(|held| &*held.block)
    }

    pub(super) fn revision(&self, first: u128) -> Revision {
        self.at(first).map_or(0, |held| held.revision)
    }

    pub(super) fn is_absent(&self, first: u128) -> bool {
        self.absent.contains(&first)
    }

    pub(super) fn know_absent(&mut self, first: u128) {
        self.absent.insert(first);
    }

    pub(super) fn set_revision(&mut self, first: u128, revision: Revision) {
        let id = self.id(first);
        if let Some(held) = id.and_then(|id| self.held.get_mut(id as usize)) {
            held.revision = revision;
        }
    }

    /// Puts a block in, or replaces the one of the same name.
    pub(super) fn put(&mut self, first: u128, block: Arc<Block>, revision: Revision) {
        if let Some(id) = self.id(first) {
            let Some(held) = self.held.get_mut(id as usize) else { return };
            let old = std::mem::replace(&mut held.block, Arc::clone(&block));
            held.revision = revision;
            self.index(id, first, &old, false);
            self.index(id, first, &block, true);
            return;
        }
        let id = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        self.index(id, first, &block, true);
        if self.is_indexed {
            self.numbers.insert(number_tag(first), id);
        }
        self.held.push(Held { first, revision, block });
        self.by_first.insert(first, id);
        if !self.is_indexed && self.held.len() > FEW {
            self.begin_indexes();
        }
    }

    fn begin_indexes(&mut self) {
        self.is_indexed = true;
        for (id, held) in (0..).zip(self.held.clone()) {
            self.numbers.insert(number_tag(held.first), id);
            self.index(id, held.first, &held.block, true);
        }
    }

    /// Changes one slot of a block and brings the indexes up to date for it alone. Gives what of the
    /// slot matters to the pools over it, and on request the pool it was granted through before.
    pub(super) fn change_slot(
        &mut self,
        first: u128,
        slot: u8,
        asks_pool: bool,
        change: impl FnOnce(&mut Block),
    ) -> Option<Changed> {
        let id = self.id(first)?;
        let block = Arc::make_mut(&mut self.held.get_mut(id as usize)?.block);
        let place = location(id, slot);
        let was = Standing::of(block, slot);
        let pool = block.placement_of(slot).filter(|_| asks_pool).map(|p| p.pool.clone());
        if let Some([owner, container]) = block.keys(slot).filter(|_| self.is_indexed) {
            self.owners.remove(tag(owner), place);
            self.containers.remove(tag(container), place);
        }
        change(block);
        if let Some([owner, container]) = block.keys(slot).filter(|_| self.is_indexed) {
            self.owners.insert(tag(owner), place);
            if !container.is_empty() {
                self.containers.insert(tag(container), place);
            }
        }
        let number = first.saturating_add(slot.into());
        match block.quarantined().iter().find(|q| q.slot == slot) {
            Some(quarantine) => drop(self.quarantined.insert(number, *quarantine)),
            None if self.quarantined.is_empty() => {}
            None => drop(self.quarantined.remove(&number)),
        }
        Some(Changed { pool, was, is: Standing::of(block, slot) })
    }

    fn index(&mut self, id: u32, first: u128, block: &Block, present: bool) {
        for (slot, [owner, container]) in block.all_keys().filter(|_| self.is_indexed) {
            let place = location(id, slot);
            if present {
                self.owners.insert(tag(owner), place);
                if !container.is_empty() {
                    self.containers.insert(tag(container), place);
                }
            } else {
                self.owners.remove(tag(owner), place);
                self.containers.remove(tag(container), place);
            }
        }
        for quarantine in block.quarantined() {
            let number = first.saturating_add(quarantine.slot.into());
            if present {
                self.quarantined.insert(number, *quarantine);
            } else {
                self.quarantined.remove(&number);
            }
        }
    }

    pub(super) fn of_owner<'a>(&'a self, owner: &str, found: &mut Vec<Found<'a>>) {
        let is_it = |[text, _]: [&[u8]; 2]| text == owner.as_bytes();
        self.look((&self.owners, owner), is_it, found);
    }

    pub(super) fn of_container<'a>(&'a self, container: &str, found: &mut Vec<Found<'a>>) {
        let is_it = |[_, text]: [&[u8]; 2]| text == container.as_bytes();
        self.look((&self.containers, container), is_it, found);
    }

    /// Adds the allocations whose keys are right, by number; the index says where they may be.
    fn look<'a>(
        &'a self,
        (index, text): (&Tags, &str),
        is_it: impl Fn([&[u8]; 2]) -> bool,
        found: &mut Vec<Found<'a>>,
    ) {
        let at = found.len();
        let mut add = |held: &'a Held, slot| {
            let allocation = held.block.allocation(slot);
            found.extend(allocation.map(|allocation| self.found(held.first, allocation)));
        };
        if self.is_indexed {
            for place in index.places(tag(text.as_bytes())) {
                let Some(held) = self.held.get((place >> 6) as usize) else { continue };
                let slot = u8::try_from(place & 63).unwrap_or(0);
                if held.block.keys(slot).is_some_and(&is_it) {
                    add(held, slot);
                }
            }
        } else {
            for held in &self.held {
                let slots = held.block.all_keys().filter(|(_, keys)| is_it(*keys));
                slots.for_each(|(slot, _)| add(held, slot));
            }
        }
        if let Some(new) = found.get_mut(at..) {
            new.sort_unstable_by_key(|found| found.number);
        }
    }

    fn found<'a>(&self, first: u128, allocation: Allocation<'a>) -> Found<'a> {
        let number = first.saturating_add(allocation.slot.into());
        Found { key: self.key(first), number, allocation }
    }

    fn key(&self, first: u128) -> BlockKey {
        BlockKey { space: self.space.clone(), family: self.family, first }
    }

    pub(super) fn allocations(&self) -> impl Iterator<Item = Found<'_>> {
        self.within((0, u128::MAX))
            .flat_map(move |(first, block)| block.allocations().map(move |a| self.found(first, a)))
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = (BlockKey, &Block)> {
        self.within((0, u128::MAX)).map(|(first, block)| (self.key(first), block))
    }

    /// The blocks that hold a number between two ends, lowest first.
    pub(super) fn within(
        &self,
        (first, last): (u128, u128),
    ) -> impl Iterator<Item = (u128, &Block)> {
        let from = first.saturating_sub(63);
        let held =
            self.by_first.range(from..=last).filter_map(|(_, id)| self.held.get(*id as usize));
        held.filter(move |held| {
            held.first.saturating_add(u128::from(held.block.size().slots()) - 1) >= first
        })
        .map(|held| (held.first, &*held.block))
    }

    pub(super) fn quarantined(&self) -> impl Iterator<Item = (u128, Quarantine)> {
        self.quarantined.iter().map(|(number, quarantine)| (*number, *quarantine))
    }

    pub(super) fn add_pool(&mut self, first: u128, length: u8, pool: &Name) {
        let names = self.prefixes.entry((first, length)).or_default();
        if let Err(at) = names.binary_search(pool) {
            names.insert(at, pool.clone());
        }
    }

    pub(super) fn remove_pool(&mut self, first: u128, length: u8, pool: &Name) {
        if let Some(names) = self.prefixes.get_mut(&(first, length)) {
            names.retain(|name| name != pool);
            if names.is_empty() {
                self.prefixes.remove(&(first, length));
            }
        }
    }

    /// The pools whose prefix shares a number with the block of `span` numbers at `first`.
    pub(super) fn pools_over(&self, first: u128, span: u8) -> Vec<Name> {
        let mut pools = Vec::new();
        let width = self.family.width();
        if self.prefixes.len() <= FEW_POOLS {
            let last = first.saturating_add(u128::from(span).saturating_sub(1));
            let meets = |network: u128, length: u8| {
                let size = 1_u128.checked_shl(u32::from(width.saturating_sub(length)));
                let end = size.map_or(u128::MAX, |size| network.saturating_add(size - 1));
                network <= last && first <= end
            };
            let over =
                self.prefixes.iter().filter(|((network, length), _)| meets(*network, *length));
            pools.extend(over.flat_map(|(_, names)| names.iter().cloned()));
            return pools;
        }
        for length in 0..=width {
            let host_bits = u32::from(width - length);
            let network = 1_u128.checked_shl(host_bits).map_or(0, |size| first & !(size - 1));
            pools.extend(self.prefixes.get(&(network, length)).into_iter().flatten().cloned());
        }
        let inside =
            (first.saturating_add(1), 0)..=(first.saturating_add(u128::from(span) - 1), u8::MAX);
        pools.extend(self.prefixes.range(inside).flat_map(|(_, names)| names.iter().cloned()));
        pools
    }

    pub(super) fn heap_bytes(&self) -> (usize, usize) {
        let blocks = self.held.iter().map(|held| held.block.heap_bytes());
        let (all, names) = blocks.fold((0, 0), |(a, n), (all, names)| (a + all, n + names));
        let tags = [&self.owners, &self.containers, &self.numbers].map(Tags::heap_bytes);
        let held = self.held.capacity() * size_of::<Held>();
        (all + held + tags.iter().sum::<usize>() + tree_bytes(self.by_first.len(), 32), names)
    }
}

/// What a B-tree of the standard library takes at worst: nodes of eleven places, half of them used.
const fn tree_bytes(entries: usize, size: usize) -> usize {
    entries.div_ceil(6) * (11 * size + 16)
}
