//! What a cluster's custom resources say, read whole.
//!
//! Invariants:
//! 1. What cannot be read is kept with the reason (`what_is_unreadable_is_kept`).
//! 2. The view that is made of it is complete, so that the core's own functions answer as they do on
//!    the embedded store (`a_view_of_everything_is_complete`).

use super::api::{Progress, plural};
use super::fault::Fault;
use super::{AGENT_NAMESPACE, Cluster};
use crate::definition::Kind;
use crate::failure::Failure;
use crate::session::Session;
use serde_json::{Value, json};
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{Block, BlockKey};
use spiderpool_core::view::View;
use spiderpool_kube::cluster::object::{
    BlockBody, Body, Endpoint, EndpointKey, Index, IndexKey, Key, Ledger, Meta, Object,
};
use spiderpool_kube::cluster::wire::{self, Engine, engine_of};
use spiderpool_kube::manifest::{API_VERSION, Manifest, read_value};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// Pools, subnets and reservations.
    Definitions,
    /// Their blocks as well.
    Addresses,
    /// The index, the ledger and the endpoints as well.
    Everything,
}

/// An endpoint with what it tells of its pod's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) endpoint: Endpoint,
    /// `status.current.ips`: each address by its interface.
    pub(super) ips: Vec<(String, IpAddr)>,
}

/// What there is of a pool beside its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoolFacts {
    pub(super) engine: Engine,
    pub(super) deleting: bool,
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    objects: Vec<Object>,
    /// The manifests as they stand on the server.
    pub(crate) written: BTreeMap<(Kind, Name), Manifest>,
    pub(super) pools: BTreeMap<Name, PoolFacts>,
    pub(super) blocks: BTreeMap<BlockKey, (BlockBody, Meta)>,
    pub(super) indexes: BTreeMap<IndexKey, Index>,
    pub(super) ledger: Ledger,
    pub(super) endpoints: BTreeMap<EndpointKey, Told>,
    /// Objects that cannot be read, by kind and name, and why.
    pub(super) unreadable: BTreeMap<String, String>,
}

const DEFINITIONS: [(&str, &str); 3] = [
    ("SpiderReservedIP", "spiderreservedips"),
    ("SpiderSubnet", "spidersubnets"),
    ("SpiderIPPool", "spiderippools"),
];

const FURTHER: [(&str, &str); 3] = [
    ("SpiderBlockIndex", "spiderblockindexes"),
    ("SpiderLedger", "spiderledgers"),
    ("SpiderEndpoint", "spiderendpoints"),
];

impl Cluster {
    /// Lists what an extent takes in.
    pub(crate) fn state(&self, session: &Session, extent: Extent) -> Result<State, Failure> {
        let mut state = State::default();
        let mut kinds = DEFINITIONS.to_vec();
        if extent >= Extent::Addresses {
            kinds.push(("SpiderBlock", "spiderblocks"));
        }
        if extent == Extent::Everything {
            kinds.extend(FURTHER);
        }
        for (kind, name) in kinds {
            let mut progress = Progress::of(session, name);
            self.each(&plural(name), ("", ""), &mut progress, |json| state.take(kind, &json))
                .map_err(|fault| fault.tell(&format!("cannot list {name}")))?;
        }
        Ok(state)
    }

    /// The definitions, and one block: all that there is to one address.
    pub(super) fn around(&self, session: &Session, key: &BlockKey) -> Result<State, Failure> {
        let mut state = self.state(session, Extent::Definitions)?;
        let name = wire::block_name(key);
        let read = self.read(&plural("spiderblocks"), &name);
        let read = read.map_err(|fault| fault.tell(&format!("cannot read block {name}")))?;
        if let Some(json) = read {
            state.take("SpiderBlock", &json);
        }
        Ok(state)
    }

    /// The endpoint of one pod or identity as the server shows it.
    pub(super) fn endpoint_json(&self, key: &EndpointKey) -> Result<Option<Value>, Fault> {
        let at = wire::path(&Key::Endpoint(key.clone()));
        let path = super::api::kind_path(API_VERSION, at.namespace.as_deref(), at.plural);
        self.read(&path, &at.name)
    }

    /// The endpoint of one pod or identity.
    pub(super) fn endpoint(&self, key: &EndpointKey) -> Result<Option<Object>, Fault> {
        let read = self.endpoint_json(key)?;
        Ok(read.map(|json| wire::lift(&Key::Endpoint(key.clone()), &json, AGENT_NAMESPACE)))
    }
}

impl State {
    /// Takes in one item of a list.
    pub(super) fn take(&mut self, kind: &str, json: &Value) {
        let text = |path: &str| json.pointer(path).and_then(Value::as_str);
        let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
        let called = match (namespace, name.unwrap_or_default()) {
            (Some(namespace), name) => format!("{kind} {namespace}/{name}"),
            (None, name) => format!("{kind} {name}"),
        };
        let key = name.and_then(|name| wire::key_of(kind, name, namespace));
        let Some(key) = key else {
            let why = "no object of that kind is called so; it was made by hand: delete it";
            self.unreadable.insert(called, why.to_owned());
            return;
        };
        let object = wire::lift(&key, json, AGENT_NAMESPACE);
        if let Key::Pool(name) = &object.key {
            let facts = PoolFacts { engine: engine_of(json), deleting: object.meta.deleting };
            self.pools.insert(name.clone(), facts);
        }
        self.write_down(kind, json, &object);
        self.sort(called, json, object);
    }

