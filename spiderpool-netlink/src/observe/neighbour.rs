//! Neighbours: what the kernel's `RTM_NEWNEIGH` messages say, as [`Neighbour`] values.
//!
//! Called by [`observe`](crate::observe). Entries of other families (a bridge's) are passed over
//! (`the_other_familys_neighbours_are_left_out`).

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourHeader, NeighbourMessage,
    NeighbourState as State,
};
use spiderpool_core::address::Family;
use spiderpool_core::net::{HardwareAddress, Neighbour, NeighbourState, RouteProtocol};

use super::{Names, number};

/// The question for all neighbours of a family but proxies.
pub(super) fn question(family: Family) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = number(family);
    RouteNetlinkMessage::GetNeighbour(message)
}

/// The question for all proxies of a family, which the kernel keeps apart.
pub(super) fn question_for_proxies(family: Family) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = number(family);
    message.header.flags = NeighbourFlags::Proxy;
    RouteNetlinkMessage::GetNeighbour(message)
}

/// The neighbour that a message tells; none if it tells another thing, or its link went away.
pub(crate) fn lift(
    message: RouteNetlinkMessage,
    family: Family,
    names: &Names,
) -> Result<Option<Neighbour>, String> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else {
        return Ok(None);
    };
    if message.header.family != number(family) {
        return Ok(None);
    }
    let found = Found::of(&message);
    let index = message.header.ifindex;
    let address =
        found.address.ok_or_else(|| format!("a neighbour of link {index} without address"))?;
    let Some(device) = names.get(&index).cloned() else { return Ok(None) };
    Ok(Some(Neighbour {
        device,
        address,
        mac: found.mac,
        state: state(&message.header),
        protocol: found.protocol,
    }))
}

fn state(header: &NeighbourHeader) -> NeighbourState {
    if header.flags.contains(NeighbourFlags::Proxy) {
        NeighbourState::Proxy
    } else if header.state == State::Permanent {
        NeighbourState::Permanent
    } else {
        NeighbourState::Learned
    }
}

struct Found {
    address: Option<IpAddr>,
    mac: Option<HardwareAddress>,
    protocol: RouteProtocol,
}

impl Found {
    #[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
    fn of(message: &NeighbourMessage) -> Self {
        let mut found = Self { address: None, mac: None, protocol: RouteProtocol::UNSPECIFIED };
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                    found.address = Some((*address).into());
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                    found.address = Some((*address).into());
                }
                NeighbourAttribute::LinkLayerAddress(bytes) if !bytes.is_empty() => {
                    found.mac = Some(HardwareAddress(bytes.clone()));
                }
                NeighbourAttribute::Protocol(protocol) => {
                    found.protocol = RouteProtocol(u8::from(*protocol));
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spiderpool_core::net::LinkName;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};

    /// Types and sizes of NDA_DST, _LLADDR, _PROTOCOL.
    const USUAL: [(u16, usize); 5] = [(1, 4), (1, 16), (2, 6), (2, 20), (12, 1)];

    fn names(index: u32) -> Names {
        Names::from([(index, LinkName::new("eth0").unwrap())])
    }

    fn message(state: State, flags: NeighbourFlags) -> RouteNetlinkMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = number(Family::V4);
        message.header.ifindex = 3;
        message.header.state = state;
        message.header.flags = flags;
        let address = NeighbourAddress::Inet([10, 0, 0, 1].into());
        message.attributes = vec![
            NeighbourAttribute::Destination(address),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]),
            NeighbourAttribute::Protocol(137.into()),
        ];
        RouteNetlinkMessage::NewNeighbour(message)
    }

    #[test]
    fn states_are_told_apart() {
        let check = |state, flags, expected| {
            let lifted = lift(message(state, flags), Family::V4, &names(3)).unwrap().unwrap();
            assert_eq!((lifted.state, lifted.protocol), (expected, RouteProtocol::OURS));
        };
        check(State::Permanent, NeighbourFlags::empty(), NeighbourState::Permanent);
        check(State::None, NeighbourFlags::Proxy, NeighbourState::Proxy);
        check(State::Stale, NeighbourFlags::empty(), NeighbourState::Learned);
    }

    #[test]
    fn the_other_familys_neighbours_are_left_out() {
        let message = message(State::Permanent, NeighbourFlags::empty());
        assert_eq!(lift(message.clone(), Family::V6, &names(3)), Ok(None));
        assert_eq!(lift(message, Family::V4, &names(4)), Ok(None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(12, &USUAL)) {
            if let Some(message) = hostile_message(28, &body) {
                let RouteNetlinkMessage::NewNeighbour(known) = &message else { return Ok(()) };
                let index = known.header.ifindex;
                for family in Family::BOTH {
                    if let Ok(Some(neighbour)) = lift(message.clone(), family, &names(index)) {
                        prop_assert_eq!(Family::of(neighbour.address), family);
                    }
                }
            }
        }
    }
}
