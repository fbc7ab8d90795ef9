//! Routes as messages.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RoutePreference as Preference, RouteVia,
};
use spiderpool_core::address::Family;
use spiderpool_core::net::{Hop, Route, RoutePreference};

use super::Indices;
use crate::observe::number;

/// Where a nexthop object is named, the kernel takes no hops beside it, though it tells them.
pub(super) fn message(route: &Route, indices: &Indices) -> RouteMessage {
    let mut message = about(route.destination.addr(), route.destination.prefix_len());
    message.header.tos = route.tos;
    // Above 255 only the attribute counts.
    message.header.table = u8::try_from(route.table).unwrap_or(0);
    message.header.protocol = route.protocol.0.into();
    message.header.scope = u8::from(route.scope).into();
    message.header.kind = u8::from(route.kind).into();
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table));
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(plain(source))));
    attributes.extend(preference(route));
    attributes.extend(metrics(route));
    match (route.nexthop_id, route.hops.as_slice()) {
        (Some(id), _) => attributes.push(RouteAttribute::NhId(id)),
        (None, []) => {}
        (None, [hop]) => {
            attributes.extend(index(hop, indices).map(RouteAttribute::Oif));
            attributes.extend(gateway(hop, route.family()));
            message.header.flags.set(RouteFlags::Onlink, hop.is_onlink);
        }
        (None, hops) => {
            let hops = hops.iter().map(|hop| next_hop(hop, route.family(), indices)).collect();
            attributes.push(RouteAttribute::MultiPath(hops));
        }
    }
    message
}

/// The question which route leads to an address.
pub(crate) fn look_up(address: IpAddr) -> RouteNetlinkMessage {
    let length = if address.is_ipv4() { 32 } else { 128 };
    RouteNetlinkMessage::GetRoute(about(address, length))
}

fn about(destination: IpAddr, length: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = number(Family::of(destination));
    message.header.destination_prefix_length = length;
    if length != 0 {
        message.attributes.push(RouteAttribute::Destination(plain(destination)));
    }
    message
}

fn plain(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn preference(route: &Route) -> Option<RouteAttribute> {
    let preference = match route.preference {
        RoutePreference::Medium => return None,
        RoutePreference::Low => Preference::Low,
        RoutePreference::High => Preference::High,
    };
    Some(RouteAttribute::Preference(preference))
}

fn metrics(route: &Route) -> Option<RouteAttribute> {
    let one = |(number, value): (&u16, &u32)| {
        RouteMetric::Other(DefaultNla::new(*number, value.to_ne_bytes().to_vec()))
    };
    let metrics: Vec<_> = route.metrics.iter().map(one).collect();
    (!metrics.is_empty()).then_some(RouteAttribute::Metrics(metrics))
}

fn index(hop: &Hop, indices: &Indices) -> Option<u32> {
    hop.device.as_ref().and_then(|device| indices.get(device).copied())
}

fn gateway(hop: &Hop, family: Family) -> Option<RouteAttribute> {
    let gateway = hop.gateway?;
    if Family::of(gateway) == family {
        return Some(RouteAttribute::Gateway(plain(gateway)));
    }
    Some(RouteAttribute::Via(match gateway {
        IpAddr::V4(gateway) => RouteVia::Inet(gateway),
        IpAddr::V6(gateway) => RouteVia::Inet6(gateway),
    }))
}

fn next_hop(hop: &Hop, family: Family, indices: &Indices) -> RouteNextHop {
    let mut next = RouteNextHop::default();
    next.interface_index = index(hop, indices).unwrap_or(0);
    // `rtnh_hops` counts from nought.
    next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    next.flags.set(RouteNextHopFlags::Onlink, hop.is_onlink);
    next.attributes.extend(gateway(hop, family));
    next
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use spiderpool_core::net::{LinkName, RouteProtocol, RouteType, Scope};

    use super::*;
    use crate::observe::{Names, route};

    fn check(expected: &Route) {
        let names = ["eth0", "eth1"].map(|name| LinkName::new(name).unwrap());
        let by_index: Names = (3..).zip(names.clone()).collect();
        let by_name: Indices = names.into_iter().zip(3..).collect();
        let message = message(expected, &by_name);
        let mut bytes = vec![0; netlink_packet_core::Emitable::buffer_len(&message)];
        netlink_packet_core::Emitable::emit(&message, &mut bytes);
        let message = crate::observe::hostile_message(24, &bytes).unwrap();
        assert_eq!(route::lift(message, expected.family(), &by_index), Ok(Some(expected.clone())));
    }

    #[test]
    fn what_is_lowered_lifts_to_itself() {
        let eth0 = || LinkName::new("eth0").unwrap();
        let via = |net: &str, gateway: &str| {
            Route::via(net.parse().unwrap(), 100, gateway.parse().unwrap(), eth0())
        };
        let plain = via("10.1.0.0/16", "10.0.0.1");
        check(&plain);
        check(&via("0.0.0.0/0", "10.0.0.1"));
        check(&via("::/0", "fe80::1"));
        check(&via("10.1.0.0/16", "fe80::1"));
        check(&Route::on_link("10.1.0.0/16".parse().unwrap(), 100_100, eth0()));
        check(&Route { kind: RouteType::Blackhole, ..Route::new(plain.destination, 254) });
        check(&Route { nexthop_id: Some(9), ..Route::new(plain.destination, 254) });
        check(&Route {
            metric: 50,
            tos: 16,
            source: Some([10, 0, 0, 9].into()),
            protocol: RouteProtocol::STATIC,
            scope: Scope::Site,
            metrics: BTreeMap::from([(1, 4), (Route::MTU, 1400)]),
            ..plain.clone()
        });
        check(&Route { preference: RoutePreference::High, ..via("fd00::/64", "fe80::1") });
        let hop = Hop { gateway: Some([10, 0, 0, 1].into()), ..Hop::on(eth0()) };
        let other = Hop::on(LinkName::new("eth1").unwrap());
        let hops = vec![Hop { weight: 256, is_onlink: true, ..hop }, Hop { weight: 3, ..other }];
        check(&Route { hops, ..plain });
    }
}
