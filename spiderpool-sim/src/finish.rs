//! What must hold at the end, when faults have ceased for a while.
//!
//! 1. Every DEL has succeeded.
//! 2. Every pod runs, or what it asks for cannot be had: the core's own decision on the whole state
//!    refuses it.
//! 3. Every slot has a live holder, or belongs to a valid static identity whose endpoint names it.
//! 4. What every live container was told stands in its block.
//! 5. The core's audit finds nothing, and no recovery is under way.

use crate::machine::Machine;
use crate::runtime::{Life, Phase};
use crate::truth::{Backing, Tell, block_of};
use crate::world::{EPOCH_MS, World};
use spiderpool_core::audit::{Severity, Violation, audit};
use spiderpool_core::command::{Command, Place};
use spiderpool_core::decide::decide;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{Block, BlockKey, Held, Slot};
use spiderpool_core::view::View;
use spiderpool_kube::cluster::object::{Body, EndpointKey, Key};

impl<M: Machine> World<'_, M> {
    /// Looks at the end of a schedule.
    pub(crate) fn finish(&mut self) {
        let found = self
            .unfinished()
            .or_else(|| self.leaked())
            .or_else(|| self.unbacked())
            .or_else(|| self.unsound())
            .or_else(|| self.unserved());
        if let Some(found) = found {
            self.violated(&found);
        }
    }

    fn unfinished(&self) -> Option<String> {
        let dying = self.sandboxes.iter().find(|sandbox| {
            let demolished = self.hosts.get(sandbox.host).is_some_and(|host| host.demolished);
            matches!(sandbox.phase, Phase::Dying(_)) && !demolished && !self.is_retried(sandbox.pod)
        });
        if let Some(sandbox) = dying {
            return Some(format!("the DEL of {} never succeeded", sandbox.container));
        }
        match self.server.object(&Key::Ledger).map(|object| &object.body) {
            Some(Body::Ledger(ledger)) if ledger.recovery.is_some() => {
                Some(format!("the recovery never ended: {:?}", ledger.recovery))
            }
            _ => None,
        }
    }

    /// Whether a pod is still tried again and again: its failed sandboxes come and go.
    fn is_retried(&self, pod: usize) -> bool {
        self.pods.get(pod).is_some_and(|pod| pod.life == Life::Wanted && !self.is_running(pod))
    }

    fn is_running(&self, pod: &crate::runtime::Pod) -> bool {
        let sandbox = pod.sandbox.and_then(|at| self.sandboxes.get(at));
        sandbox.is_some_and(|sandbox| sandbox.phase == Phase::Live)
    }

    fn leaked(&self) -> Option<String> {
        for object in self.server.objects() {
            let (Key::Block(key), Body::Block(block)) = (&object.key, &object.body) else {
                continue;
            };
            for (slot, state) in &block.sheet.slots {
                let Slot::Allocated(held) = state else { continue };
                let place = Place { space: key.space.clone(), address: key.address(*slot) };
                if !self.is_accounted_for(&place, held) && !self.may_mistake(&held.holder.node) {
                    return Some(format!("{} leaked: {held:?}", place.address));
                }
            }
        }
        None
    }

    fn is_accounted_for(&self, place: &Place, held: &Held) -> bool {
        let container = held.holder.container.as_ref();
        let sandbox = container.and_then(|container| self.by_container.get(container));
        let sandbox = sandbox.and_then(|at| self.sandboxes.get(*at).map(|s| (*at, s)));
        if let Some((at, sandbox)) = sandbox.filter(|(_, sandbox)| sandbox.is_there()) {
            let told = self.truth.told.get(place);
            let told = told.is_some_and(|tells| tells.iter().any(|tell| tell.sandbox == at));
            let excused = self.is_told_anew(at) || self.has_forced_twin(at);
            return told || self.is_retried(sandbox.pod) || excused;
        }
        let rest = held.holder.owner.as_str().strip_prefix("identity/");
        let name = rest.and_then(|rest| rest.split_once('/')).map(|(_, name)| name);
        let Some(name) = name.and_then(|name| Name::new(name).ok()) else {
            return sandbox.is_some_and(|(_, sandbox)| self.is_retried(sandbox.pod));
        };
        let identity = EndpointKey { namespace: self.definitions.namespace.clone(), name };
        // Its pod may be tried again and again, and have it for a moment each time.
        let mut pods = self.pods.iter().enumerate().filter(|(_, pod)| pod.key == identity);
        self.is_valid(&identity)
            && (self.names_slot(&identity, place) || pods.any(|(at, _)| self.is_retried(at)))
    }

    /// Whether the store and the node's record have both lost what a container was told, so that it was
    /// told something else when its runtime asked again.
    fn is_told_anew(&self, at: usize) -> bool {
        let tells = self.truth.told.values().flatten();
        tells.filter(|tell| tell.sandbox == at).any(|tell| tell.backing == Backing::Nothing)
    }

    /// A loss that nobody noticed since nobody wanted anything there has harmed nobody yet.
    fn unbacked(&self) -> Option<String> {
        if self.truth.loss.is_some() && self.truth.noticed_at.is_none() {
            return None;
        }
        for (place, tells) in &self.truth.told {
            let (key, slot) = block_of(place);
            let found = self.sheet(&key).and_then(|sheet| sheet.slots.get(&slot));
            for tell in tells.iter().filter(|tell| tell.backing != Backing::Nothing) {
                let container = self.sandboxes.get(tell.sandbox).map(|s| &s.container);
                let holds = match found {
                    Some(Slot::Allocated(held)) => held.holder.container.as_ref() == container,
                    _ => false,
                };
                // A clash that could not be foreseen is reported, and stays until a pod goes.
                let clash = tell.backing == Backing::Record
                    && (tells.len() > 1 || self.truth.reported.contains(place));
                let mistake = match found {
                    Some(Slot::Allocated(held)) => self.may_mistake(&held.holder.node),
                    _ => false,
                };
                if !holds && !clash && !mistake && !self.was_taken_over(tell, found) {
                    let address = place.address;
                    return Some(format!(
                        "{container:?} lives by {address}, where {found:?} stands"
                    ));
                }
            }
        }
        None
    }

    /// Whether another pod of the container's identity, one of the two deleted by force, had the slot at
    /// the same time, and it is still the identity's or was given up with it.
    fn was_taken_over(&self, tell: &Tell, found: Option<&Slot>) -> bool {
        let pod = self.sandboxes.get(tell.sandbox).and_then(|s| self.pods.get(s.pod));
        let theirs = match found {
            Some(Slot::Allocated(held)) => pod.is_some_and(|pod| held.holder.owner == pod.owner()),
            _ => true,
        };
        theirs && tell.backing == Backing::Record && self.has_forced_twin(tell.sandbox)
    }

    /// All that the server has, as one complete view.
    fn view(&self) -> View {
        let mut view = View::complete();
        for object in self.server.objects() {
            let revision = object.meta.revision;
            if let Body::Reservation(reservation) = &object.body {
                view.load_reservation(reservation, revision);
            }
        }
        for object in self.server.objects() {
            if let Body::Pool(pool) = &object.body {
                view.load_pool(pool, object.meta.revision);
            }
        }
        for (key, block, revision) in self.blocks() {
            view.load_block(&key, block, revision);
        }
        view
    }

    fn blocks(&self) -> impl Iterator<Item = (BlockKey, Block, u64)> {
        self.server.objects().filter_map(|object| match (&object.key, &object.body) {
            (Key::Block(key), Body::Block(body)) => {
                let block = Block::try_from(body.sheet.clone()).ok()?;
                Some((key.clone(), block, object.meta.revision))
            }
            _ => None,
        })
    }

    fn unsound(&self) -> Option<String> {
        let damaged = self.server.objects().find(|object| {
            let block = object.body.block();
            block.is_some_and(|block| Block::try_from(block.sheet.clone()).is_err())
        });
        if let Some(object) = damaged {
            return Some(format!("{} is damaged", object.key));
        }
        let audit = audit(&self.view()).ok()?;
        let mut violations = audit.violations.iter();
        // Pods that are tried again and again may be in the middle of it.
        let waits = self.pods.iter().enumerate().any(|(at, _)| self.is_retried(at));
        let found = violations.find(|violation| {
            !self.is_forgotten(violation) && (!waits || violation.severity() == Severity::Broken)
        });
        found.map(|violation| format!("the audit finds: {violation}"))
    }

    /// Whether an owner has a second address since the record of a node had gone back to a time before the
    /// other, or since nobody is there to give up what a restored store says of a node.
    fn is_forgotten(&self, violation: &Violation) -> bool {
        let Violation::TwoAddresses { owner, one, other, .. } = violation else { return false };
        let pod = self.pods.iter().find(|pod| pod.owner().as_str() == owner);
        let host = pod.and_then(|pod| self.hosts.get(pod.host));
        let holder = |place: &Place| {
            let (key, slot) = block_of(place);
            match self.sheet(&key).and_then(|sheet| sheet.slots.get(&slot)) {
                Some(Slot::Allocated(held)) => Some(&held.holder.node),
                _ => None,
            }
        };
        // Where blocks differ only clocks tell which it came to last.
        let holders = [one, other].into_iter().filter_map(holder);
        let mistaken = self.truth.loss.is_some() && self.truth.had_clocks_apart
            || holders.into_iter().any(|node| self.may_mistake(node));
        mistaken || host.is_some_and(|host| host.forgetful)
    }

    /// Whether a node may hold what it let go once: a store was restored, and its record went back too, or
    /// was lost, or the node is gone.
    fn may_mistake(&self, node: &Name) -> bool {
        let host = self.hosts.iter().find(|host| host.node == *node);
        self.truth.loss.is_some()
            && host.is_none_or(|host| host.forgetful || host.careless || host.demolished)
    }

    pub(crate) fn unserved(&self) -> Option<String> {
        let view = self.view();
        for pod in &self.pods {
            let on = self.hosts.get(pod.host).is_some_and(|host| !host.demolished);
            if pod.life == Life::Gone || !on || self.is_running(pod) {
                continue;
            }
            if pod.life == Life::Stopping {
                return Some(format!("the pod {} never stopped", pod.key));
            }
            let container = crate::agent::name("last", 0);
            let node = self.hosts.get(pod.host).map(|host| host.node.clone())?;
            let command = Command::Allocate(pod.request(0, container, node, u64::MAX));
            let moment = Moment { now_ms: EPOCH_MS + self.now, seed: self.schedule.seed };
            let waits_for_more = pod.wish.interfaces > 1 && !pod.wish.together;
            if !waits_for_more && decide(&view, &command, moment).is_ok() {
                return Some(format!("the pod {} is not served, though it could be", pod.key));
            }
        }
        None
    }
}
