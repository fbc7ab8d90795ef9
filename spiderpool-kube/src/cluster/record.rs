//! The node's local record: where to look, never what is true.
//!
//! A list of entries, appended and applied one after the other. An answer is never given from it: it
//! only names the blocks to read. It belongs to one life of one node on one machine, and is discarded
//! when either differs ([`Record::belongs_to`]).
//!
//! Invariants:
//! 1. Applying the entries of a record to an empty one gives the same record
//!    (`a_record_is_its_entries`).
//! 2. Each block that a write was sent for is in the record before it is sent
//!    (`tests/cluster`: `the_intent_is_noted_before_the_write_is_sent`).

use serde::{Deserialize, Serialize};
use spiderpool_core::command::Place;
use spiderpool_core::event::{Revision, Tombstone};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Owner, Placement};
use spiderpool_core::slots::BlockKey;
use std::collections::{BTreeMap, BTreeSet};

/// Whose record it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The UID of the Node object.
    pub node_uid: String,
    /// The machine's id (`machine-id(5)`).
    pub machine_id: String,
}

/// What a node remembers of its own pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    identity: Identity,
    whole: bool,
    seen: Revision,
    epoch: u64,
    containers: BTreeMap<Name, Trace>,
    tombstones: BTreeMap<Name, Tombstone>,
}

/// What is remembered of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The owner of what it holds.
    pub owner: Owner,
    /// Blocks that a write for it was sent to.
    pub blocks: BTreeSet<BlockKey>,
    /// What it was told, for writing it back after a loss.
    pub told: BTreeMap<Place, Told>,
}

/// An address that a container was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The pod's UID, where there is one.
    pub pod_uid: Option<Name>,
    /// Pool, attachment and network.
    pub placement: Placement,
    /// The generation of the grant.
    pub generation: u64,
    /// When the slot last changed before it was told, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub since_ms: u64,
}

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// The record begins.
    Began {
        /// The format of the lines that follow: [`FORMAT`].
        format: u16,
        /// Whose it is.
        identity: Identity,
    },
    /// What the node's pods held before the record began has been taken in: from here on it is whole.
    Rebuilt,
    /// A write for a container is about to be sent.
    Sought {
        /// The container.
        container: Name,
        /// Its owner.
        owner: Owner,
        /// The block.
        block: BlockKey,
    },
    /// A container is about to be told an address.
    Told {
        /// The container.
        container: Name,
        /// The address.
        place: Place,
        /// What it is told.
        told: Told,
    },
    /// A container was told to go.
    Buried {
        /// The container.
        container: Name,
        /// Its tombstone.
        tombstone: Tombstone,
    },
    /// An address that a container was told is no more its own.
    Freed {
        /// The container.
        container: Name,
        /// The address.
        place: Place,
    },
    /// Nothing of a container is left.
    Ended {
        /// The container.
        container: Name,
    },
    /// The tombstones from before a moment have been taken down.
    Tidied {
        /// Milliseconds since the Unix epoch.
        before_ms: u64,
    },
    /// The store has come to a revision.
    Saw {
        /// The highest one seen.
        revision: Revision,
    },
    /// What the node's pods hold has been written back into a store that had gone back in time.
    Asserted {
        /// The epoch of the recovery.
        epoch: u64,
        /// The revision that the store was at: what was seen before does not count any more.
        revision: Revision,
    },
}

/// The format of a record's lines.
pub const FORMAT: u16 = 1;

