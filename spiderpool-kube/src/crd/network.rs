//! Networks that pods attach to: a CNI configuration in checked fields.

use super::coordinator::CoordinatorSpec;
use super::rule;
use super::text::{InterfaceName, ObjectName};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What becomes a NetworkAttachmentDefinition of the same name.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderMultusConfig",
    plural = "spidermultusconfigs",
    shortname = "smc",
    category = "spiderpool",
    namespaced,
    doc = "A network that pods attach to; Spiderpool makes a NetworkAttachmentDefinition for Multus of it. A change holds for new pods.",
    printcolumn = r#"{"name": "CNITYPE", "type": "string", "jsonPath": ".spec.cniType", "description": "the CNI plugin that makes the interface"}"#,
    printcolumn = r#"{"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "time since it was made"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = network_rules()))]
pub struct MultusConfigSpec {
    /// The CNI plugin that makes the interface; the block of the same name configures it (`ibsriov` for
    /// ib-sriov, `customCNI` for custom). Default: custom.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["macvlan", "ipvlan", "vlan", "sriov", "ovs", "ib-sriov", "ipoib", "custom"], "default" = "custom"))]
    pub cni_type: Option<String>,
    /// Whether the coordinator plugin is called after the interface was made; never for custom. Default:
    /// true.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enable_coordinator: Option<bool>,
    /// Whether the network does without addresses from Spiderpool. Default: false.
    #[serde(rename = "disableIPAM", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub disable_ipam: Option<bool>,
    /// How pods of this network reach their node, each other and services; what is left out follows the
    /// SpiderCoordinator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<CoordinatorSpec>,
    /// Further CNI plugins, called after the one of `cniType` and before the coordinator: each the JSON of
    /// one plugin with its `type`. Up to 16 of 16384 bytes.
    #[serde(rename = "chainCNIJsonData", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 16_384)))]
    pub chain_cni_json_data: Option<Vec<String>>,
    /// A whole CNI configuration as JSON, for `cniType: custom`; it is handed on as it is. Empty makes a
    /// NetworkAttachmentDefinition without one, for which Multus looks on the node. Up to 65536 bytes.
    #[serde(rename = "customCNI", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub custom_cni: Option<String>,
    /// For `cniType: macvlan`: interfaces with hardware addresses of their own on an interface of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macvlan: Option<ChildSpec>,
    /// For `cniType: ipvlan`: interfaces that share the hardware address of an interface of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipvlan: Option<ChildSpec>,
    /// For `cniType: vlan`: a VLAN interface for each pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanSpec>,
    /// For `cniType: sriov`: virtual functions of a network card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov: Option<SriovSpec>,
    /// For `cniType: ib-sriov`: virtual functions of an InfiniBand card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ibsriov: Option<IbSriovSpec>,
    /// For `cniType: ipoib`: child interfaces of an IP-over-InfiniBand interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipoib: Option<IpoibSpec>,
    /// For `cniType: ovs`: ports of an Open vSwitch bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ovs: Option<OvsSpec>,
}

fn network_rules() -> Value {
    let block = |field: &'static str, name: &str, kind: &str| {
        rule::about(
            field,
            format!("has(self.{name}) == (self.cniType == '{kind}')"),
            "has to be there for its own `cniType`, and for no other; write the one block that `cniType` names",
        )
    };
    let custom = rule::about(
        ".customCNI",
        "self.cniType == 'custom' || !has(self.customCNI) || self.customCNI == ''",
        "is only for `cniType: custom`; leave it out, or write `cniType: custom`",
    );
    rule::lower([
        block(".macvlan", "macvlan", "macvlan"),
        block(".ipvlan", "ipvlan", "ipvlan"),
        block(".vlan", "vlan", "vlan"),
        block(".sriov", "sriov", "sriov"),
        block(".ibsriov", "ibsriov", "ib-sriov"),
        block(".ipoib", "ipoib", "ipoib"),
        block(".ovs", "ovs", "ovs"),
        custom,
    ])
}

const NO_MATCH: &str =
    "is only for `cniType: sriov`; name the pools in `ippools`, and leave `matchMasterSubnet` out";

