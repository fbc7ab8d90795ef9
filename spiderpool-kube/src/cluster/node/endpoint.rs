//! The endpoint of a static identity: the slots that it names are where the identity is looked for.
//!
//! The endpoint is written first, as an intent that grants nothing; then the block. Whoever asks next
//! follows it, or has it name another slot by compare-and-swap. A slot that is held and not named is an
//! orphan. Whoever was given a slot reads the endpoint once more before the reply: if it names another
//! one, somebody else was faster, and the slot is given back.

use super::read::{Question, Read};
use super::run::{Progress, Run, RunId};
use super::{Node, Purpose, Waiter};
use crate::cluster::object::{Body, Endpoint, EndpointFacts, EndpointKey, Key, Meta, Pointer};
use crate::cluster::port::{Fault, Outcome, Request};
use spiderpool_core::address::Family;
use spiderpool_core::command::{Allocated, Command, Place};
use spiderpool_core::event::{Event, Grant};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::BlockKey;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What a run knows and did of its identity's endpoint.
#[derive(Debug, Default)]
pub(super) struct Pointed {
    key: Option<EndpointKey>,
    /// The endpoint as it was last read or written; `None` before that.
    seen: Option<Option<(Meta, Endpoint)>>,
    /// A write of it is under way.
    writing: bool,
    /// What it is to name when that write is done.
    wanted: Option<Endpoint>,
    /// Places that it may name and that this run gives up or found not to be held.
    stale: BTreeSet<Place>,
    /// The address that the request names since the endpoint does.
    following: Option<IpAddr>,
    /// Whether the endpoint is not followed any more.
    strays: bool,
    /// How often it was written.
    tries: u32,
}

/// How often a run writes its identity's endpoint before it gives way to others.
const WRITES_MAX: u32 = 16;

impl Pointed {
    /// Drops the address that was only asked for since the endpoint names it.
    pub(super) fn stop_following(&mut self, command: &mut Command) -> bool {
        let (Some(address), Command::Allocate(request)) = (self.following.take(), command) else {
            return false;
        };
        request.named.retain(|named| *named != address);
        self.strays = true;
        true
    }

    fn slots(&self) -> &[Pointer] {
        match &self.seen {
            Some(Some((_, endpoint))) => &endpoint.slots,
            Some(None) | None => &[],
        }
    }
}

/// The endpoint of an identity: `identity/NAMESPACE/NAME`.
pub(super) fn endpoint_key(owner: &str) -> Option<EndpointKey> {
    let (namespace, name) = owner.strip_prefix("identity/")?.split_once('/')?;
    Some(EndpointKey { namespace: Name::new(namespace).ok()?, name: Name::new(name).ok()? })
}

impl Node {
    /// The blocks that the endpoint of an identity names, by a quorum read.
    pub(super) fn read_endpoint(
        &mut self,
        id: RunId,
        run: &mut Run,
        owner: &Owner,
        since: u64,
    ) -> Option<BTreeSet<BlockKey>> {
        let Some(key) = endpoint_key(owner.as_str()) else { return Some(BTreeSet::new()) };
        self.see_endpoint(id, run, key, since)?;
        let view = run.transaction.view();
        let block = |pointer: &Pointer| {
            let family = Family::of(pointer.place.address);
            let size = view.block_size(&pointer.place.space, family);
            BlockKey::of(&pointer.place.space, pointer.place.address, size)
        };
        Some(run.pointed.slots().iter().map(block).collect())
    }

    fn see_endpoint(
        &mut self,
        id: RunId,
        run: &mut Run,
        key: EndpointKey,
        since: u64,
    ) -> Option<()> {
        let read =
            self.read(Question::Object(Key::Endpoint(key.clone())), since, &Waiter::Run(id))?;
        run.pointed.key = Some(key);
        run.pointed.seen = Some(match read {
            Read::Object(object) => {
                object.body.endpoint().map(|endpoint| (object.meta, endpoint.clone()))
            }
            Read::Meta(_) | Read::Absent | Read::Objects => None,
        });
        Some(())
    }

