//! What is wrong with a cluster beyond the core's own audit: a judgement on plain values.
//!
//! Invariants:
//! 1. The same scene gives the same findings in the same order (`findings_are_sorted`).
//! 2. What nobody can tell is no finding: a pod is only gone when all pods were listed after the blocks
//!    (`Scene::pods`, read last).

use super::pods::identity_of;
use serde::Serialize;
use spiderpool_core::address::Family;
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Held, Sheet, Slot};
use spiderpool_core::view::View;
use spiderpool_kube::cluster::object::{EndpointKey, IndexKey, Listing, Pointer, Recovery};
use spiderpool_kube::cluster::wire::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use thiserror::Error;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// Good to know.
    Note,
    /// An address that nobody can use although nobody has it.
    Leak,
    /// Uniqueness or an answer is at stake.
    Broken,
}

/// One finding; the names of the fields are a promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Finding {
    /// The store is being recovered.
    #[error("a recovery is under way ({why}): no address is given out; {} of {ready} ready nodes have written back what they hold{}", .asserted, lost_blocks(.lost))]
    Recovering { why: String, asserted: usize, ready: usize, lost: Vec<String> },
    /// An object cannot be read.
    #[error("{object} cannot be read: {why}")]
    Unreadable { object: String, why: String },
    /// A block that the index lists is not there.
    #[error(
        "block {block} is listed and gone; its addresses are not given out until it is rebuilt"
    )]
    BlockGone { block: String },
    /// A block is another one than the index lists.
    #[error(
        "block {block} has incarnation {got:016x}, and {listed:016x} is listed: it was deleted and made again by hand"
    )]
    OtherBlock { block: String, got: u64, listed: u64 },
    /// A block that says that it is listed is not.
    #[error(
        "block {block} is not in the index, though it says so: were it deleted, nobody would notice"
    )]
    Unlisted { block: String },
    /// A block was made and never came into use.
    #[error("block {block} is not in the index yet; nobody was told an address of it")]
    NotYetListed { block: String },
    /// The hint of the index is wrong.
    #[error("the index says that block {block} is {}, and {free} of its addresses are not held", if *.full { "full" } else { "not full" })]
    WrongHint { block: String, full: bool, free: u32 },
    /// The pod of a slot does not exist.
    #[error("{} is held by {owner} on node {node}, and there is no such pod", .place.address)]
    PodGone { place: Place, owner: String, node: String },
    /// The pod of a slot has ended.
    #[error("{} is held by pod {pod}, which has finished", .place.address)]
    PodFinished { place: Place, pod: String },
    /// A slot of a static identity is not the one that its endpoint names.
    #[error("{} is held by {owner}, and no endpoint names it", .place.address)]
    Orphan { place: Place, owner: String },
    /// An endpoint of a static identity names an address that nobody holds.
    #[error("endpoint {endpoint} names {} of {interface}, which nobody holds", .place.address)]
    NamesFree { endpoint: String, interface: Name, place: Place },
    /// An endpoint of a static identity names an address that somebody else holds.
    #[error("endpoint {endpoint} names {} of {interface}, which {owner} holds", .place.address)]
    NamesOthers { endpoint: String, interface: Name, place: Place, owner: String },
    /// An endpoint tells a living pod's address that the pod does not hold.
    #[error("endpoint {endpoint} tells {address} of {interface} for a pod that lives, and {} holds it", holder(.owner.as_deref()))]
    TellsOthers { endpoint: String, interface: String, address: IpAddr, owner: Option<String> },
    /// An allocation lies outside of the pool that it was granted through.
    #[error("{} is held by {owner} through pool {pool}, which does not have it any more", .place.address)]
    Outside { place: Place, owner: String, pool: Name },
    /// An allocation lies under a reservation.
    #[error("{} is held by {owner}, and reservation {reservation} keeps it back", .place.address)]
    Reserved { place: Place, owner: String, reservation: Name },
    /// An allocation through a pool that the reference's engine gives out from.
    #[error("{} is held by {owner} through pool {pool}, which belongs to {engine}: both could give it out", .place.address)]
    TwoEngines { place: Place, owner: String, pool: Name, engine: String },
    /// A pool belongs to another engine.
    #[error("pool {pool} belongs to {engine}; nothing is given out of it here")]
    OtherEngine { pool: Name, engine: String },
    /// A pool is on its way out.
    #[error("pool {pool} is being deleted and waits for {held} of its addresses")]
    Terminating { pool: Name, held: u64 },
}

