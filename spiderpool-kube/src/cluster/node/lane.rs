//! What is known of one block, and the writes on their way to it.
//!
//! A lane is a compare-and-swap inside the process in front of the server's: each state of the block,
//! also those that only wait to be written, has a token, and a write is taken in if it was decided on
//! the latest one. So what waits while a write is under way is decided one after the other and sent as
//! one. A [`Lane`] is plain state; [`super::meet`] moves it.

use super::Waiter;
use super::run::RunId;
use crate::cluster::object::{BlockBody, Body, Key, Meta, Object};
use crate::cluster::port::{CallId, Request};
use spiderpool_core::event::{Event, Revision};
use spiderpool_core::slots::{Block, BlockKey, BlockSize};
use spiderpool_core::view::block_after;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One block as this node sees it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) known: Option<Known>,
    pub(super) flight: Option<Flight>,
    pub(super) pending: Option<Batch>,
    pub(super) waiters: BTreeSet<Waiter>,
    /// Whether the index is known to list the present incarnation.
    pub(super) listing: Listed,
    /// The call by which the present incarnation was first seen, or made.
    pub(super) born: CallId,
    pub(super) tries: u32,
    pub(super) retry_at: Option<u64>,
    /// What the index was last told about free slots.
    pub(super) hinted_full: bool,
    /// Whether the index listed it when it could not be read: it may have been made in between.
    pub(super) suspect: bool,
}

/// Whether the index lists a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listed {
    #[default]
    No,
    Sending,
    Yes,
}

/// The block as the server has it, as of a call.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// `None`: it does not exist, and never did.
    pub(super) block: Option<Arc<Block>>,
    pub(super) listed: bool,
    pub(super) meta: Meta,
    pub(super) as_of: CallId,
    pub(super) token: Revision,
}

impl Known {
    /// Whether an object is what was known. A store that went back comes to the same revisions again, for
    /// something else.
    pub(super) fn is_seen_in(&self, object: &Object) -> bool {
        self.block_in(object).is_some()
    }

    /// The block, if it is what an object says.
    pub(super) fn block_in(&self, object: &Object) -> Option<&Arc<Block>> {
        let (block, body) = (self.block.as_ref()?, object.body.block()?);
        let same = self.meta.revision == object.meta.revision;
        (same && block.is_laid_open_in(&body.sheet)).then_some(block)
    }
}

/// What is under way to the server.
#[derive(Debug)]
pub(super) enum Flight {
    /// A read.
    Reading,
    /// The block does not exist: the index is asked whether it ever did.
    Absent { as_of: CallId },
    /// A write.
    Writing { batch: Batch, listed: bool },
    /// A write got no reply: the block is read to see what became of it.
    Resolving { sent: bool, batch: Batch, listed: bool },
}

/// Writes that are sent as one.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) members: Vec<Member>,
    /// The block when all of them are in it.
    pub(super) block: Arc<Block>,
    pub(super) token: Revision,
    /// Whether a request of it may be under way that nobody waits for.
    pub(super) unsure: bool,
}

/// One run's part of a batch.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) run: RunId,
    pub(super) events: Vec<Event>,
    pub(super) token: Revision,
}

impl Lane {
    pub(super) fn retry_at(&self) -> Option<u64> {
        self.retry_at
    }

    /// The latest state, and its token: what is known with everything that waits to be written.
    pub(super) fn latest(&self) -> Option<(Option<&Arc<Block>>, Revision)> {
        let pending = self.pending.as_ref().map(|batch| (Some(&batch.block), batch.token));
        let flight = match &self.flight {
            Some(Flight::Writing { batch, .. } | Flight::Resolving { batch, .. }) => {
                Some((Some(&batch.block), batch.token))
            }
            Some(Flight::Reading | Flight::Absent { .. }) | None => None,
        };
        let known = self.known.as_ref().map(|known| (known.block.as_ref(), known.token));
        pending.or(flight).or(known)
    }

    /// Whether nothing of the latest state has still to be written.
    pub(super) const fn latest_is_durable(&self) -> bool {
        self.flight.is_none() && self.pending.is_none()
    }

    /// Whether what is known was true after a call.
    pub(super) fn is_fresh(&self, since: CallId) -> bool {
        self.known.as_ref().is_some_and(|known| known.as_of > since)
    }

    /// What is to be written, or is under way.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        let flight = match &self.flight {
            Some(Flight::Writing { batch, .. } | Flight::Resolving { batch, .. }) => Some(batch),
            Some(Flight::Reading | Flight::Absent { .. }) | None => None,
        };
        flight.into_iter().chain(&self.pending).flat_map(|batch| &batch.members)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_none()
            && self.pending.is_none()
            && self.waiters.is_empty()
            && self.listing != Listed::Sending
    }

    /// Takes a write in behind everything that waits.
    pub(super) fn append(&mut self, member: Member) {
        let before = self.latest().and_then(|(block, _)| block.cloned());
        // Whoever grants in a block that does not exist opens it first.
        let block = block_after(before, &member.events)
            .unwrap_or_else(|| Arc::new(Block::new(BlockSize::DEFAULT, 0)));
        let token = member.token;
        match &mut self.pending {
            Some(batch) => {
                batch.block = block;
                batch.token = token;
                batch.members.push(member);
            }
            None => {
                let members = vec![member];
                self.pending = Some(Batch { members, block, token, unsure: false });
            }
        }
    }

    /// The request that puts a batch on top of what is known.
    pub(super) fn request(&self, key: &BlockKey, batch: &Batch, listed: bool) -> Request {
        let body = |sheet, listed| Body::Block(BlockBody { sheet, listed });
        let key = Key::Block(key.clone());
        match self.known.as_ref().and_then(|known| known.block.as_ref().map(|b| (known, b))) {
            Some((known, block)) => {
                let was = block.sheet();
                let new = batch.block.sheet_beside(&was);
                Request::Replace {
                    key,
                    base: known.meta.revision,
                    was: body(was, known.listed),
                    body: body(new, listed),
                }
            }
            None => Request::Create { key, body: body(batch.block.sheet(), listed) },
        }
    }
}

/// Whether an event can be seen in a block, so that the write that carried it landed.
pub(super) fn is_visible(block: Option<&Block>, event: &Event) -> bool {
    let Some(block) = block else { return false };
    match event {
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
            let rests = block.resting().iter().any(|seen| seen.slot == *slot);
            !rests && block.quarantined().iter().all(|seen| seen.slot != *slot)
        }
        Event::Opened { .. }
        | Event::SpaceDefined(_)
        | Event::SubnetDefined(_)
        | Event::SubnetRemoved
        | Event::ReservationDefined(_)
        | Event::ReservationRemoved
        | Event::PoolDefined(_)
        | Event::PoolRemoved
        | Event::Buried(_)
        | Event::Forgotten => true,
    }
}