    /// Asks for the address that the endpoint names: when the identity holds none, since somebody may be
    /// about to hold it, and when it holds two.
    pub(super) fn follow(&mut self, run: &mut Run, owner: &Owner) {
        let Command::Allocate(request) = &mut run.command else { return };
        if !owner.is_static() || run.pointed.strays || run.pointed.following.is_some() {
            return;
        }
        let Ok(held) = run.transaction.view().held_by(owner) else { return };
        let held: Vec<Pointer> = held
            .iter()
            .map(|found| Pointer {
                attachment: found.allocation.placement.attachment.clone(),
                place: Place { space: found.key.space.clone(), address: found.address() },
            })
            .collect();
        let is_held = |pointer: &Pointer| held.iter().any(|held| held.place == pointer.place);
        let dangling = run.pointed.slots().iter().filter(|pointer| !is_held(pointer));
        let dangling: Vec<Place> = dangling.map(|pointer| pointer.place.clone()).collect();
        let wanted = run.pointed.slots().iter().find(|pointer| {
            let family = Family::of(pointer.place.address);
            let rivals = held.iter().filter(|held| is_same(held, pointer)).count();
            (rivals == 0 || (rivals > 1 && is_held(pointer)))
                && pointer.attachment == request.attachment
                && request.named.iter().all(|named| Family::of(*named) != family)
        });
        let wanted = wanted.map(|pointer| pointer.place.address);
        run.pointed.stale.extend(dangling);
        if let Some(address) = wanted {
            request.named.push(address);
            run.pointed.following = Some(address);
            let moment = Moment { seed: self.moment.draw(self.counter), ..self.moment };
            run.restart(moment);
        }
    }

    /// Has the endpoint name what a write is about to hold, and name no more what it frees.
    pub(super) fn point_before(
        &mut self,
        id: RunId,
        run: &mut Run,
        (key, events): (&BlockKey, &[Event]),
    ) -> Progress {
        let place = |slot: u8| Place { space: key.space.clone(), address: key.address(slot) };
        let mut holds = Vec::new();
        let mut frees = BTreeSet::new();
        let mut identity = None;
        for event in events {
            if let Event::Granted { slot, grant } = event
                && grant.holder.owner.is_static()
            {
                identity = Some(grant.holder.owner.to_string());
                holds.push(pointer(grant, place(*slot)));
            } else if let Event::Freed { slot, generation, .. } = event {
                let view = run.transaction.view();
                let block = view.block(key, None).ok().flatten();
                let held = block.and_then(|block| block.allocation(*slot));
                let held = held.filter(|held| held.generation == *generation);
                if let Some(held) = held.filter(|held| held.owner.starts_with("identity/")) {
                    identity = Some(held.owner.to_owned());
                    frees.insert(place(*slot));
                }
            }
        }
        let Some(endpoint) = identity.as_deref().and_then(endpoint_key) else {
            return Progress::Made;
        };
        if run.pointed.key.as_ref() != Some(&endpoint) || run.pointed.seen.is_none() {
            let since = *run.since.get_or_insert(self.counter);
            if self.see_endpoint(id, run, endpoint, since).is_none() {
                return Progress::Waits;
            }
        }
        run.pointed.stale.extend(frees.iter().cloned());
        let mut slots = run.pointed.slots().to_vec();
        let before = slots.clone();
        for hold in holds {
            let family = Family::of(hold.place.address);
            let same = |pointer: &Pointer| {
                pointer.attachment == hold.attachment && Family::of(pointer.place.address) == family
            };
            match slots.iter_mut().find(|pointer| same(pointer)) {
                Some(pointer) if run.pointed.stale.contains(&pointer.place) => *pointer = hold,
                // It is held, and named until the new one is.
                Some(_) => {}
                None => slots.push(hold),
            }
        }
        // What is only taken back another container of the identity may have come to meanwhile.
        slots.retain(|pointer| run.undoing || !frees.contains(&pointer.place));
        if slots == before {
            return Progress::Made;
        }
        self.point(id, run, slots)
    }

