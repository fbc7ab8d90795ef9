//! A server in memory: compare-and-swap on single objects, and nothing else.

use spiderpool_kube::cluster::object::{Body, IndexKey, Key, Listing, Meta, Object};
use spiderpool_kube::cluster::port::{Outcome, Request};
use std::collections::BTreeMap;

/// Objects at their revisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) objects: BTreeMap<Key, (Meta, Body)>,
    pub(crate) revision: u64,
    /// How many requests of each kind were served.
    pub(crate) writes: u64,
    pub(crate) reads: u64,
    /// How many writes came too late.
    pub(crate) conflicts: u64,
}

impl Server {
    /// Puts an object in, as people do.
    pub(crate) fn put(&mut self, key: Key, body: Body) -> Object {
        self.revision += 1;
        let generation = self.objects.get(&key).map_or(1, |(meta, _)| meta.generation + 1);
        let meta = Meta { revision: self.revision, generation, deleting: false };
        self.objects.insert(key.clone(), (meta, body.clone()));
        Object { key, meta, body }
    }

    pub(crate) fn find(&self, key: &Key) -> Option<Object> {
        let (meta, body) = self.objects.get(key)?;
        Some(Object { key: key.clone(), meta: *meta, body: body.clone() })
    }

    /// Serves a request, whole.
    pub(crate) fn serve(&mut self, request: &Request) -> Outcome {
        match request {
            Request::Read(_)
            | Request::ReadMeta(_)
            | Request::EndpointsOf(_)
            | Request::Reservations => self.reads += 1,
            Request::Create { .. } | Request::Replace { .. } | Request::List { .. } => {
                self.writes += 1;
            }
        }
        match request {
            Request::Read(key) => {
                self.find(key).map_or(Outcome::Absent, |object| Outcome::Found(Box::new(object)))
            }
            Request::ReadMeta(key) => {
                self.find(key).map_or(Outcome::Absent, |object| Outcome::Meta(object.meta))
            }
            Request::Create { key, .. } if self.objects.contains_key(key) => {
                self.conflicts += 1;
                Outcome::Conflict
            }
            Request::Create { key, body } => {
                Outcome::Done(self.put(key.clone(), body.clone()).meta)
            }
            Request::Replace { key, base, body, .. } => match self.objects.get(key) {
                None => Outcome::Missing,
                Some((meta, _)) if meta.revision != *base => {
                    self.conflicts += 1;
                    Outcome::Conflict
                }
                Some(_) => Outcome::Done(self.put(key.clone(), body.clone()).meta),
            },
            Request::List { index, first, listing } => self.list(index, *first, *listing),
            Request::Reservations => {
                let all = self.objects.keys().filter(|key| matches!(key, Key::Reservation(_)));
                Outcome::Objects(all.filter_map(|key| self.find(key)).collect())
            }
            Request::EndpointsOf(node) => {
                let all = self.objects.keys().filter_map(|key| self.find(key));
                let on = |object: &Object| {
                    object.body.endpoint().is_some_and(|endpoint| endpoint.facts.node == **node)
                };
                Outcome::Objects(all.filter(on).collect())
            }
        }
    }

    fn list(&mut self, index: &IndexKey, first: u128, listing: Listing) -> Outcome {
        let key = Key::Index(index.clone());
        let known = self.objects.get(&key).and_then(|(_, body)| body.index().cloned());
        let mut shard = known.unwrap_or_default();
        if shard.blocks.insert(first, listing) == Some(listing) {
            // Nothing changes, so nothing is written.
            return Outcome::Done(
                self.objects.get(&key).map(|(meta, _)| *meta).unwrap_or_default(),
            );
        }
        Outcome::Done(self.put(key, Body::Index(shard)).meta)
    }
}
