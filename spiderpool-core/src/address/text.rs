//! The text form of ranges: `a`, `a-b` as in the reference, and CIDR prefixes as well.
//!
//! Parsing is strict where a typo would hand out the wrong addresses: a prefix with host bits, a
//! reversed range or an IPv4 address in IPv6 clothing is an error that says what was meant.

use super::{AddressSet, Family, Range};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};
use thiserror::Error;

/// Why a text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadRange {
    /// Nothing was written.
    #[error("is empty; write an address, a range `first-last` or a prefix")]
    Empty,
    /// A part of it is not an address.
    #[error("`{part}` is not an address; write an address, a range `first-last` or a prefix")]
    NotAnAddress {
        /// The part that could not be read.
        part: String,
    },
    /// The text has a `/` but is not a prefix.
    #[error("is not a prefix; write it as `10.0.0.0/24` or `fd00::/64`")]
    NotAPrefix,
    /// The prefix has bits set behind its length.
    #[error("has host bits set; write `{network}` for the whole prefix or leave out the length")]
    HostBits {
        /// The prefix with those bits cleared.
        network: IpNet,
    },
    /// The first address is above the last one.
    #[error("runs backwards; write `{last}-{first}`")]
    Backwards {
        /// What was written first.
        first: IpAddr,
        /// What was written last.
        last: IpAddr,
    },
    /// One end is IPv4, the other IPv6.
    #[error("mixes IPv4 and IPv6")]
    MixedFamilies,
    /// An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2), which no pod can carry.
    #[error("is an IPv4-mapped IPv6 address; write `{v4}`")]
    Mapped {
        /// The IPv4 address inside.
        v4: IpAddr,
    },
}

/// Which entry of a list is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadEntry {
    /// The entry is no range.
    #[error("entry {position} `{text}` {why}")]
    Range {
        /// Counted from 0.
        position: usize,
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: BadRange,
    },
    /// The entry is of the other family.
    #[error("entry {position} `{text}` is {got}, but {expected} was expected")]
    Family {
        /// Counted from 0.
        position: usize,
        /// What was written.
        text: String,
        /// The family of the entry.
        got: Family,
        /// The family of the list.
        expected: Family,
    },
    /// The entry shares addresses with an earlier one.
    #[error(
        "entry {position} `{text}` overlaps entry {earlier} in {shared}; list each address once"
    )]
    Overlap {
        /// Counted from 0.
        position: usize,
        /// What was written.
        text: String,
        /// The position of the earlier entry.
        earlier: usize,
        /// The first shared run.
        shared: Range,
    },
}

/// Reads one address, one range `first-last` or one prefix.
///
/// # Errors
/// [`BadRange`] tells what is wrong and what to write.
///
/// ```
/// use spiderpool_core::address::parse_range;
/// assert_eq!(parse_range("10.0.0.0/30")?.to_string(), "10.0.0.0-10.0.0.3");
/// assert_eq!(parse_range("fd00::1")?.count(), 1);
/// assert!(parse_range("10.0.0.9-10.0.0.2").is_err());
/// # Ok::<(), spiderpool_core::address::BadRange>(())
/// ```
pub fn parse_range(text: &str) -> Result<Range, BadRange> {
    let text = text.trim();
    if text.is_empty() {
        return Err(BadRange::Empty);
    }
    if text.contains('/') {
        return parse_prefix(text);
    }
    let Some((first, last)) = text.split_once('-') else {
        return Ok(Range::single(parse_address(text)?));
    };
    let (first, last) = (parse_address(first)?, parse_address(last)?);
    if Family::of(first) != Family::of(last) {
        return Err(BadRange::MixedFamilies);
    }
    Range::new(first, last).ok_or(BadRange::Backwards { first, last })
}

fn parse_prefix(text: &str) -> Result<Range, BadRange> {
    let prefix: IpNet = text.parse().map_err(|_| BadRange::NotAPrefix)?;
    refuse_mapped(prefix.addr())?;
    let network = prefix.trunc();
    if network == prefix {
        // `::/80` begins as an ordinary prefix and ends at the last IPv4-mapped address.
        let range = Range::of_prefix(prefix);
        refuse_mapped(range.last())?;
        Ok(range)
    } else {
        Err(BadRange::HostBits { network })
    }
}

fn parse_address(part: &str) -> Result<IpAddr, BadRange> {
    let part = part.trim();
    let address = part.parse().map_err(|_| BadRange::NotAnAddress { part: part.to_owned() })?;
    refuse_mapped(address)?;
    Ok(address)
}

fn refuse_mapped(address: IpAddr) -> Result<(), BadRange> {
    let mapped = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Ipv6Addr::to_ipv4_mapped(&v6),
    };
    mapped.map_or(Ok(()), |v4| Err(BadRange::Mapped { v4: IpAddr::V4(v4) }))
}

