//! The one function that changes state.

use super::ground::{Changed, Ground};
use super::{PoolEntry, Versioned, View};
use crate::address::{AddressSet, Family, Range, bits};
use crate::definition::{Pool, Reservation, Subnet};
use crate::event::{Event, Grant, ObjectKey, Revision, Space, Tombstone};
use crate::name::Name;
use crate::slots::{Block, BlockKey, FreeIndex, Quarantine, Stamp};
use std::collections::BTreeSet;
use std::sync::Arc;

impl View {
    /// Applies one event to the object that it happened to. Total: an event that does not fit the
    /// object's kind or state changes nothing that a reader can see.
    pub fn apply(&mut self, object: &ObjectKey, event: &Event) {
        match (object, event) {
            (ObjectKey::Block(key), event) => self.apply_to_block(key, event),
            (ObjectKey::Pool(name), Event::PoolDefined(pool)) => self.define_pool(name, pool),
            (ObjectKey::Pool(name), Event::PoolRemoved) => self.remove_pool(name),
            (ObjectKey::Space(name), Event::SpaceDefined(space)) => self.define_space(name, space),
            (ObjectKey::Subnet(name), Event::SubnetDefined(subnet)) => {
                self.define_subnet(name, subnet)
            }
            (ObjectKey::Subnet(name), Event::SubnetRemoved) => drop(self.subnets.remove(name)),
            (ObjectKey::Reservation(name), Event::ReservationDefined(reservation)) => {
                self.define_reservation(name, reservation);
            }
            (ObjectKey::Reservation(name), Event::ReservationRemoved) => {
                self.remove_reservation(name)
            }
            (ObjectKey::Container(name), Event::Buried(tombstone)) => self.bury(name, *tombstone),
            (ObjectKey::Container(name), Event::Forgotten) => drop(self.tombstones.remove(name)),
            _ => {}
        }
    }

    /// Notes the revision that a store gave to an object whose events have been applied.
    pub fn committed(&mut self, object: &ObjectKey, revision: Revision) {
        match object {
            ObjectKey::Space(name) => mark(self.spaces.get_mut(name), revision),
            ObjectKey::Subnet(name) => mark(self.subnets.get_mut(name), revision),
            ObjectKey::Reservation(name) => mark(self.reservations.get_mut(name), revision),
            ObjectKey::Container(name) => mark(self.tombstones.get_mut(name), revision),
            ObjectKey::Pool(name) => {
                if let Some(entry) = self.pools.get_mut(name) {
                    entry.revision = revision;
                }
            }
            ObjectKey::Block(key) => {
                if let Some(ground) = self.grounds.get_mut(&(key.space.clone(), key.family)) {
                    ground.set_revision(key.first, revision);
                }
            }
        }
    }

    pub(super) fn define_space(&mut self, name: &Name, space: &Space) {
        let revision = self.spaces.get(name).map_or(0, |v| v.revision);
        self.spaces.insert(name.clone(), Versioned { value: space.clone(), revision });
    }

    pub(super) fn define_subnet(&mut self, name: &Name, subnet: &Arc<Subnet>) {
        let revision = self.subnets.get(name).map_or(0, |v| v.revision);
        self.subnets.insert(name.clone(), Versioned { value: Arc::clone(subnet), revision });
    }

    pub(super) fn define_reservation(&mut self, name: &Name, reservation: &Arc<Reservation>) {
        let value = Arc::clone(reservation);
        let revision = self.reservations.get(name).map_or(0, |v| v.revision);
        let old = self.reservations.insert(name.clone(), Versioned { value, revision });
        self.rebuild_under(reservation);
        if let Some(old) = old {
            self.rebuild_under(&old.value);
        }
    }

    fn remove_reservation(&mut self, name: &Name) {
        if let Some(old) = self.reservations.remove(name) {
            self.rebuild_under(&old.value);
        }
    }

    pub(super) fn bury(&mut self, container: &Name, tombstone: Tombstone) {
        let fresh = Versioned { value: tombstone, revision: 0 };
        match self.tombstones.get_mut(container) {
            Some(known) => known.value = tombstone,
            None => drop(self.tombstones.insert(container, fresh)),
        }
    }

