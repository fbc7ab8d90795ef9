//! Why an exchange with the agent came to nothing.

use crate::error::{ErrorBody, status};
use crate::version::ApiVersion;
use std::path::PathBuf;
use thiserror::Error;

/// What came instead of an answer. `call` is method and path, such as `POST /v1/ipam/ip`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AgentFault {
    /// Nobody listens: nothing was sent.
    #[error(
        "the agent's socket `{}` cannot be used: {why}; see that the pod of spiderpool-agent runs on this node and that both use this path",
        socket.display()
    )]
    Away {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It was sent, or part of it, and no whole answer came: it may have been carried out.
    #[error(
        "the agent on `{}` did not answer `{call}`: {why}; see the log of spiderpool-agent on this node",
        socket.display()
    )]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// What was asked.
        call: String,
        /// What happened.
        why: String,
    },
    /// What came is no answer to what was asked: it may have been carried out.
    #[error(
        "what listens on `{}` answered `{call}` with something else than an agent would: {why}",
        socket.display()
    )]
    Garbled {
        /// The socket.
        socket: PathBuf,
        /// What was asked.
        call: String,
        /// What is wrong with it.
        why: String,
    },
    /// The agent says no.
    #[error("{}", body.message)]
    Refused {
        /// What was asked.
        call: String,
        /// The HTTP status: one of [`status`], or another one from 300 on.
        status: u16,
        /// What it says.
        body: Box<ErrorBody>,
    },
}

impl AgentFault {
    /// Whether the agent is older than what it was asked: it knows neither path nor method.
    #[must_use]
    pub fn is_unknown_call(&self) -> bool {
        let Self::Refused { status, body, .. } = self else { return false };
        // 405 is what the reference's server says of a method that a known path does not have.
        matches!(*status, status::NOT_FOUND | 405) && body.api_version == ApiVersion::FIRST
    }

    /// Whether the agent may have done what it was asked, although no answer says so.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Garbled { .. })
    }
}
