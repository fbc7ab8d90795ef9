//! What a proxy does to requests, as a function of a seed.
//!
//! Owns [`Faults`]. Invariants:
//!
//! 1. The same seed and the same number of a request give the same fate (`a_seed_is_a_replay`).
//! 2. A probability of 0 never happens and one of 1 always (`certainty_is_certain`).

use std::time::Duration;

/// What goes wrong between a client and the API server. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// The source of all chance.
    pub seed: u64,
    /// Probability, 0 to 1, that a mutating request is lost before the API server sees it.
    pub lost_requests: f64,
    /// Probability, 0 to 1, that the reply to a mutating request is lost after the API server has
    /// answered: what it wrote is written.
    pub lost_replies: f64,
    /// How long each request is held before it goes on.
    pub delay: Duration,
}

/// What becomes of one mutating request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is forwarded, and so is the reply.
    Passed,
    /// It is never sent on.
    RequestLost,
    /// It is sent on, and the reply is thrown away.
    ReplyLost,
}

impl Faults {
    /// Gives the fate of the mutating request of that number.
    pub(crate) fn fate(&self, number: u64) -> Fate {
        if self.draw(number, 0) < self.lost_requests {
            return Fate::RequestLost;
        }
        if self.draw(number, 1) < self.lost_replies { Fate::ReplyLost } else { Fate::Passed }
    }

    /// Gives a number from 0 up to, but not including, 1.
    fn draw(&self, number: u64, what: u64) -> f64 {
        let mixed = mix(mix(mix(self.seed) ^ number) ^ what);
        let upper = u32::try_from(mixed >> 32).unwrap_or_default();
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Spreads a number over all 64 bits (the finaliser of SplitMix64, Steele et al. 2014).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(faults: Faults) -> Vec<Fate> {
        (0..1000).map(|number| faults.fate(number)).collect()
    }

    #[test]
    fn a_seed_is_a_replay() {
        let faults =
            Faults { seed: 7, lost_requests: 0.25, lost_replies: 0.5, ..Faults::default() };
        assert_eq!(fates(faults), fates(faults));
        assert_ne!(fates(faults), fates(Faults { seed: 8, ..faults }));
        let count = |fate| fates(faults).into_iter().filter(|other| *other == fate).count();
        // A quarter; half of the rest: each within five standard deviations of 1000 draws.
        assert!((180..320).contains(&count(Fate::RequestLost)), "{}", count(Fate::RequestLost));
        assert!((300..450).contains(&count(Fate::ReplyLost)), "{}", count(Fate::ReplyLost));
    }

    #[test]
    fn certainty_is_certain() {
        let all = |faults: Faults, fate| fates(faults).into_iter().all(|other| other == fate);
        for seed in 0..20 {
            let none = Faults { seed, ..Faults::default() };
            assert!(all(none, Fate::Passed));
            assert!(all(Faults { lost_requests: 1.0, ..none }, Fate::RequestLost));
            assert!(all(Faults { lost_replies: 1.0, ..none }, Fate::ReplyLost));
        }
    }
}
