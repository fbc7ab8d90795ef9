//! What version 2 adds: CHECK, GC and STATUS of CNI 1.1, and reports of conflicts.

use super::add::IpConfig;
use crate::query;
use crate::read::{Message, empty, or_default, text};
use crate::version::ApiVersion;
use serde::{Deserialize, Serialize};

/// `POST /ipam/check`: what does a container hold on an interface?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamCheckArgs {
    /// `CNI_CONTAINERID`.
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub container_id: String,
    /// `CNI_IFNAME`.
    #[serde(deserialize_with = "or_default")]
    pub if_name: String,
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

impl Message for IpamCheckArgs {
    const NAME: &'static str = "IpamCheckArgs";

    fn missing(&self) -> Vec<&'static str> {
        empty(&[("containerID", &self.container_id), ("ifName", &self.if_name)])
    }
}

/// What it holds; nothing is an empty list and no error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamCheckResponse {
    /// The addresses of this container on this interface.
    #[serde(deserialize_with = "or_default")]
    pub ips: Vec<IpConfig>,
    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for IpamCheckResponse {
    const NAME: &'static str = "IpamCheckResponse";
}

/// `POST /ipam/gc`: which attachments of a network are still valid on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamGcArgs {
    /// The name of the CNI network; other networks' attachments stay.
    #[serde(deserialize_with = "or_default")]
    pub network_name: String,
    /// Every valid attachment. Required: an absent list says nothing, an empty one that none is valid.
    pub valid_attachments: Option<Vec<Attachment>>,
    /// The version that the plugin speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
    /// How long the plugin will wait for the reply, in milliseconds from its sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl Message for IpamGcArgs {
    const NAME: &'static str = "IpamGcArgs";

    fn missing(&self) -> Vec<&'static str> {
        let mut missing = empty(&[("networkName", &self.network_name)]);
        missing.extend(self.valid_attachments.is_none().then_some("validAttachments"));
        missing
    }
}

/// An interface of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The container.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface.
    pub if_name: String,
}

/// What GC gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamGcResponse {
    /// Each address that is free by now.
    #[serde(deserialize_with = "or_default")]
    pub freed: Vec<Freed>,
    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for IpamGcResponse {
    const NAME: &'static str = "IpamGcResponse";
}

/// An address that was given back, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Freed {
    /// The address, without a length.
    #[serde(deserialize_with = "or_default")]
    pub address: String,
    /// Whose it was, such as `pod/UID`.
    #[serde(deserialize_with = "or_default")]
    pub owner: String,
    /// The container.
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub container_id: String,
}

/// `GET /ipam/status`: could an ADD be served?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpamStatusQuery {
    /// The version that the plugin speaks.
    pub api_version: ApiVersion,
    /// Pools that the network names one by one.
    pub pools: Vec<String>,
}

impl IpamStatusQuery {
    /// What a request's query says.
    #[must_use]
    pub fn read(query: Option<&str>) -> Self {
        let mut read = Self::default();
        for (key, value) in query::parse(query.unwrap_or_default()) {
            match key.as_str() {
                "pool" => read.pools.push(value),
                "apiVersion" => {
                    read.api_version = value.parse().map_or(read.api_version, ApiVersion)
                }
                _ => {}
            }
        }
        read
    }

    /// The target of a request that says this.
    #[must_use]
    pub fn target(&self) -> String {
        let version = self.api_version.to_string();
        let mut pairs = vec![("apiVersion", version.as_str())];
        pairs.extend(self.pools.iter().map(|pool| ("pool", pool.as_str())));
        query::target(crate::path::STATUS, &pairs)
    }
}

/// It could; what could not is told as an error with code 50 or 51.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamStatus {
    /// Those of the pools that do not exist.
    #[serde(deserialize_with = "or_default")]
    pub missing_pools: Vec<String>,
    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for IpamStatus {
    const NAME: &'static str = "IpamStatus";
}

/// `POST /ipam/conflict`: another host answers for an address that was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamConflictArgs {
    /// `CNI_CONTAINERID` of the ADD under way.
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub container_id: String,
    /// `CNI_IFNAME`.
    #[serde(deserialize_with = "or_default")]
    pub if_name: String,
    /// `K8S_POD_NAMESPACE`.
    #[serde(deserialize_with = "or_default")]
    pub pod_namespace: String,
    /// `K8S_POD_NAME`.
    #[serde(deserialize_with = "or_default")]
    pub pod_name: String,
    /// `K8S_POD_UID`, or empty.
    #[serde(rename = "podUID", deserialize_with = "or_default")]
    pub pod_uid: String,
    /// The address space, as it was granted.
    #[serde(deserialize_with = "or_default")]
    pub space: String,
    /// The address, without a length.
    #[serde(deserialize_with = "or_default")]
    pub address: String,
    /// The generation, as it was granted; at another one nothing is done.
    pub generation: Option<u64>,
    /// The hardware address of whoever answers, such as `02:00:00:00:00:07`.
    #[serde(deserialize_with = "or_default")]
    pub mac: String,
    /// The version that the plugin speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
    /// How long the plugin will wait for the reply, in milliseconds from its sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl Message for IpamConflictArgs {
    const NAME: &'static str = "IpamConflictArgs";

    fn missing(&self) -> Vec<&'static str> {
        let mut missing = empty(&[
            ("containerID", &self.container_id),
            ("ifName", &self.if_name),
            ("space", &self.space),
            ("address", &self.address),
            ("mac", &self.mac),
        ]);
        missing.extend(self.generation.is_none().then_some("generation"));
        missing
    }
}

/// What became of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamConflictResponse {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, for people; given unless the address is in quarantine.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version that the agent speaks.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
}

impl Message for IpamConflictResponse {
    const NAME: &'static str = "IpamConflictResponse";
}

/// What became of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The address is in quarantine; ask for another.
    Quarantined,
    /// The allocation had ended or changed meanwhile; ask for another.
    Gone,
    /// A static identity keeps the address and gets no other.
    Static,
    /// It looks like a router with proxy ARP, or too much of the pool is in quarantine; nothing is done.
    Spared,
    /// A word from the future: nothing more is to be asked for.
    #[default]
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    #[test]
    fn a_status_query_survives_its_way() {
        let query = IpamStatusQuery {
            api_version: ApiVersion::CURRENT,
            pools: vec!["blue".into(), "a b".into()],
        };
        let target = query.target();
        assert_eq!(target, "/v1/ipam/status?apiVersion=2&pool=blue&pool=a%20b");
        assert_eq!(IpamStatusQuery::read(target.split_once('?').map(|(_, query)| query)), query);
        assert_eq!(IpamStatusQuery::read(None), IpamStatusQuery::default());
        assert_eq!(IpamStatusQuery::read(Some("apiVersion=x&y=z")), IpamStatusQuery::default());
    }

    #[test]
    fn an_outcome_from_the_future_is_unknown() {
        let outcome = |body: &str| read::<IpamConflictResponse>(body.as_bytes()).unwrap().outcome;
        assert_eq!(outcome(r#"{"outcome": "Quarantined"}"#), Outcome::Quarantined);
        assert_eq!(outcome(r#"{"outcome": "Teleported", "x": 1}"#), Outcome::Unknown);
        assert_eq!(outcome("{}"), Outcome::Unknown);
    }
}
