//! What must hold after every step, judged by what live containers were told.
//!
//! 1. No address is told to two live containers.
//! 2. No reply without a durable grant: the block says so when the reply is given.
//! 3. No slot of a live container is freed, or passes to another container.
//! 4. A block's generations and commits never go back, but for a restored store.
//! 5. A static identity keeps its address for as long as it is valid.
//! 6. An address that was withdrawn, and was free after that, is told to nobody.
//! 7. A block is in the node's record before a write for a container is sent to it.
//! 8. A replacement is computed from what it replaces.
//! 9. Nobody raises a false alarm.
//! 10. A write whose reply was lost lands before its container's last answer, or never.
//!
//! What a lost store makes impossible to keep is excused narrowly: see `Truth::lost`.

use crate::machine::Machine;
use crate::runtime::Phase;
use crate::server::Commit;
use crate::wire::{LATENCY_MAX_MS, Sender};
use crate::world::World;
use spiderpool_core::command::{Allocated, Place};
use spiderpool_core::name::Name;
use spiderpool_core::request::Demand;
use spiderpool_core::slots::{BlockKey, BlockSize, Sheet, Slot};
use spiderpool_kube::cluster::object::{Body, Key, Ledger};
use spiderpool_kube::cluster::port::{Alarm, Change, Request};
use std::collections::{BTreeMap, BTreeSet};

/// How long after the server is back a restore has to be noticed, in milliseconds.
const NOTICED_WITHIN_MS: u64 = 30_000;

/// How many reads, one after the other, whoever has looked at the ledger may still wait for.
const ROUNDS: u64 = 4;

/// The most events that one write can carry: a few for each slot.
const EVENTS_MAX: u64 = 1_000;

/// What is true of a world besides its objects.
#[derive(Debug, Default)]
pub struct Truth {
    /// What live containers were told, by address.
    pub(crate) told: BTreeMap<Place, Vec<Tell>>,
    /// The same by container.
    pub(crate) places: BTreeMap<usize, Vec<Place>>,
    /// The address of each demand of a static identity.
    pub(crate) identities: BTreeMap<(String, Demand), Place>,
    /// Addresses that were withdrawn and free after that.
    pub(crate) withdrawn: BTreeSet<Place>,
    /// What the store last lost.
    pub(crate) loss: Option<Loss>,
    /// When the loss was first written down.
    pub(crate) noticed_at: Option<u64>,
    /// Whether the store ever went back.
    was_restored: bool,
    /// Addresses of which people were told that two hold them.
    pub(crate) reported: BTreeSet<Place>,
    /// Whether clocks disagreed when faults ceased.
    pub(crate) had_clocks_apart: bool,
    /// Nodes that were not ready at some time of the present recovery.
    pub(crate) left_out: BTreeSet<Name>,
    violation: Option<String>,
}

/// One address that one container was told.
#[derive(Clone, Debug)]
pub(crate) struct Tell {
    pub(crate) sandbox: usize,
    /// Whether the store has lost the grant, and what is still promised then.
    pub(crate) backing: Backing,
}

/// Something that the store lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// Whether it went back in time; otherwise a block was deleted.
    pub(crate) restored: bool,
    /// When it has to be noticed at the latest.
    pub(crate) until: u64,
}

/// What stands behind what a container was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Its block.
    Block,
    /// The record of its node, which writes it back; until that begins, others may be faster.
    Record,
    /// Nothing: the record was lost, too.
    Nothing,
}

