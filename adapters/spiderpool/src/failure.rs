//! The plugin's own error codes, and which failure has which.
//!
//! | code | when | try again |
//! |---|---|---|
//! | 8 | the namespace cannot be used | no |
//! | 11 | the store was busy until the deadline, the agent did not answer, or an interface could not be probed on | yes |
//! | 100 | no pool has an address for the pod; the details list every candidate | when the state changes |
//! | 101 | the request contradicts itself or came too late | no |
//! | 102 | the store is missing, damaged, or of another version | after repair |
//! | 103 | the disk is full or read-only | after repair |
//! | 104 | CHECK: store, namespace and result do not agree | no |
//! | 105 | another host has the address, and no other was given | when that host is found |
//! | 106 | the gateway does not answer | when it does |

use spiderpool_agent_api::{AgentFault, ErrorBody, status};
use spiderpool_cni::{CniError, code};
use spiderpool_core::refusal::{AllocateRefusal, Refusal};
use spiderpool_store::StoreError;
use std::error::Error;

/// No pool has an address for the pod.
pub(crate) const NO_ADDRESS: u32 = 100;
/// The request contradicts itself or came too late.
pub(crate) const BAD_REQUEST: u32 = 101;
/// The store is missing, damaged, or of another version.
pub(crate) const BAD_STORE: u32 = 102;
/// The disk is full or read-only.
pub(crate) const NO_ROOM: u32 = 103;
/// Store, namespace and result do not agree.
pub(crate) const MISMATCH: u32 = 104;
/// Another host has the address, and no other was given.
pub(crate) const CONFLICT: u32 = 105;
/// The gateway does not answer.
pub(crate) const NO_GATEWAY: u32 = 106;

/// The error that a failure of the store is to the runtime.
pub(crate) fn of_store(error: &StoreError) -> CniError {
    match error {
        StoreError::Refused(refusal) => of_refusal(refusal),
        StoreError::Busy { .. } | StoreError::Replaced { .. } | StoreError::Overtaken { .. } => {
            told(code::TRY_AGAIN_LATER, error)
        }
        StoreError::Full { .. } | StoreError::ReadOnly { .. } => told(NO_ROOM, error),
        StoreError::Missing { .. }
        | StoreError::Lost { .. }
        | StoreError::Empty { .. }
        | StoreError::Foreign { .. }
        | StoreError::Damaged { .. }
        | StoreError::Format { .. }
        | StoreError::Exists { .. } => told(BAD_STORE, error),
        StoreError::Fault { .. } => told(code::IO_FAILURE, error),
        StoreError::Violation { .. } => told(code::INTERNAL, error),
    }
}

fn of_refusal(refusal: &Refusal) -> CniError {
    match refusal {
        Refusal::Allocate(AllocateRefusal::Unsatisfied(shortlist)) => {
            let details = serde_json::to_string(shortlist).unwrap_or_default();
            CniError::new(NO_ADDRESS, shortlist.to_string()).with_details(details)
        }
        Refusal::Allocate(_) | Refusal::Define(_) | Refusal::Change(_) => {
            told(BAD_REQUEST, refusal)
        }
    }
}

/// The error that a failed exchange with the agent is to the runtime.
pub(crate) fn of_agent(fault: &AgentFault) -> CniError {
    match fault {
        AgentFault::Away { .. } | AgentFault::Silent { .. } => told(code::TRY_AGAIN_LATER, fault),
        AgentFault::Garbled { .. } => told(code::IO_FAILURE, fault),
        AgentFault::Refused { status: status::BAD_REQUEST, body, .. } => of_body(body, BAD_REQUEST),
        AgentFault::Refused { body, .. } => of_body(body, code::TRY_AGAIN_LATER),
    }
}

/// What an agent says, in its own words; `otherwise` is the code where it names none.
fn of_body(body: &ErrorBody, otherwise: u32) -> CniError {
    let code = body.code.filter(|code| *code != 0).unwrap_or(otherwise);
    let candidates = body.candidates.as_ref().map(ToString::to_string);
    let details = candidates.or_else(|| body.details.clone()).unwrap_or_default();
    CniError::new(code, body.message.as_str()).with_details(details)
}

/// An error with its whole chain.
pub(crate) fn told(code: u32, error: &(dyn Error + 'static)) -> CniError {
    CniError::caused_by(code, error)
}
