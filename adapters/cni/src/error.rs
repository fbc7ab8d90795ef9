//! What a plugin tells the runtime when it did not do what was asked.
//!
//! Owns the error codes and the shape of an error on standard output. Every `Bad…` type of this crate turns
//! into a [`CniError`] here, so that the table of codes is read in one place. Invariants:
//!
//! 1. Rendering cannot fail, and gives one JSON object (`an_error_is_one_object`).
//! 2. Each kind of bad input has the code of the specification (`every_bad_input_has_its_code`).

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    call::BadEnv,
    conf::BadConf,
    lift::BadResult,
    version::{BadVersion, SpecVersion},
};

/// The error codes of the CNI specification 1.1.0 (section 5, "Error"), and of its reference library
/// where the specification is silent.
pub mod code {
    /// The configuration's version is not supported, or does not have the verb.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the configuration is not supported; the message names it and its value.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container does not exist: the runtime need not call DEL.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or bad; the message names it.
    pub const BAD_ENVIRONMENT: u32 = 4;
    /// An I/O failure, such as standard input that cannot be read.
    pub const IO_FAILURE: u32 = 5;
    /// Content could not be decoded.
    pub const DECODING_FAILURE: u32 = 6;
    /// The configuration decodes, and is wrong.
    pub const BAD_NETWORK_CONFIG: u32 = 7;
    /// `CNI_NETNS` does not name a usable network namespace (reference library).
    pub const BAD_NETNS: u32 = 8;
    /// A passing condition: the runtime should try again later.
    pub const TRY_AGAIN_LATER: u32 = 11;
    /// STATUS: the plugin cannot serve ADD.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: as 50, and running containers may have limited connectivity.
    pub const NOT_AVAILABLE_LIMITED: u32 = 51;
    /// The first of the codes that plugins define themselves.
    pub const FIRST_OWN: u32 = 100;
    /// A fault of the plugin itself (reference library).
    pub const INTERNAL: u32 = 999;
}

/// An error as the runtime reads it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{msg}")]
pub struct CniError {
    /// One of [`code`], or a plugin's own from [`code::FIRST_OWN`] on.
    pub code: u32,
    /// What failed and why, on one line.
    pub msg: String,
    /// Anything longer: causes, candidates, remedies. Left out of the JSON if empty.
    pub details: String,
}

impl CniError {
    /// An error without details.
    #[must_use]
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// An error of which `error` is the message, and the chain of its sources the details.
    ///
    /// ```
    /// use spiderpool_cni::{CniError, code};
    ///
    /// let refused = std::io::Error::other("connection refused");
    /// assert_eq!(CniError::caused_by(code::IO_FAILURE, &refused).msg, "connection refused");
    /// ```
    #[must_use]
    pub fn caused_by(code: u32, error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let details: Vec<_> = causes.map(|cause| format!("caused by: {cause}")).collect();
        Self { code, msg: error.to_string(), details: details.join("; ") }
    }

    /// The same error with these details, which may span lines.
    #[must_use]
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// The JSON object for standard output (CNI spec 1.1.0, section 5, "Error").
    ///
    /// ```
    /// use spiderpool_cni::{CniError, SpecVersion, code};
    ///
    /// let error = CniError::new(code::TRY_AGAIN_LATER, "the store is locked");
    /// assert_eq!(
    ///     error.lower(SpecVersion::V1_0_0).to_string(),
    ///     r#"{"cniVersion":"1.0.0","code":11,"msg":"the store is locked"}"#,
    /// );
    /// ```
    #[must_use]
    pub fn lower(&self, version: SpecVersion) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".into(), version.as_str().into());
        object.insert("code".into(), self.code.into());
        object.insert("msg".into(), self.msg.as_str().into());
        if !self.details.is_empty() {
            object.insert("details".into(), self.details.as_str().into());
        }
        Value::Object(object)
    }
}

impl From<BadVersion> for CniError {
    fn from(bad: BadVersion) -> Self {
        Self::caused_by(code::INCOMPATIBLE_VERSION, &bad)
            .with_details("set cniVersion in the network configuration to a version that both the runtime and this plugin speak")
    }
}

impl From<BadEnv> for CniError {
    fn from(bad: BadEnv) -> Self {
        Self::caused_by(code::BAD_ENVIRONMENT, &bad)
    }
}

impl From<BadConf> for CniError {
    fn from(bad: BadConf) -> Self {
        match bad {
            BadConf::Version(bad) => bad.into(),
            BadConf::NoName | BadConf::BadName { .. } => {
                Self::caused_by(code::BAD_NETWORK_CONFIG, &bad)
            }
            BadConf::TooLong { .. }
            | BadConf::Empty
            | BadConf::ByteOrderMark
            | BadConf::NotJson { .. }
            | BadConf::NotAnObject { .. }
            | BadConf::Field(_) => Self::caused_by(code::DECODING_FAILURE, &bad),
        }
    }
}

impl From<BadResult> for CniError {
    fn from(bad: BadResult) -> Self {
        match bad {
            BadResult::Version(bad) => bad.into(),
            BadResult::Field(_) => Self::caused_by(code::DECODING_FAILURE, &bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{field::BadField, verb::Verb};

    #[test]
    fn an_error_is_one_object() {
        let awkward = CniError::new(u32::MAX, "\u{0} \" \\ \u{7f} \u{2028}").with_details("a\nb");
        for version in SpecVersion::ALL {
            let text = awkward.lower(version).to_string();
            let back: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(back["cniVersion"], version.as_str());
            assert_eq!(back["code"], u32::MAX);
            assert_eq!(back["msg"], awkward.msg.as_str());
            assert_eq!(back["details"], "a\nb");
        }
    }

    #[test]
    fn every_bad_input_has_its_code() {
        let field = || BadField { path: "ips".into(), wanted: "a list", got: "1".into() };
        let check = |error: CniError, code| assert_eq!(error.code, code, "{error:?}");
        check(BadVersion::Missing.into(), 1);
        check(BadVersion::TooOldFor { verb: Verb::Gc, version: SpecVersion::V1_0_0 }.into(), 1);
        check(BadConf::Version(BadVersion::Missing).into(), 1);
        check(BadResult::Version(BadVersion::Missing).into(), 1);
        check(BadEnv::UnknownVerb { got: "UP".into() }.into(), 4);
        check(BadConf::Empty.into(), 6);
        check(BadConf::Field(field()).into(), 6);
        check(BadResult::Field(field()).into(), 6);
        check(BadConf::NoName.into(), 7);
        check(BadConf::BadName { got: "/".into() }.into(), 7);
    }

    #[test]
    fn a_chain_is_told_once() {
        let error = CniError::from(BadConf::Field(BadField {
            path: "name".into(),
            wanted: "text",
            got: "1".into(),
        }));
        assert_eq!(error.msg, "the network configuration on standard input cannot be decoded");
        assert_eq!(error.details, "caused by: field `name` must be text, got `1`");
    }
}
