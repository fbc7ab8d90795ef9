//! Addresses that two held when a recovery ended: this node's container runs on with its own, so that is
//! written back as soon as the other one has let it go. Else a third would be given it.

use super::recover::{Claimed, Claims};
use super::{Node, is_over};
use crate::cluster::port::CallId;
use spiderpool_core::address::bits;
use spiderpool_core::command::Place;
use spiderpool_core::slots::{Allocation, Block, BlockKey};
use std::collections::BTreeSet;

/// How often a contested address is looked at, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// The addresses, and when they are looked at.
#[derive(Debug, Default)]
pub(super) struct Contested {
    places: BTreeSet<Place>,
    /// `None` while a look is under way.
    look_at: Option<u64>,
    /// The call before which the look began.
    since: CallId,
}

impl Contested {
    pub(super) const fn retry_at(&self) -> Option<u64> {
        self.look_at
    }

    /// More of them; what was read up to a call says nothing of these.
    pub(super) fn add(&mut self, places: impl Iterator<Item = Place>, since: CallId) {
        self.places.extend(places);
        self.since = since;
    }
}

impl Node {
    /// Looks whether contested addresses are free, and writes those back that are.
    pub(super) fn advance_contested(&mut self) {
        let now_ms = self.moment.now_ms;
        let contested = &mut self.recovering.contested;
        if contested.places.is_empty() || contested.look_at.is_some_and(|at| !is_over(at, now_ms)) {
            return;
        }
        if contested.look_at.take().is_some() {
            contested.since = self.counter;
        }
        let since = contested.since;
        let mut left = BTreeSet::new();
        let mut waits = false;
        for (key, claims) in self.contested_claims() {
            let Some((block, token)) = self.settled_block(&key, since) else {
                left.extend(claims.into_iter().map(|(.., place, _)| place));
                waits = true;
                continue;
            };
            let (free, held): (Vec<_>, Vec<_>) = claims
                .into_iter()
                .partition(|claim| holder(&key, block.as_deref(), claim).is_none());
            let theirs = held.iter().filter(|claim| {
                let held = holder(&key, block.as_deref(), claim);
                held.is_some_and(|held| held.owner != claim.1.as_str())
            });
            left.extend(theirs.chain(&free).map(|(.., place, _)| place.clone()));
            if !free.is_empty() {
                let (events, _) = self.assertions(&key, block.as_deref(), (&free, since));
                self.put_back(&key, token, events);
                waits = true;
            }
        }
        let contested = &mut self.recovering.contested;
        if !waits && !left.is_empty() {
            contested.look_at = Some(now_ms.saturating_add(LOOK_MS));
        }
        contested.places = left;
    }

    /// The contested addresses that containers of this node still have.
    fn contested_claims(&self) -> Claims {
        let places = &self.recovering.contested.places;
        let mut claims = self.claims();
        for here in claims.values_mut() {
            here.retain(|(.., place, _)| places.contains(place));
        }
        claims.retain(|_, here| !here.is_empty());
        claims
    }
}

/// Who holds what a container was told.
fn holder<'a>(
    key: &BlockKey,
    block: Option<&'a Block>,
    (.., place, _): &Claimed,
) -> Option<Allocation<'a>> {
    block.and_then(|block| block.allocation(key.slot(bits(place.address))))
}
