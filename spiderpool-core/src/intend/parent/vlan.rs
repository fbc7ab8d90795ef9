//! The VLAN on a parent: made, or found to be the one.

use super::{Draft, ParentRefusal};
use crate::net::{Link, LinkKind, LinkName, Vlan, VlanProtocol};
use crate::plan::{LinkChange, NewKind, NewLink};

use super::super::Want;

/// Wishes for a VLAN on `parent`, and gives its name.
pub(super) fn wish(
    draft: &mut Draft<'_>,
    parent: &LinkName,
    vlan: Vlan,
    mtu: Option<u32>,
) -> Result<LinkName, ParentRefusal> {
    let name = name_of(parent, vlan)?;
    refuse_other_name(draft, parent, vlan, &name)?;
    refuse_large_mtu(draft, parent, mtu)?;
    let is_there = match draft.host.links.get(&name) {
        Some(link) => verify(link, parent, vlan).map(|()| true)?,
        None => false,
    };
    // The settings of a link that is there are wishes of their own, which change it.
    let new_mtu = mtu.filter(|_| !is_there);
    let kind = NewKind::Vlan { parent: parent.clone(), vlan };
    let new = NewLink { name: name.clone(), kind, mtu: new_mtu, mac: None, alias: None };
    draft.wish(Want::Link(new));
    if let Some(mtu) = mtu.filter(|_| is_there) {
        draft.set(&name, LinkChange::Mtu(mtu));
    }
    draft.set(&name, LinkChange::Up(true));
    draft.links.push(name.clone());
    Ok(name)
}

fn name_of(parent: &LinkName, vlan: Vlan) -> Result<LinkName, ParentRefusal> {
    let name = format!("{parent}.{}", vlan.id);
    LinkName::new(name.as_str()).map_err(|_| ParentRefusal::LongName {
        name,
        parent: parent.clone(),
        most: LinkName::MAX_BYTES.saturating_sub(vlan.id.to_string().len().saturating_add(1)),
    })
}

/// The kernel has one VLAN of a kind and number on a link, whatever its name.
fn refuse_other_name(
    draft: &Draft<'_>,
    parent: &LinkName,
    vlan: Vlan,
    name: &LinkName,
) -> Result<(), ParentRefusal> {
    let is_same = |link: &&Link| link.kind == LinkKind::Vlan(vlan) && rests_on(link, parent);
    match draft.host.links.values().filter(|link| link.name != *name).find(is_same) {
        Some(other) => Err(ParentRefusal::OtherName {
            tag: show(vlan),
            parent: parent.clone(),
            found: other.name.clone(),
            wanted: name.clone(),
        }),
        None => Ok(()),
    }
}

fn refuse_large_mtu(
    draft: &Draft<'_>,
    parent: &LinkName,
    mtu: Option<u32>,
) -> Result<(), ParentRefusal> {
    let below = draft.host.links.get(parent);
    // A bond is made for pods and was wished to be as large.
    let fixed = below.filter(|link| !matches!(link.kind, LinkKind::Bond(_)));
    match (mtu, fixed.map(|link| link.mtu)) {
        (Some(mtu), Some(most)) if mtu > most => {
            Err(ParentRefusal::LargeMtu { mtu, parent: parent.clone(), most })
        }
        _ => Ok(()),
    }
}

fn verify(link: &Link, parent: &LinkName, vlan: Vlan) -> Result<(), ParentRefusal> {
    if link.kind == LinkKind::Vlan(vlan) && rests_on(link, parent) {
        return Ok(());
    }
    let found = match (&link.kind, link.parent.as_ref()) {
        (LinkKind::Vlan(other), Some(below)) => {
            let below = below.name.as_ref().map_or("a link of another namespace", LinkName::as_str);
            format!("{} on {below}", show(*other))
        }
        (kind, _) => super::bond::described(kind),
    };
    let wanted = format!("{} on {parent}", show(vlan));
    Err(ParentRefusal::OtherLink { name: link.name.clone(), found, wanted })
}

fn rests_on(link: &Link, parent: &LinkName) -> bool {
    link.parent.as_ref().and_then(|below| below.name.as_ref()) == Some(parent)
}

fn show(vlan: Vlan) -> String {
    match vlan.protocol {
        VlanProtocol::Customer => format!("VLAN {}", vlan.id),
        VlanProtocol::Provider => format!("VLAN {} of 802.1ad", vlan.id),
    }
}
