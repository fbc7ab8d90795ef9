//! `kill -9` at any instant, and power cuts: no acknowledged allocation is lost, no address is
//! given twice, and nothing but a whole store is ever found.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod lab;
mod trace;

use lab::{attach, define, detach, execute, held, open, sound, spawn};
use spiderpool_store::{OpenOptions, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use trace::Trace;

/// What was acknowledged: each address with its container, and what was let go.
type Acks = BTreeMap<String, Option<IpAddr>>;

/// Runs in processes that the tests below start, until it is killed or its rounds are over; by
/// itself it does a few rounds.
#[test]
fn worker() {
    let own = tempfile::tempdir().unwrap();
    let dir = std::env::var("SP_DIR").map_or_else(|_| own.path().join("s"), PathBuf::from);
    let work = std::env::var("SP_WORK").unwrap_or_else(|_| "solo:6".into());
    let (who, rounds) = work.split_once(':').unwrap();
    let rounds: u64 = rounds.parse().unwrap();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    };
    execute(&open(&dir), &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.90"]), 1).unwrap();
    for round in 0..rounds {
        let store = open(&dir);
        let container = format!("{who}-{round}");
        say(format!("try {container}\n"));
        match attach(&store, "p", &container, 10 + round) {
            Ok(address) => say(format!("add {container} {address}\n")),
            Err(StoreError::Refused(_)) => say("full\n".into()),
            Err(other) => panic!("{other}"),
        }
        if round >= 3 {
            let gone = format!("{who}-{}", round - 3);
            say(format!("let {gone}\n"));
            detach(&store, &gone, 10 + round).unwrap();
            say(format!("del {gone}\n"));
        }
    }
    sound(&open(&dir));
}

/// Takes in one line of a worker.
fn note(acks: &mut Acks, doubtful: &mut BTreeSet<String>, line: &str) {
    // The harness leaves its own line open in front of the first one.
    let mut words = line.trim_start_matches("test worker ... ").split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("try" | "let"), Some(container), _) => drop(doubtful.insert(container.to_owned())),
        (Some("add"), Some(container), Some(address)) => {
            doubtful.remove(container);
            acks.insert(container.to_owned(), Some(address.parse().unwrap()));
        }
        (Some("del"), Some(container), _) => {
            doubtful.remove(container);
            acks.insert(container.to_owned(), None);
        }
        _ => {}
    }
}

/// What was acknowledged is there; what was let go is not; anything else was under way.
fn verify(dir: &Path, acks: &Acks, doubtful: &BTreeSet<String>) {
    let store = match Store::open(dir, OpenOptions::default()) {
        Ok(store) => store,
        Err(StoreError::Missing { .. }) if acks.is_empty() => return,
        Err(other) => panic!("{other}"),
    };
    let held: BTreeMap<_, _> = held(&store).into_iter().map(|(at, who)| (who, at)).collect();
    for (container, address) in acks.iter().filter(|(container, _)| !doubtful.contains(*container))
    {
        assert_eq!(held.get(container), address.as_ref(), "{container} of {held:?}");
    }
    for container in held.keys() {
        assert!(acks.contains_key(container) || doubtful.contains(container), "{container}?");
    }
    let witnesses: BTreeSet<_> =
        store.witnesses().unwrap().into_iter().map(|w| w.container.to_string()).collect();
    assert_eq!(witnesses, held.into_keys().collect(), "each allocation has its witness");
    sound(&store);
}

/// Kills workers at random instants, over and over on one store.
fn kill_at_random(kills: u32, longest: Duration) -> u32 {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let (mut acks, mut doubtful) = (Acks::new(), BTreeSet::new());
    let (since, mut seed, mut killed) = (Instant::now(), 88_172_645_463_325_252_u64, 0);
    while killed < kills && since.elapsed() < longest {
        let mut children: Vec<_> = (0..2)
            .map(|side| spawn(&format!("k{killed}x{side}:1000"), &dir).spawn().unwrap())
            .collect();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        std::thread::sleep(Duration::from_micros(2_000 + seed % 40_000));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                note(&mut acks, &mut doubtful, &line.unwrap());
            }
        }
        if killed % 20 == 0 || killed >= kills {
            verify(&dir, &acks, &doubtful);
            let store = open(&dir);
            execute(&store, &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.90"]), 1).unwrap();
            for (_, container) in held(&store) {
                detach(&store, &container, 9).unwrap();
            }
            (acks, doubtful) = (Acks::new(), BTreeSet::new());
        }
    }
    killed
}

