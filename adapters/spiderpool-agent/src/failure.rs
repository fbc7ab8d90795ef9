//! Why something that was asked was not done: for the plugin, the metrics and the pod's events.
//!
//! The codes are those of the CNI plugin (`docs/cni.md`, "Error codes"), so that a user reads the same
//! number whichever store is behind it.
//!
//! Invariant: a refusal for want of an address carries every candidate that was weighed
//! (`a_refusal_shows_its_work` in `tests/conversations`).

use crate::facts::FactsFault;
use crate::http::{JSON, Reply};
use crate::metrics::Outcome;
use hyper::StatusCode;
use spiderpool_agent_api::{ApiVersion, BadMessage, ErrorBody, reason, status};
use spiderpool_core::name::BadName;
use spiderpool_core::refusal::{AllocateRefusal, Refusal, Shortlist, Verdict};
use spiderpool_kube::cluster::port::Fault;

/// CNI: something cannot be decoded.
const UNDECODED: u32 = 6;
/// CNI: something in the configuration cannot be used.
const BAD_CONFIG: u32 = 7;
/// CNI: try again later.
const LATER: u32 = 11;
/// No pool has an address for the pod.
const NO_ADDRESS: u32 = 100;
/// The request contradicts itself or came too late.
const REFUSED: u32 = 101;
/// The store is damaged, or of another version.
const BAD_STORE: u32 = 102;

/// A request that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status of the reply.
    pub status: u16,
    /// What the plugin is told.
    pub body: Box<ErrorBody>,
    /// How it counts.
    pub outcome: Outcome,
}

impl Failure {
    /// A failure with a CNI code.
    #[must_use]
    pub fn new(reason: &str, code: u32, message: impl Into<String>) -> Self {
        let body = Box::new(ErrorBody { code: Some(code), ..ErrorBody::new(reason, message) });
        Self { status: status::FAILED, body, outcome: Outcome::Internal }
    }

    /// The rules say no for a reason that is no want of addresses.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(reason::REFUSED, REFUSED, message)
    }

    /// The agent cannot serve by now.
    #[must_use]
    pub fn not_ready(message: impl Into<String>) -> Self {
        Self::new(reason::NOT_READY, LATER, message)
    }

    /// Something that the user wrote cannot be used.
    #[must_use]
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(reason::BAD_REQUEST, BAD_CONFIG, message)
    }

    /// The same failure with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// What is told, in the version of whoever asked.
    #[must_use]
    pub fn reply(&self, asked: ApiVersion) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply { status, content: JSON, body: self.body.lower(asked).into() }
    }
}

impl From<BadMessage> for Failure {
    fn from(bad: BadMessage) -> Self {
        Self {
            status: status::BAD_REQUEST,
            body: Box::new(ErrorBody { code: Some(UNDECODED), ..ErrorBody::from(bad) }),
            outcome: Outcome::Internal,
        }
    }
}

impl From<BadName> for Failure {
    fn from(bad: BadName) -> Self {
        Self::bad(bad.to_string()).with_status(status::BAD_REQUEST)
    }
}

impl From<FactsFault> for Failure {
    fn from(fault: FactsFault) -> Self {
        Self::not_ready(fault.to_string())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let message = fault.to_string();
        match fault {
            Fault::Refused(refusal) => of_refusal(&refusal, message),
            Fault::Late => Self::new(reason::TOO_LATE, LATER, message),
            Fault::Contended { .. } => {
                Self { outcome: Outcome::Exhausted, ..Self::not_ready(message) }
            }
            Fault::NotReady | Fault::Recovering { .. } | Fault::NoRecord { .. } => {
                Self::not_ready(message)
            }
            Fault::Lost { .. } | Fault::Unreadable { .. } | Fault::Forbidden { .. } => {
                Self::new(reason::REFUSED, BAD_STORE, message)
            }
            Fault::NotHere { .. } => Self::refused(message),
        }
    }
}

fn of_refusal(refusal: &Refusal, message: String) -> Failure {
    let Refusal::Allocate(AllocateRefusal::Unsatisfied(shortlist)) = refusal else {
        return Failure::refused(message);
    };
    let mut failure = Failure::new(reason::NO_ADDRESS, NO_ADDRESS, message);
    failure.body.candidates = serde_json::to_value(shortlist).ok();
    failure.outcome = if is_full(shortlist) { Outcome::Full } else { Outcome::NoPool };
    failure
}

/// Whether a pool that could be used is full: then more addresses help, and no other rule.
fn is_full(shortlist: &Shortlist) -> bool {
    let unmet = shortlist.demands.iter().filter(|weighed| !weighed.is_satisfied());
    unmet.flat_map(|weighed| &weighed.candidates).any(|candidate| {
        matches!(candidate.verdict, Verdict::Exhausted | Verdict::NamedTaken { .. })
    })
}
