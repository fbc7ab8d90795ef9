//! How long to wait before trying again: twice as long each time, and never all at once.
//!
//! Owns [`Backoff`]. Watches, the start and the record file's writer use it. Invariant: a pause lies
//! between half and the whole of the step, so that a thousand nodes that lost one server do not come
//! back in the same moment (`pauses_double_up_to_the_longest`).

use std::time::Duration;

/// Pauses between attempts.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins with a pause of about `first`, and ends with pauses of about `longest`.
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Something failed: how long to wait. `chance` is any number, a new one each time.
    pub(super) fn pause(&mut self, chance: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let step = self.first.saturating_mul(factor).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        jitter(step, chance)
    }

    /// Something went well: the next pause is a short one.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A time between half of `step` and the whole of it.
pub(super) fn jitter(step: Duration, chance: u64) -> Duration {
    let half = step / 2;
    let share = u32::try_from(chance % 1_024).unwrap_or_default();
    half + half * share / 1_023
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 30);
        let longest: Vec<u64> = (0..7).map(|_| backoff.pause(1_023).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 30, 30]);
        (0..60).for_each(|_| assert_eq!(backoff.pause(0), second * 15));
        backoff.reset();
        let pause = backoff.pause(500);
        assert!(second / 2 < pause && pause < second);
    }
}
