//! The status of a `SpiderIPPool`.

use super::patch::{Projection, STATUS_FIELD, replace};
use crate::cluster::object::EndpointKey;
use crate::cluster::stamp;
use serde_json::{Map, Value, json};
use spiderpool_core::definition::Pool;
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Held, Sheet, Slot};
use std::collections::BTreeMap;

/// How many allocations `allocatedIPs` lists; a pool with more lists none.
pub const ENTRIES_MAX: usize = 1_000;

/// The condition that says whether `allocatedIPs` was left out for its length.
pub const ALLOCATIONS_TRUNCATED: &str = "AllocationsTruncated";

/// What a pool's status is made from.
#[derive(Clone, Copy, Debug)]
pub struct PoolSource<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The generation of the pool's object that was read before the blocks were.
    pub generation: u64,
    /// All blocks that the pool's addresses, or allocations granted through it, are in.
    pub blocks: &'a [(BlockKey, Sheet)],
    /// The pods by the UIDs that slots record; one that is not known is listed without its name.
    pub pods: &'a BTreeMap<Name, EndpointKey>,
    /// Conditions that somebody else has found.
    pub conditions: &'a [Condition],
    /// The highest revision of the blocks.
    pub revision: Revision,
}

/// Something that holds of an object or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// Whether it holds.
    pub holds: bool,
    /// Why, as one word in `CamelCase`.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// How a pool's status is brought up to date: a patch of its `status` subresource.
#[must_use]
pub fn pool_status(source: &PoolSource<'_>, present: &Value, now_ms: u64) -> Projection {
    let held = allocations(source);
    let listed = held.len() <= ENTRIES_MAX;
    let allocated = match listed && !held.is_empty() {
        true => Value::String(entries(&held, source.pods).to_string()),
        false => Value::Null,
    };
    let truncated = Condition {
        kind: ALLOCATIONS_TRUNCATED.to_owned(),
        holds: !listed,
        reason: if listed { "Listed" } else { "TooMany" }.to_owned(),
        message: match listed {
            true => "allocatedIPs lists every allocation".to_owned(),
            false => format!(
                "{} allocations are more than {ENTRIES_MAX}; see `spiderpoolctl pools` or the SpiderBlocks",
                held.len()
            ),
        },
    };
    let conditions = std::iter::once(&truncated).chain(source.conditions);
    let wanted = json!({"status": {
        "totalIPCount": saturate(source.pool.usable().count()),
        "allocatedIPCount": saturate(held.len()),
        "allocatedIPs": allocated,
        "observedGeneration": saturate(source.generation),
        "conditions": merged(conditions, present, (source.generation, now_ms)),
        STATUS_FIELD: source.revision.to_string(),
    }});
    replace(Some(present), wanted, source.revision)
}

fn saturate(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn allocations<'a>(source: &PoolSource<'a>) -> Vec<(&'a BlockKey, u8, &'a Held)> {
    let slots = source.blocks.iter().flat_map(|(key, sheet)| {
        sheet.slots.iter().filter_map(move |(slot, state)| match state {
            Slot::Allocated(held) => Some((key, *slot, &**held)),
            Slot::Resting { .. } | Slot::Quarantined { .. } => None,
        })
    });
    slots.filter(|(_, _, held)| held.placement.pool == *source.pool.name()).collect()
}

/// The reference's map from address to pod.
fn entries(held: &[(&BlockKey, u8, &Held)], pods: &BTreeMap<Name, EndpointKey>) -> Value {
    let entry = |(key, slot, held): &(&BlockKey, u8, &Held)| {
        let uid = held.holder.pod_uid.as_ref();
        let identity = held.holder.owner.as_str().strip_prefix("identity/").map(str::to_owned);
        let pod = identity.or_else(|| pods.get(uid?).map(ToString::to_string));
        let entry = json!({
            "pod": pod.unwrap_or_default(),
            "podUid": uid.map(|uid| uid.as_str()).unwrap_or_default(),
        });
        (key.address(*slot).to_string(), entry)
    };
    Value::Object(held.iter().map(entry).collect::<Map<_, _>>())
}

/// The conditions in the order of their types; those of others stay, and a moment of transition stays
/// as long as nothing changes.
fn merged<'a>(
    conditions: impl Iterator<Item = &'a Condition>,
    present: &Value,
    (generation, now_ms): (u64, u64),
) -> Value {
    let kind = |condition: &Value| {
        condition.get("type").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let before = present.pointer("/status/conditions").and_then(Value::as_array);
    let before = before.into_iter().flatten();
    let mut all: BTreeMap<String, Value> = before.map(|c| (kind(c), c.clone())).collect();
    for condition in conditions {
        let status = if condition.holds { "True" } else { "False" };
        let was = all.get(&condition.kind).filter(|was| was.get("status") == Some(&json!(status)));
        let since = was.and_then(|was| was.get("lastTransitionTime").cloned());
        let merged = json!({
            "type": condition.kind,
            "status": status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": saturate(generation),
            "lastTransitionTime": since.unwrap_or_else(|| stamp::text(now_ms).into()),
        });
        all.insert(condition.kind.clone(), merged);
    }
    all.into_values().collect()
}
