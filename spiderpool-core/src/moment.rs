//! Time and chance as values.
//!
//! The core reads no clock and draws no random number: whoever asks for a decision hands both in,
//! and the same hand-in gives the same decision for ever (`same_input_same_decision` in `decide`).

use serde::{Deserialize, Serialize};

/// When a decision is asked for, and the one draw of chance that it may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since the Unix epoch, as the asking host believes.
    pub now_ms: u64,
    /// Any number; a new one for each attempt.
    pub seed: u64,
}

impl Moment {
    /// A number that follows from the seed and `salt` alone, spread evenly over all of `u64`.
    #[must_use]
    pub const fn draw(self, salt: u64) -> u64 {
        mix(self.seed ^ mix(salt))
    }
}

/// Spreads the bits of a number (the finaliser of `SplitMix64`, Steele and others, OOPSLA 2014).
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A 64-bit digest of a text: FNV-1a, finished with [`mix`]. It never changes between versions,
/// since stores and permutations depend on it.
pub(crate) fn digest(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_fixed_for_ever() {
        let moment = Moment { now_ms: 0, seed: 7 };
        assert_eq!(moment.draw(1), moment.draw(1));
        assert_ne!(moment.draw(1), moment.draw(2));
        assert_eq!(digest("worker-1"), 941_000_182_080_513_696);
    }
}
