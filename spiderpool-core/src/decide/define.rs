//! Definitions against each other, and against what is allocated.

use super::release::standing;
use crate::address::{AddressSet, Range};
use crate::command::{Answer, Decision, Standing};
use crate::definition::{Pool, PoolDraft, Reservation, Subnet};
use crate::event::{Event, ObjectKey, Space, Write};
use crate::name::Name;
use crate::refusal::{DefineRefusal, Obstacle};
use crate::slots::BlockSize;
use crate::view::{Found, Need, PoolEntry, View};
use std::sync::Arc;

pub(super) fn space(view: &View, space: &Space) -> Result<Decision, Obstacle> {
    let object = format!("space {}", space.name);
    match view.space(&space.name) {
        Some(old) if old == space => Ok(unchanged()),
        Some(old) => {
            let (from, to) = match (old.v4_block, space.v4_block) {
                (from, to) if from == to => (old.v6_block, space.v6_block),
                differ => differ,
            };
            Err(fixed(object, "block size", &from.slots(), &to.slots()).into())
        }
        None => Ok(written(vec![write(
            view,
            ObjectKey::Space(space.name.clone()),
            Event::SpaceDefined(space.clone()),
        )])),
    }
}

pub(super) fn pool(view: &View, pool: &Pool) -> Result<Decision, Obstacle> {
    let object = format!("pool {}", pool.name);
    let old = view.pools()?.find(|entry| entry.pool.name == pool.name);
    if let Some(old) = old {
        keep_fixed(&object, (old.pool.space(), old.pool.prefix), (&pool.space, pool.prefix))?;
    }
    let usable = pool.usable();
    // What gives out nothing more makes no overlap; where there is one already, it must be possible
    // to disable, cut back and remove either pool.
    let grows = old.is_none_or(|old| !usable.is_subset(&old.pool.usable()));
    for other in view
        .pools()?
        .filter(|entry| grows && entry.pool.name != pool.name && *entry.pool.space() == pool.space)
    {
        refuse_pool_overlap(&object, pool, &usable, other)?;
    }
    let pool = inherit(view, &object, pool)?;
    if let Some(old) = old {
        let standing = left_out(view, old, &usable)?;
        if !standing.is_empty() {
            return Err(DefineRefusal::InTheWay { object, standing }.into());
        }
        if *old.pool == pool {
            return Ok(unchanged());
        }
    }
    let mut writes = Vec::new();
    if view.space(&pool.space).is_none() {
        let space = Space {
            name: pool.space.clone(),
            v4_block: BlockSize::DEFAULT,
            v6_block: BlockSize::DEFAULT,
        };
        writes.push(write(view, ObjectKey::Space(pool.space.clone()), Event::SpaceDefined(space)));
    }
    let name = pool.name.clone();
    writes.push(write(view, ObjectKey::Pool(name), Event::PoolDefined(Arc::new(pool))));
    Ok(written(writes))
}

fn refuse_pool_overlap(
    object: &str,
    pool: &Pool,
    usable: &AddressSet,
    other: &PoolEntry,
) -> Result<(), DefineRefusal> {
    let (prefix, other_prefix) = (pool.prefix, other.pool.prefix);
    if Range::of_prefix(prefix).overlap(Range::of_prefix(other_prefix)).is_none() {
        return Ok(());
    }
    let (object, other_name) = (object.to_owned(), format!("pool {}", other.pool.name));
    if prefix != other_prefix {
        return Err(DefineRefusal::PrefixOverlap {
            object,
            prefix,
            other: other_name,
            other_prefix,
        });
    }
    let shared = usable.intersection(&other.pool.usable());
    if shared.is_empty() {
        return Ok(());
    }
    Err(DefineRefusal::AddressOverlap { object, other: other_name, shared: shared.to_string() })
}

/// A pool within a subnet's prefix belongs to it, and takes from it what it does not say itself.
fn inherit(view: &View, object: &str, pool: &Pool) -> Result<Pool, Obstacle> {
    let here = |subnet: &&Arc<Subnet>| {
        subnet.space == pool.space
            && Range::of_prefix(subnet.prefix).overlap(Range::of_prefix(pool.prefix)).is_some()
    };
    let Some(subnet) = view.subnets()?.find(here) else {
        return Ok(Pool { subnet: None, ..pool.clone() });
    };
    let subnet_name = format!("subnet {}", subnet.name);
    let object = object.to_owned();
    if subnet.prefix != pool.prefix {
        let (prefix, other_prefix) = (pool.prefix, subnet.prefix);
        return Err(DefineRefusal::PrefixOverlap {
            object,
            prefix,
            other: subnet_name,
            other_prefix,
        }
        .into());
    }
    let outside = pool.usable().difference(&subnet.usable());
    if !outside.is_empty() {
        return Err(DefineRefusal::OutsideSubnet {
            object,
            subnet: subnet_name,
            outside: outside.to_string(),
        }
        .into());
    }
    let draft = PoolDraft::from(Pool {
        subnet: Some(subnet.name.clone()),
        gateway: pool.gateway.or(subnet.gateway),
        routes: pool.routes.clone().or_else(|| subnet.routes.clone()),
        ..pool.clone()
    });
    Ok(Pool::try_from(draft).map_err(|flaws| DefineRefusal::Inherited {
        object,
        subnet: subnet_name,
        flaws,
    })?)
}

