//! The objects of an API server as the protocol sees them: their names, their revisions, and what is
//! in them.
//!
//! Whatever a server's own encoding is, an adapter lifts it to these before the protocol sees it, and
//! lowers what the protocol writes. An object that cannot be read (an unknown format, damaged parts)
//! stays visible as [`Body::Unreadable`], so that nobody writes over it.

use spiderpool_core::address::Family;
use spiderpool_core::command::Place;
use spiderpool_core::definition::{Pool, Reservation, Subnet};
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Sheet};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The name of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A pool.
    Pool(Name),
    /// A subnet.
    Subnet(Name),
    /// A reservation.
    Reservation(Name),
    /// A block of slots: the only truth about who has an address.
    Block(BlockKey),
    /// A shard of the list of blocks that were ever made.
    Index(IndexKey),
    /// The one object that says whether the store can be trusted.
    Ledger,
    /// All that one pod or one static identity has.
    Endpoint(EndpointKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(name) => write!(f, "pool {name}"),
            Self::Subnet(name) => write!(f, "subnet {name}"),
            Self::Reservation(name) => write!(f, "reservation {name}"),
            Self::Block(key) => write!(f, "block {key}"),
            Self::Index(key) => write!(f, "index {key}"),
            Self::Ledger => f.write_str("the ledger"),
            Self::Endpoint(key) => write!(f, "endpoint {key}"),
        }
    }
}

/// How many blocks of the default size one shard of the index lists.
pub const INDEX_BLOCKS: u128 = 256;

/// The name of a shard of the index: the blocks of [`INDEX_BLOCKS`] times 64 aligned addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey {
    /// The address space.
    pub space: Name,
    /// The family.
    pub family: Family,
    /// The number of its first address.
    pub first: u128,
}

impl IndexKey {
    /// The shard that lists a block.
    #[must_use]
    pub fn of(block: &BlockKey) -> Self {
        let first = block.first & !(INDEX_BLOCKS * 64 - 1);
        Self { space: block.space.clone(), family: block.family, first }
    }
}

impl fmt::Display for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, self.family.address(self.first))
    }
}

/// The name of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// The namespace of its pod.
    pub namespace: Name,
    /// The name of its pod or identity.
    pub name: Name,
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a server says of an object besides its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Its `resourceVersion`, a number since KEP-5504.
    pub revision: Revision,
    /// Its `generation`: grows with each change of its spec.
    pub generation: u64,
    /// Whether it has a `deletionTimestamp`.
    pub deleting: bool,
}

/// An object as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// What the server says of it.
    pub meta: Meta,
    /// What is in it.
    pub body: Body,
}

/// What is in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A pool.
    Pool(Arc<Pool>),
    /// A subnet.
    Subnet(Arc<Subnet>),
    /// A reservation.
    Reservation(Arc<Reservation>),
    /// A block.
    Block(BlockBody),
    /// A shard of the index.
    Index(Index),
    /// The ledger.
    Ledger(Ledger),
    /// An endpoint.
    Endpoint(Endpoint),
    /// Something that this version must not touch.
    Unreadable {
        /// What is the matter with it, and what to do.
        why: String,
    },
}

impl Body {
    /// The shard of the index that it is, if it is one.
    #[must_use]
    pub const fn index(&self) -> Option<&Index> {
        if let Self::Index(index) = self { Some(index) } else { None }
    }

    /// The ledger that it is, if it is it.
    #[must_use]
    pub const fn ledger(&self) -> Option<&Ledger> {
        if let Self::Ledger(ledger) = self { Some(ledger) } else { None }
    }

    /// The endpoint that it is, if it is one.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        if let Self::Endpoint(endpoint) = self { Some(endpoint) } else { None }
    }

    /// The block that it is, if it is one.
    #[must_use]
    pub const fn block(&self) -> Option<&BlockBody> {
        if let Self::Block(block) = self { Some(block) } else { None }
    }

    /// Why it must not be touched, if that is so.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        if let Self::Unreadable { why } = self { Some(why) } else { None }
    }
}

/// What is in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockBody {
    /// Its slots and counters.
    pub sheet: Sheet,
    /// Whether its writer knew that the index lists it: before that, nobody was told an address of it.
    pub listed: bool,
}

/// A shard of the list of blocks that were ever made. Entries are added by merging, and never go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Each block by the number of its first address.
    pub blocks: BTreeMap<u128, Listing>,
}

/// What the index says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The incarnation that was listed.
    pub incarnation: u64,
    /// Whether it is believed to have no free slot: a hint, not a truth.
    pub full: bool,
}

/// Whether the store can be trusted: one object for the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Which recovery is or was the last: grows with each, and is about when it began, in milliseconds since
    /// the Unix epoch; 0 before the first.
    pub epoch: u64,
    /// When set, nobody is given an address until every ready node is in it.
    pub recovery: Option<Recovery>,
}

/// A recovery after the store went back in time, or lost a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// When it began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What was seen.
    pub why: String,
    /// The nodes that have written back what their live sandboxes hold.
    pub asserted: BTreeSet<Name>,
    /// Blocks that every node looks into: those that were lost and have to be made anew, and those in which
    /// two hold one address.
    pub lost: BTreeSet<BlockKey>,
}

/// All that one pod or static identity has, as far as the protocol needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What else a new endpoint says.
    pub facts: EndpointFacts,
    /// The slots that it names: of a static identity an intent, of an ordinary pod a projection. It
    /// says where to look, and grants nothing.
    pub slots: Vec<Pointer>,
}

/// What an endpoint says of its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFacts {
    /// Its name.
    pub key: EndpointKey,
    /// The UID of the present pod.
    pub pod_uid: String,
    /// The node of the present pod.
    pub node: String,
    /// The kind of the workload that controls the pod; `Pod` without one.
    pub owner_kind: String,
    /// The name of that workload.
    pub owner_name: String,
}

/// The slot that a static identity's demand is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    /// The interface.
    pub attachment: Name,
    /// The address in its space.
    pub place: Place,
}
