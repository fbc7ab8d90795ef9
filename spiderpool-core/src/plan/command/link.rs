//! Links in words.

use std::fmt;

use super::Word;
use crate::net::{
    Bond, HardwareAddress, IpvlanMode, Link, LinkKind, MacvlanMode, Vlan, VlanProtocol,
};
use crate::plan::{LinkChange, NewKind, NewLink, VethPeer};

/// What follows `ip link add`.
pub(super) struct Made<'a>(pub(super) &'a NewLink);

impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(new) = self;
        match &new.kind {
            NewKind::Vlan { parent, .. }
            | NewKind::Macvlan { parent, .. }
            | NewKind::Ipvlan { parent, .. } => write!(f, "link {} ", Word(parent))?,
            NewKind::Veth(_)
            | NewKind::Bond(_)
            | NewKind::Bridge
            | NewKind::Dummy
            | NewKind::Vrf(_) => {}
        }
        write!(f, "name {}", Word(&new.name))?;
        common(f, new.mtu, new.mac.as_ref(), new.alias.as_deref())?;
        match &new.kind {
            NewKind::Veth(peer) => pair(f, peer),
            NewKind::Vlan { vlan, .. } => write!(f, " type vlan {}", tagged(*vlan)),
            NewKind::Macvlan { macvlan, .. } => {
                write!(f, " type macvlan mode {}", macvlan_mode(macvlan.mode))
            }
            NewKind::Ipvlan { ipvlan, .. } => {
                write!(f, " type ipvlan mode {}", ipvlan_mode(ipvlan.mode))
            }
            NewKind::Bond(bond) => {
                f.write_str(" type bond")?;
                options(f, bond)
            }
            NewKind::Bridge => f.write_str(" type bridge"),
            NewKind::Dummy => f.write_str(" type dummy"),
            NewKind::Vrf(table) => write!(f, " type vrf table {table}"),
        }
    }
}

fn common(
    f: &mut fmt::Formatter<'_>,
    mtu: Option<u32>,
    mac: Option<&HardwareAddress>,
    alias: Option<&str>,
) -> fmt::Result {
    if let Some(mtu) = mtu {
        write!(f, " mtu {mtu}")?;
    }
    if let Some(mac) = mac {
        write!(f, " address {mac}")?;
    }
    match alias {
        Some(alias) => write!(f, " alias {}", Word(alias)),
        None => Ok(()),
    }
}

fn pair(f: &mut fmt::Formatter<'_>, peer: &VethPeer) -> fmt::Result {
    write!(f, " type veth peer name {}", Word(&peer.name))?;
    common(f, peer.mtu, peer.mac.as_ref(), peer.alias.as_deref())?;
    f.write_str(" netns OTHER")
}

fn tagged(vlan: Vlan) -> String {
    match vlan.protocol {
        VlanProtocol::Customer => format!("id {}", vlan.id),
        VlanProtocol::Provider => format!("protocol 802.1ad id {}", vlan.id),
    }
}

const fn macvlan_mode(mode: MacvlanMode) -> &'static str {
    match mode {
        MacvlanMode::Private => "private",
        MacvlanMode::Vepa => "vepa",
        MacvlanMode::Bridge => "bridge",
        MacvlanMode::Passthru => "passthru",
        MacvlanMode::Source => "source",
    }
}

const fn ipvlan_mode(mode: IpvlanMode) -> &'static str {
    match mode {
        IpvlanMode::L2 => "l2",
        IpvlanMode::L3 => "l3",
        IpvlanMode::L3S => "l3s",
    }
}

fn options(f: &mut fmt::Formatter<'_>, bond: &Bond) -> fmt::Result {
    let space = if bond.options.is_empty() { "" } else { " " };
    write!(f, "{space}{bond}")
}

/// What follows `ip link set NAME`.
pub(super) struct Changed<'a>(pub(super) &'a LinkChange);

impl fmt::Display for Changed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LinkChange::Up(true) => f.write_str("up"),
            LinkChange::Up(false) => f.write_str("down"),
            LinkChange::Mtu(mtu) => write!(f, "mtu {mtu}"),
            LinkChange::Mac(mac) => write!(f, "address {mac}"),
            LinkChange::Name(name) => write!(f, "name {}", Word(name)),
            LinkChange::Controller(Some(name)) => write!(f, "master {}", Word(name)),
            LinkChange::Controller(None) => f.write_str("nomaster"),
            LinkChange::TxQueueLength(length) => write!(f, "txqueuelen {length}"),
            LinkChange::Alias(alias) => write!(f, "alias {}", Word(alias.as_deref().unwrap_or(""))),
            LinkChange::Bond(bond) => {
                f.write_str("type bond")?;
                options(f, bond)
            }
        }
    }
}

/// A link in a few words: its name, kind and what the kind is about.
pub(super) struct Described<'a>(pub(super) &'a Link);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", Word(&self.0.name), kind(self.0))
    }
}

/// The kind of a link, with what tells it from others of its kind.
pub(in crate::plan) fn kind(link: &Link) -> String {
    let parent = link.parent.as_ref().and_then(|parent| parent.name.as_ref());
    let below = parent.map_or_else(String::new, |parent| format!(" on {}", Word(parent)));
    match &link.kind {
        LinkKind::Plain => "a device".to_owned(),
        LinkKind::Vlan(vlan) => format!("vlan {}{below}", tagged(*vlan)),
        LinkKind::Macvlan(macvlan) => format!("macvlan {}{below}", macvlan_mode(macvlan.mode)),
        LinkKind::Ipvlan(ipvlan) => format!("ipvlan {}{below}", ipvlan_mode(ipvlan.mode)),
        LinkKind::Vrf(table) => format!("vrf of table {table}"),
        LinkKind::Ipoib { pkey } => format!("ipoib with key {pkey:#06x}"),
        LinkKind::Veth
        | LinkKind::Bond(_)
        | LinkKind::Bridge
        | LinkKind::Dummy
        | LinkKind::Other(_) => link.kind.name().to_owned(),
    }
}
