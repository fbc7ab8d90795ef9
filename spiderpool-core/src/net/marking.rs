//! Marks: replies leave by the link that their request came in by.

use serde::{Deserialize, Serialize};

use super::{LinkName, Mark};

/// What marks connections: one nftables table of ours, `inet spiderpool`, with
///
/// * prerouting (filter, priority mangle): a new connection that comes in by [`Marks::input`] gets
///   [`Marks::mark`], which its connection-tracking entry keeps;
/// * output (route, priority mangle): a packet of a connection that has the mark gets it again.
///
/// Only the mark's own bits are touched, in packets and in entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Marks {
    /// The link that connections come in by.
    pub input: LinkName,
    /// What they are marked with.
    pub mark: Mark,
}

/// What there is of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Marking {
    /// No such table.
    #[default]
    Absent,
    /// The table, as this project makes it.
    Present(Marks),
    /// A table of that name that is not as this project makes it, or lacks a part.
    Damaged,
}

impl Marking {
    /// The table's name; its family is `inet`.
    pub const TABLE: &'static str = "spiderpool";
}