    /// Derives the pools of a reservation's space and family again.
    fn rebuild_under(&mut self, reservation: &Reservation) {
        let family = reservation.addresses().family();
        let touched: Vec<_> = (self.pools.values())
            .map(|entry| Arc::clone(&entry.pool))
            .filter(|pool| pool.family() == family && pool.space() == reservation.space())
            .collect();
        for pool in touched {
            self.define_pool(pool.name(), &pool);
        }
    }

    pub(super) fn define_pool(&mut self, name: &Name, pool: &Arc<Pool>) {
        let old = self.pools.remove(name);
        if let Some(old) = &old {
            self.forget_prefix(&old.pool);
        }
        let reserved = self.reserved(pool);
        let usable = pool.usable();
        let usable = if reserved.is_empty() { usable } else { usable.difference(&reserved) };
        let usable = Arc::new(usable);
        let mut entry = PoolEntry {
            pool: Arc::clone(pool),
            free: FreeIndex::new(Arc::clone(&usable)),
            usable,
            resting: BTreeSet::new(),
            busy_elsewhere: old.as_ref().map_or_else(Vec::new, PoolEntry::still_busy_elsewhere),
            revision: old.map_or(0, |old| old.revision),
        };
        let (first, last) = Range::of_prefix(pool.prefix()).ends();
        let ground = self.ground_mut(pool.space(), pool.family());
        ground.add_pool(first, pool.prefix().prefix_len(), name);
        for (first, block) in ground.within((first, last)) {
            entry.note_block(first, block);
        }
        for (first, last) in &entry.busy_elsewhere {
            entry.free.take_range(*first, *last);
        }
        self.pools.insert(name, entry);
    }

    fn remove_pool(&mut self, name: &Name) {
        if let Some(old) = self.pools.remove(name) {
            self.forget_prefix(&old.pool);
        }
    }

    fn forget_prefix(&mut self, pool: &Pool) {
        let prefix = pool.prefix();
        let ground = self.ground_mut(pool.space(), pool.family());
        ground.remove_pool(bits(prefix.network()), prefix.prefix_len(), pool.name());
    }

    /// Everything that reservations hold back in the space and family of a pool.
    fn reserved(&self, pool: &Pool) -> AddressSet {
        let empty = AddressSet::empty(pool.family());
        let here = self.reservations().filter(|reservation| reservation.space() == pool.space());
        here.fold(empty, |all, reservation| all.union(reservation.addresses()))
    }

    pub(super) fn ground_mut(&mut self, space: &Name, family: Family) -> &mut Ground {
        let key = (space.clone(), family);
        self.grounds.entry(key).or_insert_with(|| Ground::new(space.clone(), family))
    }

    fn apply_to_block(&mut self, key: &BlockKey, event: &Event) {
        if let Some(block) = opened(event) {
            self.ground_mut(&key.space, key.family).put(key.first, Arc::new(block), 0);
        }
        let pool = if let Event::Granted { grant, .. } | Event::Adopted { grant, .. } = event {
            Some(&grant.placement.pool)
        } else if let Event::Restaged { placement, .. } = event {
            Some(&placement.pool)
        } else {
            None
        };
        if let Some(slot) = event.slot() {
            self.change_slot(key, slot, pool, |block| apply_to_slot(block, event));
        }
    }

    /// Changes one slot and brings the index of the pool over it up to date.
    fn change_slot(
        &mut self,
        key: &BlockKey,
        slot: u8,
        pool: Option<&Name>,
        change: impl FnOnce(&mut Block),
    ) {
        let Some(ground) = self.grounds.get_mut(&(key.space.clone(), key.family)) else { return };
        let number = key.first.saturating_add(slot.into());
        let Some(changed) = ground.change_slot(key.first, slot, pool.is_none(), change) else {
            return;
        };
        let Changed { pool: pool_before, was, is } = changed;
        if was == is {
            return;
        }
        let covers =
            |name: &&Name| self.pools.get(name).is_some_and(|entry| entry.covers(key, number));
        let owner = pool.or(pool_before.as_ref()).filter(covers);
        let over;
        let names = match owner {
            Some(name) => std::slice::from_ref(name),
            None => {
                over = ground.pools_over(key.first, 64);
                &over
            }
        };
        for name in names {
            let Some(entry) = self.pools.get_mut(name).filter(|entry| entry.covers(key, number))
            else {
                continue;
            };
            if let Some(since_ms) = was.rests_since_ms {
                entry.resting.remove(&(since_ms, number));
            }
            if let Some(since_ms) = is.rests_since_ms {
                entry.resting.insert((since_ms, number));
            }
            if is.busy {
                entry.free.take(number)
            } else {
                entry.free.give(number)
            };
        }
    }
}

