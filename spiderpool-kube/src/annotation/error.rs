//! What can be wrong with an annotation.
//!
//! Each message names the key, says where in the text the flaw is, and shows what to write
//! (`tests::malformed_json_has_a_place`).

use super::network::BadNetwork;
use super::pools::BadPools;
use crate::position::Position;
use spiderpool_core::definition::BadRoute;
use std::fmt;
use thiserror::Error;

/// Annotations that cannot be taken; every flaw is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAnnotations {
    /// At least one.
    pub flaws: Vec<BadAnnotation>,
}

impl fmt::Display for BadAnnotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, flaw) in self.flaws.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{flaw}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadAnnotations {}

/// One annotation and its flaw.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("annotation `{key}`: {flaw}")]
pub struct BadAnnotation {
    /// The key.
    pub key: &'static str,
    /// What is wrong with its text.
    pub flaw: Flaw,
}

/// What is wrong with the text of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// The text is not JSON, or JSON of another shape.
    #[error("{at}: {why}; write it like `{expected}`")]
    Json {
        /// The place in the annotation's text.
        at: Position,
        /// What the JSON reader met.
        why: String,
        /// An example of what was expected.
        expected: &'static str,
    },
    /// The names of pools.
    #[error(transparent)]
    Pools(#[from] BadPools),
    /// A route.
    #[error(transparent)]
    Route(#[from] BadRoute),
    /// A network.
    #[error(transparent)]
    Network(#[from] BadNetwork),
    /// Pools made for an application, which are not supported.
    #[error("pools made for an application come later; name pools with `ipam.spidernet.io/ippool`")]
    ApplicationPools,
}
