//! Which addresses a request comes to: one want for each attachment and family.

use super::seat::{Seats, entry_of, is_own, seats};
use crate::address::Family;
use crate::name::Name;
use crate::owner::Stage;
use crate::refusal::{AllocateRefusal, Obstacle, Source};
use crate::request::{Demand, NicPools, PoolNames, Request};
use crate::view::{Found, View};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One address that is wanted, and where it may come from.
#[derive(Debug)]
pub(super) struct Want<'a> {
    pub(super) demand: Demand,
    /// Under which attachment name the owner may hold it already.
    pub(super) held_as: Name,
    pub(super) names: Names<'a>,
    /// The address that it must be.
    pub(super) named: Option<IpAddr>,
    pub(super) clean_gateway: bool,
    /// Whether this is the interface whose ADD it is.
    pub(super) current: bool,
}

/// Where candidates are named.
#[derive(Clone, Debug)]
pub(super) enum Names<'a> {
    /// Names and patterns, as written.
    Listed(&'a [String]),
    /// The pools marked as default.
    Defaults,
    /// The pool that an allocation was granted through.
    Held(Name),
}

/// All wants of a request, in the order in which they are decided.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) source: Source,
    pub(super) wants: Vec<Want<'a>>,
}

/// The wants of a request.
///
/// # Errors
/// A need for pools, or a refusal when the request contradicts itself.
pub(super) fn plan<'a>(
    view: &View,
    request: &'a Request,
    held: &[Found<'_>],
) -> Result<Plan<'a>, Obstacle> {
    let off = |address: &&IpAddr| !request.allows(Family::of(**address));
    if let Some(address) = request.named.iter().find(off) {
        return Err(AllocateRefusal::NamedOff { address: *address }.into());
    }
    let mut plan = sought(view, request, held)?;
    require_named(request, &plan.wants)?;
    let is_served = |want: &Want<'_>| want.current && request.allows(want.demand.family);
    // With nothing left, the shortlist shows what is named in vain.
    let in_vain = !plan.wants.iter().any(is_served);
    plan.wants.retain(|want| request.allows(want.demand.family) || (in_vain && want.current));
    Ok(plan)
}

/// The wants of a request, those of a family that is switched off among them.
fn sought<'a>(view: &View, request: &'a Request, held: &[Found<'_>]) -> Result<Plan<'a>, Obstacle> {
    let sources = &request.sources;
    let given = |names: &'a Option<PoolNames>| names.as_ref().filter(|names| !names.is_empty());
    let (source, names) = if let Some(nics) = &sources.per_nic {
        let wants = per_nic(request, nics, held)?;
        return Ok(Plan { source: Source::PerNic, wants });
    } else if let Some(names) = &sources.pod {
        (Source::Pod, Some(names))
    } else if let Some(names) = given(&sources.namespace) {
        (Source::Namespace, Some(names))
    } else if let Some(names) = given(&sources.configured) {
        (Source::Configured, Some(names))
    } else {
        (Source::Defaults, None)
    };
    let mut wants = Vec::with_capacity(2);
    for family in Family::BOTH {
        let names = match names {
            Some(names) if names.of(family).is_empty() => continue,
            Some(names) => Names::Listed(names.of(family)),
            None if !has_default(view, family)? => continue,
            None => Names::Defaults,
        };
        wants.push(current(request, family, names, request.clean_gateway));
    }
    Ok(Plan { source, wants })
}

fn has_default(view: &View, family: Family) -> Result<bool, Obstacle> {
    Ok(view.pools()?.any(|entry| entry.pool.is_default() && entry.pool.family() == family))
}

fn current<'a>(
    request: &Request,
    family: Family,
    names: Names<'a>,
    clean_gateway: bool,
) -> Want<'a> {
    Want {
        demand: Demand { attachment: request.attachment.clone(), family },
        held_as: request.attachment.clone(),
        names,
        named: request.named.iter().copied().find(|address| Family::of(*address) == family),
        clean_gateway,
        current: true,
    }
}

