//! How a store fills a view: each call puts in one object at its revision, or states that a
//! question has been answered in full.

use super::{Tally, View};
use crate::definition::{Pool, Reservation, Subnet};
use crate::event::{Event, ObjectKey, Revision, Space, Tombstone};
use crate::name::Name;
use crate::owner::Owner;
use crate::slots::{Block, BlockKey};
use std::sync::Arc;

impl View {
    /// Puts in an address space.
    pub fn load_space(&mut self, space: &Space, revision: Revision) {
        self.define_space(&space.name, space);
        self.committed(&ObjectKey::Space(space.name.clone()), revision);
    }

    /// Puts in a subnet.
    pub fn load_subnet(&mut self, subnet: &Arc<Subnet>, revision: Revision) {
        self.define_subnet(subnet.name(), subnet);
        self.committed(&ObjectKey::Subnet(subnet.name().clone()), revision);
    }

    /// Puts in a reservation; load all of them before any pool, since they are part of its mask.
    pub fn load_reservation(&mut self, reservation: &Arc<Reservation>, revision: Revision) {
        self.define_reservation(reservation.name(), reservation);
        self.committed(&ObjectKey::Reservation(reservation.name().clone()), revision);
    }

    /// Puts in a pool.
    pub fn load_pool(&mut self, pool: &Arc<Pool>, revision: Revision) {
        self.define_pool(pool.name(), pool);
        self.committed(&ObjectKey::Pool(pool.name().clone()), revision);
    }

    /// Puts in a block, in place of what was known of it.
    pub fn load_block(&mut self, key: &BlockKey, block: impl Into<Arc<Block>>, revision: Revision) {
        let block = block.into();
        let ground = self.ground_mut(&key.space, key.family);
        let known = ground.block(key.first).is_some();
        let pools = ground.pools_over(key.first, block.size().slots());
        ground.put(key.first, Arc::clone(&block), revision);
        for name in pools {
            let Some(pool) = self.pools.get(&name).map(|entry| Arc::clone(&entry.pool)) else {
                continue;
            };
            if known {
                self.define_pool(&name, &pool);
                continue;
            }
            if let Some(entry) = self.pools.get_mut(&name) {
                entry.note_block(key.first, &block);
            }
        }
    }

    /// States that a block does not exist.
    pub fn know_absent(&mut self, key: &BlockKey) {
        self.ground_mut(&key.space, key.family).know_absent(key.first);
    }

    /// Takes out an object that is gone from the store.
    pub fn forget(&mut self, object: &ObjectKey) {
        match object {
            ObjectKey::Block(key) => self.know_absent(key),
            ObjectKey::Pool(_) => self.apply(object, &Event::PoolRemoved),
            ObjectKey::Subnet(_) => self.apply(object, &Event::SubnetRemoved),
            ObjectKey::Reservation(_) => self.apply(object, &Event::ReservationRemoved),
            ObjectKey::Container(_) => self.apply(object, &Event::Forgotten),
            // Address spaces never go.
            ObjectKey::Space(_) => {}
        }
    }

    /// Puts in the tombstone of a container.
    pub fn load_tombstone(&mut self, container: &Name, tombstone: Tombstone, revision: Revision) {
        self.bury(container, tombstone);
        self.committed(&ObjectKey::Container(container.clone()), revision);
    }

    /// States that every usable address of a pool between two numbers is busy.
    pub fn know_exhausted(&mut self, pool: &Name, first: u128, last: u128) {
        if let Some(entry) = self.pools.get_mut(pool) {
            entry.busy_elsewhere.push((first, last));
            entry.free.take_range(first, last);
        }
    }

    /// States that a pool has been loaded, or does not exist.
    pub fn know_pool(&mut self, pool: &Name) {
        if let Some(known) = &mut self.partial {
            known.pools.insert(pool.clone());
        }
    }

    /// States that every pool, subnet and reservation has been loaded.
    pub fn know_all_pools(&mut self) {
        if let Some(known) = &mut self.partial {
            known.all_pools = true;
        }
    }

    /// States that every block that holds something of the owner has been loaded.
    pub fn know_owner(&mut self, owner: &Owner) {
        if let Some(known) = &mut self.partial {
            known.owners.insert(owner.clone());
        }
    }

    /// States that every block that holds something of the container, and its tombstone, have been
    /// loaded.
    pub fn know_container_all(&mut self, container: &Name) {
        if let Some(known) = &mut self.partial {
            known.containers.insert(container.clone());
        }
    }

    /// States that the blocks of the pool's longest-resting addresses have been loaded.
    pub fn know_resting_of(&mut self, pool: &Name) {
        if let Some(known) = &mut self.partial {
            known.resting.insert(pool.clone());
        }
    }

    /// States that every block with a quarantined address of the pool has been loaded.
    pub fn know_quarantine_of(&mut self, pool: &Name) {
        if let Some(known) = &mut self.partial {
            known.quarantine.insert(pool.clone());
        }
    }

    /// States that every tombstone that was put up before a moment has been loaded.
    pub fn know_tombstones(&mut self, before_ms: u64) {
        if let Some(known) = &mut self.partial {
            known.tombstones_before_ms = known.tombstones_before_ms.max(before_ms);
        }
    }

    /// States the counts of a pool.
    pub fn know_tally(&mut self, pool: &Name, tally: Tally) {
        if let Some(known) = &mut self.partial {
            known.tallies.insert(pool.clone(), tally);
        }
    }
}
