//! Addresses: what the kernel's `RTM_NEWADDR` messages say, as [`Address`] values.
//!
//! Called by [`observe`](crate::observe). The prefix length is checked against the family
//! (`a_prefix_that_is_too_long_is_an_error`).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags as Bits, AddressMessage};
use spiderpool_core::address::Family;
use spiderpool_core::net::{Address, AddressFlags};

use super::{Names, number};

/// The question for all addresses of a family.
pub(super) fn question(family: Family) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = number(family);
    RouteNetlinkMessage::GetAddress(message)
}

/// The address that a message tells; none if it tells another thing, or its link went away.
pub(crate) fn lift(
    message: RouteNetlinkMessage,
    family: Family,
    names: &Names,
) -> Result<Option<Address>, String> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return Ok(None);
    };
    if message.header.family != number(family) {
        return Ok(None);
    }
    let found = Found::of(&message);
    // The other end takes IFA_ADDRESS where there is one, and IFA_LOCAL is the address then.
    let own = found.local.or(found.address).ok_or_else(|| nothing(&message))?;
    let net = IpNet::new(own, message.header.prefix_len)
        .map_err(|_| format!("address {own} has prefix length {}", message.header.prefix_len))?;
    let Some(device) = names.get(&message.header.index).cloned() else { return Ok(None) };
    Ok(Some(Address {
        device,
        net,
        peer: found.address.filter(|address| *address != own),
        broadcast: found.broadcast,
        scope: u8::from(message.header.scope).into(),
        flags: flags_of(found.bits),
    }))
}

struct Found {
    address: Option<IpAddr>,
    local: Option<IpAddr>,
    broadcast: Option<Ipv4Addr>,
    bits: Bits,
}

impl Found {
    #[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
    fn of(message: &AddressMessage) -> Self {
        // The header has room for eight flags; kernels from 3.14 on repeat them as an attribute.
        let bits = Bits::from_bits_retain(message.header.flags.bits().into());
        let mut found = Self { address: None, local: None, broadcast: None, bits };
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(address) => found.address = Some(*address),
                AddressAttribute::Local(address) => found.local = Some(*address),
                AddressAttribute::Broadcast(address) => found.broadcast = Some(*address),
                AddressAttribute::Flags(bits) => found.bits = *bits,
                _ => {}
            }
        }
        found
    }
}

fn nothing(message: &AddressMessage) -> String {
    format!("an address of link {} without the address", message.header.index)
}

fn flags_of(bits: Bits) -> AddressFlags {
    AddressFlags {
        is_permanent: bits.contains(Bits::Permanent),
        is_tentative: bits.contains(Bits::Tentative),
        has_dad_failed: bits.contains(Bits::Dadfailed),
        has_no_dad: bits.contains(Bits::Nodad),
        is_deprecated: bits.contains(Bits::Deprecated),
        is_secondary: bits.contains(Bits::Secondary),
        has_no_prefix_route: bits.contains(Bits::Noprefixroute),
        is_managed: bits.contains(Bits::Managetempaddr),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};
    use netlink_packet_route::AddressFamily;
    use spiderpool_core::net::LinkName;

    /// Types and sizes of IFA_ADDRESS, _LOCAL, _BROADCAST, _FLAGS.
    const USUAL: [(u16, usize); 6] = [(1, 4), (1, 16), (2, 4), (2, 16), (4, 4), (8, 4)];

    fn message(prefix_len: u8, attributes: Vec<AddressAttribute>) -> RouteNetlinkMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix_len;
        message.header.index = 3;
        message.attributes = attributes;
        RouteNetlinkMessage::NewAddress(message)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn names() -> Names {
        Names::from([(3, LinkName::new("eth0").unwrap())])
    }

    fn lifted(message: RouteNetlinkMessage) -> Address {
        lift(message, Family::V4, &names()).unwrap().unwrap()
    }

    #[test]
    fn the_local_address_is_ours_and_the_other_the_peers() {
        let attributes = vec![
            AddressAttribute::Address(ip("10.0.0.2")),
            AddressAttribute::Local(ip("10.0.0.1")),
        ];
        let address = lifted(message(32, attributes));
        assert_eq!(address.net.to_string(), "10.0.0.1/32");
        assert_eq!(address.peer, Some(ip("10.0.0.2")));
    }

    #[test]
    fn an_address_alone_has_no_peer() {
        let address = lifted(message(24, vec![AddressAttribute::Address(ip("10.0.0.1"))]));
        assert_eq!((address.net.to_string(), address.peer), ("10.0.0.1/24".into(), None));
    }

    #[test]
    fn flags_beyond_the_headers_eight_are_seen() {
        let attributes = vec![
            AddressAttribute::Address(ip("10.0.0.1")),
            AddressAttribute::Flags(Bits::Permanent | Bits::Noprefixroute),
        ];
        let flags = lifted(message(24, attributes)).flags;
        let expected =
            AddressFlags { is_permanent: true, has_no_prefix_route: true, ..Default::default() };
        assert_eq!(flags, expected);
    }

    #[test]
    fn a_prefix_that_is_too_long_is_an_error() {
        let bad = message(33, vec![AddressAttribute::Address(ip("10.0.0.1"))]);
        assert!(lift(bad, Family::V4, &names()).is_err());
        assert!(lift(message(24, Vec::new()), Family::V4, &names()).is_err());
    }

    #[test]
    fn an_address_whose_link_went_away_is_left_out() {
        let address = message(24, vec![AddressAttribute::Address(ip("10.0.0.1"))]);
        assert_eq!(lift(address.clone(), Family::V4, &Names::new()), Ok(None));
        assert_eq!(lifted(address).device.as_str(), "eth0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(8, &USUAL)) {
            if let Some(message) = hostile_message(20, &body) {
                let RouteNetlinkMessage::NewAddress(known) = &message else { return Ok(()) };
                let index = known.header.index;
                let names = Names::from([(index, LinkName::new("eth0").unwrap())]);
                for family in Family::BOTH {
                    if let Ok(Some(address)) = lift(message.clone(), family, &names) {
                        prop_assert!(address.net.prefix_len() <= address.net.max_prefix_len());
                    }
                }
            }
        }
    }
}
