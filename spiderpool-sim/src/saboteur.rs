//! Bugs planted on purpose, to show that the simulator finds them.
//!
//! Each alters what a node sees or sends, what the server does, or what a leader takes for granted;
//! none is in the state machine itself. `tests/planted.rs` states within how many schedules each is
//! found.

use std::fmt;
use std::str::FromStr;

/// One planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A write does not carry the revision it was made on.
    RevisionDropped,
    /// The check before a reply is answered from what was seen first.
    ProofFromCache,
    /// A lost reply is taken for a conflict.
    LostIsConflict,
    /// A lost reply is taken for "the object is gone".
    LostIsMissing,
    /// A lost reply is taken for success.
    LostIsDone,
    /// A block's write is reported as done before it is sent.
    DoneBeforeDurable,
    /// A leader frees what it saw a while ago, whatever generation it is at.
    GenerationDropped,
    /// A leader frees after the first look, without asking the node.
    OneLook,
    /// The index answers that no block was ever made.
    AbsentIsEmpty,
    /// DEL acts on the pod's present container, whichever it was sent for.
    ContainerIgnored,
    /// A read of an endpoint is answered from what was seen first.
    EndpointFromCache,
    /// The writer of an endpoint is not told of a conflict.
    EndpointConflictHidden,
    /// An agent's notes are not durable when it is killed.
    NotesNotDurable,
    /// A read of a block is answered from a copy of a moment ago, with the present revision.
    BlockFromCache,
}

impl Bug {
    /// Every bug, with its name on the command line.
    pub const ALL: [(&'static str, Self); 14] = [
        ("revision-dropped", Self::RevisionDropped),
        ("proof-from-cache", Self::ProofFromCache),
        ("lost-is-conflict", Self::LostIsConflict),
        ("lost-is-missing", Self::LostIsMissing),
        ("lost-is-done", Self::LostIsDone),
        ("done-before-durable", Self::DoneBeforeDurable),
        ("generation-dropped", Self::GenerationDropped),
        ("one-look", Self::OneLook),
        ("absent-is-empty", Self::AbsentIsEmpty),
        ("container-ignored", Self::ContainerIgnored),
        ("endpoint-from-cache", Self::EndpointFromCache),
        ("endpoint-conflict-hidden", Self::EndpointConflictHidden),
        ("notes-not-durable", Self::NotesNotDurable),
        ("block-from-cache", Self::BlockFromCache),
    ];
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, bug)| bug == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

/// No bug has that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchBug(String);

impl fmt::Display for NoSuchBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Bug::ALL.iter().map(|(name, _)| *name).collect();
        write!(f, "no planted bug is called `{}`; choose one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for NoSuchBug {}

impl FromStr for Bug {
    type Err = NoSuchBug;

    fn from_str(text: &str) -> Result<Self, NoSuchBug> {
        let found = Bug::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, bug)| *bug).ok_or_else(|| NoSuchBug(text.to_owned()))
    }
}
