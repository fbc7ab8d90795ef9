//! A pod gets its addresses: what it has is kept, what is missing is picked, all or nothing.

use super::answer::{Settled, allocated};
use super::demand::{Names, Plan, Want, plan};
use super::draft::Draft;
use super::pick::{Pick, Picker};
use super::remedy::remedy;
use super::shortlist::{Nominee, Objection, nominees, objection, rank};
use crate::address::Family;
use crate::command::{Answer, Decision};
use crate::event::{Ending, Event};
use crate::moment::Moment;
use crate::name::Name;
use crate::owner::{Placement, Stage};
use crate::refusal::{AllocateRefusal, Candidate, Obstacle, Shortlist, Verdict, Weighed};
use crate::request::{FamilyPolicy, Request};
use crate::slots::BlockKey;
use crate::view::{Found, Need, PoolEntry, View};
use std::net::IpAddr;

pub(super) fn allocate(
    view: &View,
    request: &Request,
    moment: Moment,
) -> Result<Decision, Obstacle> {
    let container = request.holder.container.as_ref().ok_or(AllocateRefusal::NoContainer)?;
    let buried = view.tombstone(container)?.is_some_and(|stone| stone.ticket >= request.ticket);
    if buried {
        return Err(AllocateRefusal::Buried { container: container.clone() }.into());
    }
    let held = view.held_by(&request.holder.owner)?;
    let plan = plan(view, request, &held)?;
    let mut session = Session { view, request, moment, held, draft: Draft::new(view, moment) };
    let mut settled = Vec::with_capacity(plan.wants.len());
    for want in &plan.wants {
        settled.extend(session.settle(want, &mut NoNotes)?);
    }
    if !is_enough(request, &plan, &settled) {
        let shortlist = weigh(view, request, moment)?;
        return Err(AllocateRefusal::Unsatisfied(Box::new(shortlist)).into());
    }
    let answer = Answer::Allocated(allocated(view, request, settled)?);
    Ok(Decision { writes: session.draft.finish(), answer })
}

/// The shortlist of a request, with the remedy when it is refused.
pub(super) fn explain(
    view: &View,
    request: &Request,
    moment: Moment,
) -> Result<Shortlist, Obstacle> {
    weigh(view, request, moment)
}

fn weigh(view: &View, request: &Request, moment: Moment) -> Result<Shortlist, Obstacle> {
    let mut shortlist = shortlist(view, request, moment)?;
    let is_met = |want: &Weighed| want.is_satisfied();
    if shortlist.demands.is_empty() || !shortlist.demands.iter().all(is_met) {
        shortlist.remedy = remedy(view, request, moment, &shortlist)?;
    }
    Ok(shortlist)
}

/// Every candidate of every want with its verdict; no remedy yet.
pub(super) fn shortlist(
    view: &View,
    request: &Request,
    moment: Moment,
) -> Result<Shortlist, Obstacle> {
    let held = view.held_by(&request.holder.owner)?;
    let plan = plan(view, request, &held)?;
    let mut session = Session { view, request, moment, held, draft: Draft::new(view, moment) };
    let mut demands = Vec::new();
    for want in &plan.wants {
        let mut notes = Vec::new();
        session.settle(want, &mut notes)?;
        demands.push(Weighed { demand: want.demand.clone(), candidates: notes });
    }
    Ok(Shortlist { source: plan.source, demands, remedy: None })
}

/// Whether what was found is what the policy asks for: every want, or with `prefer` one family of
/// each attachment.
fn is_enough(request: &Request, plan: &Plan<'_>, settled: &[Settled<'_>]) -> bool {
    let has = |attachment: &Name, family: Option<Family>| {
        settled.iter().any(|s| {
            s.demand.attachment == *attachment
                && family.is_none_or(|family| family == s.demand.family)
        })
    };
    let met = |want: &Want<'_>| match request.families {
        FamilyPolicy::Require => has(&want.demand.attachment, Some(want.demand.family)),
        FamilyPolicy::Prefer => has(&want.demand.attachment, None),
    };
    plan.wants.iter().any(|want| want.current) && plan.wants.iter().all(met)
}

/// Where verdicts go; the hot path has nowhere to put them.
trait Notes {
    fn note(
        &mut self,
        pool: &str,
        verdict: impl FnOnce() -> Verdict,
        tally: Option<&PoolEntry>,
        view: &View,
    ) -> Result<(), Need>;
}

