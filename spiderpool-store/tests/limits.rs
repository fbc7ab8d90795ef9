//! What bounds the store: the journal, a full disk, a read-only one, and clocks that go astray.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod lab;

use lab::{add, at, attach, define, define_with, del, detach, execute, held, name, open, sound};
use spiderpool_core::command::{Answer, Command, Place};
use spiderpool_core::definition::Policy;
use spiderpool_core::event::Ending;
use spiderpool_store::{Extra, Filter, JournalLimits, OpenOptions, Store, StoreError};
use std::fs;
use std::path::Path;

const SMALL: &str = "10.0.0.0/24";

fn small(dir: &Path) -> Store {
    let store = open(dir);
    execute(&store, &define("p", SMALL, &["10.0.0.1-10.0.0.50"]), 1).unwrap();
    store
}

#[test]
fn replay_gives_the_present() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let journal = JournalLimits { entries: 20, age_ms: u64::MAX };
    let store = Store::open(&dir, OpenOptions { journal, ..lab::options() }).unwrap();
    execute(&store, &define_with("p", SMALL, &["10.0.0.1-10.0.0.30"], Policy::Rotate, 100), 1)
        .unwrap();
    for at in 0..60_u64 {
        attach(&store, "p", &format!("c{at}"), 10 * at).unwrap();
        if at >= 8 {
            detach(&store, &format!("c{}", at - 8), 10 * at + 5).unwrap();
        }
    }
    let report = store.replay().unwrap();
    assert_eq!(report.differences, Vec::new());
    assert_eq!(report.count, 20, "the journal is bounded");
    assert_eq!(report.entries, Some((store.revision().unwrap() - 19, store.revision().unwrap())));
    sound(&store);
}

#[test]
fn old_entries_go_with_age_and_the_newest_stays() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let journal = JournalLimits { entries: 100, age_ms: 1_000 };
    let store = Store::open(&dir, OpenOptions { journal, ..lab::options() }).unwrap();
    execute(&store, &define("p", SMALL, &["10.0.0.1-10.0.0.50"]), 1).unwrap();
    for at in 0..5 {
        attach(&store, "p", &format!("c{at}"), 10).unwrap();
    }
    for at in 5..10 {
        attach(&store, "p", &format!("c{at}"), 1_000_000).unwrap();
    }
    let kept = store.history(&Filter::default()).unwrap();
    assert!(kept.iter().all(|entry| entry.moment.now_ms == 1_000_000), "{kept:?}");
    assert_eq!(store.revision().unwrap(), 11);
    sound(&store);
}

#[test]
fn history_tells_who_had_an_address() {
    let place = tempfile::tempdir().unwrap();
    let store = small(&place.path().join("s"));
    let first = attach(&store, "p", "c1", 100).unwrap();
    detach(&store, "c1", 200).unwrap();
    assert_eq!(attach(&store, "p", "c2", 300).unwrap(), first);
    let space = name("default");
    let tenures = store.tenures(&Place { space: space.clone(), address: first }).unwrap();
    let told: Vec<_> = tenures
        .iter()
        .map(|tenure| (tenure.container.as_str(), tenure.from_ms, tenure.until_ms, tenure.ending))
        .collect();
    let expected = [("c1", 100, Some(200), Some(Ending::Released)), ("c2", 300, None, None)];
    assert_eq!(told, expected);
    let of = |filter: Filter| store.history(&filter).unwrap().len();
    assert_eq!(of(Filter::default()), 4);
    assert_eq!(of(Filter { container: Some("c1".into()), ..Filter::default() }), 2);
    assert_eq!(of(Filter { owner: Some("container/net/c2".into()), ..Filter::default() }), 1);
    assert_eq!(of(Filter { from_ms: Some(150), to_ms: Some(250), ..Filter::default() }), 1);
    let place = Place { space, address: first };
    assert_eq!(of(Filter { place: Some(place), ..Filter::default() }), 3);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let store = small(&dir);
    let given = attach(&store, "p", "c1", 10).unwrap();
    let before = fs::read(dir.join("ledger.sqlite-wal")).unwrap();
    assert_eq!(attach(&store, "p", "c1", 20).unwrap(), given);
    execute(&store, &add("missing", "c2", 99), 30).unwrap_err();
    store.ask(&add("p", "c3", 99), at(40)).unwrap();
    assert_eq!(fs::read(dir.join("ledger.sqlite-wal")).unwrap(), before);
    assert_eq!(store.revision().unwrap(), 2);
    assert_eq!(store.witnesses().unwrap(), vec![lab::witness("c1")]);
}

