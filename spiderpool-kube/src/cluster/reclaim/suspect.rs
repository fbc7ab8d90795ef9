//! A slot in doubt, and what is remembered of it between rounds.

use super::decide::classify;
use super::history::{History, Sighting, Standing};
use super::index::{When, identity_key};
use super::settings::GcSettings;
use super::sight::Coverage;
use crate::cluster::object::EndpointKey;
use crate::cluster::workload::Pod;
use spiderpool_core::name::Name;
use spiderpool_core::slots::Held;

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspect {
    /// Since when the slot is known with this generation.
    pub(super) known_ms: Option<u64>,
    /// The name of its pod, as far as that is known.
    pub(super) pod_key: Option<EndpointKey>,
    /// The pod, as it was seen last.
    pub(super) pod: Option<Pod>,
    pub(super) pods: History,
    pub(super) identity: History,
    pub(super) named: History,
    uid: Option<Name>,
    node: Option<Name>,
    identity_key: Option<EndpointKey>,
}

impl Suspect {
    /// One of which only the absence of its pod is known, from before a restart.
    pub(super) fn absent_since(since_ms: u64) -> Self {
        let mut suspect = Self { known_ms: Some(since_ms), ..Self::default() };
        let sighting = Sighting { at_ms: since_ms, standing: Standing::Absent, live: false };
        suspect.pods.note(sighting);
        suspect
    }

    /// Learns whose slot it is.
    pub(super) fn introduce(&mut self, held: &Held, now_ms: u64) {
        self.known_ms.get_or_insert(now_ms);
        self.uid.clone_from(&held.holder.pod_uid);
        self.node = Some(held.holder.node.clone());
        self.identity_key = identity_key(&held.holder.owner);
    }

    pub(super) const fn uid(&self) -> Option<&Name> {
        self.uid.as_ref()
    }

    pub(super) fn is_of(&self, identity: &EndpointKey) -> bool {
        self.identity_key.as_ref() == Some(identity)
    }

    /// Whether a snapshot of a coverage would show its pod.
    pub(super) fn is_covered(&self, coverage: &Coverage) -> bool {
        self.uid.is_some()
            && match coverage {
                Coverage::All => true,
                Coverage::Node(node) => self.node.as_ref() == Some(node),
                Coverage::One(key) => self.pod_key.as_ref() == Some(key),
            }
    }

    /// Notes how its pod was seen.
    pub(super) fn note_pod(&mut self, pod: Option<&Pod>, when: When, settings: &GcSettings) {
        if let Some(pod) = pod {
            let key = || EndpointKey { namespace: pod.namespace.clone(), name: pod.name.clone() };
            self.pod_key.get_or_insert_with(key);
            if self.pods.last_ms().is_none_or(|last_ms| when.at_ms >= last_ms) {
                self.pod = Some(pod.clone());
            }
        }
        let When { at_ms, live } = when;
        self.pods.note(Sighting { at_ms, standing: classify(pod, settings), live });
    }
}
