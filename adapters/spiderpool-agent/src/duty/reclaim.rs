//! Taking back what vanished pods of this node left behind.
//!
//! A [`Sweep`] decides; this hands it what the node knows and what it asks for. Only ordinary pods' slots
//! are taken back here. Those of static identities end with their identity, which is the controller's to
//! find out.
//!
//! Invariants, kept by `tests/conversations/reclaim.rs`:
//! 1. Nothing is taken back while the pod is seen alive, or a sandbox is left
//!    (`a_forced_deletion_waits_for_the_sandbox`).
//! 2. What a lost DEL left is taken back (`a_lost_del_is_made_good`).
//! 3. While nothing is in doubt, no block is read (`a_quiet_node_reads_nothing`).

use super::sandbox::Sandboxes;
use crate::book::{Book, Page};
use crate::facts::{Facts, FactsFault, Freshness};
use crate::store::{Store, block_of};
use spiderpool_core::command::{Answer, Command, Standing};
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Sheet, Slot};
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::port::{Ask as StoreAsk, Fault};
use spiderpool_kube::cluster::reclaim::{
    Ask, Coverage, EndpointsSeen, GcSettings, IdentitySeen, NodesSeen, PodsSeen, Round,
    SandboxesSeen, Scope, Sweep, lift_endpoint,
};
use spiderpool_kube::cluster::workload::{
    IdentityKind, Lookup, Pod, Records, Validity, judge, lift_machine, lift_ordinals,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// How often questions of one round are answered before the next round is waited for.
const QUESTIONS: usize = 4;

/// How long a command may take, in milliseconds.
const PATIENCE_MS: u64 = 20_000;

/// A round could not be made.
#[derive(Debug, Error)]
pub enum ReclaimFault {
    /// The cluster could not be asked.
    #[error(transparent)]
    Facts(#[from] FactsFault),
    /// The ledger could not be asked.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// What a round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// What was taken back.
    pub freed: Vec<Standing>,
    /// When the next round makes sense at the latest, in milliseconds since the Unix epoch.
    pub again_at_ms: Option<u64>,
    /// How many slots are in doubt.
    pub doubtful: usize,
    /// How many blocks were read.
    pub blocks: usize,
}

/// Reclaims for one node.
pub struct Reclaimer {
    node: Name,
    facts: Arc<dyn Facts>,
    store: Arc<dyn Store>,
    book: Arc<Book>,
    sandboxes: Arc<dyn Sandboxes>,
    sweep: Sweep,
}

impl std::fmt::Debug for Reclaimer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reclaimer").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What a reclaimer works with.
#[derive(Clone)]
pub struct Tools {
    /// The cluster.
    pub facts: Arc<dyn Facts>,
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// Where to look.
    pub book: Arc<Book>,
    /// Whoever can look at the node.
    pub sandboxes: Arc<dyn Sandboxes>,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").field("book", &self.book).finish_non_exhaustive()
    }
}

impl Reclaimer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(node: Name, tools: Tools, settings: GcSettings) -> Self {
        let sweep = Sweep::new(Scope::Node(node.clone()), settings);
        let Tools { facts, store, book, sandboxes } = tools;
        Self { node, facts, store, book, sandboxes, sweep }
    }

    /// The time that its rounds are counted in.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    /// Fills the book from the endpoints of this node and the blocks that they name: after a start.
    ///
    /// # Errors
    /// [`ReclaimFault`].
    pub async fn begin(&mut self) -> Result<(), ReclaimFault> {
        let endpoints = self.facts.endpoints_here().await?;
        let told = endpoints.iter().filter_map(lift_endpoint).flat_map(|seen| seen.told);
        let default = Name::new("default").ok();
        let places = told.filter_map(|told| {
            let space = told.space.or_else(|| default.clone())?;
            Some(spiderpool_core::command::Place { space, address: told.address })
        });
        let blocks = self.store.blocks(places.map(|place| block_of(&place)).collect()).await?;
        for (key, (_, sheet)) in &blocks {
            for (slot, held) in allocated(sheet) {
                if let Some(container) = held.holder.container.as_ref()
                    && held.holder.node == self.node
                {
                    let place = place_of(key, slot);
                    self.book.note(container, held.holder.pod_uid.as_ref(), [place]);
                }
            }
        }
        Ok(())
    }

    /// Makes a round: `full` looks at every container that is known, otherwise only at those whose pod
    /// is not here.
    ///
    /// # Errors
    /// [`ReclaimFault`]; the next round begins anew.
    pub async fn round(&mut self, now_ms: u64, full: bool) -> Result<Swept, ReclaimFault> {
        let Some(pods) = self.facts.pods_here() else { return Ok(Swept::default()) };
        let suspects = suspects(&self.book.all(), &pods, full);
        let pods: Vec<Pod> = pods.iter().map(|pod| (**pod).clone()).collect();
        let coverage = Coverage::Node(self.node.clone());
        self.sweep.pods(PodsSeen { coverage, at_ms: now_ms, live: false, pods });
        if suspects.is_empty() {
            return Ok(Swept::default());
        }
        let places = suspects.values().flat_map(|page| &page.places);
        let read = self.store.blocks(places.map(block_of).collect()).await?;
        let blocks: Vec<(BlockKey, Sheet)> =
            read.into_iter().map(|(key, (_, sheet))| (key, sheet)).collect();
        self.forget(&suspects, &blocks);
        let round = self.judge(&blocks, now_ms).await?;
        let (doubtful, again_at_ms) = (round.verdicts.len(), round.again_at_ms);
        let freed = self.free(&round, now_ms).await?;
        Ok(Swept { freed, again_at_ms, doubtful, blocks: blocks.len() })
    }

    /// Judges the blocks, and answers what is asked meanwhile.
    async fn judge(
        &mut self,
        blocks: &[(BlockKey, Sheet)],
        now_ms: u64,
    ) -> Result<Round, ReclaimFault> {
        let mut round = self.sweep.blocks(blocks, now_ms);
        for _ in 0..QUESTIONS {
            let due = round.asks.iter().filter(|(_, (at_ms, _))| *at_ms <= now_ms);
            let due: Vec<Ask> = due.map(|(ask, _)| ask.clone()).collect();
            if due.is_empty() {
                break;
            }
            for ask in due {
                self.answer(ask, blocks, now_ms).await?;
            }
            round = self.sweep.blocks(blocks, now_ms);
        }
        Ok(round)
    }

    async fn answer(
        &mut self,
        ask: Ask,
        blocks: &[(BlockKey, Sheet)],
        at_ms: u64,
    ) -> Result<(), ReclaimFault> {
        match ask {
            Ask::Pod(key) => {
                let pod = self.facts.pod(&key, Freshness::Live).await?;
                let pods = pod.iter().map(|pod| (**pod).clone()).collect();
                self.sweep.pods(PodsSeen { coverage: Coverage::One(key), at_ms, live: true, pods });
            }
            Ask::PodsOf(node) if node == self.node => {
                let pods = self.facts.list_here().await?;
                let coverage = Coverage::Node(node);
                self.sweep.pods(PodsSeen { coverage, at_ms, live: true, pods });
            }
            Ask::Node(node) if node == self.node => {
                let state = self.facts.node_state().await?;
                let nodes = [(node, state)].into();
                self.sweep.nodes(NodesSeen { at_ms, live: true, complete: false, nodes });
            }
            Ask::Sandboxes(node) if node == self.node => {
                let containers = self.look(blocks).await;
                self.sweep.sandboxes(SandboxesSeen { node, at_ms, containers });
            }
            Ask::Endpoint(key) => {
                let endpoint = self.facts.endpoint(&key).await?;
                let endpoints = endpoint.as_ref().and_then(lift_endpoint).into_iter().collect();
                let coverage = Coverage::One(key);
                self.sweep.endpoints(EndpointsSeen { coverage, at_ms, live: true, endpoints });
            }
            Ask::Identity(key, kind) => {
                let valid = self.stands(kind, &key).await?;
                self.sweep.identity(&IdentitySeen { key, at_ms, valid });
            }
            // Another node's agent knows.
            Ask::PodsOf(_) | Ask::Node(_) | Ask::Sandboxes(_) => {}
        }
        Ok(())
    }

    /// The containers of this node that something is left of, of all that hold a slot in these blocks.
    async fn look(&self, blocks: &[(BlockKey, Sheet)]) -> BTreeSet<Name> {
        let mut containers: BTreeMap<Name, Page> = BTreeMap::new();
        for (key, sheet) in blocks {
            for (slot, held) in allocated(sheet) {
                if let Some(container) = &held.holder.container
                    && held.holder.node == self.node
                {
                    let page = containers.entry(container.clone()).or_default();
                    page.places.insert(place_of(key, slot));
                }
            }
        }
        let (all, sandboxes) = (containers.clone(), Arc::clone(&self.sandboxes));
        let looked = tokio::task::spawn_blocking(move || sandboxes.left(&containers)).await;
        // A look that failed says that everything is left.
        looked.unwrap_or_else(|_| all.into_keys().collect())
    }

    async fn stands(
        &self,
        kind: Option<IdentityKind>,
        key: &EndpointKey,
    ) -> Result<bool, ReclaimFault> {
        let mut records = Records::default();
        // Three objects at most can be asked for.
        for _ in 0..4 {
            let reading = match judge(kind, key, &records) {
                Validity::Valid => return Ok(true),
                Validity::Invalid => return Ok(false),
                Validity::Need(reading) => reading,
            };
            let object = self.facts.object(&reading).await?;
            let object = object.as_deref();
            match reading.kind.as_str() {
                "StatefulSet" => records.stateful_set = lookup(object.map(lift_ordinals)),
                "VirtualMachineInstance" => records.instance = lookup(object.map(lift_machine)),
                _ => records.machine = lookup(object.map(lift_machine)),
            }
        }
        Ok(true)
    }

    /// Takes ordinary pods' slots back.
    async fn free(&self, round: &Round, now_ms: u64) -> Result<Vec<Standing>, ReclaimFault> {
        let mut freed = Vec::new();
        for reclaim in round.commands().into_iter().filter(|reclaim| !reclaim.statics) {
            let command = Command::Reclaim(reclaim);
            let deadline_ms = now_ms.saturating_add(PATIENCE_MS);
            let ask = StoreAsk { command, endpoint: None, deadline_ms };
            if let Answer::Freed(standing) = self.store.ask(ask).await? {
                self.book.freed(&standing);
                freed.extend(standing);
            }
        }
        Ok(freed)
    }

    /// Erases what suspects do not hold any more.
    fn forget(&self, suspects: &BTreeMap<Name, Page>, blocks: &[(BlockKey, Sheet)]) {
        let mut held: BTreeMap<&Name, BTreeSet<_>> = BTreeMap::new();
        for (key, sheet) in blocks {
            for (slot, one) in allocated(sheet) {
                if let Some(container) = &one.holder.container {
                    held.entry(container).or_default().insert(place_of(key, slot));
                }
            }
        }
        for (container, page) in suspects {
            let present = held.get(container);
            let gone =
                page.places.iter().filter(|place| present.is_none_or(|all| !all.contains(place)));
            let gone: Vec<_> = gone.cloned().collect();
            self.book.erase(container, &gone);
        }
    }
}

