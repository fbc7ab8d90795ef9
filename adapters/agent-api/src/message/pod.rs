//! What the agent knows of one pod: the cluster's networks for the coordinator, and its endpoint.

use crate::query;
use crate::read::{Message, is_zero, or_default, text};
use crate::version::ApiVersion;
use serde::{Deserialize, Serialize};

/// Which pod is asked about.
///
/// The reference sends it as the *body* of a `GET` to `/coordinator/config`, and as the query to
/// `/workloadendpoint`; an agent takes either for both ([`PodQuery::read`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodQuery {
    /// Its namespace.
    #[serde(deserialize_with = "or_default")]
    pub pod_namespace: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub pod_name: String,
    /// The version that the plugin speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for PodQuery {
    const NAME: &'static str = "PodQuery";
}

impl PodQuery {
    /// A question of this version about a pod.
    #[must_use]
    pub fn of(namespace: &str, name: &str) -> Self {
        Self {
            pod_namespace: namespace.to_owned(),
            pod_name: name.to_owned(),
            api_version: ApiVersion::CURRENT,
        }
    }

    /// What a request says in its query, and where that is silent in its body.
    ///
    /// ```
    /// use spiderpool_agent_api::message::PodQuery;
    ///
    /// let in_body = PodQuery::read(None, br#"{"podName": "web-0", "podNamespace": "a"}"#)?;
    /// let in_query = PodQuery::read(Some("podName=web-0&podNamespace=a"), b"")?;
    /// assert_eq!(in_body, in_query);
    /// # Ok::<(), spiderpool_agent_api::BadMessage>(())
    /// ```
    ///
    /// # Errors
    /// [`BadMessage`](crate::BadMessage) for a body that is there and cannot be read.
    pub fn read(query: Option<&str>, body: &[u8]) -> Result<Self, crate::BadMessage> {
        let mut read: Self =
            if body.trim_ascii().is_empty() { Self::default() } else { crate::read(body)? };
        for (key, value) in query::parse(query.unwrap_or_default()) {
            match key.as_str() {
                "podNamespace" => read.pod_namespace = value,
                "podName" => read.pod_name = value,
                "apiVersion" => {
                    read.api_version = value.parse().map_or(read.api_version, ApiVersion)
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// The target of a request that says this in its query.
    #[must_use]
    pub fn target(&self, path: &str) -> String {
        let version = self.api_version.to_string();
        let pairs = [
            ("podNamespace", self.pod_namespace.as_str()),
            ("podName", self.pod_name.as_str()),
            ("apiVersion", version.as_str()),
        ];
        query::target(path, &pairs)
    }
}

/// `GET /coordinator/config`: what the SpiderCoordinator says, with the pod's annotation for the default
/// route applied. Unset fields leave the choice to the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CoordinatorConfig {
    /// `auto`, `underlay`, `overlay` or `disabled`.
    #[serde(deserialize_with = "or_default")]
    pub mode: String,
    /// The prefixes of the cluster's own pod network.
    #[serde(rename = "overlayPodCIDR", deserialize_with = "or_default")]
    pub overlay_pod_cidr: Vec<String>,
    /// The prefixes of services. Never written as `null`, which the reference's plugin refuses.
    #[serde(rename = "serviceCIDR", deserialize_with = "or_default")]
    pub service_cidr: Vec<String>,
    /// Whether each interface of the pod answers for its own addresses. An agent sets it always: the
    /// reference's plugin refuses an answer without it.
    pub tune_pod_routes: Option<bool>,
    /// What else is reached through the node.
    #[serde(rename = "hijackCIDR", deserialize_with = "or_default")]
    pub hijack_cidr: Vec<String>,
    /// Routes of the interface's own.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub policy_routes: Vec<PolicyRoute>,
    /// The first two bytes of the interface's hardware address.
    #[serde(
        rename = "podMACPrefix",
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub pod_mac_prefix: Option<String>,
    /// The interface of the pod's default route.
    #[serde(
        rename = "podDefaultRouteNIC",
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub pod_default_route_nic: Option<String>,
    /// The node's table of ways to its pods; the reference takes 0 and below for unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_rule_table: Option<i64>,
    /// The reverse path filter in the pod.
    #[serde(rename = "podRPFilter", skip_serializing_if = "Option::is_none")]
    pub pod_rp_filter: Option<i64>,
    /// The interface's queue, in packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_queue_len: Option<i64>,
    /// An address for the pod's end of the pair.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub veth_link_address: Option<String>,
    /// The MTU of the pair, in bytes; the reference takes 0 for unset.
    #[serde(rename = "vethMTU", skip_serializing_if = "Option::is_none")]
    pub veth_mtu: Option<i64>,

    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for CoordinatorConfig {
    const NAME: &'static str = "CoordinatorConfig";

    fn missing(&self) -> Vec<&'static str> {
        crate::read::empty(&[("mode", &self.mode)])
    }
}

/// A route through a gateway of the interface's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRoute {
    /// Where to.
    pub dst: String,
    /// Through which neighbour.
    pub gw: String,
}

/// `GET /workloadendpoint`: what a pod's NICs have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointStatus {
    /// Each NIC.
    #[serde(deserialize_with = "or_default")]
    pub interfaces: Vec<InterfaceStatus>,
    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for WorkloadEndpointStatus {
    const NAME: &'static str = "WorkloadEndpointStatus";
}

/// What one NIC has; what is unset is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InterfaceStatus {
    /// The NIC.
    #[serde(deserialize_with = "or_default")]
    pub interface: String,
    /// Its IPv4 address with prefix length.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// Its IPv6 address with prefix length.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Its VLAN; 0 for none.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub vlan: i64,
    /// Its hardware address.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_named_in_body_or_query() {
        let pod = PodQuery::of("a b", "web-0");
        let target = pod.target("/v1/x");
        let (_, query) = target.split_once('?').unwrap();
        assert_eq!(PodQuery::read(Some(query), b" ").unwrap(), pod);
        let body = serde_json::to_vec(&pod).unwrap();
        assert_eq!(PodQuery::read(None, &body).unwrap(), pod);
        assert_eq!(PodQuery::read(Some("podName=x"), &body).unwrap().pod_name, "x");
        assert!(PodQuery::read(Some(query), b"{").is_err());
    }

    #[test]
    fn an_older_side_is_understood() {
        // As the reference's agent writes it when detection found no services.
        let body = br#"{"mode": "auto", "overlayPodCIDR": ["10.244.0.0/16"], "serviceCIDR": null,
            "tunePodRoutes": true, "hijackCIDR": null, "hostRuleTable": 500, "podRPFilter": 0,
            "podMACPrefix": "", "vethLinkAddress": "", "txQueueLen": 0, "vethMTU": 0, "new": {}}"#;
        let config: CoordinatorConfig = crate::read(body).unwrap();
        assert_eq!((config.api_version, config.service_cidr.len()), (ApiVersion::FIRST, 0));
        assert_eq!((config.pod_mac_prefix.clone(), config.host_rule_table), (None, Some(500)));
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(written["serviceCIDR"], serde_json::json!([]), "never null");
        assert_eq!(written.get("new"), None);
        let told = crate::read::<CoordinatorConfig>(b"{}").unwrap_err().to_string();
        assert_eq!(told, "the CoordinatorConfig lacks mode");
    }
}
