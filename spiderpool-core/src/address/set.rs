//! A set of addresses as sorted, disjoint, merged ranges.

use super::{Family, Range, bits};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Any number of addresses of one family, held as ranges; two equal sets are equal values.
///
/// Union, intersection and difference are linear in the number of ranges; membership, rank and
/// select are logarithmic in it.
///
/// ```
/// use spiderpool_core::address::{Family, parse_list};
/// let all = parse_list(Family::V4, &["10.0.0.0/8"])?;
/// let hole = parse_list(Family::V4, &["10.0.0.0-10.0.0.9"])?;
/// let usable = all.difference(&hole);
/// assert_eq!(usable.count(), (1 << 24) - 10);
/// assert_eq!(usable.select(0), Some("10.0.0.10".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Spelled", into = "Spelled")]
pub struct AddressSet {
    family: Family,
    runs: Vec<Run>,
}

/// A range with the number of members below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    first: u128,
    last: u128,
    below: u128,
}

/// The serialised form: the family, and each range as text.
#[derive(Serialize, Deserialize)]
struct Spelled {
    family: Family,
    ranges: Vec<Range>,
}

impl From<AddressSet> for Spelled {
    fn from(set: AddressSet) -> Self {
        Self { family: set.family, ranges: set.ranges().collect() }
    }
}

impl From<Spelled> for AddressSet {
    fn from(spelled: Spelled) -> Self {
        Self::from_ranges(spelled.family, spelled.ranges)
    }
}

impl AddressSet {
    /// The set without members.
    #[must_use]
    pub const fn empty(family: Family) -> Self {
        Self { family, runs: Vec::new() }
    }

    /// The union of the given ranges; those of the other family are left out.
    #[must_use]
    pub fn from_ranges(family: Family, ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut spans: Vec<_> =
            ranges.into_iter().filter(|r| r.family() == family).map(Range::ends).collect();
        spans.sort_unstable();
        Self::from_sorted(family, spans)
    }

    /// Merges spans that are sorted by their first number.
    fn from_sorted(family: Family, spans: impl IntoIterator<Item = (u128, u128)>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (first, last) in spans {
            match runs.last_mut() {
                Some(run) if first <= run.last.saturating_add(1) => run.last = run.last.max(last),
                Some(run) => {
                    let below = run.below + (run.last - run.first + 1);
                    runs.push(Run { first, last, below });
                }
                None => runs.push(Run { first, last, below: 0 }),
            }
        }
        Self { family, runs }
    }

