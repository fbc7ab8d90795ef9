//! Those who write definitions, scale sets, delete pods, and break things: what the actions of a
//! schedule come to.
//!
//! Whoever withdraws addresses follows the protocol: the definition first, then the blocks are read,
//! and only then what was free there counts as withdrawn.

use crate::agent::Kill;
use crate::machine::Machine;
use crate::runtime::Life;
use crate::schedule::{Action, Edit, Fault};
use crate::truth::block_of;
use crate::world::{Happening, World};
use spiderpool_core::address::{AddressSet, Family};
use spiderpool_core::command::Place;
use spiderpool_core::definition::{Policy, Pool, PoolDraft, Reservation, ReservationDraft};
use spiderpool_core::name::Name;
use spiderpool_core::slots::Slot;
use spiderpool_kube::cluster::object::{Body, Key};
use spiderpool_kube::cluster::port::Change;
use std::net::IpAddr;
use std::sync::Arc;

/// The definitions as their writers want them.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) namespace: Name,
    pub(crate) pools: Vec<Wanted>,
    reservations: Vec<Arc<Reservation>>,
    edits: u64,
}

/// One pool.
#[derive(Debug)]
pub(crate) struct Wanted {
    first: Arc<Pool>,
    pub(crate) present: Arc<Pool>,
    /// The last edit.
    edit: u64,
    /// What that edit withdrew.
    leaving: Vec<Place>,
}

impl Definitions {
    pub(crate) fn new(pools: &[Arc<Pool>]) -> Self {
        let wanted = |pool: &Arc<Pool>| Wanted {
            first: Arc::clone(pool),
            present: Arc::clone(pool),
            edit: 0,
            leaving: Vec::new(),
        };
        let pools = pools.iter().map(wanted).collect();
        let namespace = crate::agent::name("ns", 1);
        Self { namespace, pools, reservations: Vec::new(), edits: 0 }
    }

    /// Whether addresses of a pool rest before they are given again.
    pub(crate) fn rests(&self, name: &str) -> bool {
        let pool = self.pools.iter().find(|pool| **pool.present.name() == *name);
        pool.is_some_and(|pool| {
            pool.present.cool_down_ms() > 0 || pool.present.policy() == Policy::Rotate
        })
    }

    /// Every address that any pool gives out.
    fn usable_sets(&self) -> Vec<(Name, AddressSet)> {
        let pools = self.pools.iter().map(|pool| &pool.present);
        let open = pools.filter(|pool| !pool.is_disabled() && !pool.is_deleting());
        let usable = |pool: &Arc<Pool>| {
            let reserved = self.reservations.iter().map(|reservation| reservation.addresses());
            let usable =
                reserved.fold(pool.usable(), |usable, reserved| usable.difference(reserved));
            (pool.space().clone(), usable)
        };
        open.map(usable).collect()
    }

    /// Every address that a pool gives out.
    fn usable(&self, pool: &Pool) -> Vec<Place> {
        if pool.is_disabled() || pool.is_deleting() {
            return Vec::new();
        }
        let reserved = |address: &IpAddr| {
            self.reservations.iter().any(|reservation| reservation.addresses().contains(*address))
        };
        let space = pool.space();
        addresses(pool)
            .filter(|address| !reserved(address))
            .map(|address| Place { space: space.clone(), address })
            .collect()
    }
}

/// Whether one of these sets, each of an address space, has a place.
fn holds(sets: &[(Name, AddressSet)], place: &Place) -> bool {
    sets.iter().any(|(space, set)| *space == place.space && set.contains(place.address))
}

/// Every address of a pool's ranges without its exclusions.
fn addresses(pool: &Pool) -> impl Iterator<Item = IpAddr> {
    let family = pool.family();
    let ends: Vec<_> = pool.usable().ranges().map(|range| range.ends()).collect();
    ends.into_iter().flat_map(move |(first, last)| {
        (first..=last).map(move |number| Family::address(family, number))
    })
}