fn lost_blocks(lost: &[String]) -> String {
    if lost.is_empty() { String::new() } else { format!("; lost blocks: {}", lost.join(", ")) }
}

fn holder(owner: Option<&str>) -> &str {
    owner.unwrap_or("nobody")
}

impl Finding {
    /// How bad it is.
    pub(crate) const fn weight(&self) -> Weight {
        match self {
            Self::OtherEngine { .. }
            | Self::Terminating { .. }
            | Self::NotYetListed { .. }
            | Self::WrongHint { full: false, .. } => Weight::Note,
            Self::WrongHint { full: true, .. }
            | Self::PodGone { .. }
            | Self::PodFinished { .. }
            | Self::Orphan { .. }
            | Self::NamesFree { .. }
            | Self::Outside { .. }
            | Self::Reserved { .. } => Weight::Leak,
            Self::Recovering { .. }
            | Self::Unreadable { .. }
            | Self::BlockGone { .. }
            | Self::OtherBlock { .. }
            | Self::Unlisted { .. }
            | Self::NamesOthers { .. }
            | Self::TellsOthers { .. }
            | Self::TwoEngines { .. } => Weight::Broken,
        }
    }
}

/// A pod, as far as an audit is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodSeen {
    pub(super) key: EndpointKey,
    /// Whether it may have addresses.
    pub(super) alive: bool,
}

/// An endpoint, likewise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EndpointSeen {
    pub(super) pod_uid: String,
    pub(super) slots: Vec<Pointer>,
    pub(super) ips: Vec<(String, IpAddr)>,
}

/// All that is judged.
#[derive(Clone, Debug)]
pub(super) struct Scene<'a> {
    /// The definitions.
    pub(super) view: &'a View,
    /// Each block, and whether it says that it is listed.
    pub(super) blocks: BTreeMap<&'a BlockKey, (&'a Sheet, bool)>,
    /// Every entry of every shard of the index.
    pub(super) listed: BTreeMap<BlockKey, Listing>,
    /// The engine of each pool, and whether it is being deleted.
    pub(super) pools: BTreeMap<&'a Name, (&'a Engine, bool)>,
    pub(super) endpoints: BTreeMap<EndpointKey, EndpointSeen>,
    /// Every pod by the UID that its node knows it by; read after the blocks.
    pub(super) pods: BTreeMap<Name, PodSeen>,
    pub(super) recovery: Option<&'a Recovery>,
    /// The nodes that are ready.
    pub(super) ready: BTreeSet<Name>,
    pub(super) unreadable: &'a BTreeMap<String, String>,
}

/// The entries of a shard of the index by the blocks that they list.
pub(super) fn listed_in<'a>(
    index: &'a IndexKey,
    blocks: &'a BTreeMap<u128, Listing>,
) -> impl Iterator<Item = (BlockKey, Listing)> + 'a {
    blocks.iter().map(|(first, listing)| {
        let IndexKey { space, family, .. } = index.clone();
        (BlockKey { space, family, first: *first }, *listing)
    })
}

/// Everything that is wrong.
pub(super) fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    found.extend(recovery(scene));
    found.extend(
        scene
            .unreadable
            .iter()
            .map(|(object, why)| Finding::Unreadable { object: object.clone(), why: why.clone() }),
    );
    lists(scene, &mut found);
    for (key, (sheet, _)) in &scene.blocks {
        for (slot, held) in held(sheet) {
            let place = Place { space: key.space.clone(), address: key.address(slot) };
            owner(scene, &place, held, &mut found);
            ground(scene, &place, held, &mut found);
        }
    }
    endpoints(scene, &mut found);
    pools(scene, &mut found);
    found.sort_by(|one, other| other.weight().cmp(&one.weight()).then_with(|| one.cmp(other)));
    found.dedup();
    found
}