fn no_match() -> rule::Rule {
    rule::about(
        ".ippools",
        "!has(self.ippools) || !has(self.ippools.matchMasterSubnet) || !self.ippools.matchMasterSubnet",
        NO_MATCH,
    )
}

fn bonded() -> rule::Rule {
    rule::about(
        ".bond",
        "self.master.size() < 2 || has(self.bond)",
        "is missing; several masters are joined to a bond: say its `name` and `mode`",
    )
}

fn child_rules() -> Value {
    rule::lower([no_match(), bonded()])
}

fn vlan_rules() -> Value {
    let automatic = rule::about(
        ".vlanID",
        "!has(self.vlanMode) || self.vlanMode != 'auto' || !has(self.vlanID)",
        "cannot be stated with `vlanMode: auto`, which takes it from the network provider; leave it out, or write `vlanMode: manual`",
    );
    rule::lower([no_match(), bonded(), automatic])
}

/// An interface on an interface of the node: macvlan or ipvlan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = child_rules()))]
pub struct ChildSpec {
    /// Interfaces of the node that carry the network: one, or several that are joined to a bond. Up to 8.
    #[schemars(length(min = 1, max = 8))]
    pub master: Vec<InterfaceName>,
    /// Largest packet in bytes; 0 takes that of the master. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65_535), extend("default" = 0))]
    pub mtu: Option<i64>,
    /// VLAN on the master, from 1 to 4094, whose interface is made when it is not there; 0 for none.
    #[serde(rename = "vlanID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub vlan_id: Option<i64>,
    /// The bond that several masters are joined to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<BondSpec>,
    /// Resource of shared RDMA devices that pods of this network are given, such as `spidernet.io/shared_rdma`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub rdma_resource_name: Option<String>,
    /// Pools that the network's addresses come from when the pod names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ippools: Option<Pools>,
}

/// A VLAN interface for each pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = vlan_rules()))]
pub struct VlanSpec {
    /// Interfaces of the node that carry the network: one, or several that are joined to a bond. Up to 8.
    #[schemars(length(min = 1, max = 8))]
    pub master: Vec<InterfaceName>,
    /// Largest packet in bytes; 0 takes that of the master. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65_535), extend("default" = 0))]
    pub mtu: Option<i64>,
    /// Where the VLAN comes from: `manual` is `vlanID`, `auto` the network provider. Default: manual.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["manual", "auto"], "default" = "manual"))]
    pub vlan_mode: Option<String>,
    /// VLAN of the pods, from 0 to 4094; 0 when left out with `vlanMode: manual`.
    #[serde(rename = "vlanID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub vlan_id: Option<i64>,
    /// The bond that several masters are joined to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<BondSpec>,
    /// Resource of shared RDMA devices that pods of this network are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub rdma_resource_name: Option<String>,
    /// Pools that the network's addresses come from when the pod names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ippools: Option<Pools>,
}

/// A bond on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BondSpec {
    /// Name of the bond, which is made when it is not there.
    pub name: InterfaceName,
    /// Mode of the bond: 0 balance-rr, 1 active-backup, 2 balance-xor, 3 broadcast, 4 802.3ad, 5
    /// balance-tlb, 6 balance-alb.
    #[schemars(range(min = 0, max = 6))]
    pub mode: i64,
    /// Further options as `key=value`, separated by semicolons, such as `primary=eth1;miimon=100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub options: Option<String>,
}

/// Virtual functions of a network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = sriov_rules()))]
pub struct SriovSpec {
    /// Resource of the virtual functions, as the device plugin calls it, such as `spidernet.io/sriov_netdevice`.
    #[schemars(length(min = 1, max = 317))]
    pub resource_name: String,
    /// VLAN of the virtual function, from 1 to 4094; 0 for none.
    #[serde(rename = "vlanID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub vlan_id: Option<i64>,
    /// Largest packet in bytes; 0 leaves it as it is. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65_535), extend("default" = 0))]
    pub mtu: Option<i64>,
    /// Least rate at which pods may send, in Mbit/s; 0 for none. At most `maxTxRateMbps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647_i64))]
    pub min_tx_rate_mbps: Option<i64>,
    /// Highest rate at which pods may send, in Mbit/s; 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647_i64))]
    pub max_tx_rate_mbps: Option<i64>,
    /// Whether the RDMA device of the virtual function goes into the pod. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub rdma_isolation: Option<bool>,
    /// Pools that the network's addresses come from when the pod names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ippools: Option<Pools>,
}

