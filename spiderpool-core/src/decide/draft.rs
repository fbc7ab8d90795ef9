//! The writes of a decision while it is being made.

use crate::event::{Event, Grant, ObjectKey, Write};
use crate::moment::{Moment, digest};
use crate::owner::{Holder, Placement, Stage};
use crate::slots::BlockKey;
use crate::view::{Need, View};

/// Collects events, one write for each object, and puts what is held before what is freed.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    view: &'a View,
    moment: Moment,
    holds: Vec<Page>,
    notes: Vec<Write>,
    frees: Vec<Page>,
}

#[derive(Debug)]
struct Page {
    key: BlockKey,
    events: Vec<Event>,
    grants: u64,
}

impl<'a> Draft<'a> {
    pub(super) const fn new(view: &'a View, moment: Moment) -> Self {
        Self { view, moment, holds: Vec::new(), notes: Vec::new(), frees: Vec::new() }
    }

    /// Whether this decision gives out a slot.
    pub(super) fn has_taken(&self, key: &BlockKey, slot: u8) -> bool {
        let page = self.holds.iter().find(|page| page.key == *key);
        page.is_some_and(|page| page.events.iter().any(|event| event.slot() == Some(slot)))
    }

    /// Gives a slot to a holder: as new, or as another incarnation of the owner that has it.
    pub(super) fn grant(
        &mut self,
        (key, slot): (BlockKey, u8),
        to: (&Holder, Placement, Stage),
        adopted: bool,
    ) -> Result<u64, Need> {
        let (holder, placement, stage) = to;
        let block = self.view.block(&key, None)?;
        let size = self.view.block_size(&key.space, key.family);
        let incarnation = block.is_none().then(|| self.moment.draw(digest(&key.to_string())));
        let at_ms = self.moment.now_ms;
        let page = page(&mut self.holds, key);
        if let Some(incarnation) = incarnation.filter(|_| page.events.is_empty()) {
            page.events.push(Event::Opened { size, incarnation, generation: 0 });
        }
        let generation = block.map_or(1, crate::slots::Block::next_generation) + page.grants;
        page.grants += 1;
        let grant = Grant { holder: holder.clone(), placement, stage, generation, at_ms };
        page.events.push(if adopted {
            Event::Adopted { slot, grant }
        } else {
            Event::Granted { slot, grant }
        });
        Ok(generation)
    }

    /// Something that happens to a slot and takes nothing from anybody.
    pub(super) fn hold(&mut self, key: BlockKey, event: Event) {
        page(&mut self.holds, key).events.push(event);
    }

    /// Something that gives a slot up.
    pub(super) fn free(&mut self, key: BlockKey, event: Event) {
        page(&mut self.frees, key).events.push(event);
    }

    /// Something that happens to an object that is no block.
    pub(super) fn note(&mut self, object: ObjectKey, event: Event) {
        let base = self.view.revision(&object);
        self.notes.push(Write { object, base, events: vec![event] });
    }

    /// The writes: what is held, what is noted, what is freed; blocks in their global order. A block
    /// that is in both lists is written once, with what is held.
    pub(super) fn finish(self) -> Vec<Write> {
        let Self { view, mut holds, notes, frees, .. } = self;
        let mut rest = Vec::new();
        for page in frees {
            match holds.iter_mut().find(|held| held.key == page.key) {
                Some(held) => held.events.extend(page.events),
                None => rest.push(page),
            }
        }
        holds.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rest.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let write = |page: Page| {
            let object = ObjectKey::Block(page.key);
            Write { base: view.revision(&object), object, events: page.events }
        };
        let mut writes = Vec::with_capacity(holds.len() + notes.len() + rest.len());
        writes.extend(holds.into_iter().map(write));
        writes.extend(notes);
        writes.extend(rest.into_iter().map(write));
        writes
    }
}

fn page(pages: &mut Vec<Page>, key: BlockKey) -> &mut Page {
    let at = match pages.iter().position(|page| page.key == key) {
        Some(at) => at,
        None => {
            pages.push(Page { key, events: Vec::new(), grants: 0 });
            pages.len() - 1
        }
    };
    #[expect(clippy::indexing_slicing, reason = "the position was just found or made")]
    &mut pages[at]
}
