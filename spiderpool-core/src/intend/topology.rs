//! What an intent is made of, and what comes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Intent, Note, Record};
use crate::net::{LinkName, Scene};

/// All that [`intend`](super::intend) looks at beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// What the two namespaces hold.
    pub scene: Scene,
    /// The container's id, as the runtime gives it.
    pub container: String,
    /// The pod's interface that is attached.
    pub interface: LinkName,
    /// What is recorded of the pod's attachments; an earlier record of this one may be among them.
    pub attachments: Vec<Record>,
    /// The interfaces that the pod will have in the end, where somebody knows.
    pub expected: Option<Vec<LinkName>>,
    /// For each address of the pod, the node's own address from which the node would reach it.
    pub toward: BTreeMap<IpAddr, IpAddr>,
}

impl Topology {
    /// Gives what counts for the pod's other attachments while an interface is on its way out: neither
    /// its record nor its addresses, which die with the link, and with them every route that names one as
    /// its source (`what_is_renewed_before_the_first_one_is_gone_outlasts_it`).
    ///
    /// Its link and its routes stay: they are there until the plugin that made them is asked.
    #[must_use]
    pub fn leaving(mut self, interface: &LinkName) -> Self {
        self.attachments
            .retain(|record| record.container != self.container || record.interface != *interface);
        self.scene.pod.addresses.retain(|address| address.device != *interface);
        self
    }
}

/// An intent, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intended {
    /// What should be so.
    pub intent: Intent,
    /// What to keep, so that it can be renewed and withdrawn.
    pub record: Record,
    /// What was left out or done otherwise than asked, and why.
    pub notes: Vec<Note>,
}
