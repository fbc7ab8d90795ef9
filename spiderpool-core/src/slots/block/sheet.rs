//! A block laid open: one plain value for each slot, for stores whose objects people and policies
//! read.
//!
//! Invariants:
//! 1. A block laid open and folded again is equal to itself (`a_sheet_folds_back`).
//! 2. A sheet from elsewhere becomes a block only if its parts agree (`a_forged_sheet_is_refused`).

use super::{Allocation, BadBlock, Block, Quarantine, Record, Resting, Suspect, bit, length};
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
        self.laid_open(|seen| self.held(seen))
    }

    /// The block laid open beside an earlier state of it: what they have in common shares its names.
    #[must_use]
    pub fn sheet_beside(&self, earlier: &Sheet) -> Sheet {
        self.laid_open(|seen| match earlier.slots.get(&seen.slot) {
            Some(Slot::Allocated(held)) if self.holds(seen.slot, held) => Some(Held::clone(held)),
            _ => self.held(seen),
        })
    }

    /// Whether a sheet says what the block laid open would, told without laying it open.
    #[must_use]
    pub fn is_laid_open_in(&self, sheet: &Sheet) -> bool {
        let &Sheet { size, incarnation, commits, generation, ref slots } = sheet;
        let is_said = |(&slot, state): (&u8, &Slot)| match state {
            Slot::Allocated(held) => self.holds(slot, held),
            Slot::Resting { since_ms } => self.rests_since(slot) == Some(*since_ms),
            &Slot::Quarantined { mac, since_ms, until_ms, rounds } => {
                let quarantine = Quarantine { slot, mac, since_ms, until_ms, rounds };
                self.quarantined().contains(&quarantine)
            }
        };
        (size, incarnation) == (self.size, self.incarnation)
            && (commits, generation) == (self.commits, self.generation)
            && slots.len() == self.busy().count_ones() as usize
            && slots.iter().all(is_said)
    }

    /// Whether a slot is allocated, and says just this.
    fn holds(&self, slot: u8, held: &Held) -> bool {
        let record = self.place(slot).and_then(|at| self.records.get(at));
        record.is_some_and(|record| {
            (record.stage, record.generation) == (held.stage, held.generation)
                && record.since_ms == held.since_ms
                && record.spans().map(|span| self.text.bytes(span))
                    == held.holder.parts().map(str::as_bytes)
                && *self.placement(record.placement) == held.placement
                && self.past_quarantines(slot) == held.past_quarantines
        })
    }

    fn laid_open<'a>(&'a self, held: impl Fn(&Allocation<'a>) -> Option<Held>) -> Sheet {
        let allocated = self.allocations().filter_map(|seen| {
            held(&seen).map(|held| (seen.slot, Slot::Allocated(Box::new(held))))
        });
        let resting = self
            .resting()
            .iter()
            .map(|resting| (resting.slot, Slot::Resting { since_ms: resting.since_ms }));
        let quarantined = self.quarantined().iter().map(|quarantine| {
            let Quarantine { slot, mac, since_ms, until_ms, rounds } = *quarantine;
            (slot, Slot::Quarantined { mac, since_ms, until_ms, rounds })
        });
        Sheet {
            size: self.size,
            incarnation: self.incarnation,
            commits: self.commits,
            generation: self.generation,
            slots: allocated.chain(resting).chain(quarantined).collect(),
        }
    }

    fn held(&self, seen: &Allocation<'_>) -> Option<Held> {
        // Names of a block were names when they came in (invariant 4 of the block).
        let name = Name::checked_before;
        let (owner, node) = (Owner::checked_before(seen.owner)?, name(seen.node)?);
        let (pod_uid, container) = (name(seen.pod_uid), name(seen.container));
        Some(Held {
            holder: Holder { owner, pod_uid, container, node },
            placement: seen.placement.clone(),
            stage: seen.stage,
            generation: seen.generation,
            since_ms: seen.since_ms,
            past_quarantines: self.past_quarantines(seen.slot),
        })
    }
}

impl TryFrom<Sheet> for Block {
    type Error = BadBlock;

    fn try_from(sheet: Sheet) -> Result<Self, BadBlock> {
        Self::try_from(&sheet)
    }
}

impl TryFrom<&Sheet> for Block {
    type Error = BadBlock;

    fn try_from(sheet: &Sheet) -> Result<Self, BadBlock> {
        let &Sheet { size, incarnation, commits, generation, ref slots } = sheet;
        let damaged = |why| Err(BadBlock::Damaged { why });
        if generation.max(commits) > super::image::COUNTERS_MAX {
            return damaged("a counter is beyond anything that was ever counted");
        }
        let mut block = Self::new(size, incarnation);
        let length = |state: &Slot| match state {
            Slot::Allocated(held) => held.holder.parts().into_iter().map(str::len).sum(),
            Slot::Resting { .. } | Slot::Quarantined { .. } => 0,
        };
        block.records.reserve_exact(slots.len());
        block.text.reserve(slots.values().map(length).sum());
        // In slot order, so each goes behind those before it.
        for (&slot, state) in slots {
            if slot >= size.slots() {
                return damaged("a slot is outside of it");
            }
            match state {
                Slot::Allocated(held) if held.generation > generation => {
                    return damaged("a generation is from the future");
                }
                Slot::Allocated(held) => block.append_held(slot, held),
                &Slot::Resting { since_ms } => block.resting.push(Resting { slot, since_ms }),
                &Slot::Quarantined { mac, since_ms, until_ms, rounds } => {
                    let quarantine = Quarantine { slot, mac, since_ms, until_ms, rounds };
                    block.quarantined.push(quarantine);
                }
            }
        }
        block.commits = commits;
        block.generation = generation;
        Ok(block)
    }
}

impl Block {
    /// Writes an allocated slot behind all others.
    fn append_held(&mut self, slot: u8, held: &Held) {
        let &Held { stage, generation, since_ms, past_quarantines, .. } = held;
        let parts = held.holder.parts();
        let text_at = self.text.append(parts);
        let [owner, pod_uid, container, node] = parts.map(|part| length(part.len()));
        let last = self.records.last().map(|record| record.placement);
        let placement = match last.filter(|last| *self.placement(*last) == held.placement) {
            Some(last) => last,
            None => self.intern(&held.placement),
        };
        self.records.push(Record {
            text_at,
            owner,
            pod_uid,
            container,
            node,
            placement,
            stage,
            generation,
            since_ms,
        });
        self.allocated |= bit(slot);
        if past_quarantines > 0 {
            self.suspects.push(Suspect { slot, rounds: past_quarantines });
        }
    }
}