/// The allocations of a pool that lie outside of what it would give out.
fn left_out(view: &View, old: &PoolEntry, usable: &AddressSet) -> Result<Vec<Standing>, Need> {
    if old.pool.usable().is_subset(usable) {
        return Ok(Vec::new());
    }
    let of_pool = allocations_of(view, old)?;
    Ok(of_pool.filter(|found| !usable.holds(found.number)).map(|found| standing(&found)).collect())
}

/// What was granted through a pool, or lies within what it gives out and was granted through one
/// that does not exist. What another pool has granted is that one's to look after.
fn allocations_of<'v>(
    view: &'v View,
    entry: &'v PoolEntry,
) -> Result<impl Iterator<Item = Found<'v>>, Need> {
    let pool = &entry.pool;
    let is_orphan =
        |found: &Found<'_>| matches!(view.pool(&found.allocation.placement.pool), Ok(None));
    let within = move |found: &Found<'_>| {
        found.key.space == *pool.space()
            && found.key.family == pool.family()
            && entry.usable.holds(found.number)
            && is_orphan(found)
    };
    let of_it =
        move |found: &Found<'_>| found.allocation.placement.pool == *pool.name() || within(found);
    Ok(view.allocations()?.filter(of_it))
}

pub(super) fn remove_pool(view: &View, name: &Name) -> Result<Decision, Obstacle> {
    let object = format!("pool {name}");
    let Some(entry) = view.pools()?.find(|entry| entry.pool.name == *name) else {
        return Err(DefineRefusal::Missing { object }.into());
    };
    let standing: Vec<_> = allocations_of(view, entry)?.map(|found| standing(&found)).collect();
    if !standing.is_empty() {
        return Err(DefineRefusal::InTheWay { object, standing }.into());
    }
    Ok(written(vec![write(view, ObjectKey::Pool(name.clone()), Event::PoolRemoved)]))
}

pub(super) fn subnet(view: &View, subnet: &Subnet) -> Result<Decision, Obstacle> {
    let object = format!("subnet {}", subnet.name);
    let old = view.subnets()?.find(|old| old.name == subnet.name);
    if let Some(old) = old {
        keep_fixed(&object, (&old.space, old.prefix), (&subnet.space, subnet.prefix))?;
    }
    for other in
        view.subnets()?.filter(|other| other.name != subnet.name && other.space == subnet.space)
    {
        if Range::of_prefix(other.prefix).overlap(Range::of_prefix(subnet.prefix)).is_some() {
            let (other_prefix, other) = (other.prefix, format!("subnet {}", other.name));
            return Err(DefineRefusal::PrefixOverlap {
                object,
                prefix: subnet.prefix,
                other,
                other_prefix,
            }
            .into());
        }
    }
    let mut writes = Vec::new();
    if old.is_none_or(|old| **old != *subnet) {
        let event = Event::SubnetDefined(Arc::new(subnet.clone()));
        writes.push(write(view, ObjectKey::Subnet(subnet.name.clone()), event));
    }
    for entry in view.pools()?.filter(|entry| *entry.pool.space() == subnet.space) {
        writes.extend(adopt(view, &object, subnet, entry)?);
    }
    let changed = !writes.is_empty();
    Ok(Decision { writes, answer: Answer::Defined { changed, standing: Vec::new() } })
}

