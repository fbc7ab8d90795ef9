//! Whether the store still has what this node gave out last.
//!
//! A restore takes away the end of history. So when a watch had been broken, as every restore breaks it,
//! reading the few blocks with this node's newest grants tells whether anything that this node did is
//! gone; nobody has to write, and no revision has to be lower than one that was seen.

use super::{Node, Waiter};
use crate::cluster::port::CallId;
use spiderpool_core::address::{Family, bits};
use spiderpool_core::command::Place;
use spiderpool_core::event::Event;
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::{Allocation, Block, BlockKey, BlockSize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// So many blocks are looked at: more than one, since a block in which others have given out as much
/// since the restore tells nothing.
const BLOCKS_MAX: usize = 4;

/// Blocks that are looked at, and the call after which.
#[derive(Debug)]
pub(super) struct Verifying {
    since: CallId,
    blocks: BTreeSet<BlockKey>,
}

impl Node {
    pub(super) fn begin_verify(&mut self) {
        let blocks = self.newest_blocks();
        self.verifying = Some(Verifying { since: self.counter, blocks });
        self.ready.push_back(Waiter::Verify);
    }

    pub(super) fn advance_verify(&mut self) {
        let Some(Verifying { since, blocks }) = self.verifying.take() else { return };
        // A recovery writes back everything anyway.
        if self.recovery_reason().is_some() {
            return;
        }
        let mut left = BTreeSet::new();
        for key in blocks {
            match self.block(&key, Some(since), &Waiter::Verify) {
                Some((Some(block), _)) => self.verify(&key, &block),
                // A block that is gone tells so by itself.
                Some((None, _)) => {}
                None => drop(left.insert(key)),
            }
        }
        if !left.is_empty() {
            self.verifying = Some(Verifying { since, blocks: left });
        }
    }

    fn verify(&mut self, key: &BlockKey, block: &Block) {
        let lost = self.record.traces().find_map(|(_, trace)| {
            let mut here = trace.told.iter().filter(|(place, _)| block_of(place) == *key);
            here.find(|(place, told)| {
                is_elsewhere(block, key, (&trace.owner, place.address, told.generation))
            })
            .map(|(place, _)| place.address)
        });
        if let Some(address) = lost {
            self.went_back(format!(
                "block {key} is not the one in which {address} was given to this node"
            ));
        }
    }

    /// A container that was told an address already is about to be given another: the store does not
    /// have the first any more.
    pub(super) fn verify_grants(&mut self, key: &BlockKey, events: &[Event]) -> bool {
        let lost = events.iter().find_map(|event| {
            let (Event::Granted { slot, grant } | Event::Adopted { slot, grant }) = event else {
                return None;
            };
            let adopts = matches!(event, Event::Adopted { .. });
            let container = grant.holder.container.as_ref()?;
            let told = &self.record.trace(container)?.told;
            let same = told.iter().find(|(place, told)| {
                told.placement.attachment == grant.placement.attachment
                    && Family::of(place.address) == key.family
                    && !(adopts && place.address == key.address(*slot))
            });
            same.map(|(place, _)| (place.address, container.clone()))
        });
        let Some((address, container)) = lost else { return false };
        self.went_back(format!("{address} of the container {container} is not held any more"));
        true
    }

    /// The blocks of the newest grants that containers of this node were told.
    fn newest_blocks(&self) -> BTreeSet<BlockKey> {
        let told = self.record.traces().flat_map(|(_, trace)| &trace.told);
        let mut told: Vec<_> =
            told.map(|(place, told)| (told.since_ms, told.generation, place)).collect();
        told.sort_unstable();
        let mut blocks = BTreeSet::new();
        for (.., place) in told.into_iter().rev() {
            if blocks.len() == BLOCKS_MAX {
                break;
            }
            blocks.insert(block_of(place));
        }
        blocks
    }
}

fn block_of(place: &Place) -> BlockKey {
    BlockKey::of(&place.space, place.address, BlockSize::DEFAULT)
}

/// Whether a block is of another history than a grant: it has not come to the grant's generation, or an
/// earlier holder is still in the slot, or something else was granted at that generation. Whatever came after
/// the grant, an end of it included, looks otherwise.
pub(super) fn is_elsewhere(
    block: &Block,
    key: &BlockKey,
    (owner, address, generation): (&Owner, IpAddr, u64),
) -> bool {
    let slot = key.slot(bits(address));
    let earlier = block.allocation(slot);
    let is_other = |held: &Allocation<'_>| held.slot != slot || held.owner != owner.as_str();
    block.next_generation() <= generation
        || earlier.is_some_and(|held| held.generation < generation)
        || block.allocations().any(|held| held.generation == generation && is_other(&held))
}
