//! Time stamps as Kubernetes writes them (RFC 3339), from and to milliseconds since the Unix epoch.
//!
//! Invariant: what is written reads back (`stamps_read_back`).

use std::fmt::Write;

const DAY_MS: u64 = 86_400_000;

/// Days from the first of March of the year 0 to the Unix epoch; years are counted from March, so
/// that the leap day is a year's last.
const EPOCH_DAY: u64 = 719_468;

/// Days in 400 years.
const ERA_DAYS: u64 = 146_097;

/// The milliseconds since the Unix epoch of an RFC 3339 stamp; `None` for other text, and for a moment
/// before the epoch.
///
/// ```
/// use spiderpool_kube::cluster::stamp::parse;
/// assert_eq!(parse("1970-01-02T00:00:01.5Z"), Some(86_401_500));
/// assert_eq!(parse("yesterday"), None);
/// ```
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let (time, offset_ms) = zone(time)?;
    let mut parts = date.splitn(3, '-').map(number);
    let day = days(parts.next()??, parts.next()??, parts.next()??)?;
    let (time, fraction) = time.split_once('.').map_or((time, 0), |(time, f)| (time, millis(f)));
    let mut parts = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let ms = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    day.checked_mul(DAY_MS)?.checked_add(ms)?.checked_add_signed(-offset_ms)
}

/// The stamp of a moment, in whole seconds of UTC, as an API server writes them.
///
/// ```
/// assert_eq!(spiderpool_kube::cluster::stamp::text(86_401_999), "1970-01-02T00:00:01Z");
/// ```
#[must_use]
pub fn text(ms: u64) -> String {
    let (year, month, day) = date(ms / DAY_MS);
    let second = ms % DAY_MS / 1000;
    let mut out = String::with_capacity(20);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    // Writing to a string cannot fail.
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60).ok();
    out
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn millis(fraction: &str) -> u64 {
    let digits = fraction.chars().chain("000".chars()).take(3);
    digits.fold(0, |ms, digit| ms * 10 + u64::from(digit.to_digit(10).unwrap_or(0)))
}

/// The time without its zone, and how far the zone is ahead of UTC.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (time, zone) = text.split_at_checked(at)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let ahead = i64::try_from((number(hours)? * 60 + number(minutes)?) * 60_000).ok()?;
    Some((time, if zone.starts_with('-') { -ahead } else { ahead }))
}

/// Days since the Unix epoch.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month > 2 { year } else { year.checked_sub(1)? };
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let in_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (year / 400 * ERA_DAYS + in_era).checked_sub(EPOCH_DAY)
}

fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAY;
    let in_era = days % ERA_DAYS;
    let of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let of_year = in_era - (365 * of_era + of_era / 4 - of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = days / ERA_DAYS * 400 + of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(stamp: &str, ms: u64) {
        assert_eq!(parse(stamp), Some(ms), "{stamp}");
    }

    #[test]
    fn stamps_are_read_in_all_forms() {
        check("1970-01-01T00:00:00Z", 0);
        check("2000-02-29T12:00:00Z", 951_825_600_000);
        check("2024-03-01T00:00:00Z", 1_709_251_200_000);
        check("2024-03-01T01:30:00.123456+01:30", 1_709_251_200_123);
        check("2024-02-29T22:00:00.5-02:00", 1_709_251_200_500);
        for none in ["", "2024-03-01", "2024-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "aTbZ"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn stamps_read_back(second in 0_u64..250_000_000_000) {
            prop_assert_eq!(parse(&text(second * 1000 + 7)), Some(second * 1000));
        }

        #[test]
        fn arbitrary_stamps_never_panic(text in "[0-9TZ:+.\\-]{0,30}|\\PC{0,20}") {
            prop_assert!(parse(&text).is_none_or(|ms| ms < 400_000_000_000_000));
        }
    }
}