#[test]
fn a_kill_loses_nothing() {
    assert_eq!(kill_at_random(40, Duration::from_secs(60)), 40);
}

#[test]
#[ignore = "host tier: thousands of kills take a minute"]
fn thousands_of_kills_lose_nothing() {
    let killed = kill_at_random(20_000, Duration::from_secs(60));
    println!("{killed} kills");
    assert!(killed >= 1_000, "only {killed} kills in a minute");
}

/// The calls that change files.
const CALLS: &str =
    "openat,pwrite64,write,ftruncate,fsync,fdatasync,link,linkat,unlink,unlinkat,rename,mkdir";

fn strace(arguments: &[String], work: &str, dir: &Path) -> Command {
    let inner = spawn(work, dir);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(arguments).arg(inner.get_program()).args(inner.get_args());
    command.env("SP_WORK", work).env("SP_DIR", dir);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
#[ignore = "host tier: needs strace, kills one process for each system call"]
fn a_kill_at_every_system_call_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (mut points, mut unharmed) = (0, 0);
    for when in 1.. {
        let dir = place.path().join(format!("s{when}"));
        let log = place.path().join("log").display().to_string();
        let inject = format!("inject={CALLS}:signal=KILL:when={when}");
        let output =
            strace(&["-o".into(), log, "-e".into(), inject], "w:5", &dir).output().unwrap();
        let (mut acks, mut doubtful) = (Acks::new(), BTreeSet::new());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            note(&mut acks, &mut doubtful, line);
        }
        verify(&dir, &acks, &doubtful);
        // Life goes on: the store takes up work where it was left.
        attach_and_detach(&dir);
        points = when;
        unharmed = if output.status.success() { unharmed + 1 } else { 0 };
        std::fs::remove_dir_all(&dir).unwrap();
        if unharmed > 0 {
            break;
        }
    }
    println!("{points} points");
    assert!(points > 100, "only {points} system calls were seen");
}

fn attach_and_detach(dir: &Path) {
    let store = open(dir);
    execute(&store, &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.90"]), 1).unwrap();
    attach(&store, "p", "again", 50).unwrap();
    detach(&store, "again", 51).unwrap();
    sound(&store);
}

fn record(rounds: u32) -> (Trace, PathBuf, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let log = place.path().join("log");
    let arguments = ["-y", "-xx", "-s", "2000000", "-o", log.to_str().unwrap(), "-e"];
    let mut arguments: Vec<_> = arguments.map(str::to_owned).to_vec();
    arguments.push(format!("trace={CALLS}"));
    let status = strace(&arguments, &format!("w:{rounds}"), &dir).status().unwrap();
    assert!(status.success(), "{status}");
    let trace = Trace::parse(&std::fs::read_to_string(&log).unwrap(), &dir);
    (trace, dir, place)
}

#[test]
#[ignore = "host tier: needs strace"]
fn the_reply_comes_after_the_fsync() {
    let (trace, ..) = record(12);
    let answered = trace.unsynced_at_acks("ledger.sqlite-wal");
    assert!(answered.len() >= 12, "{answered:?}");
    assert!(answered.iter().all(|unsynced| *unsynced == 0), "answered too early: {answered:?}");
    let (syncs, acks) = (trace.syncs(), answered.len());
    println!("{syncs} fsyncs for {acks} answers, creation included");
}

fn power_cuts(rounds: u32, variants: u64) -> usize {
    let (trace, ..) = record(rounds);
    let place = tempfile::tempdir().unwrap();
    let mut states = 0;
    for cut in trace.cuts() {
        for variant in 0..variants {
            let dir = place.path().join("s");
            trace.rebuild(cut, variant, &dir);
            let (mut acks, mut doubtful) = (Acks::new(), BTreeSet::new());
            for line in trace.said_before(cut) {
                note(&mut acks, &mut doubtful, line);
            }
            if dir.exists() {
                verify(&dir, &acks, &doubtful);
                attach_and_detach(&dir);
                std::fs::remove_dir_all(&dir).unwrap();
            } else {
                assert!(acks.is_empty(), "cut {cut}: no directory, but {acks:?}");
            }
            states += 1;
        }
    }
    states
}

#[test]
#[ignore = "host tier: needs strace, rebuilds the disk thousands of times"]
fn a_power_cut_at_any_write_loses_nothing() {
    let states = power_cuts(30, 6);
    println!("{states} states of the disk");
    assert!(states > 1_000, "only {states} states");
}
