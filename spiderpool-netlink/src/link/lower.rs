//! Changes to links as messages. Names of other links come in as indices, which the caller resolved.

use std::os::fd::RawFd;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use spiderpool_core::net::{HardwareAddress, LinkName};
use spiderpool_core::plan::{LinkChange, NewLink};

use super::{bond, kind};

/// `IFLA_IFALIAS`.
const ALIAS: u16 = 20;

/// The message that makes a link: an `RTM_NEWLINK` with `NLM_F_CREATE | NLM_F_EXCL`.
///
/// `parent` is the index of the link below, `peer_namespace` an open namespace for a veth's other
/// end. Two things the kernel does not take here and the caller has to send after it: aliases, of
/// both ends (`rtnl_create_link` in `net/core/rtnetlink.c` reads none), and a bond's `primary`, which
/// is a setting of its own.
pub(crate) fn create(
    new: &NewLink,
    parent: Option<u32>,
    peer_namespace: Option<RawFd>,
) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = settings(&new.name, new.mtu, new.mac.as_ref());
    message.attributes.extend(parent.map(LinkAttribute::Link));
    message.attributes.push(LinkAttribute::LinkInfo(kind::lower(&new.kind, peer_namespace)));
    message
}

/// What every kind of link takes when it is made.
pub(super) fn settings(
    name: &LinkName,
    mtu: Option<u32>,
    mac: Option<&HardwareAddress>,
) -> Vec<LinkAttribute> {
    let name = LinkAttribute::IfName(name.to_string());
    let mac = mac.map(|address| LinkAttribute::Address(address.0.clone()));
    [name].into_iter().chain(mtu.map(LinkAttribute::Mtu)).chain(mac).collect()
}

/// The link that a change names, whose index [`change`] wants: a new controller, or the port that a
/// bond's `primary` or `active_slave` is.
pub(crate) fn names_link(change: &LinkChange) -> Option<&LinkName> {
    match change {
        LinkChange::Controller(controller) => controller.as_ref(),
        LinkChange::Bond(bond) => bond.port(),
        LinkChange::Up(_)
        | LinkChange::Mtu(_)
        | LinkChange::Mac(_)
        | LinkChange::Name(_)
        | LinkChange::TxQueueLength(_)
        | LinkChange::Alias(_) => None,
    }
}

/// The messages that change one thing about a link, to be sent in their order, each an `RTM_NEWLINK`
/// without `NLM_F_CREATE`. `other` is the index of the link that the change names ([`names_link`]).
pub(crate) fn change(index: u32, change: &LinkChange, other: Option<u32>) -> Vec<LinkMessage> {
    let attribute = match change {
        LinkChange::Up(up) => return vec![up_or_down(index, *up)],
        LinkChange::Mtu(mtu) => LinkAttribute::Mtu(*mtu),
        LinkChange::Mac(address) => LinkAttribute::Address(address.0.clone()),
        LinkChange::Name(name) => LinkAttribute::IfName(name.to_string()),
        // Index nought is no controller.
        LinkChange::Controller(_) => LinkAttribute::Controller(other.unwrap_or_default()),
        LinkChange::TxQueueLength(length) => LinkAttribute::TxQueueLen(*length),
        LinkChange::Alias(alias) => lower_alias(alias.as_deref()),
        LinkChange::Bond(options) => {
            LinkAttribute::LinkInfo(kind::bond_infos(bond::lower(options, other)))
        }
    };
    vec![about(index, vec![attribute])]
}

/// The message that moves a link to an open namespace and gives it its name there at once, so that
/// its present name may be taken there: an `RTM_NEWLINK` without `NLM_F_CREATE`.
pub(crate) fn move_to(index: u32, namespace: RawFd, target: &LinkName) -> LinkMessage {
    let attributes =
        vec![LinkAttribute::NetNsFd(namespace), LinkAttribute::IfName(target.to_string())];
    about(index, attributes)
}

/// The body of the `RTM_DELLINK` that deletes a link.
pub(crate) fn deletion(index: u32) -> LinkMessage {
    about(index, Vec::new())
}

fn about(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn up_or_down(index: u32, up: bool) -> LinkMessage {
    let mut message = about(index, Vec::new());
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    message
}

/// As iproute2 sends it: without a NUL, which would be kept, and without a byte to clear it.
fn lower_alias(alias: Option<&str>) -> LinkAttribute {
    let text = alias.unwrap_or_default().as_bytes().to_vec();
    LinkAttribute::Other(DefaultNla::new(ALIAS, text))
}
