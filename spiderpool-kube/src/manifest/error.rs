//! What can be wrong with a manifest, and where.
//!
//! One value for one flaw; the readers give them all. Invariant: each message says what was
//! expected and names the object, as far as it is known (`tests/golden`: `refusals`).

use super::API_VERSION;
use crate::position::Position;
use spiderpool_core::label::BadSelector;
use std::fmt;
use thiserror::Error;

/// A document that cannot be taken, with one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDocument {
    /// Which document of the input, from 1; empty ones do not count.
    pub number: usize,
    /// Which item, from 0, when the document is a list.
    pub item: Option<usize>,
    /// The place of the flaw, when the source knows places.
    pub at: Option<Position>,
    /// Kind and name, such as `SpiderIPPool blue`, as far as they could be read.
    pub object: Option<String>,
    /// What is wrong.
    pub flaw: DocumentFlaw,
}

impl fmt::Display for BadDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.number)?;
        if let Some(item) = self.item {
            write!(f, " item {item}")?;
        }
        if let Some(at) = self.at {
            write!(f, ", {at}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ", {object}")?;
        }
        write!(f, ": {}", self.flaw)
    }
}

impl std::error::Error for BadDocument {}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DocumentFlaw {
    /// The text is not YAML, or is more than a manifest may be.
    #[error("cannot be read as YAML: {why}")]
    Syntax {
        /// The words of the YAML reader.
        why: String,
    },
    /// The input is too long.
    #[error("the input has {got} bytes, and at most {limit} are read; split it")]
    TooLong {
        /// Its length in bytes.
        got: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Not a mapping at all.
    #[error(
        "is {got}, but a manifest is a mapping with `apiVersion`, `kind`, `metadata` and `spec`"
    )]
    NotAManifest {
        /// What stands there.
        got: String,
    },
    /// Another API group or version.
    #[error("`apiVersion` is `{got}`; write `{API_VERSION}`")]
    ApiVersion {
        /// What was written.
        got: String,
    },
    /// A kind that is not read here.
    #[error("`kind` is `{got}`, which is not read here; {}", hint(*nearest, known))]
    Kind {
        /// What was written.
        got: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// The kinds that are read.
        known: Vec<&'static str>,
    },
    /// A field.
    #[error("{0}")]
    Field(BadField),
    /// More flaws than are told.
    #[error("has further flaws, which are not told; mend the ones above first")]
    TooMany,
    /// The same object a second time.
    #[error("is already defined by document {earlier}; leave one of them out")]
    Twice {
        /// The number of the earlier document.
        earlier: usize,
    },
}

/// A field that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{path}` {flaw}")]
pub struct BadField {
    /// The path from the top of the object, such as `spec.routes[0].gw`.
    pub path: String,
    /// What is wrong with it.
    pub flaw: FieldFlaw,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldFlaw {
    /// It has to be there.
    #[error("is missing; write {expected}")]
    Missing {
        /// What to write.
        expected: &'static str,
    },
    /// There is no such field.
    #[error("is not a field; {}", hint(*nearest, known))]
    Unknown {
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// All fields that may stand there.
        known: Vec<&'static str>,
    },
    /// It holds something else.
    #[error("is {got}; write {expected}")]
    Unexpected {
        /// What stands there.
        got: String,
        /// What to write.
        expected: String,
    },
}

fn hint(nearest: Option<&str>, known: &[&str]) -> String {
    let meant = nearest.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    format!("{meant}known: {}", known.join(", "))
}

/// Something in a manifest that is taken, but does not do what was hoped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The path from the top of the object.
    pub path: String,
    /// Its place, when the source knows places.
    pub at: Option<Position>,
    /// Why it has no effect, and what to do.
    pub text: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "`{}` {}", self.path, self.text)
    }
}

/// A manifest that reads well but cannot be lifted to a core draft; every reason is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadManifest {
    /// Kind and name, such as `SpiderIPPool blue`.
    pub object: String,
    /// At least one: the path of a field, and what is wrong with it.
    pub fields: Vec<(String, LiftFlaw)>,
}

impl fmt::Display for BadManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        for (at, (path, flaw)) in self.fields.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}`{path}`: {flaw}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadManifest {}

/// Why a field has no counterpart in the core.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LiftFlaw {
    /// A requirement of a selector.
    #[error(transparent)]
    Selector(#[from] BadSelector),
    /// A network that is named in no known form.
    #[error(
        "`{got}` does not name a network; write `namespace/name`, or `name` for one in {namespace}"
    )]
    Network {
        /// What was written.
        got: String,
        /// The namespace that a bare name would mean.
        namespace: String,
    },
    /// A duration beyond what can be counted in milliseconds.
    #[error("{got} seconds are too long; write at most {}", u64::MAX / 1000)]
    TooLong {
        /// What was written.
        got: u64,
    },
}
