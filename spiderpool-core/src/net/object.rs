//! One thing that a namespace can hold.

use serde::{Deserialize, Serialize};

use super::{Address, Link, Marks, Neighbour, Route, Rule, Sysctl};

/// One thing that a namespace can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Object {
    /// A network device.
    Link(Link),
    /// A link's IP address.
    Address(Address),
    /// A neighbour's hardware address.
    Neighbour(Neighbour),
    /// A route.
    Route(Route),
    /// A policy rule.
    Rule(Rule),
    /// A setting and its value.
    Sysctl(Sysctl, i64),
    /// The table that marks connections.
    Marks(Marks),
}
