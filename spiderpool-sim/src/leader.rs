//! Those who reclaim: a leader, at times two, who look at intervals and free what nobody has.
//!
//! A slot is freed when two looks some time apart agree that its holder is gone, the node confirms
//! that no container is left, and a live read finds the same generation. A [`Leader`] keeps what it
//! saw; the world answers its questions and does what it says.

use crate::machine::Machine;
use crate::runtime::{Life, Phase};
use crate::saboteur::Bug;
use crate::truth::block_of;
use crate::wire::Sender;
use crate::world::{EPOCH_MS, Happening, World};
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Held, Sheet, Slot};
use spiderpool_kube::cluster::object::{Body, Endpoint, EndpointFacts, EndpointKey, Key, Pointer};
use spiderpool_kube::cluster::port::Request;
use std::collections::BTreeMap;

/// How often a leader looks, in milliseconds.
const LOOK_EVERY_MS: u64 = 15_000;

/// How long a holder has to be gone before its slot is freed, in milliseconds: longer than any ADD
/// can be under way.
const GONE_FOR_MS: u64 = 60_000;

/// What a leader has seen.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    seen: BTreeMap<Place, Sight>,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    generation: u64,
    since: u64,
    looks: u32,
}

/// A slot that is to be freed.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    key: BlockKey,
    slot: u8,
    held: Held,
}

