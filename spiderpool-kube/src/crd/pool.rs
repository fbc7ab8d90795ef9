//! Pools, subnets and reservations.

use super::rule;
use super::text::{
    Address, FixedPrefix, FixedVersion, NetworkName, ObjectName, Prefix, RangeText, SpaceName,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the pool gives out, and to whom.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderIPPool",
    plural = "spiderippools",
    shortname = "sp",
    category = "spiderpool",
    status = "PoolStatus",
    doc = "Addresses of one subnet that pods are given, and which pods may have them.",
    printcolumn = r#"{"name": "VERSION", "type": "string", "jsonPath": ".spec.ipVersion", "description": "version of the Internet Protocol"}"#,
    printcolumn = r#"{"name": "SUBNET", "type": "string", "jsonPath": ".spec.subnet", "description": "prefix of the addresses"}"#,
    printcolumn = r#"{"name": "ALLOCATED-IP-COUNT", "type": "integer", "jsonPath": ".status.allocatedIPCount", "description": "addresses that pods have"}"#,
    printcolumn = r#"{"name": "TOTAL-IP-COUNT", "type": "integer", "jsonPath": ".status.totalIPCount", "description": "addresses that it may give out"}"#,
    printcolumn = r#"{"name": "DEFAULT", "type": "boolean", "jsonPath": ".spec.default", "description": "whether pods that name no pool get addresses of it"}"#,
    printcolumn = r#"{"name": "DISABLE", "type": "boolean", "jsonPath": ".spec.disable", "description": "whether it gives out nothing", "priority": 10}"#,
    printcolumn = r#"{"name": "NodeName", "type": "string", "jsonPath": ".spec.nodeName", "description": "nodes that it serves", "priority": 10}"#,
    printcolumn = r#"{"name": "MultusName", "type": "string", "jsonPath": ".spec.multusName", "description": "networks that it serves", "priority": 10}"#,
    printcolumn = r#"{"name": "APP-NAMESPACE", "type": "string", "jsonPath": ".spec.podAffinity.matchLabels['ipam\\.spidernet\\.io/app-namespace']", "description": "namespace of the application that it was made for", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::ground()))]
pub struct PoolSpec {
    /// Version of the Internet Protocol of all addresses: 4 or 6. Follows from `subnet` when left out.
    /// It cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<FixedVersion>,
    /// Prefix of the network that the addresses belong to, in network form, such as `10.6.0.0/16` or
    /// `fd00::/64`. Pods get its length with their address. Pools of one space either have the same
    /// subnet or subnets that do not overlap. It cannot be changed: make another pool instead.
    pub subnet: FixedPrefix,
    /// Addresses to give out, all within `subnet`: single ones `10.6.0.9`, inclusive ranges
    /// `10.6.0.10-10.6.0.20` or prefixes `10.6.1.0/24`; none overlaps another, nor those of another pool
    /// of the space. Empty gives out nothing. Up to 4096 entries. An address that a pod has stays with
    /// it when it is taken out here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_RANGES))]
    pub ips: Option<Vec<RangeText>>,
    /// Addresses that are not given out although `ips` names them; written as in `ips`. Up to 4096
    /// entries.
    #[serde(rename = "excludeIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_RANGES))]
    pub exclude_ips: Option<Vec<RangeText>>,
    /// Default gateway of the pods: an address within `subnet` that the pool does not give out. Left
    /// out, it is taken from the SpiderSubnet of the same prefix; without one pods get no default route
    /// from this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Address>,
    /// Further routes of the pods. Left out, they are taken from the SpiderSubnet of the same prefix; an
    /// empty list takes none. Up to 128, each destination once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_ROUTES))]
    pub routes: Option<Vec<Route>>,
    /// Labels of the pods that may have its addresses. Left out, all pods may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_affinity: Option<LabelSelector>,
    /// Labels of the namespaces whose pods may have its addresses. Left out, those of all may. Not looked
    /// at when `namespaceName` names any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_affinity: Option<LabelSelector>,
    /// Names of the namespaces whose pods may have its addresses; replaces `namespaceAffinity` when not
    /// empty. Up to 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub namespace_name: Option<Vec<ObjectName>>,
    /// Labels of the nodes whose pods may have its addresses. Left out, those of all may. Not looked at
    /// when `nodeName` names any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_affinity: Option<LabelSelector>,
    /// Names of the nodes whose pods may have its addresses; replaces `nodeAffinity` when not empty. Up to
    /// 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000))]
    pub node_name: Option<Vec<ObjectName>>,
    /// Networks (NetworkAttachmentDefinitions) whose interfaces may have its addresses: `namespace/name`,
    /// or `name` for one in the namespace of Spiderpool's agents. Left out or empty, those of all may. Up
    /// to 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub multus_name: Option<Vec<NetworkName>>,
    /// Whether pods that name no pool anywhere get addresses of it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub default: Option<bool>,
    /// Whether it gives out nothing for the time being; pods keep what they have, and giving back works.
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub disable: Option<bool>,
    /// Which free address is next: `sequential` gives the lowest, `spread` one that few other nodes try at
    /// the same time, `rotate` one that has been free for long. Default: spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["sequential", "spread", "rotate"]))]
    pub policy: Option<String>,
    /// How long an address rests after it came back before it is given again, in seconds, from 0 to
    /// 31536000 (a year). Resting addresses are not free: keep some spare. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub cool_down_seconds: Option<i64>,
    /// Address space of the addresses, a DNS label of up to 63 characters: the same address in two spaces
    /// is two addresses (VRFs). It cannot be changed. Default: default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceName>,
}

/// A route that pods get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rule::route()))]
pub struct Route {
    /// Destination: a prefix in network form other than the default route, such as `172.16.0.0/12`.
    pub dst: Prefix,
    /// Next hop: an address within `subnet`, of the version of `dst`.
    pub gw: Address,
}

/// Labels that an object must carry; every requirement has to hold, and there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::selector()))]
pub struct LabelSelector {
    /// Labels that must be there with exactly this value. Up to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Further requirements on labels. Up to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub match_expressions: Option<Vec<Expression>>,
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rule::expression()))]
pub struct Expression {
    /// Key of the label, such as `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// What is asked of the label: `In` and `NotIn` compare its value with `values`, `Exists` and
    /// `DoesNotExist` only look for its key.
    #[schemars(extend("enum" = ["In", "NotIn", "Exists", "DoesNotExist"]))]
    pub operator: String,
    /// Values of the label: at least one for `In` and `NotIn`, none otherwise. Up to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub values: Option<Vec<String>>,
}

