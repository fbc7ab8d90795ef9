//! What the exhibits share: short histories, stores that start again, writers that race.

use crate::world::*;
use proptest::prelude::*;
use spiderpool_core::audit::audit;
use spiderpool_core::command::*;
use spiderpool_core::decide::decide;
use spiderpool_core::definition::*;
use spiderpool_core::event::{ObjectKey, Write};
use spiderpool_core::memory::Memory;
use spiderpool_core::moment::Moment;
use spiderpool_core::owner::Owner;
use spiderpool_core::refusal::{AllocateRefusal, Obstacle, Refusal, Shortlist, Verdict};
use spiderpool_core::request::*;
use spiderpool_core::transaction::{Failure, Step, Transaction, Written};
use spiderpool_core::view::{PoolEntry, View};

pub(super) fn at(now_ms: u64) -> Moment {
    Moment { now_ms, seed: now_ms }
}

/// A request of a static identity.
pub(super) fn identity(identity: &str, container: &str, pool: &str) -> Request {
    let mut asked = from_pools(request("uid", container), &[pool], &[]);
    asked.holder.owner = Owner::identity(&name(identity)).unwrap();
    asked.holder.pod_uid = Some(name(&format!("uid-of-{container}")));
    asked
}

/// A request for two interfaces at once, each with its pool.
pub(super) fn two_nics(
    pod: &str,
    container: &str,
    first: (&str, &str),
    second: (&str, &str),
) -> Request {
    let mut asked = request(pod, container);
    let nic = |(attachment, pool): (&str, &str)| NicPools {
        attachment: Some(name(attachment)),
        pools: names(&[pool], &[]),
        clean_gateway: None,
    };
    asked.sources.per_nic = Some(vec![nic(first), nic(second)]);
    asked.attachment = name(first.0);
    asked
}

/// A pod on a node of its own.
pub(super) fn writer(number: u32, pool: &str) -> Command {
    let pod = format!("p{number}");
    let mut asked = from_pools(request(&pod, &pod), &[pool], &[]);
    asked.holder.node = name(&format!("worker-{number}"));
    Command::Allocate(asked)
}

/// One step of a short history: kind, pod, sandbox, whether it is static.
pub(super) type Visit = (u8, u8, u8, bool);

pub(super) fn step() -> impl Strategy<Value = Visit> {
    (0u8..12, 0u8..8, 0u8..2, prop::bool::weighted(0.2))
}

pub(super) fn history() -> impl Strategy<Value = Vec<Visit>> {
    prop::collection::vec(step(), 1..40)
}

/// The command that a step comes to; none where there is nothing that it could be about.
pub(super) fn command(world: &World, (kind, pod, sandbox, lasts): &Visit) -> Option<Command> {
    let (uid, container) = (format!("p{pod}"), format!("p{pod}s{sandbox}"));
    let both: &[&str] = if *kind == 0 { &["six"] } else { &[] };
    let mut asked = from_pools(request(&uid, &container), &["blue"], both);
    if *lasts {
        asked.holder.owner = Owner::identity(&name(&uid)).unwrap();
    }
    asked.attachment = name(if *kind == 1 { "net1" } else { "eth0" });
    let ticket = world.ledger.revision();
    let release = |attachment| Release { container: name(&container), attachment, ticket };
    let mut held = world.ledger.view().allocations().unwrap();
    let claim = |found: spiderpool_core::view::Found<'_>| Claim {
        place: Place { space: name("default"), address: found.address() },
        generation: found.allocation.generation,
    };
    let ranges = vec![format!("10.0.0.{}", 10 + pod)];
    let draft = ReservationDraft { name: "r".into(), ranges, ..ReservationDraft::default() };
    Some(match kind {
        0..=5 => Command::Allocate(asked),
        6 => Command::Release(release(Some(name("eth0")))),
        7 => Command::Release(release(None)),
        8 => Command::Reclaim(Reclaim {
            claims: vec![claim(held.nth((*pod).into())?)],
            statics: *lasts,
            ending: spiderpool_core::event::Ending::Reclaimed,
        }),
        9 => {
            let claim = claim(held.nth((*pod).into())?);
            Command::Conflict(Conflict { claim, mac: [*pod; 6] })
        }
        10 => Command::DefineReservation(Reservation::try_from(draft).unwrap()),
        _ => {
            let cool_down_ms = if *lasts { 3 } else { 0 };
            let blue = pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.19"]);
            Command::DefinePool(Pool::try_from(PoolDraft { cool_down_ms, ..blue }).unwrap())
        }
    })
}

