//! Links are changed: up and down, MTU, hardware address, name, controller, options.

use super::derived::{V6_MTU, settle};
use super::journal::Journal;
use super::life::{
    Cause, begin_v6, drop_neighbours, end_v4, end_v6, forget_settings, inherit_settings,
    refresh_carrier,
};
use super::link::{check_mac, check_mtu, free, present};
use super::lookup::{addresses, below, dependents};
use super::{Errno, KernelRefusal};
use crate::address::Family;
use crate::net::{
    Address, Bond, HardwareAddress, Link, LinkKind, LinkName, Neighbour, Route, Side, Sysctl,
    SysctlPlace,
};
use crate::plan::LinkChange;

pub(super) fn set(
    journal: &mut Journal<'_>,
    side: Side,
    name: &LinkName,
    change: &LinkChange,
) -> Result<(), KernelRefusal> {
    let link = present(journal.side(side), name)?.clone();
    match change {
        LinkChange::Up(is_up) => switch(journal, side, &link, *is_up),
        LinkChange::Mtu(mtu) => resize(journal, side, &link, *mtu),
        LinkChange::Mac(mac) => readdress(journal, side, &link, mac),
        LinkChange::Name(target) if target == name => Ok(()),
        LinkChange::Name(target) => rename(journal, side, name, target),
        LinkChange::Controller(controller) => attach(journal, side, &link, controller.as_ref()),
        LinkChange::TxQueueLength(length) => {
            journal.change_link(side, name, |link| link.tx_queue_length = *length);
            Ok(())
        }
        LinkChange::Alias(alias) => {
            let alias = alias.clone().filter(|alias| !alias.is_empty());
            journal.change_link(side, name, |link| link.alias = alias);
            Ok(())
        }
        LinkChange::Bond(bond) => configure(journal, side, &link, bond),
    }
}

fn switch(
    journal: &mut Journal<'_>,
    side: Side,
    link: &Link,
    is_up: bool,
) -> Result<(), KernelRefusal> {
    if is_up && !link.is_up {
        check_open(journal, side, link)?;
    }
    set_up(journal, side, &link.name, is_up);
    Ok(())
}

/// A VLAN opens on an open parent only; a macvlan has not its parent's hardware address.
fn check_open(journal: &Journal<'_>, side: Side, link: &Link) -> Result<(), KernelRefusal> {
    let Some((at, lower)) = below(journal.scene(), side, link) else { return Ok(()) };
    let Some(lower) = journal.side(at).links.get(&lower) else { return Ok(()) };
    match link.kind {
        LinkKind::Vlan(_) if !lower.is_up => Err(Errno::NetworkDown.because("its parent is down")),
        LinkKind::Macvlan(_) if link.mac.is_some() && link.mac == lower.mac => {
            Err(Errno::AddressInUse.because("its parent has that hardware address"))
        }
        LinkKind::Plain
        | LinkKind::Veth
        | LinkKind::Macvlan(_)
        | LinkKind::Ipvlan(_)
        | LinkKind::Vlan(_)
        | LinkKind::Bond(_)
        | LinkKind::Bridge
        | LinkKind::Dummy
        | LinkKind::Vrf(_)
        | LinkKind::Ipoib { .. }
        | LinkKind::Other(_) => Ok(()),
    }
}

/// Sets a link up or down, its VLANs with it.
pub(super) fn set_up(journal: &mut Journal<'_>, side: Side, name: &LinkName, is_up: bool) {
    let Some(link) = journal.side(side).links.get(name) else { return };
    if link.is_up == is_up {
        return;
    }
    if is_up {
        settle(journal, side, name, |journal| {
            journal.change_link(side, name, |link| link.is_up = true);
        });
        refresh_carrier(journal, side, name);
    } else {
        journal.change_link(side, name, |link| {
            link.is_up = false;
            link.has_carrier = false;
        });
        end_v6(journal, side, name, Cause::Down);
        end_v4(journal, side, name, Cause::Down);
        refresh_carrier_above(journal, side, name);
    }
    for (at, child) in dependents(journal.scene(), side, name) {
        let child = journal.side(at).links.get(&child).filter(|link| is_vlan(link)).cloned();
        if let Some(child) = child {
            set_up(journal, at, &child.name, is_up);
        }
    }
}

const fn is_vlan(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Vlan(_))
}

fn refresh_carrier_above(journal: &mut Journal<'_>, side: Side, name: &LinkName) {
    for (at, above) in dependents(journal.scene(), side, name) {
        refresh_carrier(journal, at, &above);
    }
}

