//! The versions of the CNI specification that are spoken here.
//!
//! Owns their names, their order, which verb exists in which, and the answer to VERSION. Everything else that
//! differs between versions is a matter of `result`. Invariants:
//!
//! 1. Only the five names parse, to the letter (`only_the_five_names_parse`).
//! 2. A verb is permitted from its first version on (`each_verb_has_a_first_version`).
//! 3. Looking for the version of a configuration always gives one (`a_version_to_answer_in_is_always_found`).

use std::{fmt, str::FromStr};

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{conf::MAX_STDIN_BYTES, verb::Verb};

/// A version of the CNI specification, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion {
    /// 0.3.0: results hold lists of interfaces and addresses.
    V0_3_0,
    /// 0.3.1: plugins may be chained; on the wire as 0.3.0.
    V0_3_1,
    /// 0.4.0: CHECK, and `prevResult` in DEL.
    V0_4_0,
    /// 1.0.0: addresses no longer name their family.
    V1_0_0,
    /// 1.1.0: STATUS, GC, and more keys for interfaces and routes.
    V1_1_0,
}

impl SpecVersion {
    /// Every supported version, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest supported version: the one to answer in where none is known.
    pub const NEWEST: Self = Self::V1_1_0;

    /// The name on the wire, such as `1.0.0`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version to answer in: the `cniVersion` of the configuration if it is supported, else the newest.
    ///
    /// It never fails, so that even an unreadable configuration is answered in *some* version.
    ///
    /// ```
    /// use spiderpool_cni::SpecVersion;
    ///
    /// assert_eq!(SpecVersion::asked_in(br#"{"cniVersion": "0.4.0"}"#), SpecVersion::V0_4_0);
    /// assert_eq!(SpecVersion::asked_in(b"not JSON"), SpecVersion::NEWEST);
    /// ```
    #[must_use]
    pub fn asked_in(stdin: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Peek {
            #[serde(rename = "cniVersion")]
            version: String,
        }
        if stdin.len() > MAX_STDIN_BYTES {
            return Self::NEWEST;
        }
        serde_json::from_slice::<Peek>(stdin)
            .ok()
            .and_then(|peek| peek.version.parse().ok())
            .unwrap_or(Self::NEWEST)
    }

    /// Whether a configuration of this version may be asked for `verb`.
    ///
    /// # Errors
    ///
    /// [`BadVersion::TooOldFor`] if the verb came later: CHECK with 0.4.0, STATUS and GC with 1.1.0.
    pub fn permits(self, verb: Verb) -> Result<(), BadVersion> {
        if self < verb.since() {
            return Err(BadVersion::TooOldFor { verb, version: self });
        }
        Ok(())
    }

    /// The answer to VERSION, in this version (CNI spec 1.1.0, section 5, "Version").
    ///
    /// ```
    /// use spiderpool_cni::SpecVersion;
    ///
    /// assert_eq!(
    ///     SpecVersion::V1_0_0.version_reply().to_string(),
    ///     r#"{"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#,
    /// );
    /// ```
    #[must_use]
    pub fn version_reply(self) -> Value {
        json!({
            "cniVersion": self.as_str(),
            "supportedVersions": Self::ALL.map(Self::as_str),
        })
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SpecVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| BadVersion::Unsupported { asked: text.chars().take(64).collect() })
    }
}

/// Why a version cannot be served; always CNI code 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadVersion {
    /// `cniVersion` is none of the supported ones.
    #[error(
        "cniVersion `{asked}` is not supported: this plugin speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0"
    )]
    Unsupported {
        /// What was asked, cut to 64 characters.
        asked: String,
    },
    /// There is no `cniVersion`, which the specification takes for 0.1.0.
    #[error("cniVersion is missing, which means 0.1.0: this plugin speaks 0.3.0 and later")]
    Missing,
    /// The version does not have the verb.
    #[error("cniVersion {version} has no {verb}: it came with {}", verb.since())]
    TooOldFor {
        /// What was asked.
        verb: Verb,
        /// The version of the configuration.
        version: SpecVersion,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_five_names_parse() {
        for version in SpecVersion::ALL {
            assert_eq!(version.as_str().parse(), Ok(version));
        }
        for text in ["", "0.1.0", "0.2.0", "1.0", "1.2.0", "v1.0.0", " 1.0.0", "2.0.0"] {
            let refused = BadVersion::Unsupported { asked: text.to_owned() };
            assert_eq!(text.parse::<SpecVersion>(), Err(refused));
        }
        assert!(SpecVersion::ALL.is_sorted());
        assert_eq!(SpecVersion::ALL.last(), Some(&SpecVersion::NEWEST));
    }

    #[test]
    fn each_verb_has_a_first_version() {
        let refused_by = |verb: Verb| {
            SpecVersion::ALL.iter().filter(|version| version.permits(verb).is_err()).count()
        };
        assert_eq!(Verb::ALL.map(refused_by), [0, 0, 2, 4, 0, 4]);
        assert_eq!(
            SpecVersion::V0_3_1.permits(Verb::Check).unwrap_err().to_string(),
            "cniVersion 0.3.1 has no CHECK: it came with 0.4.0",
        );
    }

    #[test]
    fn a_version_to_answer_in_is_always_found() {
        let check = |stdin: &str, expected| {
            assert_eq!(SpecVersion::asked_in(stdin.as_bytes()), expected, "{stdin}");
        };
        check(r#"{"cniVersion": "0.3.1", "name": {"any": ["thing"]}}"#, SpecVersion::V0_3_1);
        check(r#"{"cniVersion": "0.2.0"}"#, SpecVersion::NEWEST);
        check(r#"{"cniVersion": 1}"#, SpecVersion::NEWEST);
        check("{}", SpecVersion::NEWEST);
        check("", SpecVersion::NEWEST);
        let deep = "[".repeat(1_000_000);
        check(&format!(r#"{{"cniVersion": "0.4.0", "a": {deep}"#), SpecVersion::NEWEST);
        check(&format!(r#"{{"cniVersion": {deep}"#), SpecVersion::NEWEST);
        check(&format!("{}{{}}", " ".repeat(MAX_STDIN_BYTES)), SpecVersion::NEWEST);
    }
}
