//! The encoding of the protocol's objects on an API server: `lift` from its JSON, and what is sent to
//! make and to change them.
//!
//! Whoever moves the protocol's bytes calls in here: [`path`] says where an object is, [`lift`] what
//! it says, [`create`] and [`patch`] what to send. There is no I/O and no client. All objects are of
//! [`API_VERSION`]; the definitions of their kinds are in `crds/`.
//!
//! Invariants:
//! 1. What is made reads back as it was (`what_is_made_reads_back`).
//! 2. A patch turns what is there into what is to be, touches nothing that does not differ, and fails
//!    when the object is at another revision (`a_patch_arrives`, `a_patch_is_small`).
//! 3. Whatever cannot be read for certain is [`Body::Unreadable`], with what to do about it
//!    (`damage_is_unreadable`); nothing makes the reader panic (`no_json_makes_it_panic`).

mod block;
mod definition;
mod endpoint;
mod error;
mod ledger;
mod name;
mod read;
#[cfg(test)]
mod tests;

pub use definition::{ENGINE_ANNOTATION, ENGINE_BLOCKS, Engine, engine_of, inherit};
pub use error::BadObject;
pub use name::{
    BLOCK_KIND, ENDPOINT_KIND, INDEX_KIND, LEDGER_KIND, LEDGER_NAME, Path, block_name, key_of,
    kind, node_label, parse_block_name, path,
};

use super::object::{Body, Endpoint, IndexKey, Key, Listing, Meta, Object};
use crate::manifest::{API_VERSION, SpiderIPPool, SpiderReservedIP, SpiderSubnet};
use serde_json::{Map, Value, json};
use spiderpool_core::event::Revision;

/// The finalizer of everything that must not go before its addresses are free.
pub const FINALIZER: &str = "spiderpool.spidernet.io";

/// The label of an endpoint that names the node of its pod; see [`node_label`].
pub const NODE_LABEL: &str = "ipam.spidernet.io/node";

/// An object as a server shows it. A bare network name in a pool lies in `agent_namespace`.
///
/// Items of a list, which tell no kind, are taken for what `key` says.
///
/// ```
/// use serde_json::json;
/// use spiderpool_kube::cluster::object::{Body, Key, Ledger};
/// use spiderpool_kube::cluster::wire::lift;
/// let json = |format| json!({
///     "kind": "SpiderLedger",
///     "metadata": {"name": "cluster", "resourceVersion": "7", "generation": 1},
///     "spec": {"format": format, "epoch": 3},
/// });
/// let read = lift(&Key::Ledger, &json(1), "kube-system");
/// assert_eq!(read.meta.revision, 7);
/// assert_eq!(read.body, Body::Ledger(Ledger { epoch: 3, recovery: None }));
/// assert!(matches!(lift(&Key::Ledger, &json(2), "kube-system").body, Body::Unreadable { .. }));
/// ```
#[must_use]
pub fn lift(key: &Key, json: &Value, agent_namespace: &str) -> Object {
    let (meta, read) = match lift_meta(json) {
        Ok(meta) => (meta, lift_body(key, json, meta, agent_namespace)),
        Err(why) => (Meta::default(), Err(why)),
    };
    let body = read.unwrap_or_else(|why| Body::Unreadable { why: why.to_string() });
    Object { key: key.clone(), meta, body }
}

/// What a server says of an object besides its content; a whole object or its metadata alone.
///
/// # Errors
/// [`BadObject::Revision`] when its `resourceVersion` is no decimal number (see KEP-5504).
pub fn lift_meta(json: &Value) -> Result<Meta, BadObject> {
    let metadata = json.get("metadata").unwrap_or(&Value::Null);
    let field = |name| metadata.get(name).unwrap_or(&Value::Null);
    let said = field("resourceVersion");
    let revision = said.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let revision = revision
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| BadObject::Revision { got: said.to_string() })?;
    let generation = field("generation").as_u64().unwrap_or_default();
    Ok(Meta { revision, generation, deleting: !field("deletionTimestamp").is_null() })
}

