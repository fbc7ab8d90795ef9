//! The cluster's ledger: blocks on an API server, written by the protocol's driver.
//!
//! Until the driver has started, every command is answered with "not ready", so that plugins are told why
//! and try again.
//!
//! Invariant: what a container holds is said by the blocks themselves; the book only says which to read
//! (`a_slot_counts_for_its_container_alone`).

use super::{Blocks, Held, Store, block_of};
use crate::book::Book;
use crate::facts::cluster::GROUP;
use crate::facts::server::{Extent, Server, path};
use crate::soon::Soon;
use ipnet::IpNet;
use spiderpool_core::command::Answer;
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Sheet, Slot};
use spiderpool_kube::client::Handle;
use spiderpool_kube::cluster::object::{Body, Key};
use spiderpool_kube::cluster::port::{Ask, Fault};
use spiderpool_kube::cluster::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// The ledger of a cluster.
#[derive(Debug)]
pub struct ClusterStore {
    handle: OnceLock<Handle>,
    server: Arc<Server>,
    book: Arc<Book>,
    agent_namespace: String,
}

impl ClusterStore {
    /// A ledger whose driver has not started.
    #[must_use]
    pub const fn new(server: Arc<Server>, book: Arc<Book>, agent_namespace: String) -> Self {
        Self { handle: OnceLock::new(), server, book, agent_namespace }
    }

    /// The driver has started.
    pub fn begin(&self, handle: Handle) {
        // A second driver would be a second writer of one record; the first one stays.
        drop(self.handle.set(handle));
    }

    /// Reads blocks, by quorum reads; those that do not exist are left out.
    async fn read_blocks(&self, keys: BTreeSet<BlockKey>) -> Result<Blocks, Fault> {
        let mut blocks = BTreeMap::new();
        for key in keys {
            let read = self.read(&Key::Block(key.clone())).await?;
            if let Some((revision, Body::Block(block))) = read {
                blocks.insert(key, (revision, block.sheet));
            }
        }
        Ok(blocks)
    }

    /// An object and its revision, by a quorum read; `None` where there is none.
    async fn read(&self, key: &Key) -> Result<Option<(Revision, Body)>, Fault> {
        let at = wire::path(key);
        let Some(path) = path(&[&GROUP[..], &[at.plural, &at.name]].concat()) else {
            return Ok(None);
        };
        let read = self.server.read(&path, Extent::Whole).await;
        let Some(json) = read.map_err(|_| Fault::Late)? else { return Ok(None) };
        let object = wire::lift(key, &json, &self.agent_namespace);
        if let Body::Unreadable { why } = object.body {
            return Err(Fault::Unreadable { object: key.clone(), why });
        }
        Ok(Some((object.meta.revision, object.body)))
    }

    async fn decide(&self, ask: Ask) -> Result<Answer, Fault> {
        let handle = self.handle.get().ok_or(Fault::NotReady)?;
        let command = ask.command.clone();
        let answer = handle.ask(ask).await?;
        self.book.learn(&command, &answer);
        Ok(answer)
    }

    async fn look(&self, container: &Name) -> Result<Vec<Held>, Fault> {
        let keys = self.book.of(container).iter().map(block_of).collect();
        let blocks = self.read_blocks(keys).await?;
        let all = blocks.iter().flat_map(|(key, (_, sheet))| held_in(key, sheet, container));
        let mut held: Vec<Held> = all.collect();
        for one in &mut held {
            let pool = self.read(&Key::Pool(one.pool.clone())).await?;
            if let Some((_, Body::Pool(pool))) = pool {
                let length = pool.prefix().prefix_len();
                one.address = IpNet::new(one.address.addr(), length).unwrap_or(one.address);
                one.gateway = pool.gateway();
            }
        }
        Ok(held)
    }
}

impl Store for ClusterStore {
    fn ask(&self, ask: Ask) -> Soon<'_, Result<Answer, Fault>> {
        Box::pin(self.decide(ask))
    }

    fn now_ms(&self) -> u64 {
        let own = || spiderpool_host::moment().map_or(0, |moment| moment.now_ms);
        self.handle.get().map_or_else(own, Handle::now_ms)
    }

    fn held<'a>(&'a self, container: &'a Name) -> Soon<'a, Result<Vec<Held>, Fault>> {
        Box::pin(self.look(container))
    }

    fn blocks(&self, keys: BTreeSet<BlockKey>) -> Soon<'_, Result<Blocks, Fault>> {
        Box::pin(self.read_blocks(keys))
    }
}

fn held_in<'a>(
    key: &'a BlockKey,
    sheet: &'a Sheet,
    container: &'a Name,
) -> impl Iterator<Item = Held> + 'a {
    sheet.slots.iter().filter_map(move |(slot, state)| {
        let Slot::Allocated(held) = state else { return None };
        if held.holder.container.as_ref() != Some(container) {
            return None;
        }
        Some(Held {
            attachment: held.placement.attachment.clone(),
            address: IpNet::from(key.address(*slot)),
            gateway: None,
            pool: held.placement.pool.clone(),
            space: key.space.clone(),
            generation: held.generation,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
    use spiderpool_core::slots::{BlockSize, Held as Slotted};

    #[test]
    fn a_slot_counts_for_its_container_alone() {
        let name = |text: &str| Name::new(text).unwrap();
        let slot = |container: &str| {
            let holder = Holder {
                owner: Owner::pod(&name("u")).unwrap(),
                pod_uid: None,
                container: Some(name(container)),
                node: name("n"),
            };
            let placement =
                Placement { pool: name("blue"), attachment: name("eth0"), network: None };
            let (stage, generation, since_ms) = (Stage::Attached, 7, 1);
            Slot::Allocated(Box::new(Slotted {
                holder,
                placement,
                stage,
                generation,
                since_ms,
                past_quarantines: 0,
            }))
        };
        let place = spiderpool_core::command::Place {
            space: name("default"),
            address: [10, 6, 0, 70].into(),
        };
        let key = block_of(&place);
        let sheet = Sheet {
            size: BlockSize::DEFAULT,
            incarnation: 1,
            commits: 1,
            generation: 7,
            slots: [(6, slot("c1")), (7, slot("c2")), (8, Slot::Resting { since_ms: 1 })].into(),
        };
        let held: Vec<_> = held_in(&key, &sheet, &name("c1")).collect();
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].address.addr(), held[0].generation), (place.address, 7));
    }
}