#[test]
fn tickets_order_verbs() {
    let place = tempfile::tempdir().unwrap();
    let store = small(&place.path().join("s"));
    let early = store.revision().unwrap();
    execute(&store, &del("c1", 0), 10).unwrap();
    let late = store.revision().unwrap();
    assert!(late > early, "every DEL counts");
    let refused = execute(&store, &add("p", "c1", early), 20).unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    let given = execute(&store, &add("p", "c1", late), 30).unwrap();
    assert!(matches!(given, Answer::Allocated(_)));
    sound(&store);
}

#[test]
fn a_clock_that_steps_back_harms_nothing() {
    let place = tempfile::tempdir().unwrap();
    let store = open(&place.path().join("s"));
    execute(&store, &define_with("p", SMALL, &["10.0.0.1-10.0.0.4"], Policy::Rotate, 50), 1)
        .unwrap();
    let clock = [1_000_000, 10, u64::MAX, 0, 5_000, 4_999, 1_000_000];
    for (at, now_ms) in clock.into_iter().enumerate() {
        let container = format!("c{at}");
        drop(attach(&store, "p", &container, now_ms));
        if at % 2 == 1 {
            detach(&store, &container, now_ms / 2).unwrap();
        }
        sound(&store);
    }
    let containers: Vec<_> = held(&store).into_values().collect();
    assert_eq!(containers, ["c0", "c6", "c2", "c4"], "those that were not detached");
}

#[test]
fn a_lost_ledger_is_not_made_again() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let missing = Store::open(&dir, OpenOptions::default()).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert!(!dir.exists(), "a look makes nothing");
    let store = small(&dir);
    fs::remove_file(dir.join("ledger.sqlite")).unwrap();
    let error = attach(&store, "p", "c1", 5).unwrap_err();
    assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
    drop(store);
    let lost = Store::open(&dir, OpenOptions::create()).unwrap_err();
    assert!(matches!(lost, StoreError::Lost { .. }), "{lost}");
}

/// A small file system of its own, for as long as the value lives.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Self(dir);
        run("mount", &["-t", "tmpfs", "-o", options, "none", disk.0.path().to_str().unwrap()]);
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.path().to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = std::process::Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

