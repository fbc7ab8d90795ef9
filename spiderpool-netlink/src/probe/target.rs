//! What is asked and what was found: plain values.

use std::fmt;
use std::net::IpAddr;

/// A MAC address of Ethernet; prints as `02:00:00:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody.
    pub(super) const BROADCAST: Self = Self([0xff; 6]);
    /// What a packet has where no address is known.
    pub(super) const ZERO: Self = Self([0; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address to ask about, and the gateway that it will use.
///
/// Which of the two questions are asked is a matter of [`Timing`](super::Timing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    address: IpAddr,
    gateway: Option<IpAddr>,
}

impl Target {
    /// A target; its gateway is of the same family.
    ///
    /// # Errors
    ///
    /// [`BadTarget`] where the address or the gateway is none that one host can have on a link.
    pub fn new(address: IpAddr, gateway: Option<IpAddr>) -> Result<Self, BadTarget> {
        for one in std::iter::once(address).chain(gateway) {
            let is_broadcast = matches!(one, IpAddr::V4(v4) if v4.is_broadcast());
            if one.is_unspecified() || one.is_loopback() || one.is_multicast() || is_broadcast {
                return Err(BadTarget::NoHost { address: one });
            }
        }
        match gateway {
            Some(gateway) if gateway.is_ipv4() != address.is_ipv4() => {
                Err(BadTarget::TwoFamilies { address, gateway })
            }
            _ => Ok(Self { address, gateway }),
        }
    }

    /// The address that is asked about.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The gateway that it will use.
    #[must_use]
    pub fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }
}

/// Why something can be no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It is unspecified, loopback, multicast or broadcast.
    #[error(
        "`{address}` cannot be probed: no single host on a link has it; give a unicast address"
    )]
    NoHost {
        /// The address or gateway.
        address: IpAddr,
    },
    /// Address and gateway are of two families.
    #[error("`{address}` cannot have the gateway `{gateway}`, which is of the other family")]
    TwoFamilies {
        /// The address.
        address: IpAddr,
        /// Its gateway.
        gateway: IpAddr,
    },
}

/// What was found out about one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What was asked about.
    pub target: Target,
    /// Whether somebody else has the address.
    pub occupancy: Occupancy,
    /// Whether the gateway answers.
    pub gateway: Reach,
}

/// Whether somebody else has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupancy {
    /// It was not asked.
    NotAsked,
    /// The time was over before it was asked as often as was said.
    Unsettled,
    /// Nobody spoke up.
    Free,
    /// Somebody has it, or is about to.
    Taken {
        /// Who.
        mac: Mac,
        /// How that showed.
        evidence: Evidence,
    },
}

/// How a conflict showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Somebody uses the address.
    Used,
    /// Somebody else probes for it at the same time.
    Probed,
}

/// Whether a gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It was not asked: there is none, or the address is not free.
    NotAsked,
    /// The time was over before it was asked as often as was said.
    Unsettled,
    /// It answered.
    Reachable {
        /// Its MAC.
        mac: Mac,
    },
    /// It was asked as often as was said, and did not answer.
    Unreachable,
}
