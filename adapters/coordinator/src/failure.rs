//! The plugin's own error codes, and which failure has which.
//!
//! | code | when | try again |
//! |---|---|---|
//! | 5 | the kernel refused a step, or records cannot be written; the details say what became of the rest | after repair |
//! | 7 | the configuration is wrong, or the chain gives no previous result | no |
//! | 8 | the namespace cannot be used | no |
//! | 11 | another verb of the container was under way until the deadline, or the cluster did not answer | yes |
//! | 100 | the rules say no: the interface cannot be coordinated as things are | when they change |
//! | 101 | something that is not ours is in the way | when it is removed |
//! | 103 | CHECK: the record of an attachment of ours is lost or damaged | after a new ADD |
//! | 104 | CHECK: the namespaces are not as recorded; the details list the commands that mend it | after repair |
//! | 999 | every step was done, and still not all is as planned: a bug; please report it | no |

use spiderpool_cni::{CniError, code};
use spiderpool_coordinator::facts::FactsFault;
use spiderpool_core::plan::Plan;
use spiderpool_host::attachment::{AttachmentFault, RecordFault, SiteFault};

/// The rules say no.
pub(crate) const REFUSED: u32 = 100;
/// Something that is not ours is in the way.
pub(crate) const IN_THE_WAY: u32 = 101;
/// The record is lost or damaged.
pub(crate) const NO_RECORD: u32 = 103;
/// The namespaces are not as recorded.
pub(crate) const MISMATCH: u32 = 104;

/// A failure of a verb, its whole chain told.
pub(crate) fn of(fault: &AttachmentFault) -> CniError {
    let code = match fault {
        AttachmentFault::Site(SiteFault::Pod(_)) => code::BAD_NETNS,
        AttachmentFault::Site(SiteFault::Host(_) | SiteFault::Observe(_))
        | AttachmentFault::Failed { .. } => code::IO_FAILURE,
        AttachmentFault::Records(fault) => return of_records(fault),
        AttachmentFault::Refused(_) => REFUSED,
        AttachmentFault::NoPlan { .. } => IN_THE_WAY,
        AttachmentFault::RecordLost { .. } | AttachmentFault::RecordUnreadable { .. } => NO_RECORD,
        AttachmentFault::NotHeld { .. } => code::INTERNAL,
    };
    CniError::caused_by(code, fault)
}

/// Records that cannot be read or written, or not in time.
pub(crate) fn of_records(fault: &RecordFault) -> CniError {
    let code = match fault {
        RecordFault::Busy { .. } => code::TRY_AGAIN_LATER,
        RecordFault::Io { .. } => code::IO_FAILURE,
    };
    CniError::caused_by(code, fault)
}

/// A cluster that does not say.
pub(crate) fn of_facts(fault: &FactsFault) -> CniError {
    CniError::caused_by(code::TRY_AGAIN_LATER, fault)
}

/// What CHECK found, each difference as the command that would mend it.
pub(crate) fn of_difference(interface: &str, plan: &Plan) -> CniError {
    let count = plan.steps.len();
    let told = format!(
        "interface `{interface}` is not as it was attached: {count} differences; run ADD again, or the commands in the details"
    );
    let line = |step: &spiderpool_core::plan::Step| {
        format!("{}: {}  # so that {}", step.side, step.op, step.reason)
    };
    let lines: Vec<_> = plan.steps.iter().map(line).collect();
    CniError::new(MISMATCH, told).with_details(lines.join("\n"))
}