fn resize(
    journal: &mut Journal<'_>,
    side: Side,
    link: &Link,
    mtu: u32,
) -> Result<(), KernelRefusal> {
    check_mtu(mtu)?;
    let lower = below(journal.scene(), side, link)
        .and_then(|(at, lower)| journal.side(at).links.get(&lower));
    match (&link.kind, lower) {
        (LinkKind::Macvlan(_), Some(lower)) if mtu > lower.mtu => {
            return Err(Errno::Invalid.because("its MTU would exceed its parent's"));
        }
        (LinkKind::Vlan(_), Some(lower)) if mtu > lower.mtu => {
            return Err(Errno::OutOfRange.because("its MTU would exceed its parent's"));
        }
        _ => {}
    }
    set_mtu(journal, side, &link.name, mtu);
    for (at, child) in dependents(journal.scene(), side, &link.name) {
        let Some(child) = journal.side(at).links.get(&child).cloned() else { continue };
        let is_bound = matches!(child.kind, LinkKind::Macvlan(_) | LinkKind::Vlan(_));
        let is_equal = matches!(child.kind, LinkKind::Ipvlan(_));
        let follows = is_bound && child.mtu > mtu || is_equal && child.mtu != mtu;
        if follows {
            resize(journal, at, &child, mtu)?;
        }
    }
    Ok(())
}

/// Below 1280 bytes IPv6 ends, its settings included; from there on it begins anew.
fn set_mtu(journal: &mut Journal<'_>, side: Side, name: &LinkName, mtu: u32) {
    let Some(before) = journal.side(side).links.get(name).map(|link| link.mtu) else { return };
    if before >= V6_MTU && mtu < V6_MTU {
        end_v6(journal, side, name, Cause::Gone);
        forget_settings(journal, side, name, &[Family::V6]);
    }
    settle(journal, side, name, |journal| {
        journal.change_link(side, name, |link| link.mtu = mtu);
    });
    if before < V6_MTU && mtu >= V6_MTU {
        inherit_settings(journal, side, name, &[Family::V6]);
        begin_v6(journal, side, name);
    }
}

/// The link-local address stays as it is; neighbours do not, permanent ones included.
fn readdress(
    journal: &mut Journal<'_>,
    side: Side,
    link: &Link,
    mac: &HardwareAddress,
) -> Result<(), KernelRefusal> {
    check_mac(Some(mac))?;
    if link.mac.as_ref().is_some_and(|before| before.0.len() != mac.0.len()) {
        return Err(Errno::Invalid.because("hardware addresses of that link have another length"));
    }
    if link.mac.as_ref() == Some(mac) {
        return Ok(());
    }
    let changed = Link { mac: Some(mac.clone()), ..link.clone() };
    if link.is_up && matches!(link.kind, LinkKind::Macvlan(_)) {
        check_open(journal, side, &changed)?;
    }
    set_mac(journal, side, &link.name, mac);
    for (at, child) in dependents(journal.scene(), side, &link.name) {
        let child = journal.side(at).links.get(&child);
        let follower = child.filter(|child| matches!(child.kind, LinkKind::Ipvlan(_))).cloned();
        if let Some(follower) = follower {
            set_mac(journal, at, &follower.name, mac);
        }
    }
    Ok(())
}

fn set_mac(journal: &mut Journal<'_>, side: Side, name: &LinkName, mac: &HardwareAddress) {
    journal.change_link(side, name, |link| link.mac = Some(mac.clone()));
    for family in Family::BOTH {
        drop_neighbours(journal, side, name, family, false);
    }
}

/// All that speaks of a link by its name speaks of it by the new one, rules excepted: these go on
/// waiting for a link of the old name.
fn rename(
    journal: &mut Journal<'_>,
    side: Side,
    name: &LinkName,
    target: &LinkName,
) -> Result<(), KernelRefusal> {
    free(journal.side(side), target)?;
    let Some(link) = journal.side(side).links.get(name).cloned() else { return Ok(()) };
    rename_contents(journal, side, name, target);
    let above = dependents(journal.scene(), side, name);
    let near: Vec<LinkName> =
        above.into_iter().filter(|(at, _)| *at == side).map(|(_, name)| name).collect();
    journal.drop_link(side, name);
    journal.add_link(side, Link { name: target.clone(), ..link });
    for child in near {
        journal.change_link(side, &child, |link| {
            if let Some(parent) = &mut link.parent {
                parent.name = Some(target.clone());
            }
        });
    }
    let is_port = |link: &&Link| link.controller.as_ref() == Some(name);
    let ports: Vec<LinkName> =
        journal.side(side).links.values().filter(is_port).map(|link| link.name.clone()).collect();
    for port in ports {
        journal.change_link(side, &port, |link| link.controller = Some(target.clone()));
    }
    Ok(())
}

fn rename_contents(journal: &mut Journal<'_>, side: Side, name: &LinkName, target: &LinkName) {
    let observed = journal.side(side);
    let own: Vec<Address> = addresses(observed, name).cloned().collect();
    let known: Vec<Neighbour> = super::lookup::neighbours(observed, name).cloned().collect();
    let routes: Vec<Route> =
        observed.routes.iter().filter(|route| route.leaves_by(name)).cloned().collect();
    let place = SysctlPlace::Link(name.clone());
    let settings: Vec<(Sysctl, i64)> = observed
        .sysctls
        .iter()
        .filter(|(setting, _)| setting.place == place)
        .map(|(setting, value)| (setting.clone(), *value))
        .collect();
    for address in own {
        journal.drop_address(side, &address);
        journal.add_address(side, Address { device: target.clone(), ..address });
    }
    for neighbour in known {
        journal.drop_neighbour(side, &neighbour);
        journal.add_neighbour(side, Neighbour { device: target.clone(), ..neighbour });
    }
    for route in routes {
        let mut renamed = route.clone();
        for hop in &mut renamed.hops {
            if hop.device.as_ref() == Some(name) {
                hop.device = Some(target.clone());
            }
        }
        journal.replace_route(side, &route, renamed);
    }
    for (setting, value) in settings {
        journal.set_sysctl(side, &setting, None);
        let renamed = Sysctl { place: SysctlPlace::Link(target.clone()), ..setting };
        journal.set_sysctl(side, &renamed, Some(value));
    }
}

