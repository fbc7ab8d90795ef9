//! A block: what is known of each of its slots, packed.
//!
//! The names of all allocations stand in one text, and a record keeps where and how long they are; a
//! block is one value of a few kilobytes that is cheap to clone, compare and store. Stored, its names
//! stand in slot order without a gap.
//!
//! Invariants:
//! 1. A slot is in at most one of the three lists (`the_three_lists_are_disjoint`).
//! 2. Two blocks with the same content are equal, whatever led there
//!    (`content_decides_equality`).
//! 3. A slot's generation never returns (`generations_never_return`).
//! 4. Bytes from elsewhere become a block only if they keep all of this
//!    (`a_forged_image_is_refused`).

mod image;
mod sheet;
mod text;

use super::BlockSize;
use crate::owner::{Holder, Placement, Stage};
pub use image::BadBlock;
use image::Image;
use serde::{Deserialize, Serialize};
pub use sheet::{Held, Sheet, Slot};
use std::ops::Range;
use text::Text;

/// The state of 16 to 64 consecutive addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Image", into = "Image")]
pub struct Block {
    size: BlockSize,
    incarnation: u64,
    commits: u64,
    generation: u64,
    /// A bit for each allocated slot; `records` has one entry for each, in order.
    allocated: u64,
    records: Vec<Record>,
    text: Text,
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
            text: Text::new(),
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

    /// The block with a generation that its grants have to be above.
    #[must_use]
    pub const fn above(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
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
        self.suspects
            .iter()
            .find(|suspect| suspect.slot == slot)
            .map_or(0, |suspect| suspect.rounds)
    }

    /// Every allocated slot, in slot order.
    pub fn allocations(&self) -> impl Iterator<Item = Allocation<'_>> {
        let whole = self.text.whole();
        let slots = Bits(self.allocated);
        slots.zip(&self.records).map(move |(slot, record)| self.unpack(slot, record, whole))
    }

    /// What is known of one slot, if it is allocated.
    #[must_use]
    pub fn allocation(&self, slot: u8) -> Option<Allocation<'_>> {
        let record = self.records.get(self.place(slot)?)?;
        Some(self.unpack(slot, record, None))
    }

    /// The texts of the owner and the container of an allocated slot, as bytes.
    pub(crate) fn keys(&self, slot: u8) -> Option<[&[u8]; 2]> {
        let record = self.records.get(self.place(slot)?)?;
        Some(self.keys_of(record))
    }

    /// The same of every allocated slot, in slot order.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = (u8, [&[u8]; 2])> {
        let slots = Bits(self.allocated);
        slots.zip(&self.records).map(|(slot, record)| (slot, self.keys_of(record)))
    }

    fn keys_of(&self, record: &Record) -> [&[u8]; 2] {
        let [owner, _, container, _] = record.spans();
        [self.text.bytes(owner), self.text.bytes(container)]
    }

    /// Where an allocated slot belongs.
    pub(crate) fn placement_of(&self, slot: u8) -> Option<&Placement> {
        let record = self.records.get(self.place(slot)?)?;
        Some(self.placement(record.placement))
    }

    /// Since when a slot rests, if it does.
    pub(crate) fn rests_since(&self, slot: u8) -> Option<u64> {
        self.resting.iter().find(|resting| resting.slot == slot).map(|resting| resting.since_ms)
    }

    /// Bytes that it holds on the heap, and how many of them are names.
    #[must_use]
    pub fn heap_bytes(&self) -> (usize, usize) {
        let (text, names) = self.text.heap_bytes();
        let all = self.records.capacity() * size_of::<Record>()
            + text
            + self.placements.capacity() * size_of::<Placement>()
            + self.resting.capacity() * size_of::<Resting>()
            + self.quarantined.capacity() * size_of::<Quarantine>()
            + self.suspects.capacity() * size_of::<Suspect>();
        (all, names)
    }

    /// Lays a record open; `whole` is all of the text, where somebody has looked at it.
    fn unpack<'a>(&'a self, slot: u8, record: &Record, whole: Option<&'a str>) -> Allocation<'a> {
        let part = |span: Range<usize>| {
            let part = whole.and_then(|whole| whole.get(span.clone()));
            part.unwrap_or_else(|| self.text.get(span))
        };
        let [owner, pod_uid, container, node] = record.spans().map(part);
        Allocation {
            slot,
            owner,
            pod_uid,
            container,
            node,
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
        let rounds =
            quarantine.map_or_else(|| self.past_quarantines(slot), |quarantine| quarantine.rounds);
        self.remove(slot);
        if rounds > 0 {
            insert_sorted(&mut self.suspects, Suspect { slot, rounds });
        }
        self.generation = self.generation.max(stamp.generation);
        let parts = holder.parts();
        let [owner, pod_uid, container, node] = parts.map(|part| length(part.len()));
        let placement = self.intern(placement);
        let (stage, generation, since_ms) = (stamp.stage, stamp.generation, stamp.at_ms);
        let mut record = Record {
            text_at: 0,
            owner,
            pod_uid,
            container,
            node,
            placement,
            stage,
            generation,
            since_ms,
        };
        record.text_at = self.room(record.text_len());
        self.text.write(record.text_at, parts);
        self.records.insert(self.rank(slot), record);
        self.allocated |= bit(slot);
    }

    /// Where names of a length can stand; packs the text where it has to.
    fn room(&mut self, length: u16) -> u16 {
        if let Some(at) = self.text.room(length) {
            return at;
        }
        let (records, text) = self.packed();
        (self.records, self.text) = (records, Text::from(text));
        // All names of 64 allocations together are shorter than 2^16 bytes.
        self.text.room(length).unwrap_or(u16::MAX)
    }

    /// The records and their text, in slot order without a gap.
    fn packed(&self) -> (Vec<Record>, String) {
        let length = self.records.iter().map(|record| usize::from(record.text_len())).sum();
        let mut text = String::with_capacity(length);
        let place = |record: &Record| {
            let text_at = u16::try_from(text.len()).unwrap_or(u16::MAX);
            text.push_str(self.text.get(record.span()));
            Record { text_at, ..*record }
        };
        let records = self.records.iter().map(place).collect();
        (records, text)
    }

    /// Frees an allocated slot if it is still at `generation`; it may rest.
    pub(crate) fn release(&mut self, slot: u8, generation: u64, rest_since_ms: Option<u64>) {
        self.commits += 1;
        let record = self.place(slot).and_then(|at| self.records.get(at));
        if record.is_none_or(|record| record.generation != generation) {
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
        self.text.erase(record.text_at, record.text_len());
        self.forget_if_unused(record.placement);
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
            self.forget_if_unused(length(at));
        }
    }

    fn forget_if_unused(&mut self, place: u8) {
        if self.records.iter().any(|record| record.placement == place) {
            return;
        }
        self.placements.remove(usize::from(place));
        for record in self.records.iter_mut().filter(|record| record.placement > place) {
            record.placement -= 1;
        }
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        let counters =
            |block: &Self| (block.size, block.incarnation, block.commits, block.generation);
        counters(self) == counters(other)
            && (self.allocated, &self.resting) == (other.allocated, &other.resting)
            && self.quarantined == other.quarantined
            && self.suspects == other.suspects
            && (self.is_packed_like(other) || self.allocations().eq(other.allocations()))
    }
}

impl Eq for Block {}

impl Block {
    /// Whether even the bytes are the same, which tells the same content without a look at it.
    fn is_packed_like(&self, other: &Self) -> bool {
        self.records == other.records
            && self.placements == other.placements
            && self.text.is_like(&other.text)
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

#[cfg(test)]
mod tests;
