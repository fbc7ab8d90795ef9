//! The blocks of one address space and family, with the indexes that find an owner's slots.
//!
//! Indexes are hints: an entry says where to look, and the block says what is true. They keep 8
//! bytes for each allocated slot and key: a digest, and where the slot is.

use crate::address::Family;
use crate::event::Revision;
use crate::moment::digest;
use crate::name::Name;
use crate::slots::{Allocation, Block, BlockKey, Quarantine};
use std::collections::{BTreeMap, BTreeSet};

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
    by_first: BTreeMap<u128, u32>,
    absent: BTreeSet<u128>,
    owners: BTreeSet<(u32, u32)>,
    containers: BTreeSet<(u32, u32)>,
    quarantined: BTreeMap<u128, Quarantine>,
    /// The pools over it, by first number and length of their prefix.
    prefixes: BTreeMap<(u128, u8), Vec<Name>>,
}

#[derive(Clone, Debug)]
struct Held {
    first: u128,
    revision: Revision,
    block: Block,
}

/// A slot's place in the arena as one number: block and slot.
const fn location(id: u32, slot: u8) -> u32 {
    (id << 6) | slot as u32
}

fn tag(text: &str) -> u32 {
    u32::try_from(digest(text) >> 32).unwrap_or(0)
}

impl Ground {
    pub(super) fn new(space: Name, family: Family) -> Self {
        Self {
            space,
            family,
            held: Vec::new(),
            by_first: BTreeMap::new(),
            absent: BTreeSet::new(),
            owners: BTreeSet::new(),
            containers: BTreeSet::new(),
            quarantined: BTreeMap::new(),
            prefixes: BTreeMap::new(),
        }
    }

    fn at(&self, first: u128) -> Option<&Held> {
        self.held.get(*self.by_first.get(&first)? as usize)
    }

    pub(super) fn block(&self, first: u128) -> Option<&Block> {
        self.at(first).map(|held| &held.block)
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
        let id = self.by_first.get(&first).copied();
        if let Some(held) = id.and_then(|id| self.held.get_mut(id as usize)) {
            held.revision = revision;
        }
    }

    /// Puts a block in, or replaces the one of the same name.
    pub(super) fn put(&mut self, first: u128, block: Block, revision: Revision) {
        if self.by_first.contains_key(&first) {
            self.change(first, |old| *old = block);
            self.set_revision(first, revision);
            return;
        }
        let id = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        self.index(id, first, &block, true);
        self.held.push(Held { first, revision, block });
        self.by_first.insert(first, id);
    }

    /// Changes a block as a whole and brings the indexes up to date.
    pub(super) fn change(&mut self, first: u128, change: impl FnOnce(&mut Block)) {
        let Some(id) = self.by_first.get(&first).copied() else { return };
        let Some(held) = self.held.get_mut(id as usize) else { return };
        let stand_in = Block::new(held.block.size(), 0);
        let mut block = std::mem::replace(&mut held.block, stand_in);
        self.index(id, first, &block, false);
        change(&mut block);
        self.index(id, first, &block, true);
        if let Some(held) = self.held.get_mut(id as usize) {
            held.block = block;
        }
    }

    /// Changes one slot of a block and brings the indexes up to date for it alone. Gives the busy
    /// bit of the slot before and after.
    pub(super) fn change_slot(
        &mut self,
        first: u128,
        slot: u8,
        change: impl FnOnce(&mut Block),
    ) -> Option<(bool, bool)> {
        let id = self.by_first.get(&first).copied()?;
        let held = self.held.get_mut(id as usize)?;
        let bit = 1_u64.checked_shl(slot.into())?;
        let was_busy = held.block.busy() & bit != 0;
        if let Some(old) = held.block.allocation(slot) {
            self.owners.remove(&(tag(old.owner), location(id, slot)));
            self.containers.remove(&(tag(old.container), location(id, slot)));
        }
        change(&mut held.block);
        if let Some(new) = held.block.allocation(slot) {
            self.owners.insert((tag(new.owner), location(id, slot)));
            if !new.container.is_empty() {
                self.containers.insert((tag(new.container), location(id, slot)));
            }
        }
        let number = first.saturating_add(slot.into());
        match held.block.quarantined().iter().find(|q| q.slot == slot) {
            Some(quarantine) => drop(self.quarantined.insert(number, *quarantine)),
            None if self.quarantined.is_empty() => {}
            None => drop(self.quarantined.remove(&number)),
        }
        Some((was_busy, held.block.busy() & bit != 0))
    }

