//! What the tests of this crate share: definitions, requests, and a look at the whole state.

#![expect(dead_code, reason = "each test binary uses its own part")]

use spiderpool_core::command::{Answer, Command, Release};
use spiderpool_core::definition::{Policy, Pool, PoolDraft};
use spiderpool_core::event::ObjectKey;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
use spiderpool_core::view::View;
use spiderpool_store::{Extra, OpenOptions, Patience, Store, StoreError, Witness};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) const fn at(now_ms: u64) -> Moment {
    Moment { now_ms, seed: now_ms.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

pub(crate) fn draft(pool: &str, prefix: &str, ranges: &[&str]) -> PoolDraft {
    PoolDraft {
        name: pool.into(),
        prefix: prefix.into(),
        ranges: ranges.iter().map(|range| (*range).to_owned()).collect(),
        ..PoolDraft::default()
    }
}

pub(crate) fn define(pool: &str, prefix: &str, ranges: &[&str]) -> Command {
    Command::DefinePool(Pool::try_from(draft(pool, prefix, ranges)).unwrap())
}

pub(crate) fn define_with(
    pool: &str,
    prefix: &str,
    ranges: &[&str],
    policy: Policy,
    cool_down_ms: u64,
) -> Command {
    let draft = PoolDraft { policy, cool_down_ms, ..draft(pool, prefix, ranges) };
    Command::DefinePool(Pool::try_from(draft).unwrap())
}

pub(crate) fn request(pool: &str, container: &str, ticket: u64) -> Request {
    let names = vec![pool.to_owned()];
    let pools = if pool.ends_with('6') {
        PoolNames { v4: Vec::new(), v6: names }
    } else {
        PoolNames { v4: names, v6: Vec::new() }
    };
    let sources = Sources { configured: Some(pools), ..Sources::default() };
    Request {
        holder: Holder {
            owner: Owner::container(&name("net"), &name(container)).unwrap(),
            pod_uid: None,
            container: Some(name(container)),
            node: name("host"),
        },
        attachment: name("eth0"),
        network: name("net"),
        subject: Subject::default(),
        sources,
        named: Vec::new(),
        routes: Vec::new(),
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket,
    }
}

pub(crate) fn add(pool: &str, container: &str, ticket: u64) -> Command {
    Command::Allocate(request(pool, container, ticket))
}

pub(crate) fn del(container: &str, ticket: u64) -> Command {
    Command::Release(Release { container: name(container), attachment: None, ticket })
}

pub(crate) fn address(answer: &Answer) -> IpAddr {
    match answer {
        Answer::Allocated(allocated) => allocated.addresses[0].address.addr(),
        other => panic!("no address in {other:?}"),
    }
}

pub(crate) fn witness(container: &str) -> Witness {
    let body = format!("{{\"bootId\":\"b\",\"netns\":\"/run/netns/{container}\"}}");
    Witness { container: name(container), attachment: name("eth0"), body }
}

pub(crate) fn attach(
    store: &Store,
    pool: &str,
    container: &str,
    now_ms: u64,
) -> Result<IpAddr, StoreError> {
    let ticket = store.revision()? + 1;
    let extra = Extra { add: vec![witness(container)], ..Extra::default() };
    store.execute(&add(pool, container, ticket), at(now_ms), &extra).map(|answer| address(&answer))
}

pub(crate) fn detach(store: &Store, container: &str, now_ms: u64) -> Result<Answer, StoreError> {
    let ticket = store.revision()?;
    let extra = Extra { remove: vec![(name(container), None)], ..Extra::default() };
    store.execute(&del(container, ticket), at(now_ms), &extra)
}

pub(crate) fn execute(store: &Store, command: &Command, now_ms: u64) -> Result<Answer, StoreError> {
    store.execute(command, at(now_ms), &Extra::default())
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions { patience: Patience::Each(Duration::from_secs(60)), ..OpenOptions::create() }
}

/// Every allocated address with its container.
pub(crate) fn held(store: &Store) -> BTreeMap<IpAddr, String> {
    let view = store.load_all().unwrap();
    let found = view.allocations().unwrap();
    found.map(|found| (found.address(), found.allocation.container.to_owned())).collect()
}

/// Everything that a view says, as text that compares.
pub(crate) fn state(view: &View, spaces: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |object: ObjectKey, what: String| {
        lines.push(format!("{object} at {}: {what}", view.revision(&object)));
    };
    for space in spaces {
        line(ObjectKey::Space(name(space)), format!("{:?}", view.space(space)));
    }
    for subnet in view.subnets().unwrap() {
        line(ObjectKey::Subnet(subnet.name().clone()), format!("{subnet:?}"));
    }
    for reservation in view.reservations() {
        line(ObjectKey::Reservation(reservation.name().clone()), format!("{reservation:?}"));
    }
    for entry in view.pools().unwrap() {
        let (free, resting) = (entry.free.count(), &entry.resting);
        let what = format!("{:?} {:?} free {free} resting {resting:?}", entry.pool, entry.usable);
        line(ObjectKey::Pool(entry.pool.name().clone()), what);
    }
    for (key, block) in view.blocks().unwrap() {
        line(ObjectKey::Block(key), serde_json::to_string(block).unwrap());
    }
    for (container, tombstone) in view.tombstones_before(u64::MAX).unwrap() {
        line(ObjectKey::Container(container.clone()), format!("{tombstone:?}"));
    }
    lines
}

/// The store is sound from end to end, and its past leads to its present.
pub(crate) fn sound(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
    let replay = store.replay().unwrap();
    assert!(replay.differences.is_empty(), "{replay:?}");
}

/// This test binary again, running only its test `worker`, told what to do through `SP_WORK`.
pub(crate) fn spawn(work: &str, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "worker", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env("SP_WORK", work)
        .env("SP_DIR", dir)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    command
}
