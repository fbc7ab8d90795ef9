//! Slots, blocks and the search for a free one.
//!
//! An address has exactly one slot in its address space, and slots live in blocks: absolutely
//! aligned runs of 16 to 64 addresses. Blocks are the only truth about who has an address; the
//! [`FreeIndex`] of a pool is derived from them.
//!
//! Invariants:
//! 1. A block's name follows from any of its addresses, so two blocks never share one
//!    (`blocks_never_overlap`).
//! 2. Take, give back, first, next and k-th free cost O(log64 n)
//!    (`index_agrees_with_a_plain_list`, bench `slot_index`).

mod block;
mod index;
mod permutation;

pub(crate) use block::Stamp;
pub use block::{Allocation, BadBlock, Block, Held, Quarantine, Resting, Sheet, Slot};
pub use index::FreeIndex;
pub use permutation::Permutation;

use crate::address::{Family, bits};
use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// How many addresses one block of an address space and family holds: 16, 32 or 64. Fixed when the
/// space is made, since it is part of every block's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct BlockSize(u8);

impl BlockSize {
    /// 64 slots: the fewest blocks, hence the fewest objects to read for a grant (measured by the
    /// bench `block_size`).
    pub const DEFAULT: Self = Self(64);

    /// The number of slots.
    #[must_use]
    pub const fn slots(self) -> u8 {
        self.0
    }

    /// The first address of the block that `number` lies in.
    #[must_use]
    pub const fn align(self, number: u128) -> u128 {
        number & !(self.0 as u128 - 1)
    }
}

impl Default for BlockSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A number of slots that no block can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block of {got} slots is not possible; choose 16, 32 or 64")]
pub struct BadBlockSize {
    /// What was asked for.
    pub got: u8,
}

impl TryFrom<u8> for BlockSize {
    type Error = BadBlockSize;

    fn try_from(got: u8) -> Result<Self, BadBlockSize> {
        matches!(got, 16 | 32 | 64).then_some(Self(got)).ok_or(BadBlockSize { got })
    }
}

impl From<BlockSize> for u8 {
    fn from(size: BlockSize) -> Self {
        size.0
    }
}

/// The name of a block: address space, family and first address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockKey {
    /// The address space.
    pub space: Name,
    /// The family of its addresses.
    pub family: Family,
    /// The number of its first address.
    pub first: u128,
}

impl BlockKey {
    /// The block that holds `address`.
    #[must_use]
    pub fn of(space: &Name, address: IpAddr, size: BlockSize) -> Self {
        let family = Family::of(address);
        Self { space: space.clone(), family, first: size.align(bits(address)) }
    }

    /// The address of one of its slots.
    #[must_use]
    pub fn address(&self, slot: u8) -> IpAddr {
        self.family.address(self.first.saturating_add(u128::from(slot)))
    }

    /// The slot of an address of this block; the caller has the right block.
    #[must_use]
    pub fn slot(&self, number: u128) -> u8 {
        u8::try_from(number.saturating_sub(self.first)).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, self.family.address(self.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_never_overlap(a: u128, b: u128, size in prop::sample::select(vec![16u8, 32, 64])) {
            let size = BlockSize::try_from(size).unwrap();
            let (x, y) = (size.align(a), size.align(b));
            prop_assert!(x == y || x.abs_diff(y) >= u128::from(size.slots()));
            prop_assert!(a - x < u128::from(size.slots()));
        }
    }
}