/// A pool that lies within a new subnet belongs to it from then on; gateway and routes of a pool
/// that has belonged to it are left alone.
fn adopt(
    view: &View,
    object: &str,
    subnet: &Subnet,
    entry: &PoolEntry,
) -> Result<Option<Write>, DefineRefusal> {
    let pool = &entry.pool;
    let (prefix, other_prefix) = (subnet.prefix, pool.prefix);
    if Range::of_prefix(prefix).overlap(Range::of_prefix(other_prefix)).is_none() {
        return Ok(None);
    }
    let (object, other) = (object.to_owned(), format!("pool {}", pool.name));
    if prefix != other_prefix {
        return Err(DefineRefusal::PrefixOverlap { object, prefix, other, other_prefix });
    }
    let outside = pool.usable().difference(&subnet.usable());
    if !outside.is_empty() {
        return Err(DefineRefusal::OutsideSubnet {
            object: other,
            subnet: object,
            outside: outside.to_string(),
        });
    }
    if pool.subnet.as_ref() == Some(&subnet.name) {
        return Ok(None);
    }
    let draft = PoolDraft::from(Pool {
        subnet: Some(subnet.name.clone()),
        gateway: pool.gateway.or(subnet.gateway),
        routes: pool.routes.clone().or_else(|| subnet.routes.clone()),
        ..(**pool).clone()
    });
    let adopted = Pool::try_from(draft).map_err(|flaws| DefineRefusal::Inherited {
        object: other,
        subnet: object,
        flaws,
    })?;
    let key = ObjectKey::Pool(pool.name.clone());
    Ok(Some(write(view, key, Event::PoolDefined(Arc::new(adopted)))))
}

pub(super) fn remove_subnet(view: &View, name: &Name) -> Result<Decision, Obstacle> {
    let object = format!("subnet {name}");
    if !view.subnets()?.any(|subnet| subnet.name == *name) {
        return Err(DefineRefusal::Missing { object }.into());
    }
    let carved = view.pools()?.filter(|entry| entry.pool.subnet.as_ref() == Some(name));
    let by = carved.map(|entry| format!("pool {}", entry.pool.name)).collect::<Vec<_>>().join(", ");
    if !by.is_empty() {
        return Err(DefineRefusal::InUse { object, by }.into());
    }
    Ok(written(vec![write(view, ObjectKey::Subnet(name.clone()), Event::SubnetRemoved)]))
}

/// A reservation does not take addresses from whoever has them; those are told.
pub(super) fn reservation(view: &View, reservation: &Reservation) -> Result<Decision, Obstacle> {
    let object = format!("reservation {}", reservation.name);
    let old = view.reservations().find(|old| old.name == reservation.name);
    let addresses = &reservation.addresses;
    if let Some(old) = old {
        let (was, is) = (old.addresses.family(), addresses.family());
        if was != is {
            return Err(fixed(object, "ipVersion", &was, &is).into());
        }
        if old.space != reservation.space {
            return Err(fixed(object, "space", &old.space, &reservation.space).into());
        }
        if **old == *reservation {
            return Ok(unchanged());
        }
    }
    let under = view.allocations()?.filter(|found| {
        found.key.space == reservation.space && addresses.contains(found.address())
    });
    let standing = under.map(|found| standing(&found)).collect();
    let key = ObjectKey::Reservation(reservation.name.clone());
    let event = Event::ReservationDefined(Arc::new(reservation.clone()));
    let writes = vec![write(view, key, event)];
    Ok(Decision { writes, answer: Answer::Defined { changed: true, standing } })
}

pub(super) fn remove_reservation(view: &View, name: &Name) -> Result<Decision, Obstacle> {
    if !view.reservations().any(|reservation| reservation.name == *name) {
        return Err(DefineRefusal::Missing { object: format!("reservation {name}") }.into());
    }
    let key = ObjectKey::Reservation(name.clone());
    Ok(written(vec![write(view, key, Event::ReservationRemoved)]))
}

fn keep_fixed(
    object: &str,
    (old_space, old_prefix): (&Name, ipnet::IpNet),
    (space, prefix): (&Name, ipnet::IpNet),
) -> Result<(), DefineRefusal> {
    if old_prefix != prefix {
        return Err(fixed(object.to_owned(), "subnet", &old_prefix, &prefix));
    }
    if old_space != space {
        return Err(fixed(object.to_owned(), "space", old_space, space));
    }
    Ok(())
}

fn fixed(
    object: String,
    field: &'static str,
    from: &impl ToString,
    to: &impl ToString,
) -> DefineRefusal {
    DefineRefusal::Fixed { object, field, from: from.to_string(), to: to.to_string() }
}

fn write(view: &View, object: ObjectKey, event: Event) -> Write {
    Write { base: view.revision(&object), object, events: vec![event] }
}

const fn written(writes: Vec<Write>) -> Decision {
    Decision { writes, answer: Answer::Defined { changed: true, standing: Vec::new() } }
}

const fn unchanged() -> Decision {
    let answer = Answer::Defined { changed: false, standing: Vec::new() };
    Decision { writes: Vec::new(), answer }
}
