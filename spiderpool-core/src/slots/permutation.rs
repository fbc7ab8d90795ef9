//! A keyed permutation of `0..n` that needs no memory.
//!
//! Four rounds of a balanced Feistel network over the next even number of bits, walked until the
//! value falls below `n` (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Nodes
//! with different keys visit the blocks of a pool in unrelated orders, and each order reaches every
//! block (`every_number_comes_once`).

use crate::moment::mix;

/// One of very many orders of the numbers below a bound.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    bound: u128,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    /// The order that `key` names of the numbers `0..bound`.
    #[must_use]
    pub const fn new(bound: u128, key: u64) -> Self {
        let width = if bound < 2 { 0 } else { 128 - (bound - 1).leading_zeros() };
        Self { bound, half_bits: width.div_ceil(2), key }
    }

    /// The number at place `at` of the order, or `None` behind its end.
    #[must_use]
    pub fn at(&self, at: u128) -> Option<u128> {
        if at >= self.bound {
            return None;
        }
        let mut number = at;
        loop {
            number = self.scramble(number);
            if number < self.bound {
                return Some(number);
            }
        }
    }

    fn scramble(&self, number: u128) -> u128 {
        let mask = low_mask(self.half_bits);
        let (mut left, mut right) =
            (number.checked_shr(self.half_bits).unwrap_or(0) & mask, number & mask);
        for round in 0..4_u64 {
            (left, right) = (right, left ^ (self.round(right, round) & mask));
        }
        left.checked_shl(self.half_bits).unwrap_or(0) | right
    }

    fn round(&self, half: u128, round: u64) -> u128 {
        let low = u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0);
        u128::from(mix(low ^ mix(self.key.wrapping_add(round))))
    }
}

/// A number with the lowest `count` bits set; `count` is at most 64.
const fn low_mask(count: u32) -> u128 {
    (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn every_number_comes_once(bound in 0u128..700, key: u64) {
            let order = Permutation::new(bound, key);
            let seen: BTreeSet<_> = (0..bound).filter_map(|at| order.at(at)).collect();
            prop_assert_eq!(seen.len() as u128, bound);
            prop_assert_eq!(order.at(bound), None);
        }

        #[test]
        fn wide_domains_stay_in_bounds(bound in 1u128.., key: u64) {
            let number = Permutation::new(bound, key).at(bound / 2).unwrap();
            prop_assert!(number < bound);
        }
    }

    #[test]
    fn keys_give_unrelated_orders() {
        let first = |key| Permutation::new(1000, key).at(0).unwrap();
        let starts: BTreeSet<_> = (0..100).map(first).collect();
        assert!(starts.len() > 85, "only {} distinct starts", starts.len());
    }
}
