//! The plugin's own error codes, and which failure has which.
//!
//! | code | when | try again |
//! |---|---|---|
//! | 5 | the kernel could not be asked, or refused a step | perhaps |
//! | 7 | the configuration contradicts itself | no |
//! | 11 | another ADD held the lock for too long | yes |
//! | 100 | the node holds something that is in the way; the message says what to do | when that is done |
//! | 104 | CHECK: the node does not hold what should be; the details are the commands that repair it | no |

use std::error::Error;

use spiderpool_cni::{CniError, code};
use spiderpool_core::intend::ParentRefusal;

/// The node holds something that is in the way.
pub(crate) const IN_THE_WAY: u32 = 100;
/// The node does not hold what should be.
pub(crate) const MISMATCH: u32 = 104;

/// The error that a refusal is to the runtime.
pub(crate) fn of_refusal(refusal: &ParentRefusal) -> CniError {
    match refusal {
        ParentRefusal::NoInterface
        | ParentRefusal::Repeated { .. }
        | ParentRefusal::NoBond { .. }
        | ParentRefusal::LongName { .. }
        | ParentRefusal::BadBond(_)
        | ParentRefusal::OwnPort { .. }
        | ParentRefusal::Stranger { .. } => told(code::BAD_NETWORK_CONFIG, refusal),
        ParentRefusal::NoLink { .. }
        | ParentRefusal::OtherLink { .. }
        | ParentRefusal::OtherName { .. }
        | ParentRefusal::LargeMtu { .. }
        | ParentRefusal::NoPort { .. }
        | ParentRefusal::OthersPort { .. }
        | ParentRefusal::ForeignPort { .. }
        | ParentRefusal::Fixed { .. }
        | ParentRefusal::Carries { .. } => told(IN_THE_WAY, refusal),
    }
}

/// An error with its whole chain.
pub(crate) fn told(code: u32, error: &(dyn Error + 'static)) -> CniError {
    CniError::caused_by(code, error)
}
