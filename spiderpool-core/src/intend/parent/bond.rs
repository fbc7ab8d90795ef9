//! The bond of several interfaces: made, completed, or found to be whole.

use super::{Draft, NodeAddresses, ParentBond, ParentConfiguration, ParentRefusal, names};
use crate::net::{Bond, BondOption, BondValue, Link, LinkKind, LinkName, Observed};
use crate::plan::{LinkChange, NewKind, NewLink};

use super::super::Want;

/// Wishes for a bond of the configured interfaces, and gives its name.
pub(super) fn wish(
    draft: &mut Draft<'_>,
    bond: &ParentBond,
    configuration: &ParentConfiguration,
) -> Result<LinkName, ParentRefusal> {
    let ports = &configuration.interfaces;
    let options = bond.options.clone().agreed().map_err(ParentRefusal::BadBond)?;
    refuse_other_ports(&options, bond, ports)?;
    for port in ports {
        may_be_port(draft, port, bond, configuration.addresses)?;
    }
    let found = draft.host.links.get(&bond.name).cloned();
    match &found {
        None => make(draft, bond, &options, configuration.mtu),
        Some(link) => keep(draft, link, &options, configuration)?,
    }
    // The lowest first: a link is there before what rests on it.
    draft.links.extend(ports.iter().cloned());
    draft.links.push(bond.name.clone());
    for port in ports {
        draft.set(port, LinkChange::Controller(Some(bond.name.clone())));
        draft.set(port, LinkChange::Up(true));
    }
    prefer(draft, &bond.name, &options, is_whole(draft.host, &bond.name, ports));
    draft.set(&bond.name, LinkChange::Up(true));
    Ok(bond.name.clone())
}

fn make(draft: &mut Draft<'_>, bond: &ParentBond, options: &Bond, mtu: Option<u32>) {
    let kind = NewKind::Bond(of_itself(options));
    let new = NewLink { name: bond.name.clone(), kind, mtu, mac: None, alias: None };
    draft.wish(Want::Link(new));
}

/// Wishes for a bond that is there to have its options, if it is ours to change.
fn keep(
    draft: &mut Draft<'_>,
    link: &Link,
    options: &Bond,
    configuration: &ParentConfiguration,
) -> Result<(), ParentRefusal> {
    let ports = &configuration.interfaces;
    let LinkKind::Bond(seen) = &link.kind else {
        let found = described(&link.kind);
        return Err(ParentRefusal::OtherLink {
            name: link.name.clone(),
            found,
            wanted: "a bond".to_owned(),
        });
    };
    let options = of_itself(options);
    refuse_other_bond(draft.host, link, &options.beyond(seen), seen, ports)?;
    // That it is a bond is verified; its options are a wish of their own, which changes them.
    draft.wish(Want::Link(NewLink {
        name: link.name.clone(),
        kind: NewKind::Bond(Bond::default()),
        mtu: None,
        mac: None,
        alias: None,
    }));
    if !options.options.is_empty() {
        draft.set(&link.name, LinkChange::Bond(options));
    }
    // Below a VLAN the bond only grows: other VLANs on it may be larger.
    let grows = |mtu: &u32| configuration.vlan.is_none() || *mtu > link.mtu;
    if let Some(mtu) = configuration.mtu.filter(grows) {
        draft.set(&link.name, LinkChange::Mtu(mtu));
    }
    Ok(())
}

/// Somebody else's bond is left alone, and so is what cannot change while the bond works.
fn refuse_other_bond(
    host: &Observed,
    link: &Link,
    drift: &Bond,
    seen: &Bond,
    ports: &[LinkName],
) -> Result<(), ParentRefusal> {
    let present: Vec<_> = ports_of(host, &link.name).collect();
    if let Some(port) = present.iter().find(|port| !ports.contains(port)) {
        return Err(ParentRefusal::ForeignPort {
            bond: link.name.clone(),
            port: (*port).clone(),
            ports: names(ports),
        });
    }
    let fixed = drift.options.iter().find(|(option, _)| option.needs().is_without_ports());
    match fixed.filter(|_| !present.is_empty()) {
        Some((option, wanted)) => Err(ParentRefusal::Fixed {
            bond: link.name.clone(),
            option: option.name(),
            found: seen.options.get(option).map_or_else(String::new, |value| option.show(value)),
            wanted: option.show(wanted),
            ports: names(present),
        }),
        None => Ok(()),
    }
}

