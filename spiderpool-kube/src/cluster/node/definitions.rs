//! Pools, subnets and reservations as a watch told of them, and the ledger.
//!
//! A cache: what it says may be old, so each pool that gave something is read once more before the
//! reply. Of one object a lower revision never replaces a higher one (`a_late_event_changes_nothing`).

use crate::cluster::object::{Body, Key, Ledger, Meta, Object};
use crate::cluster::port::CallId;
use crate::cluster::wire;
use spiderpool_core::definition::{BadDefinition, Pool, PoolDraft, Reservation, Subnet};
use spiderpool_core::event::{ObjectKey, Revision};
use spiderpool_core::name::Name;
use spiderpool_core::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the node knows of the definitions.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    synced: bool,
    pools: BTreeMap<Name, (Arc<Pool>, Meta)>,
    subnets: BTreeMap<Name, (Arc<Subnet>, Meta)>,
    reservations: BTreeMap<Name, (Arc<Reservation>, Meta)>,
    ledger: Option<(Ledger, Meta)>,
    /// Objects that cannot be read, by name: pools among them give nothing out.
    unreadable: BTreeMap<Key, (String, Meta)>,
    /// The counter of the node when each was learnt.
    learnt: BTreeMap<Key, CallId>,
}

impl Definitions {
    pub(super) const fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn ledger(&self) -> Option<&(Ledger, Meta)> {
        self.ledger.as_ref()
    }

    pub(super) fn pool_meta(&self, name: &Name) -> Option<Meta> {
        self.pools.get(name).map(|(_, meta)| *meta)
    }

    /// Everything that existed has been told.
    pub(super) const fn sync(&mut self) {
        self.synced = true;
    }

    /// The store went back: what is told next is newer than anything that was known, whatever its
    /// revision.
    pub(super) fn rewind(&mut self) {
        let pools = self.pools.values_mut().map(|(_, meta)| meta);
        let subnets = self.subnets.values_mut().map(|(_, meta)| meta);
        let reservations = self.reservations.values_mut().map(|(_, meta)| meta);
        let others = self.unreadable.values_mut().map(|(_, meta)| meta);
        let ledger = self.ledger.as_mut().map(|(_, meta)| meta);
        for meta in pools.chain(subnets).chain(reservations).chain(others).chain(ledger) {
            meta.revision = 0;
        }
    }

    /// Takes an object in, unless it is older than what is known; whether it did.
    pub(super) fn see(&mut self, object: Object, now: CallId) -> bool {
        if self.revision(&object.key).is_some_and(|known| known > object.meta.revision) {
            return false;
        }
        let Object { key, meta, body } = object;
        self.drop_object(&key);
        self.learnt.insert(key.clone(), now);
        match (key, body) {
            (Key::Pool(name), Body::Pool(pool)) => drop(self.pools.insert(name, (pool, meta))),
            (Key::Subnet(name), Body::Subnet(subnet)) => {
                self.subnets.insert(name, (subnet, meta));
            }
            (Key::Reservation(name), Body::Reservation(reservation)) => {
                self.reservations.insert(name, (reservation, meta));
            }
            (Key::Ledger, Body::Ledger(ledger)) => self.ledger = Some((ledger, meta)),
            (key, Body::Unreadable { why }) => drop(self.unreadable.insert(key, (why, meta))),
            _ => {}
        }
        true
    }

    /// Takes in what a quorum read said: newer than anything that was learnt before it was sent.
    pub(super) fn read(
        &mut self,
        key: &Key,
        object: Option<Object>,
        (call, now): (CallId, CallId),
    ) {
        if self.learnt.get(key).is_none_or(|learnt| *learnt < call) {
            self.drop_object(key);
        }
        if let Some(object) = object {
            self.see(object, now);
        }
    }

    /// Takes in a quorum list of all reservations.
    pub(super) fn list_reservations(
        &mut self,
        objects: Vec<Object>,
        (call, now): (CallId, CallId),
    ) {
        let listed: BTreeSet<_> = objects.iter().map(|object| object.key.clone()).collect();
        let unreadable = self.unreadable.keys().cloned();
        let known = self.reservations.keys().cloned().map(Key::Reservation).chain(unreadable);
        let gone = known.filter(|key| matches!(key, Key::Reservation(_)) && !listed.contains(key));
        for key in gone.collect::<Vec<_>>() {
            self.read(&key, None, (call, now));
        }
        for object in objects {
            self.read(&object.key.clone(), Some(object), (call, now));
        }
    }

    /// Brings a view's reservations up to date.
    pub(super) fn renew_reservations(&self, view: &mut View) {
        let loaded: Vec<_> = view.reservations().map(|loaded| loaded.name().clone()).collect();
        for name in loaded.iter().filter(|name| !self.reservations.contains_key(*name)) {
            view.forget(&ObjectKey::Reservation(name.clone()));
        }
        for (name, (reservation, meta)) in &self.reservations {
            if view.revision(&ObjectKey::Reservation(name.clone())) != meta.revision {
                view.load_reservation(reservation, meta.revision);
            }
        }
    }

