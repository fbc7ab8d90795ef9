//! Objects of the ledger as bytes: definitions as JSON, which people can read, blocks as postcard,
//! which is small.
//!
//! Called by `load`, `write`, `journal` and `replay`. Invariant: an object that is encoded and
//! loaded again is the same (`tests/conformance.rs` compares the whole state).

use crate::error::{Site, StoreError, violation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spiderpool_core::definition::{Pool, Reservation, Subnet};
use spiderpool_core::event::{ObjectKey, Revision, Space, Tombstone};
use spiderpool_core::slots::Block;
use spiderpool_core::view::View;
use std::sync::Arc;

/// The bytes of an object, or `None` when the view says that it does not exist.
///
/// # Errors
/// [`StoreError::Violation`] when a partial view does not know.
pub(crate) fn encode(view: &View, object: &ObjectKey) -> Result<Option<Vec<u8>>, StoreError> {
    let unknown = |need| violation(format!("a written object was not loaded: {need}"));
    match object {
        ObjectKey::Space(name) => view.space(name).map(json).transpose(),
        ObjectKey::Subnet(name) => {
            let mut subnets = view.subnets().map_err(unknown)?;
            subnets.find(|subnet| subnet.name() == name).map(json).transpose()
        }
        ObjectKey::Reservation(name) => {
            view.reservations().find(|entry| entry.name() == name).map(json).transpose()
        }
        ObjectKey::Pool(name) => {
            view.pool(name).map_err(unknown)?.map(|entry| json(&entry.pool)).transpose()
        }
        ObjectKey::Block(key) => {
            view.block(key, None).map_err(unknown)?.map(encode_block).transpose()
        }
        ObjectKey::Container(name) => {
            view.tombstone(name).map_err(unknown)?.as_ref().map(json).transpose()
        }
    }
}

pub(crate) fn encode_block(block: &Block) -> Result<Vec<u8>, StoreError> {
    postcard::to_allocvec(block).map_err(|error| violation(format!("a block has no form: {error}")))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| violation(format!("an object has no form: {error}")))
}

/// A block from its bytes, all of them.
pub(crate) fn decode_block(site: &Site, name: &str, body: &[u8]) -> Result<Block, StoreError> {
    match postcard::take_from_bytes::<Block>(body) {
        Ok((block, [])) => Ok(block),
        Ok(_) => Err(site.damaged(format!("block {name} has bytes behind its end"))),
        Err(error) => Err(site.damaged(format!("block {name} cannot be read: {error}"))),
    }
}

/// Any other object from its bytes.
pub(crate) fn decode<T: DeserializeOwned>(
    site: &Site,
    name: &str,
    body: &[u8],
) -> Result<T, StoreError> {
    serde_json::from_slice(body)
        .map_err(|error| site.damaged(format!("{name} cannot be read: {error}")))
}

/// Puts an object into a view.
pub(crate) fn load(
    site: &Site,
    view: &mut View,
    object: &ObjectKey,
    (body, revision): (&[u8], Revision),
) -> Result<(), StoreError> {
    let named = object.to_string();
    let fits = match object {
        ObjectKey::Space(name) => {
            let space: Space = decode(site, &named, body)?;
            view.load_space(&space, revision);
            space.name == *name
        }
        ObjectKey::Subnet(name) => {
            let subnet: Arc<Subnet> = decode(site, &named, body)?;
            view.load_subnet(&subnet, revision);
            subnet.name() == name
        }
        ObjectKey::Reservation(name) => {
            let reservation: Arc<Reservation> = decode(site, &named, body)?;
            view.load_reservation(&reservation, revision);
            reservation.name() == name
        }
        ObjectKey::Pool(name) => {
            let pool: Arc<Pool> = decode(site, &named, body)?;
            view.load_pool(&pool, revision);
            pool.name() == name
        }
        ObjectKey::Block(key) => {
            let block = decode_block(site, &named, body)?;
            let aligned = block.size().align(key.first) == key.first;
            view.load_block(key, block, revision);
            aligned
        }
        ObjectKey::Container(name) => {
            let tombstone: Tombstone = decode(site, &named, body)?;
            view.load_tombstone(name, tombstone, revision);
            true
        }
    };
    if fits { Ok(()) } else { Err(site.damaged(format!("{named} is stored under a wrong name"))) }
}
