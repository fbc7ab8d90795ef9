//! How the core's values stand in columns.
//!
//! Part of format 1: nothing here may change without a new format number
//! (`digests_are_fixed_for_ever`).

use spiderpool_core::address::Family;
use spiderpool_core::slots::{Block, BlockKey};
use std::collections::BTreeSet;

/// The number of an address or block, so that bytes sort as numbers do.
pub(crate) fn number(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

pub(crate) fn family(family: Family) -> i64 {
    family.version().into()
}

/// A family from its column.
pub(crate) fn family_of(version: i64) -> Option<Family> {
    Family::BOTH.into_iter().find(|family| i64::from(family.version()) == version)
}

/// A time or a counter; what no clock ever shows is cut.
pub(crate) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time or a counter from its column.
pub(crate) fn counter(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A 64-bit digest of a text: FNV-1a.
pub(crate) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The entry of an owner in `holding`.
pub(crate) fn owner_tag(owner: &str) -> i64 {
    digest(&format!("o{owner}")).cast_signed()
}

/// The entry of a container in `holding`.
pub(crate) fn container_tag(container: &str) -> i64 {
    digest(&format!("c{container}")).cast_signed()
}

/// Every entry that a block has in `holding`.
pub(crate) fn tags(block: &Block) -> BTreeSet<i64> {
    let mut tags = BTreeSet::new();
    for allocation in block.allocations() {
        tags.insert(owner_tag(allocation.owner));
        if !allocation.container.is_empty() {
            tags.insert(container_tag(allocation.container));
        }
    }
    tags
}

/// The masks of a block as columns.
pub(crate) fn masks(block: &Block) -> [i64; 3] {
    [block.allocated(), block.resting_mask(), block.quarantined_mask()].map(u64::cast_signed)
}

/// The last number of a block of `slots` slots.
pub(crate) fn end(first: u128, slots: u8) -> u128 {
    first.saturating_add(u128::from(slots).saturating_sub(1))
}

/// The name of a block as three columns.
pub(crate) fn block_name(key: &BlockKey) -> (&str, i64, [u8; 16]) {
    (key.space.as_str(), family(key.family), number(key.first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_fixed_for_ever() {
        assert_eq!(digest(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(digest("a"), 0xaf63_dc4c_8601_ec8c);
        assert_ne!(owner_tag("x"), container_tag("x"));
    }

    #[test]
    fn columns_round_trip() {
        assert!(number(255) < number(256));
        assert_eq!(family_of(family(Family::V6)), Some(Family::V6));
        assert_eq!(family_of(5), None);
        assert_eq!(counter(whole(7)), 7);
        assert_eq!(end(u128::MAX - 3, 64), u128::MAX);
    }
}