/// What Spiderpool says of the pool; nobody else writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Who has which address, as JSON in a text: each address with `pod` (`namespace/name`) and `podUid`.
    /// A copy for tools that read it, written late, and left out for large pools; SpiderBlocks tell the
    /// truth.
    #[serde(rename = "allocatedIPs", skip_serializing_if = "Option::is_none")]
    pub allocated_ips: Option<String>,
    /// How many addresses it may give out: `ips` without `excludeIPs`. At most 2^63 - 1.
    #[serde(rename = "totalIPCount", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total_ip_count: Option<i64>,
    /// How many of its addresses pods have. Written late.
    #[serde(rename = "allocatedIPCount", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub allocated_ip_count: Option<i64>,
    /// The `metadata.generation` that is in force on all blocks: from then on nothing that this generation
    /// took away is given out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The revisions of the blocks that this status was made from; whoever made it from older ones writes
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub projected_from: Option<String>,
    /// What is to be known of it, one entry for each type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// One thing to be known of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, such as `AllocationsTruncated`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// Whether it is so: `True`, `False` or `Unknown`.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// The `metadata.generation` that it was judged for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` last changed, as RFC 3339 writes it.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one word for programs.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Why and what to do, in words for people.
    #[schemars(length(max = 32_768))]
    pub message: String,
}

/// What pools may be carved from.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderSubnet",
    plural = "spidersubnets",
    shortname = "ss",
    category = "spiderpool",
    status = "SubnetStatus",
    doc = "A subnet whose addresses pools are carved from, by hand or for an application.",
    printcolumn = r#"{"name": "VERSION", "type": "string", "jsonPath": ".spec.ipVersion", "description": "version of the Internet Protocol"}"#,
    printcolumn = r#"{"name": "SUBNET", "type": "string", "jsonPath": ".spec.subnet", "description": "prefix of the addresses"}"#,
    printcolumn = r#"{"name": "ALLOCATED-IP-COUNT", "type": "integer", "jsonPath": ".status.allocatedIPCount", "description": "addresses that pools have"}"#,
    printcolumn = r#"{"name": "TOTAL-IP-COUNT", "type": "integer", "jsonPath": ".status.totalIPCount", "description": "addresses that pools may have"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::ground()))]
