//! Links are made, deleted and moved.

use super::derived::settle;
use super::journal::Journal;
use super::life::{inherit_settings, refresh_carrier, strip};
use super::lookup::{below, dependents, next_index, refer};
use super::setting::set_up;
use super::{Errno, KernelRefusal};
use crate::address::Family;
use crate::net::{HardwareAddress, Link, LinkKind, LinkName, Observed, Parent, Side, VlanProtocol};
use crate::plan::{NewKind, NewLink, VethPeer};

/// The MTU of Ethernet, which new links have unless they are told otherwise.
const ETHERNET_MTU: u32 = 1500;

/// A link that was just made, and is down.
fn fresh(name: &LinkName, kind: LinkKind, mtu: u32) -> Link {
    Link {
        name: name.clone(),
        index: 0,
        kind,
        mac: None,
        mtu,
        is_up: false,
        has_carrier: false,
        is_broadcast: true,
        is_multicast: true,
        tx_queue_length: 1000,
        parent: None,
        controller: None,
        alias: None,
        functions: Vec::new(),
    }
}

pub(super) fn create(
    journal: &mut Journal<'_>,
    side: Side,
    new: &NewLink,
) -> Result<(), KernelRefusal> {
    free(journal.side(side), &new.name)?;
    check_mac(new.mac.as_ref())?;
    let (kind, parent) = match &new.kind {
        NewKind::Veth(peer) => return create_pair(journal, side, new, peer),
        NewKind::Vlan { parent, vlan } => (LinkKind::Vlan(*vlan), Some(parent)),
        NewKind::Macvlan { parent, macvlan } => (LinkKind::Macvlan(*macvlan), Some(parent)),
        NewKind::Ipvlan { parent, ipvlan } => (LinkKind::Ipvlan(*ipvlan), Some(parent)),
        NewKind::Bond(bond) => (LinkKind::Bond(bond.clone()), None),
        NewKind::Bridge => (LinkKind::Bridge, None),
        NewKind::Dummy => (LinkKind::Dummy, None),
        NewKind::Vrf(table) => (LinkKind::Vrf(*table), None),
    };
    let mut link = match parent {
        Some(parent) => child(journal, side, &new.name, kind, parent)?,
        None => fresh(&new.name, kind, ETHERNET_MTU),
    };
    if let Some(mtu) = new.mtu {
        let is_vlan = matches!(link.kind, LinkKind::Vlan(_));
        if is_vlan && mtu > link.mtu {
            return Err(Errno::Invalid.because("its MTU would exceed its parent's"));
        }
        check_mtu(mtu)?;
        link.mtu = mtu;
    }
    link.mac = new.mac.clone().or(link.mac);
    link.alias.clone_from(&new.alias);
    insert(journal, side, link);
    Ok(())
}

fn create_pair(
    journal: &mut Journal<'_>,
    side: Side,
    new: &NewLink,
    peer: &VethPeer,
) -> Result<(), KernelRefusal> {
    let far = side.other();
    free(journal.side(far), &peer.name)?;
    check_mac(peer.mac.as_ref())?;
    let (mtu, far_mtu) = (new.mtu.unwrap_or(ETHERNET_MTU), peer.mtu.unwrap_or(ETHERNET_MTU));
    check_mtu(mtu)?;
    check_mtu(far_mtu)?;
    let (index, far_index) = (next_index(journal.side(side)), next_index(journal.side(far)));
    let parent = |index| Some(Parent { name: None, index, netns_id: Some(0) });
    let other = Link {
        mac: peer.mac.clone(),
        alias: peer.alias.clone(),
        parent: parent(index),
        ..fresh(&peer.name, LinkKind::Veth, far_mtu)
    };
    insert(journal, far, other);
    let link = Link {
        mac: new.mac.clone(),
        alias: new.alias.clone(),
        parent: parent(far_index),
        ..fresh(&new.name, LinkKind::Veth, mtu)
    };
    insert(journal, side, link);
    Ok(())
}

fn insert(journal: &mut Journal<'_>, side: Side, mut link: Link) {
    link.index = next_index(journal.side(side));
    let name = link.name.clone();
    journal.add_link(side, link);
    inherit_settings(journal, side, &name, &Family::BOTH);
}

fn child(
    journal: &Journal<'_>,
    side: Side,
    name: &LinkName,
    kind: LinkKind,
    parent: &LinkName,
) -> Result<Link, KernelRefusal> {
    let observed = journal.side(side);
    let lower = observed.links.get(parent).ok_or(Errno::NoDevice.because("no such parent"))?;
    for (at, sibling) in dependents(journal.scene(), side, parent) {
        let Some(sibling) = journal.side(at).links.get(&sibling) else { continue };
        check_sibling(&kind, &sibling.kind)?;
    }
    let is_port = lower.controller.as_ref().and_then(|name| observed.links.get(name));
    let has_own_mac = matches!(kind, LinkKind::Macvlan(_));
    if has_own_mac && is_port.is_some_and(|controller| controller.kind == LinkKind::Bridge) {
        return Err(Errno::Busy.because("the parent is a port of a bridge"));
    }
    let mac = if has_own_mac { None } else { lower.mac.clone() };
    Ok(Link { mac, parent: Some(refer(side, side, lower)), ..fresh(name, kind, lower.mtu) })
}