    fn index(&mut self, id: u32, first: u128, block: &Block, present: bool) {
        for allocation in block.allocations() {
            let place = location(id, allocation.slot);
            let (owner, container) = (tag(allocation.owner), tag(allocation.container));
            if present {
                self.owners.insert((owner, place));
                if !allocation.container.is_empty() {
                    self.containers.insert((container, place));
                }
            } else {
                self.owners.remove(&(owner, place));
                self.containers.remove(&(container, place));
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
        let at = found.len();
        self.look(&self.owners, tag(owner), |allocation| allocation.owner == owner, found);
        if let Some(new) = found.get_mut(at..) {
            new.sort_unstable_by_key(|found| found.number);
        }
    }

    pub(super) fn of_container<'a>(&'a self, container: &str, found: &mut Vec<Found<'a>>) {
        let at = found.len();
        self.look(&self.containers, tag(container), |a| a.container == container, found);
        if let Some(new) = found.get_mut(at..) {
            new.sort_unstable_by_key(|found| found.number);
        }
    }

    fn look<'a>(
        &'a self,
        index: &BTreeSet<(u32, u32)>,
        tag: u32,
        is_it: impl Fn(&Allocation<'a>) -> bool,
        found: &mut Vec<Found<'a>>,
    ) {
        for (_, place) in index.range((tag, 0)..=(tag, u32::MAX)) {
            let Some(held) = self.held.get((place >> 6) as usize) else { continue };
            let slot = u8::try_from(place & 63).unwrap_or(0);
            let allocation = held.block.allocation(slot).filter(&is_it);
            found.extend(allocation.map(|allocation| self.found(held.first, allocation)));
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
    pub(super) fn within(&self, (first, last): (u128, u128)) -> impl Iterator<Item = (u128, &Block)> {
        let from = first.saturating_sub(63);
        let held = self.by_first.range(from..=last).filter_map(|(_, id)| self.held.get(*id as usize));
        held.filter(move |held| held.first.saturating_add(u128::from(held.block.size().slots()) - 1) >= first)
            .map(|held| (held.first, &held.block))
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
        for length in 0..=width {
            let host_bits = u32::from(width - length);
            let network = 1_u128.checked_shl(host_bits).map_or(0, |size| first & !(size - 1));
            pools.extend(self.prefixes.get(&(network, length)).into_iter().flatten().cloned());
        }
        let inside = (first.saturating_add(1), 0)..=(first.saturating_add(u128::from(span) - 1), u8::MAX);
        pools.extend(self.prefixes.range(inside).flat_map(|(_, names)| names.iter().cloned()));
        pools
    }

    pub(super) fn heap_bytes(&self) -> (usize, usize) {
        let blocks = self.held.iter().map(|held| held.block.heap_bytes());
        let (all, names) = blocks.fold((0, 0), |(a, n), (all, names)| (a + all, n + names));
        let entries = self.owners.len() + self.containers.len();
        let held = self.held.capacity() * size_of::<Held>();
        (all + held + tree_bytes(entries, 8) + tree_bytes(self.by_first.len(), 32), names)
    }
}

/// What a B-tree of the standard library takes at worst: nodes of eleven places, half of them used.
const fn tree_bytes(entries: usize, size: usize) -> usize {
    entries.div_ceil(6) * (11 * size + 16)
}
