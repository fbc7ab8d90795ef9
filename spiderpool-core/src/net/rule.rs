//! Rules: which table a packet's route is looked up in.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LinkName, RouteProtocol};
use crate::address::Family;

/// A policy rule (`ip rule`). Rules are asked in the order of their priority, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// The family whose packets it is about.
    pub family: Family,
    /// When it is asked, from 0; 0 (local), 32766 (main) and 32767 (default) are the kernel's.
    pub priority: u32,
    /// Whether it is about packets that its selectors do *not* match.
    pub is_inverted: bool,
    /// Where packets come from.
    pub from: Option<IpNet>,
    /// Where packets go.
    pub to: Option<IpNet>,
    /// The link they came in by.
    pub input: Option<LinkName>,
    /// The link their socket is bound to.
    pub output: Option<LinkName>,
    /// The mark they carry.
    pub mark: Option<Mark>,
    /// What it says.
    pub action: RuleAction,
    /// Who made it.
    pub protocol: RouteProtocol,
    /// Whether it has attributes that this type has no field for: it is then nobody's but its maker's.
    pub has_more: bool,
}

impl Rule {
    /// A rule of ours that sends every packet of a family to a table.
    #[must_use]
    pub const fn new(family: Family, priority: u32, table: u32) -> Self {
        Self {
            family,
            priority,
            is_inverted: false,
            from: None,
            to: None,
            input: None,
            output: None,
            mark: None,
            action: RuleAction::Lookup(table),
            protocol: RouteProtocol::OURS,
            has_more: false,
        }
    }
}

/// A mark of a packet, or the part of it that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The value under the mask.
    pub value: u32,
    /// The bits that count.
    pub mask: u32,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RuleAction {
    /// Look in this table; go on with the next rule if it has no route.
    Lookup(u32),
    /// Another action, by its number (`FR_ACT_*`).
    Other(u8),
}