pub(super) fn play(world: &mut World, step: &Visit) -> Option<Result<Answer, String>> {
    world.pass(1);
    Some(world.run(&command(world, step)?))
}

/// Which objects a store reads first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    PoolsFirst,
    BlocksFirst,
}

/// The state of a process that has just started: every object read, nothing else known.
pub(super) fn reloaded(full: &View, order: Order) -> View {
    let mut view = View::complete();
    prepare(&mut view, full);
    let blocks = |view: &mut View| {
        for (key, block) in full.blocks().unwrap() {
            let revision = full.revision(&ObjectKey::Block(key.clone()));
            view.load_block(&key, block.clone(), revision);
        }
    };
    if matches!(order, Order::BlocksFirst) {
        blocks(&mut view);
    }
    for entry in full.pools().unwrap() {
        let revision = full.revision(&ObjectKey::Pool(entry.pool.name().clone()));
        view.load_pool(&entry.pool, revision);
    }
    if matches!(order, Order::PoolsFirst) {
        blocks(&mut view);
    }
    for (container, stone) in full.tombstones_before(u64::MAX).unwrap() {
        let revision = full.revision(&ObjectKey::Container(container.clone()));
        view.load_tombstone(container, stone, revision);
    }
    view
}

/// Every free address of a small pool.
pub(super) fn free_of(entry: &PoolEntry) -> Vec<u128> {
    let next = |from: &u128| entry.free.next_from(from + 1);
    std::iter::successors(entry.free.next_from(0), next).collect()
}

/// The generation of an answered address in the ledger, if its pod has it there.
pub(super) fn stored(ledger: &Memory, granted: &Granted) -> Option<u64> {
    let mut found = ledger.view().allocations().unwrap();
    let is_it = |found: &spiderpool_core::view::Found<'_>| {
        found.address() == granted.address.addr()
            && found.key.space == granted.space
            && found.allocation.placement.attachment == granted.demand.attachment
            && found.allocation.placement.pool == granted.pool
    };
    found.find(is_it).map(|found| found.allocation.generation)
}

/// Compares and swaps one object.
pub(super) fn swap(ledger: &mut Memory, write: &Write) -> Option<u64> {
    if ledger.view().revision(&write.object) != write.base {
        return None;
    }
    let revision = ledger.revision() + 1;
    ledger.commit_write(write, revision);
    Some(revision)
}

/// One step of a transaction against a store that swaps single objects, some of which it cannot.
pub(super) fn drive(
    ledger: &mut Memory,
    transaction: &mut Transaction,
    hinder: impl Fn(&Write) -> bool,
) -> Option<Result<Answer, Failure>> {
    match transaction.step() {
        Step::Load(need) => {
            prepare(transaction.view(), ledger.view());
            need.0.iter().for_each(|wanted| load(transaction.view(), ledger.view(), wanted));
            transaction.loaded();
        }
        Step::Reload(objects) => {
            objects.iter().for_each(|object| reload(ledger, transaction.view(), object));
            transaction.loaded();
        }
        Step::Write(write) if hinder(&write) => transaction.written(Written::Conflict),
        Step::Write(write) => {
            let outcome = swap(ledger, &write).map_or(Written::Conflict, Written::Done);
            transaction.written(outcome);
        }
        Step::Done(outcome) => return Some(outcome),
    }
    None
}

fn reload(ledger: &Memory, view: &mut View, object: &ObjectKey) {
    let revision = ledger.view().revision(object);
    match object {
        ObjectKey::Block(key) => match ledger.view().block(key, None).unwrap() {
            Some(block) => view.load_block(key, block.clone(), revision),
            None => view.know_absent(key),
        },
        ObjectKey::Container(container) => {
            if let Some(stone) = ledger.view().tombstone(container).unwrap() {
                view.load_tombstone(container, stone, revision);
            }
        }
        ObjectKey::Pool(name) => match ledger.view().pool(name).unwrap() {
            Some(entry) => view.load_pool(&entry.pool, revision),
            None => view.forget(object),
        },
        other => panic!("allocations do not rest on {other}"),
    }
}

