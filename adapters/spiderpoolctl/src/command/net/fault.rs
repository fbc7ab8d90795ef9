//! What keeps an attachment from being planned, looked at or mended, as a failure of the command.

use crate::failure::Failure;
use spiderpool_host::attachment::{AttachmentFault, SiteFault};

/// Whose fault it is, with all causes.
pub(crate) fn of(fault: &AttachmentFault) -> Failure {
    match fault {
        AttachmentFault::Refused(_) | AttachmentFault::NoPlan { .. } => {
            Failure::refused("the rules say no; nothing was changed").because(fault)
        }
        AttachmentFault::Site(SiteFault::Pod(_)) => {
            Failure::bad("cannot look at the pod").because(fault)
        }
        AttachmentFault::Site(SiteFault::Host(_) | SiteFault::Observe(_)) => {
            Failure::world("cannot look at the node and the pod")
                .because(fault)
                .try_this("run it on the node, as root")
        }
        AttachmentFault::Records(_)
        | AttachmentFault::RecordLost { .. }
        | AttachmentFault::RecordUnreadable { .. } => {
            Failure::world("the records of attachments cannot be used").because(fault)
        }
        AttachmentFault::Failed { .. } | AttachmentFault::NotHeld { .. } => {
            Failure::world("it was not brought to its end").because(fault)
        }
    }
}

/// The same on one line, to stand beside what became of other attachments.
pub(crate) fn line(fault: &AttachmentFault) -> String {
    let mut line = fault.to_string();
    let mut next = std::error::Error::source(fault);
    while let Some(cause) = next {
        line.push_str(&format!("; caused by: {cause}"));
        next = cause.source();
    }
    line
}