impl Truth {
    /// Whether nothing was found to be wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.violation.is_none()
    }

    /// What was found to be wrong.
    #[must_use]
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn violated(&mut self, now: u64, what: &str) {
        self.violation.get_or_insert_with(|| format!("at {now} ms: {what}"));
    }

    /// Whether replies that rest on what the store has just lost are excused: until the loss is
    /// written down, whoever asked before it cannot know, and whoever looked just before may still
    /// answer.
    const fn is_blind(&self, now: u64) -> bool {
        match (self.loss, self.noticed_at) {
            (Some(loss), None) => now <= loss.until,
            (Some(_), Some(at)) => now <= at + ROUNDS * LATENCY_MAX_MS,
            (None, _) => false,
        }
    }

    /// Whether a clash with a grant that the store has lost is excused: after a restore, which none
    /// can know of whose own grants were not lost; never after a block was deleted, since the index
    /// tells of it.
    const fn may_clash(&self, now: u64) -> bool {
        matches!(self.loss, Some(Loss { restored: true, .. })) && self.is_blind(now)
    }

    pub(crate) fn alarmed(&mut self, now: u64, node: &str, alarm: &Alarm) {
        if self.loss.is_none() {
            self.violated(now, &format!("{node} raises a false alarm: {alarm}"));
        }
        if let Alarm::Clash { place, .. } = alarm {
            self.reported.insert(place.clone());
        }
    }
}

/// Which places a block has, by slot.
fn place(key: &BlockKey, slot: u8) -> Place {
    Place { space: key.space.clone(), address: key.address(slot) }
}

/// The slot of a place, with its block.
pub(crate) fn block_of(place: &Place) -> (BlockKey, u8) {
    let key = BlockKey::of(&place.space, place.address, BlockSize::DEFAULT);
    let number = match place.address {
        std::net::IpAddr::V4(v4) => u128::from(u32::from(v4)),
        std::net::IpAddr::V6(v6) => u128::from(v6),
    };
    let slot = key.slot(number);
    (key, slot)
}

