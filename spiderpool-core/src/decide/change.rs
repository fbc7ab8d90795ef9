//! Single addresses: held ahead for an identity, found in conflict, set free by hand.

use super::draft::Draft;
use super::pick::{Pick, Picker};
use super::release::at;
use crate::address::bits;
use crate::command::{Answer, Conflict, Decision, Hold, Place, Suspicion};
use crate::event::Event;
use crate::moment::Moment;
use crate::owner::{Holder, Placement, Stage, is_static};
use crate::refusal::{ChangeRefusal, Obstacle};
use crate::slots::BlockKey;
use crate::view::{PoolEntry, View};

/// How many addresses one MAC may answer for before it is taken for a router with proxy ARP.
const ADDRESSES_OF_ONE_MAC: u32 = 3;

/// At most every so many-th address of a pool may be in quarantine, but always up to
/// [`QUARANTINE_FLOOR`].
const QUARANTINE_SHARE: u128 = 10;

/// So many addresses of a pool may be in quarantine however small it is.
const QUARANTINE_FLOOR: usize = 4;

/// The first quarantine of an address lasts so long, and each one after it twice as long.
const QUARANTINE_MS: u64 = 5 * 60 * 1000;

/// How often the quarantine is doubled at most: 5 minutes to about 10 days.
const QUARANTINE_DOUBLINGS: u8 = 11;

/// Puts an address aside for a static identity.
pub(super) fn hold(view: &View, hold: &Hold, moment: Moment) -> Result<Decision, Obstacle> {
    let cannot = |why: String| ChangeRefusal::CannotHold { place: hold.place.clone(), why };
    if !hold.owner.is_static() {
        return Err(cannot(format!("{} is no static identity", hold.owner)).into());
    }
    let held = view.held_by(&hold.owner)?;
    let same = held.iter().find(|found| {
        found.allocation.placement.attachment == hold.attachment
            && found.key.family == crate::address::Family::of(hold.place.address)
    });
    if let Some(found) = same {
        if found.address() == hold.place.address && found.key.space == hold.place.space {
            return Ok(Decision { writes: Vec::new(), answer: Answer::Done });
        }
        return Err(cannot(format!("{} holds {} already", hold.owner, found.address())).into());
    }
    let is_over = |entry: &&PoolEntry| {
        *entry.pool.space() == hold.place.space && entry.usable.contains(hold.place.address)
    };
    let Some(entry) = view.pools()?.find(is_over) else {
        return Err(cannot("no pool gives it out".to_owned()).into());
    };
    let mut draft = Draft::new(view, moment);
    let picker = Picker { view, draft: &draft, entry, node: &hold.node, moment };
    match picker.named(hold.place.address)? {
        Pick::Take(_) => {}
        Pick::Taken { by } => return Err(cannot(by).into()),
        Pick::Exhausted | Pick::NotMember => {
            return Err(cannot("no pool gives it out".to_owned()).into());
        }
    }
    let key = key(view, &hold.place);
    let slot = key.slot(bits(hold.place.address));
    let holder = Holder {
        owner: hold.owner.clone(),
        pod_uid: None,
        container: None,
        node: hold.node.clone(),
    };
    let (pool, attachment) = (entry.pool.name().clone(), hold.attachment.clone());
    let placement = Placement { pool, attachment, network: None };
    draft.grant((key, slot), (&holder, placement, Stage::Detached), false)?;
    Ok(Decision { writes: draft.finish(), answer: Answer::Done })
}

/// Takes an address from its pod and quarantines it, unless the evidence points at a router.
pub(super) fn conflict(
    view: &View,
    conflict: &Conflict,
    moment: Moment,
) -> Result<Decision, Obstacle> {
    let place = &conflict.claim.place;
    let found = at(view, place)?.ok_or(ChangeRefusal::NotAllocated { place: place.clone() })?;
    let allocation = found.allocation;
    if allocation.generation != conflict.claim.generation {
        let claim = conflict.claim.clone();
        return Err(ChangeRefusal::Stale { claim, now: allocation.generation }.into());
    }
    if is_static(allocation.owner) {
        let owner = allocation.owner.to_owned();
        return Err(ChangeRefusal::Static { place: place.clone(), owner }.into());
    }
    let entry = view.pool(&allocation.placement.pool)?;
    let suspicion = entry.map(|entry| suspicion(view, entry, conflict)).transpose()?;
    if let Some(suspicion) = suspicion.flatten() {
        return Ok(Decision { writes: Vec::new(), answer: Answer::Spared(suspicion) });
    }
    let past =
        view.block(&found.key, None)?.map_or(0, |block| block.past_quarantines(allocation.slot));
    let rounds = past.saturating_add(1);
    let until_ms =
        moment.now_ms.saturating_add(QUARANTINE_MS << QUARANTINE_DOUBLINGS.min(rounds - 1));
    let mut draft = Draft::new(view, moment);
    let event = Event::Quarantined {
        slot: allocation.slot,
        mac: conflict.mac,
        at_ms: moment.now_ms,
        until_ms,
        rounds,
    };
    draft.free(found.key, event);
    Ok(Decision { writes: draft.finish(), answer: Answer::Quarantined { until_ms } })
}

fn suspicion(
    view: &View,
    entry: &PoolEntry,
    conflict: &Conflict,
) -> Result<Option<Suspicion>, crate::view::Need> {
    let quarantined = view.quarantined(entry)?;
    let same = quarantined.iter().filter(|(_, quarantine)| quarantine.mac == conflict.mac).count();
    let addresses = u32::try_from(same).unwrap_or(u32::MAX).saturating_add(1);
    if addresses > ADDRESSES_OF_ONE_MAC {
        return Ok(Some(Suspicion::OneMacForMany { mac: conflict.mac, addresses }));
    }
    let count = quarantined.len();
    let share = entry.usable.count() / QUARANTINE_SHARE;
    let too_many = count >= QUARANTINE_FLOOR && count as u128 >= share;
    let quarantined = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(too_many.then_some(Suspicion::TooMany { quarantined }))
}

/// Ends a quarantine or a rest by hand.
pub(super) fn clear(view: &View, place: &Place) -> Result<Decision, Obstacle> {
    let key = key(view, place);
    let slot = key.slot(bits(place.address));
    let block = view.block(&key, None)?;
    let is_set_aside = block.is_some_and(|block| {
        block.quarantined().iter().any(|q| q.slot == slot)
            || block.resting().iter().any(|r| r.slot == slot)
    });
    if !is_set_aside {
        return Err(ChangeRefusal::NotResting { place: place.clone() }.into());
    }
    let mut draft = Draft::new(view, Moment::default());
    draft.free(key, Event::Cleared { slot });
    Ok(Decision { writes: draft.finish(), answer: Answer::Done })
}

fn key(view: &View, place: &Place) -> BlockKey {
    let size = view.block_size(&place.space, crate::address::Family::of(place.address));
    BlockKey::of(&place.space, place.address, size)
}
