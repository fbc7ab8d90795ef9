//! What a runtime may ask of a plugin.
//!
//! Owns the six values of `CNI_COMMAND` and the version that introduced each. `call` parses it, `version`
//! judges whether a configuration may use it (`each_verb_has_a_first_version` in `version.rs`).

use std::fmt;

use crate::version::SpecVersion;

/// What the runtime asks, from `CNI_COMMAND` (CNI spec 1.1.0, section 2, "CNI operations").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Attach a container to the network.
    Add,
    /// Detach it, and forget what was done for it; safe to ask again.
    Del,
    /// Say whether an attachment is still as ADD left it.
    Check,
    /// Say whether ADD could be served.
    Status,
    /// Forget every attachment that is not listed as valid.
    Gc,
    /// Name the versions that the plugin speaks.
    Version,
}

impl Verb {
    /// Every verb, in the order of the specification.
    pub const ALL: [Self; 6] =
        [Self::Add, Self::Del, Self::Check, Self::Status, Self::Version, Self::Gc];

    /// The value of `CNI_COMMAND`, such as `ADD`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
            Self::Version => "VERSION",
        }
    }

    /// The verb whose `CNI_COMMAND` is exactly `text`: upper case, no blanks.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }

    /// The first of the supported versions in which a runtime may ask this.
    #[must_use]
    pub const fn since(self) -> SpecVersion {
        match self {
            Self::Add | Self::Del | Self::Version => SpecVersion::V0_3_0,
            Self::Check => SpecVersion::V0_4_0,
            Self::Status | Self::Gc => SpecVersion::V1_1_0,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for verb in Verb::ALL {
            assert_eq!(Verb::named(verb.as_str()), Some(verb));
        }
        for text in ["", "add", "ADD ", "UPDATE"] {
            assert_eq!(Verb::named(text), None, "{text:?}");
        }
    }
}
