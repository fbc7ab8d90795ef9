//! Showing what the node's pods have: their `SpiderEndpoint`s, made from what they were told.
//!
//! Nobody waits for it: an ADD marks its pod, and a while later, when several interfaces may have come, the
//! endpoint is written. It is a projection: lost marks are made good by the next one, and what is older than
//! what is there replaces nothing.
//!
//! Invariants, kept by `tests/conversations/project.rs`:
//! 1. The interfaces of one pod make one endpoint, written once (`an_endpoint_follows_its_pod`).
//! 2. A pod that is gone by then gets none (`a_pod_that_is_gone_has_no_endpoint`).

use crate::facts::{Facts, FactsFault, Freshness};
use crate::log::chain;
use crate::soon::Soon;
use crate::store::{Store, block_of};
use spiderpool_core::command::{Allocated, Place};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::port::Fault;
use spiderpool_kube::cluster::project::{EndpointSource, Pace, Projection, Projector, endpoint};
use spiderpool_kube::cluster::workload::{
    BadPod, Identity, Known, Pod, Step, Switches, Walk, WalkFault, Workload,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;

/// How many endpoints are written before others are looked at.
const AT_ONCE: usize = 8;

/// Wherever endpoints are written.
pub trait Endpoints: Send + Sync + 'static {
    /// Writes an endpoint as the projection says; `false` when somebody else wrote it meanwhile.
    fn write<'a>(
        &'a self,
        key: &'a EndpointKey,
        projection: Projection,
    ) -> Soon<'a, Result<bool, FactsFault>>;
}

/// What is to be shown.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    marked: Notify,
}

#[derive(Debug)]
struct Inner {
    projector: Projector<EndpointKey>,
    told: BTreeMap<EndpointKey, Told>,
}

/// What a pod was told last.
#[derive(Clone, Debug)]
struct Told {
    /// The UID of the pod.
    uid: Name,
    allocated: Allocated,
}

impl Default for Outbox {
    fn default() -> Self {
        let pace = Pace { settle_ms: 500, apart_ms: 2_000, retry_max_ms: 60_000 };
        let inner = Inner { projector: Projector::new(pace), told: BTreeMap::new() };
        Self { inner: Mutex::new(inner), marked: Notify::new() }
    }
}

impl Outbox {
    /// A pod was told all of these.
    pub fn mark(&self, pod: &Pod, allocated: &Allocated, now_ms: u64) {
        let key = EndpointKey { namespace: pod.namespace.clone(), name: pod.name.clone() };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.projector.mark(key.clone(), now_ms);
        let told = Told { uid: pod.uid.clone(), allocated: allocated.clone() };
        inner.told.insert(key, told);
        drop(inner);
        self.marked.notify_one();
    }

    fn due(&self, now_ms: u64) -> Vec<(EndpointKey, Option<Told>)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = inner.projector.due(now_ms, AT_ONCE);
        keys.into_iter().map(|key| (key.clone(), inner.told.get(&key).cloned())).collect()
    }

    fn ended(&self, key: &EndpointKey, is_done: bool, now_ms: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if is_done {
            inner.projector.done(key, now_ms);
        } else {
            inner.projector.failed(key, now_ms);
        }
    }

    fn forget(&self, key: &EndpointKey) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.projector.forget(key);
        inner.told.remove(key);
    }

    fn wake_at(&self) -> Option<u64> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).projector.wake_at()
    }
}

