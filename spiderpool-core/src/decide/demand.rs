//! Which addresses a request comes to: one want for each attachment and family.

use super::glob::{glob_matches, is_pattern};
use crate::address::Family;
use crate::name::Name;
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
    let families = Family::BOTH.into_iter().filter(|family| !nic.pools.of(*family).is_empty());
    families.map(move |family| {
        let clean_gateway = nic.clean_gateway.unwrap_or(request.clean_gateway);
        let mut want = current(request, family, Names::Listed(nic.pools.of(family)), clean_gateway);
        if *name != request.attachment {
            want.demand.attachment = name.clone();
            want.held_as = name.clone();
            want.named = None;
            want.current = false;
        }
        want
    })
}

/// The name under which entry `at` of a list without names is held until its ADD comes.
fn placeholder(at: usize) -> String {
    format!("#{at}")
}

/// Interfaces without names: the first ADD takes all addresses, and each later ADD claims the
/// lowest entry that is left.
fn unnamed<'a>(
    request: &'a Request,
    nics: &'a [NicPools],
    held: &[Found<'_>],
) -> Result<Vec<Want<'a>>, AllocateRefusal> {
    if held.is_empty() {
        let mut wants = Vec::new();
        for (at, nic) in nics.iter().enumerate() {
            let name =
                if at == 0 { Ok(request.attachment.clone()) } else { Name::new(&placeholder(at)) };
            let name = name.map_err(|_| AllocateRefusal::BadList { why: "is too long" })?;
            wants.extend(wants_of(request, nic, &name));
        }
        return Ok(wants);
    }
    let attachment = |found: &Found<'_>| found.allocation.placement.attachment.clone();
    let bound = held.iter().any(|found| attachment(found) == request.attachment);
    let claimed = match bound {
        true => request.attachment.clone(),
        false => {
            let left = (1..nics.len()).map(placeholder);
            let lowest = left
                .filter_map(|name| held.iter().map(attachment).find(|held| **held == *name))
                .next();
            let attachment = request.attachment.clone();
            lowest.ok_or(AllocateRefusal::TooManyInterfaces { attachment, entries: nics.len() })?
        }
    };
    Ok(held.iter().map(|found| claim(request, nics, found, &claimed)).collect())
}

fn claim<'a>(
    request: &'a Request,
    nics: &'a [NicPools],
    found: &Found<'_>,
    claimed: &Name,
) -> Want<'a> {
    let placement = found.allocation.placement;
    let family = found.key.family;
    let lists = |nic: &&NicPools| {
        let mut names = nic.pools.of(family).iter();
        names.any(|name| {
            **name == *placement.pool
                || (is_pattern(name) && glob_matches(name, &placement.pool) == Ok(true))
        })
    };
    let clean_gateway = nics.iter().find(lists).and_then(|nic| nic.clean_gateway);
    let mut want = current(
        request,
        family,
        Names::Held(placement.pool.clone()),
        clean_gateway.unwrap_or(request.clean_gateway),
    );
    want.held_as = placement.attachment.clone();
    if placement.attachment != *claimed {
        want.demand.attachment = placement.attachment.clone();
        want.named = None;
        want.current = false;
    }
    want
}
