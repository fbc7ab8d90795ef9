//! A record that was lost is made anew: from the endpoints of the node to their blocks, never from a
//! list of all blocks.

use super::{Entry, Node, Purpose, Waiter, is_over, pause};
use crate::cluster::object::Pointer;
use crate::cluster::port::{CallId, Outcome, Request};
use crate::cluster::record::Told;
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::{Block, BlockKey, BlockSize};
use std::collections::BTreeSet;

/// How far making the record anew has come.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    /// The blocks that endpoints of the node name; `None` before they were listed.
    blocks: Option<BTreeSet<BlockKey>>,
    since: CallId,
    tries: u32,
    retry_at: Option<u64>,
}

impl Rebuild {
    pub(super) const fn retry_at(&self) -> Option<u64> {
        self.retry_at
    }

    /// Goes on without a block that cannot be read.
    pub(super) fn skip(&mut self, key: &BlockKey) {
        if let Some(blocks) = &mut self.blocks {
            blocks.remove(key);
        }
    }
}

impl Node {
    pub(super) fn begin_rebuild(&mut self) {
        self.rebuilding = Some(Rebuild { since: self.counter, ..Rebuild::default() });
        self.call(Purpose::Endpoints, Request::EndpointsOf(self.name.clone()));
    }

    pub(super) fn endpoints_reply(&mut self, outcome: Outcome) {
        let moment = self.moment;
        let Some(rebuild) = &mut self.rebuilding else { return };
        let Outcome::Objects(endpoints) = outcome else {
            rebuild.tries += 1;
            rebuild.retry_at = Some(moment.now_ms.saturating_add(pause(moment, rebuild.tries)));
            return;
        };
        let named = endpoints.iter().filter_map(|object| object.body.endpoint());
        let named = named.flat_map(|endpoint| &endpoint.slots);
        let block = |Pointer { place, .. }: &Pointer| {
            BlockKey::of(&place.space, place.address, BlockSize::DEFAULT)
        };
        rebuild.blocks = Some(named.map(block).collect());
        self.ready.push_back(Waiter::Rebuild);
    }

    pub(super) fn advance_rebuild(&mut self) {
        let now_ms = self.moment.now_ms;
        let Some(rebuild) = &mut self.rebuilding else { return };
        let Some(blocks) = rebuild.blocks.clone() else {
            if rebuild.retry_at.is_some_and(|at| is_over(at, now_ms)) {
                rebuild.retry_at = None;
                self.call(Purpose::Endpoints, Request::EndpointsOf(self.name.clone()));
            }
            return;
        };
        let since = rebuild.since;
        let mut found = Vec::new();
        let mut waits = false;
        for key in &blocks {
            match self.block(key, Some(since), &Waiter::Rebuild) {
                Some((Some(block), _)) => found.push((key, block)),
                Some((None, _)) => {}
                None => waits = true,
            }
        }
        if waits {
            return;
        }
        for (key, block) in found {
            self.note_block(key, &block);
        }
        self.note(Entry::Rebuilt);
        self.rebuilding = None;
        self.ready.extend(self.runs.keys().copied().map(Waiter::Run));
    }

    /// Writes down what containers of this node hold in a block.
    fn note_block(&mut self, key: &BlockKey, block: &Block) {
        let ours = block.allocations().filter(|seen| *seen.node == *self.name);
        let mut entries = Vec::new();
        for seen in ours {
            let (Ok(container), Ok(owner)) = (Name::new(seen.container), Owner::parse(seen.owner))
            else {
                continue;
            };
            let place = Place { space: key.space.clone(), address: key.address(seen.slot) };
            let told = Told {
                pod_uid: Name::new(seen.pod_uid).ok(),
                placement: seen.placement.clone(),
                generation: seen.generation,
                since_ms: seen.since_ms,
            };
            let (block, name) = (key.clone(), container.clone());
            entries.push(Entry::Sought { container: name, owner, block });
            entries.push(Entry::Told { container, place, told });
        }
        entries.into_iter().for_each(|entry| self.note(entry));
    }

    /// Writes down which blocks a batch is about to be sent to, for which containers.
    pub(super) fn note_intents(&mut self, key: &BlockKey, batch: &super::lane::Batch) {
        use spiderpool_core::event::Event;
        let mut entries = Vec::new();
        for event in batch.members.iter().flat_map(|member| &member.events) {
            let (Event::Granted { grant, .. } | Event::Adopted { grant, .. }) = event else {
                continue;
            };
            let Some(container) = grant.holder.container.clone() else { continue };
            let known = self.record.trace(&container);
            let owner = grant.holder.owner.clone();
            if known.is_some_and(|t| t.owner == owner && t.blocks.contains(key)) {
                continue;
            }
            entries.push(Entry::Sought { container, owner, block: key.clone() });
        }
        entries.dedup();
        entries.into_iter().for_each(|entry| self.note(entry));
    }
}
