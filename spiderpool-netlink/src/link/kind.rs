//! What the kinds of links add: `IFLA_LINKINFO` to a [`LinkKind`], and a [`NewKind`] to it.
//!
//! A kind that lacks what makes it that kind (a VLAN without a number), or has a value that is not
//! known, is lifted as [`LinkKind::Other`]: nobody may take it for one that he understands.

use std::os::fd::RawFd;

use netlink_packet_route::link::{
    InfoBond, InfoData, InfoIpVlan, InfoIpoib, InfoKind, InfoMacVlan, InfoVeth, InfoVlan, InfoVrf,
    IpVlanFlags, IpVlanMode, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode,
    VlanProtocol as Tag,
};
use spiderpool_core::net::{
    Ipvlan, IpvlanMode, LinkKind, Macvlan, MacvlanMode, Vlan, VlanId, VlanProtocol,
};
use spiderpool_core::plan::{NewKind, VethPeer};

use super::bond;
use super::lift::Names;
use super::lower;

pub(super) fn lift(infos: &[LinkInfo], names: &Names) -> LinkKind {
    let kind = infos
        .iter()
        .find_map(|info| if let LinkInfo::Kind(kind) = info { Some(kind) } else { None });
    let data = infos
        .iter()
        .find_map(|info| if let LinkInfo::Data(data) = info { Some(data) } else { None });
    let Some(kind) = kind else { return LinkKind::Plain };
    let known = data.and_then(|data| with_data(data, names)).or_else(|| without_data(kind));
    known.unwrap_or_else(|| LinkKind::Other(kind.to_string()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "kinds without attributes that matter here")]
fn with_data(data: &InfoData, names: &Names) -> Option<LinkKind> {
    match data {
        InfoData::Vlan(infos) => vlan(infos).map(LinkKind::Vlan),
        InfoData::Bond(infos) => Some(LinkKind::Bond(bond::lift(infos, names))),
        InfoData::MacVlan(infos) => {
            infos.iter().find_map(macvlan_mode).map(|mode| LinkKind::Macvlan(Macvlan { mode }))
        }
        InfoData::IpVlan(infos) => {
            infos.iter().find_map(ipvlan_mode).map(|mode| LinkKind::Ipvlan(Ipvlan { mode }))
        }
        InfoData::Vrf(infos) => infos.iter().find_map(|info| {
            if let InfoVrf::TableId(table) = info { Some(LinkKind::Vrf(*table)) } else { None }
        }),
        InfoData::Ipoib(infos) => infos.iter().find_map(|info| {
            if let InfoIpoib::Pkey(pkey) = info {
                Some(LinkKind::Ipoib { pkey: *pkey })
            } else {
                None
            }
        }),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "kinds that need their attributes")]
fn without_data(kind: &InfoKind) -> Option<LinkKind> {
    match kind {
        InfoKind::Veth => Some(LinkKind::Veth),
        InfoKind::Bridge => Some(LinkKind::Bridge),
        InfoKind::Dummy => Some(LinkKind::Dummy),
        _ => None,
    }
}

fn vlan(infos: &[InfoVlan]) -> Option<Vlan> {
    let id = infos.iter().find_map(|info| {
        if let InfoVlan::Id(id) = info { VlanId::try_from(*id).ok() } else { None }
    })?;
    let is_provider = infos.contains(&InfoVlan::Protocol(Tag::Ieee8021Ad));
    let protocol = if is_provider { VlanProtocol::Provider } else { VlanProtocol::Customer };
    Some(Vlan { id, protocol })
}

fn macvlan_mode(info: &InfoMacVlan) -> Option<MacvlanMode> {
    let InfoMacVlan::Mode(mode) = info else { return None };
    match mode {
        MacVlanMode::Private => Some(MacvlanMode::Private),
        MacVlanMode::Vepa => Some(MacvlanMode::Vepa),
        MacVlanMode::Bridge => Some(MacvlanMode::Bridge),
        MacVlanMode::Passthrough => Some(MacvlanMode::Passthru),
        MacVlanMode::Source => Some(MacvlanMode::Source),
        MacVlanMode::Other(_) | _ => None,
    }
}

fn ipvlan_mode(info: &InfoIpVlan) -> Option<IpvlanMode> {
    let InfoIpVlan::Mode(mode) = info else { return None };
    match mode {
        IpVlanMode::L2 => Some(IpvlanMode::L2),
        IpVlanMode::L3 => Some(IpvlanMode::L3),
        IpVlanMode::L3S => Some(IpvlanMode::L3S),
        IpVlanMode::Other(_) | _ => None,
    }
}

/// The kind's attributes. A veth's other end is made in `peer_namespace`, or beside this one.
pub(super) fn lower(kind: &NewKind, peer_namespace: Option<RawFd>) -> Vec<LinkInfo> {
    match kind {
        NewKind::Veth(end) => {
            infos(InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(peer(end, peer_namespace)))))
        }
        NewKind::Vlan { vlan, .. } => infos(InfoKind::Vlan, Some(vlan_data(vlan))),
        NewKind::Macvlan { macvlan, .. } => {
            let mode = InfoMacVlan::Mode(lower_macvlan(macvlan.mode));
            infos(InfoKind::MacVlan, Some(InfoData::MacVlan(vec![mode])))
        }
        NewKind::Ipvlan { ipvlan, .. } => {
            let mode = InfoIpVlan::Mode(lower_ipvlan(ipvlan.mode));
            let flags = InfoIpVlan::Flags(IpVlanFlags::empty());
            infos(InfoKind::IpVlan, Some(InfoData::IpVlan(vec![mode, flags])))
        }
        NewKind::Bond(bond) => bond_infos(bond::lower(bond, None)),
        NewKind::Bridge => infos(InfoKind::Bridge, None),
        NewKind::Dummy => infos(InfoKind::Dummy, None),
        NewKind::Vrf(table) => {
            infos(InfoKind::Vrf, Some(InfoData::Vrf(vec![InfoVrf::TableId(*table)])))
        }
    }
}

/// The attributes of a bond.
pub(super) fn bond_infos(options: Vec<InfoBond>) -> Vec<LinkInfo> {
    let data = Some(InfoData::Bond(options)).filter(|data| *data != InfoData::Bond(Vec::new()));
    infos(InfoKind::Bond, data)
}

pub(super) fn infos(kind: InfoKind, data: Option<InfoData>) -> Vec<LinkInfo> {
    [LinkInfo::Kind(kind)].into_iter().chain(data.map(LinkInfo::Data)).collect()
}

fn vlan_data(vlan: &Vlan) -> InfoData {
    let id = InfoVlan::Id(vlan.id.number());
    InfoData::Vlan(match vlan.protocol {
        // Kernels without 802.1ad know no attribute for what all kernels do by default.
        VlanProtocol::Customer => vec![id],
        VlanProtocol::Provider => vec![InfoVlan::Protocol(Tag::Ieee8021Ad), id],
    })
}

const fn lower_macvlan(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
        MacvlanMode::Source => MacVlanMode::Source,
    }
}

const fn lower_ipvlan(mode: IpvlanMode) -> IpVlanMode {
    match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3S => IpVlanMode::L3S,
    }
}

fn peer(end: &VethPeer, namespace: Option<RawFd>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = lower::settings(&end.name, end.mtu, end.mac.as_ref());
    message.attributes.extend(namespace.map(LinkAttribute::NetNsFd));
    message
}