/// Addresses that are asked for by name must be wanted, and be one of each family at most.
fn require_named(request: &Request, wants: &[Want<'_>]) -> Result<(), AllocateRefusal> {
    for (at, address) in request.named.iter().enumerate() {
        let family = Family::of(*address);
        let earlier = request.named.iter().take(at).find(|other| Family::of(**other) == family);
        if let Some(first) = earlier.filter(|first| *first != address) {
            return Err(AllocateRefusal::NamedTwice { first: *first, second: *address });
        }
        let wanted = wants.iter().any(|want| want.current && want.demand.family == family);
        if !wanted {
            return Err(AllocateRefusal::NamedUnwanted { address: *address });
        }
    }
    Ok(())
}

fn per_nic<'a>(
    request: &'a Request,
    nics: &'a [NicPools],
    held: &[Found<'_>],
) -> Result<Vec<Want<'a>>, AllocateRefusal> {
    let named = nics.iter().filter(|nic| nic.attachment.is_some()).count();
    if nics.is_empty() {
        return Err(AllocateRefusal::BadList { why: "is empty; list at least one" });
    }
    if named != 0 && named != nics.len() {
        return Err(AllocateRefusal::BadList {
            why: "names some of them but not all; name all or none",
        });
    }
    if named == 0 { unnamed(request, nics, held) } else { listed(request, nics) }
}

/// Interfaces with names: all of them are wanted at once.
fn listed<'a>(
    request: &'a Request,
    nics: &'a [NicPools],
) -> Result<Vec<Want<'a>>, AllocateRefusal> {
    let names: Vec<_> = nics.iter().filter_map(|nic| nic.attachment.as_ref()).collect();
    if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        return Err(AllocateRefusal::BadList { why: "names one of them twice" });
    }
    if !names.contains(&&request.attachment) {
        let listed = names.iter().map(ToString::to_string).collect();
        return Err(AllocateRefusal::NotListed { attachment: request.attachment.clone(), listed });
    }
    let wants = nics.iter().zip(names).flat_map(|(nic, name)| wants_of(request, nic, name));
    Ok(wants.collect())
}

fn wants_of<'a>(
    request: &'a Request,
    nic: &'a NicPools,
    name: &Name,
) -> impl Iterator<Item = Want<'a>> {
    let listed = Family::BOTH.into_iter().filter_map(|family| Some((family, list(nic, family)?)));
    listed.map(move |(family, names)| of_nic(request, (nic, name), family, names))
}

/// The pools of an interface for a family, if there are any.
fn list(nic: &NicPools, family: Family) -> Option<Names<'_>> {
    Some(nic.pools.of(family)).filter(|names| !names.is_empty()).map(Names::Listed)
}

fn of_nic<'a>(
    request: &Request,
    (nic, name): (&NicPools, &Name),
    family: Family,
    names: Names<'a>,
) -> Want<'a> {
    let clean_gateway = nic.clean_gateway.unwrap_or(request.clean_gateway);
    let mut want = current(request, family, names, clean_gateway);
    if *name != request.attachment {
        want.demand.attachment = name.clone();
        want.held_as = name.clone();
        want.named = None;
        want.current = false;
    }
    want
}

/// Interfaces without names: the first ADD takes all addresses, and each later ADD claims the
/// lowest entry that is left. What this container was told or can claim stays as it is, whatever is
/// listed by then; what an earlier one left is kept or moves as with names.
fn unnamed<'a>(
    request: &'a Request,
    nics: &'a [NicPools],
    held: &[Found<'_>],
) -> Result<Vec<Want<'a>>, AllocateRefusal> {
    let Seats { held_as, current } = seats(request, nics, held)?;
    let mut wants = Vec::new();
    for ((at, nic), held_as) in nics.iter().enumerate().zip(held_as) {
        let name = if at == current { &request.attachment } else { &held_as };
        for family in Family::BOTH {
            let listed = list(nic, family);
            let can_claim = listed.is_some() && entry_of(&held_as).is_some();
            let own = own(request, held, (&held_as, family));
            let own = own.filter(|own| can_claim || own.allocation.stage == Stage::Attached);
            let names =
                own.map(|own| Names::Held(own.allocation.placement.pool.clone())).or(listed);
            let want = names.map(|names| of_nic(request, (nic, name), family, names));
            wants.extend(want.map(|want| Want { held_as: held_as.clone(), ..want }));
        }
    }
    Ok(wants)
}

/// What this container itself has of a family under an attachment name.
fn own<'h, 'v>(
    request: &Request,
    held: &'h [Found<'v>],
    (held_as, family): (&Name, Family),
) -> Option<&'h Found<'v>> {
    let is_meant = |found: &&Found<'_>| {
        found.allocation.placement.attachment == *held_as && found.key.family == family
    };
    held.iter().filter(is_meant).find(|found| is_own(request, found))
}
