//! The cluster as an API server tells of it.
//!
//! Pods of this node come from a watch; everything else is read when it is asked for, and remembered for
//! seconds. What a node keeps in memory does not grow with the cluster: sizes are bounded, and so are ages.

use super::cache::Cache;
use super::server::{Extent, Server, Writing, path};
use super::watch::OwnPods;
use super::{Facts, FactsFault, Freshness, Surroundings};
use crate::duty::project::Endpoints;
use crate::soon::Soon;
use serde_json::Value;
use spiderpool_core::label::Labels;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::project::Projection;
use spiderpool_kube::cluster::reclaim::{NodeState, lift_node};
use spiderpool_kube::cluster::wire::{NODE_LABEL, node_label};
use spiderpool_kube::cluster::workload::{Pod, Reading, lift_pod};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The group of our objects.
pub(crate) const GROUP: [&str; 3] = ["apis", "spiderpool.spidernet.io", "v2beta1"];

/// How long a namespace, the node and the coordinators are remembered.
const BRIEFLY: Duration = Duration::from_secs(5);
/// How long owners are remembered: a workload's owner does not change, and the walk asks again live where
/// a UID differs.
const WHILE: Duration = Duration::from_secs(300);

/// The cluster.
#[derive(Debug)]
pub struct Cluster {
    server: Arc<Server>,
    node: Name,
    pods: Arc<OwnPods>,
    namespaces: Cache<Name, Option<Arc<Surroundings>>>,
    node_labels: Cache<(), Arc<Labels>>,
    owners: Cache<Reading, Option<Arc<Value>>>,
    coordinators: Cache<(), Arc<Vec<Value>>>,
}

impl Cluster {
    /// The cluster behind a server, seen from a node.
    #[must_use]
    pub fn new(server: Arc<Server>, node: Name, pods: Arc<OwnPods>) -> Self {
        Self {
            server,
            node,
            pods,
            namespaces: Cache::new(BRIEFLY, 256),
            node_labels: Cache::new(BRIEFLY, 1),
            owners: Cache::new(WHILE, 512),
            coordinators: Cache::new(BRIEFLY, 1),
        }
    }

    async fn read(&self, segments: &[&str], extent: Extent) -> Result<Option<Value>, FactsFault> {
        match path(segments) {
            Some(path) => self.server.read(&path, extent).await,
            // Nothing of such a name can exist.
            None => Ok(None),
        }
    }

    async fn live_pod(&self, key: &EndpointKey) -> Result<Option<Arc<Pod>>, FactsFault> {
        let segments = ["api", "v1", "namespaces", &key.namespace, "pods", &key.name];
        let Some(json) = self.read(&segments, Extent::Whole).await? else { return Ok(None) };
        let pod = lift_pod(&json).map_err(|bad| unreadable(format!("pod {key}"), &bad))?;
        Ok(Some(Arc::new(pod)))
    }

    /// The items of a list; a selector goes behind the path.
    async fn list(&self, segments: &[&str], selector: &str) -> Result<Vec<Value>, FactsFault> {
        let Some(path) = path(segments) else { return Ok(Vec::new()) };
        let list = self.server.read(&format!("{path}?{selector}"), Extent::Whole).await?;
        Ok(match list.and_then(|mut list| list.get_mut("items").map(Value::take)) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        })
    }

    async fn list_pods(&self) -> Result<Vec<Pod>, FactsFault> {
        let selector = format!("fieldSelector=spec.nodeName%3D{}", self.node);
        let items = self.list(&["api", "v1", "pods"], &selector).await?;
        let fault = |bad| unreadable(format!("the pods of {}", self.node), &bad);
        items.iter().map(|item| lift_pod(item).map_err(fault)).collect()
    }

    async fn read_node_state(&self) -> Result<NodeState, FactsFault> {
        let node = self.read(&["api", "v1", "nodes", &self.node], Extent::Whole).await?;
        Ok(node.map_or(NodeState::Gone, |node| lift_node(&node)))
    }

    async fn list_endpoints(&self) -> Result<Vec<Value>, FactsFault> {
        let [apis, group, version] = GROUP;
        let selector = format!(
            "labelSelector={}%3D{}",
            NODE_LABEL.replace('/', "%2F"),
            node_label(&self.node)
        );
        self.list(&[apis, group, version, "spiderendpoints"], &selector).await
    }

    async fn read_namespace(&self, name: &Name) -> Result<Option<Arc<Surroundings>>, FactsFault> {
        if let Some(known) = self.namespaces.fresh(name, Instant::now()) {
            return Ok(known);
        }
        let json = self.read(&["api", "v1", "namespaces", name], Extent::Metadata).await?;
        let lifted = json.as_ref().map(|json| {
            let labels = texts(json, "/metadata/labels");
            Arc::new(Surroundings { labels, annotations: texts(json, "/metadata/annotations") })
        });
        self.namespaces.keep(name.clone(), lifted.clone(), Instant::now());
        Ok(lifted)
    }

    async fn read_node(&self) -> Result<Arc<Labels>, FactsFault> {
        if let Some(known) = self.node_labels.fresh(&(), Instant::now()) {
            return Ok(known);
        }
        let json = self.read(&["api", "v1", "nodes", &self.node], Extent::Metadata).await?;
        let Some(json) = json else {
            let why = "there is no such node; is SPIDERPOOL_NODE_NAME right?";
            return Err(unreadable(format!("node {}", self.node), &why));
        };
        let labels = Arc::new(texts(&json, "/metadata/labels"));
        self.node_labels.keep((), Arc::clone(&labels), Instant::now());
        Ok(labels)
    }

    async fn read_object(&self, reading: &Reading) -> Result<Option<Arc<Value>>, FactsFault> {
        let known = self.owners.fresh(reading, Instant::now()).filter(|_| !reading.live);
        if let Some(known) = known {
            return Ok(known);
        }
        let plural = format!("{}s", reading.kind.to_ascii_lowercase());
        let (group, version) = reading.api_version.split_once('/').unwrap_or(("", "v1"));
        let place = ["namespaces", &reading.namespace, &plural, &reading.name];
        let base: &[&str] = if group.is_empty() { &["api"] } else { &["apis", group] };
        let segments = [base, &[version], &place].concat();
        let extent = if reading.live { Extent::Whole } else { Extent::Metadata };
        let read = self.read(&segments, extent).await?.map(Arc::new);
        let key = Reading { live: false, ..reading.clone() };
        self.owners.keep(key, read.clone(), Instant::now());
        Ok(read)
    }

    async fn read_coordinators(&self) -> Result<Arc<Vec<Value>>, FactsFault> {
        if let Some(known) = self.coordinators.fresh(&(), Instant::now()) {
            return Ok(known);
        }
        let [apis, group, version] = GROUP;
        let list = self.read(&[apis, group, version, "spidercoordinators"], Extent::Whole).await?;
        let items = list.and_then(|mut list| list.get_mut("items").map(Value::take));
        let items = match items {
            Some(Value::Array(items)) => Arc::new(items),
            _ => Arc::default(),
        };
        self.coordinators.keep((), Arc::clone(&items), Instant::now());
        Ok(items)
    }
}

