//! The pods of this node, as a watch tells of them, and whether the API server answers.
//!
//! Invariants:
//! 1. Only pods of this node are held: the server filters by `spec.nodeName` (`own_pods_are_replaced_whole`
//!    shows that a list that begins anew leaves none behind).
//! 2. An API server that is away stops nothing: it is waited for, and the log and the probes say so.

use super::server::Server;
use crate::health::{Health, Part};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as ServedPod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource as _};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::workload::{Pod, lift_pod};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often a server that is away is called.
const CALL_EVERY: Duration = Duration::from_secs(2);

/// How often it is said that one is waited for.
const SAY_EVERY: u32 = 15;

type Pods = BTreeMap<EndpointKey, Arc<Pod>>;

/// The pods of this node.
#[derive(Debug)]
pub struct OwnPods {
    inner: Mutex<Inner>,
    /// Grows with each change.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// `None` before the first list.
    pods: Option<Pods>,
    /// A list that is under way.
    coming: Pods,
}

impl Default for OwnPods {
    fn default() -> Self {
        Self { inner: Mutex::default(), changes: watch::channel(0).0 }
    }
}

impl OwnPods {
    /// The pod of a name.
    #[must_use]
    pub fn find(&self, key: &EndpointKey) -> Option<Arc<Pod>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pods.as_ref()?.get(key).cloned()
    }

    /// All of them; `None` before the first list.
    #[must_use]
    pub fn all(&self) -> Option<Vec<Arc<Pod>>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pods.as_ref().map(|pods| pods.values().cloned().collect())
    }

    /// A number that grows with each change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn take(&self, event: Event<Pod>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { pods, coming } = &mut *inner;
        match event {
            Event::Init => coming.clear(),
            Event::InitApply(pod) => drop(coming.insert(key(&pod), Arc::new(pod))),
            Event::InitDone => *pods = Some(std::mem::take(coming)),
            Event::Apply(pod) => {
                drop(pods.get_or_insert_default().insert(key(&pod), Arc::new(pod)));
            }
            Event::Delete(pod) => drop(pods.get_or_insert_default().remove(&key(&pod))),
        }
        drop(inner);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows the pods of a node, for ever.
    pub async fn follow(self: Arc<Self>, server: Arc<Server>, node: Name, health: Arc<Health>) {
        let api: Api<ServedPod> = Api::all(server.client().clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if let Some(event) = lift(event) {
                        self.take(event);
                    }
                    if self.all().is_some() {
                        health.set(Part::Pods, Ok(()));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the watch of the node's pods was cut");
                    if self.all().is_none() {
                        health.set(Part::Pods, Err(crate::log::chain(&error)));
                    }
                    server.troubled.notify_one();
                }
            }
        }
    }
}

fn key(pod: &Pod) -> EndpointKey {
    EndpointKey { namespace: pod.namespace.clone(), name: pod.name.clone() }
}

/// The event with our own view of its pod; `None` for a pod that cannot be read.
fn lift(event: Event<ServedPod>) -> Option<Event<Pod>> {
    let pod = |pod: ServedPod| {
        let name = pod.meta().name.clone();
        let json = serde_json::to_value(pod).ok()?;
        lift_pod(&json).map_err(|bad| tracing::warn!(?name, %bad, "a pod is passed over")).ok()
    };
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(served) => Event::InitApply(pod(served)?),
        Event::Apply(served) => Event::Apply(pod(served)?),
        Event::Delete(served) => Event::Delete(pod(served)?),
    })
}

/// Waits until the API server answers, saying so, and from then on looks whenever somebody had no answer.
pub async fn attend(server: Arc<Server>, health: Arc<Health>) {
    loop {
        let mut calls = 0_u32;
        while let Err(why) = server.ready().await {
            if calls.is_multiple_of(SAY_EVERY) {
                let seconds = u64::from(calls).saturating_mul(CALL_EVERY.as_secs());
                tracing::warn!(why, seconds, "waiting for the API server");
            }
            health.set(Part::Server, Err(why));
            calls = calls.saturating_add(1);
            tokio::time::sleep(CALL_EVERY).await;
        }
        health.set(Part::Server, Ok(()));
        server.troubled.notified().await;
        // Not more often than this, however many had no answer.
        tokio::time::sleep(CALL_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, uid: &str) -> Pod {
        lift_pod(&json!({"metadata": {"namespace": "a", "name": name, "uid": uid}})).unwrap()
    }

    fn names(pods: &OwnPods) -> Option<Vec<String>> {
        pods.all().map(|all| all.iter().map(|pod| format!("{}={}", pod.name, pod.uid)).collect())
    }

    #[test]
    fn own_pods_are_replaced_whole() {
        let pods = OwnPods::default();
        let changes = pods.changes();
        pods.take(Event::Init);
        pods.take(Event::InitApply(pod("x", "1")));
        assert_eq!(names(&pods), None, "half a list is none");
        pods.take(Event::InitDone);
        pods.take(Event::Apply(pod("y", "2")));
        pods.take(Event::Apply(pod("x", "3")));
        assert_eq!(names(&pods).unwrap(), ["x=3", "y=2"]);
        pods.take(Event::Init);
        pods.take(Event::InitApply(pod("y", "2")));
        assert_eq!(names(&pods).unwrap(), ["x=3", "y=2"], "the old list holds meanwhile");
        pods.take(Event::InitDone);
        assert_eq!(names(&pods).unwrap(), ["y=2"]);
        pods.take(Event::Delete(pod("y", "2")));
        assert_eq!(names(&pods).unwrap(), [""; 0]);
        assert!(changes.has_changed().unwrap());
    }
}
