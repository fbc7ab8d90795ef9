//! The version that a message is of.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// A version of the interface: 1 is the reference's, 2 has what this project added.
///
/// It only ever tells what its sender understands. A receiver passes over what it does not know, so a
/// version from the future is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiVersion(pub u32);

impl ApiVersion {
    /// The reference's interface, which does not name its version.
    pub const FIRST: Self = Self(1);
    /// What this crate speaks.
    pub const CURRENT: Self = Self(2);

    /// The version of whoever sent a request, however the rest of it reads: errors are told in it.
    ///
    /// ```
    /// use spiderpool_agent_api::ApiVersion;
    ///
    /// assert_eq!(ApiVersion::asked_in(None, br#"{"apiVersion": 2, "podName": 7}"#), ApiVersion(2));
    /// assert_eq!(ApiVersion::asked_in(Some("apiVersion=2"), b""), ApiVersion(2));
    /// assert_eq!(ApiVersion::asked_in(None, b"{"), ApiVersion::FIRST);
    /// ```
    #[must_use]
    pub fn asked_in(query: Option<&str>, body: &[u8]) -> Self {
        let pairs = crate::query::parse(query.unwrap_or_default());
        let in_query = pairs.iter().rev().find(|(key, _)| key == "apiVersion");
        if let Some(version) = in_query.and_then(|(_, value)| value.parse().ok()) {
            return Self(version);
        }
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let version = body.as_ref().and_then(|body| body.get("apiVersion")?.as_u64());
        version.and_then(|version| u32::try_from(version).ok()).map_or(Self::FIRST, Self)
    }

    /// Whether its sender understands errors in parts rather than as one text.
    #[must_use]
    pub fn has_structured_errors(self) -> bool {
        self >= Self(2)
    }
}

impl Default for ApiVersion {
    /// That of a message which names none.
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
