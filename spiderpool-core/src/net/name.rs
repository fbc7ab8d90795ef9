//! Names of links, checked once.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A name that the kernel would give to a link: 1 to 15 bytes, no `/`, `:`, blank or NUL, and not `.`
/// or `..` (`dev_valid_name` in `net/core/dev.c`).
///
/// ```
/// use spiderpool_core::net::LinkName;
///
/// let name = LinkName::new("eth0")?;
/// assert_eq!(&*name, "eth0");
/// assert!(LinkName::new("sixteen-bytes-xx").is_err());
/// # Ok::<(), spiderpool_core::net::BadLinkName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName(String);

/// Why a text can be no link's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` can be no link's name: it {reason}; use 1 to 15 bytes without `/`, `:` or blanks"
)]
pub struct BadLinkName {
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl LinkName {
    /// The longest name, in bytes (`IFNAMSIZ` without the NUL).
    pub const MAX_BYTES: usize = 15;

    /// The name that a text is.
    ///
    /// # Errors
    ///
    /// [`BadLinkName`], with what the kernel would not take. An embedded NUL would silently cut it.
    pub fn new(given: impl Into<String>) -> Result<Self, BadLinkName> {
        let given = given.into();
        match fault(&given) {
            Some(reason) => Err(BadLinkName { given, reason }),
            None => Ok(Self(given)),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(given: &str) -> Option<&'static str> {
    match given {
        "" => Some("is empty"),
        "." | ".." => Some("means a directory"),
        _ if given.len() > LinkName::MAX_BYTES => Some("is longer than 15 bytes"),
        _ if given.contains(['/', ':', '\0']) => Some("holds `/`, `:` or NUL"),
        _ if given.contains(char::is_whitespace) => Some("holds a blank"),
        _ => None,
    }
}

impl Deref for LinkName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LinkName {
    type Error = BadLinkName;

    fn try_from(given: String) -> Result<Self, BadLinkName> {
        Self::new(given)
    }
}

impl TryFrom<&str> for LinkName {
    type Error = BadLinkName;

    fn try_from(given: &str) -> Result<Self, BadLinkName> {
        Self::new(given)
    }
}

impl std::str::FromStr for LinkName {
    type Err = BadLinkName;

    fn from_str(given: &str) -> Result<Self, BadLinkName> {
        Self::new(given)
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_are_what_the_kernel_takes() {
        for good in ["a", "eth0", "veth-0.100@x", "fifteen-bytes-x"] {
            assert_eq!(LinkName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\0b", "sixteen-bytes-xx"] {
            assert!(LinkName::new(bad).is_err(), "{bad:?}");
        }
    }
}