#[test]
#[ignore = "host tier: mounts a tmpfs, needs root"]
fn a_full_disk_refuses_add_and_lets_del_through() {
    let disk = Disk::new("size=8m");
    let dir = disk.0.path().join("s");
    let store = small(&dir);
    for at in 0..40 {
        attach(&store, "p", &format!("c{at}"), 10).unwrap();
    }
    let filler = disk.0.path().join("filler");
    let mut full = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut full, &[7; 4096]).is_ok() {}
    // The log may have room for a few commits; then ADD is refused, and it stays refused.
    let mut refused = 0;
    for at in 40..600 {
        match attach(&store, "p", &format!("d{at}"), 20) {
            Err(StoreError::Full { .. }) => refused += 1,
            Ok(_) => drop(detach(&store, &format!("d{at}"), 20).unwrap()),
            Err(other) => panic!("{other}"),
        }
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "the disk never got full");
    for at in 0..40 {
        // Each in a process's place: the store is opened anew.
        let store = open(&dir);
        detach(&store, &format!("c{at}"), 30).unwrap();
        // Emptying the log may have made room: then ADD works again, and is never half done.
        match attach(&store, "p", "later", 30) {
            Err(StoreError::Full { .. }) => {}
            Ok(_) => drop(detach(&store, "later", 30).unwrap()),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(held(&open(&dir)).is_empty());
    drop(full);
    fs::remove_file(&filler).unwrap();
    attach(&open(&dir), "p", "after", 40).unwrap();
    assert_eq!(fs::metadata(dir.join("ballast")).unwrap().len(), 1 << 20, "made again");
    sound(&open(&dir));
}

#[test]
#[ignore = "host tier: mounts a tmpfs, needs root"]
fn a_read_only_disk_can_be_read() {
    let disk = Disk::new("size=8m");
    let (root, dir) = (disk.0.path().to_str().unwrap().to_owned(), disk.0.path().join("s"));
    let store = small(&dir);
    let given = attach(&store, "p", "c1", 10).unwrap();
    drop(store);
    run("mount", &["-o", "remount,ro", &root]);
    for options in [OpenOptions::default(), OpenOptions::read_only(), OpenOptions::create()] {
        let store = Store::open(&dir, options).unwrap();
        assert_eq!(held(&store).into_keys().collect::<Vec<_>>(), vec![given]);
        assert!(store.check().unwrap().is_clean());
        let error = detach(&store, "c1", 20).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        let error = attach(&store, "p", "c2", 20).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        drop(store.lock_container(&name("c1"), lab::options().patience));
    }
    run("mount", &["-o", "remount,rw", &root]);
    detach(&open(&dir), "c1", 30).unwrap();
    sound(&open(&dir));
}

#[test]
fn extras_and_commands_are_one() {
    let place = tempfile::tempdir().unwrap();
    let store = small(&place.path().join("s"));
    let extra = Extra { add: vec![lab::witness("c9")], ..Extra::default() };
    store.execute(&add("missing", "c9", 99), at(5), &extra).unwrap_err();
    assert_eq!(store.witnesses().unwrap(), Vec::new(), "a refusal keeps nothing");
    store.execute(&add("p", "c9", 99), at(6), &extra).unwrap();
    assert_eq!(store.witnesses().unwrap(), extra.add);
    store
        .execute(
            &Command::Tidy { before_ms: 0 },
            at(7),
            &Extra { remove: vec![(name("c9"), None)], ..Extra::default() },
        )
        .unwrap();
    assert_eq!(store.witnesses().unwrap(), Vec::new());
}

#[test]
fn commands_that_belong_together_are_committed_together() {
    let place = tempfile::tempdir().unwrap();
    let store = small(&place.path().join("s"));
    let before = (store.revision().unwrap(), held(&store));
    let commands = [add("p", "c1", 99), add("missing", "c2", 99)];
    let (at_fault, error) = store.execute_all(&commands, at(5), &Extra::default()).unwrap_err();
    assert_eq!(at_fault, 1);
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert_eq!((store.revision().unwrap(), held(&store)), before, "nothing of a refused set stays");
    let commands = [add("p", "c1", 99), add("p", "c2", 99), del("c1", 99)];
    assert_eq!(store.execute_all(&commands, at(6), &Extra::default()).unwrap().len(), 3);
    assert_eq!(held(&store).len(), 1);
    assert_eq!(store.replay().unwrap().differences, Vec::new());
    sound(&store);
}

#[test]
fn a_witness_that_came_or_changed_stops_the_command() {
    let place = tempfile::tempdir().unwrap();
    let store = small(&place.path().join("s"));
    let seen = lab::witness("c1");
    let extra = Extra { add: vec![seen.clone()], ..Extra::default() };
    store.execute(&add("p", "c1", 99), at(5), &extra).unwrap();
    let key = (seen.container.clone(), seen.attachment.clone());
    let absent = Extra { absent: vec![key], ..Extra::default() };
    let other = lab::witness("c2");
    let changed = Extra { expect: vec![other], ..Extra::default() };
    for extra in [&absent, &changed] {
        let error = store.execute(&del("c1", 99), at(6), extra).unwrap_err();
        assert!(matches!(error, StoreError::Overtaken { .. }), "{error}");
    }
    assert_eq!(held(&store).len(), 1);
    let same = Extra { expect: vec![seen], ..Extra::default() };
    store.execute(&del("c1", 99), at(7), &same).unwrap();
    assert!(held(&store).is_empty());
}

#[test]
fn the_log_stays_short() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    drop(small(&dir));
    let log = dir.join("ledger.sqlite-wal");
    let commands: Vec<_> = (0..50).map(|at| add("p", &format!("b{at}"), 99)).collect();
    open(&dir).execute_all(&commands, at(5), &Extra::default()).unwrap();
    let mut longest = 0;
    for at in 0..60 {
        // A process of its own each time: nobody remembers what was moved.
        let store = open(&dir);
        detach(&store, &format!("b{}", at % 50), 10 + at).unwrap();
        longest = longest.max(fs::metadata(&log).map_or(0, |log| log.len()));
    }
    assert!(longest < 600_000, "the log grew to {longest} bytes");
    sound(&open(&dir));
}