fn lift_body(
    key: &Key,
    json: &Value,
    meta: Meta,
    agent_namespace: &str,
) -> Result<Body, BadObject> {
    check_kind(key, json)?;
    check_name(key, json)?;
    Ok(match key {
        Key::Pool(_) => Body::Pool(definition::lift_pool(json, meta, agent_namespace)?),
        Key::Subnet(_) => Body::Subnet(definition::lift_subnet(json)?),
        Key::Reservation(_) => Body::Reservation(definition::lift_reservation(json)?),
        Key::Block(block) => Body::Block(block::lift(block, json)?),
        Key::Index(index) => Body::Index(ledger::lift_index(index, json)?),
        Key::Ledger => Body::Ledger(ledger::lift_ledger(json)?),
        Key::Endpoint(endpoint) => Body::Endpoint(endpoint::lift(endpoint, json)?),
    })
}

fn check_kind(key: &Key, json: &Value) -> Result<(), BadObject> {
    let text = |field, default| json.get(field).map_or(Some(default), Value::as_str);
    let expected = kind(key);
    match (text("kind", expected), text("apiVersion", API_VERSION)) {
        (Some(kind), Some(API_VERSION)) if kind == expected => Ok(()),
        (kind, version) => {
            let (kind, version) = (kind.unwrap_or("nothing"), version.unwrap_or("no version"));
            Err(BadObject::Kind { got: format!("{kind} of `{version}`"), expected })
        }
    }
}

fn check_name(key: &Key, json: &Value) -> Result<(), BadObject> {
    let Path { namespace, name, .. } = path(key);
    let full = |namespace: Option<&str>, name: &str| match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let said = |field| json.pointer(field).and_then(Value::as_str);
    let got = full(said("/metadata/namespace"), said("/metadata/name").unwrap_or_default());
    let expected = full(namespace.as_deref(), &name);
    if got == expected { Ok(()) } else { Err(BadObject::Named { got, expected }) }
}

/// The object to send when one of this name and content is to be made.
///
/// A block and a static identity's endpoint get the [`FINALIZER`]; the endpoint of an ordinary pod
/// gets the pod as its owner instead, and goes with it.
///
/// An unreadable body is never written: it gives null, which every server refuses.
#[must_use]
pub fn create(key: &Key, body: &Body) -> Value {
    let Some((mut metadata, part, content)) = lower(key, body) else {
        return Value::Null;
    };
    let Path { namespace, name, .. } = path(key);
    metadata.insert("name".to_owned(), Value::String(name));
    metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), json!(namespace))));
    let kept = match body {
        Body::Block(_) | Body::Pool(_) | Body::Subnet(_) => true,
        Body::Endpoint(endpoint) => !endpoint.slots.is_empty(),
        Body::Reservation(_) | Body::Index(_) | Body::Ledger(_) | Body::Unreadable { .. } => false,
    };
    if kept {
        metadata.insert("finalizers".to_owned(), json!([FINALIZER]));
    }
    let mut content = content;
    if let Body::Endpoint(endpoint) = body {
        complete(&mut metadata, &mut content, endpoint);
    }
    json!({"apiVersion": API_VERSION, "kind": kind(key), "metadata": metadata, part: content})
}

/// Adds what only a new endpoint says: the pod that it goes with, and that nothing is projected yet.
fn complete(metadata: &mut Map<String, Value>, status: &mut Value, endpoint: &Endpoint) {
    if endpoint.slots.is_empty() {
        let owners = json!([endpoint::pod(&endpoint.facts)]);
        metadata.insert("ownerReferences".to_owned(), owners);
    }
    if let Some(current) = status.pointer_mut("/current").and_then(Value::as_object_mut) {
        current.insert("ips".to_owned(), json!([]));
    }
}

