//! Endpoints of static identities after a restore: they name what an identity had before it came to what
//! its container has now. Whoever writes that back has them name it again, and frees what they named.

use super::claim::CLASH_MS;
use super::endpoint::{endpoint_key, is_same};
use super::read::{Question, Read};
use super::recover::Claims;
use super::{Node, Progress, Purpose, Waiter};
use crate::cluster::object::{Body, Endpoint, EndpointFacts, Key, Meta, Pointer};
use crate::cluster::port::{CallId, Outcome, Request};
use crate::cluster::record::Told;
use spiderpool_core::address::bits;
use spiderpool_core::command::Place;
use spiderpool_core::event::{Ending, Event};
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::{Allocation, Block, BlockKey, BlockSize};
use std::collections::{BTreeMap, BTreeSet};

/// Writes of endpoints that are under way, and the call that reads have to be newer than.
#[derive(Debug, Default)]
pub(super) struct Repointing {
    under_way: usize,
    since: CallId,
    /// What identities had before what is to stand instead, as long as a container on another node has it:
    /// once that is given up, its generation is a new one.
    earlier: BTreeSet<Place>,
    /// Until when the nodes that have it are waited for, in milliseconds since the Unix epoch.
    until_ms: Option<u64>,
}

/// What an endpoint has to name, and what its container was told of it.
type Named = (Pointer, Told);

/// An endpoint that names something else than what containers of this node were told.
#[derive(Debug)]
pub(super) struct Mismatch {
    owner: Owner,
    was: Option<(Meta, Endpoint)>,
    wanted: Endpoint,
    named: Vec<Named>,
}

impl Mismatch {
    /// What it names wrongly, with what is to stand instead.
    fn strays(&self) -> impl Iterator<Item = (&Place, &Named)> {
        let was = self.was.iter().flat_map(|(_, was)| &was.slots);
        was.filter_map(|pointer| {
            let ours = self.named.iter().find(|(ours, _)| is_same(ours, pointer))?;
            (ours.0 != *pointer).then_some((&pointer.place, ours))
        })
    }

    /// The blocks of those.
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockKey> {
        self.strays().map(|(place, _)| block_of(place))
    }

    /// What the identity has of those in their block, and whether it came to that before what is to stand
    /// instead: by generations where one block tells, else by the clocks.
    fn held<'a>(
        &self,
        key: &BlockKey,
        block: &'a Block,
    ) -> impl Iterator<Item = (Allocation<'a>, bool)> {
        let here = self.strays().filter(|(place, _)| block_of(place) == *key);
        let held = here.filter_map(|(place, (ours, told))| {
            let held = block.allocation(key.slot(bits(place.address)))?;
            let is_earlier = match block_of(&ours.place) == *key {
                true => held.generation < told.generation,
                false => held.since_ms < told.since_ms,
            };
            Some((held, is_earlier))
        });
        held.filter(|(held, _)| held.owner == self.owner.as_str())
    }
}

impl Node {
    /// The endpoints of this node's static identities that name something else; `None` while they are read.
    pub(super) fn mismatches(&mut self, claims: &Claims, since: CallId) -> Option<Vec<Mismatch>> {
        if self.recovering.repointing.under_way > 0 {
            return None;
        }
        let since = since.max(self.recovering.repointing.since);
        let mut waits = false;
        let mut found = Vec::new();
        for (owner, (facts, named)) in self.named(claims) {
            let question = Question::Object(Key::Endpoint(facts.key.clone()));
            let Some(read) = self.read(question, since, &Waiter::Recovery) else {
                waits = true;
                continue;
            };
            let was = match read {
                Read::Object(object) => {
                    object.body.endpoint().map(|endpoint| (object.meta, endpoint.clone()))
                }
                Read::Meta(_) | Read::Absent | Read::Objects => None,
            };
            let mut wanted = was.as_ref().map_or_else(
                || Endpoint { facts, slots: Vec::new() },
                |(_, endpoint)| endpoint.clone(),
            );
            for (ours, _) in &named {
                match wanted.slots.iter_mut().find(|pointer| is_same(ours, pointer)) {
                    Some(pointer) => *pointer = ours.clone(),
                    None => wanted.slots.push(ours.clone()),
                }
            }
            if was.as_ref().is_none_or(|(_, was)| *was != wanted) {
                found.push(Mismatch { owner, was, wanted, named });
            }
        }
        (!waits).then_some(found)
    }

