//! All that two namespaces hold: the host's and a pod's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, Link, LinkName, Marking, Neighbour, Route, Rule, Sysctl};

/// Which of the two namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The node's own.
    Host,
    /// The pod's.
    Pod,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Host => Self::Pod,
            Self::Pod => Self::Host,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Pod => "pod",
        })
    }
}

/// What one namespace holds.
///
/// An observer may leave out what nobody asked for (tables, neighbours of a large host), and says so to
/// whoever plans with it: what is not in here cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Its links by name.
    pub links: BTreeMap<LinkName, Link>,
    /// Its addresses.
    pub addresses: BTreeSet<Address>,
    /// Its routes, the kernel's own included.
    pub routes: BTreeSet<Route>,
    /// Its rules, the kernel's own included.
    pub rules: BTreeSet<Rule>,
    /// Its neighbours.
    pub neighbours: BTreeSet<Neighbour>,
    /// Those of its settings that were asked for.
    #[serde(with = "super::sysctl::pairs")]
    pub sysctls: BTreeMap<Sysctl, i64>,
    /// What there is of the table that marks connections.
    pub marking: Marking,
}

/// What the host's namespace and a pod's hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scene {
    /// The host's.
    pub host: Observed,
    /// The pod's.
    pub pod: Observed,
}

impl Scene {
    /// What one side holds.
    #[must_use]
    pub const fn side(&self, side: Side) -> &Observed {
        match side {
            Side::Host => &self.host,
            Side::Pod => &self.pod,
        }
    }

    /// What one side holds, to change.
    #[must_use]
    pub const fn side_mut(&mut self, side: Side) -> &mut Observed {
        match side {
            Side::Host => &mut self.host,
            Side::Pod => &mut self.pod,
        }
    }
}