    /// The family of all members.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether it has no members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many members it has; all of IPv6 saturates at `u128::MAX`.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.runs
            .last()
            .map_or(0, |run| run.below.saturating_add(run.last - run.first).saturating_add(1))
    }

    /// Its ranges, lowest first; neighbours are merged.
    pub fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.runs.iter().filter_map(|run| Range::from_bits(self.family, run.first, run.last))
    }

    /// How many ranges it has: what its operations cost.
    #[must_use]
    pub const fn range_count(&self) -> usize {
        self.runs.len()
    }

    /// Whether `address` is a member; an address of the other family never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && self.holds(bits(address))
    }

    /// Whether the address with this number is a member.
    #[must_use]
    pub fn holds(&self, number: u128) -> bool {
        self.run_at_or_after(number).is_some_and(|run| run.first <= number)
    }

    /// How many members are below `address`; 0 for an address of the other family.
    #[must_use]
    pub fn rank(&self, address: IpAddr) -> u128 {
        if Family::of(address) == self.family { self.count_below(bits(address)) } else { 0 }
    }

    /// The member that has exactly `rank` members below it.
    #[must_use]
    pub fn select(&self, rank: u128) -> Option<IpAddr> {
        self.select_bits(rank).map(|number| self.family.address(number))
    }

    pub(crate) fn select_bits(&self, rank: u128) -> Option<u128> {
        let at = self.runs.partition_point(|run| run.below <= rank).checked_sub(1)?;
        let run = self.runs.get(at)?;
        let number = run.first.checked_add(rank - run.below)?;
        (number <= run.last).then_some(number)
    }

    /// The lowest member that is not below `number`.
    #[must_use]
    pub fn next_from(&self, number: u128) -> Option<u128> {
        self.run_at_or_after(number).map(|run| run.first.max(number))
    }

    /// The end of the run that `number` lies in, if it is a member.
    pub(crate) fn run_end(&self, number: u128) -> Option<u128> {
        self.run_at_or_after(number).filter(|run| run.first <= number).map(|run| run.last)
    }

    /// How many members lie between two numbers, both included.
    #[must_use]
    pub fn count_within(&self, first: u128, last: u128) -> u128 {
        let upto = match last.checked_add(1) {
            Some(end) => self.count_below(end),
            None => self.count(),
        };
        upto.saturating_sub(self.count_below(first))
    }

    /// The members among the 64 numbers from `first` on, lowest in bit 0.
    pub(crate) fn word(&self, first: u128) -> u64 {
        let last = first.saturating_add(63);
        let mut word = 0;
        let mut at = self.next_from(first);
        while let Some(from) = at.filter(|from| *from <= last) {
            let to = self.run_end(from).unwrap_or(from).min(last);
            word |= bit_run(from - first, to - first);
            at = to.checked_add(1).and_then(|next| self.next_from(next));
        }
        word
    }

    fn count_below(&self, number: u128) -> u128 {
        let Some(at) = self.runs.partition_point(|run| run.first < number).checked_sub(1) else {
            return 0;
        };
        self.runs.get(at).map_or(0, |run| {
            let within = (number - 1).min(run.last) - run.first;
            run.below.saturating_add(within).saturating_add(1)
        })
    }

    fn run_at_or_after(&self, number: u128) -> Option<&Run> {
        self.runs.get(self.runs.partition_point(|run| run.last < number))
    }

    /// All members of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut spans: Vec<_> =
            self.spans().chain(other.spans().filter(|_| other.family == self.family)).collect();
        // Two sorted runs: a stable sort finds and merges them in linear time.
        spans.sort();
        Self::from_sorted(self.family, spans)
    }

    /// The members that both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if self.family != other.family {
            return Self::empty(self.family);
        }
        let (mut left, mut right) = (self.spans().peekable(), other.spans().peekable());
        let mut spans = Vec::new();
        while let (Some(a), Some(b)) = (left.peek().copied(), right.peek().copied()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                spans.push((first, last));
            }
            if a.1 <= b.1 {
                left.next()
            } else {
                right.next()
            };
        }
        Self::from_sorted(self.family, spans)
    }

    /// The members that the other set does not have.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if self.family != other.family {
            return self.clone();
        }
        let mut spans = Vec::new();
        let mut holes = other.spans().peekable();
        for (mut first, last) in self.spans() {
            while holes.next_if(|hole| hole.1 < first).is_some() {}
            let mut rest = true;
            while let Some(hole) = holes.peek().copied().filter(|hole| hole.0 <= last) {
                if hole.0 > first {
                    spans.push((first, hole.0 - 1));
                }
                if hole.1 >= last {
                    rest = false;
                    break;
                }
                first = hole.1 + 1;
                holes.next();
            }
            if rest {
                spans.push((first, last));
            }
        }
        Self::from_sorted(self.family, spans)
    }

    /// Whether every member is a member of the other set too.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    fn spans(&self) -> impl Iterator<Item = (u128, u128)> + '_ {
        self.runs.iter().map(|run| (run.first, run.last))
    }
}

