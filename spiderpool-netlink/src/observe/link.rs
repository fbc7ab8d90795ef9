//! Links: what the kernel's `RTM_NEWLINK` messages say, as [`Link`] values.
//!
//! Called by [`observe`](crate::observe). A link is lifted from what is needed and nothing else, so
//! that an attribute of a newer kernel is passed over (`unknown_attributes_are_passed_over`).

use std::fmt;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage};

/// A network device, seen from the namespace that it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Its number in this namespace, from 1.
    pub index: u32,
    /// Its name in this namespace, 1 to 15 bytes.
    pub name: String,
    /// Its kind as `ip link add type KIND` has it; none for physical devices and loopback.
    pub kind: Option<String>,
    /// Its hardware address; none for devices without one.
    pub mac: Option<HardwareAddress>,
    /// Its maximum transmission unit, in bytes.
    pub mtu: u32,
    /// Whether it was set up (`IFF_UP`).
    pub is_up: bool,
    /// Whether its lower layer carries (`IFF_LOWER_UP`), as with a plugged-in cable.
    pub has_carrier: bool,
    /// The index of the link that it rests on (macvlan, VLAN) or is paired with (veth). Counted in
    /// the namespace of `peer_netns_id` if that is given, else in this one.
    pub parent: Option<u32>,
    /// This namespace's number for the namespace that `parent` is in, if that is another.
    pub peer_netns_id: Option<i32>,
    /// The index of the bridge, bond or VRF that it is a port of.
    pub controller: Option<u32>,
    /// The free text that `ip link set alias` keeps with it.
    pub alias: Option<String>,
}

/// A hardware address of any length: 6 bytes on Ethernet, 20 on IPoIB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress(pub Vec<u8>);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The question for all links, without their counters.
pub(super) fn question() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

pub(super) fn lift(message: RouteNetlinkMessage) -> Result<Option<Link>, String> {
    let RouteNetlinkMessage::NewLink(message) = message else {
        return Ok(None);
    };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        mac: None,
        mtu: 0,
        is_up: message.header.flags.contains(LinkFlags::Up),
        has_carrier: message.header.flags.contains(LinkFlags::LowerUp),
        parent: None,
        peer_netns_id: None,
        controller: None,
        alias: None,
    };
    for attribute in message.attributes {
        take(&mut link, attribute);
    }
    match link.name.is_empty() {
        true => Err(format!("link {} has no name", link.index)),
        false => Ok(Some(link)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes; see module docs")]
fn take(link: &mut Link, attribute: LinkAttribute) {
    match attribute {
        LinkAttribute::IfName(name) => link.name = name,
        LinkAttribute::Address(bytes) if !bytes.is_empty() => {
            link.mac = Some(HardwareAddress(bytes));
        }
        LinkAttribute::Mtu(mtu) => link.mtu = mtu,
        // The kernel omits IFLA_LINK or gives nought where there is no parent.
        LinkAttribute::Link(index) => link.parent = Some(index).filter(|index| *index != 0),
        LinkAttribute::LinkNetNsId(id) => link.peer_netns_id = Some(id).filter(|id| *id >= 0),
        LinkAttribute::Controller(index) => {
            link.controller = Some(index).filter(|index| *index != 0);
        }
        LinkAttribute::IfAlias(alias) => link.alias = Some(alias).filter(|text| !text.is_empty()),
        LinkAttribute::LinkInfo(infos) => link.kind = kind_of(&infos),
        _ => {}
    }
}

fn kind_of(infos: &[LinkInfo]) -> Option<String> {
    infos.iter().find_map(|info| {
        if let LinkInfo::Kind(kind) = info { Some(kind.to_string()) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};

    /// Types and sizes of IFLA_IFNAME, _ADDRESS, _MTU, _LINK, _IFALIAS.
    const USUAL: [(u16, usize); 6] = [(3, 3), (3, 9), (1, 6), (4, 4), (5, 4), (20, 5)];

    fn lifted(attributes: Vec<LinkAttribute>) -> Result<Option<Link>, String> {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes = attributes;
        lift(RouteNetlinkMessage::NewLink(message))
    }

    #[test]
    fn unknown_attributes_are_passed_over() {
        let unknown = LinkAttribute::Other(DefaultNla::new(9999, vec![1, 2, 3]));
        let link = lifted(vec![unknown, LinkAttribute::IfName("eth0".into())]).unwrap().unwrap();
        assert_eq!((link.index, link.name.as_str()), (7, "eth0"));
    }

    #[test]
    fn a_link_without_a_name_is_an_error() {
        assert_eq!(lifted(Vec::new()), Err("link 7 has no name".into()));
    }

    #[test]
    fn hardware_addresses_print_as_usual() {
        let address = HardwareAddress(vec![0x02, 0, 0xab, 0xcd, 0, 0x0f]);
        assert_eq!(address.to_string(), "02:00:ab:cd:00:0f");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(16, &USUAL)) {
            if let Some(message) = hostile_message(16, &body)
                && let Ok(Some(link)) = lift(message)
            {
                prop_assert!(!link.name.is_empty());
            }
        }
    }
}
