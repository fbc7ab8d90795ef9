//! The same write on a newer revision of its block: events on different slots commute.

use crate::command::Answer;
use crate::event::{Event, Grant, ObjectKey, Write};
use crate::slots::{Allocation, Block, BlockKey};
use crate::view::View;

/// The write on the block as it is now, with fresh generations, or `None` when a slot of it is not
/// as the decision found it.
pub(super) fn rebase(view: &View, write: &Write) -> Option<Write> {
    let ObjectKey::Block(key) = &write.object else { return None };
    let fresh = view.block(key, None).ok()?;
    let mut events = Vec::with_capacity(write.events.len());
    let mut next = fresh.map_or(1, Block::next_generation);
    for event in &write.events {
        if matches!(event, Event::Opened { .. }) && fresh.is_some() {
            continue;
        }
        if !Expectation::of(event).is_met(fresh) {
            return None;
        }
        events.push(restamp(event, &mut next));
    }
    if fresh.is_none() && !matches!(events.first(), Some(Event::Opened { .. })) {
        return None;
    }
    Some(Write { object: write.object.clone(), base: view.revision(&write.object), events })
}

fn restamp(event: &Event, next: &mut u64) -> Event {
    let mut event = event.clone();
    if let Event::Granted { grant, .. } | Event::Adopted { grant, .. } = &mut event {
        grant.generation = *next;
        *next += 1;
    }
    event
}

/// What an event takes for granted about its slot.
enum Expectation<'e> {
    /// Nothing, or nothing that could be checked.
    Nothing,
    /// The slot is free, and the owner has no other one of the block for that attachment: a retry
    /// of the same request may have been faster.
    Free(u8, &'e Grant),
    /// The slot is at this generation.
    Generation(u8, u64),
    /// Whatever cannot be expressed: decide anew.
    Unknowable,
}

impl<'e> Expectation<'e> {
    const fn of(event: &'e Event) -> Self {
        match event {
            Event::Opened { .. } => Self::Nothing,
            Event::Granted { slot, grant } => Self::Free(*slot, grant),
            Event::Freed { slot, generation, .. } => Self::Generation(*slot, *generation),
            Event::Adopted { .. }
            | Event::Restaged { .. }
            | Event::Quarantined { .. }
            | Event::Cleared { .. }
            | Event::SpaceDefined(_)
            | Event::SubnetDefined(_)
            | Event::SubnetRemoved
            | Event::ReservationDefined(_)
            | Event::ReservationRemoved
            | Event::PoolDefined(_)
            | Event::PoolRemoved
            | Event::Buried(_)
            | Event::Forgotten => Self::Unknowable,
        }
    }

    fn is_met(&self, block: Option<&Block>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Free(slot, grant) => block.is_none_or(|block| {
                let is_free =
                    block.busy().checked_shr((*slot).into()).is_some_and(|bits| bits & 1 == 0);
                is_free && !block.allocations().any(|seen| is_for(&seen, grant))
            }),
            Self::Generation(slot, generation) => block
                .and_then(|block| block.allocation(*slot))
                .is_some_and(|allocation| allocation.generation == *generation),
            Self::Unknowable => false,
        }
    }
}

fn is_for(seen: &Allocation<'_>, grant: &Grant) -> bool {
    seen.owner == grant.holder.owner.as_str()
        && seen.placement.attachment == grant.placement.attachment
}

/// Whether what a write says can be seen, so that its lost reply was a success.
pub(super) fn already_done(view: &View, write: &Write) -> bool {
    match &write.object {
        ObjectKey::Block(key) => write.events.iter().all(|event| is_visible(view, key, event)),
        ObjectKey::Container(container) => write.events.iter().all(|event| {
            let stone = view.tombstone(container).ok().flatten();
            let Event::Buried(ours) = event else { return stone.is_none() };
            stone.is_some_and(|stone| stone.ticket >= ours.ticket)
        }),
        ObjectKey::Space(_)
        | ObjectKey::Subnet(_)
        | ObjectKey::Reservation(_)
        | ObjectKey::Pool(_) => false,
    }
}

fn is_visible(view: &View, key: &BlockKey, event: &Event) -> bool {
    let Ok(Some(block)) = view.block(key, None) else { return false };
    match event {
        Event::Opened { .. } => true,
        Event::Granted { slot, grant } | Event::Adopted { slot, grant } => {
            block.allocation(*slot).is_some_and(|seen| {
                seen.generation == grant.generation
                    && seen.owner == grant.holder.owner.as_str()
                    && seen.container == grant.holder.container.as_deref().unwrap_or_default()
            })
        }
        Event::Freed { slot, generation, .. } => {
            block.allocation(*slot).is_none_or(|seen| seen.generation != *generation)
        }
        Event::Restaged { slot, placement, stage, .. } => block
            .allocation(*slot)
            .is_some_and(|seen| seen.stage == *stage && seen.placement == placement),
        Event::Quarantined { slot, at_ms, .. } => {
            block.quarantined().iter().any(|seen| seen.slot == *slot && seen.since_ms == *at_ms)
        }
        Event::Cleared { slot } => {
            !block.quarantined().iter().any(|seen| seen.slot == *slot)
                && !block.resting().iter().any(|seen| seen.slot == *slot)
        }
        Event::SpaceDefined(_)
        | Event::SubnetDefined(_)
        | Event::SubnetRemoved
        | Event::ReservationDefined(_)
        | Event::ReservationRemoved
        | Event::PoolDefined(_)
        | Event::PoolRemoved
        | Event::Buried(_)
        | Event::Forgotten => false,
    }
}

/// The answer of a decision names generations; a rebased write has others.
pub(super) fn patch_answer(answer: &mut Answer, old: &Write, new: &Write) {
    let (Answer::Allocated(allocated), ObjectKey::Block(key)) = (answer, &old.object) else {
        return;
    };
    for event in &new.events {
        let (Event::Granted { slot, grant } | Event::Adopted { slot, grant }) = event else {
            continue;
        };
        let address = key.address(*slot);
        let same = allocated
            .addresses
            .iter_mut()
            .find(|granted| granted.address.addr() == address && granted.space == key.space);
        if let Some(granted) = same {
            granted.generation = grant.generation;
        }
    }
}