/// Options that name a port come after the ports, each by itself. Which port works is only chosen for
/// a bond in the making: later it is the bond's own business.
fn prefer(draft: &mut Draft<'_>, bond: &LinkName, options: &Bond, is_whole: bool) {
    for (option, value) in &options.options {
        let is_chosen_once = *option == BondOption::ActiveSlave;
        if matches!(value, BondValue::Link(_)) && !(is_chosen_once && is_whole) {
            draft.set(bond, LinkChange::Bond(Bond::with(*option, value.clone())));
        }
    }
}

/// The options that name no port.
fn of_itself(options: &Bond) -> Bond {
    let own = options.options.iter().filter(|(_, value)| !matches!(value, BondValue::Link(_)));
    Bond { options: own.map(|(option, value)| (*option, value.clone())).collect() }
}

fn refuse_other_ports(
    options: &Bond,
    bond: &ParentBond,
    ports: &[LinkName],
) -> Result<(), ParentRefusal> {
    if ports.contains(&bond.name) {
        return Err(ParentRefusal::OwnPort { bond: bond.name.clone() });
    }
    let stranger = options.options.iter().find_map(|(option, value)| {
        let BondValue::Link(port) = value else { return None };
        Some((option, port)).filter(|_| !ports.contains(port))
    });
    match stranger {
        Some((option, port)) => Err(ParentRefusal::Stranger {
            option: option.name(),
            port: port.clone(),
            ports: names(ports),
        }),
        None => Ok(()),
    }
}

fn may_be_port(
    draft: &Draft<'_>,
    port: &LinkName,
    bond: &ParentBond,
    addresses: NodeAddresses,
) -> Result<(), ParentRefusal> {
    let link = draft.named(port)?;
    match &link.controller {
        Some(controller) if *controller == bond.name => return Ok(()),
        Some(controller) => {
            return Err(ParentRefusal::OthersPort {
                port: port.clone(),
                controller: controller.clone(),
            });
        }
        None => {}
    }
    if port.as_str() == "lo" || matches!(link.kind, LinkKind::Bond(_)) {
        return Err(ParentRefusal::NoPort { port: port.clone() });
    }
    match burden(draft.host, port).filter(|_| addresses == NodeAddresses::Keep) {
        Some(carries) => Err(ParentRefusal::Carries { port: port.clone(), carries }),
        None => Ok(()),
    }
}

/// What the node would lose with a link's addresses: those of the link and of all that rests on it.
fn burden(host: &Observed, link: &LinkName) -> Option<String> {
    let affected = above(host, link);
    let address = host.addresses.iter().find(|a| a.is_usable() && affected.contains(&&a.device));
    if let Some(address) = address {
        return Some(format!("the node's address {} on `{}`", address.net, address.device));
    }
    let route = host
        .routes
        .iter()
        .find(|route| route.is_default() && affected.iter().any(|device| route.leaves_by(device)));
    route.map(|route| format!("the node's default route to {}", route.destination))
}

/// A link and all that rests on it in this namespace. Each link has one parent, so this ends.
fn above<'a>(host: &'a Observed, link: &'a LinkName) -> Vec<&'a LinkName> {
    let mut found = vec![link];
    let mut next = 0;
    while let Some(below) = found.get(next).copied() {
        next += 1;
        let resting = host.links.values().filter(|link| {
            link.kind != LinkKind::Veth
                && link.parent.as_ref().is_some_and(|parent| parent.name.as_ref() == Some(below))
        });
        let new: Vec<_> = resting.map(|link| &link.name).filter(|n| !found.contains(n)).collect();
        found.extend(new);
    }
    found
}

fn ports_of<'a>(host: &'a Observed, bond: &'a LinkName) -> impl Iterator<Item = &'a LinkName> {
    let ports = host.links.values().filter(move |link| link.controller.as_ref() == Some(bond));
    ports.map(|link| &link.name)
}

fn is_whole(host: &Observed, bond: &LinkName, ports: &[LinkName]) -> bool {
    let present: Vec<_> = ports_of(host, bond).collect();
    ports.iter().all(|port| present.contains(&port))
}

/// What a link is, as people say it.
pub(super) fn described(kind: &LinkKind) -> String {
    match kind.name() {
        "" => "a device that nobody made".to_owned(),
        name => format!("a link of kind {name}"),
    }
}
