//! From the wish for a link to the ops that make it, mend it, or clear its place.

use super::command::kind as described;
use super::draft::{Draft, bond};
use super::kernel::lookup::below;
use super::same::has;
use super::{LinkChange, NewKind, NewLink, Op, PlanRefusal, VethPeer};
use crate::net::{HardwareAddress, Link, LinkKind, Scene, Side};

pub(super) fn link(scene: &Scene, side: Side, wanted: &NewLink) -> Draft {
    if let NewKind::Veth(peer) = &wanted.kind {
        return pair(scene, side, wanted, peer);
    }
    let Some(found) = scene.side(side).links.get(&wanted.name) else {
        return Ok(vec![(side, Op::CreateLink(wanted.clone()))]);
    };
    if !is_kind(found, &wanted.kind) {
        return Err(other(side, found, wanted));
    }
    let mut ops = settings(side, found, wanted.mtu, wanted.mac.as_ref(), wanted.alias.as_ref());
    if let NewKind::Bond(options) = &wanted.kind {
        ops.extend(bond(side, found, options));
    }
    Ok(ops)
}

/// Whether a link is of a kind, with the same parent and the attributes that cannot be changed.
fn is_kind(found: &Link, wanted: &NewKind) -> bool {
    let lower = found.parent.as_ref().and_then(|parent| parent.name.as_ref());
    match (&found.kind, wanted) {
        (LinkKind::Vlan(found), NewKind::Vlan { parent, vlan }) => {
            found == vlan && lower == Some(parent)
        }
        (LinkKind::Macvlan(found), NewKind::Macvlan { parent, macvlan }) => {
            found == macvlan && lower == Some(parent)
        }
        (LinkKind::Ipvlan(found), NewKind::Ipvlan { parent, ipvlan }) => {
            found == ipvlan && lower == Some(parent)
        }
        (LinkKind::Vrf(found), NewKind::Vrf(table)) => found == table,
        (LinkKind::Bond(_), NewKind::Bond(_))
        | (LinkKind::Bridge, NewKind::Bridge)
        | (LinkKind::Dummy, NewKind::Dummy) => true,
        _ => false,
    }
}

fn settings(
    side: Side,
    found: &Link,
    mtu: Option<u32>,
    mac: Option<&HardwareAddress>,
    alias: Option<&String>,
) -> Vec<(Side, Op)> {
    let changes = [
        mtu.map(LinkChange::Mtu),
        mac.cloned().map(LinkChange::Mac),
        alias.cloned().map(|alias| LinkChange::Alias(Some(alias))),
    ];
    let set = |change| (side, Op::SetLink { name: found.name.clone(), change });
    changes.into_iter().flatten().filter(|change| !has(found, change)).map(set).collect()
}

fn other(side: Side, found: &Link, wanted: &NewLink) -> PlanRefusal {
    PlanRefusal::OtherLink {
        side,
        name: found.name.clone(),
        found: described(found),
        wanted: format!("`{}`", Op::CreateLink(wanted.clone())),
    }
}

/// A pair whose ends belong together is mended. An end without its other end is what a broken attempt
/// left behind: it goes, and both are made anew.
fn pair(scene: &Scene, side: Side, wanted: &NewLink, peer: &VethPeer) -> Draft {
    let far = side.other();
    let near_end = scene.side(side).links.get(&wanted.name);
    let far_end = scene.side(far).links.get(&peer.name);
    if let (Some(one), Some(two)) = (near_end, far_end)
        && is_veth(one)
        && below(scene, side, one) == Some((far, two.name.clone()))
    {
        let mut ops = settings(side, one, wanted.mtu, wanted.mac.as_ref(), wanted.alias.as_ref());
        ops.extend(settings(far, two, peer.mtu, peer.mac.as_ref(), peer.alias.as_ref()));
        return Ok(ops);
    }
    let mut ops = Vec::new();
    for (at, end, alias) in [(side, near_end, &wanted.alias), (far, far_end, &peer.alias)] {
        let Some(end) = end else { continue };
        if !is_left_over(scene, at, end, alias.as_ref()) {
            return Err(other(at, end, wanted));
        }
        ops.push((at, Op::DeleteLink(end.name.clone())));
    }
    ops.push((side, Op::CreateLink(wanted.clone())));
    Ok(ops)
}

const fn is_veth(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Veth)
}

/// Whether an end of a pair is ours by its alias, or has its other end in neither namespace.
fn is_left_over(scene: &Scene, side: Side, end: &Link, alias: Option<&String>) -> bool {
    let is_ours = alias.is_some() && end.alias.as_ref() == alias;
    is_veth(end) && (is_ours || below(scene, side, end).is_none())
}
