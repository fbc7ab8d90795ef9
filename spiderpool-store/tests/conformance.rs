//! The conformance suite: the same commands give the same answers and the same state in every
//! store. The store in memory is the measure.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod lab;

use lab::{add, at, del, name, request, state};
use proptest::prelude::*;
use spiderpool_core::address::Family;
use spiderpool_core::command::{Answer, Claim, Collect, Command, Conflict, Hold, Place, Reclaim};
use spiderpool_core::definition::{Policy, Reservation, ReservationDraft, Subnet, SubnetDraft};
use spiderpool_core::event::{Ending, Space};
use spiderpool_core::memory::{Memory, MemoryError};
use spiderpool_core::moment::Moment;
use spiderpool_core::owner::Owner;
use spiderpool_core::slots::BlockSize;
use spiderpool_core::view::View;
use spiderpool_store::{Extra, JournalLimits, OpenOptions, Store, StoreError};
use std::collections::BTreeSet;

/// What every store does.
trait Ledger {
    fn execute(&mut self, command: &Command, moment: Moment) -> Result<Answer, String>;
    fn revision(&self) -> u64;
    fn all(&self) -> View;
}

impl Ledger for Memory {
    fn execute(&mut self, command: &Command, moment: Moment) -> Result<Answer, String> {
        Self::execute(self, command, moment).map_err(|error| match error {
            MemoryError::Refused(refusal) => refusal.to_string(),
            MemoryError::Incomplete(need) => panic!("{need}"),
        })
    }

    fn revision(&self) -> u64 {
        Self::revision(self)
    }

    fn all(&self) -> View {
        self.view().clone()
    }
}

impl Ledger for Store {
    fn execute(&mut self, command: &Command, moment: Moment) -> Result<Answer, String> {
        Self::execute(self, command, moment, &Extra::default()).map_err(|error| match error {
            StoreError::Refused(refusal) => refusal.to_string(),
            other => panic!("{other}"),
        })
    }

    fn revision(&self) -> u64 {
        Self::revision(self).unwrap()
    }

    fn all(&self) -> View {
        self.load_all().unwrap()
    }
}

/// A step of a sequence; what depends on the state is filled in when it is its turn.
#[derive(Clone, Debug)]
enum Step {
    Pool { which: u8, shape: u8, policy: u8, cools: bool },
    RemovePool(u8),
    Reserve(u8, u8),
    Unreserve(u8),
    Subnet(u8),
    Add { pool: u8, container: u8 },
    Named { container: u8, last: u8 },
    Static { identity: u8, container: u8 },
    Del(u8),
    Reclaim { last: u8, current: bool },
    Collect(BTreeSet<u8>),
    Hold { identity: u8, last: u8 },
    Conflict { last: u8, mac: u8 },
    Clear(u8),
    Tidy,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u8..3, 0_u8..5, 0_u8..3, any::<bool>())
            .prop_map(|(which, shape, policy, cools)| Step::Pool { which, shape, policy, cools }),
        1 => (0_u8..3).prop_map(Step::RemovePool),
        1 => (0_u8..2, 0_u8..200).prop_map(|(which, last)| Step::Reserve(which, last)),
        1 => (0_u8..2).prop_map(Step::Unreserve),
        1 => (0_u8..2).prop_map(Step::Subnet),
        12 => (0_u8..4, 0_u8..60).prop_map(|(pool, container)| Step::Add { pool, container }),
        2 => (0_u8..60, 0_u8..200).prop_map(|(container, last)| Step::Named { container, last }),
        2 => (0_u8..4, 0_u8..60)
            .prop_map(|(identity, container)| Step::Static { identity, container }),
        7 => (0_u8..60).prop_map(Step::Del),
        2 => (0_u8..200, any::<bool>()).prop_map(|(last, current)| Step::Reclaim { last, current }),
        1 => prop::collection::btree_set(0_u8..60, 0..40).prop_map(Step::Collect),
        1 => (0_u8..4, 0_u8..200).prop_map(|(identity, last)| Step::Hold { identity, last }),
        2 => (0_u8..200, 0_u8..3).prop_map(|(last, mac)| Step::Conflict { last, mac }),
        1 => (0_u8..200).prop_map(Step::Clear),
        1 => Just(Step::Tidy),
        2 => (0_u16..2_000).prop_map(Step::Pass),
    ]
}