impl<M: Machine> World<'_, M> {
    pub(crate) fn write_definitions(&mut self) {
        for at in 0..self.definitions.pools.len() {
            self.write_pool(at);
        }
    }

    fn write_pool(&mut self, at: usize) {
        let Some(wanted) = self.definitions.pools.get(at) else { return };
        let pool = Arc::clone(&wanted.present);
        let key = Key::Pool(pool.name().clone());
        self.write(&key, Body::Pool(pool));
    }

    fn write(&mut self, key: &Key, body: Body) {
        let generation = self.server.object(key).map_or(1, |object| object.meta.generation + 1);
        self.server.put(key, body, generation);
        if let Some(object) = self.server.object(key).cloned() {
            self.broadcast(&Change::Seen(Box::new(object)));
        }
    }

    fn remove(&mut self, key: &Key) {
        self.server.remove(key);
        self.broadcast(&Change::Gone(key.clone(), self.server.revision()));
    }

    /// Does an action of the schedule.
    pub(crate) fn act(&mut self, at: usize) {
        let Some((_, action)) = self.schedule.actions.get(at) else { return };
        self.note(at as u64);
        match *action {
            Action::Create { host, wish } => {
                let host = self.host(host);
                let host = if self.is_gone_for_ever(host) { self.any_host() } else { host };
                self.create(host, wish, None);
            }
            Action::Delete { pod, how } => {
                if let Some(pod) = self.pod(pod) {
                    self.delete(pod, how);
                }
            }
            Action::Restart { pod, del_after_ms } => {
                if let Some(pod) = self.pod(pod) {
                    self.restart(pod, del_after_ms);
                }
            }
            Action::AskAgain { pod } => {
                if let Some(pod) = self.pod(pod) {
                    self.ask_again(pod);
                }
            }
            Action::Scale { set, replicas, wish } => self.scale(set, replicas, wish),
            Action::Edit { pool, edit } => self.edit(pool, edit),
            Action::Break(fault) => self.break_it(fault),
        }
    }

    fn host(&self, pick: u64) -> usize {
        let count = self.hosts.len() as u64;
        usize::try_from(pick.checked_rem(count).unwrap_or(0)).unwrap_or(0)
    }

    fn is_gone_for_ever(&self, host: usize) -> bool {
        self.hosts.get(host).is_none_or(|host| host.demolished)
    }

    fn pod(&self, pick: u64) -> Option<usize> {
        let wanted = |(_, pod): &(usize, &crate::runtime::Pod)| pod.life == Life::Wanted;
        let there: Vec<_> = self.pods.iter().enumerate().filter(wanted).map(|(at, _)| at).collect();
        let at = pick.checked_rem(there.len() as u64)?;
        there.get(usize::try_from(at).ok()?).copied()
    }

    fn scale(&mut self, pick: u64, replicas: u32, wish: crate::schedule::Wish) {
        let count = self.sets.len() as u64;
        let Some(at) = pick.checked_rem(count).and_then(|at| usize::try_from(at).ok()) else {
            return;
        };
        let Some(set) = self.sets.get_mut(at) else { return };
        set.replicas = replicas;
        // What a set's pods ask for is fixed with its first size.
        set.wish.get_or_insert(wish);
        for number in 0..replicas {
            self.fill(at, number);
        }
        let namespace = self.definitions.namespace.clone();
        for pod in 0..self.pods.len() {
            let Some((set, number)) = self.pods.get(pod).and_then(|pod| pod.set) else { continue };
            if set == at && number >= replicas {
                let owner = format!("identity/{namespace}/set{set}-{number}");
                self.truth.identities.retain(|(of, _), _| *of != owner);
                self.delete(pod, crate::schedule::Deletion::Orderly);
            }
        }
    }

    fn edit(&mut self, pick: u64, edit: Edit) {
        let count = self.definitions.pools.len() as u64;
        let Some(at) = pick.checked_rem(count).and_then(|at| usize::try_from(at).ok()) else {
            return;
        };
        let before = self.usable_everywhere();
        match edit {
            Edit::Reserve { from, count } => self.reserve(at, from, count),
            Edit::Unreserve => self.unreserve(),
            Edit::Exclude { .. } | Edit::Shrink | Edit::Reset | Edit::Disable | Edit::Delete => {
                self.edit_pool(at, edit);
            }
        }
        let after = self.definitions.usable_sets();
        self.truth.withdrawn.retain(|place| !holds(&after, place));
        self.definitions.edits += 1;
        let number = self.definitions.edits;
        let Some(pool) = self.definitions.pools.get_mut(at) else { return };
        pool.edit = number;
        pool.leaving = before.into_iter().filter(|place| !holds(&after, place)).collect();
        let delay = self.chance.between(1, 300);
        self.after(delay, Happening::Withdrawn { pool: at, edit: number });
    }

    fn usable_everywhere(&self) -> Vec<Place> {
        let pools = self.definitions.pools.iter();
        pools.flat_map(|pool| self.definitions.usable(&pool.present)).collect()
    }

    fn edit_pool(&mut self, at: usize, edit: Edit) {
        let Some(pool) = self.definitions.pools.get_mut(at) else { return };
        let mut draft = PoolDraft::from(Pool::clone(&pool.present));
        let all: Vec<_> = addresses(&pool.first).collect();
        match edit {
            Edit::Exclude { from, count } => {
                draft.excluded.extend(some(&all, from, count).map(ToString::to_string));
            }
            Edit::Shrink => {
                let half = all.iter().skip(all.len() / 2);
                draft.excluded.extend(half.map(ToString::to_string));
            }
            Edit::Reset => {
                let deleting = self.server.object(&Key::Pool(pool.first.name().clone()));
                let deleting = deleting.is_some() && pool.present.is_deleting();
                draft = PoolDraft::from(Pool::clone(&pool.first));
                // A deletion cannot be taken back; the pool is made again once it is gone.
                draft.deleting = deleting;
            }
            Edit::Disable => draft.disabled = true,
            Edit::Delete => draft.deleting = true,
            Edit::Reserve { .. } | Edit::Unreserve => {}
        }
        if let Ok(changed) = Pool::try_from(draft) {
            pool.present = Arc::new(changed);
            self.write_pool(at);
        }
    }

    fn reserve(&mut self, at: usize, from: u64, count: u64) {
        let Some(pool) = self.definitions.pools.get(at) else { return };
        let all: Vec<_> = addresses(&pool.first).collect();
        let draft = ReservationDraft {
            name: format!("r{}", self.definitions.edits),
            ranges: some(&all, from, count).map(ToString::to_string).collect(),
            ..ReservationDraft::default()
        };
        if let Ok(reservation) = Reservation::try_from(draft) {
            let reservation = Arc::new(reservation);
            self.definitions.reservations.push(Arc::clone(&reservation));
            let key = Key::Reservation(reservation.name().clone());
            self.write(&key, Body::Reservation(reservation));
        }
    }

    fn unreserve(&mut self) {
        for reservation in std::mem::take(&mut self.definitions.reservations) {
            self.remove(&Key::Reservation(reservation.name().clone()));
        }
    }

    /// The blocks are read: what is free there is withdrawn from here on.
    pub(crate) fn withdrawn(&mut self, at: usize, edit: u64) {
        let Some(pool) = self.definitions.pools.get_mut(at) else { return };
        if pool.edit != edit {
            return;
        }
        let leaving = std::mem::take(&mut pool.leaving);
        let present = self.definitions.usable_sets();
        for place in leaving.into_iter().filter(|place| !holds(&present, place)) {
            let (key, slot) = block_of(&place);
            let state = self.sheet(&key).and_then(|sheet| sheet.slots.get(&slot));
            if !matches!(state, Some(Slot::Allocated(_))) {
                self.truth.withdrawn.insert(place);
            }
        }
    }

    /// Pools that are to go and are empty go; those that were wanted again are made anew.
    pub(crate) fn finish_pools(&mut self) {
        for at in 0..self.definitions.pools.len() {
            let Some(pool) = self.definitions.pools.get(at).map(|pool| Arc::clone(&pool.present))
            else {
                continue;
            };
            if !pool.is_deleting() || self.is_used(pool.name()) {
                continue;
            }
            let key = Key::Pool(pool.name().clone());
            if self.server.object(&key).is_some() {
                self.remove(&key);
            } else if let Some(wanted) = self.definitions.pools.get_mut(at) {
                wanted.present = Arc::clone(&wanted.first);
                self.truth.withdrawn.clear();
                self.write_pool(at);
            }
        }
    }

    fn is_used(&self, pool: &Name) -> bool {
        let of_pool = |slot: &Slot| match slot {
            Slot::Allocated(held) => held.placement.pool == *pool,
            Slot::Resting { .. } | Slot::Quarantined { .. } => false,
        };
        let mut blocks = self.server.objects().filter_map(|object| object.body.block());
        blocks.any(|block| block.sheet.slots.values().any(of_pool))
    }

    fn break_it(&mut self, fault: Fault) {
        match fault {
            Fault::Storm { weather, permille, for_ms } => {
                self.skies.storms.push((self.now + for_ms, weather, permille));
            }
            Fault::Away { for_ms } => self.go_away(for_ms),
            Fault::Cut { host, for_ms } => self.cut(self.host(host), for_ms),
            Fault::Blind { host, for_ms } => {
                let at = self.host(host);
                let until = self.now + for_ms;
                if let Some(host) = self.hosts.get_mut(at) {
                    host.watch.blind_until = host.watch.blind_until.max(until);
                }
                self.connect(at, for_ms);
            }
            Fault::Lag { host, by_ms } => {
                let at = self.host(host);
                if let Some(host) = self.hosts.get_mut(at) {
                    host.watch.lag_ms = by_ms;
                }
            }
            Fault::Kill { host, after, fate, down_ms } => {
                let at = self.host(host);
                if let Some(host) = self.hosts.get_mut(at).filter(|host| host.machine.is_some()) {
                    host.kill = Some(Kill { after, fate, down_ms });
                }
            }
            Fault::Reboot { host, down_ms } => self.reboot(self.host(host), down_ms),
            Fault::Demolish { host } => self.demolish(self.host(host)),
            Fault::Jump { host, by_ms } => {
                let at = self.host(host);
                if let Some(host) = self.hosts.get_mut(at) {
                    host.clock += by_ms;
                    self.clocks_differ = true;
                }
            }
            Fault::Copy => self.copy = Some(self.server.clone()),
            Fault::Restore { away_ms, bumps } => self.restore(away_ms, bumps),
            Fault::DeleteBlock { block } => self.delete_block(block),
        }
    }

    fn go_away(&mut self, for_ms: u64) {
        self.skies.away_until = self.skies.away_until.max(self.now + for_ms);
        for host in 0..self.hosts.len() {
            let delay = for_ms + self.chance.between(1, 2_000);
            self.connect(host, delay);
        }
    }

    fn cut(&mut self, at: usize, for_ms: u64) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(at) {
            if now >= host.cut_until {
                host.cut_since = now;
            }
            host.cut_until = host.cut_until.max(now + for_ms);
        }
        self.connect(at, for_ms + 100);
    }

    fn reboot(&mut self, at: usize, down_ms: u64) {
        if self.hosts.get(at).is_some_and(|host| !host.demolished && host.is_on()) {
            self.power_off(at);
            self.after(down_ms, Happening::Boot(at));
        }
    }

    fn demolish(&mut self, at: usize) {
        let Some(node) = self.hosts.get(at).map(|host| host.node.clone()) else { return };
        let of_node: Vec<_> = (0..self.hosts.len())
            .filter(|at| self.hosts.get(*at).is_some_and(|host| host.node == node))
            .collect();
        for at in of_node {
            self.power_off(at);
            if let Some(host) = self.hosts.get_mut(at) {
                host.demolished = true;
            }
            for pod in self.hosts.get(at).map(|host| host.pods.clone()).unwrap_or_default() {
                self.vanish(pod);
            }
        }
    }

    fn restore(&mut self, away_ms: u64, bumps: bool) {
        let Some(copy) = self.copy.take() else { return };
        self.server.restore(&copy, bumps);
        self.skies.life += 1;
        self.go_away(away_ms);
        self.lost(true);
        // Definitions are kept outside of the cluster, and applied again.
        for at in 0..self.definitions.pools.len() {
            self.write_pool(at);
        }
        for reservation in self.definitions.reservations.clone() {
            let key = Key::Reservation(reservation.name().clone());
            self.write(&key, Body::Reservation(reservation));
        }
        self.truth.withdrawn.clear();
    }

    /// Somebody deletes a block by hand, but not while the cluster is recovering already.
    fn delete_block(&mut self, pick: u64) {
        let ledger = self.server.object(&Key::Ledger).and_then(|object| object.body.ledger());
        if ledger.is_some_and(|ledger| ledger.recovery.is_some()) {
            return;
        }
        let blocks: Vec<_> = self
            .server
            .objects()
            .filter(|object| matches!(object.key, Key::Block(_)))
            .map(|object| object.key.clone())
            .collect();
        let Some(at) = pick.checked_rem(blocks.len() as u64) else { return };
        let Some(key) = usize::try_from(at).ok().and_then(|at| blocks.get(at)) else { return };
        self.server.remove(key);
        self.lost(false);
    }
}

fn some<T>(all: &[T], from: u64, count: u64) -> impl Iterator<Item = &T> {
    let start = from.checked_rem(all.len() as u64).unwrap_or(0);
    let start = usize::try_from(start).unwrap_or(0);
    all.iter().skip(start).take(usize::try_from(count).unwrap_or(1))
}
