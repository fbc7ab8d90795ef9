//! What the newest snapshots said, looked up by slot.
//!
//! A snapshot that is older than what is known changes nothing here
//! (`sweep_tests::snapshots_may_come_in_any_order`).

use super::decide::FRESH_MS;
use super::sight::{Coverage, EndpointSeen, EndpointsSeen, NodeState, NodesSeen, PodsSeen, Told};
use crate::cluster::object::EndpointKey;
use crate::cluster::workload::{IdentityKind, Pod};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use std::collections::BTreeMap;

/// How long the name of a vanished pod is remembered, in milliseconds.
const VANISHED_MS: u64 = 3_600_000;

/// When something was seen, and whether the server itself was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    pub(super) at_ms: u64,
    pub(super) live: bool,
}

/// The endpoint of a static identity.
pub(super) fn identity_key(owner: &Owner) -> Option<EndpointKey> {
    let (namespace, name) = owner.as_str().strip_prefix("identity/")?.split_once('/')?;
    Some(EndpointKey { namespace: Name::new(namespace).ok()?, name: Name::new(name).ok()? })
}

#[derive(Clone, Debug, Default)]
struct Snapshot {
    when: When,
    pods: BTreeMap<Name, Pod>,
}

/// Pods by the UID that their node knows them by.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    everywhere: Option<Snapshot>,
    by_node: BTreeMap<Name, Snapshot>,
    /// Names of pods that one snapshot showed and a later one did not.
    vanished: BTreeMap<Name, (EndpointKey, u64)>,
}

impl Pods {
    pub(super) fn take(&mut self, seen: PodsSeen) {
        let when = When { at_ms: seen.at_ms, live: seen.live };
        let pods = seen.pods.into_iter().map(|pod| (pod.uid_on_node(), pod)).collect();
        let snapshot = Snapshot { when, pods };
        let is_older = |before: &Snapshot| before.when.at_ms > seen.at_ms;
        let before = match seen.coverage {
            Coverage::One(_) => return,
            Coverage::All if self.everywhere.as_ref().is_some_and(is_older) => return,
            Coverage::All => self.everywhere.replace(snapshot),
            Coverage::Node(node) if self.by_node.get(&node).is_some_and(is_older) => return,
            Coverage::Node(node) => self.by_node.insert(node, snapshot),
        };
        for (uid, pod) in before.into_iter().flat_map(|before| before.pods) {
            let key = EndpointKey { namespace: pod.namespace, name: pod.name };
            self.vanished.insert(uid, (key, seen.at_ms));
        }
        self.vanished.retain(|_, (_, at_ms)| at_ms.saturating_add(VANISHED_MS) > seen.at_ms);
    }

    /// The pod of an incarnation by the newest snapshot that covers its node; `None` without any.
    pub(super) fn find(&self, holder: &Holder) -> Option<(Option<&Pod>, When)> {
        let uid = holder.pod_uid.as_ref()?;
        let both = self.by_node.get(&holder.node).into_iter().chain(&self.everywhere);
        let newest = both.max_by_key(|snapshot| snapshot.when.at_ms)?;
        Some((newest.pods.get(uid), newest.when))
    }

    /// The name of a pod that was seen before.
    pub(super) fn name_of(&self, uid: &Name) -> Option<&EndpointKey> {
        self.vanished.get(uid).map(|(key, _)| key)
    }
}

/// Nodes by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    known: BTreeMap<Name, (NodeState, When)>,
    complete: Option<When>,
}

impl Nodes {
    pub(super) fn take(&mut self, seen: NodesSeen) {
        let when = When { at_ms: seen.at_ms, live: seen.live };
        if self.complete.is_some_and(|all| all.at_ms > seen.at_ms) {
            return;
        }
        if seen.complete {
            self.complete = Some(when);
            self.known.retain(|_, (_, known)| known.at_ms > seen.at_ms);
        }
        for (node, state) in seen.nodes {
            if self.known.get(&node).is_none_or(|(_, known)| known.at_ms <= seen.at_ms) {
                self.known.insert(node, (state, when));
            }
        }
    }

    /// How a node is, and whether that was seen live just now.
    pub(super) fn find(&self, node: &Name, now_ms: u64) -> Option<(NodeState, bool)> {
        let gone = || self.complete.map(|when| (NodeState::Gone, when));
        let (state, when) = self.known.get(node).copied().or_else(gone)?;
        Some((state, when.live && when.at_ms.saturating_add(FRESH_MS) >= now_ms))
    }
}

/// Endpoints by name and by the UID of their pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    known: BTreeMap<EndpointKey, (Option<EndpointSeen>, When)>,
    by_uid: BTreeMap<String, EndpointKey>,
    complete: Option<When>,
}

impl Endpoints {
    pub(super) fn take(&mut self, seen: EndpointsSeen) {
        let when = When { at_ms: seen.at_ms, live: seen.live };
        if self.complete.is_some_and(|all| all.at_ms > seen.at_ms) {
            return;
        }
        if seen.coverage == Coverage::All {
            self.complete = Some(when);
            self.known.retain(|_, (_, known)| known.at_ms > seen.at_ms);
        }
        if let Coverage::One(key) = seen.coverage {
            let found = seen.endpoints.into_iter().find(|endpoint| endpoint.key == key);
            self.put(key, found, when);
        } else {
            for endpoint in seen.endpoints {
                self.put(endpoint.key.clone(), Some(endpoint), when);
            }
        }
        let uid = |(key, (seen, _)): (&EndpointKey, &(Option<EndpointSeen>, When))| {
            Some((seen.as_ref()?.pod_uid.clone(), key.clone()))
        };
        self.by_uid = self.known.iter().filter_map(uid).collect();
    }

    fn put(&mut self, key: EndpointKey, seen: Option<EndpointSeen>, when: When) {
        if self.known.get(&key).is_none_or(|(_, known)| known.at_ms <= when.at_ms) {
            self.known.insert(key, (seen, when));
        }
    }

    /// The endpoint of a slot's owner.
    pub(super) fn find(&self, holder: &Holder) -> Option<&EndpointSeen> {
        self.entry(holder).and_then(|(_, seen)| seen.0.as_ref())
    }

    fn entry(&self, holder: &Holder) -> Option<(&EndpointKey, &(Option<EndpointSeen>, When))> {
        match identity_key(&holder.owner) {
            Some(key) => self.known.get_key_value(&key),
            None => self.known.get_key_value(self.by_uid.get(&**holder.pod_uid.as_ref()?)?),
        }
    }

    /// What the endpoint of a slot's owner names, and when that was seen. A static identity without
    /// an endpoint has nothing named; of an ordinary pod without one, nothing is known.
    pub(super) fn told(&self, holder: &Holder) -> Option<(Vec<Told>, When)> {
        let told = |seen: &Option<EndpointSeen>| seen.as_ref().map(|seen| seen.told.clone());
        match self.entry(holder) {
            Some((_, (seen, when))) => Some((told(seen).unwrap_or_default(), *when)),
            None if holder.owner.is_static() => Some((Vec::new(), self.complete?)),
            None => None,
        }
    }

    /// The name of the pod of a slot, as far as an endpoint tells it: that of a virtual machine is not
    /// named like its pod.
    pub(super) fn pod_name(&self, holder: &Holder) -> Option<&EndpointKey> {
        let uid = holder.pod_uid.as_ref()?;
        let seen = self.find(holder)?;
        let is_machine = IdentityKind::of_owner(&seen.owner_kind) == Some(IdentityKind::Machine);
        (*seen.pod_uid == **uid && !is_machine).then_some(&seen.key)
    }
}
