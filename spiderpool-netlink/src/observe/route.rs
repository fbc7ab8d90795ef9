//! Routes: what the kernel's `RTM_NEWROUTE` messages say, as [`Route`] values.
//!
//! Called by [`observe`](crate::observe). Invariants:
//!
//! 1. Tables above 255, which do not fit the header, are told right (`big_tables_are_told_right`).
//! 2. A route over one hop and a route over several have the same shape
//!    (`one_hop_and_many_have_one_shape`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Names, Scope};

/// A route of any table.
///
/// Fields are in the order that routes are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The destinations it is for; its variant is the family.
    pub destination: IpNet,
    /// The table it is in: 254 is main, 255 local.
    pub table: u32,
    /// Its metric; the lower is preferred. IPv4 has 0, IPv6 1024 where none was given.
    pub metric: u32,
    /// What becomes of a packet.
    pub kind: RouteType,
    /// Where packets go next: none for a blackhole and its like, several for multipath.
    pub hops: Vec<Hop>,
    /// The address that packets from here are sent from, unless they have one.
    pub source: Option<IpAddr>,
    /// Who made it.
    pub protocol: RouteProtocol,
    /// How far the destinations are.
    pub scope: Scope,
    /// The type of service it is limited to; 0 for all.
    pub tos: u8,
    /// The nexthop object it goes over, if it goes over one (`ip nexthop`).
    pub nexthop_id: Option<u32>,
}

/// One way for a packet to leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The name of the link.
    pub device: Option<String>,
    /// The gateway; none for a destination on the link. It may be of the other family.
    pub gateway: Option<IpAddr>,
    /// Its share among the hops, from 1.
    pub weight: u16,
    /// Whether the gateway is taken to be on the link, whatever the addresses say.
    pub is_onlink: bool,
}

/// What becomes of a packet (`RTN_*` in `include/uapi/linux/rtnetlink.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Who made a route, by number (`RTPROT_*`; `/etc/iproute2/rt_protos`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteProtocol(pub u8);

impl RouteProtocol {
    /// The kernel, along with an address.
    pub const KERNEL: Self = Self(2);
    /// `ip route` without a protocol.
    pub const BOOT: Self = Self(3);
    /// An administrator.
    pub const STATIC: Self = Self(4);
    /// A router advertisement.
    pub const ROUTER_ADVERTISEMENT: Self = Self(9);
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

/// A route whose links have no names yet: for each hop its link's index, 0 for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nameless {
    route: Route,
    ifindexes: Vec<u32>,
}

pub(super) fn question(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    RouteNetlinkMessage::GetRoute(message)
}

pub(super) fn lift(
    message: RouteNetlinkMessage,
    family: AddressFamily,
) -> Result<Option<Nameless>, String> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return Ok(None);
    };
    let header = &message.header;
    if header.address_family != family || header.flags.contains(RouteFlags::Cloned) {
        return Ok(None);
    }
    let found = Found::of(&message);
    let everywhere: IpAddr = if family == AddressFamily::Inet6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let destination = found.destination.unwrap_or(everywhere);
    let length = header.destination_prefix_length;
    let destination = IpNet::new(destination, length)
        .map_err(|_| format!("a route to {destination} has prefix length {length}"))?;
    let (ifindexes, hops) = found.hops.into_iter().unzip();
    let route = Route {
        destination,
        table: found.table.unwrap_or_else(|| header.table.into()),
        metric: found.metric,
        kind: u8::from(header.kind).into(),
        hops,
        source: found.source,
        protocol: RouteProtocol(header.protocol.into()),
        scope: u8::from(header.scope).into(),
        tos: header.tos,
        nexthop_id: found.nexthop_id,
    };
    Ok(Some(Nameless { route, ifindexes }))
}

/// Puts the links' names in; none if a link went away.
pub(super) fn name(Nameless { mut route, ifindexes }: Nameless, names: &Names) -> Option<Route> {
    for (hop, ifindex) in route.hops.iter_mut().zip(ifindexes) {
        if ifindex != 0 {
            hop.device = Some(names.get(&ifindex)?.clone());
        }
    }
    Some(route)
}

/// What a route's attributes say.
struct Found {
    destination: Option<IpAddr>,
    source: Option<IpAddr>,
    table: Option<u32>,
    metric: u32,
    nexthop_id: Option<u32>,
    hops: Vec<(u32, Hop)>,
}

