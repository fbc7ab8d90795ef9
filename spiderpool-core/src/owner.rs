//! Who an address is allocated to, and through which pod incarnation.
//!
//! An allocation is keyed by (owner, attachment, family). The owner of an ordinary pod is its UID;
//! a static identity has a name of its own and outlives its pods; on a host without Kubernetes the
//! pair of network and container id is the owner.

use crate::name::{BadName, Name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The key of everything that one pod, one container or one static identity holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(Name);

impl Owner {
    /// An ordinary pod, by its UID.
    ///
    /// # Errors
    /// [`BadName`] when the text that names the owner would be longer than a name may be.
    pub fn pod(uid: &Name) -> Result<Self, BadName> {
        Name::new(&format!("pod/{uid}")).map(Self)
    }

    /// A container on a host without Kubernetes: its id is only unique within a network. A slash in
    /// the network's name is written `%2F`, so that no two pairs of names read the same
    /// (`network_and_container_are_told_apart_wherever_a_slash_stands`).
    ///
    /// # Errors
    /// [`BadName`] when the text that names the owner would be longer than a name may be.
    pub fn container(network: &Name, container: &Name) -> Result<Self, BadName> {
        let network = network.replace('%', "%25").replace('/', "%2F");
        Name::new(&format!("container/{network}/{container}")).map(Self)
    }

    /// A static identity, such as `default/web-0`: what it holds outlives every pod.
    ///
    /// # Errors
    /// [`BadName`] when the text that names the owner would be longer than a name may be.
    pub fn identity(name: &Name) -> Result<Self, BadName> {
        Name::new(&format!("identity/{name}")).map(Self)
    }

    /// The owner that a stored text names.
    ///
    /// # Errors
    /// [`BadName`] when the text is no name at all.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        Name::new(text).map(Self)
    }

    /// An owner of something that was checked when it came in; `None` when there is nothing.
    pub(crate) fn checked_before(text: &str) -> Option<Self> {
        Name::checked_before(text).map(Self)
    }

    /// Whether its addresses outlive its pods and are only given back by its own release.
    #[must_use]
    pub fn is_static(&self) -> bool {
        is_static(&self.0)
    }

    /// The text that names it: `pod/UID`, `container/NETWORK/ID` or `identity/NAME`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the text of an owner names a static identity.
pub(crate) fn is_static(owner: &str) -> bool {
    owner.starts_with("identity/")
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An owner with the incarnation through which it holds: pod UID and container id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Whose allocation it is.
    pub owner: Owner,
    /// The pod's UID, where there is one.
    pub pod_uid: Option<Name>,
    /// The sandbox's container id; `None` while a static identity has no pod.
    pub container: Option<Name>,
    /// The node that the pod runs on.
    pub node: Name,
}

impl Holder {
    /// The texts of owner, pod UID, container and node; empty where there is none.
    pub(crate) fn parts(&self) -> [&str; 4] {
        [
            self.owner.as_str(),
            self.pod_uid.as_deref().unwrap_or_default(),
            self.container.as_deref().unwrap_or_default(),
            &self.node,
        ]
    }
}

/// Where within its owner an allocation belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placement {
    /// The pool it was granted through.
    pub pool: Name,
    /// The interface name within the pod.
    pub attachment: Name,
    /// The network that attached it; `None` while it is only granted ahead.
    pub network: Option<Name>,
}

/// How far an allocation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Granted together with another interface of the pod; its own ADD has not come.
    Ahead,
    /// Its ADD has been answered.
    Attached,
    /// It belongs to a static identity that has no pod at present.
    Detached,
}