    /// After the hold: the endpoint has to name what the run was given.
    pub(super) fn point_after(
        &mut self,
        id: RunId,
        run: &mut Run,
        allocated: &Allocated,
    ) -> Result<Progress, Fault> {
        let Command::Allocate(request) = &run.command else { return Ok(Progress::Made) };
        let Some(key) = endpoint_key(request.holder.owner.as_str()) else {
            return Ok(Progress::Made);
        };
        if run.pointed.writing {
            return Ok(Progress::Waits);
        }
        let since = *run.since.get_or_insert(self.counter);
        if self.see_endpoint(id, run, key, since).is_none() {
            return Ok(Progress::Waits);
        }
        let mut slots = run.pointed.slots().to_vec();
        let before = slots.clone();
        for granted in &allocated.addresses {
            let place = Place { space: granted.space.clone(), address: granted.address.addr() };
            let attachment = granted.demand.attachment.clone();
            let ours = Pointer { attachment, place };
            if slots.contains(&ours) {
                continue;
            }
            let same = |pointer: &Pointer| {
                Family::of(pointer.place.address) == granted.demand.family
                    && pointer.attachment == ours.attachment
            };
            match slots.iter_mut().find(|pointer| same(pointer) || pointer.place == ours.place) {
                Some(pointer) if pointer.place == ours.place => *pointer = ours,
                Some(pointer) if run.pointed.stale.contains(&pointer.place) => *pointer = ours,
                Some(_) => return Err(Fault::Contended { attempts: 1 }),
                None => slots.push(ours),
            }
        }
        if slots == before {
            return Ok(Progress::Made);
        }
        run.since = None;
        Ok(self.point(id, run, slots))
    }

    /// Writes the endpoint; the run goes on when that is done.
    fn point(&mut self, id: RunId, run: &mut Run, slots: Vec<Pointer>) -> Progress {
        if run.pointed.writing {
            return Progress::Waits;
        }
        let Some(key) = run.pointed.key.clone() else { return Progress::Made };
        let request = match run.pointed.seen.clone().flatten() {
            Some((meta, was)) => {
                let endpoint = Endpoint { slots, ..was.clone() };
                run.pointed.wanted = Some(endpoint.clone());
                Request::Replace {
                    key: Key::Endpoint(key),
                    base: meta.revision,
                    was: Body::Endpoint(was),
                    body: Body::Endpoint(endpoint),
                }
            }
            None if slots.is_empty() => return Progress::Made,
            None => {
                let facts = run.endpoint.clone().unwrap_or_else(|| facts_of(&key, &run.command));
                let endpoint = Endpoint { facts, slots };
                run.pointed.wanted = Some(endpoint.clone());
                Request::Create { key: Key::Endpoint(key), body: Body::Endpoint(endpoint) }
            }
        };
        run.pointed.writing = true;
        self.call(Purpose::Endpoint(id), request);
        Progress::Waits
    }

    pub(super) fn endpoint_reply(&mut self, id: RunId, outcome: Outcome) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.pointed.writing = false;
        run.pointed.tries += 1;
        let attempts = run.pointed.tries;
        if attempts >= WRITES_MAX {
            return self.abort(id, Fault::Contended { attempts });
        }
        let wanted = run.pointed.wanted.take();
        match outcome {
            Outcome::Done(meta) => run.pointed.seen = wanted.map(|endpoint| Some((meta, endpoint))),
            Outcome::Refused { why } => {
                if let Some(key) = run.pointed.key.clone() {
                    let object = Key::Endpoint(key);
                    self.abort(id, Fault::Forbidden { object, why });
                }
                return;
            }
            // Read again; a write at the revision that is read then shuts out one that is late.
            Outcome::Conflict
            | Outcome::Missing
            | Outcome::Unknown
            | Outcome::Found(_)
            | Outcome::Meta(_)
            | Outcome::Absent
            | Outcome::Objects(_) => run.pointed.seen = None,
        }
        run.since = None;
        self.ready.push_back(Waiter::Run(id));
    }
}

/// Whether two pointers are for one attachment and family.
pub(super) fn is_same(one: &Pointer, two: &Pointer) -> bool {
    let family = |pointer: &Pointer| Family::of(pointer.place.address);
    one.attachment == two.attachment && family(one) == family(two)
}

fn pointer(grant: &Grant, place: Place) -> Pointer {
    Pointer { attachment: grant.placement.attachment.clone(), place }
}

/// What a new endpoint says when nobody said more.
fn facts_of(key: &EndpointKey, command: &Command) -> EndpointFacts {
    let (mut pod_uid, mut node) = (String::new(), String::new());
    if let Command::Allocate(request) = command {
        pod_uid = request.holder.pod_uid.as_ref().map(ToString::to_string).unwrap_or_default();
        node = request.holder.node.to_string();
    } else if let Command::Hold(hold) = command {
        node = hold.node.to_string();
    }
    EndpointFacts {
        key: key.clone(),
        pod_uid,
        node,
        owner_kind: "Pod".to_owned(),
        owner_name: key.name.to_string(),
    }
}