impl<M: Machine> World<'_, M> {
    pub(crate) fn sheet(&self, key: &BlockKey) -> Option<&Sheet> {
        let object = self.server.object(&Key::Block(key.clone()))?;
        object.body.block().map(|block| &block.sheet)
    }

    pub(crate) fn violated(&mut self, what: &str) {
        self.truth.violated(self.now, what);
    }

    /// A live container is told its addresses.
    pub(crate) fn tell(&mut self, at: usize, attachment: &Name, allocated: &Allocated) {
        let mine = allocated.addresses.iter().filter(|g| g.demand.attachment == *attachment);
        let mut count = 0;
        for granted in mine {
            count += 1;
            let place = Place { space: granted.space.clone(), address: granted.address.addr() };
            let backing = self.backing(&place, at, granted.generation);
            let tell = Tell { sandbox: at, backing };
            self.check_alone(&place, at);
            self.check_identity(&place, at, &granted.demand);
            if !granted.kept && self.truth.withdrawn.contains(&place) {
                let address = place.address;
                self.violated(&format!("{address} is told although it was withdrawn"));
            }
            self.truth.places.entry(at).or_default().push(place.clone());
            let tells = self.truth.told.entry(place).or_default();
            tells.retain(|known| known.sandbox != at);
            tells.push(tell);
        }
        let wish = self.sandboxes.get(at).and_then(|s| self.pods.get(s.pod)).map(|pod| pod.wish);
        let wanted = if wish.is_some_and(|wish| wish.dual) { 2 } else { 1 };
        if count != wanted {
            self.violated(&format!("{attachment} got {count} addresses, {wanted} were asked for"));
        }
    }

    /// What stands behind a reply: its block. Only while a loss is not written down yet, or the node
    /// has still to write back what it told, is the node's record enough.
    fn backing(&mut self, place: &Place, at: usize, generation: u64) -> Backing {
        let (key, slot) = block_of(place);
        let sandbox = self.sandboxes.get(at);
        let container = sandbox.map(|sandbox| &sandbox.container);
        let found = self.sheet(&key).and_then(|sheet| sheet.slots.get(&slot));
        let holds = match found {
            Some(Slot::Allocated(held)) => {
                held.holder.container.as_ref() == container && held.generation == generation
            }
            _ => false,
        };
        if holds {
            return Backing::Block;
        }
        let host = sandbox.and_then(|sandbox| self.hosts.get(sandbox.host));
        let asserts = host.is_some_and(|host| self.has_to_assert(&host.node));
        // Between the last look and the reply the identity's other pod may take it over.
        let pod = sandbox.and_then(|sandbox| self.pods.get(sandbox.pod));
        let twin = match found {
            Some(Slot::Allocated(held)) => {
                pod.is_some_and(|pod| held.holder.owner == pod.owner()) && self.has_forced_twin(at)
            }
            _ => false,
        };
        if !asserts && !twin && !self.truth.is_blind(self.now) {
            let address = place.address;
            let text = format!(
                "{address} is told to {container:?} at generation {generation}, and the block says {found:?}"
            );
            self.violated(&text);
        }
        Backing::Record
    }

    /// Whether a recovery waits for a node.
    fn has_to_assert(&self, node: &Name) -> bool {
        let ledger = self.server.object(&Key::Ledger).and_then(|object| object.body.ledger());
        let recovery = ledger.and_then(|ledger| ledger.recovery.as_ref());
        recovery.is_some_and(|recovery| !recovery.asserted.contains(node))
    }

    /// A node's record was spoilt: what only it could write back has nothing behind it.
    pub(crate) fn spoilt(&mut self, host: usize) {
        let record = self.hosts.get(host).and_then(|host| host.disk.as_ref());
        for (place, tells) in &mut self.truth.told {
            for tell in tells.iter_mut().filter(|tell| tell.backing == Backing::Record) {
                let sandbox = self.sandboxes.get(tell.sandbox).filter(|s| s.host == host);
                let Some(sandbox) = sandbox else { continue };
                let trace = record.and_then(|record| record.trace(&sandbox.container));
                if trace.is_none_or(|trace| !trace.told.contains_key(place)) {
                    tell.backing = Backing::Nothing;
                }
            }
        }
    }

    fn check_alone(&mut self, place: &Place, at: usize) {
        let others = self.truth.told.get(place).cloned().unwrap_or_default();
        for other in others.iter().filter(|other| other.sandbox != at) {
            let excused = match other.backing {
                _ if self.truth.reported.contains(place) => true,
                Backing::Block => self.is_forced_twin(other.sandbox, at),
                // The other twin may have taken the address over, and given it up with itself.
                Backing::Record => {
                    self.truth.may_clash(self.now)
                        || self.has_forced_twin(other.sandbox)
                        || self.was_overtaken(place, other.sandbox)
                }
                Backing::Nothing => true,
            };
            if !excused {
                let name = |at: usize| self.sandboxes.get(at).map(|s| s.container.to_string());
                let (one, two) = (name(other.sandbox), name(at));
                let text = format!("{} is told to {one:?} and to {two:?}", place.address);
                self.violated(&text);
            }
        }
    }

    /// Whether nobody could tell from a block that the store had lost a grant: others were given as many in it
    /// before the node looked.
    fn was_overtaken(&self, place: &Place, at: usize) -> bool {
        let sandbox = self.sandboxes.get(at);
        let record = sandbox.and_then(|sandbox| self.hosts.get(sandbox.host)?.disk.as_ref());
        let trace = sandbox.zip(record).and_then(|(s, record)| record.trace(&s.container));
        let told = trace.and_then(|trace| trace.told.get(place));
        let sheet = self.sheet(&block_of(place).0);
        self.truth.was_restored
            && self.truth.noticed_at.is_none()
            && told.zip(sheet).is_some_and(|(told, sheet)| told.generation <= sheet.generation)
    }

    /// Whether two containers are a static identity's, and the pod of one was deleted by force:
    /// Kubernetes itself lets two of those run.
    fn is_forced_twin(&self, older: usize, newer: usize) -> bool {
        let pod = |at: usize| self.sandboxes.get(at).and_then(|s| self.pods.get(s.pod));
        let (Some(one), Some(two)) = (pod(older), pod(newer)) else { return false };
        (one.forced || two.forced) && one.set.is_some() && one.set == two.set
    }

    /// Whether a pod that was deleted by force runs on beside another of its identity.
    fn runs_with_twin(&self, at: usize) -> bool {
        let mut others = (0..self.sandboxes.len()).filter(|other| *other != at);
        others.any(|other| {
            self.sandboxes.get(other).is_some_and(|s| s.is_there())
                && self.is_forced_twin(other, at)
        })
    }

    /// Whether another pod has a static identity as well, since one of the two was deleted by force.
    pub(crate) fn has_forced_twin(&self, at: usize) -> bool {
        let Some(own) = self.sandboxes.get(at).map(|sandbox| sandbox.pod) else { return false };
        let Some(pod) = self.pods.get(own).filter(|pod| pod.set.is_some()) else { return false };
        let twin = |(other, of): (usize, &crate::runtime::Pod)| {
            other != own && of.set == pod.set && (of.forced || pod.forced)
        };
        self.pods.iter().enumerate().any(twin)
    }

    fn check_identity(&mut self, place: &Place, at: usize, demand: &Demand) {
        let pod = self.sandboxes.get(at).and_then(|sandbox| self.pods.get(sandbox.pod));
        let Some(pod) = pod.filter(|pod| pod.set.is_some()) else { return };
        let key = (pod.owner().to_string(), demand.clone());
        let valid = pod.set.is_some_and(|(set, number)| {
            self.sets.get(set).is_some_and(|set| number < set.replicas)
        });
        if !valid {
            return;
        }
        // An agent asks the API server whether the pod is there; here nobody did. While a pod that was deleted
        // by force runs on, two have a say; and what was told while nobody knew of a loss may have to be
        // given up again.
        if pod.forced || self.runs_with_twin(at) || self.truth.may_clash(self.now) {
            self.truth.identities.remove(&key);
            return;
        }
        if let Some(before) = self.truth.identities.insert(key.clone(), place.clone())
            && before != *place
            && !self.truth.reported.contains(&before)
        {
            let text = format!("{} had {}, and is told {}", key.0, before.address, place.address);
            self.violated(&text);
        }
    }

    /// A container is not there any more.
    pub(crate) fn forget(&mut self, at: usize) {
        for place in self.truth.places.remove(&at).unwrap_or_default() {
            if let Some(tells) = self.truth.told.get_mut(&place) {
                tells.retain(|tell| tell.sandbox != at);
                if tells.is_empty() {
                    self.truth.told.remove(&place);
                }
            }
        }
    }

    /// Something was written.
    pub(crate) fn committed(&mut self, commit: &Commit, sender: Sender) {
        let Some(object) = self.server.shared(&commit.key) else { return };
        if crate::agent::is_watched(&commit.key) {
            self.broadcast(&Change::Seen(Box::new((*object).clone())));
        }
        if commit.mistaken && self.truth.loss.is_none() && sender != Sender::Leader {
            let key = &commit.key;
            self.violated(&format!("{key} was replaced on account of something else"));
        }
        let recovers = object.body.ledger().is_some_and(|ledger| ledger.recovery.is_some());
        if recovers && self.truth.loss.is_some() {
            self.truth.noticed_at.get_or_insert(self.now);
        }
        let before = commit.before.as_ref().map(|object| &object.body);
        if let Some(Body::Ledger(Ledger { recovery: Some(recovery), .. })) = before
            && !recovers
        {
            self.recovery_ended(&recovery.asserted);
        }
        if let (Key::Block(key), Body::Block(after)) = (&commit.key, &object.body) {
            match before {
                Some(Body::Block(before)) => self.check_block(key, &before.sheet, &after.sheet),
                _ => self.check_backing(key, &after.sheet),
            }
        }
    }

    /// A recovery waits for ready nodes: what containers of others were told has nothing behind it, when
    /// the store has lost it, until their node writes it back.
    fn recovery_ended(&mut self, asserted: &BTreeSet<Name>) {
        let left_out = std::mem::take(&mut self.truth.left_out);
        for tell in self.truth.told.values_mut().flatten() {
            let host = self.sandboxes.get(tell.sandbox).and_then(|s| self.hosts.get(s.host));
            let left = host.is_some_and(|host| {
                left_out.contains(&host.node) && !asserted.contains(&host.node)
            });
            if left && tell.backing == Backing::Record {
                tell.backing = Backing::Nothing;
            }
        }
    }

    fn check_block(&mut self, key: &BlockKey, before: &Sheet, after: &Sheet) {
        let back = after.generation < before.generation || after.commits < before.commits;
        if after.commits > before.commits + EVENTS_MAX {
            self.violated(&format!("a write to {key} carries more events than there can be"));
        }
        if back || after.incarnation != before.incarnation {
            let (from, to) =
                ((before.generation, before.commits), (after.generation, after.commits));
            self.violated(&format!("the block at {key} went back from {from:?} to {to:?}"));
        }
        for (slot, was) in &before.slots {
            let is = after.slots.get(slot);
            if Some(was) != is {
                self.check_slot(&place(key, *slot), is);
            }
        }
        self.check_backing(key, after);
    }

    /// A slot changed: whoever lives by it must still have it.
    fn check_slot(&mut self, place: &Place, is: Option<&Slot>) {
        let Some(tells) = self.truth.told.get(place) else { return };
        let holder = match is {
            Some(Slot::Allocated(held)) => held.holder.container.clone(),
            _ => None,
        };
        let hurt = tells.iter().find(|tell| {
            let container = self.sandboxes.get(tell.sandbox).map(|s| &s.container);
            tell.backing == Backing::Block && container != holder.as_ref()
        });
        let Some(hurt) = hurt.cloned() else { return };
        let by = holder.as_ref().and_then(|name| self.by_container.get(name)).copied();
        // Two were told it already: whoever had it first takes it back.
        let clash = by.is_some_and(|by| {
            let first = tells.iter().position(|tell| tell.sandbox == by);
            let second = tells.iter().position(|tell| tell.sandbox == hurt.sandbox);
            self.truth.was_restored && first.is_some() && first < second
        });
        let clash = clash || self.truth.may_clash(self.now);
        let twin = match by {
            Some(by) => self.is_forced_twin(hurt.sandbox, by),
            None => self.has_forced_twin(hurt.sandbox),
        };
        if clash || twin {
            if let Some(tells) = self.truth.told.get_mut(place) {
                tells.retain(|tell| tell.sandbox != hurt.sandbox);
            }
            return;
        }
        let name = self.sandboxes.get(hurt.sandbox).map(|s| s.container.to_string());
        let text = format!("{} is taken from the live {name:?}: {is:?}", place.address);
        self.violated(&text);
    }

    /// What was lost and is written back stands in its block again.
    fn check_backing(&mut self, key: &BlockKey, after: &Sheet) {
        if self.truth.loss.is_none() {
            return;
        }
        for (slot, state) in &after.slots {
            let Slot::Allocated(held) = state else { continue };
            let Some(tells) = self.truth.told.get_mut(&place(key, *slot)) else { continue };
            let alone = tells.len() == 1;
            let may = |tell: &Tell| match tell.backing {
                Backing::Block => false,
                Backing::Record => true,
                // Two have it: which of them keeps it was open when the store lost both grants.
                Backing::Nothing => alone,
            };
            for tell in tells.iter_mut().filter(|tell| may(tell)) {
                let container = self.sandboxes.get(tell.sandbox).map(|s| &s.container);
                if container == held.holder.container.as_ref() {
                    tell.backing = Backing::Block;
                }
            }
        }
    }

    /// The store has lost grants: who was told of one lives by the record of its node from here on,
    /// if that has it.
    pub(crate) fn lost(&mut self, restored: bool) {
        let until = self.now.max(self.skies.away_until) + NOTICED_WITHIN_MS;
        self.truth.loss = Some(Loss { restored, until });
        self.truth.was_restored |= restored;
        self.truth.noticed_at = None;
        let mut told = std::mem::take(&mut self.truth.told);
        for (place, tells) in &mut told {
            let (key, slot) = block_of(place);
            let found = self.sheet(&key).and_then(|sheet| sheet.slots.get(&slot));
            let alone = tells.len() == 1;
            for tell in tells {
                let Some(sandbox) = self.sandboxes.get(tell.sandbox) else { continue };
                let backed = match found {
                    Some(Slot::Allocated(held)) => {
                        held.holder.container.as_ref() == Some(&sandbox.container)
                    }
                    _ => false,
                };
                if backed && (alone || tell.backing != Backing::Nothing) {
                    tell.backing = Backing::Block;
                    continue;
                }
                let record = self.hosts.get(sandbox.host).and_then(|host| host.disk.as_ref());
                let trace = record.and_then(|record| record.trace(&sandbox.container));
                let noted = trace.is_some_and(|trace| trace.told.contains_key(place));
                let kept = noted && tell.backing != Backing::Nothing;
                tell.backing = if kept { Backing::Record } else { Backing::Nothing };
            }
        }
        self.truth.told = told;
        self.truth.identities.clear();
    }

    /// A write without a reply took effect: the process that sent it must not have gone on as if it
    /// never would.
    pub(crate) fn check_late(&mut self, request: &Request) {
        let Request::Replace { key: Key::Block(key), was, body, .. } = request else { return };
        let (Some(was), Some(body)) = (was.block(), body.block()) else { return };
        let fresh =
            body.sheet.slots.iter().filter(|(slot, is)| was.sheet.slots.get(slot) != Some(*is));
        let mut late = fresh.filter_map(|(slot, is)| {
            let Slot::Allocated(held) = is else { return None };
            let at = *self.by_container.get(held.holder.container.as_ref()?)?;
            let place = place(key, *slot);
            let told = self.truth.places.get(&at).is_some_and(|told| told.contains(&place));
            let over = match self.sandboxes.get(at)?.phase {
                Phase::Gone => true,
                Phase::Live => !told,
                Phase::Adding(_) | Phase::Dying(_) => false,
            };
            over.then(|| {
                format!("a write of {} for {held:?} lands when all is over", place.address)
            })
        });
        if let Some(late) = late.next().filter(|_| self.truth.loss.is_none()) {
            self.violated(&late);
        }
    }

    /// A request is about to be sent: its block has to be in the record.
    pub(crate) fn sought(&mut self, at: usize, request: &Request) {
        let (key, was, body) = match request {
            Request::Create { key, body } => (key, None, body),
            Request::Replace { key, was, body, .. } => (key, was.block(), body),
            Request::Read(_)
            | Request::ReadMeta(_)
            | Request::List { .. }
            | Request::EndpointsOf(_)
            | Request::Reservations => return,
        };
        let (Key::Block(key), Some(body)) = (key, body.block()) else { return };
        let was = was.map(|was| &was.sheet.slots);
        let Some(record) = self.hosts.get(at).map(|host| host.disk.as_ref()) else { return };
        let fresh = body.sheet.slots.iter().filter(|(slot, state)| {
            was.and_then(|was| was.get(slot)).is_none_or(|before| before != *state)
        });
        let missing = fresh.filter_map(|(_, state)| match state {
            Slot::Allocated(held) => held.holder.container.clone(),
            Slot::Resting { .. } | Slot::Quarantined { .. } => None,
        });
        let noted = |container: &Name| {
            let trace = record.and_then(|record| record.trace(container));
            trace.is_some_and(|trace| trace.blocks.contains(key))
        };
        let missing = missing.into_iter().find(|container| !noted(container));
        if let Some(container) = missing {
            let text = format!("a write to {key} for {container} is sent and not noted");
            self.violated(&text);
        }
    }
}
