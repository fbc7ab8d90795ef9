//! Addresses as messages.

use std::net::IpAddr;

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags as Bits, AddressMessage, CacheInfo,
};
use spiderpool_core::net::Address;

use crate::observe::number;

/// What stands for no end (`INFINITY_LIFE_TIME` in `include/net/addrconf.h`).
const FOR_EVER: u32 = u32::MAX;

/// Of the flags, those that the kernel takes from others: what is tentative, secondary or failed it
/// knows by itself.
pub(super) fn message(address: &Address, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = number(address.family());
    message.header.prefix_len = address.net.prefix_len();
    message.header.scope = u8::from(address.scope).into();
    message.header.index = index;
    let own = address.net.addr();
    message.attributes.push(AddressAttribute::Local(own));
    message.attributes.push(AddressAttribute::Address(address.peer.unwrap_or(own)));
    message.attributes.extend(address.broadcast.map(AddressAttribute::Broadcast));
    let bits = bits(address);
    if !bits.is_empty() {
        message.attributes.push(AddressAttribute::Flags(bits));
    }
    if address.flags.is_deprecated {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 0;
        lifetimes.ifa_valid = FOR_EVER;
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message
}

fn bits(address: &Address) -> Bits {
    let is_v6 = matches!(address.net.addr(), IpAddr::V6(_));
    let mut bits = Bits::empty();
    bits.set(Bits::Nodad, address.flags.has_no_dad && is_v6);
    bits.set(Bits::Noprefixroute, address.flags.has_no_prefix_route);
    bits.set(Bits::Managetempaddr, address.flags.is_managed && is_v6);
    bits
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::RouteNetlinkMessage;
    use spiderpool_core::net::{AddressFlags, LinkName, Scope};

    use super::*;
    use crate::observe::{Names, address};

    fn check(expected: &Address) {
        let names = Names::from([(3, expected.device.clone())]);
        let message = RouteNetlinkMessage::NewAddress(message(expected, 3));
        let lifted = address::lift(message, expected.family(), &names).unwrap().unwrap();
        // Permanence is the kernel's answer to a request without lifetimes.
        let flags = AddressFlags { is_permanent: true, ..lifted.flags };
        assert_eq!(Address { flags, ..lifted }, *expected);
    }

    #[test]
    fn what_is_lowered_lifts_to_itself() {
        let device = LinkName::new("eth0").unwrap();
        let new = |net: &str| Address::new(device.clone(), net.parse().unwrap());
        check(&new("10.0.0.1/24"));
        check(&Address {
            broadcast: Some([10, 0, 0, 255].into()),
            scope: Scope::Link,
            ..new("10.0.0.1/24")
        });
        check(&Address { peer: Some([10, 0, 0, 2].into()), ..new("10.0.0.1/32") });
        let flags = AddressFlags {
            has_no_dad: true,
            has_no_prefix_route: true,
            is_permanent: true,
            ..AddressFlags::default()
        };
        check(&Address { flags, ..new("fd00::1/64") });
    }
}
