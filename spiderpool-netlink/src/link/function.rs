//! The virtual functions of an SR-IOV physical function (`IFLA_VFINFO_LIST`).
//!
//! Asked for one link at a time, and only where somebody wants them: a card with hundreds of them
//! fills a message.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage, LinkVfInfo, VfInfo};
use spiderpool_core::net::{HardwareAddress, VirtualFunction};

/// Bytes of an Ethernet address. The attribute has room for 32, and does not say how many count; a
/// function's hardware address is an Ethernet one on every driver that lets it be set.
const ETHERNET_BYTES: usize = 6;

/// The question for one link and its virtual functions.
pub(crate) fn question_of_functions(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let mask = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
    message.attributes.push(LinkAttribute::ExtMask(mask));
    RouteNetlinkMessage::GetLink(message)
}

/// The virtual functions in the answer, by number.
pub(crate) fn functions_of(answer: Vec<RouteNetlinkMessage>) -> Vec<VirtualFunction> {
    let attributes = answer.into_iter().flat_map(|message| {
        if let RouteNetlinkMessage::NewLink(link) = message { link.attributes } else { Vec::new() }
    });
    let lists = attributes.filter_map(|attribute| {
        if let LinkAttribute::VfInfoList(list) = attribute { Some(lift(&list)) } else { None }
    });
    lists.flatten().collect()
}

/// The functions of a list, by number; one without a hardware address is passed over.
pub(super) fn lift(list: &[LinkVfInfo]) -> Vec<VirtualFunction> {
    let mut functions: Vec<_> = list.iter().filter_map(|LinkVfInfo(infos)| one(infos)).collect();
    functions.sort();
    functions
}

#[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
fn one(infos: &[VfInfo]) -> Option<VirtualFunction> {
    let (number, mac) = infos.iter().find_map(|info| {
        let VfInfo::Mac(mac) = info else { return None };
        Some((mac.vf_id, HardwareAddress(mac.mac.get(..ETHERNET_BYTES)?.to_vec())))
    })?;
    let mut function = VirtualFunction {
        number,
        mac,
        vlan: 0,
        vlan_priority: 0,
        checks_spoofing: None,
        is_trusted: None,
    };
    for info in infos {
        match info {
            VfInfo::Vlan(vlan) => {
                function.vlan = vlan.vlan_id;
                function.vlan_priority = vlan.qos;
            }
            VfInfo::SpoofCheck(check) => function.checks_spoofing = Some(check.enabled),
            VfInfo::Trust(trust) => function.is_trusted = Some(trust.enabled),
            _ => {}
        }
    }
    Some(function)
}
