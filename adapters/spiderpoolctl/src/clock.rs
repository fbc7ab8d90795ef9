//! Times as people write and read them, always in UTC.
//!
//! Called by `history`, and by whoever prints a time. The ledger counts milliseconds since the Unix
//! epoch; days are turned into dates by the proleptic Gregorian calendar. Invariant: what is printed
//! reads back as the same second (`times_round_trip`).

use thiserror::Error;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A text that names no time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{got}` is no time; write it like `2026-01-31T14:05:00Z`, `2026-01-31`, `14:05` (UTC, the last such minute) or `2h ago`"
)]
pub(crate) struct BadTime {
    got: String,
}

/// The moment that a text names, in milliseconds since the Unix epoch.
pub(crate) fn parse_time(text: &str, now_ms: u64) -> Result<u64, BadTime> {
    let trimmed = text.trim();
    let read = || {
        if trimmed == "now" {
            return Some(now_ms);
        }
        if let Some(ago) = trimmed.strip_suffix("ago") {
            return now_ms.checked_sub(parse_span(ago.trim())?);
        }
        let date_ends = trimmed.find(['T', 't', ' ']);
        match date_ends.map(|at| trimmed.split_at(at)) {
            Some((date, time)) => {
                parse_date(date)?.checked_add_signed(parse_clock(time.get(1..)?)?)
            }
            None if trimmed.contains(':') => last_such(parse_clock(trimmed)?, now_ms),
            None => parse_date(trimmed),
        }
    };
    read().ok_or_else(|| BadTime { got: text.to_owned() })
}

/// A length of time like `90s`, `15m`, `2h` or `3d`, in milliseconds.
fn parse_span(text: &str) -> Option<u64> {
    let unit = text.char_indices().find(|(_, c)| !c.is_ascii_digit())?.0;
    let (number, unit) = text.split_at_checked(unit)?;
    let unit = match unit.trim() {
        "s" => SECOND,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The last moment up to now at which a clock in UTC showed this.
fn last_such(time_ms: i64, now_ms: u64) -> Option<u64> {
    let time_ms = u64::try_from(time_ms).ok()?;
    let today = (now_ms - now_ms % DAY).checked_add(time_ms)?;
    if today <= now_ms { Some(today) } else { today.checked_sub(DAY) }
}

/// `14:05`, `14:05:30`, `14:05:30.5`, with `Z` or an offset like `+02:00` behind it: milliseconds
/// from midnight in UTC.
fn parse_clock(text: &str) -> Option<i64> {
    let zone = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at_checked(zone)?;
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 23)?;
    let minute = digits(parts.next()?, 59)?;
    let (second, fraction) =
        parts.next().map_or(("00", ""), |s| s.split_once('.').unwrap_or((s, "")));
    let millis = format!("{fraction:0<3}");
    let millis = digits(millis.get(..3)?, 999)?;
    let second = digits(second, 60)?;
    if parts.next().is_some() {
        return None;
    }
    let local = hour * HOUR + minute * MINUTE + second * SECOND + millis;
    i64::try_from(local).ok()?.checked_sub(parse_zone(zone)?)
}

fn parse_zone(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let offset = i64::try_from(digits(hours, 23)? * HOUR + digits(minutes, 59)? * MINUTE).ok()?;
    Some(if sign == "-" { -offset } else { offset })
}

fn digits(text: &str, most: u64) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number <= most)
}

fn parse_date(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 9999)?;
    let month = digits(parts.next()?, 12)?.checked_sub(1)?;
    let day = digits(parts.next()?, 31)?.checked_sub(1)?;
    let days = days_before(year)? + u64::from(*STARTS.get(usize::try_from(month).ok()?)?);
    let leap = u64::from(month > 1 && is_leap(year));
    let days = (days + leap + day) * DAY;
    // The thirtieth of February is the first or second of March: no date that is printed.
    (date(days) == text).then_some(days)
}

/// Days before the first of each month in a common year.
const STARTS: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from the epoch to the first of January.
fn days_before(year: u64) -> Option<u64> {
    let full = year.checked_sub(1970)? + 1969;
    let leaps = |y: u64| y / 4 - y / 100 + y / 400;
    Some((year - 1970) * 365 + leaps(full) - leaps(1969))
}

fn date(at_ms: u64) -> String {
    let days = at_ms / DAY;
    let mut year = 1970 + days / 366;
    while days_before(year + 1).is_some_and(|start| start <= days) {
        year += 1;
    }
    let mut rest = days - days_before(year).unwrap_or(days);
    let mut month = 0;
    for at in 0..12_u64 {
        let start = usize::try_from(at).ok().and_then(|at| STARTS.get(at)).copied().unwrap_or(0);
        let start = u64::from(start) + u64::from(at > 1 && is_leap(year));
        if start <= days - days_before(year).unwrap_or(days) {
            month = at;
            rest = days - days_before(year).unwrap_or(days) - start;
        }
    }
    format!("{year:04}-{:02}-{:02}", month + 1, rest + 1)
}

/// A moment as RFC 3339 writes it, in UTC, to the second.
pub(crate) fn show_time(at_ms: u64) -> String {
    let clock = at_ms % DAY;
    let (hour, minute, second) = (clock / HOUR, clock % HOUR / MINUTE, clock % MINUTE / SECOND);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date(at_ms))
}

/// A length of time to its largest unit, such as `3h`.
pub(crate) fn show_span(span_ms: u64) -> String {
    match span_ms {
        0..MINUTE => format!("{}s", span_ms / SECOND),
        MINUTE..HOUR => format!("{}m", span_ms / MINUTE),
        HOUR..DAY => format!("{}h", span_ms / HOUR),
        _ => format!("{}d", span_ms / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000_000; // 2023-11-14T22:13:20Z

    fn check(text: &str, expected: &str) {
        let got = parse_time(text, NOW).map_or_else(|e| e.to_string(), show_time);
        assert_eq!(got, expected, "for `{text}`");
    }

    #[test]
    fn times_read_as_written() {
        check("now", "2023-11-14T22:13:20Z");
        check("2h ago", "2023-11-14T20:13:20Z");
        check("15 m ago", "2023-11-14T21:58:20Z");
        check("3d ago", "2023-11-11T22:13:20Z");
        check("14:05", "2023-11-14T14:05:00Z");
        check("23:59:30", "2023-11-13T23:59:30Z");
        check("2024-02-29", "2024-02-29T00:00:00Z");
        check("2024-02-29T12:00:00.25+02:00", "2024-02-29T10:00:00Z");
        check("2024-01-01 00:30-01:00", "2024-01-01T01:30:00Z");
        check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_time_says_so() {
        for text in
            ["", "noon", "2023-02-29", "25:00", "2h", "ago", "1969-01-01", "14:05:00:00", "-1d ago"]
        {
            let told = parse_time(text, NOW).unwrap_err().to_string();
            assert!(told.starts_with(&format!("`{text}` is no time; write it like")), "{told}");
        }
    }

    proptest! {
        #[test]
        fn times_round_trip(seconds in 0_u64..200_000_000_000) {
            prop_assume!(seconds < 253_402_300_800);
            let at = seconds * 1000;
            prop_assert_eq!(parse_time(&show_time(at), NOW).unwrap(), at);
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}", now: u64) {
            let _ = parse_time(&text, now).is_ok();
        }
    }
}