pub struct SubnetSpec {
    /// Version of the Internet Protocol of all addresses: 4 or 6. Follows from `subnet` when left out.
    /// It cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<FixedVersion>,
    /// Prefix of the network, in network form, such as `10.6.0.0/16` or `fd00::/64`; no two subnets of one
    /// space overlap. It cannot be changed: make another subnet instead.
    pub subnet: FixedPrefix,
    /// Addresses that pools may be carved from, all within `subnet`: single ones `10.6.0.9`, inclusive
    /// ranges `10.6.0.10-10.6.0.20` or prefixes `10.6.1.0/24`; none overlaps another. Up to 4096 entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_RANGES))]
    pub ips: Option<Vec<RangeText>>,
    /// Addresses that no pool may have although `ips` names them; written as in `ips`. Up to 4096 entries.
    #[serde(rename = "excludeIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_RANGES))]
    pub exclude_ips: Option<Vec<RangeText>>,
    /// Default gateway that pools of this prefix take when they name none: an address within `subnet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Address>,
    /// Routes that pools of this prefix take when they list none. Up to 128, each destination once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_ROUTES))]
    pub routes: Option<Vec<Route>>,
    /// Address space of the addresses, a DNS label of up to 63 characters. It cannot be changed. Default:
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceName>,
}

/// What Spiderpool says of the subnet; nobody else writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubnetStatus {
    /// Which pool has which addresses of it, as JSON in a text: each pool's name with `ips` and, when the
    /// pool was made for an application, `application`.
    #[serde(rename = "controlledIPPools", skip_serializing_if = "Option::is_none")]
    pub controlled_ip_pools: Option<String>,
    /// How many addresses pools may have: `ips` without `excludeIPs`. At most 2^63 - 1.
    #[serde(rename = "totalIPCount", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total_ip_count: Option<i64>,
    /// How many of its addresses pools have.
    #[serde(rename = "allocatedIPCount", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub allocated_ip_count: Option<i64>,
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What is to be known of it, one entry for each type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// What nobody may be given.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderReservedIP",
    plural = "spiderreservedips",
    shortname = "sr",
    category = "spiderpool",
    doc = "Addresses that no pool gives out. Pods that have one keep it.",
    printcolumn = r#"{"name": "VERSION", "type": "string", "jsonPath": ".spec.ipVersion", "description": "version of the Internet Protocol"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = reserved_rules()))]
pub struct ReservedIPSpec {
    /// Version of the Internet Protocol of all addresses: 4 or 6. Follows from the first of `ips` when left
    /// out. It cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<FixedVersion>,
    /// Addresses that no pool gives out, all of one version: single ones `10.6.0.9`, inclusive ranges
    /// `10.6.0.10-10.6.0.20` or prefixes `10.6.1.0/24`; none overlaps another. Up to 4096 entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::MAX_RANGES))]
    pub ips: Option<Vec<RangeText>>,
    /// Address space of the addresses, a DNS label of up to 63 characters. It cannot be changed. Default:
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceName>,
}

fn reserved_rules() -> serde_json::Value {
    rule::lower([
        rule::about(
            ".ips",
            "!has(self.ipVersion) || !has(self.ips) || self.ips.all(r, r.contains(':') == (self.ipVersion == 6))",
            "has an address of the other version; write addresses of `ipVersion`, and make another object for the others",
        ),
        rule::about(
            ".ips",
            "!has(self.ips) || self.ips.all(r, r.contains(':') == self.ips[0].contains(':'))",
            "mixes IPv4 and IPv6; make one object for each version",
        ),
        rule::about(
            ".ips",
            "has(self.ipVersion) || (has(self.ips) && self.ips.size() > 0)",
            "is missing; list the addresses that nobody may be given, or say at least `ipVersion`",
        ),
        rule::about(
            ".space",
            "(has(self.space) ? self.space : 'default') == (has(oldSelf.space) ? oldSelf.space : 'default')",
            "cannot be changed; make another object in the other space",
        ),
    ])
}
