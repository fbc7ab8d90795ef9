//! The names of a block's allocations, one behind the other, in the order in which they came.
//!
//! What a released allocation leaves is a hole that the next one of no greater length fills: names of
//! pods have usual lengths, so a worn block is rewritten seldom and a grant moves nothing. Where a
//! name stands is kept by the block's records and means nothing to a reader
//! (`content_decides_equality`).

use std::ops::Range;

/// Bytes of names, with holes.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    at: u16,
    length: u16,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), holes: Vec::new() }
    }

    /// What stands at a place; empty where nothing does.
    pub(super) fn get(&self, place: Range<usize>) -> &str {
        std::str::from_utf8(self.bytes(place)).unwrap_or_default()
    }

    /// The same as bytes, which costs no look at them.
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        self.bytes.get(place).unwrap_or_default()
    }

    /// Whether the same names stand in the same places.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    /// All of it as text; `None` where a hole has cut a character in two.
    pub(super) fn whole(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// Makes room for so many bytes behind all others.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
    }

    /// Writes names behind all others, and gives where they stand.
    pub(super) fn append(&mut self, parts: [&str; 4]) -> u16 {
        // All names of 64 allocations together are shorter than 2^16 bytes.
        let at = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        parts.into_iter().for_each(|part| self.bytes.extend_from_slice(part.as_bytes()));
        at
    }

    /// Where so many bytes can stand, or `None` when the text has to be packed first: positions
    /// would not fit 16 bits, or holes take more than an eighth of it.
    pub(super) fn room(&mut self, length: u16) -> Option<u16> {
        if let Some(hole) = self.holes.iter_mut().find(|hole| hole.length >= length) {
            let at = hole.at;
            hole.at += length;
            hole.length -= length;
            self.holes.retain(|hole| hole.length > 0);
            return Some(at);
        }
        let wasted: usize = self.holes.iter().map(|hole| usize::from(hole.length)).sum();
        let end = self.bytes.len() + usize::from(length);
        if end > usize::from(u16::MAX) || wasted * 8 > self.bytes.len() {
            return None;
        }
        let at = u16::try_from(self.bytes.len()).ok()?;
        self.bytes.resize(end, 0);
        Some(at)
    }

    /// Writes names where there is room for them.
    pub(super) fn write(&mut self, at: u16, parts: [&str; 4]) {
        let mut at = usize::from(at);
        for part in parts {
            if let Some(place) = self.bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part.as_bytes());
            }
            at += part.len();
        }
    }

    /// Leaves a hole.
    pub(super) fn erase(&mut self, at: u16, length: u16) {
        if usize::from(at) + usize::from(length) == self.bytes.len() {
            self.bytes.truncate(at.into());
        } else {
            self.holes.push(Hole { at, length });
        }
        if self.holes.iter().map(|hole| usize::from(hole.length)).sum::<usize>() == self.bytes.len()
        {
            self.bytes.clear();
            self.holes.clear();
        }
    }

    /// Bytes that it holds on the heap: all, and those for names.
    pub(super) fn heap_bytes(&self) -> (usize, usize) {
        let names = self.bytes.capacity();
        (names + self.holes.capacity() * size_of::<Hole>(), names)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { bytes: text.into_bytes(), holes: Vec::new() }
    }
}
