//! How an agent says that it did not do what was asked.
//!
//! An agent lowers an [`ErrorBody`] for whoever asked; the client lifts whatever comes. Invariants:
//!
//! 1. To version 1 it is a JSON string, as the reference's (`an_error_is_a_string_to_an_older_plugin`).
//! 2. Any bytes can be lifted, and a long text is cut (`any_bytes_are_an_error`).

use crate::read::{or_default, text};
use crate::version::ApiVersion;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most characters that are kept of a body which is no error of ours.
const EXCERPT: usize = 512;

/// The statuses of the socket (reference, section 2.3).
pub mod status {
    /// Done.
    pub const OK: u16 = 200;
    /// The request cannot be read or contradicts itself.
    pub const BAD_REQUEST: u16 = 400;
    /// There is no such path, or no such endpoint.
    pub const NOT_FOUND: u16 = 404;
    /// Everything else; the body tells.
    pub const FAILED: u16 = 500;
    /// `DELETE /ipam/ips` with `isReleaseConflictIPs`, which is switched off.
    pub const FORBIDDEN_STATELESS: u16 = 521;
    /// `DELETE /ipam/ips` with `isReleaseConflictIPs` for a static identity, which keeps its addresses.
    pub const FORBIDDEN_STATEFUL: u16 = 522;
}

/// The words that `reason` has; a word from the future is no error.
pub mod reason {
    /// The request cannot be read or contradicts itself.
    pub const BAD_REQUEST: &str = "BadRequest";
    /// No pool has an address for the pod; `candidates` tells of each.
    pub const NO_ADDRESS: &str = "NoAddress";
    /// The rules say no for another reason: the pod is gone or finished, the request came too late.
    pub const REFUSED: &str = "Refused";
    /// What was asked about does not exist.
    pub const NOT_FOUND: &str = "NotFound";
    /// The agent cannot serve by now: it is starting, or the API server does not answer.
    pub const NOT_READY: &str = "NotReady";
    /// The deadline of the request was over first.
    pub const TOO_LATE: &str = "TooLate";
    /// Giving back conflicting addresses is switched off, or the pod is a static identity.
    pub const FORBIDDEN: &str = "Forbidden";
    /// The agent contradicts itself; please report it.
    pub const INTERNAL: &str = "Internal";
}

/// Why the agent did not do what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorBody {
    /// The version of the agent.
    #[serde(deserialize_with = "or_default")]
    pub api_version: ApiVersion,
    /// What failed and why, on one line.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
    /// The code that the CNI plugin should end with (`docs/cni.md`); `None` leaves it to the plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// One word for programs, of [`reason`].
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each pool that was weighed, with its verdict, as the core's shortlist has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<Value>,
    /// Anything longer, such as causes.
    #[serde(deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl ErrorBody {
    /// An error of this version for that reason.
    #[must_use]
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            api_version: ApiVersion::CURRENT,
            message: message.into(),
            reason: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    /// The JSON for whoever asked in that version.
    ///
    /// ```
    /// use spiderpool_agent_api::{ApiVersion, ErrorBody, reason};
    ///
    /// let error = ErrorBody::new(reason::NOT_READY, "the agent is starting");
    /// assert_eq!(error.lower(ApiVersion::FIRST), br#""the agent is starting""#);
    /// ```
    #[must_use]
    pub fn lower(&self, asked: ApiVersion) -> Vec<u8> {
        let value = if asked.has_structured_errors() {
            serde_json::to_value(self).unwrap_or_else(|_| self.message.as_str().into())
        } else {
            Value::String(self.message.clone())
        };
        value.to_string().into_bytes()
    }

    /// The error in the body of a reply, whatever that is.
    #[must_use]
    pub fn lift(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::String(message)) => Self { message: excerpt(&message), ..Self::default() },
            Ok(value @ Value::Object(_)) => {
                let read: Self = serde_json::from_value(value).unwrap_or_default();
                if read.message.is_empty() {
                    Self { message: excerpt(&String::from_utf8_lossy(body)), ..read }
                } else {
                    read
                }
            }
            Ok(_) | Err(_) => {
                Self { message: excerpt(String::from_utf8_lossy(body).trim()), ..Self::default() }
            }
        }
    }
}

fn excerpt(text: &str) -> String {
    if text.is_empty() {
        return "without a word".to_owned();
    }
    let mut head: String = text.chars().take(EXCERPT).collect();
    if head.len() < text.len() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_is_a_string_to_an_older_plugin() {
        let error = ErrorBody {
            code: Some(100),
            candidates: Some(json!([{"pool": "blue"}])),
            ..ErrorBody::new(reason::NO_ADDRESS, "no pool \"blue\"")
        };
        assert_eq!(error.lower(ApiVersion::FIRST), br#""no pool \"blue\"""#);
        let lifted = ErrorBody::lift(&error.lower(ApiVersion::FIRST));
        assert_eq!(lifted, ErrorBody { message: error.message.clone(), ..ErrorBody::default() });
        for version in [ApiVersion::CURRENT, ApiVersion(9)] {
            assert_eq!(ErrorBody::lift(&error.lower(version)), error);
        }
    }

    #[test]
    fn any_bytes_are_an_error() {
        let check = |body: &[u8], message: &str| {
            let lifted = ErrorBody::lift(body);
            assert_eq!((lifted.message.as_str(), lifted.code), (message, None), "{body:?}");
            assert_eq!(lifted.api_version, ApiVersion::FIRST);
        };
        check(b"", "without a word");
        check(b"\"\"", "without a word");
        check(b" bad gateway\n", "bad gateway");
        check(b"[1]", "[1]");
        check(b"\xff", "\u{fffd}");
        check(br#"{"code": "x"}"#, r#"{"code": "x"}"#);
        let long = ErrorBody::lift("y".repeat(1000).as_bytes());
        assert_eq!(long.message.chars().count(), EXCERPT + 1);
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let body = br#"{"apiVersion": 7, "message": "m", "code": 11, "reason": "Later", "x": [1]}"#;
        let lifted = ErrorBody::lift(body);
        assert_eq!((lifted.code, lifted.reason.as_deref()), (Some(11), Some("Later")));
        assert_eq!(lifted.api_version, ApiVersion(7));
    }
}
