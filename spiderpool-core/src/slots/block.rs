//! A block: what is known of each of its slots, packed.
//!
//! The names of all allocations stand in one text, in slot order, and a record keeps their lengths;
//! a block is one value of a few kilobytes that is cheap to clone, compare and store.
//!
//! Invariants:
//! 1. A slot is in at most one of the three lists (`the_three_lists_are_disjoint`).
//! 2. Two blocks with the same content are equal, whatever led there
//!    (`content_decides_equality`).
//! 3. A slot's generation never returns (`generations_never_return`).
//! 4. Bytes from elsewhere become a block only if they keep all of this
//!    (`a_forged_image_is_refused`).

use super::BlockSize;
use crate::name::Name;
use crate::owner::{Holder, Placement, Stage};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use thiserror::Error;

/// What the format number of a stored block means: this module's layout.
const FORMAT: u16 = 1;

/// No block counts this far: 2^62 events take longer than any machine lasts.
const COUNTERS_MAX: u64 = 1 << 62;

/// The state of 16 to 64 consecutive addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Image", into = "Image")]
pub struct Block {
    size: BlockSize,
    incarnation: u64,
    commits: u64,
    generation: u64,
    /// A bit for each allocated slot; `records` has one entry for each, in order.
    allocated: u64,
    records: Vec<Record>,
    text: String,
    placements: Vec<Placement>,
    resting: Vec<Resting>,
    quarantined: Vec<Quarantine>,
    suspects: Vec<Suspect>,
}

/// The packed part of an allocation: where its names stand in the block's text, and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    text_at: u16,
    owner: u8,
    pod_uid: u8,
    container: u8,
    node: u8,
    placement: u8,
    stage: Stage,
    generation: u64,
    since_ms: u64,
}

/// Everything that is known of one allocated slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation<'a> {
    /// The slot within its block.
    pub slot: u8,
    /// The text of the owner (see [`crate::owner::Owner`]).
    pub owner: &'a str,
    /// The pod's UID; empty where there is none.
    pub pod_uid: &'a str,
    /// The container id; empty while a static identity has no pod.
    pub container: &'a str,
    /// The node.
    pub node: &'a str,
    /// Pool, attachment and network.
    pub placement: &'a Placement,
    /// How far it has come.
    pub stage: Stage,
    /// Which grant of this slot it is; a release has to present it.
    pub generation: u64,
    /// When the last change happened, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// A released slot that is remembered: it cools down, or waits for its turn in a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resting {
    /// The slot within its block.
    pub slot: u8,
    /// When it was released, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// A slot whose address somebody else was seen to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quarantine {
    /// The slot within its block.
    pub slot: u8,
    /// Who answered for the address.
    pub mac: [u8; 6],
    /// When, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Before this moment the address is not tried again.
    pub until_ms: u64,
    /// How often in a row it was found in conflict.
    pub rounds: u8,
}

/// An allocated slot that came out of quarantine: should its address be found in conflict again,
/// the next quarantine is longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Suspect {
    slot: u8,
    rounds: u8,
}

impl Block {
    /// A block in which every slot is free. `incarnation` is a random number that tells this block
    /// from one of the same name that was deleted before.
    #[must_use]
    pub const fn new(size: BlockSize, incarnation: u64) -> Self {
        Self {
            size,
            incarnation,
            commits: 0,
            generation: 0,
            allocated: 0,
            records: Vec::new(),
            text: String::new(),
            placements: Vec::new(),
            resting: Vec::new(),
            quarantined: Vec::new(),
            suspects: Vec::new(),
        }
    }

    /// How many slots it has.
    #[must_use]
    pub const fn size(&self) -> BlockSize {
        self.size
    }

    /// The random number of this life of the block.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// How many events it has seen.
    #[must_use]
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// The generation that the next grant of any of its slots has to carry.
    #[must_use]
    pub const fn next_generation(&self) -> u64 {
        self.generation + 1
    }

    /// A bit for each allocated slot.
    #[must_use]
    pub const fn allocated(&self) -> u64 {
        self.allocated
    }

    /// A bit for each resting slot.
    #[must_use]
    pub fn resting_mask(&self) -> u64 {
        self.resting.iter().fold(0, |mask, resting| mask | bit(resting.slot))
    }

    /// A bit for each quarantined slot.
    #[must_use]
    pub fn quarantined_mask(&self) -> u64 {
        self.quarantined.iter().fold(0, |mask, quarantine| mask | bit(quarantine.slot))
    }

    /// A bit for each slot that is not free.
    #[must_use]
    pub fn busy(&self) -> u64 {
        self.allocated | self.resting_mask() | self.quarantined_mask()
    }

