//! The smallest change that would have satisfied a refused request.
//!
//! A remedy is never guessed: each is applied to a copy of the view and the request is decided
//! again, and only what then succeeds is offered (`a_remedy_that_is_offered_works`).

use super::allocate::shortlist;
use crate::address::{AddressSet, Range, bits};
use crate::definition::{Pool, PoolDraft};
use crate::event::{Event, ObjectKey};
use crate::moment::Moment;
use crate::refusal::{Candidate, Edit, Obstacle, Remedy, Shortlist, Verdict, Weighed};
use crate::request::Request;
use crate::slots::BlockKey;
use crate::view::{Need, PoolEntry, View};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many edits one remedy has at most: every demand of a pod with very many interfaces.
const EDITS_MAX: usize = 40;

/// Finds edits one by one until the request succeeds, the cheapest candidate of the first unmet
/// demand first.
pub(super) fn remedy(
    view: &View,
    request: &Request,
    moment: Moment,
    refused: &Shortlist,
) -> Result<Option<Remedy>, Obstacle> {
    if let Some(until_ms) = waiting_is_enough(view, request, moment, refused)? {
        return Ok(Some(Remedy {
            edits: Vec::new(),
            pools: Vec::new(),
            wait_until_ms: Some(until_ms),
        }));
    }
    let mut trial = Cow::Borrowed(view);
    let mut pools = BTreeMap::new();
    let mut edits = Vec::new();
    let mut now = refused.clone();
    for _ in 0..EDITS_MAX {
        let Some(weighed) = now.demands.iter().find(|weighed| !weighed.is_satisfied()) else {
            break;
        };
        let Some((pool, edit)) = cheapest(&trial, request, weighed)? else { return Ok(None) };
        let object = ObjectKey::Pool(pool.name().clone());
        let pool = Arc::new(pool);
        trial.to_mut().apply(&object, &Event::PoolDefined(Arc::clone(&pool)));
        pools.insert(pool.name().clone(), pool);
        edits.push(edit);
        now = shortlist(&trial, request, moment)?;
    }
    let met = !now.demands.is_empty() && now.demands.iter().all(Weighed::is_satisfied);
    let pools = pools.into_values().map(|pool| PoolDraft::from(Pool::clone(&pool)));
    Ok(met.then(|| Remedy { edits, pools: pools.collect(), wait_until_ms: None }))
}

/// The earliest end of a cool-down or quarantine after which the request succeeds as it is.
fn waiting_is_enough(
    view: &View,
    request: &Request,
    moment: Moment,
    refused: &Shortlist,
) -> Result<Option<u64>, Obstacle> {
    let mut until_ms = None;
    for weighed in refused.demands.iter().filter(|weighed| !weighed.is_satisfied()) {
        let mut earliest: Option<u64> = None;
        for candidate in &weighed.candidates {
            let only = if let Verdict::NamedTaken { address, .. } = &candidate.verdict {
                Some(bits(*address))
            } else if candidate.verdict == Verdict::Exhausted {
                None
            } else {
                continue;
            };
            let Some(entry) = view.pool(&candidate.pool)? else { continue };
            let ends = ends_of_rest(view, entry, only)?.filter(|end| *end > moment.now_ms).min();
            earliest = earliest.into_iter().chain(ends).min();
        }
        let Some(end) = earliest else { return Ok(None) };
        until_ms = until_ms.max(Some(end));
    }
    let Some(now_ms) = until_ms else { return Ok(None) };
    let then = shortlist(view, request, Moment { now_ms, ..moment })?;
    let met = !then.demands.is_empty() && then.demands.iter().all(Weighed::is_satisfied);
    Ok(met.then_some(now_ms))
}

/// When the addresses of a pool that rest or are in quarantine can be given, or `only` one of them.
fn ends_of_rest<'v>(
    view: &'v View,
    entry: &'v PoolEntry,
    only: Option<u128>,
) -> Result<impl Iterator<Item = u64> + 'v, Need> {
    let cool_down_ms = entry.pool.cool_down_ms();
    let is_meant = move |number: u128| only.is_none_or(|only| only == number);
    let resting = entry.resting.iter().filter(move |(_, number)| is_meant(*number));
    let resting = resting.map(move |(since_ms, _)| since_ms.saturating_add(cool_down_ms));
    let quarantined = view.quarantined(entry)?.into_iter();
    let quarantined = quarantined.filter(move |(number, _)| is_meant(*number));
    Ok(resting.chain(quarantined.map(|(_, quarantine)| quarantine.until_ms)))
}

/// Of the candidates that one edit can help, the one with the cheapest edit.
fn cheapest(
    view: &View,
    request: &Request,
    weighed: &Weighed,
) -> Result<Option<(Pool, Edit)>, Need> {
    let mut best: Option<(u8, Pool, Edit)> = None;
    for candidate in &weighed.candidates {
        let Some(entry) = view.pool(&candidate.pool)? else { continue };
        let Some((cost, pool, what)) = mend(view, request, (entry, candidate))? else {
            continue;
        };
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, pool, Edit { pool: candidate.pool.clone(), what }));
        }
    }
    Ok(best.map(|(_, pool, edit)| (pool, edit)))
}

/// An edit of a candidate that takes away its verdict, with its cost: lower is less intrusive.
fn mend(
    view: &View,
    request: &Request,
    (entry, candidate): (&PoolEntry, &Candidate),
) -> Result<Option<(u8, Pool, String)>, Need> {
    if let Verdict::NotMember { address } = &candidate.verdict {
        return grow(view, entry, Some(bits(*address)));
    }
    if candidate.verdict == Verdict::Exhausted {
        return grow(view, entry, None);
    }
    Ok(loosen(&entry.pool, request, &candidate.verdict))
}

