//! A listing of links as plain values.
//!
//! Names stand for links in the result, so a listing is lifted whole: parents and controllers are
//! looked up among its own messages.

use std::collections::BTreeMap;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage};
use spiderpool_core::net::{HardwareAddress, Link, LinkKind, LinkName, Parent};

use super::{function, kind};

/// Names of links by their index.
pub(super) type Names = BTreeMap<u32, LinkName>;

/// The question for all links, without their counters and without virtual functions: those of one
/// physical function can be more than a message holds.
pub(crate) fn question() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

/// The links of a listing, by name.
///
/// # Errors
///
/// What is wrong with a message: a link without a name, or with one that no link can have.
pub(crate) fn lift_all(
    messages: Vec<RouteNetlinkMessage>,
) -> Result<BTreeMap<LinkName, Link>, String> {
    let messages: Vec<LinkMessage> = messages.into_iter().filter_map(link_message).collect();
    let names = messages
        .iter()
        .map(|message| Ok((message.header.index, name_of(message)?)))
        .collect::<Result<Names, String>>()?;
    let links = messages.into_iter().filter_map(|message| {
        let name = names.get(&message.header.index)?.clone();
        Some((name.clone(), lift(name, message, &names)))
    });
    Ok(links.collect())
}

fn link_message(message: RouteNetlinkMessage) -> Option<LinkMessage> {
    if let RouteNetlinkMessage::NewLink(message) = message { Some(message) } else { None }
}

fn name_of(message: &LinkMessage) -> Result<LinkName, String> {
    let index = message.header.index;
    let name = message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
    });
    let name = name.ok_or_else(|| format!("link {index} has no name"))?;
    LinkName::new(name.as_str()).map_err(|bad| format!("link {index}: {bad}"))
}

/// What of a link's message needs the others to be understood.
#[derive(Default)]
struct Found {
    infos: Vec<LinkInfo>,
    parent: u32,
    netns_id: Option<i32>,
    controller: u32,
}

fn lift(name: LinkName, message: LinkMessage, names: &Names) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        name,
        index: message.header.index,
        kind: LinkKind::Plain,
        mac: None,
        mtu: 0,
        is_up: flags.contains(LinkFlags::Up),
        has_carrier: flags.contains(LinkFlags::LowerUp),
        is_broadcast: flags.contains(LinkFlags::Broadcast),
        is_multicast: flags.contains(LinkFlags::Multicast),
        tx_queue_length: 0,
        parent: None,
        controller: None,
        alias: None,
        functions: Vec::new(),
    };
    let mut found = Found::default();
    for attribute in message.attributes {
        take(&mut link, &mut found, attribute);
    }
    link.kind = kind::lift(&found.infos, names);
    link.parent = parent(&found, names);
    // Without a name its link went away since, and this one has no controller any more.
    link.controller = names.get(&found.controller).cloned();
    link
}

#[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes; see module docs")]
fn take(link: &mut Link, found: &mut Found, attribute: LinkAttribute) {
    match attribute {
        LinkAttribute::Address(bytes) if !bytes.is_empty() => {
            link.mac = Some(HardwareAddress(bytes));
        }
        LinkAttribute::Mtu(mtu) => link.mtu = mtu,
        LinkAttribute::TxQueueLen(length) => link.tx_queue_length = length,
        LinkAttribute::IfAlias(alias) => link.alias = Some(alias).filter(|text| !text.is_empty()),
        LinkAttribute::Link(index) => found.parent = index,
        LinkAttribute::LinkNetNsId(id) => found.netns_id = Some(id),
        LinkAttribute::Controller(index) => found.controller = index,
        LinkAttribute::LinkInfo(infos) => found.infos = infos,
        LinkAttribute::VfInfoList(list) => link.functions = function::lift(&list),
        _ => {}
    }
}

/// The kernel omits `IFLA_LINK` or gives nought where there is no parent, and gives
/// `IFLA_LINK_NETNSID` for one elsewhere: -1 if this namespace has no number for that one.
fn parent(found: &Found, names: &Names) -> Option<Parent> {
    let index = Some(found.parent).filter(|index| *index != 0)?;
    Some(match found.netns_id {
        None => Parent { name: names.get(&index).cloned(), index, netns_id: None },
        Some(id) => Parent { name: None, index, netns_id: Some(id).filter(|id| *id >= 0) },
    })
}
