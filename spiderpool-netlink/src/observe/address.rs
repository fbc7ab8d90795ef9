//! Addresses: what the kernel's `RTM_NEWADDR` messages say, as [`Address`] values.
//!
//! Called by [`observe`](crate::observe). The prefix length is checked against the family
//! (`a_prefix_that_is_too_long_is_an_error`).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags as Bits, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Names, Scope};

/// An IP address of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The index of its link.
    pub ifindex: u32,
    /// The name of its link.
    pub device: String,
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

/// The state of an address (`IFA_F_*` in `include/uapi/linux/if_addr.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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
}

/// An address whose link has no name yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nameless(Address);

pub(super) fn question(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetAddress(message)
}

pub(super) fn lift(
    message: RouteNetlinkMessage,
    family: AddressFamily,
) -> Result<Option<Nameless>, String> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return Ok(None);
    };
    if message.header.family != family {
        return Ok(None);
    }
    let found = Found::of(&message);
    // The other end takes IFA_ADDRESS where there is one, and IFA_LOCAL is the address then.
    let own = found.local.or(found.address).ok_or_else(|| nothing(&message))?;
    let net = IpNet::new(own, message.header.prefix_len)
        .map_err(|_| format!("address {own} has prefix length {}", message.header.prefix_len))?;
    Ok(Some(Nameless(Address {
        ifindex: message.header.index,
        device: String::new(),
        net,
        peer: found.address.filter(|address| *address != own),
        broadcast: found.broadcast,
        scope: u8::from(message.header.scope).into(),
        flags: flags_of(found.bits),
    })))
}

/// Puts the link's name in; none if the link went away.
pub(super) fn name(Nameless(address): Nameless, names: &Names) -> Option<Address> {
    let device = names.get(&address.ifindex)?.clone();
    Some(Address { device, ..address })
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
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};

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

    fn lifted(message: RouteNetlinkMessage) -> Address {
        lift(message, AddressFamily::Inet).unwrap().unwrap().0
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
        assert!(lift(bad, AddressFamily::Inet).is_err());
        assert!(lift(message(24, Vec::new()), AddressFamily::Inet).is_err());
    }

    #[test]
    fn an_address_whose_link_went_away_is_left_out() {
        let address = message(24, vec![AddressAttribute::Address(ip("10.0.0.1"))]);
        let nameless = lift(address, AddressFamily::Inet).unwrap().unwrap();
        assert_eq!(name(nameless.clone(), &Names::new()), None);
        let names = Names::from([(3, "eth0".to_owned())]);
        assert_eq!(name(nameless, &names).unwrap().device, "eth0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(8, &USUAL)) {
            if let Some(message) = hostile_message(20, &body) {
                for family in [AddressFamily::Inet, AddressFamily::Inet6] {
                    if let Ok(Some(Nameless(address))) = lift(message.clone(), family) {
                        prop_assert!(address.net.prefix_len() <= address.net.max_prefix_len());
                    }
                }
            }
        }
    }
}
