//! A cluster in memory: what the agent asks of an API server.

use serde_json::{Value, json};
use spiderpool_agent::duty::project::Endpoints;
use spiderpool_agent::facts::{Facts, FactsFault, Freshness, Surroundings};
use spiderpool_agent::soon::Soon;
use spiderpool_core::label::Labels;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::project::Projection;
use spiderpool_kube::cluster::reclaim::NodeState;
use spiderpool_kube::cluster::workload::{Pod, Reading, lift_pod};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The cluster; everything can be changed while the agent runs.
#[derive(Debug, Default)]
pub(crate) struct World {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    live: BTreeMap<EndpointKey, Arc<Pod>>,
    cached: BTreeMap<EndpointKey, Arc<Pod>>,
    namespaces: BTreeMap<String, Arc<Surroundings>>,
    objects: BTreeMap<(String, String), Arc<Value>>,
    endpoints: BTreeMap<EndpointKey, Value>,
    coordinators: Vec<Value>,
    pools: BTreeSet<String>,
    is_away: bool,
    live_reads: usize,
    endpoint_writes: usize,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn key(pod: &str) -> EndpointKey {
    EndpointKey { namespace: name("default"), name: name(pod) }
}

/// A running pod of the node `worker-1`.
pub(crate) fn pod(pod: &str, uid: &str) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": pod, "uid": uid, "labels": {"app": "web"}},
        "spec": {"nodeName": "worker-1", "restartPolicy": "Always"},
        "status": {"phase": "Pending"},
    })
}

/// The same pod with annotations.
pub(crate) fn annotated(mut pod: Value, annotations: &[(&str, &str)]) -> Value {
    for (key, value) in annotations {
        pod["metadata"]["annotations"][*key] = json!(value);
    }
    pod
}

/// The same pod as a replica of a `StatefulSet`.
pub(crate) fn replica(mut pod: Value, set: &str) -> Value {
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet",
        "name": set, "uid": "s", "controller": true}]);
    pod
}

impl World {
    /// A pod is there, and the agent's watch has told of it.
    pub(crate) fn runs(&self, json: &Value) {
        self.runs_unheard(json);
        let pod = Arc::new(lift_pod(json).unwrap());
        let key = EndpointKey { namespace: pod.namespace.clone(), name: pod.name.clone() };
        self.inner.lock().unwrap().cached.insert(key, pod);
    }

    /// A pod is there, and the agent's watch is late.
    pub(crate) fn runs_unheard(&self, json: &Value) {
        let pod = Arc::new(lift_pod(json).unwrap());
        let key = EndpointKey { namespace: pod.namespace.clone(), name: pod.name.clone() };
        self.inner.lock().unwrap().live.insert(key, pod);
    }

    /// A pod was deleted, and the agent's watch is late.
    pub(crate) fn vanishes(&self, pod: &str) {
        self.inner.lock().unwrap().live.remove(&key(pod));
    }

    /// A pod was deleted, and the agent's watch has told of it.
    pub(crate) fn is_gone(&self, pod: &str) {
        self.vanishes(pod);
        self.inner.lock().unwrap().cached.remove(&key(pod));
    }

    pub(crate) fn annotate_namespace(&self, annotations: &[(&str, &str)]) {
        let annotations =
            annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let surroundings = Surroundings { labels: Labels::new(), annotations };
        let mut inner = self.inner.lock().unwrap();
        inner.namespaces.insert("default".to_owned(), Arc::new(surroundings));
    }

    pub(crate) fn has_object(&self, kind: &str, name: &str, object: Value) {
        let mut inner = self.inner.lock().unwrap();
        inner.objects.insert((kind.to_owned(), name.to_owned()), Arc::new(object));
    }

    pub(crate) fn has_endpoint(&self, pod: &str, endpoint: Value) {
        self.inner.lock().unwrap().endpoints.insert(key(pod), endpoint);
    }

    pub(crate) fn has_coordinator(&self, coordinator: Value) {
        self.inner.lock().unwrap().coordinators = vec![coordinator];
    }

    pub(crate) fn knows_pool(&self, pool: &str) {
        self.inner.lock().unwrap().pools.insert(pool.to_owned());
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.inner.lock().unwrap().is_away = is_away;
    }

