//! Addresses as numbers: families, ranges and sets, and the text they are written in.
//!
//! Owns the only arithmetic on addresses in the project. Everything above it (slots, pools, the
//! ledger) calls in here and never loops over addresses.
//!
//! Invariants:
//! 1. No operation enumerates addresses: cost grows with the number of *ranges*
//!    (`a_slash_8_with_ten_thousand_holes_is_cheap`, `a_slash_64_is_cheap`).
//! 2. A [`Range`] and an [`AddressSet`] never mix families (`families_never_mix`).
//! 3. An [`AddressSet`] is sorted, disjoint and merged, so equal sets have equal values
//!    (`algebra_agrees_with_a_plain_list`).

mod range;
mod set;
mod text;

pub use range::Range;
pub use set::AddressSet;
pub(crate) use set::bit_run;
pub use text::{BadEntry, BadRange, parse_list, parse_range};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One of the two versions of the Internet Protocol (RFC 791, RFC 8200).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Family {
    /// IPv4: 32-bit addresses.
    #[default]
    V4,
    /// IPv6: 128-bit addresses.
    V6,
}

impl Family {
    /// Both families, in the order in which every list of the project shows them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Number of bits in an address: 32 or 128.
    #[must_use]
    pub const fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The version number that manifests and packets use: 4 or 6.
    #[must_use]
    pub const fn version(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// The highest address as a number.
    #[must_use]
    pub const fn last(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }

    /// The address with the given number; bits above the family's width are dropped.
    #[must_use]
    pub fn address(self, bits: u128) -> IpAddr {
        match self {
            Self::V4 => {
                let low = u32::try_from(bits & Self::V4.last()).unwrap_or(u32::MAX);
                IpAddr::V4(Ipv4Addr::from_bits(low))
            }
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPv{}", self.version())
    }
}

/// The number of an address within its family, 0 for `0.0.0.0` and for `::`.
#[must_use]
pub fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
