//! The stored form of a block, and the judgement of bytes that claim to be one.

use super::text::Text;
use super::{Block, Placement, Quarantine, Record, Resting, Suspect, bit};
use crate::name::Name;
use crate::slots::BlockSize;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the format number of a stored block means: this module's layout.
const FORMAT: u16 = 1;

/// No block counts this far: 2^62 events take longer than any machine lasts.
pub(super) const COUNTERS_MAX: u64 = 1 << 62;

/// The stored form of a block.
#[derive(Serialize, Deserialize)]
pub(super) struct Image {
    format: u16,
    size: BlockSize,
    incarnation: u64,
    commits: u64,
    generation: u64,
    allocated: u64,
    records: Vec<Record>,
    text: String,
    placements: Vec<Placement>,
    resting: Vec<Resting>,
    quarantined: Vec<Quarantine>,
    suspects: Vec<Suspect>,
}

/// Bytes that are no block: written by a newer version, damaged, or forged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadBlock {
    /// A format that this version does not know.
    #[error(
        "the block has format {got}; this version reads format {FORMAT}, use the version that wrote it"
    )]
    Format {
        /// The format number found.
        got: u16,
    },
    /// Parts that do not agree.
    #[error("the block is damaged: {why}; restore the store from a backup")]
    Damaged {
        /// What does not agree.
        why: &'static str,
    },
}

impl From<Block> for Image {
    fn from(block: Block) -> Self {
        let (records, text) = block.packed();
        let Block { size, incarnation, commits, generation, allocated, .. } = block;
        let Block { placements, resting, quarantined, suspects, .. } = block;
        Self {
            format: FORMAT,
            size,
            incarnation,
            commits,
            generation,
            allocated,
            records,
            text,
            placements,
            resting,
            quarantined,
            suspects,
        }
    }
}

impl TryFrom<Image> for Block {
    type Error = BadBlock;

    fn try_from(image: Image) -> Result<Self, BadBlock> {
        if image.format != FORMAT {
            return Err(BadBlock::Format { got: image.format });
        }
        image.judge().map_err(|why| BadBlock::Damaged { why })?;
        let Image { size, incarnation, commits, generation, allocated, .. } = image;
        let Image { records, text, placements, resting, quarantined, suspects, .. } = image;
        let text = Text::from(text);
        Ok(Self {
            size,
            incarnation,
            commits,
            generation,
            allocated,
            records,
            text,
            placements,
            resting,
            quarantined,
            suspects,
        })
    }
}

impl Image {
    fn judge(&self) -> Result<(), &'static str> {
        if self.generation.max(self.commits) > COUNTERS_MAX {
            return Err("a counter is beyond anything that was ever counted");
        }
        let inside = u64::MAX >> (64 - self.size.slots().min(64));
        if self.allocated & !inside != 0 {
            return Err("an allocated slot is outside of it");
        }
        if self.records.len() != self.allocated.count_ones() as usize {
            return Err("its records do not match its allocated slots");
        }
        let mut busy = self.allocated;
        let slots =
            self.resting.iter().map(|r| r.slot).chain(self.quarantined.iter().map(|q| q.slot));
        for slot in slots {
            if slot >= self.size.slots() || busy & bit(slot) != 0 {
                return Err("a slot is in two lists or outside of it");
            }
            busy |= bit(slot);
        }
        let stray = |suspect: &Suspect| self.allocated & bit(suspect.slot) == 0;
        if self.suspects.iter().any(stray) || !self.suspects.is_sorted() {
            return Err("a suspect is not allocated or out of order");
        }
        if !self.resting.is_sorted()
            || !self.quarantined.is_sorted()
            || !self.placements.is_sorted()
        {
            return Err("a list is out of order");
        }
        self.judge_records()
    }

    fn judge_records(&self) -> Result<(), &'static str> {
        let mut at = 0;
        let mut used = vec![false; self.placements.len()];
        for record in &self.records {
            if usize::from(record.text_at) != at || record.owner == 0 {
                return Err("its names are out of order");
            }
            at = record.span().end;
            if record.spans().into_iter().any(|span| self.text.get(span).is_none()) {
                return Err("its names are cut in the wrong places");
            }
            let Some(mark) = used.get_mut(usize::from(record.placement)) else {
                return Err("a placement is missing");
            };
            *mark = true;
            if record.generation > self.generation {
                return Err("a generation is from the future");
            }
        }
        let names = self.records.iter().flat_map(|r| r.spans()).filter(|span| !span.is_empty());
        for span in names {
            if Name::new(self.text.get(span).unwrap_or_default()).is_err() {
                return Err("a name is not one");
            }
        }
        if at == self.text.len() && used.iter().all(|used| *used) {
            Ok(())
        } else {
            Err("it has names or placements that nothing uses")
        }
    }
}
