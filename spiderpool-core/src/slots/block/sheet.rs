//! A block laid open: one plain value for each slot, for stores whose objects people and policies
//! read.
//!
//! Invariants:
//! 1. A block laid open and folded again is equal to itself (`a_sheet_folds_back`).
//! 2. A sheet from elsewhere becomes a block only if its parts agree (`a_forged_sheet_is_refused`).

use super::{BadBlock, Block, Quarantine, Resting, Stamp, Suspect, bit, insert_sorted};
use crate::name::Name;
use crate::owner::{Holder, Owner, Placement, Stage};
use crate::slots::BlockSize;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A block with each of its slots that is not free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// How many slots it has.
    pub size: BlockSize,
    /// The random number of this life of the block.
    pub incarnation: u64,
    /// How many events it has seen.
    pub commits: u64,
    /// The highest generation that was ever given in it.
    pub generation: u64,
    /// What is known of each slot that is not free, by its number.
    pub slots: BTreeMap<u8, Slot>,
}

/// What is known of a slot that is not free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// It has an owner.
    Allocated(Box<Held>),
    /// It was released, and rests.
    Resting {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// Somebody else was seen to use its address.
    Quarantined {
        /// Who answered.
        mac: [u8; 6],
        /// When, in milliseconds since the Unix epoch.
        since_ms: u64,
        /// Before this moment the address is not tried again.
        until_ms: u64,
        /// How often in a row it was found in conflict.
        rounds: u8,
    },
}

/// One allocated slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Who has it, through which incarnation, on which node.
    pub holder: Holder,
    /// Pool, attachment and network.
    pub placement: Placement,
    /// How far it has come.
    pub stage: Stage,
    /// Which grant of the slot it is.
    pub generation: u64,
    /// When the last change happened, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// How often in a row the address was in quarantine before.
    pub past_quarantines: u8,
}

impl Block {
    /// The block laid open.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let mut slots = BTreeMap::new();
        for seen in self.allocations() {
            let name = |text: &str| Name::new(text).ok();
            // Names of a block were names when they came in (invariant 4 of the block).
            let (Ok(owner), Some(node)) = (Owner::parse(seen.owner), name(seen.node)) else {
                continue;
            };
            let (pod_uid, container) = (name(seen.pod_uid), name(seen.container));
            let held = Held {
                holder: Holder { owner, pod_uid, container, node },
                placement: seen.placement.clone(),
                stage: seen.stage,
                generation: seen.generation,
                since_ms: seen.since_ms,
                past_quarantines: self.past_quarantines(seen.slot),
            };
            slots.insert(seen.slot, Slot::Allocated(Box::new(held)));
        }
        for Resting { slot, since_ms } in self.resting() {
            slots.insert(*slot, Slot::Resting { since_ms: *since_ms });
        }
        for Quarantine { slot, mac, since_ms, until_ms, rounds } in
            self.quarantined().iter().copied()
        {
            slots.insert(slot, Slot::Quarantined { mac, since_ms, until_ms, rounds });
        }
        Sheet {
            size: self.size,
            incarnation: self.incarnation,
            commits: self.commits,
            generation: self.generation,
            slots,
        }
    }
}

impl TryFrom<Sheet> for Block {
    type Error = BadBlock;

    fn try_from(sheet: Sheet) -> Result<Self, BadBlock> {
        let Sheet { size, incarnation, commits, generation, slots } = sheet;
        let damaged = |why| Err(BadBlock::Damaged { why });
        if generation.max(commits) > super::image::COUNTERS_MAX {
            return damaged("a counter is beyond anything that was ever counted");
        }
        let mut block = Self::new(size, incarnation);
        for (slot, state) in slots {
            if slot >= size.slots() {
                return damaged("a slot is outside of it");
            }
            match state {
                Slot::Allocated(held) if held.generation > generation => {
                    return damaged("a generation is from the future");
                }
                Slot::Allocated(held) => block.write_held(slot, &held),
                Slot::Resting { since_ms } => {
                    insert_sorted(&mut block.resting, Resting { slot, since_ms });
                }
                Slot::Quarantined { mac, since_ms, until_ms, rounds } => {
                    let quarantine = Quarantine { slot, mac, since_ms, until_ms, rounds };
                    insert_sorted(&mut block.quarantined, quarantine);
                }
            }
        }
        block.commits = commits;
        block.generation = generation;
        Ok(block)
    }
}

impl Block {
    fn write_held(&mut self, slot: u8, held: &Held) {
        let Held { holder, placement, stage, generation, since_ms, past_quarantines } = held;
        let stamp = Stamp { stage: *stage, generation: *generation, at_ms: *since_ms };
        self.grant(slot, holder, placement, stamp);
        if *past_quarantines > 0 && self.allocated & bit(slot) != 0 {
            insert_sorted(&mut self.suspects, Suspect { slot, rounds: *past_quarantines });
        }
    }
}
