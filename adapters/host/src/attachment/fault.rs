//! Why work on an attachment did not come to its end.

use super::RecordFault;
use spiderpool_core::intend::Refusal;
use spiderpool_core::plan::{Plan, PlanRefusal};
use spiderpool_netlink::{BadNamespace, Failed, NetlinkFault};
use thiserror::Error;

/// A namespace could not be entered or looked at.
#[derive(Debug, Error)]
pub enum SiteFault {
    /// The pod's namespace is none.
    #[error("the pod's network namespace cannot be used")]
    Pod(#[source] BadNamespace),
    /// The node's own namespace cannot be opened.
    #[error("the node's own network namespace cannot be opened; is /proc mounted?")]
    Host(#[source] BadNamespace),
    /// The kernel did not say what a namespace holds.
    #[error("what the namespaces hold cannot be observed")]
    Observe(#[source] NetlinkFault),
}

/// An ADD could not be served.
#[derive(Debug, Error)]
pub enum NotReady {
    /// Records cannot be written.
    #[error(transparent)]
    Records(#[from] RecordFault),
    /// The kernel does not answer.
    #[error(transparent)]
    Site(#[from] SiteFault),
}

/// Work on an attachment failed.
#[derive(Debug, Error)]
pub enum AttachmentFault {
    /// A namespace could not be entered or looked at.
    #[error(transparent)]
    Site(#[from] SiteFault),
    /// Records cannot be read or written.
    #[error(transparent)]
    Records(#[from] RecordFault),
    /// The rules said no; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no way from what is to what should be; nothing was changed.
    #[error("what interface `{interface}` needs cannot be made as things are")]
    NoPlan {
        /// The interface.
        interface: String,
        /// Why.
        #[source]
        source: PlanRefusal,
    },
    /// The kernel refused a step; what was done before was undone as far as the source says.
    #[error("the kernel refused a step for interface `{interface}`")]
    Failed {
        /// The interface.
        interface: String,
        /// Which step, why, and what became of those before it.
        #[source]
        source: Box<Failed>,
    },
    /// Every step was done, and still not all is as it should be: a bug, or somebody else at work.
    #[error(
        "interface `{interface}` is not as planned although every step was done; is another program changing it? What is missing:\n{plan}"
    )]
    NotHeld {
        /// The interface.
        interface: String,
        /// The steps that would still be needed.
        plan: Box<Plan>,
    },
    /// The attachment was made by this program, and its record is gone.
    #[error(
        "the pod holds what this program made, but there is no record of interface `{interface}`; detach and attach it again"
    )]
    RecordLost {
        /// The interface.
        interface: String,
    },
    /// The record is there and cannot be used.
    #[error(
        "the record of interface `{interface}` cannot be used: {why}; attach it again, or detach it"
    )]
    RecordUnreadable {
        /// The interface.
        interface: String,
        /// What is wrong with it.
        why: String,
    },
}