/// The containers to look at: those whose pod is not here or does not live, or all of them.
fn suspects(all: &BTreeMap<Name, Page>, pods: &[Arc<Pod>], full: bool) -> BTreeMap<Name, Page> {
    let alive: BTreeSet<Name> =
        pods.iter().filter(|pod| pod.is_alive()).map(|pod| pod.uid_on_node()).collect();
    let is_here = |page: &Page| page.pod_uid.as_ref().is_some_and(|uid| alive.contains(uid));
    all.iter()
        .filter(|(_, page)| full || !is_here(page))
        .map(|(container, page)| (container.clone(), page.clone()))
        .collect()
}

fn allocated(sheet: &Sheet) -> impl Iterator<Item = (u8, &spiderpool_core::slots::Held)> {
    sheet.slots.iter().filter_map(|(slot, state)| match state {
        Slot::Allocated(held) => Some((*slot, &**held)),
        Slot::Resting { .. } | Slot::Quarantined { .. } => None,
    })
}

fn place_of(key: &BlockKey, slot: u8) -> spiderpool_core::command::Place {
    spiderpool_core::command::Place { space: key.space.clone(), address: key.address(slot) }
}

fn lookup<T>(found: Option<T>) -> Lookup<T> {
    found.map_or(Lookup::Absent, Lookup::Found)
}
