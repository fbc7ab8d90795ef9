//! What time it is at the API server, told from the `Date` of its replies.
//!
//! Owns [`Calibrator`]: pure arithmetic on a monotonic clock's readings, without a clock of its own.
//! `clock` feeds it. A `Date` has a resolution of one second, so one reply bounds the server's time by
//! one second and the round trip; the bounds of many replies overlap in less. Invariants:
//!
//! 1. While both clocks run evenly, the server's time lies within the bounds
//!    (`the_server_s_time_stays_within_the_bounds`).
//! 2. Replies around the turn of a second narrow the bounds to the round trip
//!    (`replies_around_the_turn_of_a_second_narrow_the_bounds`).
//! 3. What it says never runs backwards, unless a reply shows that the server's clock did by more than
//!    [`STEP_MS`] (`time_holds_still_rather_than_run_back`, `a_server_whose_clock_was_set_is_followed`).
//! 4. The host's own clock means nothing once a reply was seen
//!    (`the_host_s_clock_means_nothing_after_the_first_reply`).

/// How fast two clocks are assumed to drift apart at most, in parts of a million: four times what a
/// quartz that is not disciplined is known to do.
const DRIFT_PPM: i64 = 400;

/// A millisecond in nanoseconds, the unit of [`Bounds`]: in it, the drift of each millisecond is a whole
/// number, so that nothing is lost however often bounds are dated anew.
const MS: i64 = 1_000_000;

/// The resolution of a `Date` (RFC 9110, 5.6.7), in nanoseconds.
const RESOLUTION: i64 = 1_000 * MS;

/// What the server's clock has to go back by until it is followed, in milliseconds.
pub(super) const STEP_MS: u64 = 2_000;

/// One reply: when its request was sent and when it was received, by a monotonic clock that begins
/// anywhere, and its `Date`, all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// When the request was sent.
    pub sent_ms: u64,
    /// When the head of the reply was received; not before it was sent.
    pub received_ms: u64,
    /// Its `Date`, in milliseconds since the Unix epoch: a whole number of seconds.
    pub date_ms: u64,
}

/// Keeps the distance between a monotonic clock and the server's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibrator {
    bounds: Option<Bounds>,
    told_ms: u64,
}

/// The server's time less the monotonic clock's, in nanoseconds, at the moment `at_ms` of the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    low: i64,
    high: i64,
    at_ms: u64,
}

impl Bounds {
    fn of(sample: Sample) -> Self {
        let date = nanos(sample.date_ms);
        let received = sample.received_ms.max(sample.sent_ms);
        let (low, high) = (
            date.saturating_sub(nanos(received)),
            date.saturating_add(RESOLUTION).saturating_sub(nanos(sample.sent_ms)),
        );
        Self { low, high, at_ms: received }
    }

    /// The bounds some time later, wider by what the clocks may have drifted.
    fn at(self, mono_ms: u64) -> Self {
        let passed = signed(mono_ms.saturating_sub(self.at_ms));
        let drift = passed.saturating_mul(DRIFT_PPM * MS / 1_000_000);
        let (low, high) = (self.low.saturating_sub(drift), self.high.saturating_add(drift));
        Self { low, high, at_ms: self.at_ms.max(mono_ms) }
    }

    fn overlap(self, other: Self) -> Option<Self> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then_some(Self { low, high, at_ms: self.at_ms.max(other.at_ms) })
    }

    /// The server's time in milliseconds, when the monotonic clock shows `mono_ms`.
    fn time(self, mono_ms: u64) -> u64 {
        millis(nanos(mono_ms).saturating_add(self.low.midpoint(self.high)))
    }
}

impl Calibrator {
    /// Takes in a reply.
    pub(super) fn observe(&mut self, sample: Sample) {
        let fresh = Bounds::of(sample);
        let Some(known) = self.bounds else {
            (self.bounds, self.told_ms) = (Some(fresh), 0);
            return;
        };
        if let Some(both) = known.at(fresh.at_ms).overlap(fresh) {
            self.bounds = Some(both);
            return;
        }
        // Another server of the same cluster, or its clock was set: the latest word counts.
        self.bounds = Some(fresh);
        if fresh.time(fresh.at_ms).saturating_add(STEP_MS) < self.told_ms {
            self.told_ms = 0;
        }
    }

    /// The server's time in milliseconds since the Unix epoch, at a moment of the monotonic clock;
    /// `host_ms`, the host's own idea of it, as long as no reply was seen.
    pub(super) fn now_ms(&mut self, mono_ms: u64, host_ms: u64) -> u64 {
        let Some(bounds) = self.bounds else { return host_ms };
        self.told_ms = self.told_ms.max(bounds.time(mono_ms));
        self.told_ms
    }

