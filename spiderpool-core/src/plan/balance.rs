//! What a run of changes amounts to: what is gone, and what is new.
//!
//! Called by the search for an undo, and to find what goes along with a step. A link that changed is both
//! gone and new. What only the kernel decides does not count.

use std::collections::BTreeMap;

use super::kernel::journal::Edit;
use super::kernel::normal::{address, link, route};
use crate::net::{Link, LinkName, Marking, NeighbourState, Object, RouteProtocol, RouteType, Side};

/// What a run of changes amounts to.
#[derive(Debug, Default)]
pub(super) struct Balance {
    /// What was there before, and is not there after.
    pub(super) gone: Vec<(Side, Object)>,
    /// What is there after, and was not there before.
    pub(super) new: Vec<(Side, Object)>,
    /// Where a table of marks that no object describes was before and is not after.
    pub(super) damaged: Vec<Side>,
}

pub(super) fn balance(edits: &[Edit]) -> Balance {
    let mut counts: BTreeMap<(Side, Object), i32> = BTreeMap::new();
    let mut damaged: BTreeMap<Side, (bool, bool)> = BTreeMap::new();
    let mut count = |side: Side, object: Option<Object>, step: i32| {
        if let Some(object) = object.as_ref().and_then(counted) {
            *counts.entry((side, object)).or_default() += step;
        }
    };
    for edit in edits {
        match edit {
            Edit::Object(change) => {
                count(change.side, change.before.clone(), -1);
                count(change.side, change.after.clone(), 1);
            }
            Edit::Marking { side, before, after } => {
                count(*side, marks(before), -1);
                count(*side, marks(after), 1);
                let is_damaged = |marking: &Marking| *marking == Marking::Damaged;
                let entry = damaged.entry(*side).or_insert((is_damaged(before), false));
                entry.1 = is_damaged(after);
            }
        }
    }
    let mut balance = Balance::default();
    for ((side, object), count) in counts {
        match count {
            ..0 => balance.gone.push((side, object)),
            0 => {}
            1.. => balance.new.push((side, object)),
        }
    }
    let lost = damaged.into_iter().filter(|(_, (before, after))| *before && !after);
    balance.damaged = lost.map(|(side, _)| side).collect();
    balance
}

fn marks(marking: &Marking) -> Option<Object> {
    match marking {
        Marking::Present(marks) => Some(Object::Marks(marks.clone())),
        Marking::Absent | Marking::Damaged => None,
    }
}

/// An object as it counts; none for what the kernel makes and takes by itself.
fn counted(object: &Object) -> Option<Object> {
    Some(match object {
        Object::Link(it) => Object::Link(link(it)),
        Object::Address(it) => Object::Address(address(it)),
        Object::Neighbour(it) if it.state == NeighbourState::Learned => return None,
        Object::Route(it) if it.protocol == RouteProtocol::KERNEL && is_by_product(it.kind) => {
            return None;
        }
        Object::Route(it) => Object::Route(route(it)),
        Object::Neighbour(_) | Object::Rule(_) | Object::Sysctl(..) | Object::Marks(_) => {
            object.clone()
        }
    })
}

/// Whether routes of a kind only follow from addresses and links.
const fn is_by_product(kind: RouteType) -> bool {
    matches!(
        kind,
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast
    )
}

/// The links that changed or went, as they were at first.
pub(super) fn links_before(edits: &[Edit]) -> BTreeMap<(Side, LinkName), Link> {
    let mut found = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for edit in edits {
        let Edit::Object(change) = edit else { continue };
        for (object, is_before) in [(&change.before, true), (&change.after, false)] {
            let Some(Object::Link(link)) = object else { continue };
            let key = (change.side, link.name.clone());
            if seen.insert(key.clone()) && is_before {
                found.insert(key, link.clone());
            }
        }
    }
    found
}
