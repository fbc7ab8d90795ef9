//! What goes into the protocol and what comes out: the whole surface between the state machine of a
//! node and whatever moves its bytes.
//!
//! A driver (async code, or the simulator) hands in each [`Input`] with a moment, and does what the
//! [`Output`]s say, in their order. [`Output::Note`] has to be durable before any later
//! [`Output::Call`] of the same batch is sent.

use super::object::{Body, EndpointFacts, IndexKey, Key, Listing, Meta, Object};
use super::record::Entry;
use spiderpool_core::command::{Answer, Command};
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use spiderpool_core::refusal::Refusal;
use spiderpool_core::slots::BlockKey;
use std::collections::BTreeSet;
use thiserror::Error;

/// Something that was asked; chosen by the driver, unique for the life of the state machine.
pub type AskId = u64;

/// A request to the server; chosen by the state machine.
pub type CallId = u64;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody asks.
    Ask {
        /// Which.
        id: AskId,
        /// What.
        ask: Box<Ask>,
    },
    /// A call came to an end.
    Reply {
        /// Which.
        call: CallId,
        /// How.
        outcome: Outcome,
    },
    /// A watch told of a definition or of the ledger. May be late, repeated, or out of order between
    /// objects; of one object a lower revision after a higher one is passed over.
    Changed(Change),
    /// The nodes that are ready, as a live list of the server says; handed in after
    /// [`Output::WantNodes`].
    ReadyNodes(BTreeSet<Name>),
    /// Time has passed.
    Tick,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is like this.
    Seen(Box<Object>),
    /// An object is gone since a revision; one of its name that was seen later is another one.
    Gone(Key, Revision),
    /// All definitions that existed when the watches began have been told.
    Synced {
        /// The lowest revision of those lists.
        revision: Revision,
    },
    /// The watches were broken, and go on, from where they stood or with new lists.
    Resumed,
    /// A list of definitions is older than what a watch told before: the store went back. Told before
    /// what is in that list.
    Rewound {
        /// The revision of the list.
        revision: Revision,
        /// The revision that the watch had come to.
        was: Revision,
    },
}

/// Something asked of a node.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The command; those that define things are refused.
    pub command: Command,
    /// The endpoint to make, for the allocations of a static identity.
    pub endpoint: Option<EndpointFacts>,
    /// When whoever asks stops waiting, in milliseconds since the Unix epoch. What is under way then
    /// is brought to an end unobserved.
    pub deadline_ms: u64,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this durable in the node's local record.
    Note(Entry),
    /// Send a request.
    Call {
        /// Which.
        call: CallId,
        /// What.
        request: Box<Request>,
    },
    /// Tell whoever asked.
    Answer {
        /// Who.
        id: AskId,
        /// What they are told.
        answer: Result<Answer, Fault>,
    },
    /// List the ready nodes and hand them in.
    WantNodes,
    /// Tell people: something is wrong with the store.
    Alarm(Alarm),
}

/// A request to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A quorum read of a whole object (never `resourceVersion=0`).
    Read(Key),
    /// A quorum read of an object's metadata alone.
    ReadMeta(Key),
    /// Make an object if there is none of its name.
    Create {
        /// Its name.
        key: Key,
        /// What is in it.
        body: Body,
    },
    /// Put another body into an object if it is still at a revision.
    Replace {
        /// Its name.
        key: Key,
        /// The revision that it must have.
        base: Revision,
        /// What is in it at that revision: what does not differ need not be sent.
        was: Body,
        /// What is to be in it.
        body: Body,
    },
    /// Merge one entry into a shard of the index, made if it does not exist, whatever its revision.
    List {
        /// The shard.
        index: IndexKey,
        /// The number of the block's first address.
        first: u128,
        /// The entry.
        listing: Listing,
    },
    /// The endpoints whose label names a node.
    EndpointsOf(Name),
    /// All reservations, by a quorum list.
    Reservations,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a read: the object.
    Found(Box<Object>),
    /// Of a metadata read: the metadata.
    Meta(Meta),
    /// Of a read: there is no such object.
    Absent,
    /// Of a list: the objects.
    Objects(Vec<Object>),
    /// Of a write: it is durable, and the object has this metadata.
    Done(Meta),
    /// Of a write: the object is at another revision, or exists already; nothing was written (409).
    Conflict,
    /// Of a write: the object is gone; nothing was written (404).
    Missing,
    /// The server will not have it (400, 403, 422); nothing was written.
    Refused {
        /// What it says.
        why: String,
    },
    /// No reply came, or one that says nothing (a time-out, a lost connection, a 5xx): a write may be
    /// durable, or become so later.
    Unknown,
}

/// Why something that was asked came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The rules say no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Time is up.
    #[error("the API server did not settle it in time; it goes on, ask again")]
    Late,
    /// Others were faster too often.
    #[error("gave up after {attempts} attempts against other nodes; ask again")]
    Contended {
        /// How many.
        attempts: u32,
    },
    /// The node does not know the definitions yet.
    #[error("the node has not read the pools yet; ask again in a moment")]
    NotReady,
    /// The store went back in time, and what is held is being written back.
    #[error(
        "no address is given out: the store is being recovered ({why}); wait until every ready node has written back what its pods hold"
    )]
    Recovering {
        /// What was seen.
        why: String,
    },
    /// What is about to be done cannot be written down on the node.
    #[error(
        "the node's local record cannot be written: {why}; free its disk or mend the directory, until then nothing is given out"
    )]
    NoRecord {
        /// What the system says.
        why: String,
    },
    /// A block that was is gone.
    #[error("the block at {block} was lost; its addresses are not given out until it is rebuilt")]
    Lost {
        /// Which.
        block: BlockKey,
    },
    /// An object cannot be read by this version.
    #[error("{object} cannot be used: {why}")]
    Unreadable {
        /// Which.
        object: Key,
        /// Why, and what to do.
        why: String,
    },
    /// The server will not have a write.
    #[error("the API server refused to write {object}: {why}")]
    Forbidden {
        /// Which object.
        object: Key,
        /// What the server says.
        why: String,
    },
    /// What was asked is not a node's business.
    #[error("a node does not {what}; use the command line on the cluster")]
    NotHere {
        /// What was asked.
        what: &'static str,
    },
}

/// Something that people have to know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Alarm {
    /// The store is older than what this node has seen.
    #[error("the store went back in time: {why}")]
    WentBack {
        /// What was seen.
        why: String,
    },
    /// A block is gone.
    #[error("the block at {block} is gone")]
    BlockLost {
        /// Which.
        block: BlockKey,
    },
    /// Two live pods hold one address after a recovery.
    #[error("{place} is held by {ours} here and by {theirs} in the store", place = .place.address)]
    Clash {
        /// Where.
        place: spiderpool_core::command::Place,
        /// The owner that lives on this node.
        ours: String,
        /// The owner that the store names.
        theirs: String,
    },
}
