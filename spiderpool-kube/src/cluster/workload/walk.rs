//! The walk from a pod to the workload that controls it.
//!
//! Of the native kinds, a `ReplicaSet` may belong to a `Deployment` and a `Job` to a `CronJob`; these
//! two are read. Everything else is the workload itself: the owner of a `StatefulSet`, a `DaemonSet` or
//! a `Deployment` is never looked at, and an owner of any other group ends the walk at once.

use super::identity::Reading;
use super::pod::{BadPod, Controller, Pod, controller_of};
use serde_json::Value;
use spiderpool_core::name::Name;
use thiserror::Error;

/// What controls a pod in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Such as `apps/v1`; `v1` for a pod that nothing controls.
    pub api_version: String,
    /// Such as `Deployment`; `Pod` for a pod that nothing controls.
    pub kind: String,
    /// The pod's namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Kind and name of each controller from the pod's own to the workload; empty for a bare pod.
    pub chain: Vec<(String, Name)>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read this object's metadata and hand it to [`Walk::take`].
    Need(Reading),
    /// The walk has ended.
    Found(Workload),
}

/// The metadata of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its UID.
    pub uid: String,
    /// What controls it.
    pub controller: Option<Controller>,
}

impl Known {
    /// The metadata in an object's JSON.
    ///
    /// # Errors
    /// [`BadPod`] when the name of its controller cannot be one.
    pub fn lift(json: &Value) -> Result<Self, BadPod> {
        let uid = json.pointer("/metadata/uid").and_then(Value::as_str);
        Ok(Self { uid: uid.unwrap_or_default().to_owned(), controller: controller_of(json)? })
    }
}

/// An owner that the walk cannot pass.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{kind} `{namespace}/{name}`, which controls the pod, does not exist; the pod will be removed by the garbage collector, or ask again"
)]
pub struct WalkFault {
    /// The kind that was asked for.
    pub kind: String,
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
}

/// A walk under way. Reads may come from a cache first: an owner that is missing there, or has another
/// UID, is asked for again live.
#[derive(Clone, Debug)]
pub struct Walk {
    namespace: Name,
    pod: Name,
    chain: Vec<Controller>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Ended,
    Asking { live: bool },
}

/// What a native kind may be controlled by.
fn parent(controller: &Controller) -> Option<(&'static str, &'static str)> {
    match (&*controller.api_version, &*controller.kind) {
        ("apps/v1", "ReplicaSet") => Some(("apps/v1", "Deployment")),
        ("batch/v1", "Job") => Some(("batch/v1", "CronJob")),
        _ => None,
    }
}