/// Reads a list of entries of one family into a set; entries may stand in any order.
///
/// # Errors
/// [`BadEntry`] names the first offending entry by position and text: not a range, of the other
/// family, or overlapping an earlier entry.
///
/// ```
/// use spiderpool_core::address::{Family, parse_list};
/// let set = parse_list(Family::V4, &["10.0.0.8/30", "10.0.0.1"])?;
/// assert_eq!(set.to_string(), "10.0.0.1,10.0.0.8-10.0.0.11");
/// # Ok::<(), spiderpool_core::address::BadEntry>(())
/// ```
pub fn parse_list<T: AsRef<str>>(family: Family, entries: &[T]) -> Result<AddressSet, BadEntry> {
    let mut ranges = Vec::with_capacity(entries.len());
    for (position, entry) in entries.iter().enumerate() {
        let text = entry.as_ref();
        let range = parse_range(text).map_err(|why| BadEntry::Range {
            position,
            text: text.to_owned(),
            why,
        })?;
        if range.family() != family {
            let (text, got) = (text.to_owned(), range.family());
            return Err(BadEntry::Family { position, text, got, expected: family });
        }
        ranges.push((range, position));
    }
    refuse_overlaps(&mut ranges, entries)?;
    Ok(AddressSet::from_ranges(family, ranges.into_iter().map(|(range, _)| range)))
}

fn refuse_overlaps<T: AsRef<str>>(
    ranges: &mut [(Range, usize)],
    entries: &[T],
) -> Result<(), BadEntry> {
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        let [(left, a), (right, b)] = pair else { continue };
        if let Some(shared) = left.overlap(*right) {
            let (earlier, position) = (*a.min(b), *a.max(b));
            let text = entries.get(position).map_or("", AsRef::as_ref).to_owned();
            return Err(BadEntry::Overlap { position, text, earlier, shared });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = parse_range(text).map_or_else(|e| e.to_string(), |r| r.to_string());
        assert_eq!(got, expected, "for `{text}`");
    }

    #[test]
    fn ranges_read_as_written() {
        check("10.0.0.1", "10.0.0.1");
        check(" 10.0.0.1 - 10.0.0.3 ", "10.0.0.1-10.0.0.3");
        check("10.0.0.5-10.0.0.5", "10.0.0.5");
        check("10.0.0.0/30", "10.0.0.0-10.0.0.3");
        check("0.0.0.0/0", "0.0.0.0-255.255.255.255");
        check("::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        check("fd00::a-fd00::f", "fd00::a-fd00::f");
    }

    #[test]
    fn errors_say_what_to_write() {
        check("", "is empty; write an address, a range `first-last` or a prefix");
        check(
            "10.0.0.5/24",
            "has host bits set; write `10.0.0.0/24` for the whole prefix or leave out the length",
        );
        check("10.0.0.9-10.0.0.2", "runs backwards; write `10.0.0.2-10.0.0.9`");
        check("10.0.0.1-fd00::1", "mixes IPv4 and IPv6");
        check("::ffff:10.0.0.1", "is an IPv4-mapped IPv6 address; write `10.0.0.1`");
        // What is accepted has to be readable from its own text (found by the fuzz target `ranges`).
        check("::/80", "is an IPv4-mapped IPv6 address; write `255.255.255.255`");
        check("10.0.0.0/33", "is not a prefix; write it as `10.0.0.0/24` or `fd00::/64`");
        check(
            "10.0.0.256",
            "`10.0.0.256` is not an address; write an address, a range `first-last` or a prefix",
        );
        check(
            "010.0.0.1",
            "`010.0.0.1` is not an address; write an address, a range `first-last` or a prefix",
        );
        check(
            "fe80::1%eth0",
            "`fe80::1%eth0` is not an address; write an address, a range `first-last` or a prefix",
        );
    }

    #[test]
    fn a_list_names_the_offending_entry() {
        let list = |entries: &[&str]| parse_list(Family::V4, entries).unwrap_err().to_string();
        assert_eq!(
            list(&["10.0.0.1", "oops"]),
            "entry 1 `oops` `oops` is not an address; write an address, a range `first-last` or a prefix"
        );
        assert_eq!(list(&["fd00::1"]), "entry 0 `fd00::1` is IPv6, but IPv4 was expected");
        assert_eq!(
            list(&["10.0.0.5", "10.0.0.20", "10.0.0.1-10.0.0.9"]),
            "entry 2 `10.0.0.1-10.0.0.9` overlaps entry 0 in 10.0.0.5; list each address once"
        );
    }
}
