//! Many threads and many processes on one store at once.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod lab;

use lab::{attach, define, detach, execute, held, name, open, sound, spawn};
use spiderpool_store::{OpenOptions, Patience, Store, StoreError};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Runs in processes that the tests below start; by itself it does one small round.
#[test]
fn worker() {
    let Ok(work) = std::env::var("SP_WORK") else {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("s"));
        execute(&store, &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.2"]), 1).unwrap();
        assert_eq!(grab(&dir.path().join("s"), "solo", 4), 2);
        return sound(&store);
    };
    let dir = PathBuf::from(std::env::var("SP_DIR").unwrap());
    match work.split_once(':') {
        Some(("grab", who)) => println!("got {}", grab(&dir, who, 4)),
        Some(("create", _)) => println!("uuid {}", open(&dir).identity().unwrap().uuid),
        Some(("lock", _)) => {
            let _lock = open(&dir).lock_container(&name("c1"), Patience::default()).unwrap();
            println!("locked");
            std::thread::sleep(Duration::from_secs(60));
        }
        _ => panic!("unknown work {work}"),
    }
}

/// Opens the store anew for each request, as a plugin does. Gives the number of successes.
fn grab(dir: &Path, who: &str, count: u32) -> u32 {
    let granted = |at: &u32| {
        let store = open(dir);
        match attach(&store, "p", &format!("{who}-{at}"), 5) {
            Ok(_) => true,
            Err(StoreError::Refused(_)) => false,
            Err(other) => panic!("{other}"),
        }
    };
    u32::try_from((0..count).filter(granted).count()).unwrap()
}

fn said(child: Child) -> String {
    let mut child = child;
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    text
}

fn word_after<'a>(text: &'a str, mark: &str) -> &'a str {
    let at = text.find(mark).unwrap_or_else(|| panic!("no `{mark}` in {text}")) + mark.len();
    text[at..].split_whitespace().next().unwrap()
}

#[test]
fn exactly_as_many_processes_succeed_as_there_are_addresses() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    execute(&open(&dir), &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.100"]), 1).unwrap();
    let children: Vec<_> =
        (0..32).map(|who| spawn(&format!("grab:p{who}"), &dir).spawn().unwrap()).collect();
    let got: u32 = children
        .into_iter()
        .map(|child| word_after(&said(child), "got ").parse::<u32>().unwrap())
        .sum();
    assert_eq!(got, 100, "32 processes asked for 4 addresses each");
    let store = open(&dir);
    assert_eq!(held(&store).len(), 100);
    sound(&store);
}

#[test]
fn threads_with_a_store_of_their_own_or_a_shared_one_never_share_an_address() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let shared = open(&dir);
    execute(&shared, &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.40"]), 1).unwrap();
    let refused = AtomicU32::new(0);
    let mut given = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (shared, dir, refused) = (&shared, &dir, &refused);
                scope.spawn(move || {
                    let own = (thread % 2 == 0).then(|| open(dir));
                    let store = own.as_ref().unwrap_or(shared);
                    let mut given = Vec::new();
                    for at in 0..12 {
                        let container = format!("t{thread}-{at}");
                        match attach(store, "p", &container, 5) {
                            Ok(address) if at % 4 == 3 => {
                                assert!(address.is_ipv4());
                                detach(store, &container, 6).unwrap();
                            }
                            Ok(address) => given.push(address),
                            Err(StoreError::Refused(_)) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                    given
                })
            })
            .collect();
        given = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    });
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "an address came twice");
    assert_eq!(held(&shared).len(), given.len());
    sound(&shared);
}

#[test]
fn racing_creators_agree() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("deep/er/s");
    let children: Vec<_> = (0..8).map(|_| spawn("create:", &dir).spawn().unwrap()).collect();
    let uuids: BTreeSet<_> =
        children.into_iter().map(|child| word_after(&said(child), "uuid ").to_owned()).collect();
    assert_eq!(uuids.len(), 1, "{uuids:?}");
    sound(&open(&dir));
}

#[test]
fn verbs_of_one_container_take_turns() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let store = open(&dir);
    let mut holder = spawn("lock:", &dir).spawn().unwrap();
    let mut out = holder.stdout.take().unwrap();
    let mut text = String::new();
    while !text.contains("locked") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    let soon = Patience::Each(Duration::from_millis(50));
    let busy = store.lock_container(&name("c1"), soon).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let lock = store.lock_container(&name("c1"), soon).unwrap();
    store.lock_container(&name("c1"), soon).unwrap_err();
    drop(lock);
    store.lock_container(&name("c1"), soon).unwrap();
}

#[test]
fn waiting_ends_at_the_deadline() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    execute(&open(&dir), &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.9"]), 1).unwrap();
    let other = rusqlite::Connection::open(dir.join("ledger.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let patience = Patience::Until(Instant::now() + Duration::from_millis(80));
    let store = Store::open(&dir, OpenOptions { patience, ..OpenOptions::create() }).unwrap();
    let since = Instant::now();
    let error = attach(&store, "p", "c1", 2).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert!(since.elapsed() < Duration::from_secs(5));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(attach(&open(&dir), "p", "c1", 3).is_ok());
}