    /// Takes in that an object was gone at a revision, unless it is known from later; whether it did.
    pub(super) fn lose(&mut self, key: &Key, revision: Revision) -> bool {
        let known = self.revision(key);
        if known.is_some_and(|known| known <= revision) {
            self.drop_object(key);
        }
        known.is_none_or(|known| known <= revision)
    }

    fn revision(&self, key: &Key) -> Option<Revision> {
        let meta = match key {
            Key::Pool(name) => self.pools.get(name).map(|(_, meta)| meta),
            Key::Subnet(name) => self.subnets.get(name).map(|(_, meta)| meta),
            Key::Reservation(name) => self.reservations.get(name).map(|(_, meta)| meta),
            Key::Ledger => self.ledger.as_ref().map(|(_, meta)| meta),
            Key::Block(_) | Key::Index(_) | Key::Endpoint(_) => None,
        };
        let unreadable = self.unreadable.get(key).map(|(_, meta)| meta);
        meta.or(unreadable).map(|meta| meta.revision)
    }

    fn drop_object(&mut self, key: &Key) {
        self.unreadable.remove(key);
        self.learnt.remove(key);
        match key {
            Key::Pool(name) => drop(self.pools.remove(name)),
            Key::Subnet(name) => drop(self.subnets.remove(name)),
            Key::Reservation(name) => drop(self.reservations.remove(name)),
            Key::Ledger => self.ledger = None,
            Key::Block(_) | Key::Index(_) | Key::Endpoint(_) => {}
        }
    }

    /// Puts everything into a view.
    pub(super) fn load_all(&self, view: &mut View) {
        for (subnet, meta) in self.subnets.values() {
            view.load_subnet(subnet, meta.revision);
        }
        self.load_reservations(view);
        for (pool, meta) in self.pools.values() {
            view.load_pool(&self.inherited(pool), meta.revision);
        }
        view.know_all_pools();
    }

    /// Puts one pool into a view, or that it does not exist.
    pub(super) fn load_pool(&self, name: &Name, view: &mut View) {
        self.load_reservations(view);
        if let Some((pool, meta)) = self.pools.get(name) {
            view.load_pool(&self.inherited(pool), meta.revision);
        }
        view.know_pool(name);
    }

    /// Why a pool that there is gives nothing out, if that is so: it cannot be read, or it and its subnet
    /// contradict each other.
    pub(super) fn why_not(&self, name: &Name) -> Option<String> {
        if let Some((why, _)) = self.unreadable.get(&Key::Pool(name.clone())) {
            return Some(why.clone());
        }
        let (pool, _) = self.pools.get(name)?;
        self.inherit(pool).err().map(|bad| bad.to_string())
    }

    /// A pool with what it takes from its subnet. One that contradicts its subnet keeps what it has given
    /// out, and gives nothing more.
    fn inherited(&self, pool: &Arc<Pool>) -> Arc<Pool> {
        self.inherit(pool).unwrap_or_else(|_| {
            let draft = PoolDraft { disabled: true, ..PoolDraft::from(Pool::clone(pool)) };
            Pool::try_from(draft).map_or_else(|_| Arc::clone(pool), Arc::new)
        })
    }

    /// A pool with what it takes from its subnet, where there is one of the same prefix.
    fn inherit(&self, pool: &Arc<Pool>) -> Result<Arc<Pool>, BadDefinition> {
        let same = |subnet: &&Arc<Subnet>| {
            subnet.prefix() == pool.prefix() && subnet.space() == pool.space()
        };
        match self.subnets.values().map(|(subnet, _)| subnet).find(same) {
            Some(subnet) => wire::inherit(pool, subnet).map(Arc::new),
            None => Ok(Arc::clone(pool)),
        }
    }

    fn load_reservations(&self, view: &mut View) {
        for (reservation, meta) in self.reservations.values() {
            view.load_reservation(reservation, meta.revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_event_changes_nothing() {
        let object = |epoch, revision| Object {
            key: Key::Ledger,
            meta: Meta { revision, ..Meta::default() },
            body: Body::Ledger(Ledger { epoch, recovery: None }),
        };
        let mut known = Definitions::default();
        known.see(object(2, 9), 5);
        known.see(object(1, 8), 6);
        assert_eq!(known.ledger().map(|(ledger, _)| ledger.epoch), Some(2));
        known.read(&Key::Ledger, Some(object(1, 8)), (4, 7));
        assert_eq!(known.ledger().map(|(ledger, _)| ledger.epoch), Some(2));
        known.rewind();
        known.see(object(1, 8), 8);
        assert_eq!(known.ledger().map(|(ledger, _)| ledger.epoch), Some(1));
        known.read(&Key::Ledger, Some(object(0, 3)), (9, 9));
        assert_eq!(known.ledger().map(|(ledger, _)| ledger.epoch), Some(0));
    }
}
