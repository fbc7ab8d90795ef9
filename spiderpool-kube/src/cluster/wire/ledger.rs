//! The ledger, and the shards of the list of blocks that were ever made.

use super::block::{Incarnation, Start};
use super::error::BadObject;
use super::name::{block_name, hex, parse_block_name, parse_hex};
use super::read::{FORMAT, check_format, entries, part};
use crate::cluster::object::{Index, IndexKey, Ledger, Listing, Recovery};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use spiderpool_core::name::Name;
use spiderpool_core::slots::BlockKey;
use std::collections::{BTreeMap, BTreeSet};

/// What the index says of a block, on the server.
#[derive(Serialize, Deserialize)]
struct Entry {
    incarnation: Incarnation,
    full: bool,
}

/// The beginning of a recovery, on the server.
#[derive(Deserialize)]
struct Beginning {
    since: u64,
    why: String,
}

/// The `spec` of a shard.
pub(super) fn lower_index(key: &IndexKey, index: &Index) -> Value {
    let blocks = index.blocks.iter();
    let blocks: Map<_, _> =
        blocks.map(|(first, listing)| (hex(key.family, *first), lower_listing(listing))).collect();
    json!({
        "format": FORMAT, "space": key.space, "ipVersion": key.family.version(),
        "first": key.family.address(key.first), "blocks": blocks,
    })
}

/// What merges one entry into a shard: the format too, so that a server keeps it out of a shard of
/// a later one.
pub(super) fn lower_entry(key: &IndexKey, first: u128, listing: &Listing) -> Value {
    json!({"format": FORMAT, "blocks": {hex(key.family, first): lower_listing(listing)}})
}

fn lower_listing(listing: &Listing) -> Value {
    json!(Entry { incarnation: Incarnation(listing.incarnation), full: listing.full })
}

/// The shard that an object says.
pub(super) fn lift_index(key: &IndexKey, json: &Value) -> Result<Index, BadObject> {
    check_format(json)?;
    let IndexKey { space, family, first } = key.clone();
    Start::check(json, &BlockKey { space, family, first })?;
    let listed = entries(json, "/spec/blocks")?.map(|(text, value)| {
        let damaged = |why: String| BadObject::damaged(format!("spec.blocks.{text}"), &why);
        let first = parse_hex(key.family, text).filter(|first| holds(key, *first));
        let first = first.ok_or_else(|| damaged("no block of this shard begins there".into()))?;
        let entry = Entry::deserialize(value).map_err(|why| damaged(why.to_string()))?;
        let Entry { incarnation: Incarnation(incarnation), full } = entry;
        Ok((first, Listing { incarnation, full }))
    });
    Ok(Index { blocks: listed.collect::<Result<BTreeMap<_, _>, BadObject>>()? })
}

fn holds(key: &IndexKey, first: u128) -> bool {
    let block = BlockKey { space: key.space.clone(), family: key.family, first };
    IndexKey::of(&block) == *key
}

/// The `spec` of the ledger.
pub(super) fn lower_ledger(ledger: &Ledger) -> Value {
    let mut spec = json!({"format": FORMAT, "epoch": ledger.epoch});
    let recovery = ledger.recovery.as_ref().map(lower_recovery);
    if let (Some(recovery), Some(spec)) = (recovery, spec.as_object_mut()) {
        spec.insert("recovery".to_owned(), recovery);
    }
    spec
}

fn lower_recovery(recovery: &Recovery) -> Value {
    let Recovery { since_ms, why, asserted, lost } = recovery;
    let marks = |names: &mut dyn Iterator<Item = String>| {
        Value::Object(names.map(|name| (name, Value::Bool(true))).collect())
    };
    let asserted = marks(&mut asserted.iter().map(ToString::to_string));
    let lost = marks(&mut lost.iter().map(block_name));
    json!({"since": since_ms, "why": why, "asserted": asserted, "lost": lost})
}

/// The ledger that an object says.
pub(super) fn lift_ledger(json: &Value) -> Result<Ledger, BadObject> {
    check_format(json)?;
    let epoch = part(json, "/spec/epoch")?;
    let recovery = match json.pointer("/spec/recovery") {
        None | Some(Value::Null) => None,
        Some(_) => Some(lift_recovery(json)?),
    };
    Ok(Ledger { epoch, recovery })
}

fn lift_recovery(json: &Value) -> Result<Recovery, BadObject> {
    let Beginning { since, why } = part(json, "/spec/recovery")?;
    let node = |text: &str| Name::new(text).ok();
    let asserted = marked(json, "/spec/recovery/asserted", node)?;
    let lost = marked(json, "/spec/recovery/lost", parse_block_name)?;
    Ok(Recovery { since_ms: since, why, asserted, lost })
}

/// The keys of a mapping whose values are all `true`.
fn marked<T: Ord>(
    json: &Value,
    pointer: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<BTreeSet<T>, BadObject> {
    let field = pointer.trim_start_matches('/').replace('/', ".");
    let marks = entries(json, pointer)?.map(|(text, mark)| {
        let damaged = |why: &str| BadObject::damaged(format!("{field}.{text}"), why);
        if *mark != Value::Bool(true) {
            return Err(damaged("write `true`, or leave the entry out"));
        }
        read(text).ok_or_else(|| damaged("it names nothing that can be here"))
    });
    marks.collect()
}