/// The pool without the tie that leaves the request out, or with the request among those it serves.
fn loosen(pool: &Pool, request: &Request, verdict: &Verdict) -> Option<(u8, Pool, String)> {
    let mut pool = pool.clone();
    let node = request.holder.node.to_string();
    let namespace = request.subject.namespace.clone();
    let (cost, what) = match verdict {
        Verdict::Disabled => {
            pool.disabled = false;
            (2, "set `disable: false`".to_owned())
        }
        Verdict::NodeName { .. } => {
            pool.scope.node_names.push(node.clone());
            (3, format!("add `{node}` to `nodeName`"))
        }
        Verdict::NamespaceName { .. } if !namespace.is_empty() => {
            pool.scope.namespace_names.push(namespace.clone());
            (3, format!("add `{namespace}` to `namespaceName`"))
        }
        Verdict::NodeAffinity { .. } => {
            pool.scope.node_names.push(node.clone());
            (4, format!("add `{node}` to `nodeName`, which takes the place of `nodeAffinity`"))
        }
        Verdict::NamespaceAffinity { .. } if !namespace.is_empty() => {
            pool.scope.namespace_names.push(namespace.clone());
            let instead = "which takes the place of `namespaceAffinity`";
            (4, format!("add `{namespace}` to `namespaceName`, {instead}"))
        }
        Verdict::NamespaceName { .. } | Verdict::NamespaceAffinity { .. } => {
            pool.scope.namespace_names.clear();
            pool.scope.namespaces = None;
            (5, "remove `namespaceName` and `namespaceAffinity`".to_owned())
        }
        Verdict::PodAffinity { .. } => {
            pool.scope.pods = None;
            (5, "remove `podAffinity`".to_owned())
        }
        Verdict::Network { network } => {
            pool.scope.networks.push(network.clone());
            (3, format!("add `{network}` to `multusName`"))
        }
        Verdict::NetworkUnknown => {
            pool.scope.networks.clear();
            (5, "remove `multusName`".to_owned())
        }
        Verdict::Taken { .. }
        | Verdict::Kept { .. }
        | Verdict::Spare
        | Verdict::Missing
        | Verdict::NoMatch
        | Verdict::BadPattern
        | Verdict::Deleting
        | Verdict::OtherFamily
        | Verdict::SwitchedOff { .. }
        | Verdict::Master
        | Verdict::Exhausted
        | Verdict::NotMember { .. }
        | Verdict::NamedTaken { .. } => return None,
    };
    Some((cost, pool, what))
}

/// One more address for a pool: one of its prefix that nobody gives out, or failing that one that
/// it excludes itself.
fn grow(
    view: &View,
    entry: &PoolEntry,
    wanted: Option<u128>,
) -> Result<Option<(u8, Pool, String)>, Need> {
    let pool = &entry.pool;
    let family = pool.family();
    let spare = spare(view, pool)?;
    for (cost, room) in
        [(1, spare.difference(&pool.excluded)), (6, spare.intersection(&pool.excluded))]
    {
        let mut at = wanted.or_else(|| room.next_from(0)).filter(|number| room.holds(*number));
        while let Some(number) = at {
            if !is_busy(view, pool, number)? {
                let one = AddressSet::from_ranges(family, Range::from_bits(family, number, number));
                let mut grown = (**pool).clone();
                grown.ranges = grown.ranges.union(&one);
                grown.excluded = grown.excluded.difference(&one);
                let address = family.address(number);
                let what = match cost {
                    1 => format!("add {address} to `ips`"),
                    _ => format!("take {address} off `excludeIPs`"),
                };
                return Ok(Some((cost, grown, what)));
            }
            at = match wanted {
                Some(_) => None,
                None => number.checked_add(1).and_then(|next| room.next_from(next)),
            };
        }
    }
    Ok(None)
}

/// The hosts of a pool's prefix that no pool gives out, no reservation holds back, that are no
/// gateway, and that its subnet has.
fn spare(view: &View, pool: &Pool) -> Result<AddressSet, Need> {
    let family = pool.family();
    let (first, last) = Range::of_prefix(pool.prefix()).ends();
    let hosts = match (family.width() - pool.prefix().prefix_len(), family) {
        (0 | 1, _) => Range::from_bits(family, first, last),
        (_, crate::address::Family::V4) => Range::from_bits(family, first + 1, last - 1),
        // The all-zero host part is the subnet-router anycast address (RFC 4291 section 2.6.1).
        (_, crate::address::Family::V6) => Range::from_bits(family, first + 1, last),
    };
    let mut spare = AddressSet::from_ranges(family, hosts);
    for other in view.pools()?.filter(|other| other.pool.space() == pool.space()) {
        spare = spare.difference(&other.pool.usable());
        let gateway = other.pool.gateway().map(Range::single);
        spare = spare.difference(&AddressSet::from_ranges(family, gateway));
    }
    for reservation in view.reservations().filter(|reservation| reservation.space() == pool.space())
    {
        spare = spare.difference(reservation.addresses());
    }
    let subnet = view.subnets()?.find(|subnet| Some(subnet.name()) == pool.subnet());
    Ok(subnet.map_or_else(|| spare.clone(), |subnet| spare.intersection(&subnet.usable())))
}

fn is_busy(view: &View, pool: &Pool, number: u128) -> Result<bool, Need> {
    let first = view.block_size(pool.space(), pool.family()).align(number);
    let key = BlockKey { space: pool.space().clone(), family: pool.family(), first };
    let block = view.block(&key, None)?;
    Ok(block.is_some_and(|block| {
        block.busy().checked_shr(key.slot(number).into()).unwrap_or(0) & 1 == 1
    }))
}
