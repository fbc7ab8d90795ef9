//! The life of a pod's addresses, from what a server says of the pod to the command that takes them
//! back: the modules of `cluster` one after the other, against the ledger in memory.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::panic, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use spiderpool_core::audit::audit;
use spiderpool_core::command::{Allocated, Answer, Command};
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::label::Labels;
use spiderpool_core::memory::Memory;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Sheet};
use spiderpool_kube::cluster::project::{EndpointSource, Projection, endpoint};
use spiderpool_kube::cluster::reclaim::{
    Coverage, EndpointsSeen, GcSettings, IdentitySeen, NodeState, NodesSeen, PodsSeen,
    SandboxesSeen, Scope, Sweep, lift_endpoint,
};
use spiderpool_kube::cluster::request::{Attach, Configuration, Surroundings, lift};
use spiderpool_kube::cluster::workload::{Identity, Pod, Step, Switches, Walk, lift_pod};
use std::collections::BTreeMap;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn ledger() -> Memory {
    let mut ledger = Memory::new();
    for (pool, prefix, range) in [
        ("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.19"),
        ("blue-v6", "fd00::/64", "fd00::10-fd00::19"),
        ("green", "10.7.0.0/24", "10.7.0.10-10.7.0.19"),
    ] {
        let (name, prefix, ranges) = (pool.into(), prefix.into(), vec![range.into()]);
        let draft = PoolDraft { name, prefix, ranges, ..PoolDraft::default() };
        let pool = Pool::try_from(draft).unwrap();
        ledger.execute(&Command::DefinePool(pool), Moment::default()).unwrap();
    }
    ledger
}

fn pod(uid: &str, controller: &Value) -> Pod {
    let ippools = r#"[{"interface": "eth0", "ipv4": ["blue"], "ipv6": ["blue-*"]}, {"interface": "net1", "ipv4": ["green"]}]"#;
    let metadata = json!({
        "namespace": "ns", "name": "web-0", "uid": uid, "ownerReferences": controller,
        "annotations": {"ipam.spidernet.io/ippools": ippools},
    });
    let spec = json!({"nodeName": "worker"});
    lift_pod(&json!({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})).unwrap()
}

fn add(ledger: &mut Memory, pod: &Pod, container: &str, now_ms: u64) -> Allocated {
    let attach = Attach {
        container: &name(container),
        interface: &name("eth0"),
        network: &name("macvlan"),
        node: &name("worker"),
        pod_uid: Some(&pod.uid),
        addresses: "",
        master: None,
        ticket: ledger.revision() + 1,
    };
    let around = Surroundings {
        pod,
        namespace_labels: &Labels::new(),
        namespace_annotations: &BTreeMap::new(),
        node_labels: &Labels::new(),
    };
    let lifted = lift(&attach, &around, &Configuration::default(), Switches::default()).unwrap();
    let moment = Moment { now_ms, seed: 1 };
    let answer = ledger.execute(&Command::Allocate(lifted.request), moment).unwrap();
    let Answer::Allocated(allocated) = answer else { panic!("{answer:?}") };
    allocated
}

fn projected(pod: &Pod, allocated: &Allocated, revision: u64) -> Value {
    let Step::Found(workload) = Walk::new(pod).step() else { panic!("nothing is to be read") };
    let source = EndpointSource {
        allocated,
        pod,
        identity: &Identity::of(pod, Switches::default()),
        workload: &workload,
        node: &name("worker"),
        macs: &BTreeMap::new(),
        revision,
    };
    let Projection::Create(object) = endpoint(&source, None) else { panic!("it is new") };
    object
}

fn blocks(ledger: &Memory) -> Vec<(BlockKey, Sheet)> {
    ledger.view().blocks().unwrap().map(|(key, block)| (key, block.sheet())).collect()
}