fn held(sheet: &Sheet) -> impl Iterator<Item = (u8, &Held)> {
    sheet.slots.iter().filter_map(|(number, slot)| match slot {
        Slot::Allocated(held) => Some((*number, &**held)),
        Slot::Resting { .. } | Slot::Quarantined { .. } => None,
    })
}

fn recovery(scene: &Scene<'_>) -> Option<Finding> {
    let recovery = scene.recovery?;
    Some(Finding::Recovering {
        why: recovery.why.clone(),
        asserted: recovery.asserted.intersection(&scene.ready).count(),
        ready: scene.ready.len(),
        lost: recovery.lost.iter().map(ToString::to_string).collect(),
    })
}

/// Blocks against the index.
fn lists(scene: &Scene<'_>, found: &mut Vec<Finding>) {
    for (key, (sheet, says_listed)) in &scene.blocks {
        let block = key.to_string();
        match scene.listed.get(key) {
            Some(listing) if listing.incarnation != sheet.incarnation => {
                let (got, listed) = (sheet.incarnation, listing.incarnation);
                found.push(Finding::OtherBlock { block, got, listed });
            }
            Some(listing) => {
                let size = u32::from(sheet.size.slots());
                let free = size.saturating_sub(u32::try_from(held(sheet).count()).unwrap_or(size));
                if listing.full != (free == 0) {
                    found.push(Finding::WrongHint { block, full: listing.full, free });
                }
            }
            None if *says_listed => found.push(Finding::Unlisted { block }),
            None => found.push(Finding::NotYetListed { block }),
        }
    }
    for key in scene.listed.keys().filter(|key| !scene.blocks.contains_key(key)) {
        // One that cannot be read is there, and told as such.
        let name = spiderpool_kube::cluster::wire::block_name(key);
        if !scene.unreadable.contains_key(&format!("SpiderBlock {name}")) {
            found.push(Finding::BlockGone { block: key.to_string() });
        }
    }
}

/// A slot against whose it is.
fn owner(scene: &Scene<'_>, place: &Place, held: &Held, found: &mut Vec<Finding>) {
    let owner = held.holder.owner.to_string();
    if let Some(identity) = identity_of(&owner) {
        let endpoint = scene.endpoints.get(&identity);
        let named = endpoint.into_iter().flat_map(|endpoint| &endpoint.slots);
        let is_named = named
            .into_iter()
            .any(|slot| slot.place == *place && slot.attachment == held.placement.attachment);
        if !is_named {
            found.push(Finding::Orphan { place: place.clone(), owner });
        }
        return;
    }
    let Some(uid) = &held.holder.pod_uid else { return };
    match scene.pods.get(uid) {
        None => {
            let node = held.holder.node.to_string();
            found.push(Finding::PodGone { place: place.clone(), owner, node });
        }
        Some(pod) if !pod.alive => {
            let pod = pod.key.to_string();
            found.push(Finding::PodFinished { place: place.clone(), pod });
        }
        Some(_) => {}
    }
}

/// A slot against pools and reservations.
fn ground(scene: &Scene<'_>, place: &Place, held: &Held, found: &mut Vec<Finding>) {
    let (pool, owner) = (held.placement.pool.clone(), held.holder.owner.to_string());
    let entry = scene.view.pool(&pool).ok().flatten();
    if let Some((engine, _)) =
        scene.pools.get(&pool).filter(|(engine, _)| **engine != Engine::Blocks)
    {
        let (place, owner, pool) = (place.clone(), owner.clone(), pool.clone());
        found.push(Finding::TwoEngines { place, owner, pool, engine: called(engine) });
    }
    let reservation = scene.view.reservations().find(|reservation| {
        *reservation.space() == place.space && reservation.addresses().contains(place.address)
    });
    if let Some(reservation) = reservation {
        let reservation = reservation.name().clone();
        found.push(Finding::Reserved { place: place.clone(), owner, reservation });
    } else if let Some(entry) = entry
        && !(*entry.pool.space() == place.space && entry.usable.contains(place.address))
    {
        found.push(Finding::Outside { place: place.clone(), owner, pool });
    }
}

