//! A small language for tests: a ledger in memory, pods by number, time by hand.

use spiderpool_core::address::Family;
use spiderpool_core::audit::audit;
use spiderpool_core::command::*;
use spiderpool_core::decide::decide;
use spiderpool_core::definition::*;
use spiderpool_core::event::Ending;
use spiderpool_core::memory::{Memory, MemoryError};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::refusal::{Obstacle, Shortlist};
use spiderpool_core::request::*;
use spiderpool_core::slots::BlockKey;
use spiderpool_core::view::{Need, Tally, View, Wanted};
use std::collections::BTreeSet;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A pool of the given addresses; everything else is edited in.
pub(crate) fn pool(name: &str, prefix: &str, ranges: &[&str]) -> PoolDraft {
    PoolDraft {
        name: name.into(),
        prefix: prefix.into(),
        ranges: ranges.iter().map(|r| (*r).to_owned()).collect(),
        ..PoolDraft::default()
    }
}

pub(crate) fn names(v4: &[&str], v6: &[&str]) -> PoolNames {
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    PoolNames { v4: list(v4), v6: list(v6) }
}

/// A pod's request through `eth0`; everything else is edited in.
pub(crate) fn request(pod: &str, container: &str) -> Request {
    Request {
        holder: Holder {
            owner: Owner::pod(&name(pod)).unwrap(),
            pod_uid: Some(name(pod)),
            container: Some(name(container)),
            node: name("node-1"),
        },
        attachment: name("eth0"),
        network: name("net"),
        subject: Subject::default(),
        sources: Sources::default(),
        named: Vec::new(),
        routes: Vec::new(),
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: u64::MAX,
    }
}

pub(crate) fn from_pools(mut request: Request, v4: &[&str], v6: &[&str]) -> Request {
    request.sources.pod = Some(names(v4, v6));
    request
}

