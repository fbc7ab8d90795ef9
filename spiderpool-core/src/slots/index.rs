//! Which addresses of a pool are free: a 64-ary tree of words over the pool's mask.
//!
//! A leaf word has a bit for each of 64 addresses; an inner word has a bit for each child that
//! still has a free address. Nodes come into being when an address below them is taken; what has
//! never been touched is read off the mask. So a pool of a /64 costs what is used of it, and one
//! with ten thousand holes costs no more than one without.

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
    /// The level of the root; leaves are at level 0.
    top: u32,
    /// The root is at 0; nodes are never removed.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// A bit for each address (leaf) or child (inner node) with something free.
    word: u64,
    /// How many addresses below are free.
    free: u128,
    /// Which children exist as nodes.
    present: u64,
    /// The children that exist, in order.
    children: Vec<u32>,
    /// Everything below was taken at once: an absent child is taken, not untouched.
    emptied: bool,
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
        let mut top = 0;
        while first_under(top, low) != first_under(top, high) {
            top += 1;
        }
        let base = first_under(top, low);
        let mut index = Self { mask, base, top, nodes: Vec::new() };
        let root = index.untouched(top, base);
        index.nodes.push(root);
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
            if level == 0 {
                return Some(first);
            }
            match node.child(at) {
                Some(child) => id = child,
                None => return self.mask.next_from(first),
            }
            level -= 1;
        }
    }

    /// The lowest free address that is not below `from`.
    #[must_use]
    pub fn next_from(&self, from: u128) -> Option<u128> {
        self.next_under(ROOT, self.top, self.base, from)
    }

    fn next_under(&self, id: u32, level: u32, first: u128, from: u128) -> Option<u128> {
        if from > last_under(level, first) {
            return None;
        }
        let node = self.node(id);
        let start = if from <= first { 0 } else { child_of(level, from) };
        let mut word = node.word & (u64::MAX << start);
        while word != 0 {
            let at = word.trailing_zeros();
            let below = child_first(level, first, at);
            if level == 0 {
                return Some(below);
            }
            let found = match node.child(at) {
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
            if level == 0 {
                return Some(first + u128::from(nth_bit(node.word, rank)));
            }
            let mut word = node.word;
            loop {
                let at = word.trailing_zeros();
                let below = child_first(level, first, at);
                let child = node.child(at);
                let free = child.map_or_else(
                    || self.mask.count_within(below, last_under(level - 1, below)),
                    |child| self.node(child).free,
                );
                if rank < free {
                    let Some(child) = child else {
                        let skipped = self.mask.rank(self.mask.family().address(below));
                        return self.mask.select_bits(skipped + rank);
                    };
                    (id, first) = (child, below);
                    break;
                }
                rank -= free;
                word &= word.checked_sub(1)?;
            }
            level -= 1;
        }
    }

    /// Whether the address with this number is free.
    #[must_use]
    pub fn is_free(&self, number: u128) -> bool {
        self.next_from(number) == Some(number)
    }

    /// Marks an address as taken; false when it was not free.
    pub fn take(&mut self, number: u128) -> bool {
        let Some((path, leaf)) = self.path_to(number) else { return false };
        let bit = 1 << child_of(0, number);
        if self.node(leaf).word & bit == 0 {
            return false;
        }
        self.node_mut(leaf).word &= !bit;
        self.settle(&path, number, |free| free.saturating_sub(1));
        true
    }

    /// Marks an address as free again; false when it already was, or is not in the mask.
    pub fn give(&mut self, number: u128) -> bool {
        if !self.mask.holds(number) {
            return false;
        }
        let Some((path, leaf)) = self.path_to(number) else { return false };
        let bit = 1 << child_of(0, number);
        if self.node(leaf).word & bit != 0 {
            return false;
        }
        self.node_mut(leaf).word |= bit;
        self.settle(&path, number, |free| free.saturating_add(1));
        true
    }

    /// Updates counts and summary bits along a path, leaf first.
    fn settle(&mut self, path: &Path, number: u128, count: impl Fn(u128) -> u128) {
        let mut below_has_free = None;
        for (level, id) in (0_u32..).zip(path.ids().iter().copied()) {
            let node = self.node_mut(id);
            node.free = count(node.free);
            if let Some(free) = below_has_free {
                let bit = 1 << child_of(level, number);
                if free { node.word |= bit } else { node.word &= !bit }
            }
            below_has_free = Some(node.free > 0);
        }
    }

    /// Marks every address from `first` to `last` as taken, at a cost that does not depend on how
    /// many they are.
    pub fn take_range(&mut self, first: u128, last: u128) {
        if first <= last {
            self.take_under(ROOT, (self.top, self.base), (first, last));
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
        if level == 0 {
            let (low, high) = (first.max(from) - from, last.min(end) - from);
            let node = self.node_mut(id);
            node.word &= !crate::address::bit_run(low, high);
            node.free = node.word.count_ones().into();
            return;
        }
        let (low, high) = (child_of(level, first.max(from)), child_of(level, last.min(end)));
        for at in low..=high {
            if self.node(id).word & (1 << at) == 0 {
                continue;
            }
            let below = child_first(level, from, at);
            let child = self.child_or_new(id, level, below);
            let before = self.node(child).free;
            self.take_under(child, (level - 1, below), range);
            let after = self.node(child).free;
            let node = self.node_mut(id);
            node.free = node.free.saturating_sub(before.saturating_sub(after));
            if after == 0 {
                node.word &= !(1 << at);
            }
        }
    }

    /// The nodes from the leaf over `number` up to the root, made where they were missing.
    fn path_to(&mut self, number: u128) -> Option<(Path, u32)> {
        if number < self.base || number > last_under(self.top, self.base) {
            return None;
        }
        let mut path = Path::default();
        let mut id = ROOT;
        path.set(self.top, id);
        for level in (1..=self.top).rev() {
            id = self.child_or_new(id, level, number);
            path.set(level - 1, id);
        }
        path.len = self.top as usize + 1;
        Some((path, id))
    }

    /// The child of a node at `level` that is over `number`.
    fn child_or_new(&mut self, id: u32, level: u32, number: u128) -> u32 {
        let at = child_of(level, number);
        let node = self.node(id);
        if let Some(child) = node.child(at) {
            return child;
        }
        let fresh = if node.emptied {
            Node { emptied: true, ..Node::default() }
        } else {
            self.untouched(level - 1, first_under(level - 1, number))
        };
        let child = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(fresh);
        let node = self.node_mut(id);
        node.children.insert(node.place_of(at), child);
        node.present |= 1 << at;
        child
    }

    /// A node below which nothing has been taken.
    fn untouched(&self, level: u32, first: u128) -> Node {
        let last = last_under(level, first);
        let free = self.mask.count_within(first, last);
        let word =
            if level == 0 { self.mask.word(first) } else { self.summary(level, first, last) };
        Node { word, free, ..Node::default() }
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

    /// Bytes held on the heap, for the benchmark of resident memory.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let children: usize = self.nodes.iter().map(|node| node.children.capacity() * 4).sum();
        self.nodes.capacity() * size_of::<Node>() + children
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
}

/// The nodes from a leaf to the root, by level.
#[derive(Default)]
struct Path {
    by_level: [u32; LEVELS_MAX],
    len: usize,
}

impl Path {
    fn set(&mut self, level: u32, id: u32) {
        if let Some(place) = self.by_level.get_mut(level as usize) {
            *place = id;
        }
    }

    fn ids(&self) -> &[u32] {
        self.by_level.get(..self.len).unwrap_or_default()
    }
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
