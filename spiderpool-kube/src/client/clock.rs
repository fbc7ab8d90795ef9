//! The clock and the dice: the two things that a state machine without I/O is handed.
//!
//! Owns [`Clock`], shared by whoever sends requests (they tell it the `Date` of each reply) and by
//! `driver` (it makes a [`Moment`] for each step). The host's own clock only counts until the first
//! reply (`calibrator`).

use super::calibrator::{Calibrator, Sample};
use http::HeaderMap;
use http::header::DATE;
use spiderpool_core::moment::Moment;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the API server's time.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    calibrator: Mutex<Calibrator>,
}

impl Clock {
    /// A clock that has not heard of the server yet.
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), calibrator: Mutex::default() }
    }

    /// Milliseconds of the monotonic clock.
    pub(super) fn mono_ms(&self) -> u64 {
        millis(self.origin.elapsed())
    }

    /// Takes in the head of a reply, received just now, to a request that was sent at `sent_ms` of the
    /// monotonic clock. One without a `Date` says nothing.
    pub(super) fn observe(&self, sent_ms: u64, head: &HeaderMap) {
        // Readings are cut to the millisecond: what was received is later than its reading.
        let received_ms = self.mono_ms().saturating_add(1);
        let date = head.get(DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
        let sample = Sample { sent_ms, received_ms, date_ms: since_epoch(date) };
        self.with(|calibrator| calibrator.observe(sample));
    }

    /// The server's time in milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        let (mono_ms, host_ms) = (self.mono_ms(), since_epoch(SystemTime::now()));
        self.with(|calibrator| calibrator.now_ms(mono_ms, host_ms))
    }

    /// By how much that may be wrong; `None` as long as no reply had a `Date`.
    pub(super) fn error_ms(&self) -> Option<u64> {
        let mono_ms = self.mono_ms();
        self.with(|calibrator| calibrator.error_ms(mono_ms))
    }

    /// This moment: the server's time, and a seed that nobody can foresee.
    pub(super) fn moment(&self) -> Moment {
        Moment { now_ms: self.now_ms(), seed: chance() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Calibrator) -> T) -> T {
        f(&mut self.calibrator.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A number from the system's source of randomness: the standard library keys each of its hashers
/// differently, from there, and the digest of nothing under a key is as good as the key.
pub(super) fn chance() -> u64 {
    RandomState::new().hash_one(())
}

fn since_epoch(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn head(date: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(DATE, HeaderValue::from_static(date))])
    }

    #[test]
    fn a_date_sets_the_clock() {
        let clock = Clock::new();
        assert_eq!(clock.error_ms(), None);
        clock.observe(0, &HeaderMap::new());
        clock.observe(0, &head("yesterday"));
        assert_eq!(clock.error_ms(), None);
        // The example of RFC 9110, 5.6.7.
        clock.observe(clock.mono_ms(), &head("Sun, 06 Nov 1994 08:49:37 GMT"));
        let now = clock.now_ms();
        assert!((784_111_776_000..784_111_780_000).contains(&now), "{now}");
        assert!(clock.error_ms().is_some());
    }

    #[test]
    fn two_moments_have_two_seeds() {
        let clock = Clock::new();
        let seeds: std::collections::BTreeSet<u64> =
            (0..100).map(|_| clock.moment().seed).collect();
        assert_eq!(seeds.len(), 100);
    }
}
