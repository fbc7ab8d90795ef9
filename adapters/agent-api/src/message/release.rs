//! `DELETE /ipam/ip` and `DELETE /ipam/ips`: what a container gives back.

use crate::read::{Message, empty, is_false, or_default, text};
use crate::version::ApiVersion;
use serde::{Deserialize, Serialize};

/// A container goes, or one interface of it: what DEL says.
///
/// The agent gives back what *this* container holds; a pod that lives on, in another sandbox or soon in
/// one, keeps its addresses. Container id and interface are all that is required, since a runtime may
/// have forgotten the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamDelArgs {
    /// `CNI_CONTAINERID`; another container's addresses are never given back.
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub container_id: String,
    /// `CNI_IFNAME`.
    #[serde(deserialize_with = "or_default")]
    pub if_name: String,
    /// `CNI_NETNS`, if the namespace is there still.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub net_namespace: Option<String>,
    /// `K8S_POD_NAMESPACE`, or empty.
    #[serde(deserialize_with = "or_default")]
    pub pod_namespace: String,
    /// `K8S_POD_NAME`, or empty.
    #[serde(deserialize_with = "or_default")]
    pub pod_name: String,
    /// `K8S_POD_UID`, or empty.
    #[serde(rename = "podUID", deserialize_with = "or_default")]
    pub pod_uid: String,

    /// The version that the plugin speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
    /// How long the plugin will wait for the reply, in milliseconds from its sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl Message for IpamDelArgs {
    const NAME: &'static str = "IpamDelArgs";

    fn missing(&self) -> Vec<&'static str> {
        empty(&[("containerID", &self.container_id), ("ifName", &self.if_name)])
    }
}

/// An ADD has failed after it was granted addresses: they go back although the pod lives.
///
/// From version 2 on, what the named interface holds in this container, and what was granted ahead for
/// interfaces whose ADD has not come; in version 1, every address of the pod. A static identity keeps
/// its addresses and the answer is 522.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamBatchDelArgs {
    /// Who gives back.
    #[serde(flatten)]
    pub who: IpamDelArgs,
    /// Whether the switch of the agent for conflicting addresses is asked (521) and a static identity is
    /// refused (522).
    #[serde(
        rename = "isReleaseConflictIPs",
        deserialize_with = "or_default",
        skip_serializing_if = "is_false"
    )]
    pub is_release_conflict_ips: bool,
}

impl Message for IpamBatchDelArgs {
    const NAME: &'static str = "IpamBatchDelArgs";

    fn missing(&self) -> Vec<&'static str> {
        self.who.missing()
    }
}
