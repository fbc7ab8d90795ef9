//! A model of an API server: objects with one revision counter, compare-and-swap, merge.
//!
//! It is what a quorum of etcd is to its clients: requests take effect one after the other, at the
//! instant at which [`Server::execute`] is called. Latency, loss and delay are the wire's
//! (`wire`).
//!
//! Invariants:
//! 1. A write that is answered with a conflict, or that the object is gone, changed nothing
//!    (`a_conflict_changes_nothing`).
//! 2. What a replacement does not change, it leaves as it is on the server
//!    (`a_replacement_sends_only_what_differs`).

use spiderpool_core::event::Revision;
use spiderpool_core::slots::Slot;
use spiderpool_kube::cluster::object::{Body, Key, Listing, Meta, Object};
use spiderpool_kube::cluster::port::{Outcome, Request};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// All objects of a cluster, as far as the protocol knows them.
#[derive(Clone, Debug, Default)]
pub struct Server {
    objects: BTreeMap<Key, Arc<Object>>,
    revision: Revision,
}

/// A change that a request made.
#[derive(Debug)]
pub struct Commit {
    /// Of which object.
    pub key: Key,
    /// What it was before; `None` when it did not exist.
    pub before: Option<Arc<Object>>,
    /// Whether a replacement was computed from something else than what it replaced.
    pub mistaken: bool,
}

/// Whether a block would lose what its counters say: the validation of its custom resource.
fn goes_back(before: &Body, after: &Body) -> bool {
    let (Some(before), Some(after)) = (before.block(), after.block()) else { return false };
    let (before, after) = (&before.sheet, &after.sheet);
    before.incarnation == after.incarnation
        && (after.commits < before.commits || after.generation < before.generation)
}