/// An endpoint could not be made.
#[derive(Debug, Error)]
pub enum ProjectFault {
    /// The cluster could not be asked or written to.
    #[error(transparent)]
    Facts(#[from] FactsFault),
    /// The blocks could not be read.
    #[error(transparent)]
    Store(#[from] Fault),
    /// The pod's workload is not to be found.
    #[error(transparent)]
    Walk(#[from] WalkFault),
    /// An owner cannot be read.
    #[error(transparent)]
    Owner(#[from] BadPod),
}

/// Writes endpoints.
pub struct Scribe {
    /// Whose pods.
    pub node: Name,
    /// The cluster.
    pub facts: Arc<dyn Facts>,
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// Where they are written.
    pub endpoints: Arc<dyn Endpoints>,
    /// What is to be written.
    pub outbox: Arc<Outbox>,
    /// Which identities outlive their pods.
    pub conf: crate::conf::reload::Present,
}

impl std::fmt::Debug for Scribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scribe").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Scribe {
    /// Writes what is due, for ever.
    pub async fn keep(self) {
        loop {
            let now_ms = now_ms();
            let pause = self.outbox.wake_at().map(|at_ms| at_ms.saturating_sub(now_ms));
            match pause {
                None => self.outbox.marked.notified().await,
                Some(0) => {}
                Some(ms) => {
                    let wait = Duration::from_millis(ms);
                    // A new mark may be due earlier.
                    tokio::time::timeout(wait, self.outbox.marked.notified()).await.ok();
                }
            }
            self.round(self::now_ms()).await;
        }
    }

    /// Writes what is due at a moment; how many were written.
    pub async fn round(&self, now_ms: u64) -> usize {
        let mut written = 0_usize;
        for (key, told) in self.outbox.due(now_ms) {
            let made = match told {
                Some(told) => self.make(&key, &told).await,
                None => Ok(None),
            };
            match made {
                Ok(Some(is_done)) => {
                    self.outbox.ended(&key, is_done, now_ms);
                    written = written.saturating_add(usize::from(is_done));
                }
                Ok(None) => self.outbox.forget(&key),
                Err(fault) => {
                    tracing::debug!(pod = %key, why = chain(&fault), "an endpoint is not written yet");
                    self.outbox.ended(&key, false, now_ms);
                }
            }
        }
        written
    }

    /// Brings one endpoint up to date; `None` where its pod is gone, `false` after a conflict.
    async fn make(&self, key: &EndpointKey, told: &Told) -> Result<Option<bool>, ProjectFault> {
        let pod = match self.facts.pod(key, Freshness::Cached).await? {
            Some(pod) if pod.uid == told.uid => Some(pod),
            _ => self.facts.pod(key, Freshness::Live).await?,
        };
        let Some(pod) = pod.filter(|pod| pod.uid == told.uid) else { return Ok(None) };
        let statics = self.conf.borrow().statics;
        let switches = Switches {
            stateful_sets: statics.stateful_sets,
            virtual_machines: statics.virtual_machines,
        };
        let identity = Identity::of(&pod, switches);
        let workload = self.workload(&pod).await?;
        let places = told.allocated.addresses.iter().map(|granted| {
            let (space, address) = (granted.space.clone(), granted.address.addr());
            block_of(&Place { space, address })
        });
        let blocks = self.store.blocks(places.collect()).await?;
        let revision = blocks.values().map(|(revision, _)| *revision).max().unwrap_or_default();
        let present = self.facts.endpoint(&identity.endpoint).await?;
        let source = EndpointSource {
            allocated: &told.allocated,
            pod: &pod,
            identity: &identity,
            workload: &workload,
            node: &self.node,
            macs: &BTreeMap::new(),
            revision,
        };
        match endpoint(&source, present.as_ref()) {
            Projection::Current | Projection::Newer { .. } => Ok(Some(true)),
            projection @ (Projection::Create(_) | Projection::Patch(_)) => {
                Ok(Some(self.endpoints.write(&identity.endpoint, projection).await?))
            }
        }
    }

    async fn workload(&self, pod: &Pod) -> Result<Workload, ProjectFault> {
        let mut walk = Walk::new(pod);
        loop {
            let reading = match walk.step() {
                Step::Found(workload) => return Ok(workload),
                Step::Need(reading) => reading,
            };
            let read = self.facts.object(&reading).await?;
            let known = read.as_deref().map(Known::lift).transpose()?;
            walk.take(known.as_ref())?;
        }
    }
}

fn now_ms() -> u64 {
    spiderpool_host::moment().map_or(0, |moment| moment.now_ms)
}
