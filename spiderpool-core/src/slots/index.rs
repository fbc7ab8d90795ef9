//! Which addresses of a pool are free: a 64-ary tree of words over the pool's mask.
//!
//! A leaf is one word with a bit for each of 64 addresses; an inner node has a bit for each child that
//! still has a free address. Leaves and nodes come into being when an address below them is taken;
//! what has never been touched is read off the mask. So a pool of a /64 costs what is used of it, and
//! one with ten thousand holes costs no more than one without.
//!
//! The way to the address that was touched last is kept: neighbours share most of it, and eleven levels
//! over a /64 cost no more than three over a /16.

use crate::address::AddressSet;
use std::sync::Arc;

/// The free addresses of one pool.
///
/// ```
/// use spiderpool_core::address::{Family, bits, parse_list};
/// use spiderpool_core::slots::FreeIndex;
/// let mut free = FreeIndex::new(parse_list(Family::V6, &["fd00::/64"])?.into());
/// let first = free.first().unwrap();
/// assert!(free.take(first));
/// assert_eq!(free.first(), Some(first + 1));
/// assert_eq!(free.count(), (1 << 64) - 1);
/// # Ok::<(), spiderpool_core::address::BadEntry>(())
/// ```
#[derive(Clone, Debug)]
pub struct FreeIndex {
    mask: Arc<AddressSet>,
    /// The first number under the root, a multiple of what the root spans.
    base: u128,
    /// The level of the root, at least 1; leaves are at level 0.
    top: u32,
    /// The inner nodes; the root is at 0, and none is removed.
    nodes: Vec<Node>,
    leaves: Vec<u64>,
    path: Path,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// A bit for each child with something free.
    word: u64,
    /// How many addresses below are free.
    free: u128,
    /// Which children exist.
    present: u64,
    /// The children that exist, in order: nodes, or at level 1 leaves.
    children: Vec<u32>,
    /// Everything below was taken at once: an absent child is taken, not untouched.
    emptied: bool,
}

/// The inner nodes over a number that was touched, by level.
#[derive(Clone, Debug)]
struct Path {
    number: u128,
    ids: [u32; LEVELS_MAX],
}

const ROOT: u32 = 0;
const LEVELS_MAX: usize = 22;

/// The bits of a number that are below one child of a node at `level`.
const fn shift(level: u32) -> u32 {
    level * 6
}

/// The last number under a node at `level` that starts at `first`.
fn last_under(level: u32, first: u128) -> u128 {
    1_u128.checked_shl(shift(level + 1)).map_or(u128::MAX, |span| first | (span - 1))
}

fn first_under(level: u32, number: u128) -> u128 {
    1_u128.checked_shl(shift(level + 1)).map_or(0, |span| number & !(span - 1))
}

/// Which child of a node at `level` a number is under.
fn child_of(level: u32, number: u128) -> u32 {
    (number.checked_shr(shift(level)).unwrap_or(0) & 63) as u32
}

/// The first number under child `at` of a node at `level` that starts at `first`.
fn child_first(level: u32, first: u128, at: u32) -> u128 {
    first | u128::from(at).checked_shl(shift(level)).unwrap_or(0)
}

impl FreeIndex {
    /// The index of a pool in which everything that `mask` holds is free.
    #[must_use]
    pub fn new(mask: Arc<AddressSet>) -> Self {
        let low = mask.next_from(0).unwrap_or(0);
        let high = mask.select_bits(mask.count().saturating_sub(1)).unwrap_or(low);
        let mut top = 1;
        while first_under(top, low) != first_under(top, high) {
            top += 1;
        }
        let base = first_under(top, low);
        let path = Path { number: base, ids: [ROOT; LEVELS_MAX] };
        let mut index = Self { mask, base, top, nodes: Vec::new(), leaves: Vec::new(), path };
        let root = index.untouched(top, base);
        index.nodes.push(root);
        index.forget_path();
        index
    }