    /// An endpoint, and how often endpoints were written.
    pub(crate) fn endpoint_of(&self, pod: &str) -> (Option<Value>, usize) {
        let inner = self.inner.lock().unwrap();
        (inner.endpoints.get(&key(pod)).cloned(), inner.endpoint_writes)
    }

    pub(crate) fn live_reads(&self) -> usize {
        self.inner.lock().unwrap().live_reads
    }

    fn told<T: Send + 'static>(
        &self,
        tell: impl FnOnce(&mut Inner) -> T,
    ) -> Soon<'_, Result<T, FactsFault>> {
        let mut inner = self.inner.lock().unwrap();
        let fault =
            FactsFault { what: "it".into(), why: "connection refused".into(), is_conflict: false };
        let told = if inner.is_away { Err(fault) } else { Ok(tell(&mut inner)) };
        Box::pin(async move { told })
    }
}

impl Facts for World {
    fn pod<'a>(
        &'a self,
        key: &'a EndpointKey,
        freshness: Freshness,
    ) -> Soon<'a, Result<Option<Arc<Pod>>, FactsFault>> {
        if freshness == Freshness::Cached {
            let found = self.inner.lock().unwrap().cached.get(key).cloned();
            return Box::pin(async move { Ok(found) });
        }
        self.told(|inner| {
            inner.live_reads += 1;
            inner.live.get(key).cloned()
        })
    }

    fn pods_here(&self) -> Option<Vec<Arc<Pod>>> {
        Some(self.inner.lock().unwrap().cached.values().cloned().collect())
    }

    fn list_here(&self) -> Soon<'_, Result<Vec<Pod>, FactsFault>> {
        self.told(|inner| inner.live.values().map(|pod| (**pod).clone()).collect())
    }

    fn node_state(&self) -> Soon<'_, Result<NodeState, FactsFault>> {
        self.told(|_| NodeState::Ready)
    }

    fn endpoints_here(&self) -> Soon<'_, Result<Vec<Value>, FactsFault>> {
        self.told(|inner| inner.endpoints.values().cloned().collect())
    }

    fn namespace<'a>(
        &'a self,
        name: &'a Name,
    ) -> Soon<'a, Result<Option<Arc<Surroundings>>, FactsFault>> {
        self.told(|inner| inner.namespaces.get(&**name).cloned())
    }

    fn node_labels(&self) -> Soon<'_, Result<Arc<Labels>, FactsFault>> {
        self.told(|_| Arc::new(Labels::new()))
    }

    fn object<'a>(
        &'a self,
        reading: &'a Reading,
    ) -> Soon<'a, Result<Option<Arc<Value>>, FactsFault>> {
        let key = (reading.kind.clone(), reading.name.to_string());
        self.told(move |inner| inner.objects.get(&key).cloned())
    }

    fn endpoint<'a>(&'a self, key: &'a EndpointKey) -> Soon<'a, Result<Option<Value>, FactsFault>> {
        self.told(|inner| inner.endpoints.get(key).cloned())
    }

    fn coordinators(&self) -> Soon<'_, Result<Arc<Vec<Value>>, FactsFault>> {
        self.told(|inner| Arc::new(inner.coordinators.clone()))
    }

    fn has_pool<'a>(&'a self, name: &'a str) -> Soon<'a, Result<bool, FactsFault>> {
        self.told(|inner| inner.pools.contains(name))
    }
}

impl Endpoints for World {
    fn write<'a>(
        &'a self,
        key: &'a EndpointKey,
        projection: Projection,
    ) -> Soon<'a, Result<bool, FactsFault>> {
        self.told(|inner| {
            inner.endpoint_writes += 1;
            match projection {
                Projection::Create(json) => inner.endpoints.insert(key.clone(), json).is_none(),
                Projection::Patch(patch) => {
                    let Some(present) = inner.endpoints.get_mut(key) else { return false };
                    merge(present, &patch);
                    true
                }
                Projection::Current | Projection::Newer { .. } => panic!("nothing to write"),
            }
        })
    }
}

/// A JSON merge patch (RFC 7386), as a server applies it.
fn merge(present: &mut Value, patch: &Value) {
    let (Value::Object(present), Value::Object(patch)) = (&mut *present, patch) else {
        *present = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            present.remove(key);
        } else {
            merge(present.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
