//! Every address that is not simply free, as one row each, and who may have it.
//!
//! Called by `ip`, `describe`, `reclaim` and `explain`. Rows come in the order of space, family and
//! address (`tests/golden`: `ip`).

use crate::copy::incomplete;
use crate::failure::Failure;
use serde::Serialize;
use spiderpool_core::address::{Family, bits};
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Stage;
use spiderpool_core::slots::{Allocation, BlockKey};
use spiderpool_core::view::{PoolEntry, View};
use std::net::IpAddr;

/// The space that needs no mention.
pub(crate) const DEFAULT_SPACE: &str = "default";

/// What an address is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Held by an owner.
    Allocated,
    /// Released, and resting.
    Cooling,
    /// Seen in use by somebody else.
    Quarantined,
    /// Held back by a reservation.
    Reserved,
    /// In a pool, and free.
    Free,
    /// In no pool.
    Unknown,
}

impl State {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Allocated => "allocated",
            Self::Cooling => "cooling",
            Self::Quarantined => "quarantined",
            Self::Reserved => "reserved",
            Self::Free => "free",
            Self::Unknown => "unknown",
        }
    }
}

/// An address and what is known of it; the names of the fields are a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) address: IpAddr,
    pub(crate) space: Name,
    pub(crate) state: State,
    /// The pool; of a resting address the one that gives it out, if there is one.
    pub(crate) pool: Option<Name>,
    pub(crate) owner: String,
    pub(crate) pod_uid: String,
    pub(crate) container: String,
    pub(crate) attachment: String,
    pub(crate) network: Option<Name>,
    pub(crate) node: String,
    pub(crate) stage: Option<Stage>,
    pub(crate) generation: Option<u64>,
    /// Since when it is in this state, in milliseconds since the Unix epoch.
    pub(crate) since_ms: Option<u64>,
    /// Until when at least it stays in this state, likewise.
    pub(crate) until_ms: Option<u64>,
    /// Who answered for a quarantined address.
    pub(crate) mac: Option<String>,
}

impl Row {
    fn bare(key: &BlockKey, slot: u8, state: State) -> Self {
        Self {
            address: key.address(slot),
            space: key.space.clone(),
            state,
            pool: None,
            owner: String::new(),
            pod_uid: String::new(),
            container: String::new(),
            attachment: String::new(),
            network: None,
            node: String::new(),
            stage: None,
            generation: None,
            since_ms: None,
            until_ms: None,
            mac: None,
        }
    }

    fn allocated(key: &BlockKey, allocation: &Allocation<'_>) -> Self {
        Self {
            pool: Some(allocation.placement.pool.clone()),
            owner: allocation.owner.to_owned(),
            pod_uid: allocation.pod_uid.to_owned(),
            container: allocation.container.to_owned(),
            attachment: allocation.placement.attachment.to_string(),
            network: allocation.placement.network.clone(),
            node: allocation.node.to_owned(),
            stage: Some(allocation.stage),
            generation: Some(allocation.generation),
            since_ms: Some(allocation.since_ms),
            ..Self::bare(key, allocation.slot, State::Allocated)
        }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        Place { space: self.space.clone(), address: self.address }
    }

    /// Whether its owner is a static identity.
    pub(crate) fn is_static(&self) -> bool {
        self.owner.starts_with("identity/")
    }
}

/// Every address of a complete view that is allocated, resting or in quarantine.
pub(crate) fn rows(view: &View) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (key, block) in view.blocks().map_err(|need| incomplete(&need))? {
        let from = rows.len();
        rows.extend(block.allocations().map(|allocation| Row::allocated(&key, &allocation)));
        for resting in block.resting() {
            let row = Row::bare(&key, resting.slot, State::Cooling);
            let pool = pool_over(view, &row.space, row.address);
            let until_ms = pool.map(|p| resting.since_ms.saturating_add(p.pool.cool_down_ms()));
            let pool = pool.map(|entry| entry.pool.name().clone());
            rows.push(Row { since_ms: Some(resting.since_ms), until_ms, pool, ..row });
        }
        for seen in block.quarantined() {
            let row = Row::bare(&key, seen.slot, State::Quarantined);
            let pool = pool_over(view, &row.space, row.address).map(|e| e.pool.name().clone());
            let mac = Some(show_mac(seen.mac));
            let (since_ms, until_ms) = (Some(seen.since_ms), Some(seen.until_ms));
            rows.push(Row { since_ms, until_ms, mac, pool, ..row });
        }
        if let Some(block) = rows.get_mut(from..) {
            block.sort_by_key(|row| bits(row.address));
        }
    }
    Ok(rows)
}

/// What one address is, whatever it is.
pub(crate) fn row_of(view: &View, place: &Place) -> Result<Row, Failure> {
    if let Some(row) = rows(view)?.into_iter().find(|row| row.place() == *place) {
        return Ok(row);
    }
    let size = view.block_size(&place.space, Family::of(place.address));
    let key = BlockKey::of(&place.space, place.address, size);
    let slot = key.slot(bits(place.address));
    let reserved = view.reservations().any(|reservation| {
        *reservation.space() == place.space && reservation.addresses().contains(place.address)
    });
    let pool = pool_over(view, &place.space, place.address);
    let state = match (reserved, pool) {
        (true, _) => State::Reserved,
        (false, Some(_)) => State::Free,
        (false, None) => State::Unknown,
    };
    Ok(Row { pool: pool.map(|entry| entry.pool.name().clone()), ..Row::bare(&key, slot, state) })
}

/// The pool whose definition has an address, if any.
pub(crate) fn pool_over<'v>(
    view: &'v View,
    space: &Name,
    address: IpAddr,
) -> Option<&'v PoolEntry> {
    view.pools().ok()?.find(|entry| {
        entry.pool.space() == space
            && entry.pool.prefix().contains(&address)
            && (entry.usable.contains(address) || entry.pool.usable().contains(address))
    })
}

fn show_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The address and the space that arguments name.
pub(crate) fn parse_place(address: &str, space: &str) -> Result<Place, Failure> {
    let parsed = address.parse().map_err(|_| {
        Failure::bad(format!("`{address}` is not an address"))
            .try_this("write one address, such as 10.1.2.3 or fd00::1")
    })?;
    Ok(Place { space: parse_name("space", space)?, address: parsed })
}

/// A name that an argument gives.
pub(crate) fn parse_name(what: &str, text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|bad| Failure::bad(format!("the {what} cannot be used")).because(&bad))
}
