//! The core's own ledger behind the agent: every decision is a real one.

use ipnet::IpNet;
use spiderpool_agent::book::Book;
use spiderpool_agent::soon::Soon;
use spiderpool_agent::store::{Blocks, Held, Store};
use spiderpool_core::audit::audit;
use spiderpool_core::command::{Answer, Command};
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::memory::{Memory, MemoryError};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::slots::BlockKey;
use spiderpool_kube::cluster::port::{Ask, Fault};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    memory: Mutex<Memory>,
    seen: Mutex<Vec<Ask>>,
    slowness: Mutex<Duration>,
    seed: Mutex<u64>,
    reads: Mutex<usize>,
    book: Mutex<Option<Arc<Book>>>,
}

impl Ledger {
    /// Makes a pool; `ranges` such as `10.6.0.10-10.6.0.12`.
    pub(crate) fn pool(&self, name: &str, prefix: &str, ranges: &str) {
        self.define(PoolDraft {
            name: name.into(),
            prefix: prefix.into(),
            ranges: vec![ranges.into()],
            ..PoolDraft::default()
        });
    }

    pub(crate) fn define(&self, draft: PoolDraft) {
        let pool = Command::DefinePool(Pool::try_from(draft).unwrap());
        self.memory.lock().unwrap().execute(&pool, Moment::default()).unwrap();
    }

    /// Each command takes so long from now on.
    pub(crate) fn slow_down(&self, slowness: Duration) {
        *self.slowness.lock().unwrap() = slowness;
    }

    /// From now on a book follows every answer, as the cluster's does.
    pub(crate) fn keep_book(&self, book: &Arc<Book>) {
        *self.book.lock().unwrap() = Some(Arc::clone(book));
    }

    /// How many blocks were read so far.
    pub(crate) fn reads(&self) -> usize {
        *self.reads.lock().unwrap()
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Ask> {
        self.seen.lock().unwrap().clone()
    }

    /// Every allocation as `OWNER NIC CONTAINER ADDRESS`, in order.
    pub(crate) fn allocations(&self) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        assert!(audit(memory.view()).unwrap().is_sound());
        let all = memory.view().allocations().unwrap();
        let told = all.map(|found| {
            let allocation = &found.allocation;
            format!(
                "{} {} {} {}",
                allocation.owner,
                allocation.placement.attachment,
                allocation.container,
                found.address()
            )
        });
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    fn decide(&self, ask: &Ask) -> Result<Answer, Fault> {
        let mut seed = self.seed.lock().unwrap();
        *seed += 1;
        let moment = Moment { now_ms: 1_700_000_000_000 + *seed, seed: *seed };
        self.seen.lock().unwrap().push(ask.clone());
        let told = self.memory.lock().unwrap().execute(&ask.command, moment);
        if let (Some(book), Ok(answer)) = (&*self.book.lock().unwrap(), &told) {
            book.learn(&ask.command, answer);
        }
        told.map_err(|error| match error {
            MemoryError::Refused(refusal) => Fault::Refused(Box::new(refusal)),
            MemoryError::Incomplete(why) => panic!("{why}"),
        })
    }
}

impl Store for Ledger {
    fn ask(&self, ask: Ask) -> Soon<'_, Result<Answer, Fault>> {
        Box::pin(async move {
            let slowness = *self.slowness.lock().unwrap();
            tokio::time::sleep(slowness).await;
            self.decide(&ask)
        })
    }

    fn now_ms(&self) -> u64 {
        spiderpool_host::moment().unwrap().now_ms
    }

    fn held<'a>(&'a self, container: &'a Name) -> Soon<'a, Result<Vec<Held>, Fault>> {
        let memory = self.memory.lock().unwrap();
        let view = memory.view();
        let found = view.held_in(container).unwrap().into_iter().map(|found| {
            let placement = &found.allocation.placement;
            let pool = &view.pool(&placement.pool).unwrap().unwrap().pool;
            Held {
                attachment: placement.attachment.clone(),
                address: IpNet::new(found.address(), pool.prefix().prefix_len()).unwrap(),
                gateway: pool.gateway(),
                pool: placement.pool.clone(),
                space: found.key.space.clone(),
                generation: found.allocation.generation,
            }
        });
        let held = found.collect();
        Box::pin(async move { Ok(held) })
    }

    fn blocks(&self, keys: BTreeSet<BlockKey>) -> Soon<'_, Result<Blocks, Fault>> {
        let memory = self.memory.lock().unwrap();
        *self.reads.lock().unwrap() += keys.len();
        let blocks = keys.into_iter().filter_map(|key| {
            let block = memory.view().block(&key, None).unwrap()?;
            Some((key, (1, block.sheet())))
        });
        let blocks = blocks.collect();
        Box::pin(async move { Ok(blocks) })
    }
}
