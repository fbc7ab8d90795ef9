//! Neighbours: which hardware address an IP address of a link has.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{HardwareAddress, LinkName, RouteProtocol};

/// An entry of the neighbour table (`ip neighbour`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Neighbour {
    /// The link it is on.
    pub device: LinkName,
    /// The IP address.
    pub address: IpAddr,
    /// Its hardware address; none while it is not known, and for a proxy entry.
    pub mac: Option<HardwareAddress>,
    /// How sure the kernel is.
    pub state: NeighbourState,
    /// Who made it (`NDA_PROTOCOL`).
    pub protocol: RouteProtocol,
}

impl Neighbour {
    /// A permanent entry of ours.
    #[must_use]
    pub const fn permanent(device: LinkName, address: IpAddr, mac: HardwareAddress) -> Self {
        let (state, protocol) = (NeighbourState::Permanent, RouteProtocol::OURS);
        Self { device, address, mac: Some(mac), state, protocol }
    }
}

/// How sure the kernel is of a neighbour (`NUD_*` in `include/uapi/linux/neighbour.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NeighbourState {
    /// It was told, and asks nobody.
    Permanent,
    /// The address is answered for on behalf of another (`NTF_PROXY`).
    Proxy,
    /// It learned it by itself: whatever it is now, it may be something else in a moment.
    Learned,
}
