//! Routes of any table.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::LinkName;
use crate::address::Family;

/// Numbers of routing tables that mean something (`enum rt_class_t`, and the reference's own).
pub mod table {
    /// The table that the kernel keeps local and broadcast routes in.
    pub const LOCAL: u32 = 255;
    /// The table that is looked up when no rule says another.
    pub const MAIN: u32 = 254;
    /// Where replies find the way that their request came.
    pub const REPLY: u32 = 100;
    /// The first table for an interface of a pod.
    pub const FIRST_INTERFACE: u32 = 101;
    /// Where a node finds the way to its pods.
    pub const HOST: u32 = 500;
}

/// A route of any table.
///
/// Fields are in the order that routes are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The destinations it is for; its variant is the family.
    pub destination: IpNet,
    /// The table it is in: 254 is main, 255 local.
    pub table: u32,
    /// Its metric; the lower is preferred. IPv4 has 0, IPv6 1024 where none was given.
    pub metric: u32,
    /// The type of service it is limited to; 0 for all.
    pub tos: u8,
    /// What becomes of a packet.
    pub kind: RouteType,
    /// Where packets go next: none for a blackhole and its like, several for multipath.
    pub hops: Vec<Hop>,
    /// The address that packets from here are sent from, unless they have one (`RTA_PREFSRC`).
    pub source: Option<IpAddr>,
    /// Who made it.
    pub protocol: RouteProtocol,
    /// How far the destinations are. IPv6 knows [`Scope::Universe`] only.
    pub scope: Scope,
    /// Which of several routers is preferred (RFC 4191); IPv6 only.
    pub preference: RoutePreference,
    /// What is known of the path, by its number (`RTAX_*`): 2 is the MTU, 8 the advertised MSS.
    pub metrics: BTreeMap<u16, u32>,
    /// The nexthop object it goes over, if it goes over one (`ip nexthop`).
    pub nexthop_id: Option<u32>,
    /// Whether it has attributes that this type has no field for (an encapsulation, a lifetime): such a
    /// route is left where it is.
    pub has_more: bool,
}

impl Route {
    /// The number of the MTU in [`Route::metrics`] (`RTAX_MTU`).
    pub const MTU: u16 = 2;

    /// A unicast route without a hop, of our protocol.
    #[must_use]
    pub fn new(destination: IpNet, table: u32) -> Self {
        let is_v4 = matches!(destination, IpNet::V4(_));
        Self {
            destination,
            table,
            metric: if is_v4 { 0 } else { 1024 },
            tos: 0,
            kind: RouteType::Unicast,
            hops: Vec::new(),
            source: None,
            protocol: RouteProtocol::OURS,
            scope: Scope::Universe,
            preference: RoutePreference::Medium,
            metrics: BTreeMap::new(),
            nexthop_id: None,
            has_more: false,
        }
    }

    /// A route to a destination on the link itself: of link scope in IPv4.
    #[must_use]
    pub fn on_link(destination: IpNet, table: u32, device: LinkName) -> Self {
        let is_v4 = matches!(destination, IpNet::V4(_));
        let scope = if is_v4 { Scope::Link } else { Scope::Universe };
        Self { hops: vec![Hop::on(device)], scope, ..Self::new(destination, table) }
    }

    /// A route over a gateway.
    #[must_use]
    pub fn via(destination: IpNet, table: u32, gateway: IpAddr, device: LinkName) -> Self {
        let hop = Hop { gateway: Some(gateway), ..Hop::on(device) };
        Self { hops: vec![hop], ..Self::new(destination, table) }
    }

    /// Its family.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.destination.addr())
    }

    /// Whether it is for every destination.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0 && self.kind == RouteType::Unicast
    }

    /// Whether one of its hops leaves by a link.
    #[must_use]
    pub fn leaves_by(&self, device: &str) -> bool {
        self.hops.iter().any(|hop| hop.device.as_deref() == Some(device))
    }
}

