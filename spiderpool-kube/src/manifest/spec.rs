//! The `spec` of each kind, with the field names of the reference in its canonical order.
//!
//! Plain values as serde sees them; [`super::read_value`] reads them strictly. `policy`,
//! `coolDownSeconds` and `space` are this project's own, and optional. Invariant: what is absent is
//! not written (`absent_fields_are_not_written`).

use serde::{Deserialize, Serialize};
use spiderpool_core::definition::{Policy, RouteDraft};
use std::collections::BTreeMap;

/// The spec of a `SpiderIPPool`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// 4 or 6; follows from `subnet` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<i64>,
    /// The prefix in network form.
    pub subnet: String,
    /// Addresses to give out: `a`, `a-b` or a prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// Addresses to leave out of `ips`.
    #[serde(default, rename = "excludeIPs", skip_serializing_if = "Vec::is_empty")]
    pub exclude_ips: Vec<String>,
    /// The default gateway of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Further routes; absent inherits those of the subnet, an empty list does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
    /// Labels of the pods it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_affinity: Option<LabelSelector>,
    /// Labels of the namespaces it serves; overridden by `namespaceName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_affinity: Option<LabelSelector>,
    /// Names of the namespaces it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_name: Vec<String>,
    /// Labels of the nodes it serves; overridden by `nodeName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_affinity: Option<LabelSelector>,
    /// Names of the nodes it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_name: Vec<String>,
    /// Networks it serves: `namespace/name`, or `name` in the agent's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub multus_name: Vec<String>,
    /// Whether requests that name no pool use it; absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Whether it gives out nothing for the time being; absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable: Option<bool>,
    /// Which free address is next; absent means the core's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// How long a released address rests, in seconds; absent means not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cool_down_seconds: Option<u64>,
    /// The address space; absent means `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
}

/// The spec of a `SpiderSubnet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// 4 or 6; follows from `subnet` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<i64>,
    /// The prefix in network form.
    pub subnet: String,
    /// Addresses that pools may be carved from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// Addresses to leave out of `ips`.
    #[serde(default, rename = "excludeIPs", skip_serializing_if = "Vec::is_empty")]
    pub exclude_ips: Vec<String>,
    /// What pools inherit when they name no gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// What pools inherit when they name no routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
    /// The address space; absent means `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
}

/// The spec of a `SpiderReservedIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedIPSpec {
    /// 4 or 6; follows from the first of `ips` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<i64>,
    /// Addresses that nobody may be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// The address space; absent means `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
}

/// A route as manifests write it, which is as the core drafts it: `dst` and `gw`.
pub type Route = RouteDraft;

/// A label selector as manifests write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must be present with exactly this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// One further requirement of a [`LabelSelector`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// At least one for `In` and `NotIn`, none otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_not_written() {
        let spec = PoolSpec { subnet: "10.0.0.0/8".into(), ..PoolSpec::default() };
        assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"subnet":"10.0.0.0/8"}"#);
        let spec = PoolSpec { routes: Some(vec![]), ..spec };
        assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"subnet":"10.0.0.0/8","routes":[]}"#);
    }
}