const POOLS: [&str; 4] = ["red", "blue", "green6", "none"];

fn place(last: u8) -> Place {
    Place { space: name("default"), address: [10, 0, 0, last].into() }
}

fn pool(which: u8, shape: u8, policy: u8, cools: bool) -> Command {
    let policy = [Policy::Sequential, Policy::Spread, Policy::Rotate][usize::from(policy)];
    let (prefix, ranges): (&str, &[&str]) = match (which, shape) {
        (2, 0) => ("fd00::/64", &["fd00::1-fd00::20"]),
        (2, _) => ("fd00::/64", &["fd00::1-fd00::90", "fd00::1:0-fd00::1:3"]),
        (0, 0) => ("10.0.0.0/24", &["10.0.0.1-10.0.0.20"]),
        (0, 1) => ("10.0.0.0/24", &["10.0.0.1-10.0.0.3", "10.0.0.30-10.0.0.33", "10.0.0.90"]),
        (0, 2) => {
            ("10.0.0.0/24", &["10.0.0.1", "10.0.0.20", "10.0.0.40", "10.0.0.60", "10.0.0.80"])
        }
        (0, _) => ("10.0.0.0/24", &["10.0.0.5-10.0.0.99"]),
        (_, 0) => ("10.0.0.0/24", &["10.0.0.100-10.0.0.110"]),
        (_, 1) => ("10.0.0.0/24", &["10.0.0.21-10.0.0.29", "10.0.0.100-10.0.0.102"]),
        (_, 2) => ("10.0.1.0/28", &["10.0.1.0/28"]),
        (_, _) => ("10.0.0.0/24", &["10.0.0.100-10.0.0.199"]),
    };
    lab::define_with(POOLS[usize::from(which)], prefix, ranges, policy, if cools { 500 } else { 0 })
}

fn generation(view: &View, place: &Place) -> u64 {
    let found = view.allocations().unwrap().find(|found| found.address() == place.address);
    found.map_or(7, |found| found.allocation.generation)
}

fn lower(step: &Step, view: &View, (revision, now_ms): (u64, u64)) -> Option<Command> {
    let container = |id: u8| format!("c{id}");
    let identity = |id: u8| Owner::identity(&name(&format!("default/web-{id}"))).unwrap();
    Some(match step {
        Step::Pool { which, shape, policy, cools } => pool(*which, *shape, *policy, *cools),
        Step::RemovePool(which) => Command::RemovePool(name(POOLS[usize::from(*which)])),
        Step::Reserve(which, last) => {
            let ranges = vec![format!("10.0.0.{last}-10.0.0.{}", last.saturating_add(5))];
            let draft =
                ReservationDraft { name: format!("r{which}"), ranges, ..Default::default() };
            Command::DefineReservation(Reservation::try_from(draft).unwrap())
        }
        Step::Unreserve(which) => Command::RemoveReservation(name(&format!("r{which}"))),
        Step::Subnet(which) => {
            let prefix = format!("10.{which}.0.0/16");
            let ranges = vec![prefix.clone()];
            let draft =
                SubnetDraft { name: format!("s{which}"), prefix, ranges, ..Default::default() };
            Command::DefineSubnet(Subnet::try_from(draft).unwrap())
        }
        Step::Add { pool, container: id } => {
            add(POOLS[usize::from(*pool)], &container(*id), revision + 1)
        }
        Step::Named { container: id, last } => {
            let mut request = request("red", &container(*id), revision + 1);
            request.named = vec![place(*last).address];
            Command::Allocate(request)
        }
        Step::Static { identity: which, container: id } => {
            let mut request = request("red", &container(*id), revision + 1);
            request.holder.owner = identity(*which);
            Command::Allocate(request)
        }
        Step::Del(id) => del(&container(*id), revision),
        Step::Reclaim { last, current } => {
            let generation = if *current { generation(view, &place(*last)) } else { 1 };
            let claims = vec![Claim { place: place(*last), generation }];
            Command::Reclaim(Reclaim { claims, statics: *current, ending: Ending::Reclaimed })
        }
        Step::Collect(keep) => {
            let keep = keep.iter().map(|id| (name(&container(*id)), name("eth0"))).collect();
            Command::Collect(Collect { network: name("net"), keep })
        }
        Step::Hold { identity: which, last } => Command::Hold(Hold {
            owner: identity(*which),
            attachment: name("eth0"),
            place: place(*last),
            node: name("host"),
        }),
        Step::Conflict { last, mac } => {
            let claim = Claim { place: place(*last), generation: generation(view, &place(*last)) };
            Command::Conflict(Conflict { claim, mac: [2, 0, 0, 0, 0, *mac] })
        }
        Step::Clear(last) => Command::Clear(place(*last)),
        Step::Tidy => Command::Tidy { before_ms: now_ms.saturating_sub(3_000) },
        Step::Pass(_) => return None,
    })
}

