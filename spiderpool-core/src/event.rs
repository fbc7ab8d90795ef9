//! What has happened: events, the writes that carry them, and the names of what they change.
//!
//! An event is in the past tense, touches exactly one object, and is applied by one function,
//! [`crate::view::View::apply`].

use crate::definition::{Pool, Reservation, Subnet};
use crate::name::Name;
use crate::owner::{Holder, Placement, Stage};
use crate::slots::{BlockKey, BlockSize};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The version of an object as its store counts it; 0 for an object that does not exist.
pub type Revision = u64;

/// The name of one object of a store: the unit of compare-and-swap.
///
/// The order of this type is the global order in which writes are made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKey {
    /// An address space.
    Space(Name),
    /// A subnet.
    Subnet(Name),
    /// A reservation.
    Reservation(Name),
    /// A pool.
    Pool(Name),
    /// A block of slots.
    Block(BlockKey),
    /// What is remembered of a container that was told to go.
    Container(Name),
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Space(name) => write!(f, "space {name}"),
            Self::Subnet(name) => write!(f, "subnet {name}"),
            Self::Reservation(name) => write!(f, "reservation {name}"),
            Self::Pool(name) => write!(f, "pool {name}"),
            Self::Block(key) => write!(f, "block {key}"),
            Self::Container(name) => write!(f, "container {name}"),
        }
    }
}

/// An address space: addresses in different spaces have nothing to do with each other (VRFs).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// The space's name; `default` where nobody says otherwise.
    pub name: Name,
    /// Slots in each IPv4 block, for ever.
    pub v4_block: BlockSize,
    /// Slots in each IPv6 block, for ever.
    pub v6_block: BlockSize,
}

/// A DEL that came for a container: an ADD that was already under way must not commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Requests with a ticket that is not above this one came before the DEL.
    pub ticket: u64,
    /// When it was put up, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// An allocation as it enters a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who gets it.
    pub holder: Holder,
    /// Pool, attachment and network.
    pub placement: Placement,
    /// How far it has come.
    pub stage: Stage,
    /// Above every generation that the block has seen.
    pub generation: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Its holder gave it back.
    Released,
    /// Its holder is gone.
    Reclaimed,
    /// Its identity moved to another pool.
    Moved,
    /// A runtime listed what is still there, and it was not on the list.
    Collected,
}

/// What has happened to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// An address space was made.
    SpaceDefined(Space),
    /// A subnet was made or changed.
    SubnetDefined(Arc<Subnet>),
    /// A subnet was removed.
    SubnetRemoved,
    /// A reservation was made or changed.
    ReservationDefined(Arc<Reservation>),
    /// A reservation was removed.
    ReservationRemoved,
    /// A pool was made or changed.
    PoolDefined(Arc<Pool>),
    /// A pool was removed.
    PoolRemoved,
    /// A block came into being, with every slot free.
    Opened {
        /// How many slots it has.
        size: BlockSize,
        /// The random number of this life of the block.
        incarnation: u64,
        /// The highest generation that it may have come to in an earlier life; 0 when it never was.
        #[serde(default, skip_serializing_if = "is_zero")]
        generation: u64,
    },
    /// A slot was given to an owner that did not have it.
    Granted {
        /// The slot within the block.
        slot: u8,
        /// To whom, and how.
        grant: Grant,
    },
    /// An owner's slot passed to another incarnation of the same owner.
    Adopted {
        /// The slot within the block.
        slot: u8,
        /// To whom, and how.
        grant: Grant,
    },
    /// An allocation came to another stage; the incarnation stays.
    Restaged {
        /// The slot within the block.
        slot: u8,
        /// Pool, attachment and network.
        placement: Placement,
        /// The stage it came to.
        stage: Stage,
        /// When, in milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// An allocation ended.
    Freed {
        /// The slot within the block.
        slot: u8,
        /// The generation that ended; a slot at another one is left alone.
        generation: u64,
        /// When, in milliseconds since the Unix epoch.
        at_ms: u64,
        /// Whether the slot rests before it is free.
        rests: bool,
        /// Why.
        ending: Ending,
    },
    /// A slot's address was seen in use by somebody else.
    Quarantined {
        /// The slot within the block.
        slot: u8,
        /// Who answered.
        mac: [u8; 6],
        /// When, in milliseconds since the Unix epoch.
        at_ms: u64,
        /// Before this moment it is not tried again.
        until_ms: u64,
        /// How often in a row it was found in conflict.
        rounds: u8,
    },
    /// A quarantine or a rest was ended by hand.
    Cleared {
        /// The slot within the block.
        slot: u8,
    },
    /// A DEL came for a container.
    Buried(Tombstone),
    /// A tombstone was taken down.
    Forgotten,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Event {
    /// The slot that it happened to, where it is one of a block's.
    #[must_use]
    pub const fn slot(&self) -> Option<u8> {
        match self {
            Self::Granted { slot, .. }
            | Self::Adopted { slot, .. }
            | Self::Restaged { slot, .. }
            | Self::Freed { slot, .. }
            | Self::Quarantined { slot, .. }
            | Self::Cleared { slot } => Some(*slot),
            Self::SpaceDefined(_)
            | Self::SubnetDefined(_)
            | Self::SubnetRemoved
            | Self::ReservationDefined(_)
            | Self::ReservationRemoved
            | Self::PoolDefined(_)
            | Self::PoolRemoved
            | Self::Opened { .. }
            | Self::Buried(_)
            | Self::Forgotten => None,
        }
    }
}

/// All that happens to one object in one decision: committed whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The object.
    pub object: ObjectKey,
    /// The revision that the decision was made on.
    pub base: Revision,
    /// In this order.
    pub events: Vec<Event>,
}
