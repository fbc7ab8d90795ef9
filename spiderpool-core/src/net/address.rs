//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LinkName, Scope};
use crate::address::Family;

/// An IP address of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Its link.
    pub device: LinkName,
    /// The address itself, host bits included, with the length of its prefix.
    pub net: IpNet,
    /// The other end, on a link between two only.
    pub peer: Option<IpAddr>,
    /// The broadcast address, if one is set.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it reaches.
    pub scope: Scope,
    /// What the kernel says about its state.
    pub flags: AddressFlags,
}

impl Address {
    /// A permanent address of universal scope without a broadcast address.
    #[must_use]
    pub fn new(device: LinkName, net: IpNet) -> Self {
        let flags = AddressFlags { is_permanent: true, ..AddressFlags::default() };
        Self { device, net, peer: None, broadcast: None, scope: Scope::Universe, flags }
    }

    /// The family of the address.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.net.addr())
    }

    /// Whether it can be used beyond its link: neither multicast, nor link-local (RFC 3927,
    /// RFC 4291 section 2.5.6), nor loopback.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let address = self.net.addr();
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        !(is_link_local || address.is_multicast() || address.is_loopback())
    }
}

/// The state of an address (`IFA_F_*` in `include/uapi/linux/if_addr.h`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct AddressFlags {
    /// It never expires.
    pub is_permanent: bool,
    /// Duplicate address detection has not ended: nothing may be sent from it.
    pub is_tentative: bool,
    /// Duplicate address detection found another holder: the kernel does not use it.
    pub has_dad_failed: bool,
    /// Duplicate address detection is left out.
    pub has_no_dad: bool,
    /// Its preferred lifetime is over: new connections avoid it.
    pub is_deprecated: bool,
    /// For IPv4: another address of its prefix came first. For IPv6: it is a temporary one.
    pub is_secondary: bool,
    /// The kernel makes no route to its prefix.
    pub has_no_prefix_route: bool,
    /// The kernel made it of a router's advertisement and manages temporary ones for it.
    pub is_managed: bool,
}