impl Facts for Cluster {
    fn pod<'a>(
        &'a self,
        key: &'a EndpointKey,
        freshness: Freshness,
    ) -> Soon<'a, Result<Option<Arc<Pod>>, FactsFault>> {
        match freshness {
            Freshness::Cached => {
                let found = self.pods.find(key);
                Box::pin(async move { Ok(found) })
            }
            Freshness::Live => Box::pin(self.live_pod(key)),
        }
    }

    fn pods_here(&self) -> Option<Vec<Arc<Pod>>> {
        self.pods.all()
    }

    fn list_here(&self) -> Soon<'_, Result<Vec<Pod>, FactsFault>> {
        Box::pin(self.list_pods())
    }

    fn node_state(&self) -> Soon<'_, Result<NodeState, FactsFault>> {
        Box::pin(self.read_node_state())
    }

    fn endpoints_here(&self) -> Soon<'_, Result<Vec<Value>, FactsFault>> {
        Box::pin(self.list_endpoints())
    }

    fn namespace<'a>(
        &'a self,
        name: &'a Name,
    ) -> Soon<'a, Result<Option<Arc<Surroundings>>, FactsFault>> {
        Box::pin(self.read_namespace(name))
    }

    fn node_labels(&self) -> Soon<'_, Result<Arc<Labels>, FactsFault>> {
        Box::pin(self.read_node())
    }

    fn object<'a>(
        &'a self,
        reading: &'a Reading,
    ) -> Soon<'a, Result<Option<Arc<Value>>, FactsFault>> {
        Box::pin(self.read_object(reading))
    }

    fn endpoint<'a>(&'a self, key: &'a EndpointKey) -> Soon<'a, Result<Option<Value>, FactsFault>> {
        Box::pin(async move {
            let [apis, group, version] = GROUP;
            let segments =
                [apis, group, version, "namespaces", &key.namespace, "spiderendpoints", &key.name];
            self.read(&segments, Extent::Whole).await
        })
    }

    fn coordinators(&self) -> Soon<'_, Result<Arc<Vec<Value>>, FactsFault>> {
        Box::pin(self.read_coordinators())
    }

    fn has_pool<'a>(&'a self, name: &'a str) -> Soon<'a, Result<bool, FactsFault>> {
        Box::pin(async move {
            let [apis, group, version] = GROUP;
            let found =
                self.read(&[apis, group, version, "spiderippools", name], Extent::Metadata).await?;
            Ok(found.is_some())
        })
    }
}

/// A map of texts in an object; empty where there is none.
fn texts(json: &Value, path: &str) -> BTreeMap<String, String> {
    let pairs = json.pointer(path).and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn unreadable(what: String, why: &impl std::fmt::Display) -> FactsFault {
    FactsFault { what, why: why.to_string(), is_conflict: false }
}

impl Endpoints for Cluster {
    fn write<'a>(
        &'a self,
        key: &'a EndpointKey,
        projection: Projection,
    ) -> Soon<'a, Result<bool, FactsFault>> {
        Box::pin(async move {
            let [apis, group, version] = GROUP;
            let all = [apis, group, version, "namespaces", &key.namespace, "spiderendpoints"];
            let one = path(&[&all[..], &[&key.name]].concat());
            let (Some(all), Some(one)) = (path(&all), one) else { return Ok(true) };
            match projection {
                Projection::Create(json) => self.server.replace(&all, Writing::Create, &json).await,
                Projection::Patch(json) => self.server.replace(&one, Writing::Merge, &json).await,
                Projection::Current | Projection::Newer { .. } => Ok(true),
            }
        })
    }
}