fn same_everywhere(steps: &[Step], limits: JournalLimits, small_blocks: bool) {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions { journal: limits, ..lab::options() };
    let mut store = Store::open(dir.path().join("s"), options).unwrap();
    let mut memory = Memory::new();
    let mut now_ms = 1_000_000;
    let size = BlockSize::try_from(if small_blocks { 16 } else { 64 }).unwrap();
    let space = Space { name: name("default"), v4_block: size, v6_block: size };
    let first = [
        Command::DefineSpace(space),
        pool(0, 0, 0, false),
        pool(1, 0, 0, false),
        pool(2, 0, 0, false),
    ];
    for command in &first {
        let expected = Ledger::execute(&mut memory, command, at(1));
        assert_eq!(Ledger::execute(&mut store, command, at(1)), expected);
    }
    for (index, step) in steps.iter().enumerate() {
        now_ms += if let Step::Pass(ms) = step { u64::from(*ms) } else { 1 };
        let when = (Ledger::revision(&memory), now_ms);
        let Some(command) = lower(step, memory.view(), when) else { continue };
        let expected = Ledger::execute(&mut memory, &command, at(now_ms));
        let got = Ledger::execute(&mut store, &command, at(now_ms));
        assert_eq!(got, expected, "step {index}: {command:?}");
        assert_eq!(
            Ledger::revision(&store),
            Ledger::revision(&memory),
            "step {index}: {command:?}"
        );
    }
    let (got, expected) = (Ledger::all(&store), Ledger::all(&memory));
    let (got, expected) = (state(&got, &["default"]), state(&expected, &["default"]));
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!(got, expected);
    }
    assert_eq!(got.len(), expected.len());
    lab::sound(&store);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_store_answers_alike(
        steps in prop::collection::vec(step(), 1..120),
        small_blocks: bool,
        entries in prop::sample::select(vec![1_u64, 10, 20_000]),
    ) {
        let limits = JournalLimits { entries, ..JournalLimits::default() };
        same_everywhere(&steps, limits, small_blocks);
    }
}

#[test]
#[ignore = "host tier: a thousand long sequences take minutes"]
fn every_store_answers_alike_at_length() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        ..ProptestConfig::default()
    });
    let sequences = (prop::collection::vec(step(), 1..400), any::<bool>());
    let outcome = runner.run(&sequences, |(steps, small_blocks)| {
        same_everywhere(&steps, JournalLimits { entries: 50, age_ms: 20_000 }, small_blocks);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_full_pool_is_searched_in_few_steps() {
    let dir = tempfile::tempdir().unwrap();
    let store = lab::open(&dir.path().join("s"));
    // One address in each of 3,000 blocks: more blocks than a decision has rounds.
    let ranges: Vec<_> = (0..3_000_u32)
        .map(|at| format!("10.{}.{}.{}", at / 1024, at / 4 % 256, at % 4 * 64))
        .collect();
    let ranges: Vec<_> = ranges.iter().map(String::as_str).collect();
    lab::execute(&store, &lab::define("wide", "10.0.0.0/8", &ranges), 1).unwrap();
    for (at, range) in ranges.iter().enumerate() {
        let got = lab::attach(&store, "wide", &format!("c{at}"), 2).unwrap();
        assert_eq!(got.to_string(), *range);
    }
    let refused = lab::attach(&store, "wide", "one-too-many", 3).unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    lab::detach(&store, "c1500", 4).unwrap();
    let got = lab::attach(&store, "wide", "next", 5).unwrap();
    assert_eq!(got.to_string(), ranges[1500]);
    assert_eq!(store.check().unwrap().discrepancies, Vec::new());
    let size = store.read(|view| view.block_size("default", Family::V4)).unwrap();
    assert_eq!(size, BlockSize::DEFAULT);
}