/// One way for a packet to leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hop {
    /// The link; none where a nexthop object says it.
    pub device: Option<LinkName>,
    /// The gateway; none for a destination on the link. It may be of the other family.
    pub gateway: Option<IpAddr>,
    /// Its share among the hops, 1 to 256.
    pub weight: u16,
    /// Whether the gateway is taken to be on the link, whatever the addresses say.
    pub is_onlink: bool,
}

impl Hop {
    /// A hop to the link itself.
    #[must_use]
    pub fn on(device: LinkName) -> Self {
        Self { device: Some(device), gateway: None, weight: 1, is_onlink: false }
    }
}

/// How far an address or a route reaches (`enum rt_scope_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everywhere.
    Universe,
    /// Within the site.
    Site,
    /// On this link.
    Link,
    /// On this host.
    Host,
    /// Nowhere: the destination does not exist.
    Nowhere,
    /// Another number, which users may define.
    Other(u8),
}

impl From<u8> for Scope {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Universe,
            200 => Self::Site,
            253 => Self::Link,
            254 => Self::Host,
            255 => Self::Nowhere,
            other => Self::Other(other),
        }
    }
}

impl From<Scope> for u8 {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Universe => 0,
            Scope::Site => 200,
            Scope::Link => 253,
            Scope::Host => 254,
            Scope::Nowhere => 255,
            Scope::Other(number) => number,
        }
    }
}

/// What becomes of a packet (`RTN_*` in `include/uapi/linux/rtnetlink.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteType {
    /// It goes to its hop.
    Unicast,
    /// It is ours.
    Local,
    /// It is ours, and was sent to all.
    Broadcast,
    /// It is ours, and others may have the address too.
    Anycast,
    /// It goes to a group.
    Multicast,
    /// It is dropped.
    Blackhole,
    /// It is dropped, and its sender told: unreachable.
    Unreachable,
    /// It is dropped, and its sender told: prohibited.
    Prohibit,
    /// The search goes on in the next table.
    Throw,
    /// Another number.
    Other(u8),
}

impl From<u8> for RouteType {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Unicast,
            2 => Self::Local,
            3 => Self::Broadcast,
            4 => Self::Anycast,
            5 => Self::Multicast,
            6 => Self::Blackhole,
            7 => Self::Unreachable,
            8 => Self::Prohibit,
            9 => Self::Throw,
            other => Self::Other(other),
        }
    }
}

impl From<RouteType> for u8 {
    fn from(kind: RouteType) -> Self {
        match kind {
            RouteType::Unicast => 1,
            RouteType::Local => 2,
            RouteType::Broadcast => 3,
            RouteType::Anycast => 4,
            RouteType::Multicast => 5,
            RouteType::Blackhole => 6,
            RouteType::Unreachable => 7,
            RouteType::Prohibit => 8,
            RouteType::Throw => 9,
            RouteType::Other(number) => number,
        }
    }
}

/// Which of several routers is preferred (RFC 4191, section 2.1).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum RoutePreference {
    /// Only if no other will do.
    Low,
    /// As usual; what IPv4 routes have, too.
    #[default]
    Medium,
    /// Before others.
    High,
}

/// Who made a route, rule or neighbour, by number (`RTPROT_*`; `/etc/iproute2/rt_protos`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteProtocol(pub u8);

impl RouteProtocol {
    /// Nobody said.
    pub const UNSPECIFIED: Self = Self(0);
    /// The kernel, along with an address.
    pub const KERNEL: Self = Self(2);
    /// `ip route` without a protocol.
    pub const BOOT: Self = Self(3);
    /// An administrator.
    pub const STATIC: Self = Self(4);
    /// A router advertisement.
    pub const ROUTER_ADVERTISEMENT: Self = Self(9);
    /// This project: what it made carries this number, and nothing else is touched.
    pub const OURS: Self = Self(137);
}

impl fmt::Display for RouteProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::KERNEL => f.write_str("kernel"),
            Self::BOOT => f.write_str("boot"),
            Self::STATIC => f.write_str("static"),
            Self::ROUTER_ADVERTISEMENT => f.write_str("ra"),
            Self(number) => write!(f, "{number}"),
        }
    }
}
