//! Neighbours, rules, settings and marks.

use super::derived::settle;
use super::journal::Journal;
use super::life::{Cause, begin_v6, end_v6};
use super::link::present;
use super::lookup::in_place_of;
use super::{Errno, KernelRefusal};
use crate::address::Family;
use crate::net::{
    LinkName, Marking, Marks, Neighbour, NeighbourState, Rule, Side, Sysctl, SysctlName,
    SysctlPlace,
};

pub(super) fn set_neighbour(
    journal: &mut Journal<'_>,
    side: Side,
    neighbour: &Neighbour,
) -> Result<(), KernelRefusal> {
    let observed = journal.side(side);
    let link = present(observed, &neighbour.device)?;
    let is_v6 = Family::of(neighbour.address) == Family::V6;
    let is_proxy = neighbour.state == NeighbourState::Proxy;
    if is_v6 && is_proxy && link.mtu < super::derived::V6_MTU {
        return Err(Errno::NoBuffers.because("its link's MTU is too small for IPv6"));
    }
    if is_v6 && !is_proxy && !super::derived::speaks_v6(observed, link) {
        return Err(Errno::Invalid.because("IPv6 is disabled on its link"));
    }
    if !is_proxy && neighbour.mac.is_none() {
        return Err(Errno::Invalid.because("it has no hardware address"));
    }
    if let Some(before) = in_place_of(observed, neighbour).cloned() {
        journal.drop_neighbour(side, &before);
    }
    journal.add_neighbour(side, neighbour.clone());
    Ok(())
}

pub(super) fn delete_neighbour(
    journal: &mut Journal<'_>,
    side: Side,
    neighbour: &Neighbour,
) -> Result<(), KernelRefusal> {
    present(journal.side(side), &neighbour.device)?;
    let found = in_place_of(journal.side(side), neighbour).cloned();
    let found = found.ok_or(Errno::NoEntry.because("no such neighbour"))?;
    journal.drop_neighbour(side, &found);
    Ok(())
}

pub(super) fn add_rule(
    journal: &mut Journal<'_>,
    side: Side,
    rule: &Rule,
) -> Result<(), KernelRefusal> {
    if journal.side(side).rules.contains(rule) {
        return Err(Errno::Exists.because("that rule is there already"));
    }
    journal.add_rule(side, rule.clone());
    Ok(())
}

pub(super) fn delete_rule(
    journal: &mut Journal<'_>,
    side: Side,
    rule: &Rule,
) -> Result<(), KernelRefusal> {
    if !journal.side(side).rules.contains(rule) {
        return Err(Errno::NoEntry.because("no such rule"));
    }
    journal.drop_rule(side, rule);
    Ok(())
}

pub(super) fn add_marks(
    journal: &mut Journal<'_>,
    side: Side,
    marks: &Marks,
) -> Result<(), KernelRefusal> {
    if journal.side(side).marking != Marking::Absent {
        return Err(Errno::Exists.because("a table of that name is there already"));
    }
    journal.set_marking(side, Marking::Present(marks.clone()));
    Ok(())
}

pub(super) fn delete_marks(journal: &mut Journal<'_>, side: Side) -> Result<(), KernelRefusal> {
    if journal.side(side).marking == Marking::Absent {
        return Err(Errno::NoEntry.because("no such table"));
    }
    journal.set_marking(side, Marking::Absent);
    Ok(())
}

pub(super) fn set_sysctl(
    journal: &mut Journal<'_>,
    side: Side,
    name: &Sysctl,
    value: i64,
) -> Result<(), KernelRefusal> {
    let observed = journal.side(side);
    match &name.place {
        SysctlPlace::Link(link) => {
            let refused = Errno::NoEntry.because("its link has no such setting");
            let link = observed.links.get(link).ok_or(refused)?;
            if name.family == Family::V6 && link.mtu < super::derived::V6_MTU {
                return Err(refused);
            }
            let link = link.name.clone();
            apply(journal, side, name, value, &link);
        }
        SysctlPlace::Default => journal.set_sysctl(side, name, Some(value)),
        SysctlPlace::All => set_for_all(journal, side, name, value),
    }
    Ok(())
}

/// Some settings of all links are copied to each link, and to those that are made later
/// (`addrconf_disable_ipv6`, `addrconf_fixup_forwarding`, `inet_forward_change`).
fn set_for_all(journal: &mut Journal<'_>, side: Side, name: &Sysctl, value: i64) {
    journal.set_sysctl(side, name, Some(value));
    if !matches!(name.name, SysctlName::DisableIpv6 | SysctlName::Forwarding) {
        return;
    }
    let later = Sysctl { place: SysctlPlace::Default, ..name.clone() };
    let is_disabled = name.name == SysctlName::DisableIpv6 && value != 0;
    if is_disabled || journal.side(side).sysctls.contains_key(&later) {
        journal.set_sysctl(side, &later, Some(value));
    }
    let links: Vec<LinkName> = journal.side(side).links.keys().cloned().collect();
    for link in links {
        let own = Sysctl { place: SysctlPlace::Link(link.clone()), ..name.clone() };
        let is_known = journal.side(side).sysctls.contains_key(&own);
        if is_disabled || is_known {
            apply(journal, side, &own, value, &link);
        }
    }
}

/// Sets a setting of one link, with what follows from it.
fn apply(journal: &mut Journal<'_>, side: Side, name: &Sysctl, value: i64, link: &LinkName) {
    let before = journal.side(side).sysctls.get(name).copied().unwrap_or(0);
    let disables = (name.family, name.name) == (Family::V6, SysctlName::DisableIpv6);
    let is_up = journal.side(side).links.get(link).is_some_and(|link| link.is_up);
    if disables && value != 0 && before == 0 {
        end_v6(journal, side, link, Cause::Down);
        journal.set_sysctl(side, name, Some(value));
        return;
    }
    settle(journal, side, link, |journal| journal.set_sysctl(side, name, Some(value)));
    if disables && value == 0 && before != 0 && is_up {
        begin_v6(journal, side, link);
    }
}
