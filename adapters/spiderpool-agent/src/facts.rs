//! What the agent knows of the cluster beside addresses: pods, namespaces, the node, owners.
//!
//! A trait, so that the handlers can be held against a world that a test makes. [`cluster`] is the one
//! that asks an API server.

mod cache;
pub mod cluster;
pub mod server;
pub mod watch;

use crate::soon::Soon;
use serde_json::Value;
use spiderpool_core::label::Labels;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::reclaim::NodeState;
use spiderpool_kube::cluster::workload::{Pod, Reading};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// What was last heard.
    Cached,
    /// What the server says at present, by a quorum read.
    Live,
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The cluster could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the API server was asked in vain for {what}: {why}")]
pub struct FactsFault {
    /// What was asked about.
    pub what: String,
    /// What happened.
    pub why: String,
    /// Whether it was a write that met somebody else's (409).
    pub is_conflict: bool,
}

/// Whoever knows the cluster.
pub trait Facts: Send + Sync + 'static {
    /// A pod, by namespace and name; `None` where there is none.
    fn pod<'a>(
        &'a self,
        key: &'a EndpointKey,
        freshness: Freshness,
    ) -> Soon<'a, Result<Option<Arc<Pod>>, FactsFault>>;

    /// The pods of this node, as last heard; `None` before the first list.
    fn pods_here(&self) -> Option<Vec<Arc<Pod>>>;

    /// The pods of this node, by a quorum read.
    fn list_here(&self) -> Soon<'_, Result<Vec<Pod>, FactsFault>>;

    /// How this node is, by a quorum read.
    fn node_state(&self) -> Soon<'_, Result<NodeState, FactsFault>>;

    /// The endpoints of this node's pods, as JSON; asked for once after a start.
    fn endpoints_here(&self) -> Soon<'_, Result<Vec<Value>, FactsFault>>;

    /// A namespace; `None` where there is none.
    fn namespace<'a>(
        &'a self,
        name: &'a Name,
    ) -> Soon<'a, Result<Option<Arc<Surroundings>>, FactsFault>>;

    /// The labels of this node.
    fn node_labels(&self) -> Soon<'_, Result<Arc<Labels>, FactsFault>>;

    /// An object of any kind, as JSON; of an owner that is not read live, its metadata is enough.
    fn object<'a>(
        &'a self,
        reading: &'a Reading,
    ) -> Soon<'a, Result<Option<Arc<Value>>, FactsFault>>;

    /// The endpoint of a pod, as JSON.
    fn endpoint<'a>(&'a self, key: &'a EndpointKey) -> Soon<'a, Result<Option<Value>, FactsFault>>;

    /// Every `SpiderCoordinator`, as JSON.
    fn coordinators(&self) -> Soon<'_, Result<Arc<Vec<Value>>, FactsFault>>;

    /// Whether a pool of that name exists.
    fn has_pool<'a>(&'a self, name: &'a str) -> Soon<'a, Result<bool, FactsFault>>;
}
