//! All chance of a schedule: one stream of numbers from one seed.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, 2019), seeded with `SplitMix64`, so that a seed
//! means the same schedule on every machine and with every version of the standard library.
//!
//! Invariant: the same seed gives the same numbers (`a_seed_is_a_stream`).

/// A stream of chance.
#[derive(Clone, Debug)]
pub struct Chance([u64; 4]);

/// Spreads the bits of a number (the finaliser of `SplitMix64`).
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        let b = seed.wrapping_add(golden);
        let c = b.wrapping_add(golden);
        Self([mix(seed), mix(b), mix(c), mix(c.wrapping_add(golden))])
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `limit`; 0 when that is 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        let wide = (self.next() as u128) * (limit as u128);
        (wide >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A place in a list of so many entries.
    pub fn place(&mut self, entries: usize) -> usize {
        usize::try_from(self.below(entries as u64)).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub const fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// True once in so many times.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One entry of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.place(list.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_stream() {
        let (mut one, mut other) = (Chance::new(7), Chance::new(7));
        let numbers: Vec<_> = (0..8).map(|_| one.next()).collect();
        assert!(numbers.iter().all(|number| *number == other.next()));
        assert_ne!(Chance::new(8).next(), numbers[0]);
        assert!((0..1000).all(|_| one.below(3) < 3 && (4..=5).contains(&one.between(4, 5))));
    }
}
