//! The state machine of one node.

use super::port::{Input, Output};
use super::record::Record;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;

/// What a node is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The node's name.
    pub node: Name,
    /// Its local record, or `None` when it was lost or belongs to another life: it is then made anew
    /// from the endpoints of the node.
    pub record: Option<Record>,
    /// Whose record a new one is.
    pub identity: super::record::Identity,
}

/// One node's part of the protocol.
#[derive(Debug)]
pub struct Node {
    record: Record,
}

impl Node {
    /// A node that has not looked at anything yet, and what it does first.
    #[must_use]
    pub fn new(setup: Setup, _moment: Moment) -> (Self, Vec<Output>) {
        let record = setup.record.unwrap_or_else(|| Record::new(setup.identity));
        (Self { record }, Vec::new())
    }

    /// Takes in what happened, and gives what is to be done, in order.
    pub fn step(&mut self, _moment: Moment, _input: Input) -> Vec<Output> {
        Vec::new()
    }

    /// When [`Input::Tick`] is due at the latest, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        None
    }

    /// Its local record.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }
}
