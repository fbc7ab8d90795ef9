//! Where addresses are given out: a ledger that is asked one command after the other.
//!
//! A trait, so that the handlers can be held against the core's own ledger in memory, which is a real one.

pub mod cluster;

use crate::soon::Soon;
use ipnet::IpNet;
use spiderpool_core::command::Answer;
use spiderpool_core::command::Place;
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, BlockSize, Sheet};
use spiderpool_kube::cluster::port::{Ask, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// An address that a container holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The interface.
    pub attachment: Name,
    /// The address, with the length of its pool's prefix where the pool is known.
    pub address: IpNet,
    /// The pool's gateway.
    pub gateway: Option<IpAddr>,
    /// The pool.
    pub pool: Name,
    /// The address space.
    pub space: Name,
    /// The generation of the grant.
    pub generation: u64,
}

/// A ledger.
pub trait Store: Send + Sync + 'static {
    /// Has a command decided and made durable.
    fn ask(&self, ask: Ask) -> Soon<'_, Result<Answer, Fault>>;

    /// The time that deadlines are counted in, in milliseconds since the Unix epoch: of a cluster, the API
    /// server's, since a node's own clock may be hours off.
    fn now_ms(&self) -> u64;

    /// What a container holds, as the ledger says at present.
    fn held<'a>(&'a self, container: &'a Name) -> Soon<'a, Result<Vec<Held>, Fault>>;

    /// Blocks, as the ledger says at present; those that do not exist are left out.
    fn blocks(&self, keys: BTreeSet<BlockKey>) -> Soon<'_, Result<Blocks, Fault>>;
}

/// Blocks by their names, each at its revision.
pub type Blocks = BTreeMap<BlockKey, (Revision, Sheet)>;

/// The block that an address is in. In a cluster all blocks have the default size.
#[must_use]
pub fn block_of(place: &Place) -> BlockKey {
    BlockKey::of(&place.space, place.address, BlockSize::DEFAULT)
}
