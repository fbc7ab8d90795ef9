//! What a pod asks for, and where the pools it may use are named.
//!
//! An adapter lifts its own world (CNI arguments, annotations, labels) into a [`Request`]; the
//! core never sees the originals.

use crate::address::Family;
use crate::definition::Route;
use crate::label::Labels;
use crate::name::Name;
use crate::owner::Holder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A request for the addresses of one attachment, and of its pod's other ones where they are
/// granted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who asks, through which incarnation, on which node.
    pub holder: Holder,
    /// The interface whose ADD this is.
    pub attachment: Name,
    /// The network that attaches it.
    pub network: Name,
    /// What the pod's surroundings are, for affinities.
    pub subject: Subject,
    /// Where pools are named.
    pub sources: Sources,
    /// Addresses that the attachment must get, at most one of each family.
    pub named: Vec<IpAddr>,
    /// Routes that the pod asks for; each goes to the attachment whose prefix has its next hop.
    pub routes: Vec<Route>,
    /// Whether the attachment gets no default route from its pool's gateway.
    pub clean_gateway: bool,
    /// What to do when only one of two families can be had.
    pub families: FamilyPolicy,
    /// When set, addresses of this family alone are given, whatever the sources name: the other one
    /// is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Family>,
    /// When set, a pool must have one of these addresses in its prefix (those of the master).
    pub master: Option<Vec<IpAddr>>,
    /// A number that grows in the order in which verbs for this container arrive.
    pub ticket: u64,
}

impl Request {
    /// Whether addresses of a family may be given.
    #[must_use]
    pub fn allows(&self, family: Family) -> bool {
        self.only.is_none_or(|only| only == family)
    }
}

/// What of a pod's surroundings pools can be tied to. The node's name is the holder's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// The pod's labels.
    pub pod_labels: Labels,
    /// The pod's namespace; empty where there is none.
    pub namespace: String,
    /// The labels of that namespace.
    pub namespace_labels: Labels,
    /// The labels of the node.
    pub node_labels: Labels,
    /// For each attachment the network (`namespace/name`) it comes from, as far as known.
    pub networks: BTreeMap<String, String>,
}

/// Names or patterns of pools, by family, in the order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolNames {
    /// Pools of IPv4.
    pub v4: Vec<String>,
    /// Pools of IPv6.
    pub v6: Vec<String>,
}

impl PoolNames {
    /// The names for one family.
    #[must_use]
    pub fn of(&self, family: Family) -> &[String] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Whether neither family is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The pools of one interface of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NicPools {
    /// The interface; `None` in all entries when each ADD claims the next one. An interface that
    /// holds addresses already has an entry that lists their pools.
    pub attachment: Option<Name>,
    /// Its pools.
    pub pools: PoolNames,
    /// Whether it gets no default route; `None` leaves that to the request.
    pub clean_gateway: Option<bool>,
}

/// Where pools are named, strongest first. The first source that names any pool wins entirely:
/// sources are never merged. Without any, the pools marked as default are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sources {
    /// The pod, for all its interfaces at once.
    pub per_nic: Option<Vec<NicPools>>,
    /// The pod, for whichever interface asks.
    pub pod: Option<PoolNames>,
    /// The pod's namespace.
    pub namespace: Option<PoolNames>,
    /// The network's configuration.
    pub configured: Option<PoolNames>,
}

/// What to do when only one of two demanded families can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FamilyPolicy {
    /// Refuse.
    #[default]
    Require,
    /// Grant the one.
    Prefer,
}

/// One address that a request asks for: an attachment and a family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Demand {
    /// The interface.
    pub attachment: Name,
    /// The family.
    pub family: Family,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.family, self.attachment)
    }
}
