//! What `simulate` promises: nothing is written, and what it tells is what happens.

use crate::support::{add, ctl, del, request, run, store};
use proptest::prelude::*;
use serde_json::Value;
use spiderpool_core::command::{Answer, Command};
use spiderpool_core::definition::{Policy, Pool, PoolDraft};
use spiderpool_core::moment::Moment;
use spiderpool_core::request::PoolNames;
use spiderpool_store::{Extra, OpenOptions, Store, StoreError};
use std::fs;
use std::path::Path;

const NOW: u64 = 1_767_225_600_000;

/// A store with pools `p0` and `p1` of some sizes and policies, in which some pods live.
fn prepare(dir: &Path, sizes: [u8; 2], policy: Policy, pods: u8) {
    let store = Store::open(dir.join("store"), OpenOptions::create()).unwrap();
    for (at, size) in sizes.into_iter().enumerate() {
        let draft = PoolDraft {
            name: format!("p{at}"),
            prefix: format!("10.{at}.0.0/24"),
            ranges: vec![format!("10.{at}.0.1-10.{at}.0.{}", size)],
            policy,
            ..PoolDraft::default()
        };
        let moment = Moment { now_ms: NOW - 1000, seed: 3 };
        let define = Command::DefinePool(Pool::try_from(draft).unwrap());
        store.execute(&define, moment, &Extra::default()).unwrap();
    }
    for at in 0..pods.min(sizes[0]) {
        let moment = Moment { now_ms: NOW - 900 + u64::from(at), seed: at.into() };
        drop(add(&store, (&format!("old-{at}"), "eth0", "p0"), moment));
        if at % 3 == 0 {
            del(&store, &format!("old-{at}"), moment);
        }
    }
}

/// What happens when the imagined pods come: address and pool of each, in order.
fn happen(dir: &Path, pods: u64, interfaces: u64) -> Vec<(u64, String, String)> {
    let store = store(dir);
    let mut placed = Vec::new();
    for pod in 1..=pods {
        let mut of_pod = Vec::new();
        for interface in 1..=interfaces {
            let interface =
                if interface == 1 { "eth0".to_owned() } else { format!("net{}", interface - 1) };
            let names = PoolNames { v4: vec!["p0".into(), "p1".into()], v6: Vec::new() };
            let request = request(&format!("imagined-{pod}"), &interface, names);
            let moment = Moment { now_ms: NOW, seed: NOW };
            match store.execute(&Command::Allocate(request), moment, &Extra::default()) {
                Ok(Answer::Allocated(granted)) => {
                    let one = &granted.addresses[0];
                    of_pod.push((pod, one.address.addr().to_string(), one.pool.to_string()));
                }
                Err(StoreError::Refused(_)) => return placed,
                other => panic!("{other:?}"),
            }
        }
        placed.extend(of_pod);
    }
    placed
}

fn simulate(dir: &Path, pods: u64, interfaces: u64) -> (Value, i32) {
    let (pods, interfaces) = (pods.to_string(), interfaces.to_string());
    let mut process = ctl(dir, NOW);
    process.args(["simulate", "--pods", &pods, "--interfaces", &interfaces, "--pool", "p0,p1"]);
    process.args(["--network", "lab", "--node", "worker-1", "-o", "json"]);
    let (stdout, stderr, code) = run(&mut process);
    (serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}")), code)
}

fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("store/locks")).unwrap();
    for entry in fs::read_dir(from.join("store")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join("store").join(entry.file_name())).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simulated_is_what_happens(
        sizes in [1_u8..12, 1_u8..12],
        policy in prop::sample::select(vec![Policy::Sequential, Policy::Spread, Policy::Rotate]),
        old in 0_u8..8,
        pods in 1_u64..16,
        interfaces in 1_u64..3,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let copy = tempfile::tempdir().unwrap();
        prepare(dir.path(), sizes, policy, old);
        copy_store(dir.path(), copy.path());
        let (told, code) = simulate(dir.path(), pods, interfaces);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let placements = told["placements"].as_array().unwrap().iter();
        let told_placed: Vec<_> = placements
            .map(|p| (p["pod"].as_u64().unwrap(), text(&p["address"]), text(&p["pool"])))
            .collect();
        let happened = happen(copy.path(), pods, interfaces);
        let all_fit = happened.len() as u64 == pods * interfaces;
        prop_assert_eq!(code, i32::from(!all_fit));
        prop_assert_eq!(told["refusal"].is_null(), all_fit);
        prop_assert_eq!(told_placed, happened);
    }
}

#[test]
fn simulate_leaves_the_store_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), [9, 9], Policy::Sequential, 5);
    let bytes = || {
        ["store/ledger.sqlite", "store/ledger.sqlite-wal"]
            .map(|file| fs::read(dir.path().join(file)).ok())
    };
    let before = bytes();
    let (told, code) = simulate(dir.path(), 30, 2);
    assert_eq!(code, 1);
    assert!(told["fit"].as_u64().unwrap() > 0);
    assert_eq!(bytes(), before);
}