    /// For each static identity what its endpoint has to name, by what its containers here were told last.
    fn named(&self, claims: &Claims) -> BTreeMap<Owner, (EndpointFacts, Vec<Named>)> {
        let mut told: Vec<_> = claims.values().flatten().collect();
        told.sort_unstable_by_key(|(.., told)| (told.since_ms, told.generation));
        let mut all = BTreeMap::new();
        for (_, owner, place, told) in told {
            let Some(key) = endpoint_key(owner.as_str()) else { continue };
            let facts = EndpointFacts {
                pod_uid: told.pod_uid.as_ref().map(ToString::to_string).unwrap_or_default(),
                node: self.name.to_string(),
                owner_kind: "Pod".to_owned(),
                owner_name: key.name.to_string(),
                key,
            };
            let (known, named): &mut (_, Vec<Named>) =
                all.entry(owner.clone()).or_insert_with(|| (facts.clone(), Vec::new()));
            *known = facts;
            let attachment = told.placement.attachment.clone();
            let ours = Pointer { attachment, place: place.clone() };
            named.retain(|(earlier, _)| !is_same(&ours, earlier));
            named.push((ours, told.clone()));
        }
        all
    }

    /// The events that free what endpoints name wrongly. What a container on another node has of it is that
    /// node's to give up: then the block is disputed.
    pub(super) fn freed_strays(
        &mut self,
        key: &BlockKey,
        block: Option<&Block>,
        mismatches: &[Mismatch],
    ) -> Vec<Event> {
        let Some(block) = block else { return Vec::new() };
        let held = mismatches.iter().flat_map(|mismatch| mismatch.held(key, block));
        let (ours, theirs): (Vec<_>, Vec<_>) =
            held.partition(|(held, _)| held.container.is_empty() || *held.node == *self.name);
        if let Some((held, _)) = theirs.first() {
            let owner = held.owner;
            self.dispute(key.clone(), format!("{owner} has two addresses in block {key}"));
        }
        let place = |slot: u8| Place { space: key.space.clone(), address: key.address(slot) };
        let earlier = &mut self.recovering.repointing.earlier;
        let new = theirs.iter().filter(|(_, is_earlier)| *is_earlier);
        earlier.extend(new.map(|(held, _)| place(held.slot)));
        let known = |slot: u8| earlier.contains(&place(slot));
        let at_ms = self.moment.now_ms;
        let freed = |held: Allocation<'_>| Event::Freed {
            slot: held.slot,
            generation: held.generation,
            at_ms,
            rests: false,
            ending: Ending::Reclaimed,
        };
        let ours = ours.into_iter().filter(|(held, is_earlier)| *is_earlier || known(held.slot));
        ours.map(|(held, _)| freed(held)).collect()
    }

    /// Has endpoints name what this node's containers have, unless their identity has what they name; and
    /// whether another node may still give that up.
    pub(super) fn repoint(&mut self, mismatches: Vec<Mismatch>, since: CallId) -> (Progress, bool) {
        let mut progress = Progress::Made;
        let mut patient = false;
        for mismatch in mismatches {
            let blocks: BTreeSet<_> = mismatch.blocks().collect();
            let mut stands = false;
            for key in blocks {
                match self.settled_block(&key, since) {
                    None => return (Progress::Waits, false),
                    Some((Some(block), _)) => {
                        stands |= mismatch.held(&key, &block).next().is_some();
                    }
                    Some((None, _)) => {}
                }
            }
            if stands {
                patient |= self.is_patient(&mismatch);
                continue;
            }
            let key = Key::Endpoint(mismatch.wanted.facts.key.clone());
            let purpose = Purpose::Repoint(key.clone());
            let body = Body::Endpoint(mismatch.wanted);
            let request = match mismatch.was {
                Some((meta, was)) => {
                    Request::Replace { key, base: meta.revision, was: Body::Endpoint(was), body }
                }
                None => Request::Create { key, body },
            };
            self.call(purpose, request);
            self.recovering.repointing.under_way += 1;
            progress = Progress::Waits;
        }
        (progress, patient)
    }

    /// Whether what an endpoint names may be given up within a while.
    fn is_patient(&mut self, mismatch: &Mismatch) -> bool {
        let now_ms = self.moment.now_ms;
        let repointing = &mut self.recovering.repointing;
        let until_ms = repointing.until_ms.get_or_insert(now_ms.saturating_add(CLASH_MS));
        // The clock may have been set back.
        *until_ms = (*until_ms).min(now_ms.saturating_add(CLASH_MS));
        let is_earlier = |(place, _): (&Place, &Named)| repointing.earlier.contains(place);
        now_ms < *until_ms && mismatch.strays().any(is_earlier)
    }

    pub(super) fn repoint_reply(&mut self, key: &Key, outcome: &Outcome) {
        let repointing = &mut self.recovering.repointing;
        repointing.under_way -= 1;
        repointing.since = self.counter;
        if let Outcome::Refused { why } = outcome {
            self.assertion_refused(key, why);
        }
        self.ready.push_back(Waiter::Recovery);
    }
}

fn block_of(place: &Place) -> BlockKey {
    BlockKey::of(&place.space, place.address, BlockSize::DEFAULT)
}
