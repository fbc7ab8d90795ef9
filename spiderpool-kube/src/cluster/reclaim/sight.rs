//! Snapshots: what a reader of the server, or a node, saw at one moment.
//!
//! A snapshot says what it covers; only what is covered and not in it is absent
//! (`sweep_tests::what_is_not_covered_is_not_absent`).

use crate::cluster::object::EndpointKey;
use crate::cluster::workload::Pod;
use serde_json::Value;
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What a snapshot covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The whole cluster.
    All,
    /// What belongs to one node.
    Node(Name),
    /// The object of one name.
    One(EndpointKey),
}

/// Pods as they were seen.
#[derive(Clone, Debug)]
pub struct PodsSeen {
    /// Which.
    pub coverage: Coverage,
    /// When the read was sent, in milliseconds since the Unix epoch; of a cache, when it was last
    /// known to be up to date.
    pub at_ms: u64,
    /// Whether it was a quorum read.
    pub live: bool,
    /// All of them.
    pub pods: Vec<Pod>,
}

/// How a node was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Its kubelet reports.
    Ready,
    /// Its kubelet does not report, or reports trouble.
    NotReady,
    /// Somebody has testified with the taint `node.kubernetes.io/out-of-service` that it is off.
    OutOfService,
    /// There is no such node.
    Gone,
}

/// Nodes as they were seen.
#[derive(Clone, Debug)]
pub struct NodesSeen {
    /// When the read was sent, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether it was a quorum read.
    pub live: bool,
    /// Whether a node that is not in it does not exist.
    pub complete: bool,
    /// Each by its name.
    pub nodes: BTreeMap<Name, NodeState>,
}

/// The sandboxes of a node, as its container runtime lists them.
#[derive(Clone, Debug)]
pub struct SandboxesSeen {
    /// The node.
    pub node: Name,
    /// When it was asked, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The ids of all sandboxes whose network is up.
    pub containers: BTreeSet<Name>,
}

/// Whether a static identity stands, by live reads.
#[derive(Clone, Debug)]
pub struct IdentitySeen {
    /// Which.
    pub key: EndpointKey,
    /// When the first of the reads was sent, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether it is valid.
    pub valid: bool,
}

/// Endpoints as they were seen.
#[derive(Clone, Debug)]
pub struct EndpointsSeen {
    /// Which. An endpoint is a node's by its label, so a node's list shows no absence.
    pub coverage: Coverage,
    /// When the read was sent, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether it was a quorum read.
    pub live: bool,
    /// All of them.
    pub endpoints: Vec<EndpointSeen>,
}

/// An endpoint, as far as reclaiming is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSeen {
    /// Its name.
    pub key: EndpointKey,
    /// The kind of the workload (`ownerControllerType`).
    pub owner_kind: String,
    /// The UID of the pod (`current.uid`).
    pub pod_uid: String,
    /// The addresses that it names.
    pub told: Vec<Told>,
}

/// An address that is named for an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The interface.
    pub attachment: String,
    /// The address space; `None` where only the address is written.
    pub space: Option<Name>,
    /// The address.
    pub address: IpAddr,
}

impl Told {
    /// Whether it is a place.
    pub(super) fn is(&self, place: &Place) -> bool {
        self.address == place.address && self.space.as_ref().is_none_or(|s| *s == place.space)
    }
}

/// How a node's JSON shows it.
#[must_use]
pub fn lift_node(json: &Value) -> NodeState {
    let list = |path: &str| json.pointer(path).and_then(Value::as_array);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let out =
        |taint: &Value| text(taint, "key").as_deref() == Some("node.kubernetes.io/out-of-service");
    if list("/spec/taints").is_some_and(|taints| taints.iter().any(out)) {
        return NodeState::OutOfService;
    }
    let is_ready = |condition: &Value| {
        text(condition, "type").as_deref() == Some("Ready")
            && text(condition, "status").as_deref() == Some("True")
    };
    match list("/status/conditions").is_some_and(|all| all.iter().any(is_ready)) {
        true => NodeState::Ready,
        false => NodeState::NotReady,
    }
}

/// What an endpoint's JSON says; `None` when it has no usable name. Its slots go before the addresses
/// that are told to people.
#[must_use]
pub fn lift_endpoint(json: &Value) -> Option<EndpointSeen> {
    let text = |path: &str| json.pointer(path).and_then(Value::as_str);
    let name = |path: &str| Name::new(text(path)?).ok();
    let key =
        EndpointKey { namespace: name("/metadata/namespace")?, name: name("/metadata/name")? };
    let slots = told_slots(json);
    Some(EndpointSeen {
        key,
        owner_kind: text("/status/ownerControllerType").unwrap_or_default().to_owned(),
        pod_uid: text("/status/current/uid").unwrap_or_default().to_owned(),
        told: if slots.is_empty() { told_ips(json) } else { slots },
    })
}

fn told_slots(json: &Value) -> Vec<Told> {
    let slots = json.pointer("/status/slots").and_then(Value::as_array);
    let told = slots.into_iter().flatten().filter_map(|slot| {
        Some(Told {
            attachment: slot.get("interface")?.as_str()?.to_owned(),
            space: Some(Name::new(slot.get("space")?.as_str()?).ok()?),
            address: slot.get("address")?.as_str()?.parse().ok()?,
        })
    });
    told.collect()
}

fn told_ips(json: &Value) -> Vec<Told> {
    let ips = json.pointer("/status/current/ips").and_then(Value::as_array);
    let told = ips.into_iter().flatten().flat_map(|nic| {
        let attachment = nic.get("interface").and_then(Value::as_str).unwrap_or_default();
        let both = ["ipv4", "ipv6"].into_iter().filter_map(|family| nic.get(family)?.as_str());
        let addresses = both.filter_map(|net| net.split('/').next()?.parse().ok());
        addresses.map(|address| Told { attachment: attachment.to_owned(), space: None, address })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_are_judged_by_condition_and_taint() {
        let node = |status: &str, taint: &str| {
            lift_node(&json!({
                "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": status}]},
            }))
        };
        assert_eq!(node("True", "other"), NodeState::Ready);
        assert_eq!(node("False", "other"), NodeState::NotReady);
        assert_eq!(node("Unknown", "other"), NodeState::NotReady);
        assert_eq!(node("True", "node.kubernetes.io/out-of-service"), NodeState::OutOfService);
        assert_eq!(lift_node(&json!({})), NodeState::NotReady);
    }

    #[test]
    fn slots_go_before_addresses() {
        let metadata = json!({"namespace": "ns", "name": "web-0"});
        let ips = json!([{"interface": "eth0", "ipv4": "10.0.0.2/16", "ipv6": "fd00::2/64"}]);
        let mut json = json!({"metadata": metadata, "status": {"current": {"uid": "u", "ips": ips}, "ownerControllerType": "StatefulSet"}});
        let seen = lift_endpoint(&json).unwrap();
        let told: Vec<_> = seen.told.iter().map(|told| told.address.to_string()).collect();
        assert_eq!(told, ["10.0.0.2", "fd00::2"]);
        assert_eq!((&*seen.pod_uid, &*seen.owner_kind), ("u", "StatefulSet"));
        json["status"]["slots"] =
            json!([{"interface": "eth0", "space": "red", "address": "10.0.0.9"}]);
        let seen = lift_endpoint(&json).unwrap();
        assert_eq!(seen.told.len(), 1);
        assert_eq!(seen.told[0].space.as_deref(), Some("red"));
        assert_eq!(lift_endpoint(&json!({"metadata": {}})), None);
    }
}
