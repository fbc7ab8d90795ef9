//! What is given back: on request, because the holder is gone, or because nobody lists it.

use super::draft::Draft;
use crate::command::{Answer, Claim, Collect, Decision, Place, Reclaim, Release, Standing};
use crate::event::{Ending, Event, ObjectKey, Tombstone};
use crate::moment::Moment;
use crate::name::Name;
use crate::owner::{Holder, Owner, Placement, Stage, is_static};
use crate::refusal::{ChangeRefusal, Obstacle};
use crate::slots::BlockKey;
use crate::view::{Found, Need, View};
use std::collections::BTreeSet;

/// CNI DEL: only what this container holds, and never what does not exist any more. An ordinary
/// pod's addresses are freed; a static identity keeps its own and waits for its next pod.
pub(super) fn release(
    view: &View,
    release: &Release,
    moment: Moment,
) -> Result<Decision, Obstacle> {
    let held = view.held_in(&release.container)?;
    let mut draft = Draft::new(view, moment);
    let object = ObjectKey::Container(release.container.clone());
    if view.tombstone(&release.container)?.is_none_or(|stone| stone.ticket < release.ticket) {
        let stone = Tombstone { ticket: release.ticket, at_ms: moment.now_ms };
        draft.note(object, Event::Buried(stone));
    }
    let goes = |found: &&Found<'_>| {
        release
            .attachment
            .as_ref()
            .is_none_or(|name| found.allocation.placement.attachment == *name)
    };
    let freed = free_with_ahead(view, &mut draft, &held, goes, (moment, Ending::Released))?;
    Ok(Decision { writes: draft.finish(), answer: Answer::Freed(freed) })
}

/// Frees what goes; where nothing attached is left of a container, what was granted ahead goes too.
fn free_with_ahead(
    view: &View,
    draft: &mut Draft<'_>,
    held: &[Found<'_>],
    goes: impl Fn(&&Found<'_>) -> bool,
    (moment, ending): (Moment, Ending),
) -> Result<Vec<Standing>, Need> {
    let stays = held.iter().any(|found| !goes(&found) && found.allocation.stage == Stage::Attached);
    let ends =
        |found: &&Found<'_>| goes(found) || (!stays && found.allocation.stage == Stage::Ahead);
    let mut freed = Vec::new();
    for found in held.iter().filter(ends) {
        if is_static(found.allocation.owner) {
            detach(draft, found)?;
        } else {
            free(view, draft, moment, found, ending)?;
            freed.push(standing(found));
        }
    }
    Ok(freed)
}

fn free(
    view: &View,
    draft: &mut Draft<'_>,
    moment: Moment,
    found: &Found<'_>,
    ending: Ending,
) -> Result<(), Need> {
    let entry = view.pool(&found.allocation.placement.pool)?;
    let event = Event::Freed {
        slot: found.allocation.slot,
        generation: found.allocation.generation,
        at_ms: moment.now_ms,
        rests: entry.is_some_and(|entry| entry.pool.rests()),
        ending,
    };
    draft.free(found.key.clone(), event);
    Ok(())
}

/// A static identity's allocation loses its pod and keeps its address.
fn detach(draft: &mut Draft<'_>, found: &Found<'_>) -> Result<(), Need> {
    let Ok(owner) = Owner::parse(found.allocation.owner) else { return Ok(()) };
    let Ok(node) = Name::new(found.allocation.node) else { return Ok(()) };
    let holder = Holder { owner, pod_uid: None, container: None, node };
    let placement = Placement { network: None, ..found.allocation.placement.clone() };
    let place = (found.key.clone(), found.allocation.slot);
    draft.grant(place, (&holder, placement, Stage::Detached), true)?;
    Ok(())
}

/// Ends allocations at the generation that was seen; those at another one are left alone.
pub(super) fn reclaim(
    view: &View,
    reclaim: &Reclaim,
    moment: Moment,
) -> Result<Decision, Obstacle> {
    let mut draft = Draft::new(view, moment);
    let mut freed = Vec::new();
    for claim in reclaim.claims.iter().collect::<BTreeSet<_>>() {
        match find(view, claim, reclaim.statics)? {
            Ok(found) => {
                free(view, &mut draft, moment, &found, reclaim.ending)?;
                freed.push(standing(&found));
            }
            Err(refusal) if reclaim.claims.len() == 1 => return Err(refusal.into()),
            Err(_) => {}
        }
    }
    Ok(Decision { writes: draft.finish(), answer: Answer::Freed(freed) })
}

/// The allocation that a claim is about, if it still is the one that was seen.
fn find<'v>(
    view: &'v View,
    claim: &Claim,
    statics: bool,
) -> Result<Result<Found<'v>, ChangeRefusal>, Need> {
    let place = || claim.place.clone();
    let Some(found) = at(view, &claim.place)? else {
        return Ok(Err(ChangeRefusal::NotAllocated { place: place() }));
    };
    if found.allocation.generation != claim.generation {
        let now = found.allocation.generation;
        return Ok(Err(ChangeRefusal::Stale { claim: claim.clone(), now }));
    }
    if !statics && is_static(found.allocation.owner) {
        let owner = found.allocation.owner.to_owned();
        return Ok(Err(ChangeRefusal::Static { place: place(), owner }));
    }
    Ok(Ok(found))
}