impl<M: Machine> World<'_, M> {
    /// A leader looks at every block.
    pub(crate) fn look(&mut self, at: usize) {
        let delay = LOOK_EVERY_MS + self.chance.below(1_000);
        self.after(delay, Happening::Look(at));
        if self.now < self.skies.away_until {
            return;
        }
        *self.counts.requests.entry("list blocks").or_default() += 1;
        self.forget_identities();
        self.project();
        self.finish_pools();
        let gone = self.gone();
        let now = self.now;
        let hasty = self.bug == Some(Bug::OneLook);
        let Some(leader) = self.leaders.get_mut(at) else { return };
        let mut seen = BTreeMap::new();
        let mut jobs = Vec::new();
        for (place, job) in gone {
            let generation = job.held.generation;
            let known = leader.seen.get(&place).filter(|sight| sight.generation == generation);
            let mut sight = known.copied().unwrap_or(Sight { generation, since: now, looks: 0 });
            sight.looks += 1;
            if hasty || (sight.looks >= 2 && now >= sight.since + GONE_FOR_MS) {
                jobs.push(job);
            }
            seen.insert(place, sight);
        }
        leader.seen = seen;
        for job in jobs {
            let delay = self.chance.between(5, 2_000);
            self.after(delay, Happening::Free { claim: Box::new(job) });
        }
    }

    /// Every slot whose holder seems to be gone.
    fn gone(&self) -> Vec<(Place, Job)> {
        let mut gone = Vec::new();
        for object in self.server.objects() {
            let (Key::Block(key), Body::Block(block)) = (&object.key, &object.body) else {
                continue;
            };
            for (slot, state) in &block.sheet.slots {
                let Slot::Allocated(held) = state else { continue };
                let place = Place { space: key.space.clone(), address: key.address(*slot) };
                if self.is_gone(&place, held) {
                    let (key, held) = (key.clone(), Held::clone(held));
                    gone.push((place, Job { key, slot: *slot, held }));
                }
            }
        }
        gone
    }

    fn is_gone(&self, place: &Place, held: &Held) -> bool {
        if self.bug == Some(Bug::OneLook) {
            let pod = held.holder.pod_uid.as_ref().and_then(|uid| self.by_uid.get(uid));
            return pod.is_some_and(|pod| self.is_absent(*pod));
        }
        let abandoned = match self.identity_of(held) {
            Some(identity) => !self.is_valid(&identity) || !self.names_slot(&identity, place),
            None => true,
        };
        abandoned && !self.may_live(held)
    }

    fn is_absent(&self, pod: usize) -> bool {
        self.pods.get(pod).is_none_or(|pod| pod.life == Life::Gone)
    }

    /// The static identity that has a slot, as the name of its endpoint.
    fn identity_of(&self, held: &Held) -> Option<EndpointKey> {
        let rest = held.holder.owner.as_str().strip_prefix("identity/")?;
        let (_, name) = rest.split_once('/')?;
        let name = Name::new(name).ok()?;
        Some(EndpointKey { namespace: self.definitions.namespace.clone(), name })
    }

    /// Whether a StatefulSet still wants an identity: `setN-M` with M below its size.
    pub(crate) fn is_valid(&self, identity: &EndpointKey) -> bool {
        let parts = identity.name.strip_prefix("set").and_then(|rest| rest.split_once('-'));
        let Some((set, number)) = parts else { return false };
        let (Ok(set), Ok(number)) = (set.parse::<usize>(), number.parse::<u32>()) else {
            return false;
        };
        self.sets.get(set).is_some_and(|set| number < set.replicas)
    }

    /// Whether an identity's endpoint names a slot.
    pub(crate) fn names_slot(&self, identity: &EndpointKey, place: &Place) -> bool {
        match self.server.object(&Key::Endpoint(identity.clone())).map(|object| &object.body) {
            Some(Body::Endpoint(endpoint)) => {
                endpoint.slots.iter().any(|pointer| pointer.place == *place)
            }
            _ => false,
        }
    }

    /// Whether a container may be there: the node says so, or cannot be asked.
    fn may_live(&self, held: &Held) -> bool {
        let Some(container) = &held.holder.container else { return false };
        let sandbox = self.by_container.get(container).and_then(|at| self.sandboxes.get(*at));
        if sandbox.is_some_and(|sandbox| sandbox.phase == Phase::Gone) {
            return false;
        }
        let there = sandbox.is_some_and(|sandbox| {
            self.hosts.get(sandbox.host).is_some_and(|host| !host.demolished)
        });
        if there {
            return true;
        }
        let of_node = self.hosts.iter().filter(|host| host.node == held.holder.node);
        let mut standing = of_node.filter(|host| !host.demolished);
        standing.any(|host| !host.is_reachable(self.now))
    }

    /// A leader frees a slot: a live read, then a write at the revision just read.
    pub(crate) fn free(&mut self, job: &Job) {
        if self.now < self.skies.away_until {
            return;
        }
        *self.counts.requests.entry("read block").or_default() += 1;
        let place = Place { space: job.key.space.clone(), address: job.key.address(job.slot) };
        let key = Key::Block(job.key.clone());
        let Some(object) = self.server.object(&key) else { return };
        let (base, was) = (object.meta.revision, object.body.clone());
        let Body::Block(block) = &was else { return };
        let Some(Slot::Allocated(held)) = block.sheet.slots.get(&job.slot) else { return };
        let careless = matches!(self.bug, Some(Bug::GenerationDropped | Bug::OneLook));
        let same = held.generation == job.held.generation && self.is_gone(&place, held);
        if !careless && !same {
            return;
        }
        let mut block = block.clone();
        self.release(&mut block.sheet, job.slot, held);
        self.counts.reclaimed += 1;
        let body = Body::Block(block);
        self.send(Sender::Leader, 0, Request::Replace { key, base, was, body });
    }

    fn release(&self, sheet: &mut Sheet, slot: u8, held: &Held) {
        sheet.commits += 1;
        sheet.slots.remove(&slot);
        if self.definitions.rests(&held.placement.pool) {
            sheet.slots.insert(slot, Slot::Resting { since_ms: EPOCH_MS + self.now });
        }
    }

    /// Endpoints of ordinary pods are made to say what the blocks say.
    fn project(&mut self) {
        let mut slots: BTreeMap<usize, Vec<Pointer>> = BTreeMap::new();
        for object in self.server.objects() {
            let (Key::Block(key), Body::Block(block)) = (&object.key, &object.body) else {
                continue;
            };
            for (slot, state) in &block.sheet.slots {
                let Slot::Allocated(held) = state else { continue };
                let pod = held.holder.pod_uid.as_ref().and_then(|uid| self.by_uid.get(uid));
                let Some(pod) = pod.filter(|_| !held.holder.owner.is_static()) else { continue };
                let place = Place { space: key.space.clone(), address: key.address(*slot) };
                let attachment = held.placement.attachment.clone();
                slots.entry(*pod).or_default().push(Pointer { attachment, place });
            }
        }
        for pod in 0..self.pods.len() {
            let slots = slots.remove(&pod).unwrap_or_default();
            self.project_pod(pod, slots);
        }
    }

    fn project_pod(&mut self, at: usize, slots: Vec<Pointer>) {
        let Some(pod) = self.pods.get(at).filter(|pod| pod.set.is_none()) else { return };
        let key = Key::Endpoint(pod.key.clone());
        let present = self.server.object(&key).and_then(|object| object.body.endpoint());
        let theirs = present.is_some_and(|endpoint| endpoint.facts.pod_uid != *pod.uid);
        if pod.life == Life::Gone || slots.is_empty() {
            if present.is_some() && !theirs {
                self.server.remove(&key);
            }
            return;
        }
        let node = self.hosts.get(pod.host).map(|host| host.node.as_str()).unwrap_or_default();
        let says_so = |Endpoint { facts, slots: known }: &Endpoint| {
            *known == slots
                && (&facts.key, &*facts.node) == (&pod.key, node)
                && *facts.pod_uid == *pod.uid
                && (&*facts.owner_kind, &*facts.owner_name) == ("Pod", pod.key.name.as_str())
        };
        if present.is_some_and(says_so) {
            return;
        }
        let facts = EndpointFacts {
            key: pod.key.clone(),
            pod_uid: pod.uid.to_string(),
            node: node.to_owned(),
            owner_kind: "Pod".to_owned(),
            owner_name: pod.key.name.to_string(),
        };
        self.server.put(&key, Body::Endpoint(Endpoint { facts, slots }), 1);
    }

    /// Endpoints of identities that have become invalid go before their slots do.
    fn forget_identities(&mut self) {
        let invalid = self.server.objects().filter_map(|object| {
            let endpoint = object.body.endpoint();
            endpoint.filter(|of| of.facts.owner_kind == "StatefulSet").and_then(|endpoint| {
                let key = &endpoint.facts.key;
                let free = endpoint.slots.iter().all(|pointer| {
                    let (block, slot) = block_of(&pointer.place);
                    match self.sheet(&block).and_then(|sheet| sheet.slots.get(&slot)) {
                        Some(Slot::Allocated(held)) => !self.may_live(held),
                        _ => true,
                    }
                });
                (!self.is_valid(key) && free).then(|| object.key.clone())
            })
        });
        let invalid: Vec<_> = invalid.collect();
        for key in invalid {
            self.server.remove(&key);
        }
    }
}
