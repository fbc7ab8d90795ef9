//! What an API server says of a pod, as far as addresses are concerned.

use crate::cluster::stamp;
use serde_json::Value;
use spiderpool_core::label::Labels;
use spiderpool_core::name::{BadName, Name};
use std::collections::BTreeMap;
use std::net::IpAddr;
use thiserror::Error;

/// The annotation that holds the hash of a static pod's configuration: on the node, its UID.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// The annotation that marks a mirror pod: what a server shows of a static pod.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its UID on the server.
    pub uid: Name,
    /// The node that it is bound to.
    pub node: Option<Name>,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What controls it.
    pub controller: Option<Controller>,
    /// When it is to be gone, if it was told to go.
    pub deletion: Option<Deletion>,
    /// What its spec and status say; `None` when only metadata was read.
    pub status: Option<Status>,
}

/// An owner reference with `controller: true`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Controller {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// The name of the object, which is in the pod's namespace.
    pub name: Name,
    /// The UID of the object.
    pub uid: String,
}

/// The end of a pod that was told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `deletionTimestamp`, in milliseconds since the Unix epoch: the grace period is part of it.
    pub at_ms: u64,
    /// `deletionGracePeriodSeconds`, in milliseconds.
    pub grace_ms: u64,
}

/// What a pod's spec and status say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its phase.
    pub phase: Phase,
    /// Whether its containers are started again.
    pub restart: Restart,
    /// Whether its reason is `Evicted`.
    pub is_evicted: bool,
    /// Whether it shares its node's network.
    pub host_network: bool,
    /// `terminationGracePeriodSeconds`, in milliseconds.
    pub grace_ms: u64,
    /// When the last of its containers ended, in milliseconds since the Unix epoch.
    pub finished_ms: Option<u64>,
    /// Its addresses, as its node reports them.
    pub ips: Vec<IpAddr>,
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all of its containers have started.
    Pending,
    /// It is bound to a node and runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, some badly.
    Failed,
    /// Its node cannot be asked, or a phase that is not known here.
    Unknown,
}

/// When the containers of a pod are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whenever they end.
    Always,
    /// When they end badly.
    OnFailure,
    /// Not at all.
    Never,
}

/// A value that is no pod.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadPod {
    /// A field that every pod has is not there, or of another type.
    #[error("the pod has no readable `{field}`")]
    Missing {
        /// The path of the field.
        field: &'static str,
    },
    /// A field is no name.
    #[error("`{field}` of the pod cannot be used")]
    Name {
        /// The path of the field.
        field: &'static str,
        /// Why.
        #[source]
        source: BadName,
    },
}

impl Pod {
    /// Whether the node knows this pod by a UID: its own, or for a mirror pod the hash of its
    /// configuration.
    #[must_use]
    pub fn is(&self, uid: &str) -> bool {
        *self.uid == *uid || self.mirrored().is_some_and(|hash| hash == uid)
    }

    /// The UID by which its node and its sandboxes know it.
    #[must_use]
    pub fn uid_on_node(&self) -> Name {
        let hash = self.mirrored().and_then(|hash| Name::new(hash).ok());
        hash.unwrap_or_else(|| self.uid.clone())
    }

    /// Whether it may have, or be given, addresses: the test that an ADD has to pass. A pod of which
    /// only metadata is known counts as alive unless it was told to go.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let ended = self.status.as_ref().is_some_and(|status| match status.phase {
            Phase::Succeeded => status.restart != Restart::Always,
            Phase::Failed => status.restart == Restart::Never || status.is_evicted,
            Phase::Pending | Phase::Running | Phase::Unknown => false,
        });
        self.deletion.is_none() && !ended
    }

    /// Whether its containers have come to an end: `Succeeded` or `Failed`.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let phase = self.status.as_ref().map(|status| status.phase);
        matches!(phase, Some(Phase::Succeeded | Phase::Failed))
    }

    /// Its controller, if that is of an API version and kind.
    #[must_use]
    pub fn controlled_by(&self, api_version: &str, kind: &str) -> Option<&Controller> {
        self.controller.as_ref().filter(|c| c.api_version == api_version && c.kind == kind)
    }

    fn mirrored(&self) -> Option<&str> {
        let is_mirror = self.annotations.contains_key(CONFIG_MIRROR);
        self.annotations.get(CONFIG_HASH).filter(|_| is_mirror).map(String::as_str)
    }
}

