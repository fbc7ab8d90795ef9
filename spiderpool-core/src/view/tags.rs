//! A small index: from the digest of a key to the places where the key may be found.
//!
//! Open addressing over one array that is kept in the order of the tags, so that a search ends at the
//! first greater one and the content does not depend on the order of insertions. Its owner checks what
//! it finds: keys with equal tags stand side by side. It costs 10 to 13 bytes for each entry, and one
//! cache line for most look-ups (bench `ledger`, program `memory`).
//!
//! Invariant: a search gives exactly the places that were put in under the tag and not taken out
//! (`agrees_with_a_plain_set`).

use crate::moment::mix;

/// Of so many seats at most [`FULL`] are taken before the table grows.
const SEATS: usize = 5;
const FULL: usize = 4;

/// The seats of the smallest table.
const SEATS_MIN: usize = 16;

/// A multimap from 32-bit tags to 32-bit places. No tag and place are both `u32::MAX`.
#[derive(Clone, Debug, Default)]
pub(super) struct Tags {
    /// Entries in order, each at its home or behind it, with vacant seats between.
    seats: Vec<u64>,
    /// How many seats are homes; the others are there for what is displaced at the end.
    homes: usize,
    taken: usize,
}

const VACANT: u64 = u64::MAX;

const fn entry(tag: u32, place: u32) -> u64 {
    ((tag as u64) << 32) | place as u64
}

impl Tags {
    /// Puts a place in under a tag; it may be there already.
    pub(super) fn insert(&mut self, tag: u32, place: u32) {
        if self.taken * SEATS >= self.homes * FULL {
            self.grow();
        }
        let new = entry(tag, place);
        let at = self.seat(new);
        if self.seats.get(at) == Some(&new) {
            return;
        }
        self.taken += 1;
        let behind = self.seats.get(at..).unwrap_or_default();
        match behind.iter().position(|seat| *seat == VACANT) {
            Some(vacant) => {
                if let Some(moved) = self.seats.get_mut(at..=at + vacant) {
                    moved.rotate_right(1);
                    moved.iter_mut().take(1).for_each(|seat| *seat = new);
                }
            }
            None => self.seats.insert(at, new),
        }
    }

    /// Takes a place out again, if it is there.
    pub(super) fn remove(&mut self, tag: u32, place: u32) {
        let old = entry(tag, place);
        let mut at = self.seat(old);
        if self.seats.get(at) != Some(&old) {
            return;
        }
        self.taken -= 1;
        while let Some(next) =
            self.seats.get(at + 1).copied().filter(|next| self.is_displaced(*next, at + 1))
        {
            self.set(at, next);
            at += 1;
        }
        self.set(at, VACANT);
    }

    /// The places under a tag, in order.
    pub(super) fn places(&self, tag: u32) -> impl Iterator<Item = u32> {
        let from = self.seat(entry(tag, 0));
        let found = self.seats.get(from..).unwrap_or_default().iter().copied();
        found.take_while(move |seat| *seat != VACANT && seat >> 32 == u64::from(tag)).map(low)
    }

    /// How many entries it has.
    #[cfg(test)]
    const fn len(&self) -> usize {
        self.taken
    }

    /// Bytes that it holds on the heap.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.seats.capacity() * size_of::<u64>()
    }

    /// Where an entry is, or would be put in.
    fn seat(&self, entry: u64) -> usize {
        let home = self.home(entry);
        let behind = self.seats.get(home..).unwrap_or_default();
        home + behind.iter().position(|seat| *seat >= entry).unwrap_or(behind.len())
    }

    /// The seat at which the search for an entry starts; greater tags have no lower one.
    fn home(&self, entry: u64) -> usize {
        let homes = u64::try_from(self.homes).unwrap_or(u64::MAX);
        usize::try_from(((entry >> 32) * homes) >> 32).unwrap_or(0)
    }

    fn is_displaced(&self, entry: u64, at: usize) -> bool {
        entry != VACANT && self.home(entry) < at
    }

    fn set(&mut self, at: usize, entry: u64) {
        if let Some(seat) = self.seats.get_mut(at) {
            *seat = entry;
        }
    }

    /// Makes room by a quarter; entries stay in order, so one sweep does it.
    fn grow(&mut self) {
        let homes = SEATS_MIN.max(self.homes + self.homes / 4);
        let old = std::mem::take(&mut self.seats);
        self.homes = homes;
        self.seats = Vec::with_capacity(homes + SEATS_MIN);
        for entry in old.into_iter().filter(|entry| *entry != VACANT) {
            let home = self.home(entry);
            if self.seats.len() < home {
                self.seats.resize(home, VACANT);
            }
            self.seats.push(entry);
        }
        let all = self.seats.len().max(homes + SEATS_MIN);
        self.seats.resize(all, VACANT);
    }
}

/// A digest of a text, eight bytes at a time; it means nothing outside of this view.
pub(super) fn tag(text: &[u8]) -> u32 {
    let mut digest = text.len() as u64;
    let mut words = text.chunks_exact(8);
    for word in words.by_ref() {
        digest = mix(digest ^ word.iter().rev().fold(0, |all, byte| (all << 8) | u64::from(*byte)));
    }
    let rest = words.remainder().iter().fold(0, |all, byte| (all << 8) | u64::from(*byte));
    upper(mix(digest ^ rest))
}

/// A digest of a number.
#[expect(clippy::cast_possible_truncation, reason = "both halves are used, one after the other")]
pub(super) fn number_tag(number: u128) -> u32 {
    upper(mix(mix(number as u64) ^ (number >> 64) as u64))
}

const fn upper(digest: u64) -> u32 {
    (digest >> 32) as u32
}

/// The place of an entry.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is the tag")]
const fn low(entry: u64) -> u32 {
    entry as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn check(steps: &[(bool, u32, u32)]) {
        let (mut tags, mut plain) = (Tags::default(), BTreeSet::new());
        for (put, tag, place) in steps.iter().copied() {
            if put {
                tags.insert(tag, place);
                plain.insert((tag, place));
            } else {
                tags.remove(tag, place);
                plain.remove(&(tag, place));
            }
            assert_eq!(tags.len(), plain.len());
        }
        for (_, tag, _) in steps {
            let expected: Vec<_> =
                plain.range((*tag, 0)..=(*tag, u32::MAX)).map(|(_, p)| *p).collect();
            assert_eq!(tags.places(*tag).collect::<Vec<_>>(), expected, "tag {tag}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            steps in prop::collection::vec((prop::bool::weighted(0.7), 0u32..40, 0u32..5), 0..300),
            spread in prop::sample::select(vec![1u32, 1 << 20, 100_000_007]),
        ) {
            let far = |(put, tag, place): (bool, u32, u32)| (put, u32::MAX - tag.wrapping_mul(spread), place);
            check(&steps.into_iter().map(far).collect::<Vec<_>>());
        }
    }

    #[test]
    fn equal_tags_cost_only_themselves() {
        let mut tags = Tags::default();
        (0..1000).for_each(|place| tags.insert(u32::MAX, place));
        assert_eq!(tags.places(u32::MAX).count(), 1000);
        assert!(tags.heap_bytes() < 40_000, "{}", tags.heap_bytes());
    }
}
