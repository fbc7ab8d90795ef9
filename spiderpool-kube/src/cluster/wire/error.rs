//! What can be wrong with an object of the server, and what to do about it.

use crate::manifest::{API_VERSION, BadManifest};
use spiderpool_core::definition::BadDefinition;
use spiderpool_core::slots::BadBlock;
use thiserror::Error;

/// An object that must not be used, nor written over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadObject {
    /// Its revision is no number.
    #[error(
        "its resourceVersion is {got}, which is no decimal number; use a server whose revisions can be compared (KEP-5504)"
    )]
    Revision {
        /// What stands there, as JSON.
        got: String,
    },
    /// It is of another kind or API version than was asked for.
    #[error("it is a {got}; expected a {expected} of `{API_VERSION}`")]
    Kind {
        /// Its kind and version.
        got: String,
        /// The kind that was asked for.
        expected: &'static str,
    },
    /// It is not the object that was asked for.
    #[error("its name is `{got}`; expected `{expected}`")]
    Named {
        /// Its name.
        got: String,
        /// The name that was asked for.
        expected: String,
    },
    /// Another version wrote it in a form of its own.
    #[error(
        "it has format {got}, and this version reads format {known}; use the version that wrote it"
    )]
    Format {
        /// The format found.
        got: u64,
        /// The format that is read.
        known: u64,
    },
    /// Its content says something else than its name.
    #[error(
        "`{field}` does not agree with its name; it was made by hand or damaged: restore it from a backup, or delete it and let it be rebuilt"
    )]
    Contradiction {
        /// The path of the field.
        field: &'static str,
    },
    /// A part of it cannot be read.
    #[error("`{field}` cannot be read: {why}; mend it, or restore the object from a backup")]
    Damaged {
        /// The path of the part.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// The parts of a block do not agree.
    #[error(transparent)]
    Block(#[from] BadBlock),
    /// A definition says what cannot be lifted.
    #[error(transparent)]
    Manifest(#[from] BadManifest),
    /// A definition breaks the rules.
    #[error(transparent)]
    Definition(#[from] BadDefinition),
}

impl BadObject {
    /// A part that cannot be read.
    pub(super) fn damaged(field: impl Into<String>, why: &(impl ToString + ?Sized)) -> Self {
        Self::Damaged { field: field.into(), why: why.to_string() }
    }
}
