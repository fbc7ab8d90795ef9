//! Routes: what the kernel's `RTM_NEWROUTE` messages say, as [`Route`] values.
//!
//! Called by [`observe`](crate::observe). Invariants:
//!
//! 1. Tables above 255, which do not fit the header, are told right (`big_tables_are_told_right`).
//! 2. A route over one hop and a route over several have the same shape
//!    (`one_hop_and_many_have_one_shape`).
//! 3. What has no field here is not passed over in silence: [`Route::has_more`] is set
//!    (`what_has_no_field_is_told`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::Nla as _;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RoutePreference as Preference, RouteVia,
};
use spiderpool_core::address::Family;
use spiderpool_core::net::{Hop, Route, RoutePreference, RouteProtocol, RouteType};

use super::{Names, number};

/// `RTA_PAD`, which says nothing.
const PADDING: u16 = 24;

/// The question for all routes of a family, or for those of one table.
pub(super) fn question(family: Family, table: Option<u32>) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = number(family);
    if let Some(table) = table {
        message.header.table = u8::try_from(table).unwrap_or(0);
        message.attributes.push(RouteAttribute::Table(table));
    }
    RouteNetlinkMessage::GetRoute(message)
}

/// The route that a message tells; none if it tells another thing, or a link of it went away.
pub(crate) fn lift(
    message: RouteNetlinkMessage,
    family: Family,
    names: &Names,
) -> Result<Option<Route>, String> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return Ok(None);
    };
    let header = &message.header;
    if header.address_family != number(family) || header.flags.contains(RouteFlags::Cloned) {
        return Ok(None);
    }
    let found = Found::of(&message);
    let destination = found.destination.unwrap_or_else(|| everywhere(family));
    let length = header.destination_prefix_length;
    let destination = IpNet::new(destination, length)
        .map_err(|_| format!("a route to {destination} has prefix length {length}"))?;
    let kind = u8::from(header.kind).into();
    let Some(hops) = named(found.hops, kind, names) else { return Ok(None) };
    Ok(Some(Route {
        destination,
        table: found.table.unwrap_or_else(|| header.table.into()),
        metric: found.metric,
        tos: header.tos,
        kind,
        hops,
        source: found.source,
        protocol: RouteProtocol(header.protocol.into()),
        scope: u8::from(header.scope).into(),
        preference: found.preference,
        metrics: found.metrics,
        nexthop_id: found.nexthop_id,
        has_more: found.has_more || header.source_prefix_length != 0,
    }))
}

fn everywhere(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Puts the links' names in; none if a link went away.
///
/// A blackhole and its like go nowhere, though IPv6 names the loopback as their link.
fn named(hops: Vec<(u32, Hop)>, kind: RouteType, names: &Names) -> Option<Vec<Hop>> {
    if is_refusal(kind) {
        return Some(Vec::new());
    }
    let mut named = Vec::new();
    for (ifindex, mut hop) in hops {
        if ifindex != 0 {
            hop.device = Some(names.get(&ifindex)?.clone());
        }
        named.push(hop);
    }
    Some(named)
}

fn is_refusal(kind: RouteType) -> bool {
    match kind {
        RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw => {
            true
        }
        RouteType::Unicast
        | RouteType::Local
        | RouteType::Broadcast
        | RouteType::Anycast
        | RouteType::Multicast
        | RouteType::Other(_) => false,
    }
}

/// What a route's attributes say.
#[derive(Default)]
struct Found {
    destination: Option<IpAddr>,
    source: Option<IpAddr>,
    table: Option<u32>,
    metric: u32,
    preference: RoutePreference,
    metrics: BTreeMap<u16, u32>,
    nexthop_id: Option<u32>,
    /// For each hop its link's index, 0 for none.
    hops: Vec<(u32, Hop)>,
    has_more: bool,
}

impl Found {
    fn of(message: &RouteMessage) -> Self {
        let mut found = Self::default();
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
            RouteAttribute::Preference(preference) => self.preference = preference_of(*preference),
            RouteAttribute::Metrics(metrics) => {
                metrics.iter().for_each(|one| self.take_metric(one))
            }
            RouteAttribute::MultiPath(hops) => hops.iter().for_each(|hop| self.take_hop(hop)),
            RouteAttribute::CacheInfo(cache) => self.has_more |= cache.expires != 0,
            other => self.has_more |= !is_of_hop(other),
        }
    }

    fn take_metric(&mut self, metric: &RouteMetric) {
        let mut value = [0; 4];
        // The one that is a text (RTAX_CC_ALGO) has no field.
        if metric.value_len() != value.len() || matches!(metric, RouteMetric::CcAlgo(_)) {
            self.has_more = true;
            return;
        }
        metric.emit_value(&mut value);
        self.metrics.insert(metric.kind(), u32::from_ne_bytes(value));
    }

    fn take_hop(&mut self, hop: &RouteNextHop) {
        let is_onlink = hop.flags.contains(RouteNextHopFlags::Onlink);
        // `rtnh_hops` counts from nought.
        let weight = u16::from(hop.hops).saturating_add(1);
        self.has_more |= !hop.attributes.iter().all(is_of_hop);
        self.hops.extend(hop_of(&hop.attributes, hop.interface_index, weight, is_onlink));
    }
}

