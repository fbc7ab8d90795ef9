//! What can be asked of the ledger: commands in, answers out.

use crate::definition::{Pool, Reservation, Route, Subnet};
use crate::event::{Ending, Space, Write};
use crate::name::Name;
use crate::owner::Owner;
use crate::request::{Demand, Request};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Something to be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Make an address space; only needed for a block size other than the default.
    DefineSpace(Space),
    /// Make or change a subnet.
    DefineSubnet(Subnet),
    /// Remove a subnet from which no pool is carved.
    RemoveSubnet(Name),
    /// Make or change a reservation.
    DefineReservation(Reservation),
    /// Remove a reservation.
    RemoveReservation(Name),
    /// Make or change a pool.
    DefinePool(Pool),
    /// Remove a pool that has no allocation left.
    RemovePool(Name),
    /// Give a pod its addresses; asking again gives the same ones.
    Allocate(Request),
    /// Give back what a container holds (CNI DEL).
    Release(Release),
    /// End single allocations, each at the generation that was seen.
    Reclaim(Reclaim),
    /// Give back what a network's attachments hold unless they are listed (CNI GC).
    Collect(Collect),
    /// Hold an address for a static identity that has no pod yet.
    Hold(Hold),
    /// Somebody else answers for an address.
    Conflict(Conflict),
    /// End the quarantine or the rest of an address by hand.
    Clear(Place),
    /// Take down tombstones that were put up before a moment.
    Tidy {
        /// Milliseconds since the Unix epoch.
        before_ms: u64,
    },
}

/// An address in its address space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The address space.
    pub space: Name,
    /// The address.
    pub address: IpAddr,
}

/// A container, or one attachment of it, goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Only what this container holds is given back.
    pub container: Name,
    /// The interface; `None` for all of them.
    pub attachment: Option<Name>,
    /// Requests of the container with a ticket up to this one came before.
    pub ticket: u64,
}

/// Allocations whose holders are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaim {
    /// Which.
    pub claims: Vec<Claim>,
    /// Whether allocations of static identities end too.
    pub statics: bool,
    /// What the events say.
    pub ending: Ending,
}

/// One allocation as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// Where.
    pub place: Place,
    /// The generation that was seen; at another one nothing is done.
    pub generation: u64,
}

/// What a runtime says is still attached to a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collect {
    /// The network.
    pub network: Name,
    /// The attachments that stay: container id and interface.
    pub keep: BTreeSet<(Name, Name)>,
}

/// An address for a static identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A static identity.
    pub owner: Owner,
    /// Its interface.
    pub attachment: Name,
    /// The address; it has to lie in a pool.
    pub place: Place,
    /// The node that is recorded.
    pub node: Name,
}

/// Evidence that somebody else uses an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Where, and the generation that the prober was given.
    pub claim: Claim,
    /// Who answered.
    pub mac: [u8; 6],
}

/// What a decision comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is to be committed, in this order: what is held comes before what is freed.
    pub writes: Vec<Write>,
    /// What to tell whoever asked, once the writes are durable.
    pub answer: Answer,
}

/// What the asker is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// A definition was made, changed or removed; these allocations lie outside of every pool now
    /// or under a reservation.
    Defined {
        /// Whether anything changed.
        changed: bool,
        /// Allocations that the definition does not cover, which stay until they are released.
        standing: Vec<Standing>,
    },
    /// A pod has its addresses.
    Allocated(Allocated),
    /// These allocations ended.
    Freed(Vec<Standing>),
    /// An address is in quarantine until the given moment.
    Quarantined {
        /// Milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// An address is not put in quarantine: the evidence points at a router, not at a host.
    Spared(Suspicion),
    /// It is done.
    Done,
}

/// Why a conflict did not lead to a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Suspicion {
    /// One MAC answers for many addresses: a router with proxy ARP.
    OneMacForMany {
        /// Who answers.
        mac: [u8; 6],
        /// For how many addresses, this one included.
        addresses: u32,
    },
    /// Too large a part of the pool would be in quarantine.
    TooMany {
        /// How many addresses of the pool are in quarantine.
        quarantined: u32,
    },
}

/// An allocation, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Where.
    pub place: Place,
    /// The text of its owner.
    pub owner: String,
    /// Its interface.
    pub attachment: Name,
    /// Its container id; empty while there is none.
    pub container: String,
    /// Its node.
    pub node: String,
    /// The pool it was granted through.
    pub pool: Name,
    /// Its generation.
    pub generation: u64,
}

/// All addresses of the attachments that a request covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocated {
    /// One entry for each attachment and family.
    pub addresses: Vec<Granted>,
    /// Routes, each with the attachment it belongs to.
    pub routes: Vec<PlacedRoute>,
    /// Routes of the request whose next hop no attachment can reach.
    pub unplaced: Vec<Route>,
}

/// One address of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Granted {
    /// For which interface and family.
    pub demand: Demand,
    /// The address with the length of its pool's prefix.
    pub address: IpNet,
    /// The pool's gateway.
    pub gateway: Option<IpAddr>,
    /// The pool.
    pub pool: Name,
    /// The address space.
    pub space: Name,
    /// The generation to present in a conflict report or a reclaim.
    pub generation: u64,
    /// Whether the owner had it already.
    pub kept: bool,
}

/// A route and its interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedRoute {
    /// The interface.
    pub attachment: Name,
    /// The route.
    pub route: Route,
}
