//! The `SpiderEndpoint` of a pod.

use super::patch::{FINALIZER, NODE_LABEL, PROJECTED_FROM, Projection, replace};
use crate::cluster::workload::{Identity, Pod, Workload};
use crate::manifest::API_VERSION;
use serde_json::{Map, Value, json};
use spiderpool_core::address::Family;
use spiderpool_core::command::{Allocated, Granted};
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use std::collections::{BTreeMap, BTreeSet};

/// What an endpoint is made from.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSource<'a> {
    /// What the pod was told; for the interfaces in it, this is what counts.
    pub allocated: &'a Allocated,
    /// The pod.
    pub pod: &'a Pod,
    /// Whose the addresses are.
    pub identity: &'a Identity,
    /// What controls the pod.
    pub workload: &'a Workload,
    /// The pod's node.
    pub node: &'a Name,
    /// The MAC of an interface, where a provider has chosen it.
    pub macs: &'a BTreeMap<Name, String>,
    /// The highest revision of the blocks that the addresses are in.
    pub revision: Revision,
}

/// How the endpoint of a pod is made or brought up to date. Interfaces that the source does not speak
/// of keep what the present object says, if that is of the same pod or of a static identity; so do the
/// slots of a static identity, which are the protocol's.
#[must_use]
pub fn endpoint(source: &EndpointSource<'_>, present: Option<&Value>) -> Projection {
    let is_static = source.identity.kind.is_some();
    let pod_uid = source.pod.uid.as_str();
    let of_pod = |object: &&Value| object.pointer("/status/current/uid") == Some(&json!(pod_uid));
    let before = present.filter(|object| is_static || of_pod(object));
    let status = json!({
        "current": {"uid": pod_uid, "node": source.node.as_str(), "ips": ips(source, before)},
        "ownerControllerType": source.workload.kind,
        "ownerControllerName": source.workload.name.as_str(),
    });
    let mut wanted = json!({
        "apiVersion": API_VERSION,
        "kind": "SpiderEndpoint",
        "metadata": metadata(source, present),
        "status": status,
    });
    if let (true, None, Some(Value::Object(status))) =
        (is_static, present, wanted.get_mut("status"))
    {
        status.insert("slots".to_owned(), slots(source.allocated));
    }
    replace(present, wanted, source.revision)
}

/// The finalizers that an endpoint is to have: ours for a static identity as long as it stands, since
/// its slots must not outlive what names them; none for an ordinary pod, whose endpoint can be made
/// again. Those of others stay.
#[must_use]
pub fn finalizers(present: &[&str], keeps: bool) -> Vec<String> {
    let others = present.iter().filter(|finalizer| **finalizer != FINALIZER);
    let ours = keeps.then_some(FINALIZER);
    others.copied().chain(ours).map(str::to_owned).collect()
}

fn metadata(source: &EndpointSource<'_>, present: Option<&Value>) -> Value {
    let key = &source.identity.endpoint;
    let is_static = source.identity.kind.is_some();
    let list = |path: &str| present.and_then(|object| object.pointer(path)?.as_array());
    let before: Vec<_> =
        list("/metadata/finalizers").into_iter().flatten().filter_map(Value::as_str).collect();
    let owners = list("/metadata/ownerReferences").into_iter().flatten();
    let mut owners: Vec<_> =
        owners.filter(|owner| owner.get("kind") != Some(&json!("Pod"))).cloned().collect();
    if !is_static {
        owners.push(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "name": source.pod.name.as_str(),
            "uid": source.pod.uid.as_str(),
        }));
    }
    let finalizers = finalizers(&before, is_static);
    let mut metadata = Map::new();
    let mut put = |field: &str, value: Value| drop(metadata.insert(field.to_owned(), value));
    put("namespace", key.namespace.as_str().into());
    put("name", key.name.as_str().into());
    put("labels", json!({NODE_LABEL: source.node.as_str()}));
    put("annotations", json!({PROJECTED_FROM: source.revision.to_string()}));
    let known = |list: &[Value], path| {
        !list.is_empty() || present.is_some_and(|o| o.pointer(path).is_some())
    };
    let finalizers: Vec<Value> = finalizers.into_iter().map(Value::from).collect();
    if known(&finalizers, "/metadata/finalizers") {
        put("finalizers", Value::Array(finalizers));
    }
    if known(&owners, "/metadata/ownerReferences") {
        put("ownerReferences", Value::Array(owners));
    }
    Value::Object(metadata)
}

fn slots(allocated: &Allocated) -> Value {
    let slot = |granted: &Granted| {
        json!({
            "interface": granted.demand.attachment.as_str(),
            "space": granted.space.as_str(),
            "address": granted.address.addr().to_string(),
        })
    };
    allocated.addresses.iter().map(slot).collect()
}

/// One item for each interface, in the order of their names.
fn ips(source: &EndpointSource<'_>, before: Option<&Value>) -> Value {
    let mut items = BTreeMap::new();
    let list = before.and_then(|object| object.pointer("/status/current/ips")?.as_array());
    for item in list.into_iter().flatten() {
        let interface = item.get("interface").and_then(Value::as_str).unwrap_or_default();
        items.insert(interface.to_owned(), item.clone());
    }
    let allocated = source.allocated;
    let attachments: BTreeSet<_> =
        allocated.addresses.iter().map(|g| &g.demand.attachment).collect();
    for attachment in attachments {
        items.insert(attachment.to_string(), item(source, attachment));
    }
    items.into_values().collect()
}

fn item(source: &EndpointSource<'_>, attachment: &Name) -> Value {
    let allocated = source.allocated;
    let granted = allocated.addresses.iter().filter(|g| g.demand.attachment == *attachment);
    let mut item = Map::new();
    let mut put = |field: String, value: Value| drop(item.insert(field, value));
    put("interface".to_owned(), attachment.as_str().into());
    put("vlan".to_owned(), 0.into());
    let mut gateways = Vec::new();
    for granted in granted {
        let version = granted.demand.family.version();
        put(format!("ipv{version}"), granted.address.to_string().into());
        put(format!("ipv{version}Pool"), granted.pool.as_str().into());
        if let Some(gateway) = granted.gateway {
            put(format!("ipv{version}Gateway"), gateway.to_string().into());
            gateways.push(gateway);
        }
    }
    let routes = allocated.routes.iter().filter(|placed| placed.attachment == *attachment);
    let (defaults, routes): (Vec<_>, Vec<_>) =
        routes.map(|placed| placed.route).partition(|route| route.dst.prefix_len() == 0);
    let routed = |family| defaults.iter().any(|route| Family::of(route.gw) == family);
    let clean = !gateways.is_empty() && !gateways.iter().any(|gw| routed(Family::of(*gw)));
    put("cleanGateway".to_owned(), clean.into());
    // A default route through the gateway follows from the gateway; another one has to be listed.
    let listed = defaults.iter().filter(|route| !gateways.contains(&route.gw)).chain(&routes);
    let listed: Vec<_> =
        listed.map(|r| json!({"dst": r.dst.to_string(), "gw": r.gw.to_string()})).collect();
    if !listed.is_empty() {
        put("routes".to_owned(), Value::Array(listed));
    }
    if let Some(mac) = source.macs.get(attachment) {
        put("mac".to_owned(), mac.as_str().into());
    }
    Value::Object(item)
}