/// The JSON merge patch (RFC 7386) that turns the object at revision `base`, whose body `was` read,
/// into one with another body. A server refuses it with 409 at any other revision.
///
/// An endpoint that becomes a static identity's gets the [`FINALIZER`] and loses its owner.
#[must_use]
pub fn patch(key: &Key, base: Revision, was: &Body, body: &Body) -> Value {
    let (Some(was_parts), Some(parts)) = (lower(key, was), lower(key, body)) else {
        return Value::Null;
    };
    let (was_metadata, _, was_content) = was_parts;
    let (metadata, part, content) = parts;
    let (was_metadata, metadata) = (Value::Object(was_metadata), Value::Object(metadata));
    let mut changed = difference(&was_metadata, &metadata).unwrap_or_default();
    changed.insert("resourceVersion".to_owned(), Value::String(base.to_string()));
    if let (Body::Endpoint(before), Body::Endpoint(after)) = (was, body)
        && before.slots.is_empty()
        && !after.slots.is_empty()
    {
        changed.insert("finalizers".to_owned(), json!([FINALIZER]));
        changed.insert("ownerReferences".to_owned(), Value::Null);
    }
    let mut patch = json!({"metadata": changed});
    if let (Some(content), Some(patch)) =
        (difference(&was_content, &content), patch.as_object_mut())
    {
        patch.insert(part.to_owned(), Value::Object(content));
    }
    patch
}

/// The JSON merge patch that lists a block in a shard of the index, whatever the shard's revision.
/// A shard that does not exist (404) is made by [`create`] with that entry alone.
#[must_use]
pub fn list_patch(index: &IndexKey, first: u128, listing: &Listing) -> Value {
    json!({"spec": ledger::lower_entry(index, first, listing)})
}

/// A body as labels, the name of its part (`spec` or `status`), and that part.
fn lower(key: &Key, body: &Body) -> Option<(Map<String, Value>, &'static str, Value)> {
    let plain = |content| Some((Map::new(), "spec", content));
    let labelled = |(spec, labels): (Value, Value)| {
        let mut metadata = Map::new();
        if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
            metadata.insert("labels".to_owned(), labels);
        }
        Some((metadata, "spec", spec))
    };
    match (key, body) {
        (_, Body::Pool(pool)) => labelled(definition::lower(&SpiderIPPool::lower(pool))),
        (_, Body::Subnet(subnet)) => labelled(definition::lower(&SpiderSubnet::lower(subnet))),
        (_, Body::Reservation(reservation)) => {
            labelled(definition::lower(&SpiderReservedIP::lower(reservation)))
        }
        (Key::Block(block), Body::Block(body)) => plain(block::lower(block, body)),
        (Key::Index(key), Body::Index(index)) => plain(ledger::lower_index(key, index)),
        (_, Body::Ledger(ledger)) => plain(ledger::lower_ledger(ledger)),
        (_, Body::Endpoint(endpoint)) => {
            let labels = json!({NODE_LABEL: node_label(&endpoint.facts.node)});
            let metadata = Map::from_iter([("labels".to_owned(), labels)]);
            Some((metadata, "status", endpoint::lower(endpoint)))
        }
        (_, Body::Block(_) | Body::Index(_) | Body::Unreadable { .. }) => None,
    }
}

/// The merge patch between two values that hold no null: `None` when they are equal.
fn difference(was: &Value, now: &Value) -> Option<Map<String, Value>> {
    let (Value::Object(was), Value::Object(now)) = (was, now) else {
        return None;
    };
    let gone = was.keys().filter(|key| !now.contains_key(*key)).map(|key| (key, Value::Null));
    let changed = now.iter().filter_map(|(key, now)| {
        let merged = match (was.get(key), now) {
            (Some(was), now) if was == now => return None,
            (Some(was @ Value::Object(_)), Value::Object(_)) => {
                difference(was, now).map(Value::Object)
            }
            (_, now) => Some(now.clone()),
        };
        merged.map(|merged| (key, merged))
    });
    let patch: Map<_, _> = gone.chain(changed).map(|(key, value)| (key.clone(), value)).collect();
    (!patch.is_empty()).then_some(patch)
}