/// The pod that an API server's JSON describes. An object without `spec` and `status` (a metadata
/// read) gives a pod without [`Pod::status`].
///
/// # Errors
/// [`BadPod`] names the field that is missing or cannot be used.
///
/// ```
/// use spiderpool_kube::cluster::workload::lift_pod;
/// let json = serde_json::json!({
///     "metadata": {"namespace": "default", "name": "web-0", "uid": "5b4c"},
///     "spec": {"nodeName": "worker-1"},
///     "status": {"phase": "Running"},
/// });
/// let pod = lift_pod(&json)?;
/// assert!(pod.is_alive() && pod.is("5b4c"));
/// # Ok::<(), spiderpool_kube::cluster::workload::BadPod>(())
/// ```
pub fn lift_pod(json: &Value) -> Result<Pod, BadPod> {
    let controller = controller_of(json)?;
    let node = match text(json, "/spec/nodeName") {
        None | Some("") => None,
        Some(node) => Some(checked("spec.nodeName", node)?),
    };
    Ok(Pod {
        namespace: name(json, "/metadata/namespace", "metadata.namespace")?,
        name: name(json, "/metadata/name", "metadata.name")?,
        uid: name(json, "/metadata/uid", "metadata.uid")?,
        node,
        labels: texts(json, "/metadata/labels"),
        annotations: texts(json, "/metadata/annotations"),
        controller,
        deletion: deletion(json)?,
        status: json.get("status").or(json.get("spec")).map(|_| status(json)),
    })
}

/// The controller among an object's owner references.
///
/// # Errors
/// [`BadPod`] when its name cannot be one.
pub(super) fn controller_of(json: &Value) -> Result<Option<Controller>, BadPod> {
    let owners = json.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let is_controller = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
    let Some(owner) = owners.and_then(|owners| owners.iter().find(is_controller)) else {
        return Ok(None);
    };
    let part = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some(Controller {
        api_version: part("apiVersion"),
        kind: part("kind"),
        name: checked("metadata.ownerReferences.name", &part("name"))?,
        uid: part("uid"),
    }))
}

fn deletion(json: &Value) -> Result<Option<Deletion>, BadPod> {
    let Some(at) = json.pointer("/metadata/deletionTimestamp").filter(|at| !at.is_null()) else {
        return Ok(None);
    };
    let at_ms = at.as_str().and_then(stamp::parse);
    let at_ms = at_ms.ok_or(BadPod::Missing { field: "metadata.deletionTimestamp" })?;
    let grace_ms = seconds(json, "/metadata/deletionGracePeriodSeconds", 0);
    Ok(Some(Deletion { at_ms, grace_ms }))
}

fn status(json: &Value) -> Status {
    let phase = match text(json, "/status/phase").unwrap_or("Pending") {
        "Pending" => Phase::Pending,
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        _ => Phase::Unknown,
    };
    let restart = match text(json, "/spec/restartPolicy") {
        Some("Never") => Restart::Never,
        Some("OnFailure") => Restart::OnFailure,
        _ => Restart::Always,
    };
    let flag = json.pointer("/spec/hostNetwork").and_then(Value::as_bool);
    Status {
        phase,
        restart,
        is_evicted: text(json, "/status/reason") == Some("Evicted"),
        host_network: flag.unwrap_or(false),
        grace_ms: seconds(json, "/spec/terminationGracePeriodSeconds", 30),
        finished_ms: finished(json),
        ips: ips(json),
    }
}

/// When the last container ended, init containers included.
fn finished(json: &Value) -> Option<u64> {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let all = lists.iter().filter_map(|list| json.pointer(list)?.as_array()).flatten();
    let ended = all.filter_map(|one| one.pointer("/state/terminated/finishedAt")?.as_str());
    ended.filter_map(stamp::parse).max()
}

fn ips(json: &Value) -> Vec<IpAddr> {
    let listed = json.pointer("/status/podIPs").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(|one| one.get("ip")?.as_str());
    let ips: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
    let single = || text(json, "/status/podIP")?.parse().ok();
    if ips.is_empty() { single().into_iter().collect() } else { ips }
}

fn seconds(json: &Value, path: &str, default: u64) -> u64 {
    json.pointer(path).and_then(Value::as_u64).unwrap_or(default).saturating_mul(1000)
}

fn text<'a>(json: &'a Value, path: &str) -> Option<&'a str> {
    json.pointer(path)?.as_str()
}

