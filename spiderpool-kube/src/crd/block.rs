//! The objects of the cluster store: blocks, the list of blocks, and the ledger.
//!
//! `crate::cluster::wire` reads and writes them; what stands here is what the API server checks of
//! them. It is little, because every allocation pays for it: three rules at each slot took the API server
//! 9.5 ms more for a change of a block of 64 allocated slots (25 ms without them), so that a slot with a
//! part missing is found by whoever reads it. The specs are atomic for the bookkeeping of who manages which
//! field, which took 16 ms of such a change and a third of the object.

use super::rule;
use super::text::SpaceName;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who has which address of the block.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderBlock",
    plural = "spiderblocks",
    shortname = "sb",
    category = "spiderpool",
    doc = "Who has which of 16 to 64 consecutive addresses: the only truth about it. Spiderpool's agents write it; do not edit or delete it by hand (use spiderpoolctl).",
    printcolumn = r#"{"name": "SPACE", "type": "string", "jsonPath": ".spec.space", "description": "address space"}"#,
    printcolumn = r#"{"name": "FIRST", "type": "string", "jsonPath": ".spec.first", "description": "first address"}"#,
    printcolumn = r#"{"name": "SIZE", "type": "integer", "jsonPath": ".spec.size", "description": "number of addresses"}"#,
    printcolumn = r#"{"name": "COMMITS", "type": "integer", "jsonPath": ".spec.commits", "description": "changes so far", "priority": 10}"#,
    printcolumn = r#"{"name": "INCARNATION", "type": "string", "jsonPath": ".spec.incarnation", "description": "life of the block", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = block_rules(), "x-kubernetes-map-type" = "atomic"))]
pub struct BlockSpec {
    /// What the fields mean: 1. A version that does not know the number leaves the object alone.
    #[schemars(range(min = 1, max = 65_535))]
    pub format: i64,
    /// Address space of the addresses. It cannot be changed.
    pub space: SpaceName,
    /// Version of the Internet Protocol: 4 or 6. It cannot be changed.
    #[schemars(extend("enum" = [4, 6]))]
    pub ip_version: i64,
    /// First address, a multiple of `size`. It cannot be changed.
    #[schemars(length(min = 2, max = 45))]
    pub first: String,
    /// Number of addresses: 16, 32 or 64. It cannot be changed.
    #[schemars(extend("enum" = [16, 32, 64]))]
    pub size: i64,
    /// Random number of this life of the block, in 16 hexadecimal digits.
    #[schemars(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))]
    pub incarnation: String,
    /// How many changes it has seen in this life; only grows.
    #[schemars(range(min = 0))]
    pub commits: i64,
    /// The highest generation that was given to a grant.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// Whether its writer knew that a SpiderBlockIndex lists it.
    pub listed: bool,
    /// Each address that is not free, by its number counted from the first one: "0" to "63".
    #[schemars(extend("maxProperties" = 64))]
    pub slots: BTreeMap<String, Slot>,
}

fn block_rules() -> serde_json::Value {
    let fixed = |field: &'static str, name: &str| {
        let message = "cannot be changed; a block of other addresses has another name";
        rule::about(field, format!("self.{name} == oldSelf.{name}"), message)
    };
    let grows = |field: &'static str, name: &str| {
        rule::about(
            field,
            format!("self.incarnation != oldSelf.incarnation || self.{name} >= oldSelf.{name}"),
            "cannot go back; read the block again and apply the change to what is there",
        )
    };
    rule::lower([
        rule::format(),
        fixed(".space", "space"),
        fixed(".ipVersion", "ipVersion"),
        fixed(".first", "first"),
        fixed(".size", "size"),
        grows(".commits", "commits"),
        grows(".generation", "generation"),
    ])
}

/// One address that is not free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// `Allocated`: it has an owner. `Resting`: it was given back, and waits. `Quarantined`: somebody else
    /// was seen to use it.
    #[schemars(extend("enum" = ["Allocated", "Resting", "Quarantined"]))]
    pub state: String,
    /// Allocated: whose it is, `pod/UID`, `identity/NAMESPACE/NAME` or `container/NETWORK/ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub owner: Option<String>,
    /// Allocated: UID of the pod that has it.
    #[serde(rename = "podUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub pod_uid: Option<String>,
    /// Allocated: container id of the pod's sandbox; only its DEL gives the address back.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub container_id: Option<String>,
    /// Allocated: node of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub node: Option<String>,
    /// Allocated: pool that it was granted through.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub pool: Option<String>,
    /// Allocated: interface in the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub interface: Option<String>,
    /// Allocated: network that attached the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub network: Option<String>,
    /// Allocated: `Ahead` while the interface's own ADD has not come, `Attached` after it, `Detached` while a
    /// static identity has no pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Ahead", "Attached", "Detached"]))]
    pub stage: Option<String>,
    /// Allocated: which grant of the block it is; whoever takes it back has to present it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub generation: Option<i64>,
    /// Allocated: how often in a row the address was in quarantine before; left out for 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub past_quarantines: Option<i64>,
    /// When the state began, in milliseconds since 1970.
    #[schemars(range(min = 0))]
    pub since: i64,
    /// Quarantined: who answered for the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 17, max = 17), regex(pattern = "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"))]
    pub mac: Option<String>,
    /// Quarantined: before this time it is not tried again, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub until: Option<i64>,
    /// Quarantined: how often in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub rounds: Option<i64>,
}