    /// Whether nothing is known of any slot.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.busy() == 0
    }

    /// The slots that rest, in slot order.
    #[must_use]
    pub fn resting(&self) -> &[Resting] {
        &self.resting
    }

    /// The slots in quarantine, in slot order.
    #[must_use]
    pub fn quarantined(&self) -> &[Quarantine] {
        &self.quarantined
    }

    /// How often in a row the address of an allocated slot was in quarantine before.
    #[must_use]
    pub fn past_quarantines(&self, slot: u8) -> u8 {
        self.suspects.iter().find(|suspect| suspect.slot == slot).map_or(0, |suspect| suspect.rounds)
    }

    /// Every allocated slot, in slot order.
    pub fn allocations(&self) -> impl Iterator<Item = Allocation<'_>> {
        let slots = Bits(self.allocated);
        slots.zip(&self.records).map(|(slot, record)| self.unpack(slot, record))
    }

    /// What is known of one slot, if it is allocated.
    #[must_use]
    pub fn allocation(&self, slot: u8) -> Option<Allocation<'_>> {
        let record = self.records.get(self.place(slot)?)?;
        Some(self.unpack(slot, record))
    }

    /// Bytes that it holds on the heap, and how many of them are names.
    #[must_use]
    pub fn heap_bytes(&self) -> (usize, usize) {
        let all = self.records.capacity() * size_of::<Record>()
            + self.text.capacity()
            + self.placements.capacity() * size_of::<Placement>()
            + self.resting.capacity() * size_of::<Resting>()
            + self.quarantined.capacity() * size_of::<Quarantine>()
            + self.suspects.capacity() * size_of::<Suspect>();
        (all, self.text.capacity())
    }

    fn unpack(&self, slot: u8, record: &Record) -> Allocation<'_> {
        let [owner, pod_uid, container, node] = record.spans();
        Allocation {
            slot,
            owner: self.text.get(owner).unwrap_or_default(),
            pod_uid: self.text.get(pod_uid).unwrap_or_default(),
            container: self.text.get(container).unwrap_or_default(),
            node: self.text.get(node).unwrap_or_default(),
            placement: self.placement(record.placement),
            stage: record.stage,
            generation: record.generation,
            since_ms: record.since_ms,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "every record's placement exists (invariant 4)")]
    fn placement(&self, at: u8) -> &Placement {
        &self.placements[usize::from(at)]
    }

    /// The position of an allocated slot's record.
    fn place(&self, slot: u8) -> Option<usize> {
        (self.allocated & bit(slot) != 0).then(|| self.rank(slot))
    }

    /// How many allocated slots are below `slot`.
    fn rank(&self, slot: u8) -> usize {
        (self.allocated & (bit(slot).wrapping_sub(1))).count_ones() as usize
    }
}

/// The events of a block, each total: one that does not fit the state changes nothing but the
/// commit counter.
impl Block {
    /// Allocates a slot, whatever it was before.
    pub(crate) fn grant(&mut self, slot: u8, holder: &Holder, placement: &Placement, stamp: Stamp) {
        self.commits += 1;
        if slot >= self.size.slots() {
            return;
        }
        let quarantine = self.quarantined.iter().find(|quarantine| quarantine.slot == slot);
        let rounds = quarantine.map_or_else(|| self.past_quarantines(slot), |quarantine| quarantine.rounds);
        self.remove(slot);
        if rounds > 0 {
            insert_sorted(&mut self.suspects, Suspect { slot, rounds });
        }
        self.generation = self.generation.max(stamp.generation);
        let at = self.rank(slot);
        let text_at = self.records.get(at).map_or(self.text.len(), |r| usize::from(r.text_at));
        let parts = [
            holder.owner.as_str(),
            holder.pod_uid.as_deref().unwrap_or_default(),
            holder.container.as_deref().unwrap_or_default(),
            &holder.node,
        ];
        let [owner, pod_uid, container, node] = parts.map(|part| length(part.len()));
        let placement = self.intern(placement);
        let (stage, generation, since_ms) = (stamp.stage, stamp.generation, stamp.at_ms);
        let text_at = u16::try_from(text_at).unwrap_or(u16::MAX);
        let record = Record { text_at, owner, pod_uid, container, node, placement, stage, generation, since_ms };
        self.text.insert_str(usize::from(text_at), &parts.concat());
        self.records.insert(at, record);
        self.allocated |= bit(slot);
        self.shift_text(at + 1, |text_at| text_at + record.text_len());
    }

    /// Frees an allocated slot if it is still at `generation`; it may rest.
    pub(crate) fn release(&mut self, slot: u8, generation: u64, rest_since_ms: Option<u64>) {
        self.commits += 1;
        if self.allocation(slot).is_none_or(|allocation| allocation.generation != generation) {
            return;
        }
        self.remove(slot);
        if let Some(since_ms) = rest_since_ms {
            insert_sorted(&mut self.resting, Resting { slot, since_ms });
        }
    }