fn sriov_rules() -> Value {
    rule::lower([rule::about(
        ".minTxRateMbps",
        "!has(self.minTxRateMbps) || !has(self.maxTxRateMbps) || self.maxTxRateMbps == 0 || self.minTxRateMbps <= self.maxTxRateMbps",
        "is above `maxTxRateMbps`; write a lower one",
    )])
}

/// Virtual functions of an InfiniBand card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::lower([no_match()])))]
pub struct IbSriovSpec {
    /// Resource of the virtual functions, as the device plugin calls it.
    #[schemars(length(min = 1, max = 317))]
    pub resource_name: String,
    /// Partition key of the InfiniBand network, such as `0x8001`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pkey: Option<String>,
    /// State of the virtual function's link: `auto` follows the card, `enable` up, `disable` down. Default:
    /// enable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["auto", "enable", "disable"], "default" = "enable"))]
    pub link_state: Option<String>,
    /// Whether the RDMA device of the virtual function goes into the pod. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub rdma_isolation: Option<bool>,
    /// Whether ib-kubernetes gives out the GUIDs. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub enable_ib_kubernetes: Option<bool>,
    /// Pools that the network's addresses come from when the pod names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ippools: Option<Pools>,
}

/// Child interfaces of an IP-over-InfiniBand interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rule::lower([no_match()])))]
pub struct IpoibSpec {
    /// Interface of the node that carries the network, such as `ib0`.
    pub master: InterfaceName,
    /// Pools that the network's addresses come from when the pod names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ippools: Option<Pools>,
}

/// Ports of an Open vSwitch bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rule::lower([no_match()])))]
pub struct OvsSpec {
    /// Name of the bridge on the node.
    pub bridge: InterfaceName,
    /// VLAN of the port, from 0 to 4094.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub vlan: Option<i64>,
    /// VLANs that a trunk port carries. Up to 4096 entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub trunk: Option<Vec<Trunk>>,
    /// PCI address of the device behind the port, for hardware offload.
    #[serde(rename = "deviceID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub device_id: Option<String>,
    /// Pools that the network's addresses come from when the pod names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ippools: Option<Pools>,
}

/// One VLAN `id`, or those from `minID` to `maxID`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = trunk_rules()))]
pub struct Trunk {
    /// First VLAN of a range, from 0 to 4094.
    #[serde(rename = "minID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub min_id: Option<i64>,
    /// Last VLAN of a range, from 0 to 4094.
    #[serde(rename = "maxID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub max_id: Option<i64>,
    /// One VLAN, from 0 to 4094.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub id: Option<i64>,
}

fn trunk_rules() -> Value {
    rule::lower([
        rule::rule(
            "has(self.minID) == has(self.maxID)",
            "has one end of a range; write `minID` and `maxID`, or `id` alone",
        ),
        rule::rule(
            "!has(self.minID) || !has(self.maxID) || self.minID <= self.maxID",
            "runs backwards; `minID` is the lower one",
        ),
        rule::rule(
            "has(self.id) || has(self.minID) || has(self.maxID)",
            "names no VLAN; write `id`, or `minID` and `maxID`",
        ),
    ])
}

/// Pools by name; a name with `*` stands for all pools that it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pools {
    /// Pools for IPv4 addresses, tried in this order. Up to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub ipv4: Option<Vec<ObjectName>>,
    /// Pools for IPv6 addresses, tried in this order. Up to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub ipv6: Option<Vec<ObjectName>>,
    /// Whether only pools serve whose subnet the master interface has an address of; for `cniType: sriov`
    /// alone. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub match_master_subnet: Option<bool>,
}
