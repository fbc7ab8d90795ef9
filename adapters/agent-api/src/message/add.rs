//! `POST /ipam/ip`: addresses for one interface of a pod.

use crate::read::{Message, empty, is_false, is_zero, or_default, text};
use crate::version::ApiVersion;
use serde::{Deserialize, Serialize};

/// Who asks for addresses, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamAddArgs {
    /// `CNI_CONTAINERID`: the sandbox that the addresses are for. With the same one the answer is the
    /// same; with another one of the same pod the addresses stay and their generations rise.
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub container_id: String,
    /// `CNI_IFNAME`.
    #[serde(deserialize_with = "or_default")]
    pub if_name: String,
    /// `CNI_NETNS`: the path of the pod's network namespace.
    #[serde(deserialize_with = "or_default")]
    pub net_namespace: String,
    /// `K8S_POD_NAMESPACE`.
    #[serde(deserialize_with = "or_default")]
    pub pod_namespace: String,
    /// `K8S_POD_NAME`.
    #[serde(deserialize_with = "or_default")]
    pub pod_name: String,
    /// `K8S_POD_UID`; empty where the runtime gives none.
    #[serde(rename = "podUID", deserialize_with = "or_default")]
    pub pod_uid: String,
    /// Names or patterns of IPv4 pools, for pods that name none.
    #[serde(
        rename = "defaultIPv4IPPool",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub default_ipv4_ippool: Vec<String>,
    /// Names or patterns of IPv6 pools, likewise.
    #[serde(
        rename = "defaultIPv6IPPool",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub default_ipv6_ippool: Vec<String>,
    /// Whether the interface gets no default route from its pool's gateway.
    #[serde(deserialize_with = "or_default")]
    pub clean_gateway: bool,
    /// Whether a pool must have an address of the master interface in its prefix.
    #[serde(deserialize_with = "or_default")]
    pub match_master_subnet: bool,

    /// The version that the plugin speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
    /// How long the plugin will wait for the reply, in milliseconds from its sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The name of the CNI network, which GC goes by.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub network_name: Option<String>,
    /// Addresses that were asked for by name (`IP=` in `CNI_ARGS`, the `ips` capability, `args.cni.ips`),
    /// at most one of each family.
    #[serde(
        rename = "cniArgsIP",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub cni_args_ip: Vec<String>,
    /// The addresses of the master interface, with `matchMasterSubnet`, as the plugin found them.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub master_addresses: Vec<String>,
    /// `require` or `prefer`: what to do when only one of two families can be had. Absent, the agent's
    /// own configuration says.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub families: Option<String>,
}

impl Message for IpamAddArgs {
    const NAME: &'static str = "IpamAddArgs";

    fn missing(&self) -> Vec<&'static str> {
        empty(&[
            ("containerID", &self.container_id),
            ("ifName", &self.if_name),
            ("netNamespace", &self.net_namespace),
            ("podNamespace", &self.pod_namespace),
            ("podName", &self.pod_name),
        ])
    }
}

/// What a pod has: every NIC that is known so far, not only the one that asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamAddResponse {
    /// The addresses.
    #[serde(deserialize_with = "or_default")]
    pub ips: Vec<IpConfig>,
    /// The routes.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Name resolution; the reference leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,

    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
    /// What the plugin should write to its log, such as a route that no NIC's gateway can reach.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Message for IpamAddResponse {
    const NAME: &'static str = "IpamAddResponse";
}

/// One address of one NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpConfig {
    /// 4 or 6.
    pub version: i64,
    /// The address with the length of its pool's prefix, such as `10.6.0.10/24`.
    pub address: String,
    /// The NIC.
    pub nic: String,
    /// The pool that it was granted through.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub ip_pool: Option<String>,
    /// The pool's gateway.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The VLAN of the NIC; 0 for none.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub vlan: i64,
    /// The hardware address of the NIC.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Whether the plugin is to ask on the wire if the gateway answers.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub enable_gateway_detection: bool,
    /// Whether the plugin is to ask on the wire if another host has the address.
    #[serde(
        rename = "enableIPConflictDetection",
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_false"
    )]
    pub enable_ip_conflict_detection: bool,

    /// The address space; version 2.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// The generation of the grant, which a report of a conflict presents; version 2. An agent that
    /// gives none takes no reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether the pod had it before this request; version 2. Connections that the host still tracks
    /// for an address which is granted anew are not the pod's.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub kept: bool,
}

/// A route of one NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The NIC.
    pub if_name: String,
    /// Where to, as a prefix.
    pub dst: String,
    /// Through which neighbour.
    pub gw: String,
}

/// Name resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers, in order of preference.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Domains to search for short names, in order.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options for the resolver.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}