impl Server {
    /// The counter of all changes.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// An object as it is.
    #[must_use]
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key).map(|object| &**object)
    }

    /// An object as it is, for whoever keeps it while others change it.
    #[must_use]
    pub fn shared(&self, key: &Key) -> Option<Arc<Object>> {
        self.objects.get(key).cloned()
    }

    /// Every object, by name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().map(|object| &**object)
    }

    /// Every definition, by name: the pools, the subnets, the reservations.
    fn definitions(&self) -> impl Iterator<Item = &Object> {
        // No other key comes before theirs.
        let is_one = |object: &&Object| {
            matches!(object.key, Key::Pool(_) | Key::Subnet(_) | Key::Reservation(_))
        };
        self.objects().take_while(is_one)
    }

    /// Every object that agents watch, by name.
    pub fn watched(&self) -> impl Iterator<Item = &Object> {
        self.definitions().chain(self.object(&Key::Ledger))
    }

    /// Every endpoint, by name.
    fn endpoints(&self) -> impl Iterator<Item = &Object> {
        // No other key comes after theirs.
        let range = (Bound::Excluded(Key::Ledger), Bound::Unbounded);
        self.objects.range(range).map(|(_, object)| &**object)
    }

    /// Does what a request asks; `lenient` drops the comparison of revisions.
    pub fn execute(&mut self, request: &Request, lenient: bool) -> (Outcome, Option<Commit>) {
        match request {
            Request::Read(key) => {
                let found = self.object(key);
                (found.map_or(Outcome::Absent, |o| Outcome::Found(Box::new(o.clone()))), None)
            }
            Request::ReadMeta(key) => {
                let found = self.objects.get(key);
                (found.map_or(Outcome::Absent, |object| Outcome::Meta(object.meta)), None)
            }
            Request::EndpointsOf(node) => {
                let of_node = |object: &&Object| {
                    let endpoint = object.body.endpoint();
                    endpoint.is_some_and(|endpoint| *endpoint.facts.node == **node)
                };
                let found = self.endpoints().filter(of_node).cloned().collect();
                (Outcome::Objects(found), None)
            }
            Request::Reservations => {
                let reservation = |object: &&Object| matches!(object.key, Key::Reservation(_));
                let found = self.definitions().filter(reservation).cloned().collect();
                (Outcome::Objects(found), None)
            }
            Request::Create { key, body } => self.create(key, body),
            Request::Replace { key, base, was, body } => {
                self.replace(key, (!lenient).then_some(*base), was, body)
            }
            Request::List { index, first, listing } => {
                self.list(&Key::Index(index.clone()), *first, *listing)
            }
        }
    }

    fn create(&mut self, key: &Key, body: &Body) -> (Outcome, Option<Commit>) {
        if self.objects.contains_key(key) {
            return (Outcome::Conflict, None);
        }
        let meta = self.put(key, body.clone(), 1);
        let commit = Commit { key: key.clone(), before: None, mistaken: false };
        (Outcome::Done(meta), Some(commit))
    }

    fn replace(
        &mut self,
        key: &Key,
        base: Option<Revision>,
        was: &Body,
        body: &Body,
    ) -> (Outcome, Option<Commit>) {
        let Some(stored) = self.objects.get(key) else { return (Outcome::Missing, None) };
        if base.is_some_and(|base| base != stored.meta.revision) {
            return (Outcome::Conflict, None);
        }
        let mistaken = stored.body != *was;
        let merged = if mistaken { merge(&stored.body, was, body) } else { body.clone() };
        if merged == stored.body {
            return (Outcome::Done(stored.meta), None);
        }
        if goes_back(&stored.body, &merged) && base.is_some() {
            let why = "the block cannot go back".to_owned();
            return (Outcome::Refused { why }, None);
        }
        let generation = stored.meta.generation + 1;
        let (meta, before) = self.exchange(key, merged, generation);
        (Outcome::Done(meta), Some(Commit { key: key.clone(), before, mistaken }))
    }

    fn list(&mut self, key: &Key, first: u128, listing: Listing) -> (Outcome, Option<Commit>) {
        let stored = self.object(key);
        let known = stored.and_then(|object| object.body.index());
        if let (Some(object), Some(index)) = (stored, known)
            && index.blocks.get(&first) == Some(&listing)
        {
            return (Outcome::Done(object.meta), None);
        }
        let mut index = known.cloned().unwrap_or_default();
        index.blocks.insert(first, listing);
        let generation = stored.map_or(1, |object| object.meta.generation + 1);
        let (meta, before) = self.exchange(key, Body::Index(index), generation);
        (Outcome::Done(meta), Some(Commit { key: key.clone(), before, mistaken: false }))
    }

    /// Writes an object whatever is there, as people and other controllers do.
    pub fn put(&mut self, key: &Key, body: Body, generation: u64) -> Meta {
        self.exchange(key, body, generation).0
    }

    /// The same, and what was there.
    fn exchange(&mut self, key: &Key, body: Body, generation: u64) -> (Meta, Option<Arc<Object>>) {
        self.revision += 1;
        let deleting = matches!(&body, Body::Pool(pool) if pool.is_deleting());
        let meta = Meta { revision: self.revision, generation, deleting };
        let object = Arc::new(Object { key: key.clone(), meta, body });
        (meta, self.objects.insert(key.clone(), object))
    }

    /// Changes something of an object that is not the protocol's business, such as a label.
    pub fn touch(&mut self, key: &Key) -> bool {
        let Some(object) = self.objects.get_mut(key) else { return false };
        self.revision += 1;
        Arc::make_mut(object).meta.revision = self.revision;
        true
    }

    /// Takes an object away, finalizers and all.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let object = self.objects.remove(key)?;
        self.revision += 1;
        Some(object)
    }

    /// Goes back to what a copy holds; with `bumps` the counter goes on where it was, as by
    /// `etcdutl snapshot restore --bump-revision`.
    pub fn restore(&mut self, copy: &Self, bumps: bool) {
        self.objects.clone_from(&copy.objects);
        if !bumps {
            self.revision = copy.revision;
        }
    }
}

/// What a merge patch from `was` to `body` makes of something else.
fn merge(stored: &Body, was: &Body, body: &Body) -> Body {
    let (Body::Block(stored), Body::Block(was), Body::Block(body)) = (stored, was, body) else {
        return body.clone();
    };
    let mut merged = stored.clone();
    let (sheet, old, new) = (&mut merged.sheet, &was.sheet, &body.sheet);
    for slot in 0..new.size.slots() {
        let (before, after): (Option<&Slot>, Option<&Slot>) =
            (old.slots.get(&slot), new.slots.get(&slot));
        match after {
            _ if before == after => {}
            Some(state) => drop(sheet.slots.insert(slot, state.clone())),
            None => drop(sheet.slots.remove(&slot)),
        }
    }
    if old.commits != new.commits {
        sheet.commits = new.commits;
    }
    if old.generation != new.generation {
        sheet.generation = new.generation;
    }
    if old.incarnation != new.incarnation {
        sheet.incarnation = new.incarnation;
    }
    if was.listed != body.listed {
        merged.listed = body.listed;
    }
    Body::Block(merged)
}