    /// Moves a slot to another stage, and gives an attachment its network.
    pub(crate) fn restage(&mut self, slot: u8, placement: &Placement, stage: Stage, at_ms: u64) {
        self.commits += 1;
        let Some(at) = self.place(slot) else { return };
        let placement = self.intern(placement);
        if let Some(record) = self.records.get_mut(at) {
            record.placement = placement;
            record.stage = stage;
            record.since_ms = at_ms;
        }
        self.forget_unused_placements();
    }

    /// Puts a slot in quarantine, whatever it was before.
    pub(crate) fn quarantine(&mut self, quarantine: Quarantine) {
        self.commits += 1;
        if quarantine.slot >= self.size.slots() {
            return;
        }
        self.remove(quarantine.slot);
        insert_sorted(&mut self.quarantined, quarantine);
    }

    /// Ends a quarantine or a rest: the slot is free.
    pub(crate) fn clear(&mut self, slot: u8) {
        self.commits += 1;
        self.quarantined.retain(|quarantine| quarantine.slot != slot);
        self.resting.retain(|resting| resting.slot != slot);
    }

    /// Makes a slot free, in whichever list it is.
    fn remove(&mut self, slot: u8) {
        self.quarantined.retain(|quarantine| quarantine.slot != slot);
        self.resting.retain(|resting| resting.slot != slot);
        self.suspects.retain(|suspect| suspect.slot != slot);
        let Some(at) = self.place(slot) else { return };
        let record = self.records.remove(at);
        self.allocated &= !bit(slot);
        self.text.replace_range(record.span(), "");
        self.shift_text(at, |text_at| text_at - record.text_len());
        self.forget_unused_placements();
    }

    fn shift_text(&mut self, from: usize, shift: impl Fn(u16) -> u16) {
        for record in self.records.iter_mut().skip(from) {
            record.text_at = shift(record.text_at);
        }
    }

    /// The position of a placement in the sorted table, where it is put if it is new.
    fn intern(&mut self, placement: &Placement) -> u8 {
        let at = match self.placements.binary_search(placement) {
            Ok(at) => return length(at),
            Err(at) => at,
        };
        self.placements.insert(at, placement.clone());
        let at = length(at);
        for record in self.records.iter_mut().filter(|record| record.placement >= at) {
            record.placement += 1;
        }
        at
    }

    fn forget_unused_placements(&mut self) {
        for at in (0..self.placements.len()).rev() {
            let place = length(at);
            if self.records.iter().any(|record| record.placement == place) {
                continue;
            }
            self.placements.remove(at);
            for record in self.records.iter_mut().filter(|record| record.placement > place) {
                record.placement -= 1;
            }
        }
    }
}

/// What a grant carries besides names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) stage: Stage,
    pub(crate) generation: u64,
    pub(crate) at_ms: u64,
}

impl Record {
    fn text_len(self) -> u16 {
        [self.owner, self.pod_uid, self.container, self.node].into_iter().map(u16::from).sum()
    }

    fn span(self) -> Range<usize> {
        let at = usize::from(self.text_at);
        at..at + usize::from(self.text_len())
    }

    fn spans(self) -> [Range<usize>; 4] {
        let mut at = usize::from(self.text_at);
        [self.owner, self.pod_uid, self.container, self.node].map(|length| {
            let from = at;
            at += usize::from(length);
            from..at
        })
    }
}

/// The slots whose bit is set, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.0 == 0 {
            return None;
        }
        let slot = length(self.0.trailing_zeros() as usize);
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

fn insert_sorted<T: Ord>(list: &mut Vec<T>, item: T) {
    let at = list.partition_point(|other| *other < item);
    list.insert(at, item);
}

const fn bit(slot: u8) -> u64 {
    if slot < 64 { 1 << slot } else { 0 }
}

/// A length or position that is known to be small (names have at most 255 bytes, blocks 64 slots).
fn length(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// The stored form of a block.
#[derive(Serialize, Deserialize)]
struct Image {
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
    #[error("the block has format {got}; this version reads format {FORMAT}, use the version that wrote it")]
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
        let Block { size, incarnation, commits, generation, allocated, .. } = block;
        let Block { records, text, placements, resting, quarantined, suspects, .. } = block;
        Self { format: FORMAT, size, incarnation, commits, generation, allocated, records, text, placements, resting, quarantined, suspects }
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
        Ok(Self { size, incarnation, commits, generation, allocated, records, text, placements, resting, quarantined, suspects })
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
        let slots = self.resting.iter().map(|r| r.slot).chain(self.quarantined.iter().map(|q| q.slot));
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
        if !self.resting.is_sorted() || !self.quarantined.is_sorted() || !self.placements.is_sorted() {
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

#[cfg(test)]
mod tests;