impl Record {
    /// An empty record of a node.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, ..Self::default() }
    }

    /// Whether it is the record of this life of this node on this machine.
    #[must_use]
    pub fn belongs_to(&self, identity: &Identity) -> bool {
        self.identity == *identity
    }

    /// Whether everything that the node's pods hold is in it; a record that was cut off while it was made
    /// anew is not.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The highest revision of the store that the node has seen.
    #[must_use]
    pub const fn seen(&self) -> Revision {
        self.seen
    }

    /// The epoch of the last recovery in which the node wrote back what its pods hold.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is remembered of a container.
    #[must_use]
    pub fn trace(&self, container: &Name) -> Option<&Trace> {
        self.containers.get(container)
    }

    /// Every container with what is remembered of it.
    pub fn traces(&self) -> impl Iterator<Item = (&Name, &Trace)> {
        self.containers.iter()
    }

    /// The blocks that writes for an owner were sent to.
    #[must_use]
    pub fn blocks_of(&self, owner: &Owner) -> BTreeSet<BlockKey> {
        let traces = self.containers.values().filter(|trace| trace.owner == *owner);
        traces.flat_map(|trace| trace.blocks.iter().cloned()).collect()
    }

    /// The tombstone of a container.
    #[must_use]
    pub fn tombstone(&self, container: &Name) -> Option<Tombstone> {
        self.tombstones.get(container).copied()
    }

    /// Takes a line in.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Began { identity, .. } => *self = Self::new(identity.clone()),
            Entry::Rebuilt => self.whole = true,
            Entry::Sought { container, owner, block } => {
                self.trace_mut(container, owner).blocks.insert(block.clone());
            }
            Entry::Told { container, place, told } => {
                let Some(trace) = self.containers.get_mut(container) else { return };
                trace.told.insert(place.clone(), told.clone());
                // An earlier container of the owner has it no more.
                let owner = trace.owner.clone();
                let others = self.containers.iter_mut().filter(|(other, _)| *other != container);
                for (_, trace) in others.filter(|(_, trace)| trace.owner == owner) {
                    trace.told.remove(place);
                }
            }
            Entry::Buried { container, tombstone } => {
                self.tombstones.insert(container.clone(), *tombstone);
            }
            Entry::Freed { container, place } => {
                if let Some(trace) = self.containers.get_mut(container) {
                    trace.told.remove(place);
                }
            }
            Entry::Ended { container } => drop(self.containers.remove(container)),
            Entry::Tidied { before_ms } => {
                self.tombstones.retain(|_, stone| stone.at_ms >= *before_ms);
            }
            Entry::Saw { revision } => self.seen = self.seen.max(*revision),
            Entry::Asserted { epoch, revision } => {
                self.epoch = *epoch;
                self.seen = *revision;
            }
        }
    }

    /// The fewest lines that make this record, for writing it anew.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let began = Entry::Began { format: FORMAT, identity: self.identity.clone() };
        let rebuilt = self.whole.then_some(Entry::Rebuilt);
        let saw = Entry::Asserted { epoch: self.epoch, revision: self.seen };
        let stones = self.tombstones.iter().map(|(container, tombstone)| Entry::Buried {
            container: container.clone(),
            tombstone: *tombstone,
        });
        let traces = self.containers.iter().flat_map(|(container, trace)| {
            let owner = &trace.owner;
            let sought = trace.blocks.iter().map(|block| Entry::Sought {
                container: container.clone(),
                owner: owner.clone(),
                block: block.clone(),
            });
            let told = trace.told.iter().map(|(place, told)| Entry::Told {
                container: container.clone(),
                place: place.clone(),
                told: told.clone(),
            });
            sought.chain(told)
        });
        [began, saw].into_iter().chain(stones).chain(traces).chain(rebuilt)
    }

    fn trace_mut(&mut self, container: &Name, owner: &Owner) -> &mut Trace {
        self.containers.entry(container.clone()).or_insert_with(|| Trace {
            owner: owner.clone(),
            blocks: BTreeSet::new(),
            told: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::address::Family;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_record_is_its_entries() {
        let identity = Identity { node_uid: "u".into(), machine_id: "m".into() };
        let mut record = Record::new(identity.clone());
        let owner = Owner::pod(&name("uid")).unwrap();
        let block = BlockKey { space: name("default"), family: Family::V4, first: 64 };
        let place = Place { space: name("default"), address: block.address(3) };
        let placement = Placement { pool: name("blue"), attachment: name("eth0"), network: None };
        let told = Told { pod_uid: None, placement, generation: 4, since_ms: 3 };
        let lines = [
            Entry::Sought { container: name("c"), owner, block },
            Entry::Told { container: name("c"), place, told },
            Entry::Buried { container: name("d"), tombstone: Tombstone { ticket: 1, at_ms: 5 } },
            Entry::Saw { revision: 9 },
            Entry::Saw { revision: 7 },
            Entry::Rebuilt,
        ];
        lines.iter().for_each(|line| record.apply(line));
        let mut again = Record::default();
        record.entries().for_each(|line| again.apply(&line));
        assert_eq!((again.seen(), &again), (9, &record));
        assert!(record.belongs_to(&identity) && again.is_whole());
        record.apply(&Entry::Ended { container: name("c") });
        record.apply(&Entry::Tidied { before_ms: 6 });
        assert!(record.traces().next().is_none() && record.tombstone(&name("d")).is_none());
    }
}
