//! An inclusive run of addresses of one family.

use super::{Family, bits};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// All addresses from a first to a last one, both included; never empty.
///
/// ```
/// use spiderpool_core::address::{Range, parse_range};
/// let range = parse_range("10.0.0.2-10.0.0.9")?;
/// assert_eq!(range.count(), 8);
/// assert!(range.contains("10.0.0.9".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    family: Family,
    first: u128,
    last: u128,
}

impl Range {
    /// The range from `first` to `last`, or `None` when the families differ or the order is wrong.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let family = Family::of(first);
        (family == Family::of(last))
            .then(|| Self::from_bits(family, bits(first), bits(last)))
            .flatten()
    }

    /// The range between two numbers, or `None` when they are out of order or too large.
    #[must_use]
    pub fn from_bits(family: Family, first: u128, last: u128) -> Option<Self> {
        (first <= last && last <= family.last()).then_some(Self { family, first, last })
    }

    /// The range that holds exactly one address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        Self { family: Family::of(address), first: bits(address), last: bits(address) }
    }

    /// The range of all addresses under a prefix, network and broadcast address included.
    #[must_use]
    pub fn of_prefix(prefix: IpNet) -> Self {
        Self {
            family: Family::of(prefix.addr()),
            first: bits(prefix.network()),
            last: bits(prefix.broadcast()),
        }
    }

    /// The family of all its addresses.
    #[must_use]
    pub const fn family(self) -> Family {
        self.family
    }

    /// The lowest address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.family.address(self.first)
    }

    /// The highest address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        self.family.address(self.last)
    }

    /// The lowest and the highest address as numbers.
    #[must_use]
    pub const fn ends(self) -> (u128, u128) {
        (self.first, self.last)
    }

    /// How many addresses it holds; all of IPv6 saturates at `u128::MAX`.
    #[must_use]
    pub const fn count(self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether `address` lies in it; an address of the other family never does.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&bits(address))
    }

    /// The addresses that both ranges hold, if any.
    #[must_use]
    pub fn overlap(self, other: Self) -> Option<Self> {
        if self.family != other.family {
            return None;
        }
        Self::from_bits(self.family, self.first.max(other.first), self.last.min(other.last))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first())
        } else {
            write!(f, "{}-{}", self.first(), self.last())
        }
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for Range {
    type Error = super::BadRange;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        super::parse_range(&text)
    }
}