fn look(sweep: &mut Sweep, at_ms: u64, pods: &[Pod], sandboxes: &[&str], endpoint: &Value) {
    let (coverage, live, pods) = (Coverage::All, true, pods.to_vec());
    sweep.pods(PodsSeen { coverage, at_ms, live, pods });
    let nodes = [(name("worker"), NodeState::Ready)].into();
    sweep.nodes(NodesSeen { at_ms, live, complete: true, nodes });
    let containers = sandboxes.iter().map(|id| name(id)).collect();
    sweep.sandboxes(SandboxesSeen { node: name("worker"), at_ms, containers });
    let endpoints = vec![lift_endpoint(endpoint).unwrap()];
    sweep.endpoints(EndpointsSeen { coverage: Coverage::All, at_ms, live, endpoints });
}

/// What the sweep's commands free.
fn reclaimed(ledger: &mut Memory, sweep: &mut Sweep, now_ms: u64) -> usize {
    let commands = sweep.blocks(&blocks(ledger), now_ms).commands();
    let freed = commands.into_iter().map(|command| {
        let moment = Moment { now_ms, seed: 1 };
        let answer = ledger.execute(&Command::Reclaim(command), moment).unwrap();
        let Answer::Freed(freed) = answer else { panic!("{answer:?}") };
        freed.len()
    });
    freed.sum()
}

#[test]
fn an_ordinary_pods_addresses_come_back_when_nothing_is_left_of_it() {
    let mut ledger = ledger();
    let web = pod("u1", &Value::Null);
    let allocated = add(&mut ledger, &web, "c1", 1_000);
    let object = projected(&web, &allocated, 5);
    let interfaces = object["status"]["current"]["ips"].as_array().unwrap();
    assert_eq!((interfaces.len(), allocated.addresses.len()), (2, 3));
    let mut sweep = Sweep::new(Scope::Cluster, GcSettings::default());
    let times: [(u64, &[Pod], &[&str], usize); 5] = [
        (200_000, std::slice::from_ref(&web), &["c1"], 0),
        (210_000, &[], &["c1"], 0),
        (220_000, &[], &["c1"], 0),
        (230_000, &[], &[], 3),
        (240_000, &[], &[], 0),
    ];
    for (at_ms, pods, sandboxes, expected) in times {
        look(&mut sweep, at_ms, pods, sandboxes, &object);
        assert_eq!(reclaimed(&mut ledger, &mut sweep, at_ms + 1), expected, "at {at_ms}");
        assert_eq!(audit(ledger.view()).unwrap().violations, []);
    }
}

#[test]
fn a_replica_keeps_its_addresses_until_its_set_is_smaller() {
    let mut ledger = ledger();
    let set = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "s", "controller": true}]);
    let first = pod("u1", &set);
    let allocated = add(&mut ledger, &first, "c1", 1_000);
    let object = projected(&first, &allocated, 5);
    let key = Identity::of(&first, Switches::default()).endpoint;
    let mut sweep = Sweep::new(Scope::Cluster, GcSettings::default());
    let judge = |sweep: &mut Sweep, ledger: &mut Memory, at_ms, valid| {
        look(sweep, at_ms, &[], &[], &object);
        sweep.identity(&IdentitySeen { key: key.clone(), at_ms, valid });
        reclaimed(ledger, sweep, at_ms + 1)
    };
    for at_ms in [200_000, 210_000, 220_000] {
        assert_eq!(judge(&mut sweep, &mut ledger, at_ms, true), 0);
    }
    let second = pod("u2", &set);
    let again = add(&mut ledger, &second, "c2", 230_000);
    let addresses = |told: &Allocated| told.addresses.iter().map(|g| g.address).collect::<Vec<_>>();
    assert_eq!(addresses(&again), addresses(&allocated));
    assert!(again.addresses.iter().all(|granted| granted.kept));
    // The slots are at another generation: what was seen before counts for nothing.
    let freed: Vec<_> = [400_000, 410_000, 420_000]
        .into_iter()
        .map(|at_ms| judge(&mut sweep, &mut ledger, at_ms, false))
        .collect();
    assert_eq!(freed, [0, 0, 3]);
    assert_eq!(audit(ledger.view()).unwrap().violations, []);
}