fn attach(
    journal: &mut Journal<'_>,
    side: Side,
    link: &Link,
    controller: Option<&LinkName>,
) -> Result<(), KernelRefusal> {
    if link.controller.as_ref() == controller {
        return Ok(());
    }
    let above = controller.map(|name| present(journal.side(side), name).cloned()).transpose()?;
    if let Some(above) = &above {
        check_port(journal, side, link, above)?;
    }
    detach(journal, side, link);
    let Some(above) = above else { return Ok(()) };
    settle(journal, side, &link.name, |journal| {
        journal.change_link(side, &link.name, |link| link.controller = Some(above.name.clone()));
    });
    if matches!(above.kind, LinkKind::Bond(_)) {
        enslave(journal, side, link, &above);
    }
    Ok(())
}

fn check_port(
    journal: &Journal<'_>,
    side: Side,
    link: &Link,
    above: &Link,
) -> Result<(), KernelRefusal> {
    let is_macvlan = |(at, name): &(Side, LinkName)| {
        let child = journal.side(*at).links.get(name);
        child.is_some_and(|child| matches!(child.kind, LinkKind::Macvlan(_) | LinkKind::Ipvlan(_)))
    };
    match above.kind {
        LinkKind::Bond(_) if link.is_up => {
            Err(Errno::NotPermitted.because("a link is taken into a bond while it is down only"))
        }
        LinkKind::Bridge
            if dependents(journal.scene(), side, &link.name).iter().any(is_macvlan) =>
        {
            Err(Errno::Busy.because("it is the parent of a macvlan or ipvlan"))
        }
        LinkKind::Bond(_) | LinkKind::Bridge | LinkKind::Vrf(_) | LinkKind::Other(_) => Ok(()),
        LinkKind::Plain
        | LinkKind::Veth
        | LinkKind::Macvlan(_)
        | LinkKind::Ipvlan(_)
        | LinkKind::Vlan(_)
        | LinkKind::Dummy
        | LinkKind::Ipoib { .. } => {
            Err(Errno::NotSupported.because("a link of that kind has no ports"))
        }
    }
}

/// A link leaves its controller; a bond leaves it down.
fn detach(journal: &mut Journal<'_>, side: Side, link: &Link) {
    let before = link.controller.as_ref().and_then(|name| journal.side(side).links.get(name));
    let was_bond = before.is_some_and(|before| matches!(before.kind, LinkKind::Bond(_)));
    settle(journal, side, &link.name, |journal| {
        journal.change_link(side, &link.name, |link| link.controller = None);
    });
    if was_bond {
        set_up(journal, side, &link.name, false);
    }
}

/// The first port gives the bond its hardware address, later ones take it; all take its MTU, and are up.
fn enslave(journal: &mut Journal<'_>, side: Side, port: &Link, bond: &Link) {
    let is_first = !journal
        .side(side)
        .links
        .values()
        .any(|link| link.name != port.name && link.controller.as_ref() == Some(&bond.name));
    match (&port.mac, &bond.mac) {
        (Some(mac), _) if is_first => set_mac(journal, side, &bond.name, mac),
        (_, Some(mac)) => set_mac(journal, side, &port.name, mac),
        (_, None) => {}
    }
    set_mtu(journal, side, &port.name, bond.mtu);
    set_up(journal, side, &port.name, true);
}

/// Each option has its needs (`bond_opts` in `drivers/net/bonding/bond_options.c`); one that stays as it is
/// needs them, too.
fn configure(
    journal: &mut Journal<'_>,
    side: Side,
    link: &Link,
    bond: &Bond,
) -> Result<(), KernelRefusal> {
    let LinkKind::Bond(before) = &link.kind else {
        return Err(Errno::NotSupported.because("it is no bond"));
    };
    let needs = bond.needs();
    let has_ports =
        journal.side(side).links.values().any(|port| port.controller.as_ref() == Some(&link.name));
    if needs.is_down() && link.is_up {
        return Err(Errno::Busy.because("that changes while the bond is down only"));
    }
    if needs.is_without_ports() && has_ports {
        return Err(Errno::NotEmpty.because("that changes while the bond has no ports only"));
    }
    let mut after = before.clone();
    after.options.extend(bond.options.clone());
    journal.change_link(side, &link.name, |link| link.kind = LinkKind::Bond(after));
    Ok(())
}