/// A word with the bits from `from` to `to` set, both included and at most 63.
pub(crate) fn bit_run(from: u128, to: u128) -> u64 {
    let high = u64::MAX >> (63 - to.min(63));
    let low = u64::MAX << from.min(63);
    high & low
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_list;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(text: &str) -> AddressSet {
        let entries: Vec<_> = text.split(',').filter(|e| !e.is_empty()).collect();
        parse_list(Family::V4, &entries).unwrap()
    }

    #[test]
    fn neighbours_merge() {
        assert_eq!(set("10.0.0.1,10.0.0.2,10.0.0.4").to_string(), "10.0.0.1-10.0.0.2,10.0.0.4");
    }

    #[test]
    fn families_never_mix() {
        let v6 = parse_list(Family::V6, &["::/0"]).unwrap();
        let v4 = set("0.0.0.0/0");
        assert_eq!(v4.intersection(&v6), AddressSet::empty(Family::V4));
        assert_eq!(v4.difference(&v6), v4);
        assert_eq!(v4.union(&v6), v4);
        assert!(!v4.contains("::1".parse().unwrap()));
    }

    #[test]
    fn all_of_ipv6_saturates() {
        let all = parse_list(Family::V6, &["::/0"]).unwrap();
        assert_eq!(all.count(), u128::MAX);
        assert_eq!(all.select(u128::MAX), Some(Family::V6.address(u128::MAX)));
        assert_eq!(all.difference(&all).count(), 0);
    }

    #[test]
    fn a_slash_64_is_cheap() {
        let pool = parse_list(Family::V6, &["fd00::/64"]).unwrap();
        let holes = parse_list(Family::V6, &["fd00::/80", "fd00::1:0:0:5"]).unwrap();
        let usable = pool.difference(&holes);
        assert_eq!(usable.count(), (1 << 64) - (1 << 48) - 1);
        assert_eq!(usable.rank(usable.select(1 << 60).unwrap()), 1 << 60);
    }

    #[test]
    fn a_slash_8_with_ten_thousand_holes_is_cheap() {
        let holes: Vec<_> = (0..10_000u32)
            .map(|i| Range::single(Family::V4.address(u128::from(0x0a00_0000 + i * 1_000))))
            .collect();
        let usable = set("10.0.0.0/8").difference(&AddressSet::from_ranges(Family::V4, holes));
        assert_eq!(usable.count(), (1 << 24) - 10_000);
        assert_eq!(usable.range_count(), 10_000);
    }

    fn small() -> impl Strategy<Value = (AddressSet, BTreeSet<u128>)> {
        prop::collection::vec((0u128..200, 0u128..12), 0..12).prop_map(|spans| {
            let list = spans.iter().flat_map(|(first, len)| *first..=first + len).collect();
            let ranges = spans
                .iter()
                .filter_map(|(first, len)| Range::from_bits(Family::V4, *first, first + len));
            (AddressSet::from_ranges(Family::V4, ranges), list)
        })
    }

    fn members(set: &AddressSet) -> BTreeSet<u128> {
        set.ranges().flat_map(|range| range.ends().0..=range.ends().1).collect()
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_a_plain_list((a, la) in small(), (b, lb) in small()) {
            prop_assert_eq!(members(&a.union(&b)), &la | &lb);
            prop_assert_eq!(members(&a.intersection(&b)), &la & &lb);
            prop_assert_eq!(members(&a.difference(&b)), &la - &lb);
            prop_assert_eq!(a.is_subset(&b), la.is_subset(&lb));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a);
        }

        #[test]
        fn rank_and_select_agree_with_a_plain_list((a, list) in small(), probe in 0u128..230) {
            prop_assert_eq!(a.count(), list.len() as u128);
            prop_assert_eq!(a.count_below(probe), list.range(..probe).count() as u128);
            prop_assert_eq!(a.select_bits(probe), list.iter().nth(probe as usize).copied());
            prop_assert_eq!(a.next_from(probe), list.range(probe..).next().copied());
            prop_assert_eq!(a.holds(probe), list.contains(&probe));
            prop_assert_eq!(a.count_within(50, probe.max(50)), list.range(50..=probe.max(50)).count() as u128);
            let word = (0..64).filter(|i| list.contains(&(probe + i))).fold(0u64, |w, i| w | 1 << i);
            prop_assert_eq!(a.word(probe), word);
        }

        #[test]
        fn text_reads_back((a, _) in small()) {
            let text = a.to_string();
            prop_assert_eq!(set(&text), a);
        }
    }
}