/// Whether [`hop_of`] tells all that this attribute says.
#[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
fn is_of_hop(attribute: &RouteAttribute) -> bool {
    match attribute {
        RouteAttribute::Oif(_) => true,
        RouteAttribute::Gateway(address) => ip_of(address).is_some(),
        RouteAttribute::Via(via) => matches!(via, RouteVia::Inet(_) | RouteVia::Inet6(_)),
        RouteAttribute::Other(other) => other.kind() == PADDING,
        _ => false,
    }
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

fn preference_of(preference: Preference) -> RoutePreference {
    match preference {
        Preference::Low => RoutePreference::Low,
        Preference::High => RoutePreference::High,
        // RFC 4191 has the reserved value taken for medium.
        Preference::Medium | Preference::Invalid | Preference::Other(_) | _ => {
            RoutePreference::Medium
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an MPLS label is no address")]
fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// The source address in the answer to a route look-up; none if the look-up leads nowhere.
pub(crate) fn source_in(message: &RouteNetlinkMessage) -> Option<IpAddr> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    if is_refusal(u8::from(message.header.kind).into()) {
        return None;
    }
    Found::of(message).source
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};
    use netlink_packet_core::DefaultNla;
    use netlink_packet_route::AddressFamily;
    use spiderpool_core::net::LinkName;

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

    fn names() -> Names {
        Names::from([(4, LinkName::new("eth0").unwrap())])
    }

    fn lifted(attributes: Vec<RouteAttribute>) -> Route {
        lift(message(attributes), Family::V4, &names()).unwrap().unwrap()
    }

    fn gateway(last: u8) -> RouteAttribute {
        RouteAttribute::Gateway(RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[test]
    fn big_tables_are_told_right() {
        assert_eq!(lifted(vec![RouteAttribute::Table(100_100)]).table, 100_100);
    }

    #[test]
    fn one_hop_and_many_have_one_shape() {
        let one = lifted(vec![RouteAttribute::Oif(4), gateway(1)]);
        let mut next = RouteNextHop::default();
        next.interface_index = 4;
        next.attributes = vec![gateway(1)];
        let many = lifted(vec![RouteAttribute::MultiPath(vec![next.clone(), next])]);
        assert_eq!((one.hops.len(), many.hops.len()), (1, 2));
        assert_eq!(one.hops[0], many.hops[1]);
    }

    #[test]
    fn a_gateway_of_the_other_family_is_seen() {
        let via = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let route = lifted(vec![RouteAttribute::Oif(4), RouteAttribute::Via(RouteVia::Inet6(via))]);
        assert_eq!(route.hops[0].gateway, Some(via.into()));
    }

    #[test]
    fn a_route_without_a_hop_has_none() {
        assert_eq!(lifted(Vec::new()).hops, []);
    }

    #[test]
    fn a_route_whose_link_went_away_is_left_out() {
        let route = message(vec![RouteAttribute::Oif(4)]);
        assert_eq!(lift(route, Family::V4, &Names::new()), Ok(None));
        let named = lifted(vec![RouteAttribute::Oif(4)]);
        assert_eq!(named.hops[0].device.as_deref(), Some("eth0"));
    }

    #[test]
    fn what_has_no_field_is_told() {
        let unknown = |kind| RouteAttribute::Other(DefaultNla::new(kind, vec![0; 4]));
        assert!(!lifted(vec![RouteAttribute::Oif(4), gateway(1), unknown(PADDING)]).has_more);
        for more in [
            unknown(99),
            RouteAttribute::Mark(7),
            RouteAttribute::Metrics(vec![RouteMetric::CcAlgo("cubic".into())]),
        ] {
            assert!(lifted(vec![RouteAttribute::Oif(4), more.clone()]).has_more, "{more:?}");
        }
        let mut hop = RouteNextHop::default();
        hop.interface_index = 4;
        hop.attributes = vec![unknown(22)];
        assert!(lifted(vec![RouteAttribute::MultiPath(vec![hop])]).has_more);
    }

    #[test]
    fn metrics_and_locks_are_told_by_number() {
        let metrics = vec![RouteMetric::Lock(4), RouteMetric::Mtu(1400)];
        let route = lifted(vec![RouteAttribute::Metrics(metrics)]);
        assert_eq!(route.metrics, BTreeMap::from([(1, 4), (Route::MTU, 1400)]));
        assert!(!route.has_more);
    }

    #[test]
    fn the_other_familys_routes_are_left_out() {
        assert_eq!(lift(message(Vec::new()), Family::V6, &names()), Ok(None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(12, &USUAL)) {
            if let Some(message) = hostile_message(24, &body) {
                let name = LinkName::new("eth0").unwrap();
                let names = (0..8).map(|index| (index, name.clone())).collect();
                for family in Family::BOTH {
                    if let Ok(Some(route)) = lift(message.clone(), family, &names) {
                        prop_assert!(route.destination.prefix_len() <= 128);
                        prop_assert!(route.hops.iter().all(|hop| hop.weight > 0));
                    }
                }
            }
        }
    }
}