/// A ledger whose every decision is checked: asked twice, asked of a partial view, and audited.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) ledger: Memory,
    pub(crate) moment: Moment,
    pub(crate) journal: Vec<(Command, Moment, Decision)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Memory::new(),
            moment: Moment { now_ms: 1_000_000, seed: 1 },
            journal: Vec::new(),
        }
    }

    pub(crate) fn with(pools: impl IntoIterator<Item = PoolDraft>) -> Self {
        let mut world = Self::new();
        for draft in pools {
            world.run(&Command::DefinePool(Pool::try_from(draft).unwrap())).unwrap();
        }
        world
    }

    pub(crate) fn define(&mut self, draft: PoolDraft) -> Result<Answer, String> {
        self.run(&Command::DefinePool(Pool::try_from(draft).map_err(|e| e.to_string())?))
    }

    /// Decides on the complete and on a partial view, compares, commits and audits.
    pub(crate) fn run(&mut self, command: &Command) -> Result<Answer, String> {
        self.moment.seed += 1;
        let view = self.ledger.view();
        let decision = decide(view, command, self.moment);
        assert_eq!(decision, decide(view, command, self.moment), "same_input_same_decision");
        let partial = decide_partially(view, command, self.moment);
        assert_eq!(partial, decision, "a partial view decides as the complete one does");
        let answer = self.ledger.execute(command, self.moment);
        self.journal.extend(decision.ok().map(|decision| (command.clone(), self.moment, decision)));
        let audit = audit(self.ledger.view()).unwrap();
        assert!(audit.is_clean(), "{command:?}: {:?}", audit.violations);
        answer.map_err(|error| match error {
            MemoryError::Refused(refusal) => refusal.to_string(),
            MemoryError::Incomplete(need) => panic!("{need}"),
        })
    }

    /// The addresses that a request is given, as text.
    pub(crate) fn add(&mut self, request: &Request) -> Result<Vec<String>, String> {
        match self.run(&Command::Allocate(request.clone()))? {
            Answer::Allocated(allocated) => Ok(allocated
                .addresses
                .iter()
                .map(|granted| granted.address.addr().to_string())
                .collect()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn allocated(&mut self, request: &Request) -> Allocated {
        match self.run(&Command::Allocate(request.clone())) {
            Ok(Answer::Allocated(allocated)) => allocated,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn shortlist(&self, request: &Request) -> Shortlist {
        spiderpool_core::decide::explain(self.ledger.view(), request, self.moment).unwrap()
    }

    pub(crate) fn del(&mut self, container: &str, attachment: Option<&str>) -> Vec<String> {
        self.moment.now_ms += 1;
        let release = Release {
            container: name(container),
            attachment: attachment.map(name),
            ticket: self.ledger.revision(),
        };
        self.freed(&Command::Release(release)).unwrap()
    }

    pub(crate) fn reclaim(
        &mut self,
        address: &str,
        generation: u64,
    ) -> Result<Vec<String>, String> {
        let place = Place { space: name("default"), address: address.parse().unwrap() };
        let claims = vec![Claim { place, generation }];
        self.freed(&Command::Reclaim(Reclaim { claims, statics: false, ending: Ending::Reclaimed }))
    }

    pub(crate) fn collect(&mut self, network: &str, keep: &[(&str, &str)]) -> Vec<String> {
        let keep = keep.iter().map(|(c, i)| (name(c), name(i))).collect();
        self.freed(&Command::Collect(Collect { network: name(network), keep })).unwrap()
    }

    fn freed(&mut self, command: &Command) -> Result<Vec<String>, String> {
        match self.run(command)? {
            Answer::Freed(freed) => Ok(freed.iter().map(|s| s.place.address.to_string()).collect()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn standing(&self) -> Vec<(String, String)> {
        let found = self.ledger.view().allocations().unwrap();
        found.map(|f| (f.address().to_string(), f.allocation.owner.to_owned())).collect()
    }

    pub(crate) fn generation_of(&self, address: &str) -> u64 {
        let mut found = self.ledger.view().allocations().unwrap();
        found.find(|f| f.address().to_string() == address).unwrap().allocation.generation
    }

    pub(crate) fn tally(&self, pool: &str) -> Tally {
        let view = self.ledger.view();
        view.tally(view.pool(pool).unwrap().unwrap()).unwrap()
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.moment.now_ms += ms;
    }
}

/// Decides on a view that starts with nothing and is filled with what is needed, as a store does.
pub(crate) fn decide_partially(
    full: &View,
    command: &Command,
    moment: Moment,
) -> Result<Decision, Obstacle> {
    let mut view = View::partial();
    prepare(&mut view, full);
    for _ in 0..10_000 {
        match decide(&view, command, moment) {
            Err(Obstacle::Need(Need(wanted))) if wanted == BTreeSet::from([Wanted::Everything]) => {
                view = full.clone();
            }
            Err(Obstacle::Need(Need(wanted))) => {
                wanted.iter().for_each(|w| load(&mut view, full, w))
            }
            outcome => return outcome,
        }
    }
    panic!("too many rounds for {command:?}");
}

/// What a store loads before anything is asked: spaces and reservations.
pub(crate) fn prepare(view: &mut View, full: &View) {
    if let Some(space) = full.space("default") {
        view.load_space(
            space,
            full.revision(&spiderpool_core::event::ObjectKey::Space(name("default"))),
        );
    }
    for reservation in full.reservations() {
        let key = spiderpool_core::event::ObjectKey::Reservation(reservation.name().clone());
        view.load_reservation(reservation, full.revision(&key));
    }
}

pub(crate) fn load(view: &mut View, full: &View, wanted: &Wanted) {
    let revision = |object| full.revision(&object);
    match wanted {
        Wanted::Everything => panic!("handled above"),
        Wanted::Pools => {
            for subnet in full.subnets().unwrap() {
                view.load_subnet(
                    subnet,
                    revision(spiderpool_core::event::ObjectKey::Subnet(subnet.name().clone())),
                );
            }
            let pools: Vec<_> = full.pools().unwrap().map(|e| e.pool.name().clone()).collect();
            pools.iter().for_each(|pool| load_pool(view, full, pool));
            view.know_all_pools();
        }
        Wanted::Pool(pool) => load_pool(view, full, pool),
        Wanted::Owner(_) | Wanted::Container(_) => load_holdings(view, full, wanted),
        Wanted::Block { key, .. } => load_block(view, full, key),
        Wanted::Resting(pool) => {
            let entry = full.pool(pool).unwrap().unwrap();
            let size = full.block_size(entry.pool.space(), entry.pool.family());
            for (_, number) in entry.resting.iter().take(16) {
                let first = size.align(*number);
                let key = BlockKey {
                    space: entry.pool.space().clone(),
                    family: entry.pool.family(),
                    first,
                };
                load_block(view, full, &key);
            }
            view.know_resting_of(pool);
        }
        Wanted::Quarantine(pool) => {
            let keys: Vec<_> = full
                .blocks()
                .unwrap()
                .filter(|(_, b)| !b.quarantined().is_empty())
                .map(|(k, _)| k)
                .collect();
            keys.iter().for_each(|key| load_block(view, full, key));
            view.know_quarantine_of(pool);
        }
        Wanted::Tally(pool) => {
            view.know_tally(pool, full.tally(full.pool(pool).unwrap().unwrap()).unwrap())
        }
        Wanted::Tombstones(before_ms) => {
            for (container, stone) in full.tombstones_before(*before_ms).unwrap() {
                let key = spiderpool_core::event::ObjectKey::Container(container.clone());
                view.load_tombstone(container, stone, revision(key));
            }
            view.know_tombstones(*before_ms);
        }
    }
}

fn load_holdings(view: &mut View, full: &View, wanted: &Wanted) {
    let revision = |object| full.revision(&object);
    match wanted {
        Wanted::Owner(owner) => {
            let keys: BTreeSet<_> =
                full.held_by(owner).unwrap().into_iter().map(|f| f.key).collect();
            keys.iter().for_each(|key| load_block(view, full, key));
            view.know_owner(owner);
        }
        Wanted::Container(container) => {
            let keys: BTreeSet<_> =
                full.held_in(container).unwrap().into_iter().map(|f| f.key).collect();
            keys.iter().for_each(|key| load_block(view, full, key));
            if let Some(stone) = full.tombstone(container).unwrap() {
                let key = spiderpool_core::event::ObjectKey::Container(container.clone());
                view.load_tombstone(container, stone, revision(key));
            }
            view.know_container_all(container);
        }
        other => panic!("{other:?}"),
    }
}

fn load_pool(view: &mut View, full: &View, pool: &Name) {
    if let Some(entry) = full.pool(pool).unwrap() {
        let key = spiderpool_core::event::ObjectKey::Pool(pool.clone());
        view.load_pool(&entry.pool, full.revision(&key));
    }
    view.know_pool(pool);
}

fn load_block(view: &mut View, full: &View, key: &BlockKey) {
    match full.block(key, None).unwrap() {
        Some(block) => {
            let object = spiderpool_core::event::ObjectKey::Block(key.clone());
            view.load_block(key, block.clone(), full.revision(&object));
        }
        None => view.know_absent(key),
    }
}

/// Everything that two equal states have in common: definitions and blocks.
pub(crate) fn picture(view: &View) -> String {
    let pools: Vec<_> =
        view.pools().unwrap().map(|e| (&e.pool, e.free.count(), &e.resting)).collect();
    let blocks: Vec<_> = view.blocks().unwrap().collect();
    let others: Vec<_> = view.reservations().collect();
    format!("{pools:?} {others:?} {blocks:?} {:?}", Family::BOTH)
}