    /// The addresses that could ever be free.
    #[must_use]
    pub const fn mask(&self) -> &Arc<AddressSet> {
        &self.mask
    }

    /// How many addresses are free.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.node(ROOT).free
    }

    /// The lowest free address.
    #[must_use]
    pub fn first(&self) -> Option<u128> {
        let (mut id, mut level, mut first) = (ROOT, self.top, self.base);
        loop {
            let node = self.node(id);
            if node.word == 0 {
                return None;
            }
            let at = node.word.trailing_zeros();
            first = child_first(level, first, at);
            let Some(child) = node.child(at) else { return self.mask.next_from(first) };
            if level == 1 {
                return Some(first + u128::from(self.leaf(child).trailing_zeros()));
            }
            (id, level) = (child, level - 1);
        }
    }

    /// The lowest free address that is not below `from`.
    #[must_use]
    pub fn next_from(&self, from: u128) -> Option<u128> {
        let from = from.max(self.base);
        if from > last_under(self.top, self.base) {
            return None;
        }
        // What is near is under a low node of the way to the last touched address.
        (self.shared_level(from)..=self.top).find_map(|level| {
            self.next_under(self.path.id(level), level, first_under(level, from), from)
        })
    }

    fn next_under(&self, id: u32, level: u32, first: u128, from: u128) -> Option<u128> {
        let node = self.node(id);
        let start = if from <= first { 0 } else { child_of(level, from) };
        let mut word = node.word & (u64::MAX << start);
        while word != 0 {
            let at = word.trailing_zeros();
            let below = child_first(level, first, at);
            let found = match node.child(at) {
                Some(leaf) if level == 1 => next_in(self.leaf(leaf), below, from),
                Some(child) => self.next_under(child, level - 1, below, from),
                None => (self.mask.next_from(from.max(below)))
                    .filter(|number| *number <= last_under(level - 1, below)),
            };
            if found.is_some() {
                return found;
            }
            word &= word - 1;
        }
        None
    }

    /// The free address that has exactly `rank` free addresses below it.
    #[must_use]
    pub fn select(&self, mut rank: u128) -> Option<u128> {
        let (mut id, mut level, mut first) = (ROOT, self.top, self.base);
        if rank >= self.count() {
            return None;
        }
        loop {
            let node = self.node(id);
            let mut word = node.word;
            let child = loop {
                let at = word.trailing_zeros();
                let below = child_first(level, first, at);
                let Some(child) = node.child(at) else {
                    // Up to the next child that exists, the mask alone counts.
                    let run = node.absent_from(at);
                    let free = self.mask.count_within(below, self.run_end(level, first, run));
                    if rank < free {
                        let skipped = self.mask.rank(self.mask.family().address(below));
                        return self.mask.select_bits(skipped + rank);
                    }
                    rank -= free;
                    word &= u64::MAX.checked_shl(run + 1)?;
                    continue;
                };
                let free = match level {
                    1 => self.leaf(child).count_ones().into(),
                    _ => self.node(child).free,
                };
                if rank < free {
                    first = below;
                    break child;
                }
                rank -= free;
                word &= word.checked_sub(1)?;
            };
            if level == 1 {
                return Some(first + u128::from(nth_bit(self.leaf(child), rank)));
            }
            (id, level) = (child, level - 1);
        }
    }

    /// The last number under child `at` of a node at `level` that starts at `first`.
    fn run_end(&self, level: u32, first: u128, at: u32) -> u128 {
        last_under(level - 1, child_first(level, first, at)).min(last_under(self.top, self.base))
    }

    /// Whether the address with this number is free.
    #[must_use]
    pub fn is_free(&self, number: u128) -> bool {
        self.next_from(number) == Some(number)
    }

    /// Marks an address as taken; false when it was not free.
    pub fn take(&mut self, number: u128) -> bool {
        let Some(leaf) = self.leaf_over(number) else { return false };
        let bit = 1 << child_of(0, number);
        let word = self.leaf(leaf);
        if word & bit == 0 {
            return false;
        }
        self.set_leaf(leaf, word & !bit);
        let mut has_free = word != bit;
        for level in 1..=self.top {
            let node = self.node_mut(self.path.id(level));
            node.free = node.free.saturating_sub(1);
            if !has_free {
                node.word &= !(1 << child_of(level, number));
            }
            has_free = node.word != 0;
        }
        true
    }

    /// Marks those of the 64 addresses from `first` on as taken whose bit is set, lowest in bit 0.
    pub fn take_word(&mut self, first: u128, bits: u64) {
        let shift = child_of(0, first);
        if bits == 0 {
            return;
        }
        if bits.leading_zeros() < shift {
            // They lie in two leaves.
            let below = u64::MAX >> shift;
            self.take_word(first, bits & below);
            let rest = u128::from(64 - shift);
            return self.take_word(first.saturating_add(rest), bits >> (64 - shift));
        }
        let Some(leaf) = self.leaf_over(first) else { return };
        let word = self.leaf(leaf);
        let taken = word & (bits << shift);
        self.set_leaf(leaf, word & !taken);
        let mut has_free = word != taken;
        for level in 1..=self.top {
            let node = self.node_mut(self.path.id(level));
            node.free = node.free.saturating_sub(taken.count_ones().into());
            if !has_free {
                node.word &= !(1 << child_of(level, first));
            }
            has_free = node.word != 0;
        }
    }

    /// Marks an address as free again; false when it already was, or is not in the mask.
    pub fn give(&mut self, number: u128) -> bool {
        if !self.mask.holds(number) {
            return false;
        }
        let Some(leaf) = self.leaf_over(number) else { return false };
        let bit = 1 << child_of(0, number);
        let word = self.leaf(leaf);
        if word & bit != 0 {
            return false;
        }
        self.set_leaf(leaf, word | bit);
        for level in 1..=self.top {
            let node = self.node_mut(self.path.id(level));
            node.free = node.free.saturating_add(1);
            node.word |= 1 << child_of(level, number);
        }
        true
    }

    /// Marks every address from `first` to `last` as taken, at a cost that does not depend on how
    /// many they are.
    pub fn take_range(&mut self, first: u128, last: u128) {
        if first <= last {
            self.take_under(ROOT, (self.top, self.base), (first, last));
            self.forget_path();
        }
    }

    fn take_under(&mut self, id: u32, (level, from): (u32, u128), range: (u128, u128)) {
        let (first, last) = range;
        let end = last_under(level, from);
        if last < from || first > end {
            return;
        }
        if first <= from && end <= last {
            *self.node_mut(id) = Node { emptied: true, ..Node::default() };
            return;
        }
        let (low, high) = (child_of(level, first.max(from)), child_of(level, last.min(end)));
        for at in low..=high {
            if self.node(id).word & (1 << at) == 0 {
                continue;
            }
            let below = child_first(level, from, at);
            let child = self.child_or_new(id, level, below);
            let (before, after) = if level == 1 {
                self.take_in_leaf(child, below, range)
            } else {
                let before = self.node(child).free;
                self.take_under(child, (level - 1, below), range);
                (before, self.node(child).free)
            };
            let node = self.node_mut(id);
            node.free = node.free.saturating_sub(before.saturating_sub(after));
            if after == 0 {
                node.word &= !(1 << at);
            }
        }
    }

    /// Takes what a leaf has of a range; gives how many were free before and after.
    fn take_in_leaf(&mut self, leaf: u32, from: u128, (first, last): (u128, u128)) -> (u128, u128) {
        let before = self.leaf(leaf);
        let (low, high) = (first.max(from) - from, last.min(from | 63) - from);
        let after = before & !crate::address::bit_run(low, high);
        self.set_leaf(leaf, after);
        (before.count_ones().into(), after.count_ones().into())
    }

    /// The leaf over `number`, made where it was missing; the way to it is kept.
    fn leaf_over(&mut self, number: u128) -> Option<u32> {
        if number < self.base || number > last_under(self.top, self.base) {
            return None;
        }
        let mut level = self.shared_level(number);
        let mut id = self.path.id(level);
        self.path.number = number;
        while level > 1 {
            id = self.child_or_new(id, level, number);
            level -= 1;
            self.path.set(level, id);
        }
        Some(self.child_or_new(id, 1, number))
    }

    /// The lowest level at which the kept way also leads to `number`.
    fn shared_level(&self, number: u128) -> u32 {
        let differing = u128::BITS - (number ^ self.path.number).leading_zeros();
        (differing.saturating_sub(1) / 6).clamp(1, self.top)
    }

    /// Starts the kept way anew: at the lowest number, as far as nodes exist.
    fn forget_path(&mut self) {
        let (mut id, mut level) = (ROOT, self.top);
        self.path.number = self.base;
        self.path.set(level, id);
        while level > 1 {
            id = self.child_or_new(id, level, self.base);
            level -= 1;
            self.path.set(level, id);
        }
    }

    /// The child of a node at `level` that is over `number`: a node, or at level 1 a leaf.
    fn child_or_new(&mut self, id: u32, level: u32, number: u128) -> u32 {
        let at = child_of(level, number);
        let node = self.node(id);
        if let Some(child) = node.child(at) {
            return child;
        }
        let emptied = node.emptied;
        let below = first_under(level - 1, number);
        let child = if level == 1 {
            self.leaves.push(if emptied { 0 } else { self.mask.word(below) });
            self.leaves.len() - 1
        } else {
            let gone = Node { emptied: true, ..Node::default() };
            let fresh = if emptied { gone } else { self.untouched(level - 1, below) };
            self.nodes.push(fresh);
            self.nodes.len() - 1
        };
        let child = u32::try_from(child).unwrap_or(u32::MAX);
        let node = self.node_mut(id);
        node.children.insert(node.place_of(at), child);
        node.present |= 1 << at;
        child
    }

    /// An inner node below which nothing has been taken.
    fn untouched(&self, level: u32, first: u128) -> Node {
        let last = last_under(level, first);
        let free = self.mask.count_within(first, last);
        Node { word: self.summary(level, first, last), free, ..Node::default() }
    }

    fn summary(&self, level: u32, first: u128, last: u128) -> u64 {
        let mut word = 0;
        let mut at = self.mask.next_from(first);
        while let Some(from) = at.filter(|from| *from <= last) {
            let to = self.mask.run_end(from).unwrap_or(from).min(last);
            let (low, high) = (child_of(level, from), child_of(level, to));
            word |= crate::address::bit_run(low.into(), high.into());
            let end = last_under(level - 1, child_first(level, first, high));
            at = end.checked_add(1).and_then(|next| self.mask.next_from(next));
        }
        word
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from the arena, which never shrinks")]
    fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from the arena, which never shrinks")]
    fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from the arena, which never shrinks")]
    fn leaf(&self, id: u32) -> u64 {
        self.leaves[id as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from the arena, which never shrinks")]
    fn set_leaf(&mut self, id: u32, word: u64) {
        self.leaves[id as usize] = word;
    }

    /// Bytes held on the heap, for the benchmark of resident memory.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let children: usize = self.nodes.iter().map(|node| node.children.capacity() * 4).sum();
        self.nodes.capacity() * size_of::<Node>() + children + self.leaves.capacity() * 8
    }
}

impl Node {
    /// The position in `children` that child `at` has or would have.
    const fn place_of(&self, at: u32) -> usize {
        (self.present & ((1 << at) - 1)).count_ones() as usize
    }

    fn child(&self, at: u32) -> Option<u32> {
        if self.present & (1 << at) == 0 {
            return None;
        }
        self.children.get(self.place_of(at)).copied()
    }

    /// The last of the children from the absent child `at` on of which none exists.
    const fn absent_from(&self, at: u32) -> u32 {
        match (self.present >> at).trailing_zeros() {
            64 => 63,
            run => at + run - 1,
        }
    }
}

impl Path {
    fn set(&mut self, level: u32, id: u32) {
        if let Some(place) = self.ids.get_mut(level as usize) {
            *place = id;
        }
    }

    fn id(&self, level: u32) -> u32 {
        self.ids.get(level as usize).copied().unwrap_or(ROOT)
    }
}

/// The lowest number that is not below `from` and set in the leaf that starts at `first`.
fn next_in(leaf: u64, first: u128, from: u128) -> Option<u128> {
    let start = if from <= first { 0 } else { child_of(0, from) };
    let word = leaf & (u64::MAX << start);
    (word != 0).then(|| first + u128::from(word.trailing_zeros()))
}

/// The position of the set bit that has `rank` set bits below it.
fn nth_bit(word: u64, rank: u128) -> u32 {
    let mut word = word;
    for _ in 0..rank {
        word &= word.saturating_sub(1);
    }
    word.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Family, Range, parse_list};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn index(family: Family, entries: &[&str]) -> FreeIndex {
        FreeIndex::new(Arc::new(parse_list(family, entries).unwrap()))
    }

    #[test]
    fn all_of_ipv6_is_just_another_pool() {
        let mut free = index(Family::V6, &["::/0"]);
        assert!(free.take(u128::MAX) && free.take(0));
        assert_eq!((free.first(), free.next_from(u128::MAX)), (Some(1), None));
        assert!(free.give(u128::MAX));
        assert_eq!(free.next_from(u128::MAX), Some(u128::MAX));
        assert_eq!(free.select(1 << 100), Some((1 << 100) + 1));
    }

    #[test]
    fn a_slash_64_costs_what_is_used() {
        let mut free = index(Family::V6, &["fd00::/64"]);
        for _ in 0..1_000 {
            let number = free.first().unwrap();
            assert!(free.take(number));
        }
        assert_eq!(free.count(), (1 << 64) - 1_000);
        assert!(free.heap_bytes() < 10_000, "{} bytes", free.heap_bytes());
    }

    #[test]
    fn an_empty_mask_has_nothing() {
        let mut free = index(Family::V4, &[]);
        assert_eq!(
            (free.first(), free.count(), free.next_from(0), free.select(0)),
            (None, 0, None, None)
        );
        assert!(!free.take(5) && !free.give(5));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(u128),
        Give(u128),
        TakeRange(u128, u128),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u128..9_000).prop_map(Step::Take),
            4 => (0u128..9_000).prop_map(Step::Give),
            1 => (0u128..9_000, 0u128..5_000).prop_map(|(a, n)| Step::TakeRange(a, a + n)),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #[test]
        fn index_agrees_with_a_plain_list(
            spans in prop::collection::vec((0u128..8_500, 0u128..900), 0..8),
            steps in steps(),
            probe in 0u128..9_500,
        ) {
            let ranges: Vec<_> = spans.iter().filter_map(|(a, n)| Range::from_bits(Family::V4, *a, a + n)).collect();
            let all: BTreeSet<u128> = ranges.iter().flat_map(|r| r.ends().0..=r.ends().1).collect();
            let mut free = FreeIndex::new(Arc::new(AddressSet::from_ranges(Family::V4, ranges)));
            let mut list = all.clone();
            for step in steps {
                match step {
                    Step::Take(n) => prop_assert_eq!(free.take(n), list.remove(&n)),
                    Step::Give(n) => prop_assert_eq!(free.give(n), all.contains(&n) && list.insert(n)),
                    Step::TakeRange(a, b) => {
                        free.take_range(a, b);
                        list.retain(|n| !(a..=b).contains(n));
                    }
                }
                prop_assert_eq!(free.count(), list.len() as u128);
                prop_assert_eq!(free.first(), list.first().copied());
            }
            prop_assert_eq!(free.next_from(probe), list.range(probe..).next().copied());
            prop_assert_eq!(free.select(probe / 3), list.iter().nth((probe / 3) as usize).copied());
            prop_assert_eq!(free.is_free(probe), list.contains(&probe));
        }
    }
}
