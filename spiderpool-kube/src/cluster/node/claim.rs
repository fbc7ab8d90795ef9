//! What of a node's containers is put back into a block, and what of it others have.

use super::Node;
use super::recover::Claimed;
use crate::cluster::port::{Alarm, CallId};
use spiderpool_core::command::Place;
use spiderpool_core::event::{Ending, Event, Grant};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{Block, BlockKey, BlockSize};

/// Somebody who was given an address as the store went back takes it back within so many milliseconds;
/// a clash that lasts longer is one.
pub(super) const CLASH_MS: u64 = 15_000;

/// An address of a container of this node that somebody else holds.
#[derive(Debug)]
pub(super) struct Clash {
    since_ms: u64,
    /// The call before which it had lasted long enough to be told; a later look has to show it still.
    lasted: Option<CallId>,
    /// Whether people were told.
    reported: bool,
}

impl Node {
    /// The events that give up what containers of this node held by a block of before, and which were told
    /// to go since. Nobody else may: an agent frees nothing of another node's. A static identity keeps its
    /// address.
    fn forgotten(
        &self,
        key: &BlockKey,
        block: Option<&Block>,
        (claims, next): (&[Claimed], &mut u64),
    ) -> Vec<Event> {
        let disputed = self.disputed().contains(key);
        let claimed =
            |slot: u8| claims.iter().any(|(.., place, _)| place.address == key.address(slot));
        let allocations = block.filter(|_| disputed).into_iter().flat_map(Block::allocations);
        let ended = allocations.filter(|seen| {
            let container = Name::new(seen.container);
            *seen.node == *self.name
                && !claimed(seen.slot)
                && container.is_ok_and(|container| self.record.tombstone(&container).is_some())
        });
        let (at_ms, node) = (self.moment.now_ms, &self.name);
        let given_up = ended.map(|seen| {
            let (slot, generation) = (seen.slot, seen.generation);
            let owner = Owner::parse(seen.owner).ok().filter(Owner::is_static);
            let Some(owner) = owner else {
                let ending = Ending::Reclaimed;
                return Event::Freed { slot, generation, at_ms, rests: false, ending };
            };
            let holder = Holder { owner, pod_uid: None, container: None, node: node.clone() };
            let placement = Placement { network: None, ..seen.placement.clone() };
            let (stage, generation) = (Stage::Detached, *next);
            *next += 1;
            Event::Adopted { slot, grant: Grant { holder, placement, stage, generation, at_ms } }
        });
        given_up.collect()
    }

    /// The events that put claims back into a block, and whether somebody else is in the way who may
    /// still go.
    pub(super) fn assertions(
        &mut self,
        key: &BlockKey,
        block: Option<&Block>,
        (claims, since): (&[Claimed], CallId),
    ) -> (Vec<Event>, bool) {
        let mut next = block.map_or(self.moment.now_ms / 1_000 + 1, Block::next_generation);
        let mut events = self.forgotten(key, block, (claims, &mut next));
        let mut clashes = false;
        for (container, owner, place, told) in claims {
            let slot = key.slot(spiderpool_core::address::bits(place.address));
            let held = block.and_then(|block| block.allocation(slot));
            let adopts = match held {
                // It was given up before ours was told, in the time that the store has forgotten; or it
                // was given again after that, and whoever had it first keeps it. Clocks tell which, so
                // far as they agree.
                Some(held)
                    if held.owner != owner.as_str()
                        && held.generation < told.generation
                        && (*held.node == *self.name || held.owner.starts_with("identity/")) =>
                {
                    if held.since_ms >= told.since_ms {
                        self.report_clash(place, owner, held.owner);
                    }
                    let (generation, at_ms) = (held.generation, self.moment.now_ms);
                    let ending = Ending::Reclaimed;
                    events.push(Event::Freed { slot, generation, at_ms, rests: false, ending });
                    false
                }
                Some(held) if held.owner != owner.as_str() => {
                    clashes |= self.clashes(place, (owner, held.owner), since);
                    continue;
                }
                // Ours, or a container of the same owner has it by a later grant, or ours has let it go.
                Some(held) if *held.container == **container => continue,
                Some(held)
                    if held.generation > told.generation
                        && (!held.container.is_empty()
                            || self.record.tombstone(container).is_some()) =>
                {
                    continue;
                }
                Some(_) => true,
                None => false,
            };
            let holder = Holder {
                owner: owner.clone(),
                pod_uid: told.pod_uid.clone(),
                container: Some(container.clone()),
                node: self.name.clone(),
            };
            let stage = match told.placement.network {
                Some(_) => Stage::Attached,
                None => Stage::Ahead,
            };
            let placement = told.placement.clone();
            let generation = next.max(told.generation + 1);
            next = generation + 1;
            let grant = Grant { holder, placement, stage, generation, at_ms: self.moment.now_ms };
            if block.is_none() && events.is_empty() {
                events.push(self.rebuilt());
            }
            events.push(match adopts {
                true => Event::Adopted { slot, grant },
                false => Event::Granted { slot, grant },
            });
        }
        (events, clashes)
    }

    /// A block that was lost comes into being again. Its generations go on above those of its earlier life:
    /// no block has had as many grants as seconds have gone by since 1970.
    pub(super) const fn rebuilt(&self) -> Event {
        let incarnation = self.moment.draw(self.counter);
        let generation = self.moment.now_ms / 1_000;
        Event::Opened { size: BlockSize::DEFAULT, incarnation, generation }
    }

    /// Whether a clash may still go by itself; one that lasts is told to people.
    fn clashes(&mut self, place: &Place, owners: (&Owner, &str), since: CallId) -> bool {
        let (now_ms, now) = (self.moment.now_ms, self.counter);
        let clash = self.clash(place);
        // The clock may have been set back.
        clash.since_ms = clash.since_ms.min(now_ms);
        if clash.since_ms.saturating_add(CLASH_MS) > now_ms {
            return true;
        }
        let lasted = *clash.lasted.get_or_insert(now);
        if since <= lasted {
            return true;
        }
        self.report_clash(place, owners.0, owners.1);
        false
    }

    fn clash(&mut self, place: &Place) -> &mut Clash {
        let since_ms = self.moment.now_ms;
        let new = || Clash { since_ms, lasted: None, reported: false };
        self.recovering.clashes.entry(place.clone()).or_insert_with(new)
    }

    /// Tells people of a clash, once.
    fn report_clash(&mut self, place: &Place, owner: &Owner, theirs: &str) {
        if !std::mem::replace(&mut self.clash(place).reported, true) {
            let (place, ours, theirs) = (place.clone(), owner.to_string(), theirs.to_owned());
            self.alarm(Alarm::Clash { place, ours, theirs });
        }
    }
}

/// The slot that an event gives or takes, if it does.
pub(super) const fn slot_of(event: &Event) -> Option<u8> {
    if let Event::Granted { slot, .. } | Event::Adopted { slot, .. } | Event::Freed { slot, .. } =
        event
    {
        return Some(*slot);
    }
    None
}
