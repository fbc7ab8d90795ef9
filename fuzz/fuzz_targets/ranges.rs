//! Address text: whatever is read comes back from its own text, and sets keep their laws.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spiderpool_core::address::{AddressSet, Family, parse_list, parse_range};

fuzz_target!(|text: &str| {
    for line in text.lines() {
        if let Ok(range) = parse_range(line) {
            assert_eq!(parse_range(&range.to_string()), Ok(range), "{line}");
        }
    }
    let half = text.lines().count() / 2;
    for family in Family::BOTH {
        let lines: Vec<_> =
            text.lines().filter(|line| parse_list(family, &[line]).is_ok()).collect();
        let (left, right) = lines.split_at(half.min(lines.len()));
        let (Ok(left), Ok(right)) = (parse_list(family, left), parse_list(family, right)) else {
            continue;
        };
        laws(&left, &right);
    }
});

fn laws(left: &AddressSet, right: &AddressSet) {
    let (union, both) = (left.union(right), left.intersection(right));
    let (only_left, only_right) = (left.difference(right), right.difference(left));
    assert_eq!(only_left.union(&both).union(&only_right), union);
    assert_eq!(union.difference(right), only_left);
    assert!(only_left.intersection(right).is_empty());
    // A set with all addresses of IPv6 has one more member than a count can say.
    if union.count() < u128::MAX {
        assert_eq!(only_left.count() + both.count() + only_right.count(), union.count());
    }
    for rank in [0, union.count() / 2, union.count().saturating_sub(1)] {
        if let Some(address) = union.select(rank) {
            assert!(union.contains(address) && union.rank(address) == rank, "{address}");
        }
    }
}
