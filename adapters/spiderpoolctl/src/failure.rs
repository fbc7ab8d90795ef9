//! How a command ends: exit codes, and the one form in which errors are printed.
//!
//! Every command gives a [`Failure`] or an [`Exit`]; [`crate::cli`] prints and returns them.
//! Invariant: an error is told once, subject first, then its causes, then what to do
//! (`a_chain_is_told_in_order`).

use spiderpool_core::refusal::Refusal;
use spiderpool_store::StoreError;
use std::error::Error;
use std::fmt;

/// What the process returns; the numbers are a promise, and `--help` states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done,
    /// The rules said no.
    Refused,
    /// The arguments or an input cannot be used.
    Bad,
    /// The store or the system failed.
    World,
    /// An audit found leaks and nothing worse.
    Leaks,
    /// An audit or a replay found something broken.
    Broken,
}

impl Exit {
    /// The number: 0 to 5.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Bad => 2,
            Self::World => 3,
            Self::Leaks => 4,
            Self::Broken => 5,
        }
    }
}

/// A command that did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whose fault it is.
    pub(crate) exit: Exit,
    /// What could not be done, then each cause.
    layers: Vec<String>,
    /// Flaws that stand beside each other.
    flaws: Vec<String>,
    /// What to do.
    remedy: Option<String>,
}

impl Failure {
    fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, layers: vec![what.into()], flaws: Vec::new(), remedy: None }
    }

    /// The arguments or an input cannot be used.
    pub(crate) fn bad(what: impl Into<String>) -> Self {
        Self::new(Exit::Bad, what)
    }

    /// The rules said no.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::new(Exit::Refused, what)
    }

    /// The system failed.
    pub(crate) fn world(what: impl Into<String>) -> Self {
        Self::new(Exit::World, what)
    }

    /// The rules said no to one command.
    pub(crate) fn refusal(refusal: &Refusal) -> Self {
        let mut failure = Self::refused(refusal.to_string());
        failure.add_sources(refusal);
        failure
    }

    /// Adds an error and everything behind it as causes.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        self.layers.push(error.to_string());
        self.add_sources(error);
        self
    }

    /// Puts what was attempted in front.
    pub(crate) fn while_doing(mut self, what: impl Into<String>) -> Self {
        self.layers.insert(0, what.into());
        self
    }

    /// Adds flaws that stand beside each other.
    pub(crate) fn with_flaws(mut self, flaws: Vec<String>) -> Self {
        self.flaws = flaws;
        self
    }

    /// Says what to do.
    pub(crate) fn try_this(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The whole of it on one line, to stand beside others.
    #[cfg(feature = "cluster")]
    pub(crate) fn in_one_line(&self) -> String {
        let flaws = self.flaws.join("; ");
        let mut parts = self.layers.clone();
        parts.extend((!flaws.is_empty()).then_some(flaws));
        parts.join(": ")
    }

    fn add_sources(&mut self, error: &dyn Error) {
        let mut next = error.source();
        while let Some(cause) = next {
            self.layers.push(cause.to_string());
            next = cause.source();
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.layers.iter().enumerate() {
            let label = if at == 0 { "error: " } else { "\n  caused by: " };
            write!(f, "{label}{layer}")?;
        }
        for flaw in &self.flaws {
            write!(f, "\n  - {flaw}")?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  try: {remedy}"),
            None => Ok(()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if let StoreError::Refused(refusal) = &error {
            return Self::refusal(refusal);
        }
        let is_argument = matches!(error, StoreError::Exists { .. });
        let exit = if is_argument { Exit::Bad } else { Exit::World };
        let mut failure = Self::new(exit, error.to_string());
        failure.add_sources(&error);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::name::Name;

    #[test]
    fn a_chain_is_told_in_order() {
        let bad = Name::new("a b").unwrap_err();
        let failure = Failure::bad("cannot read x").because(&bad).try_this("write a name");
        assert_eq!(
            failure.to_string(),
            "error: cannot read x\n  caused by: the name `a b` has the character ' ' at byte 1; white space and control characters are not allowed\n  try: write a name"
        );
        assert_eq!(failure.exit.code(), 2);
    }

    #[test]
    fn the_store_is_the_world() {
        let failure = Failure::from(StoreError::Full { dir: "/d".into() });
        assert_eq!(failure.exit, Exit::World);
    }
}