fn texts(json: &Value, path: &str) -> BTreeMap<String, String> {
    let map = json.pointer(path).and_then(Value::as_object);
    let pairs = map.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn name(json: &Value, path: &str, field: &'static str) -> Result<Name, BadPod> {
    checked(field, text(json, path).ok_or(BadPod::Missing { field })?)
}

fn checked(field: &'static str, text: &str) -> Result<Name, BadPod> {
    Name::new(text).map_err(|source| BadPod::Name { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(extra: &Value) -> Pod {
        let mut whole = json!({
            "metadata": {"namespace": "default", "name": "web", "uid": "uid-1"},
            "spec": {"nodeName": "worker-1"},
            "status": {"phase": "Running"},
        });
        merge(&mut whole, extra);
        lift_pod(&whole).unwrap()
    }

    fn merge(whole: &mut Value, extra: &Value) {
        match (whole, extra) {
            (Value::Object(whole), Value::Object(extra)) => {
                for (key, value) in extra {
                    merge(whole.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (whole, extra) => *whole = extra.clone(),
        }
    }

    #[test]
    fn everything_is_lifted() {
        let lifted = pod(&json!({
            "metadata": {
                "labels": {"app": "web"},
                "annotations": {"a": "b"},
                "deletionTimestamp": "1970-01-01T00:01:00Z",
                "deletionGracePeriodSeconds": 20,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "first", "uid": "c"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": true},
                ],
            },
            "spec": {"hostNetwork": true, "restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 5},
            "status": {
                "phase": "Failed",
                "reason": "Evicted",
                "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "containerStatuses": [
                    {"state": {"terminated": {"finishedAt": "1970-01-01T00:00:09Z"}}},
                    {"state": {"terminated": {"finishedAt": "1970-01-01T00:00:07Z"}}},
                    {"state": {"running": {}}},
                ],
            },
        }));
        let status = Status {
            phase: Phase::Failed,
            restart: Restart::OnFailure,
            is_evicted: true,
            host_network: true,
            grace_ms: 5_000,
            finished_ms: Some(9_000),
            ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        };
        assert_eq!(lifted.status, Some(status));
        assert_eq!(lifted.deletion, Some(Deletion { at_ms: 60_000, grace_ms: 20_000 }));
        assert_eq!(lifted.controlled_by("apps/v1", "ReplicaSet").unwrap().uid, "r");
        assert_eq!((lifted.labels.len(), lifted.annotations.len()), (1, 1));
        assert_eq!(lifted.node.as_deref(), Some("worker-1"));
    }

    #[test]
    fn metadata_alone_makes_a_pod() {
        let json = json!({"metadata": {"namespace": "n", "name": "p", "uid": "u"}});
        let lifted = lift_pod(&json).unwrap();
        assert!(lifted.status.is_none() && lifted.is_alive() && !lifted.is_finished());
    }

    #[test]
    fn what_is_no_pod_names_the_field() {
        let told = |json: Value| lift_pod(&json).unwrap_err().to_string();
        assert_eq!(told(json!({})), "the pod has no readable `metadata.namespace`");
        let blank = json!({"metadata": {"namespace": "n", "name": "a b", "uid": "u"}});
        assert_eq!(told(blank), "`metadata.name` of the pod cannot be used");
        let deletion = json!({"metadata": {"namespace": "n", "name": "p", "uid": "u", "deletionTimestamp": "soon"}});
        assert_eq!(told(deletion), "the pod has no readable `metadata.deletionTimestamp`");
    }

    fn alive(phase: &str, restart: &str, reason: &str, expected: bool) {
        let json = json!({"spec": {"restartPolicy": restart}, "status": {"phase": phase, "reason": reason}});
        assert_eq!(pod(&json).is_alive(), expected, "{phase} {restart} {reason}");
    }

    #[test]
    fn the_alive_test_is_the_references() {
        for phase in ["Pending", "Running", "Unknown", "Strange"] {
            alive(phase, "Never", "", true);
        }
        alive("Succeeded", "Always", "", true);
        alive("Succeeded", "OnFailure", "", false);
        alive("Succeeded", "Never", "", false);
        alive("Failed", "Always", "", true);
        alive("Failed", "OnFailure", "", true);
        alive("Failed", "Never", "", false);
        alive("Failed", "Always", "Evicted", false);
        alive("Running", "Always", "Evicted", true);
        let told = pod(&json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}));
        assert!(!told.is_alive());
    }

    #[test]
    fn a_mirror_pod_is_known_by_its_hash() {
        let hash = json!({"metadata": {"annotations": {CONFIG_HASH: "h", CONFIG_MIRROR: "h"}}});
        let mirror = pod(&hash);
        assert!(mirror.is("uid-1") && mirror.is("h") && !mirror.is("other"));
        assert_eq!(&*mirror.uid_on_node(), "h");
        let forged = pod(&json!({"metadata": {"annotations": {CONFIG_HASH: "h"}}}));
        assert!(!forged.is("h") && &*forged.uid_on_node() == "uid-1");
    }
}