/// Endpoints against slots.
fn endpoints(scene: &Scene<'_>, found: &mut Vec<Finding>) {
    let mut holders: BTreeMap<Place, &Held> = BTreeMap::new();
    let mut addresses: BTreeMap<IpAddr, Vec<&Held>> = BTreeMap::new();
    for (key, (sheet, _)) in &scene.blocks {
        for (slot, held) in held(sheet) {
            let place = Place { space: key.space.clone(), address: key.address(slot) };
            addresses.entry(place.address).or_default().push(held);
            holders.insert(place, held);
        }
    }
    for (key, endpoint) in &scene.endpoints {
        let name = key.to_string();
        for Pointer { attachment, place } in &endpoint.slots {
            let owner = holders.get(place).map(|held| held.holder.owner.to_string());
            let (endpoint, interface, place) = (name.clone(), attachment.clone(), place.clone());
            match owner {
                None => found.push(Finding::NamesFree { endpoint, interface, place }),
                Some(owner) if identity_of(&owner).as_ref() != Some(key) => {
                    found.push(Finding::NamesOthers { endpoint, interface, place, owner });
                }
                Some(_) => {}
            }
        }
        let lives = Name::new(&endpoint.pod_uid).ok().and_then(|uid| scene.pods.get(&uid));
        if !endpoint.slots.is_empty() || !lives.is_some_and(|pod| pod.alive) {
            continue;
        }
        for (interface, address) in
            endpoint.ips.iter().filter(|(_, address)| is_ours(scene, *address))
        {
            let held = addresses.get(address).map(Vec::as_slice).unwrap_or_default();
            let is_its_own =
                held.iter().any(|held| held.holder.pod_uid.as_deref() == Some(&*endpoint.pod_uid));
            if !is_its_own {
                let owner = held.first().map(|held| held.holder.owner.to_string());
                let (endpoint, interface) = (name.clone(), interface.clone());
                found.push(Finding::TellsOthers { endpoint, interface, address: *address, owner });
            }
        }
    }
}

/// Whether a pool of this engine has an address; those of another engine are its own business.
fn is_ours(scene: &Scene<'_>, address: IpAddr) -> bool {
    let pools = scene.view.pools().into_iter().flatten();
    let mut ours = pools.filter(|entry| {
        let facts = scene.pools.get(entry.pool.name());
        facts.is_some_and(|(engine, _)| **engine == Engine::Blocks)
    });
    ours.any(|entry| entry.pool.family() == Family::of(address) && entry.usable.contains(address))
}

fn pools(scene: &Scene<'_>, found: &mut Vec<Finding>) {
    let mut held_of: BTreeMap<&Name, u64> = BTreeMap::new();
    for (sheet, _) in scene.blocks.values() {
        held(sheet).for_each(|(_, held)| *held_of.entry(&held.placement.pool).or_default() += 1);
    }
    for (name, (engine, deleting)) in &scene.pools {
        let pool = (*name).clone();
        if **engine != Engine::Blocks {
            found.push(Finding::OtherEngine { pool: pool.clone(), engine: called(engine) });
        }
        if *deleting {
            let held = held_of.get(name).copied().unwrap_or_default();
            found.push(Finding::Terminating { pool, held });
        }
    }
}

fn called(engine: &Engine) -> String {
    match engine {
        Engine::Blocks => "this engine".to_owned(),
        Engine::Status => "the reference's engine".to_owned(),
        Engine::Other(other) => format!("an engine called `{other}`"),
    }
}

#[cfg(test)]
mod tests;
