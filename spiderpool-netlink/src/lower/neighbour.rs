//! Neighbours as messages.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as State,
};
use spiderpool_core::address::Family;
use spiderpool_core::net::{Neighbour, NeighbourState, RouteProtocol};

use crate::observe::number;

/// What was learned comes back as stale, so that the kernel asks again before it trusts it.
pub(super) fn message(neighbour: &Neighbour, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = number(Family::of(neighbour.address));
    message.header.ifindex = index;
    message.header.state = match neighbour.state {
        NeighbourState::Permanent | NeighbourState::Proxy => State::Permanent,
        NeighbourState::Learned => State::Stale,
    };
    if neighbour.state == NeighbourState::Proxy {
        message.header.flags = NeighbourFlags::Proxy;
    }
    let address = match neighbour.address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes.push(NeighbourAttribute::Destination(address));
    let mac = neighbour.mac.clone();
    message.attributes.extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.0)));
    if neighbour.protocol != RouteProtocol::UNSPECIFIED {
        message.attributes.push(NeighbourAttribute::Protocol(neighbour.protocol.0.into()));
    }
    message
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::RouteNetlinkMessage;
    use spiderpool_core::net::{HardwareAddress, LinkName};

    use super::*;
    use crate::observe::{Names, neighbour};

    #[test]
    fn what_is_lowered_lifts_to_itself() {
        let device = LinkName::new("eth0").unwrap();
        let names = Names::from([(3, device.clone())]);
        let mac = HardwareAddress(vec![2, 0, 0, 0, 0, 1]);
        for address in ["10.0.0.1", "fd00::1"] {
            let permanent =
                Neighbour::permanent(device.clone(), address.parse().unwrap(), mac.clone());
            let proxy = Neighbour { mac: None, state: NeighbourState::Proxy, ..permanent.clone() };
            let learned = Neighbour {
                state: NeighbourState::Learned,
                protocol: RouteProtocol::UNSPECIFIED,
                ..permanent.clone()
            };
            for expected in [permanent, proxy, learned] {
                let message = RouteNetlinkMessage::NewNeighbour(message(&expected, 3));
                let family = Family::of(expected.address);
                assert_eq!(neighbour::lift(message, family, &names), Ok(Some(expected)));
            }
        }
    }
}