impl Walk {
    /// A walk that begins at a pod.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        let chain: Vec<_> = pod.controller.iter().cloned().collect();
        let asks = chain.last().and_then(parent).is_some();
        let state = if asks { State::Asking { live: false } } else { State::Ended };
        Self { namespace: pod.namespace.clone(), pod: pod.name.clone(), chain, state }
    }

    /// What is to be done next.
    #[must_use]
    pub fn step(&self) -> Step {
        match (&self.state, self.chain.last()) {
            (State::Asking { live }, Some(last)) => Step::Need(Reading {
                api_version: last.api_version.clone(),
                kind: last.kind.clone(),
                namespace: self.namespace.clone(),
                name: last.name.clone(),
                live: *live,
            }),
            (State::Ended, Some(last)) => Step::Found(Workload {
                api_version: last.api_version.clone(),
                kind: last.kind.clone(),
                namespace: self.namespace.clone(),
                name: last.name.clone(),
                chain: self.chain.iter().map(|c| (c.kind.clone(), c.name.clone())).collect(),
            }),
            (State::Ended | State::Asking { .. }, None) => Step::Found(Workload {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: self.namespace.clone(),
                name: self.pod.clone(),
                chain: Vec::new(),
            }),
        }
    }

    /// Takes in what was read for the last [`Step::Need`]: the owner's metadata, or `None` when there
    /// is no such object.
    ///
    /// # Errors
    /// [`WalkFault`] when a live read finds no such owner, or another one of its name.
    pub fn take(&mut self, read: Option<&Known>) -> Result<(), WalkFault> {
        let (State::Asking { live }, Some(last)) = (&self.state, self.chain.last()) else {
            return Ok(());
        };
        let Some(known) = read.filter(|known| known.uid == last.uid) else {
            if *live {
                let (kind, name) = (last.kind.clone(), last.name.clone());
                return Err(WalkFault { kind, namespace: self.namespace.clone(), name });
            }
            self.state = State::Asking { live: true };
            return Ok(());
        };
        let above = parent(last);
        let controller = known.controller.as_ref();
        let next = controller.filter(|c| above == Some((&*c.api_version, &*c.kind)));
        self.chain.extend(next.cloned());
        self.state = State::Ended;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::workload::lift_pod;
    use serde_json::json;

    fn pod(owner: Option<(&str, &str, &str)>) -> Pod {
        let owners = owner.map(|(api, kind, name)| {
            json!([{"apiVersion": api, "kind": kind, "name": name, "uid": "u1", "controller": true}])
        });
        let metadata =
            json!({"namespace": "ns", "name": "p", "uid": "u", "ownerReferences": owners});
        lift_pod(&json!({"metadata": metadata})).unwrap()
    }

    fn owner(api_version: &str, kind: &str, name: &str) -> Controller {
        let name = Name::new(name).unwrap();
        Controller { api_version: api_version.into(), kind: kind.into(), name, uid: "u2".into() }
    }

    /// What the walk comes to; `above` is what controls the owner that is read.
    fn check(from: Option<(&str, &str, &str)>, above: Option<Controller>, expected: &str) {
        let mut walk = Walk::new(&pod(from));
        if let Step::Need(_) = walk.step() {
            walk.take(Some(&Known { uid: "u1".into(), controller: above })).unwrap();
        }
        let Step::Found(found) = walk.step() else { panic!("one read is enough") };
        let chain: Vec<_> = found.chain.iter().map(|(k, n)| format!("{k}:{n}")).collect();
        let told =
            format!("{} {} {} {}", found.api_version, found.kind, found.name, chain.join(","));
        assert_eq!(told.trim_end(), expected);
    }

    #[test]
    fn the_walk_ends_where_the_reference_ends_it() {
        check(None, None, "v1 Pod p");
        let replica = Some(("apps/v1", "ReplicaSet", "web-1"));
        let deployment = Some(owner("apps/v1", "Deployment", "web"));
        check(replica, deployment, "apps/v1 Deployment web ReplicaSet:web-1,Deployment:web");
        check(replica, None, "apps/v1 ReplicaSet web-1 ReplicaSet:web-1");
        let rollout = Some(owner("argoproj.io/v1alpha1", "Rollout", "web"));
        check(replica, rollout, "apps/v1 ReplicaSet web-1 ReplicaSet:web-1");
        let job = Some(("batch/v1", "Job", "tick-7"));
        let cron = Some(owner("batch/v1", "CronJob", "tick"));
        check(job, cron, "batch/v1 CronJob tick Job:tick-7,CronJob:tick");
        check(job, None, "batch/v1 Job tick-7 Job:tick-7");
        check(Some(("apps/v1", "DaemonSet", "d")), None, "apps/v1 DaemonSet d DaemonSet:d");
        check(
            Some(("v1", "ReplicationController", "r")),
            None,
            "v1 ReplicationController r ReplicationController:r",
        );
        let kruise = Some(("apps.kruise.io/v1alpha1", "CloneSet", "c"));
        check(kruise, None, "apps.kruise.io/v1alpha1 CloneSet c CloneSet:c");
    }

    /// #2349: a custom resource that owns a StatefulSet is never looked at.
    #[test]
    fn a_stateful_set_is_the_end_whatever_owns_it() {
        let walk = Walk::new(&pod(Some(("apps/v1", "StatefulSet", "redis"))));
        assert!(matches!(walk.step(), Step::Found(found) if found.kind == "StatefulSet"));
    }

    #[test]
    fn another_uid_is_read_live() {
        let mut walk = Walk::new(&pod(Some(("apps/v1", "ReplicaSet", "web-1"))));
        let live = |walk: &Walk| matches!(walk.step(), Step::Need(reading) if reading.live);
        assert!(!live(&walk));
        walk.take(Some(&Known { uid: "other".into(), controller: None })).unwrap();
        assert!(live(&walk));
        let told = walk.clone().take(None).unwrap_err().to_string();
        assert!(told.starts_with("ReplicaSet `ns/web-1`, which controls the pod, does not exist"));
        walk.take(Some(&Known { uid: "u1".into(), controller: None })).unwrap();
        assert!(matches!(walk.step(), Step::Found(_)));
    }
}
