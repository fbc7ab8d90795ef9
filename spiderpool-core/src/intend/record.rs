//! What is kept of an attachment for as long as it lasts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Configuration, Intent};
use crate::address::Family;
use crate::net::{LinkName, Object, Side};

/// What is kept on the node of one attachment.
///
/// With it an attachment can be checked, renewed and withdrawn although the pod, the cluster and the
/// configuration's source are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The number of this format: [`Record::FORMAT`].
    pub format: u32,
    /// The container's id.
    pub container: String,
    /// The pod's interface.
    pub interface: LinkName,
    /// What it was configured with.
    pub configuration: Configuration,
    /// How pod and node are joined.
    pub style: Style,
    /// The attachment by whose configuration what all attachments share is made; none where it left no
    /// record (a pod that another program joined to its node).
    pub founder: Option<Founder>,
    /// What should be so for as long as the attachment lasts.
    pub intent: Intent,
    /// The table in which the interface's own routes are; main for the first one of an underlay pod.
    pub table: u32,
    /// The node's address that is the gateway to what the node serves, for each family.
    pub gateways: BTreeMap<Family, IpAddr>,
    /// The interface that had the pod's default route when this one came.
    pub keeper: Option<LinkName>,
    /// The interface whose default route this attachment moved out of the main table.
    pub displaced: Option<Displaced>,
    /// What was there before and was changed or removed, to be put back.
    pub before: Vec<(Side, Object)>,
}

impl Record {
    /// The number of the format that this version writes.
    pub const FORMAT: u32 = 1;
}

/// How pod and node are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Style {
    /// By a pair of links of our own.
    Underlay,
    /// By another plugin's pair.
    Overlay,
    /// Not at all.
    Disabled,
}

/// The attachment that came first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Its interface.
    pub interface: LinkName,
    /// Its configuration.
    pub configuration: Configuration,
    /// The interface that had the pod's default route when it came.
    pub keeper: Option<LinkName>,
}

/// An interface whose default route is not in the main table for the sake of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Displaced {
    /// The interface.
    pub interface: LinkName,
    /// Where its routes are.
    pub table: u32,
}