/// A transaction to its end, with nobody else about.
pub(super) fn finish(
    ledger: &mut Memory,
    transaction: &mut Transaction,
) -> Result<Answer, Failure> {
    loop {
        if let Some(outcome) = drive(ledger, transaction, |_| false) {
            return outcome;
        }
    }
}

/// Many transactions, one step each in the order of `turns`, then in turn until all are over.
pub(super) fn race(
    ledger: &mut Memory,
    commands: Vec<Command>,
    turns: impl Iterator<Item = usize>,
) -> Vec<Result<Answer, Failure>> {
    let count = commands.len();
    let mut running: Vec<_> = (0u64..)
        .zip(commands)
        .map(|(seed, command)| Transaction::new(command, Moment { now_ms: 5, seed }))
        .collect();
    let mut outcomes: Vec<_> = (0..count).map(|_| None).collect();
    for who in turns.chain((0..).map(|turn: usize| turn % count)) {
        if outcomes[who].is_none() {
            outcomes[who] = drive(ledger, &mut running[who], |_| false);
        }
        if outcomes.iter().all(Option::is_some) {
            break;
        }
    }
    outcomes.into_iter().flatten().collect()
}

/// Asks for what must be refused, and checks what AWS VPC CNI #3415 and #2649, Kube-OVN #5125, cilium
/// #42369 and #48717 and OVN-Kubernetes #4850 lacked: that the refusal names each candidate with a
/// verdict and counts that add up, changes nothing, and that its remedy works.
pub(super) fn refused(world: &mut World, asked: &Request) -> Shortlist {
    let before = picture(world.ledger.view());
    let outcome = decide(world.ledger.view(), &Command::Allocate(asked.clone()), world.moment);
    let Err(Obstacle::Refusal(refusal)) = outcome else { panic!("{outcome:?}") };
    let Refusal::Allocate(AllocateRefusal::Unsatisfied(shortlist)) = *refusal else {
        panic!("{refusal}")
    };
    let text = world.add(asked).unwrap_err();
    assert_eq!(text, shortlist.to_string());
    assert_eq!(picture(world.ledger.view()), before, "a refusal changes nothing");
    let unmet: Vec<_> = shortlist.demands.iter().filter(|d| !d.is_satisfied()).collect();
    assert!(!unmet.is_empty(), "{text}");
    for weighed in unmet {
        assert!(text.contains(&weighed.demand.to_string()), "{text}");
        assert!(!weighed.candidates.is_empty(), "{text}");
        for candidate in &weighed.candidates {
            let said = format!("{}: {}", candidate.pool, candidate.verdict);
            assert!(text.contains(&said), "{text}");
            let counts =
                matches!(candidate.verdict, Verdict::Exhausted | Verdict::NamedTaken { .. });
            assert!(!counts || candidate.tally.is_some(), "{text}");
            if let Some(t) = candidate.tally {
                let sum = t.free + t.allocated + t.reserved + t.cooling + t.quarantined;
                assert_eq!(sum, t.size, "{text}");
            }
        }
    }
    if let Some(remedy) = &shortlist.remedy {
        let mut cured = world.clone();
        cured.moment.now_ms = remedy.wait_until_ms.unwrap_or(cured.moment.now_ms);
        remedy.pools.iter().for_each(|draft| drop(cured.define(draft.clone()).unwrap()));
        cured.add(asked).unwrap();
    }
    assert!(audit(world.ledger.view()).unwrap().is_clean());
    *shortlist
}

/// The only verdict on the only candidate of the first demand that is not met.
pub(super) fn verdict(shortlist: &Shortlist) -> &Verdict {
    let unmet = shortlist.demands.iter().find(|weighed| !weighed.is_satisfied()).unwrap();
    assert_eq!(unmet.candidates.len(), 1, "{shortlist}");
    &unmet.candidates[0].verdict
}