    /// By how much the server's time may differ from what is told, in milliseconds; `None` as long as
    /// no reply was seen.
    #[must_use]
    pub(super) fn error_ms(&self, mono_ms: u64) -> Option<u64> {
        let bounds = self.bounds?.at(mono_ms);
        Some(millis(bounds.high.saturating_sub(bounds.low)).div_ceil(2))
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn nanos(ms: u64) -> i64 {
    signed(ms).saturating_mul(MS)
}

fn millis(nanos: i64) -> u64 {
    u64::try_from(nanos / MS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Midnight of a day in 2026, and a little more.
    const EPOCH: u64 = 1_795_219_200_400;

    /// A reply of a server whose clock shows `EPOCH` when the monotonic clock shows nothing, and
    /// which answers some time after the request was sent.
    fn reply(sent_ms: u64, there: u64, back: u64) -> Sample {
        let date_ms = (EPOCH + sent_ms + there) / 1_000 * 1_000;
        Sample { sent_ms, received_ms: sent_ms + there + back, date_ms }
    }

    #[test]
    fn one_reply_bounds_the_time_by_a_second_and_the_round_trip() {
        let mut clock = Calibrator::default();
        assert_eq!((clock.now_ms(7, 42), clock.error_ms(7)), (42, None));
        clock.observe(reply(1_000, 5, 5));
        assert_eq!(clock.error_ms(1_010), Some(505));
        assert!(clock.now_ms(1_010, 42).abs_diff(EPOCH + 1_010) <= 505);
    }

    #[test]
    fn replies_around_the_turn_of_a_second_narrow_the_bounds() {
        let mut clock = Calibrator::default();
        (0..40).for_each(|n| clock.observe(reply(n * 51, 2, 2)));
        assert!(clock.error_ms(2_000).unwrap() <= 30, "{clock:?}");
        assert!(clock.now_ms(2_000, 0).abs_diff(EPOCH + 2_000) <= 30);
    }

    #[test]
    fn the_host_s_clock_means_nothing_after_the_first_reply() {
        let mut clock = Calibrator::default();
        clock.observe(reply(0, 1, 1));
        let told = clock.now_ms(10, 0);
        assert_eq!(clock.now_ms(10, u64::MAX), told);
        assert_eq!(clock.now_ms(11, 5) - told, 1);
    }

    #[test]
    fn time_holds_still_rather_than_run_back() {
        let mut clock = Calibrator::default();
        // A reply at the end of a second: the middle of its bounds is too late by half a second.
        clock.observe(reply(0, 0, 0));
        let told = clock.now_ms(1, 0);
        // Another server, whose clock is a second behind.
        clock.observe(Sample {
            sent_ms: 2,
            received_ms: 2,
            date_ms: EPOCH / 1_000 * 1_000 - 1_000,
        });
        assert_eq!(clock.now_ms(2, 0), told);
        assert!(clock.now_ms(3_000, 0) > told);
    }

    #[test]
    fn a_server_whose_clock_was_set_is_followed() {
        let mut clock = Calibrator::default();
        clock.observe(reply(0, 0, 0));
        let told = clock.now_ms(1, 0);
        let hour = 3_600_000;
        clock.observe(Sample {
            sent_ms: 2,
            received_ms: 3,
            date_ms: (EPOCH - hour) / 1_000 * 1_000,
        });
        assert!(told.abs_diff(clock.now_ms(3, 0) + hour) <= 1_000);
        clock.observe(Sample {
            sent_ms: 4,
            received_ms: 5,
            date_ms: (EPOCH + hour) / 1_000 * 1_000,
        });
        assert!(clock.now_ms(5, 0).abs_diff(told + hour) <= 1_000);
    }

    #[test]
    fn bounds_that_were_not_renewed_widen_by_the_drift() {
        let mut clock = Calibrator::default();
        clock.observe(reply(0, 1, 1));
        assert_eq!(clock.error_ms(2), Some(501));
        assert_eq!(clock.error_ms(2 + 3_600_000), Some(501 + 1_440));
    }

    #[test]
    fn no_numbers_are_too_large() {
        let mut clock = Calibrator::default();
        clock.observe(Sample { sent_ms: u64::MAX, received_ms: 0, date_ms: u64::MAX });
        clock.observe(Sample { sent_ms: 0, received_ms: u64::MAX, date_ms: 0 });
        assert!(clock.now_ms(u64::MAX, 0) < u64::MAX);
        assert!(clock.error_ms(u64::MAX).is_some());
    }

    proptest! {
        #[test]
        fn the_server_s_time_stays_within_the_bounds(
            trips in prop::collection::vec((0_u64..120_000, 0_u64..900, 0_u64..900), 1..60),
            drift in -300_i64..=300,
        ) {
            let server = |mono: u64| EPOCH.checked_add_signed(signed(mono) + signed(mono) * drift / 1_000_000).unwrap();
            let (mut clock, mut mono, mut last) = (Calibrator::default(), 0, 0);
            for (pause, there, back) in trips {
                let (sent_ms, received_ms) = (mono + pause, mono + pause + there + back);
                let date_ms = server(sent_ms + there) / 1_000 * 1_000;
                clock.observe(Sample { sent_ms, received_ms, date_ms });
                mono = received_ms;
                let (now, error) = (clock.now_ms(mono, 0), clock.error_ms(mono).unwrap());
                // The floor under what was told may lie above the middle, not above the bounds' top.
                prop_assert!(now.abs_diff(server(mono)) <= 2 * error + 1, "{now} {error} {clock:?}");
                prop_assert!(now >= last);
                last = now;
                let bounds = clock.bounds.unwrap().at(mono);
                let offset = nanos(server(mono)) - nanos(mono);
                prop_assert!((bounds.low - MS..=bounds.high + MS).contains(&offset));
            }
        }
    }
}
