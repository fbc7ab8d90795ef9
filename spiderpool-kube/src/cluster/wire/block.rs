//! Blocks, one entry of `spec.slots` for each slot that is not free.

use super::error::BadObject;
use super::read::{FORMAT, check_format, entries, part};
use crate::cluster::object::BlockBody;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{Block, BlockKey, BlockSize, Held, Sheet, Slot};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where a block or a shard of the index says it begins.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start {
    space: Name,
    ip_version: u8,
    first: IpAddr,
}

impl Start {
    pub(super) fn of(key: &BlockKey) -> Self {
        let BlockKey { space, family, first } = key.clone();
        Self { space, ip_version: family.version(), first: family.address(first) }
    }

    /// Fails unless an object says that it begins where its name says.
    pub(super) fn check(json: &Value, key: &BlockKey) -> Result<(), BadObject> {
        let expected = Self::of(key);
        let said: Self = part(json, "/spec")?;
        let agrees = [
            ("spec.space", said.space == expected.space),
            ("spec.ipVersion", said.ip_version == expected.ip_version),
            ("spec.first", said.first == expected.first),
        ];
        match agrees.into_iter().find(|(_, agrees)| !agrees) {
            Some((field, _)) => Err(BadObject::Contradiction { field }),
            None => Ok(()),
        }
    }
}

/// The numbers of a block.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    size: BlockSize,
    incarnation: Incarnation,
    commits: u64,
    generation: u64,
    listed: bool,
}

/// A random number in 16 hexadecimal digits: JSON numbers are exact only up to 2^53.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Incarnation(pub(super) u64);

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        format!("{:016x}", incarnation.0)
    }
}

impl TryFrom<String> for Incarnation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = u64::from_str_radix(&text, 16).ok().map(Self);
        let read = read.filter(|read| String::from(*read) == text);
        read.ok_or_else(|| format!("`{text}` is no incarnation of 16 hexadecimal digits"))
    }
}

/// One slot on the server.
#[derive(Serialize, Deserialize)]
#[serde(tag = "state")]
enum Entry {
    Allocated(Allocation),
    Resting { since: u64 },
    Quarantined { mac: Mac, since: u64, until: u64, rounds: u8 },
}

/// One allocated slot on the server.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Allocation {
    owner: Owner,
    #[serde(rename = "podUID", default, skip_serializing_if = "Option::is_none")]
    pod_uid: Option<Name>,
    #[serde(rename = "containerID", default, skip_serializing_if = "Option::is_none")]
    container: Option<Name>,
    node: Name,
    pool: Name,
    interface: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<Name>,
    #[serde(with = "StageName")]
    stage: Stage,
    generation: u64,
    since: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    past_quarantines: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// The stages as the server writes them.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Stage")]
enum StageName {
    Ahead,
    Attached,
    Detached,
}

/// A hardware address in the usual notation.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Mac([u8; 6]);

impl From<Mac> for String {
    fn from(Mac([a, b, c, d, e, f]): Mac) -> Self {
        format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes: Option<Vec<u8>> =
            text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let mac = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        let mac = mac.filter(|mac| String::from(*mac) == text.to_lowercase());
        mac.ok_or_else(|| format!("`{text}` is no hardware address such as `02:00:00:00:00:01`"))
    }
}

/// The `spec` of a block.
pub(super) fn lower(key: &BlockKey, body: &BlockBody) -> Value {
    let BlockBody { sheet, listed } = body;
    let Sheet { size, incarnation, commits, generation, slots } = sheet;
    let slots = slots.iter();
    let slots: Map<_, _> =
        slots.map(|(number, slot)| (number.to_string(), json!(entry(slot)))).collect();
    let incarnation = String::from(Incarnation(*incarnation));
    let (space, first) = (key.space.as_str(), key.address(0));
    json!({
        "format": FORMAT, "space": space, "ipVersion": key.family.version(), "first": first,
        "size": size.slots(), "incarnation": incarnation, "commits": commits,
        "generation": generation, "listed": listed, "slots": slots,
    })
}

fn entry(slot: &Slot) -> Entry {
    match slot {
        Slot::Allocated(held) => {
            let Held { holder, placement, stage, .. } = held.as_ref().clone();
            Entry::Allocated(Allocation {
                owner: holder.owner,
                pod_uid: holder.pod_uid,
                container: holder.container,
                node: holder.node,
                pool: placement.pool,
                interface: placement.attachment,
                network: placement.network,
                stage,
                generation: held.generation,
                since: held.since_ms,
                past_quarantines: held.past_quarantines,
            })
        }
        Slot::Resting { since_ms } => Entry::Resting { since: *since_ms },
        Slot::Quarantined { mac, since_ms, until_ms, rounds } => Entry::Quarantined {
            mac: Mac(*mac),
            since: *since_ms,
            until: *until_ms,
            rounds: *rounds,
        },
    }
}

/// The block that an object says.
pub(super) fn lift(key: &BlockKey, json: &Value) -> Result<BlockBody, BadObject> {
    check_format(json)?;
    Start::check(json, key)?;
    let Numbers { size, incarnation, commits, generation, listed } = part(json, "/spec")?;
    if size.align(key.first) != key.first {
        return Err(BadObject::Contradiction { field: "spec.size" });
    }
    let slots = entries(json, "/spec/slots")?.map(|(number, value)| lift_slot(number, value));
    let slots = slots.collect::<Result<BTreeMap<_, _>, _>>()?;
    let sheet = Sheet { size, incarnation: incarnation.0, commits, generation, slots };
    Block::try_from(sheet.clone())?;
    Ok(BlockBody { sheet, listed })
}

fn lift_slot(number: &str, value: &Value) -> Result<(u8, Slot), BadObject> {
    let damaged = |why: String| BadObject::damaged(format!("spec.slots.{number}"), &why);
    let slot: u8 = number.parse().map_err(|_| damaged("it is no number of a slot".to_owned()))?;
    if slot.to_string() != number {
        return Err(damaged(format!("write `{slot}`")));
    }
    let entry = Entry::deserialize(value).map_err(|why| damaged(why.to_string()))?;
    Ok((slot, state(entry)))
}

fn state(entry: Entry) -> Slot {
    match entry {
        Entry::Allocated(allocation) => {
            let Allocation { owner, pod_uid, container, node, .. } = allocation;
            let Allocation { pool, interface: attachment, network, .. } = allocation;
            let Allocation { stage, generation, since: since_ms, past_quarantines, .. } =
                allocation;
            Slot::Allocated(Box::new(Held {
                holder: Holder { owner, pod_uid, container, node },
                placement: Placement { pool, attachment, network },
                stage,
                generation,
                since_ms,
                past_quarantines,
            }))
        }
        Entry::Resting { since } => Slot::Resting { since_ms: since },
        Entry::Quarantined { mac, since, until, rounds } => {
            Slot::Quarantined { mac: mac.0, since_ms: since, until_ms: until, rounds }
        }
    }
}
