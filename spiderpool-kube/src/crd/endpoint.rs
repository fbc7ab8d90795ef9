//! Endpoints: what one pod or one static identity has.

use super::text::SpaceName;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An endpoint has no spec: everything it says is in its status, which has no subresource.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "spiderpool.spidernet.io",
    version = "v2beta1",
    kind = "SpiderEndpoint",
    plural = "spiderendpoints",
    shortname = "se",
    category = "spiderpool",
    namespaced,
    no_spec,
    status = "EndpointStatus",
    doc = "The addresses of one pod, named like the pod (or like the virtual machine). Spiderpool writes it; deleting it by hand frees no address.",
    printcolumn = r#"{"name": "INTERFACE", "type": "string", "jsonPath": ".status.current.ips[0].interface", "description": "first interface"}"#,
    printcolumn = r#"{"name": "IPV4POOL", "type": "string", "jsonPath": ".status.current.ips[0].ipv4Pool", "description": "pool of its IPv4 address"}"#,
    printcolumn = r#"{"name": "IPV4", "type": "string", "jsonPath": ".status.current.ips[0].ipv4", "description": "its IPv4 address"}"#,
    printcolumn = r#"{"name": "IPV6POOL", "type": "string", "jsonPath": ".status.current.ips[0].ipv6Pool", "description": "pool of its IPv6 address"}"#,
    printcolumn = r#"{"name": "IPV6", "type": "string", "jsonPath": ".status.current.ips[0].ipv6", "description": "its IPv6 address"}"#,
    printcolumn = r#"{"name": "NODE", "type": "string", "jsonPath": ".status.current.node", "description": "node of the pod"}"#
)]
pub struct EndpointSpec {}

/// What the pod has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// The present pod and its interfaces.
    pub current: Current,
    /// Kind of the workload at the top that controls the pod, such as `Deployment`; `Pod` without one.
    #[schemars(length(max = 253))]
    pub owner_controller_type: String,
    /// Name of that workload.
    #[schemars(length(max = 253))]
    pub owner_controller_name: String,
    /// Where the addresses of a static identity are (a StatefulSet's pod, a virtual machine); left out for
    /// ordinary pods. It only points: the SpiderBlock of each address says whether it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub slots: Option<Vec<Pointer>>,
}

/// A pod and its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Current {
    /// UID of the pod.
    #[schemars(length(max = 253))]
    pub uid: String,
    /// Name of its node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// One entry for each interface; a copy that may be late.
    #[schemars(length(max = 128))]
    pub ips: Vec<Attachment>,
}

/// What one interface has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Name of the interface in the pod; empty while it is not known.
    #[schemars(length(max = 15))]
    pub interface: String,
    /// IPv4 address with the length of its pool's subnet, such as `10.6.0.2/16`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49))]
    pub ipv4: Option<String>,
    /// IPv6 address with the length of its pool's subnet, such as `fd00::2/64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49))]
    pub ipv6: Option<String>,
    /// Pool of the IPv4 address.
    #[serde(rename = "ipv4Pool", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub ipv4_pool: Option<String>,
    /// Pool of the IPv6 address.
    #[serde(rename = "ipv6Pool", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub ipv6_pool: Option<String>,
    /// VLAN of the interface, from 1 to 4094; 0 for none. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094), extend("default" = 0))]
    pub vlan: Option<i64>,
    /// IPv4 gateway.
    #[serde(rename = "ipv4Gateway", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub ipv4_gateway: Option<String>,
    /// IPv6 gateway.
    #[serde(rename = "ipv6Gateway", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub ipv6_gateway: Option<String>,
    /// Whether the interface gets no default route although its pool has a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clean_gateway: Option<bool>,
    /// Further routes of the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub routes: Option<Vec<PlacedRoute>>,
    /// Hardware address that was assigned from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub mac: Option<String>,
}

/// A route that an interface has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlacedRoute {
    /// Destination, a prefix.
    #[schemars(length(max = 49))]
    pub dst: String,
    /// Next hop, an address.
    #[schemars(length(max = 45))]
    pub gw: String,
}

/// Where one address of a static identity is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pointer {
    /// Name of the interface in the pod.
    #[schemars(length(min = 1, max = 253))]
    pub interface: String,
    /// Address space of the address.
    pub space: SpaceName,
    /// The address, without a prefix length.
    #[schemars(length(min = 2, max = 45))]
    pub address: String,
}