/// The allocation of an address, if it is allocated.
pub(super) fn at<'v>(view: &'v View, place: &Place) -> Result<Option<Found<'v>>, Need> {
    let number = crate::address::bits(place.address);
    let size = view.block_size(&place.space, crate::address::Family::of(place.address));
    let key = BlockKey::of(&place.space, place.address, size);
    let block = view.block(&key, None)?;
    let allocation = block.and_then(|block| block.allocation(key.slot(number)));
    Ok(allocation.map(|allocation| Found { key, number, allocation }))
}

/// CNI GC: what the network attached and nobody lists. What was granted ahead goes with the last
/// attachment of its container.
pub(super) fn collect(
    view: &View,
    collect: &Collect,
    moment: Moment,
) -> Result<Decision, Obstacle> {
    let mut draft = Draft::new(view, moment);
    let mut freed = Vec::new();
    let mut containers = BTreeSet::new();
    for found in view.allocations()? {
        let in_network = found.allocation.placement.network.as_ref() == Some(&collect.network);
        if let (true, Ok(container)) = (in_network, Name::new(found.allocation.container)) {
            containers.insert(container);
        }
    }
    for container in containers {
        let held = view.held_in(&container)?;
        let goes = |found: &&Found<'_>| {
            let placement = found.allocation.placement;
            let listed =
                || collect.keep.contains(&(container.clone(), placement.attachment.clone()));
            placement.network.as_ref() == Some(&collect.network) && !listed()
        };
        if held.iter().any(|found| goes(&found)) {
            freed.extend(free_with_ahead(
                view,
                &mut draft,
                &held,
                goes,
                (moment, Ending::Collected),
            )?);
        }
    }
    Ok(Decision { writes: draft.finish(), answer: Answer::Freed(freed) })
}

/// Takes down tombstones that no request can be waiting behind any more.
pub(super) fn tidy(view: &View, before_ms: u64) -> Result<Decision, Obstacle> {
    let mut draft = Draft::new(view, Moment::default());
    for (container, _) in view.tombstones_before(before_ms)? {
        draft.note(ObjectKey::Container(container.clone()), Event::Forgotten);
    }
    Ok(Decision { writes: draft.finish(), answer: Answer::Done })
}

/// An allocation as lists show it.
pub(super) fn standing(found: &Found<'_>) -> Standing {
    let allocation = &found.allocation;
    Standing {
        place: Place { space: found.key.space.clone(), address: found.address() },
        owner: allocation.owner.to_owned(),
        attachment: allocation.placement.attachment.clone(),
        container: allocation.container.to_owned(),
        node: allocation.node.to_owned(),
        pool: allocation.placement.pool.clone(),
        generation: allocation.generation,
    }
}