struct NoNotes;

impl Notes for NoNotes {
    fn note(
        &mut self,
        _: &str,
        _: impl FnOnce() -> Verdict,
        _: Option<&PoolEntry>,
        _: &View,
    ) -> Result<(), Need> {
        Ok(())
    }
}

impl Notes for Vec<Candidate> {
    fn note(
        &mut self,
        pool: &str,
        verdict: impl FnOnce() -> Verdict,
        tally: Option<&PoolEntry>,
        view: &View,
    ) -> Result<(), Need> {
        let tally = tally.map(|entry| view.tally(entry)).transpose()?;
        self.push(Candidate { pool: pool.to_owned(), verdict: verdict(), tally });
        Ok(())
    }
}

struct Session<'v> {
    view: &'v View,
    request: &'v Request,
    moment: Moment,
    held: Vec<Found<'v>>,
    draft: Draft<'v>,
}

impl<'v> Session<'v> {
    /// What a want comes to; `None` when no candidate satisfies it.
    fn settle(
        &mut self,
        want: &Want<'_>,
        notes: &mut impl Notes,
    ) -> Result<Option<Settled<'v>>, Need> {
        let matches = |found: &&Found<'_>| {
            found.key.family == want.demand.family
                && found.allocation.placement.attachment == want.held_as
        };
        let container = self.request.holder.container.as_deref();
        let own = |found: &&Found<'_>| container == Some(found.allocation.container);
        let named = |found: &&Found<'_>| want.named == Some(found.address());
        // There is one, but for a store that went back in time: then what this container was told counts,
        // and after it what is asked for by name.
        let held = self.held.iter().filter(matches);
        let first = || held.clone().find(named).or_else(|| held.clone().next());
        let Some(found) = held.clone().find(own).or_else(first).cloned() else {
            return self.choose(want, notes);
        };
        // What another container of a static identity has is its own to give up.
        let is_static = self.request.holder.owner.is_static();
        let ended = |other: &&Found<'_>| !is_static || other.allocation.container.is_empty();
        let others = held.filter(|other| other.address() != found.address()).filter(ended);
        let others: Vec<_> = others.cloned().collect();
        if self.may_keep(want, &found)? {
            others.iter().try_for_each(|other| self.free_moved(other))?;
            let pool = &found.allocation.placement.pool;
            notes.note(pool, || Verdict::Kept { address: found.address() }, None, self.view)?;
            return self.keep(want, &found).map(Some);
        }
        let moved = self.choose(want, notes)?;
        if moved.is_some() {
            self.free_moved(&found)?;
        }
        Ok(moved)
    }

    /// A named address is kept only if it is the one, one of a family that is switched off never; a
    /// static identity stays only in a pool that is still named.
    fn may_keep(&self, want: &Want<'_>, found: &Found<'_>) -> Result<bool, Need> {
        let is_other = want.named.is_some_and(|named| named != found.address());
        if is_other || !self.request.allows(want.demand.family) {
            return Ok(false);
        }
        if !self.request.holder.owner.is_static() || matches!(want.names, Names::Held(_)) {
            return Ok(true);
        }
        let mut list = Vec::new();
        nominees(self.view, want, &mut list)?;
        let pool = &found.allocation.placement.pool;
        Ok(list.iter().any(|nominee| nominee.text == &**pool && nominee.entry.is_ok()))
    }

    fn keep(&mut self, want: &Want<'_>, found: &Found<'_>) -> Result<Settled<'v>, Need> {
        let Found { key, allocation, .. } = found;
        let holder = &self.request.holder;
        let same = holder.container.as_deref() == Some(allocation.container)
            && holder.pod_uid.as_deref().unwrap_or_default() == allocation.pod_uid;
        let stage = if want.current { Stage::Attached } else { Stage::Ahead };
        let placement = Placement {
            pool: allocation.placement.pool.clone(),
            attachment: want.demand.attachment.clone(),
            network: want.current.then(|| self.request.network.clone()),
        };
        let mut generation = allocation.generation;
        if !same {
            generation = self.draft.grant(
                (key.clone(), allocation.slot),
                (holder, placement, stage),
                true,
            )?;
        } else if want.current
            && (allocation.stage != Stage::Attached || *allocation.placement != placement)
        {
            let at_ms = self.moment.now_ms;
            let event = Event::Restaged { slot: allocation.slot, placement, stage, at_ms };
            self.draft.hold(key.clone(), event);
        }
        let entry = self.view.pool(&allocation.placement.pool)?;
        let pool = allocation.placement.pool.clone();
        Ok(Settled::new(want, (key, found.number), entry, pool, (generation, true)))
    }

    fn choose(
        &mut self,
        want: &Want<'_>,
        notes: &mut impl Notes,
    ) -> Result<Option<Settled<'v>>, Need> {
        let mut list = Vec::with_capacity(10);
        nominees(self.view, want, &mut list)?;
        let family = want.demand.family;
        let is_off = !self.request.allows(family);
        let mut fit = Vec::with_capacity(list.len());
        for Nominee { text, entry } in list {
            let objection = match entry {
                _ if is_off => Ok(Objection::SwitchedOff(family)),
                Ok(entry) => match objection(entry, want, self.request) {
                    None => {
                        fit.push(entry);
                        continue;
                    }
                    Some(objection) => Ok(objection),
                },
                Err(verdict) => Err(verdict),
            };
            let verdict = || objection.map_or_else(|verdict| verdict, Objection::verdict);
            notes.note(text, verdict, None, self.view)?;
        }
        fit.sort_by_key(|entry| rank(entry));
        let mut taken: Option<(&PoolEntry, u128)> = None;
        for entry in fit {
            let name = entry.pool.name();
            if taken.is_some() {
                notes.note(name, || Verdict::Spare, None, self.view)?;
                continue;
            }
            match self.pick(want, entry)? {
                Pick::Take(number) => {
                    let address = entry.pool.family().address(number);
                    notes.note(name, || Verdict::Taken { address }, None, self.view)?;
                    taken = Some((entry, number));
                }
                missed @ (Pick::Exhausted | Pick::NotMember | Pick::Taken { .. }) => {
                    notes.note(name, || verdict_of(missed, want.named), Some(entry), self.view)?
                }
            }
        }
        let Some((entry, number)) = taken else { return Ok(None) };
        let pool = entry.pool.name().clone();
        self.take(want, &pool, number).map(Some)
    }

    fn pick(&self, want: &Want<'_>, entry: &PoolEntry) -> Result<Pick, Need> {
        let (view, draft, moment) = (self.view, &self.draft, self.moment);
        let picker = Picker { view, draft, entry, node: &self.request.holder.node, moment };
        match want.named {
            Some(address) => picker.named(address),
            None => picker.next(),
        }
    }

    fn take(&mut self, want: &Want<'_>, pool: &Name, number: u128) -> Result<Settled<'v>, Need> {
        let entry = self.view.pool(pool)?;
        let (space, family) = entry.map_or_else(
            || (pool.clone(), want.demand.family),
            |entry| (entry.pool.space().clone(), entry.pool.family()),
        );
        let size = self.view.block_size(&space, family);
        let key = BlockKey { space, family, first: size.align(number) };
        let placement = Placement {
            pool: pool.clone(),
            attachment: want.demand.attachment.clone(),
            network: want.current.then(|| self.request.network.clone()),
        };
        let stage = if want.current { Stage::Attached } else { Stage::Ahead };
        let to = (&self.request.holder, placement, stage);
        let generation = self.draft.grant((key.clone(), key.slot(number)), to, false)?;
        Ok(Settled::new(want, (&key, number), entry, pool.clone(), (generation, false)))
    }

    /// The old address of an owner that has been given another one.
    fn free_moved(&mut self, found: &Found<'_>) -> Result<(), Need> {
        let entry = self.view.pool(&found.allocation.placement.pool)?;
        let event = Event::Freed {
            slot: found.allocation.slot,
            generation: found.allocation.generation,
            at_ms: self.moment.now_ms,
            rests: entry.is_some_and(|entry| entry.pool.rests()),
            ending: Ending::Moved,
        };
        self.draft.free(found.key.clone(), event);
        Ok(())
    }
}

fn verdict_of(missed: Pick, named: Option<IpAddr>) -> Verdict {
    match (missed, named) {
        (Pick::NotMember, Some(address)) => Verdict::NotMember { address },
        (Pick::Taken { by }, Some(address)) => Verdict::NamedTaken { address, by },
        _ => Verdict::Exhausted,
    }
}
