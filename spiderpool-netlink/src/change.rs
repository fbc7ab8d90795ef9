//! Single changes to links and addresses, each one request to the kernel.
//!
//! Used by tests and labs to set a namespace up. Nothing is undone here and nothing is planned:
//! each call does what the `ip` command in its documentation does, or says why not. Creating is
//! exclusive: what is already there is an error, not a success.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use spiderpool_core::net::LinkName;

use crate::fault::NetlinkFault;
use crate::namespace::Namespace;
use crate::session::Session;
use crate::socket::unreadable;

/// Whether a new IPv6 address is probed for on its link before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DuplicateDetection {
    /// As the link's settings have it: the address is tentative for about a second.
    AsConfigured,
    /// Not at all: it can be used at once.
    Skip,
}

impl Session {
    /// Creates a veth pair, its second end in another namespace:
    /// `ip link add NAME type veth peer name PEER netns NAMESPACE`.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::BadLinkName`], or what the kernel says.
    pub fn create_veth(
        &mut self,
        name: &str,
        peer: &str,
        peer_namespace: &Namespace,
    ) -> Result<(), NetlinkFault> {
        let mut other_end = LinkMessage::default();
        other_end.attributes = vec![
            LinkAttribute::IfName(link_name(peer)?),
            LinkAttribute::NetNsFd(peer_namespace.as_fd().as_raw_fd()),
        ];
        let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other_end)));
        self.create(name, vec![LinkInfo::Kind(InfoKind::Veth), data])
    }

    /// Creates a bridge: `ip link add NAME type bridge`.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::BadLinkName`], or what the kernel says.
    pub fn create_bridge(&mut self, name: &str) -> Result<(), NetlinkFault> {
        self.create(name, vec![LinkInfo::Kind(InfoKind::Bridge)])
    }

    /// Sets a link up: `ip link set NAME up`.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::BadLinkName`], or what the kernel says.
    pub fn set_up(&mut self, name: &str) -> Result<(), NetlinkFault> {
        let mut message = named(name)?;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.change(&format!("set link `{name}` up"), RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Makes a link the port of a bridge, bond or VRF: `ip link set NAME master CONTROLLER`.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::BadLinkName`], or what the kernel says.
    pub fn set_controller(&mut self, name: &str, controller: &str) -> Result<(), NetlinkFault> {
        let subject = format!("make link `{name}` a port of `{controller}`");
        let index = self.index_of(&subject, controller)?;
        let mut message = named(name)?;
        message.attributes.push(LinkAttribute::Controller(index));
        self.change(&subject, RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Gives a link an address: `ip address add ADDRESS dev NAME`.
    ///
    /// An IPv4 address of a prefix shorter than 31 gets its broadcast address, as with `brd +`.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::BadLinkName`], or what the kernel says.
    pub fn add_address(
        &mut self,
        name: &str,
        address: IpNet,
        detection: DuplicateDetection,
    ) -> Result<(), NetlinkFault> {
        let subject = format!("add address `{address}` to `{name}`");
        let index = self.index_of(&subject, name)?;
        let message = RouteNetlinkMessage::NewAddress(address_message(index, address, detection));
        self.change(&subject, message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Deletes a link, and all that rests on it: `ip link delete NAME`.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::BadLinkName`], or what the kernel says.
    pub fn delete_link(&mut self, name: &str) -> Result<(), NetlinkFault> {
        let message = RouteNetlinkMessage::DelLink(named(name)?);
        self.change(&format!("delete link `{name}`"), message, 0)
    }

    fn create(&mut self, name: &str, infos: Vec<LinkInfo>) -> Result<(), NetlinkFault> {
        let mut message = named(name)?;
        message.attributes.push(LinkAttribute::LinkInfo(infos));
        let message = RouteNetlinkMessage::NewLink(message);
        self.change(&format!("create link `{name}`"), message, NLM_F_CREATE | NLM_F_EXCL)
    }

    fn change(
        &mut self,
        subject: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkFault> {
        self.socket.request(subject, message, flags).map(drop)
    }

    fn index_of(&mut self, subject: &str, name: &str) -> Result<u32, NetlinkFault> {
        let question = RouteNetlinkMessage::GetLink(named(name)?);
        let answer = self.socket.request(subject, question, 0)?;
        let index = answer.into_iter().find_map(|message| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                Some(link.header.index)
            } else {
                None
            }
        });
        index.ok_or_else(|| unreadable(subject, format!("no link in the answer about `{name}`")))
    }
}

fn named(name: &str) -> Result<LinkMessage, NetlinkFault> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(link_name(name)?));
    Ok(message)
}

fn address_message(index: u32, net: IpNet, detection: DuplicateDetection) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = net.prefix_len();
    message.header.family = match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message.attributes.push(AddressAttribute::Address(net.addr()));
    if let IpNet::V4(net) = net
        && net.prefix_len() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
    }
    if detection == DuplicateDetection::Skip && matches!(net.addr(), IpAddr::V6(_)) {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

fn link_name(given: &str) -> Result<String, NetlinkFault> {
    match LinkName::new(given) {
        Ok(name) => Ok(name.into()),
        Err(bad) => Err(NetlinkFault::BadLinkName { given: bad.given, reason: bad.reason }),
    }
}