/// The block that an event made, if it made one.
fn opened(event: &Event) -> Option<Block> {
    let Event::Opened { size, incarnation, generation } = event else { return None };
    Some(Block::new(*size, *incarnation).above(*generation))
}

/// Applies what happened to one slot to its block.
fn apply_to_slot(block: &mut Block, event: &Event) {
    match event {
        Event::Granted { slot, grant } | Event::Adopted { slot, grant } => {
            let Grant { holder, placement, stage, generation, at_ms } = grant;
            let stamp = Stamp { stage: *stage, generation: *generation, at_ms: *at_ms };
            block.grant(*slot, holder, placement, stamp);
        }
        Event::Restaged { slot, placement, stage, at_ms } => {
            block.restage(*slot, placement, *stage, *at_ms);
        }
        Event::Freed { slot, generation, at_ms, rests, .. } => {
            block.release(*slot, *generation, rests.then_some(*at_ms));
        }
        &Event::Quarantined { slot, mac, at_ms: since_ms, until_ms, rounds } => {
            block.quarantine(Quarantine { slot, mac, since_ms, until_ms, rounds });
        }
        Event::Cleared { slot } => block.clear(*slot),
        Event::Opened { .. }
        | Event::SpaceDefined(_)
        | Event::SubnetDefined(_)
        | Event::SubnetRemoved
        | Event::ReservationDefined(_)
        | Event::ReservationRemoved
        | Event::PoolDefined(_)
        | Event::PoolRemoved
        | Event::Buried(_)
        | Event::Forgotten => {}
    }
}

/// What events make of a block alone, as [`View::apply`] does; `None` while there is none, and none is
/// opened.
#[must_use]
pub fn block_after<'e>(
    block: Option<Arc<Block>>,
    events: impl IntoIterator<Item = &'e Event>,
) -> Option<Arc<Block>> {
    let step = |block: Option<Arc<Block>>, event: &Event| match opened(event) {
        Some(opened) => Some(Arc::new(opened)),
        None => block.map(|mut block| {
            if event.slot().is_some() {
                apply_to_slot(Arc::make_mut(&mut block), event);
            }
            block
        }),
    };
    events.into_iter().fold(block, step)
}

impl PoolEntry {
    /// What was said to be busy, cut to the addresses that it was said of.
    fn still_busy_elsewhere(&self) -> Vec<(u128, u128)> {
        let spans = self.busy_elsewhere.iter().flat_map(|(first, last)| {
            let spans = self.usable.ranges().map(|range| range.ends());
            spans.map(|(a, b)| (a.max(*first), b.min(*last))).filter(|(a, b)| a <= b)
        });
        spans.collect()
    }

    /// Whether a number of a block's space and family is one that the pool may give out.
    fn covers(&self, key: &BlockKey, number: u128) -> bool {
        self.pool.family() == key.family
            && *self.pool.space() == key.space
            && self.usable.holds(number)
    }

    /// Takes what a block says of this pool's addresses into the derived parts.
    pub(super) fn note_block(&mut self, first: u128, block: &Block) {
        self.free.take_word(first, block.busy() & self.usable.word(first));
        for resting in block.resting() {
            let number = first.saturating_add(resting.slot.into());
            if self.usable.holds(number) {
                self.resting.insert((resting.since_ms, number));
            }
        }
    }
}

fn mark<T>(versioned: Option<&mut Versioned<T>>, revision: Revision) {
    if let Some(versioned) = versioned {
        versioned.revision = revision;
    }
}
