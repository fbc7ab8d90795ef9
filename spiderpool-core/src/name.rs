//! Names: of pools, nodes, networks, interfaces, containers and identities.
//!
//! A [`Name`] is checked once, when it is made, and cheap to clone. Its bound (255 bytes) is what
//! lets a block keep a name's length in one byte (`a_name_fits_one_length_byte`).

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use thiserror::Error;

/// The most bytes a [`Name`] can have.
pub const NAME_MAX_BYTES: usize = 255;

/// A non-empty text of at most [`NAME_MAX_BYTES`] bytes without white space or control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadName {
    /// Nothing was written.
    #[error("a name is missing; give one of 1 to {NAME_MAX_BYTES} bytes")]
    Empty,
    /// More bytes than a name may have.
    #[error("the name `{text}` has {length} bytes; at most {NAME_MAX_BYTES} are allowed")]
    TooLong {
        /// The beginning of what was written.
        text: String,
        /// The bytes of all that was written.
        length: usize,
    },
    /// White space or a control character.
    #[error(
        "the name `{text}` has the character {character:?} at byte {position}; white space and control characters are not allowed"
    )]
    BadCharacter {
        /// What was written.
        text: String,
        /// The offending character.
        character: char,
        /// Where it stands, in bytes from 0.
        position: usize,
    },
}

impl Name {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// [`BadName`] when it is empty, too long, or has white space or control characters.
    ///
    /// ```
    /// use spiderpool_core::name::Name;
    /// assert_eq!(Name::new("blue")?.as_str(), "blue");
    /// assert!(Name::new("two words").is_err());
    /// # Ok::<(), spiderpool_core::name::BadName>(())
    /// ```
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        if text.len() > NAME_MAX_BYTES {
            let beginning = text.chars().take(40).collect();
            return Err(BadName::TooLong { text: beginning, length: text.len() });
        }
        let bad = text.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control());
        match bad {
            Some((position, character)) => {
                Err(BadName::BadCharacter { text: text.to_owned(), character, position })
            }
            None => Ok(Self(text.into())),
        }
    }

    /// A part of something that was checked when it came in; `None` when there is nothing.
    pub(crate) fn checked_before(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        Self::new(&text)
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_one_length_byte() {
        assert!(Name::new(&"x".repeat(NAME_MAX_BYTES)).is_ok());
        assert!(u8::try_from(NAME_MAX_BYTES).is_ok());
        let error = Name::new(&"x".repeat(NAME_MAX_BYTES + 1)).unwrap_err();
        assert!(error.to_string().contains("256 bytes; at most 255"), "{error}");
    }

    #[test]
    fn errors_point_at_the_character() {
        assert_eq!(
            Name::new("a b").unwrap_err().to_string(),
            "the name `a b` has the character ' ' at byte 1; white space and control characters are not allowed"
        );
        assert_eq!(Name::new("").unwrap_err(), BadName::Empty);
    }
}
