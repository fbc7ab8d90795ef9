//! Endpoints: the reference's fields, and the pointers of a static identity.
//!
//! `status.current.ips` is a projection that others write; nothing here touches it.

use super::error::BadObject;
use super::read::part;
use crate::cluster::object::{Endpoint, EndpointFacts, EndpointKey, Pointer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use std::net::IpAddr;

/// The present pod, on the server.
#[derive(Deserialize)]
struct Current {
    uid: String,
    node: String,
}

/// The workload, on the server.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    owner_controller_type: String,
    owner_controller_name: String,
}

/// A pointer, on the server.
#[derive(Serialize, Deserialize)]
struct Entry {
    interface: Name,
    space: Name,
    address: IpAddr,
}

/// The `status` of an endpoint.
pub(super) fn lower(endpoint: &Endpoint) -> Value {
    let Endpoint { facts, slots } = endpoint;
    let mut status = json!({
        "current": {"uid": facts.pod_uid, "node": facts.node},
        "ownerControllerType": facts.owner_kind,
        "ownerControllerName": facts.owner_name,
    });
    let slots: Vec<_> = slots.iter().map(lower_pointer).collect();
    if let Some(status) = status.as_object_mut().filter(|_| !slots.is_empty()) {
        status.insert("slots".to_owned(), json!(slots));
    }
    status
}

fn lower_pointer(pointer: &Pointer) -> Entry {
    let Pointer { attachment, place } = pointer.clone();
    Entry { interface: attachment, space: place.space, address: place.address }
}

/// The pod as the owner of an endpoint that goes with it.
pub(super) fn pod(facts: &EndpointFacts) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "name": facts.key.name, "uid": facts.pod_uid})
}

/// The endpoint that an object says.
pub(super) fn lift(key: &EndpointKey, json: &Value) -> Result<Endpoint, BadObject> {
    let Current { uid, node } = part(json, "/status/current")?;
    let Owner { owner_controller_type, owner_controller_name } = part(json, "/status")?;
    let slots = match json.pointer("/status/slots") {
        None | Some(Value::Null) => Vec::new(),
        Some(_) => part(json, "/status/slots")?,
    };
    let facts = EndpointFacts {
        key: key.clone(),
        pod_uid: uid,
        node,
        owner_kind: owner_controller_type,
        owner_name: owner_controller_name,
    };
    Ok(Endpoint { facts, slots: slots.into_iter().map(lift_pointer).collect() })
}

fn lift_pointer(entry: Entry) -> Pointer {
    let Entry { interface, space, address } = entry;
    Pointer { attachment: interface, place: Place { space, address } }
}
