//! How pods reach their node, each other and services.

use super::rule;
use super::text::Address;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What holds for all networks that do not say otherwise.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderCoordinator",
    plural = "spidercoordinators",
    shortname = "scc",
    category = "spiderpool",
    status = "CoordinatorStatus",
    doc = "How pods reach their node, each other and services, for all networks that do not say otherwise.",
    printcolumn = r#"{"name": "MODE", "type": "string", "jsonPath": ".spec.mode", "description": "how traffic is steered"}"#,
    printcolumn = r#"{"name": "PHASE", "type": "string", "jsonPath": ".status.phase", "description": "whether the cluster's prefixes are known"}"#,
    printcolumn = r#"{"name": "REASON", "type": "string", "jsonPath": ".status.reason", "description": "why they are not", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CoordinatorSpec {
    /// How traffic is steered: `auto` finds out for each pod, `underlay` for pods whose first interface is
    /// on the data centre's network, `overlay` for pods whose first interface is an overlay's, `disabled`
    /// leaves all as it is. Default: auto.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["auto", "underlay", "overlay", "disabled"], "default" = "auto"))]
    pub mode: Option<String>,
    /// Where the cluster's pod prefixes are read from: `auto` finds out, `cluster` the cluster's own
    /// configuration, `calico` and `cilium` their pools, `none` nowhere. Needed in a SpiderCoordinator.
    #[serde(rename = "podCIDRType", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["auto", "cluster", "calico", "cilium", "none"]))]
    pub pod_cidr_type: Option<String>,
    /// Further prefixes or addresses that pods reach through their node, such as the address of a
    /// node-local DNS cache. Up to 128.
    #[serde(rename = "hijackCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub hijack_cidr: Option<Vec<Destination>>,
    /// Further routes in the table of the interface. Up to 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub policy_routes: Option<Vec<PolicyRoute>>,
    /// First two bytes of the hardware addresses of pods, such as `0a:1b`; the rest follows from the IPv4
    /// address. The first byte is even. Left out or empty, the kernel chooses.
    #[serde(rename = "podMACPrefix", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), extend("x-kubernetes-validations" = mac_prefix()))]
    pub pod_mac_prefix: Option<String>,
    /// Whether routes of pods with several interfaces are arranged so that answers leave where requests
    /// came in. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub tune_pod_routes: Option<bool>,
    /// Interface of the pod that keeps the default route, such as `net1`. Left out or empty, the first one
    /// that has it.
    #[serde(rename = "podDefaultRouteNIC", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15), extend("x-kubernetes-validations" = rule::interface_name()))]
    pub pod_default_route_nic: Option<String>,
    /// Number of the routing table on the node for routes to pods, up to 4294967295. Default: 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64), extend("default" = 500))]
    pub host_rule_table: Option<i64>,
    /// Reverse path filter (`rp_filter`) in pods: 0 off, 1 strict, 2 loose; a negative number leaves it as
    /// it is. Default: 0.
    #[serde(rename = "podRPFilter", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2_147_483_648_i64, max = 2), extend("default" = 0))]
    pub pod_rp_filter: Option<i64>,
    /// Length of the transmit queue of pod interfaces, in packets; 0 leaves it as it is. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647_i64), extend("default" = 0))]
    pub tx_queue_len: Option<i64>,
    /// Address of the pod's end of the pair of interfaces between pod and node, such as `169.254.100.1`.
    /// Left out or empty, it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rule::ADDRESS_MAX), extend("x-kubernetes-validations" = link_address()))]
    pub veth_link_address: Option<String>,
    /// Largest packet on the pair of interfaces between pod and node, in bytes, at least 1. Left out, 1500.
    #[serde(rename = "vethMTU", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub veth_mtu: Option<i64>,
}

fn link_address() -> Value {
    rule::lower([rule::rule(
        "self == '' || isIP(self)",
        "is not an IP address; write one such as `169.254.100.1`, without a prefix length, or leave it out",
    )])
}

fn mac_prefix() -> Value {
    rule::lower([rule::rule(
        "self.matches('^([0-9a-fA-F][02468aceACE]:[0-9a-fA-F][0-9a-fA-F])?$')",
        "is not the beginning of a hardware address; write two bytes of which the first is even, such as `0a:1b`",
    )])
}

/// A prefix or a single address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maxLength" = rule::PREFIX_MAX, "x-kubernetes-validations" = destination_rules()))]
pub struct Destination(pub String);

fn destination_rules() -> Value {
    rule::lower([rule::rule(
        "isCIDR(self) || isIP(self)",
        "is neither a prefix nor an address; write one such as `10.96.0.0/12` or `169.254.20.10`",
    )])
}

/// A route in the table of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = policy_route()))]
pub struct PolicyRoute {
    /// Destination: a prefix or an address.
    pub dst: Destination,
    /// Next hop: an address of the version of `dst`.
    pub gw: Address,
}

fn policy_route() -> Value {
    rule::lower([rule::about(
        ".gw",
        "self.dst.contains(':') == self.gw.contains(':')",
        "is not of the version of `dst`; write a next hop of the same version",
    )])
}

/// What was found out of the cluster's prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoordinatorStatus {
    /// `Synced` when the cluster's prefixes are known, `NotReady` before.
    #[schemars(extend("enum" = ["NotReady", "Synced"]))]
    pub phase: String,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub reason: Option<String>,
    /// Prefixes of the pods of the cluster's overlay network.
    #[serde(rename = "overlayPodCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub overlay_pod_cidr: Option<Vec<String>>,
    /// Prefixes of services.
    #[serde(rename = "serviceCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub service_cidr: Option<Vec<String>>,
}