/// Which blocks were ever made within a run of addresses.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderBlockIndex",
    plural = "spiderblockindexes",
    shortname = "sbi",
    category = "spiderpool",
    doc = "Which SpiderBlocks were ever made within 16384 consecutive addresses: a block that is listed and gone was lost, and its addresses are not given out until it is rebuilt. Do not edit or delete it by hand.",
    printcolumn = r#"{"name": "SPACE", "type": "string", "jsonPath": ".spec.space", "description": "address space"}"#,
    printcolumn = r#"{"name": "FIRST", "type": "string", "jsonPath": ".spec.first", "description": "first address"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = index_rules(), "x-kubernetes-map-type" = "atomic"))]
pub struct BlockIndexSpec {
    /// What the fields mean: 1. A version that does not know the number leaves the object alone.
    #[schemars(range(min = 1, max = 65_535))]
    pub format: i64,
    /// Address space of the addresses. It cannot be changed.
    pub space: SpaceName,
    /// Version of the Internet Protocol: 4 or 6. It cannot be changed.
    #[schemars(extend("enum" = [4, 6]))]
    pub ip_version: i64,
    /// First address, a multiple of 16384. It cannot be changed.
    #[schemars(length(min = 2, max = 45))]
    pub first: String,
    /// Each block that was ever made, by its first address in 8 or 32 hexadecimal digits. Entries are never
    /// taken out.
    #[schemars(extend("maxProperties" = 1024))]
    pub blocks: BTreeMap<String, Listing>,
}

fn index_rules() -> serde_json::Value {
    let fixed = |field: &'static str, name: &str| {
        let message = "cannot be changed; a shard of other addresses has another name";
        rule::about(field, format!("self.{name} == oldSelf.{name}"), message)
    };
    let kept = rule::about(
        ".blocks",
        "oldSelf.blocks.all(first, first in self.blocks)",
        "lacks an entry that was there; entries are never taken out, because a block that is not listed counts as never made",
    );
    rule::lower([
        rule::format(),
        fixed(".space", "space"),
        fixed(".ipVersion", "ipVersion"),
        fixed(".first", "first"),
        kept,
    ])
}

/// What is said of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listing {
    /// The life of the block that was listed, in 16 hexadecimal digits.
    #[schemars(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))]
    pub incarnation: String,
    /// Whether it is believed to have no free address: a hint, not a truth.
    pub full: bool,
}

/// Whether the store can be trusted.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderLedger",
    plural = "spiderledgers",
    shortname = "sl",
    category = "spiderpool",
    doc = "Whether the cluster's records of addresses can be trusted; the only object is called `cluster`. While it tells of a recovery no address is given out, until every ready node has written back what its pods hold.",
    printcolumn = r#"{"name": "EPOCH", "type": "integer", "jsonPath": ".spec.epoch", "description": "which recovery was the last, in milliseconds since 1970"}"#,
    printcolumn = r#"{"name": "RECOVERY", "type": "string", "jsonPath": ".spec.recovery.why", "description": "why a recovery is under way"}"#
)]
#[schemars(extend("x-kubernetes-validations" = rule::lower([rule::format()]), "x-kubernetes-map-type" = "atomic"))]
pub struct LedgerSpec {
    /// What the fields mean: 1. A version that does not know the number leaves the object alone.
    #[schemars(range(min = 1, max = 65_535))]
    pub format: i64,
    /// Which recovery is or was the last: about when it began, in milliseconds since 1970; higher with each.
    /// 0 before the first.
    #[schemars(range(min = 0))]
    pub epoch: i64,
    /// The recovery that is under way; left out when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// A recovery after the store went back in time or lost a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// When it began, in milliseconds since 1970.
    #[schemars(range(min = 0))]
    pub since: i64,
    /// What was seen.
    #[schemars(length(max = 4096))]
    pub why: String,
    /// The nodes that have written back what their pods hold, each with `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asserted: Option<BTreeMap<String, bool>>,
    /// The names of the blocks that were lost, or in which two hold one address, each with `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<BTreeMap<String, bool>>,
}
