//! An intent: what should be held, and what should not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::net::{Address, LinkName, Marks, Neighbour, Route, Rule, Side, Sysctl};
use crate::plan::{LinkChange, NewLink};

/// What two namespaces should hold and what they should not. What it does not speak of is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intent {
    /// Each wish, in the order in which people read them; the order of the steps is the plan's.
    pub wishes: Vec<Wish>,
}

/// One thing that should be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wish {
    /// In which namespace.
    pub side: Side,
    /// What should be so.
    pub want: Want,
    /// How long.
    pub tenure: Tenure,
    /// What for.
    pub reason: Reason,
}

/// What should be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Want {
    /// A link like this is there. Name, kind, and the settings that are given count.
    Link(NewLink),
    /// One thing about a link is so.
    Setting {
        /// The link.
        link: LinkName,
        /// What is so about it.
        change: LinkChange,
    },
    /// A link has this address.
    Address(Address),
    /// This neighbour is known for good.
    Neighbour(Neighbour),
    /// This route is there.
    Route(Route),
    /// This rule is there.
    Rule(Rule),
    /// A sysctl has this value.
    Sysctl(Sysctl, i64),
    /// Connections are marked like this.
    Marks(Marks),
    /// No link has this name.
    NoLink(LinkName),
    /// The link has not this address.
    NoAddress(Address),
    /// This neighbour is not known for good.
    NoNeighbour(Neighbour),
    /// This route is not there.
    NoRoute(Route),
    /// This rule is not there.
    NoRule(Rule),
    /// Connections are not marked by us.
    NoMarks,
}

/// Whom a wish serves, hence when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tenure {
    /// One attachment: it ends with that attachment.
    Attachment,
    /// All attachments of a pod: it ends with the last.
    Pod,
    /// The node: it is ensured, and never undone.
    Node,
}

/// What a wish is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The interface can be used.
    Interface,
    /// A pair of links joins pod and node.
    Pair,
    /// The node reaches the pod.
    NodeToPod,
    /// The pod reaches its node.
    PodToNode,
    /// The pod reaches services and the pods of the overlay through its node.
    Hijack,
    /// A reply leaves by the link that its request came in by.
    ReplyPath,
    /// What is sent from an interface's address leaves by that interface.
    SourceRouting,
    /// The default route is on the chosen interface.
    DefaultRoute,
    /// The user's own route.
    PolicyRoute,
    /// Left by a pod that is gone.
    Leftover,
    /// Put back as it was.
    Restored,
    /// The parent interface of pods' interfaces.
    ParentInterface,
}

impl fmt::Display for Reason {
    /// As the end of "so that …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface => "the interface can be used",
            Self::Pair => "a pair of links joins pod and node",
            Self::NodeToPod => "the node reaches the pod",
            Self::PodToNode => "the pod reaches its node",
            Self::Hijack => "services and overlay pods are reached through the node",
            Self::ReplyPath => "a reply leaves by the link that its request came in by",
            Self::SourceRouting => {
                "what is sent from an interface's address leaves by that interface"
            }
            Self::DefaultRoute => "the default route is on the chosen interface",
            Self::PolicyRoute => "the configured route is there",
            Self::Leftover => "nothing is left of a pod that is gone",
            Self::Restored => "it is as it was before",
            Self::ParentInterface => "pods' interfaces have their parent",
        })
    }
}