/// A parent has one VLAN of a number and protocol, and either macvlans or ipvlans.
fn check_sibling(kind: &LinkKind, sibling: &LinkKind) -> Result<(), KernelRefusal> {
    let same = |one: VlanProtocol, other: VlanProtocol| one == other;
    match (kind, sibling) {
        (LinkKind::Vlan(one), LinkKind::Vlan(other))
            if one.id == other.id && same(one.protocol, other.protocol) =>
        {
            Err(Errno::Exists.because("the parent has a VLAN of that number already"))
        }
        (LinkKind::Macvlan(_), LinkKind::Ipvlan(_))
        | (LinkKind::Ipvlan(_), LinkKind::Macvlan(_)) => {
            Err(Errno::Busy.because("a parent has either macvlans or ipvlans"))
        }
        _ => Ok(()),
    }
}

pub(super) fn delete(
    journal: &mut Journal<'_>,
    side: Side,
    name: &LinkName,
) -> Result<(), KernelRefusal> {
    let link = present(journal.side(side), name)?;
    if link.kind == LinkKind::Plain {
        return Err(Errno::NotSupported.because("a physical device cannot be deleted"));
    }
    remove(journal, side, name);
    Ok(())
}

/// Removes a link with all that depends on it, the dependents first.
fn remove(journal: &mut Journal<'_>, side: Side, name: &LinkName) {
    let Some(link) = journal.side(side).links.get(name).cloned() else { return };
    let mut gone = dependents(journal.scene(), side, name);
    if link.kind == LinkKind::Veth {
        // The other end must not find its way back here.
        journal.change_link(side, name, |link| link.parent = None);
    }
    gone.sort();
    for (side, name) in gone {
        remove(journal, side, &name);
    }
    release_ports(journal, side, &link);
    strip(journal, side, name);
    journal.drop_link(side, name);
}

fn release_ports(journal: &mut Journal<'_>, side: Side, controller: &Link) {
    let is_port = |link: &&Link| link.controller.as_ref() == Some(&controller.name);
    let ports: Vec<LinkName> =
        journal.side(side).links.values().filter(is_port).map(|link| link.name.clone()).collect();
    for port in ports {
        settle(journal, side, &port, |journal| {
            journal.change_link(side, &port, |link| link.controller = None);
        });
        if matches!(controller.kind, LinkKind::Bond(_)) {
            set_up(journal, side, &port, false);
        }
    }
}

pub(super) fn relocate(
    journal: &mut Journal<'_>,
    side: Side,
    name: &LinkName,
    target: &LinkName,
) -> Result<(), KernelRefusal> {
    let link = present(journal.side(side), name)?.clone();
    let is_bound = matches!(link.kind, LinkKind::Bridge | LinkKind::Bond(_) | LinkKind::Vrf(_));
    if is_bound || &**name == "lo" {
        return Err(Errno::Invalid.because("a link of that kind stays in its namespace"));
    }
    let far = side.other();
    free(journal.side(far), target)?;
    let above = dependents(journal.scene(), side, name);
    let lower = below(journal.scene(), side, &link);
    strip(journal, side, name);
    journal.drop_link(side, name);
    let is_free = !journal.side(far).links.values().any(|other| other.index == link.index);
    let index = if is_free { link.index } else { next_index(journal.side(far)) };
    let moved = Link {
        name: target.clone(),
        index,
        is_up: false,
        has_carrier: false,
        controller: None,
        ..link
    };
    journal.add_link(far, moved.clone());
    inherit_settings(journal, far, target, &Family::BOTH);
    rejoin(journal, far, &moved, lower, above);
    Ok(())
}

/// A moved link and those that are tied to it refer to each other anew.
fn rejoin(
    journal: &mut Journal<'_>,
    side: Side,
    moved: &Link,
    lower: Option<(Side, LinkName)>,
    above: Vec<(Side, LinkName)>,
) {
    if let Some((at, lower)) = lower
        && let Some(lower) = journal.side(at).links.get(&lower).cloned()
    {
        let parent = refer(side, at, &lower);
        journal.change_link(side, &moved.name, |link| link.parent = Some(parent));
    }
    for (at, name) in above {
        let parent = refer(at, side, moved);
        journal.change_link(at, &name, |link| link.parent = Some(parent));
        refresh_carrier(journal, at, &name);
    }
}

pub(super) fn present<'a>(
    observed: &'a Observed,
    name: &LinkName,
) -> Result<&'a Link, KernelRefusal> {
    observed.links.get(name).ok_or(Errno::NoDevice.because("no such link"))
}

pub(super) fn free(observed: &Observed, name: &LinkName) -> Result<(), KernelRefusal> {
    if observed.links.contains_key(name) {
        return Err(Errno::Exists.because("a link of that name is there already"));
    }
    Ok(())
}

/// Ethernet devices take 68 to 65535 bytes (`ETH_MIN_MTU`, `ETH_MAX_MTU`).
pub(super) fn check_mtu(mtu: u32) -> Result<(), KernelRefusal> {
    if (68..=65535).contains(&mtu) {
        return Ok(());
    }
    Err(Errno::Invalid.because("an MTU is 68 to 65535 bytes"))
}

pub(super) fn check_mac(mac: Option<&HardwareAddress>) -> Result<(), KernelRefusal> {
    if mac.is_none_or(|mac| mac.is_station() || mac.0.len() != 6) {
        return Ok(());
    }
    Err(Errno::AddressNotAvailable.because("no station can have that hardware address"))
}