impl Found {
    fn of(message: &RouteMessage) -> Self {
        let mut found = Self {
            destination: None,
            source: None,
            table: None,
            metric: 0,
            nexthop_id: None,
            hops: Vec::new(),
        };
        for attribute in &message.attributes {
            found.take(attribute);
        }
        if found.hops.is_empty() {
            let is_onlink = message.header.flags.contains(RouteFlags::Onlink);
            found.hops.extend(hop_of(&message.attributes, 0, 1, is_onlink));
        }
        found
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
    fn take(&mut self, attribute: &RouteAttribute) {
        match attribute {
            RouteAttribute::Destination(address) => self.destination = ip_of(address),
            RouteAttribute::PrefSource(address) => self.source = ip_of(address),
            RouteAttribute::Table(table) => self.table = Some(*table),
            RouteAttribute::Priority(metric) => self.metric = *metric,
            RouteAttribute::NhId(id) => self.nexthop_id = Some(*id),
            RouteAttribute::MultiPath(hops) => {
                self.hops.extend(hops.iter().filter_map(multipath_hop));
            }
            _ => {}
        }
    }
}

fn multipath_hop(hop: &RouteNextHop) -> Option<(u32, Hop)> {
    let is_onlink = hop.flags.contains(RouteNextHopFlags::Onlink);
    // `rtnh_hops` counts from nought.
    let weight = u16::from(hop.hops) + 1;
    hop_of(&hop.attributes, hop.interface_index, weight, is_onlink)
}

/// The hop that these attributes tell; none if they tell neither link nor gateway.
#[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
fn hop_of(
    attributes: &[RouteAttribute],
    mut ifindex: u32,
    weight: u16,
    is_onlink: bool,
) -> Option<(u32, Hop)> {
    let mut gateway = None;
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = *index,
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some((*address).into()),
            _ => {}
        }
    }
    let hop = Hop { device: None, gateway, weight, is_onlink };
    (ifindex != 0 || gateway.is_some()).then_some((ifindex, hop))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an MPLS label is no address")]
fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};

    /// Types and sizes of RTA_DST, _GATEWAY, _OIF, _MULTIPATH, _TABLE.
    const USUAL: [(u16, usize); 7] = [(1, 4), (1, 16), (5, 4), (5, 16), (4, 4), (9, 8), (15, 4)];

    fn message(attributes: Vec<RouteAttribute>) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 8;
        message.attributes = attributes;
        let ten = RouteAddress::Inet(Ipv4Addr::new(10, 0, 0, 0));
        message.attributes.push(RouteAttribute::Destination(ten));
        RouteNetlinkMessage::NewRoute(message)
    }

    fn lifted(attributes: Vec<RouteAttribute>) -> Nameless {
        lift(message(attributes), AddressFamily::Inet).unwrap().unwrap()
    }

    fn gateway(last: u8) -> RouteAttribute {
        RouteAttribute::Gateway(RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[test]
    fn big_tables_are_told_right() {
        assert_eq!(lifted(vec![RouteAttribute::Table(100_100)]).route.table, 100_100);
    }

    #[test]
    fn one_hop_and_many_have_one_shape() {
        let one = lifted(vec![RouteAttribute::Oif(4), gateway(1)]);
        let mut next = RouteNextHop::default();
        next.interface_index = 4;
        next.attributes = vec![gateway(1)];
        let many = lifted(vec![RouteAttribute::MultiPath(vec![next.clone(), next])]);
        assert_eq!((one.route.hops.len(), many.route.hops.len()), (1, 2));
        assert_eq!(one.route.hops[0], many.route.hops[1]);
        assert_eq!((one.ifindexes, many.ifindexes), (vec![4], vec![4, 4]));
    }

    #[test]
    fn a_gateway_of_the_other_family_is_seen() {
        let via = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let route = lifted(vec![RouteAttribute::Oif(4), RouteAttribute::Via(RouteVia::Inet6(via))]);
        assert_eq!(route.route.hops[0].gateway, Some(via.into()));
    }

    #[test]
    fn a_route_without_a_hop_has_none() {
        assert_eq!(lifted(Vec::new()).route.hops, []);
    }

    #[test]
    fn a_route_whose_link_went_away_is_left_out() {
        let route = lifted(vec![RouteAttribute::Oif(4)]);
        assert_eq!(name(route.clone(), &Names::new()), None);
        let named = name(route, &Names::from([(4, "eth0".to_owned())])).unwrap();
        assert_eq!(named.hops[0].device.as_deref(), Some("eth0"));
    }

    #[test]
    fn the_other_familys_routes_are_left_out() {
        assert_eq!(lift(message(Vec::new()), AddressFamily::Inet6), Ok(None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(12, &USUAL)) {
            if let Some(message) = hostile_message(24, &body) {
                for family in [AddressFamily::Inet, AddressFamily::Inet6] {
                    if let Ok(Some(nameless)) = lift(message.clone(), family) {
                        prop_assert_eq!(nameless.route.hops.len(), nameless.ifindexes.len());
                    }
                }
            }
        }
    }
}