    fn sort(&mut self, called: String, json: &Value, object: Object) {
        match (&object.key, &object.body) {
            (_, Body::Unreadable { why }) => drop(self.unreadable.insert(called, why.clone())),
            (Key::Block(key), Body::Block(body)) => {
                self.blocks.insert(key.clone(), (body.clone(), object.meta));
            }
            (Key::Index(key), Body::Index(index)) => {
                self.indexes.insert(key.clone(), index.clone());
            }
            (_, Body::Ledger(ledger)) => self.ledger = ledger.clone(),
            (Key::Endpoint(key), Body::Endpoint(endpoint)) => {
                let told = Told { endpoint: endpoint.clone(), ips: told_ips(json) };
                self.endpoints.insert(key.clone(), told);
            }
            _ => self.objects.push(object),
        }
    }

    /// Keeps the manifest of a definition as it stands there.
    fn write_down(&mut self, kind: &str, json: &Value, object: &Object) {
        let key = match &object.key {
            Key::Pool(name) => (Kind::Pool, name.clone()),
            Key::Subnet(name) => (Kind::Subnet, name.clone()),
            Key::Reservation(name) => (Kind::Reservation, name.clone()),
            Key::Block(_) | Key::Index(_) | Key::Ledger | Key::Endpoint(_) => return,
        };
        let read = read_value(&bare(kind, json)).ok().and_then(|mut documents| documents.pop());
        self.written.extend(read.map(|document| (key, document.manifest)));
    }

    /// Says what could not be read.
    pub(crate) fn warn(&self, session: &Session) {
        for (name, why) in &self.unreadable {
            session.note(&format!("warning: {name} is left out, since it cannot be read: {why}"));
        }
    }

    /// The state of all addresses. What cannot be read is not in it.
    pub(crate) fn view(&self) -> View {
        let mut view = View::complete();
        for object in &self.objects {
            let revision = object.meta.revision;
            match &object.body {
                Body::Reservation(reservation) => view.load_reservation(reservation, revision),
                Body::Subnet(subnet) => view.load_subnet(subnet, revision),
                Body::Pool(pool) => view.load_pool(&Arc::clone(pool), revision),
                Body::Block(_)
                | Body::Index(_)
                | Body::Ledger(_)
                | Body::Endpoint(_)
                | Body::Unreadable { .. } => {}
            }
        }
        for (key, (body, meta)) in &self.blocks {
            if let Ok(block) = Block::try_from(body.sheet.clone()) {
                view.load_block(key, block, meta.revision);
            }
        }
        view
    }

    /// The highest revision of a definition.
    pub(super) fn revision(&self) -> Revision {
        self.objects.iter().map(|object| object.meta.revision).max().unwrap_or_default()
    }

    /// Every definition as an object.
    pub(super) fn definitions(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }
}

/// A manifest as a person would have written it: without what the server adds.
fn bare(kind: &str, json: &Value) -> Value {
    let part = |path: &str| json.pointer(path).cloned().unwrap_or_else(|| json!({}));
    let mut annotations = part("/metadata/annotations");
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let metadata = json!({
        "name": part("/metadata/name"),
        "labels": part("/metadata/labels"),
        "annotations": annotations,
    });
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": part("/spec")})
}

/// The addresses that an endpoint tells of its pod, each by its interface.
pub(super) fn told_ips(json: &Value) -> Vec<(String, IpAddr)> {
    let listed = json.pointer("/status/current/ips").and_then(Value::as_array);
    let mut told = Vec::new();
    for entry in listed.into_iter().flatten() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        let interface = text("interface").unwrap_or_default();
        for address in [text("ipv4"), text("ipv6")].into_iter().flatten() {
            let plain = address.split_once('/').map_or(address, |(plain, _)| plain);
            told.extend(plain.parse().ok().map(|address| (interface.to_owned(), address)));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition;

    fn pool(name: &str) -> Value {
        json!({
            "metadata": {"name": name, "resourceVersion": "7", "uid": "u", "managedFields": []},
            "spec": {"subnet": "10.6.0.0/24", "ips": ["10.6.0.10-10.6.0.19"], "disable": false},
            "status": {"totalIPCount": 10},
        })
    }

    #[test]
    fn what_is_unreadable_is_kept() {
        let mut state = State::default();
        let mut bad = pool("blue");
        bad["spec"]["ips"] = json!(["nowhere"]);
        state.take("SpiderIPPool", &bad);
        state.take("SpiderBlock", &json!({"metadata": {"name": "by-hand"}}));
        let names: Vec<_> = state.unreadable.keys().map(String::as_str).collect();
        assert_eq!(names, ["SpiderBlock by-hand", "SpiderIPPool blue"]);
        assert!(Definition::find(&state.view(), Kind::Pool, "blue").is_none());
    }

    #[test]
    fn a_view_of_everything_is_complete() {
        let mut state = State::default();
        state.take("SpiderIPPool", &pool("blue"));
        let view = state.view();
        assert!(view.is_complete() && state.unreadable.is_empty());
        let found = Definition::find(&view, Kind::Pool, "blue").unwrap();
        assert_eq!(found.name().as_str(), "blue");
        assert!(state.written.contains_key(&(Kind::Pool, found.name().clone())));
    }

    #[test]
    fn endpoints_tell_addresses_with_or_without_prefix() {
        let json = json!({"status": {"current": {"ips": [
            {"interface": "eth0", "ipv4": "10.6.0.10/24", "ipv6": "fd00::1"},
            {"interface": "net1", "ipv4": "nonsense"},
        ]}}});
        let expected = [
            ("eth0".to_owned(), "10.6.0.10".parse().unwrap()),
            ("eth0".to_owned(), "fd00::1".parse().unwrap()),
        ];
        assert_eq!(told_ips(&json), expected);
    }
}
