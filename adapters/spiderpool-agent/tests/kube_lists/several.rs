//! List A, second half: pods with several interfaces.

use crate::pod::{addresses, pools, routes};
use crate::room::eventually;
use crate::seen::{endpoint_nic, slots_in, slots_of};
use crate::stage::{IPPOOLS, Notes, Pool, Stage};
use serde_json::json;

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

/// `ippools` with pools of IPv4 for `eth0` and `net1`.
fn each(first: &Pool, second: &Pool) -> String {
    json!([
        {"interface": "eth0", "ipv4": [first.name]},
        {"interface": "net1", "ipv4": [second.name]},
    ])
    .to_string()
}

/// The same without the interfaces' names.
fn in_order(first: &Pool, second: &Pool) -> String {
    json!([{"ipv4": [first.name]}, {"ipv4": [second.name]}]).to_string()
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00010_both_interfaces_move_to_other_pools() {
    let mut stage = Stage::open("a00010");
    stage.nics = vec!["eth0", "net1"];
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| stage.pool(name, 8));
    stage.workload("deployments", "web", 2, &[(IPPOOLS, each(&a, &b))]);
    stage.settle("two pods", 2, |_, replies| {
        pools(&replies[1], "eth0") == [a.name.clone()]
            && pools(&replies[1], "net1") == [b.name.clone()]
    });
    stage.annotate("deployments", "web", &[(IPPOOLS, each(&c, &d))]);
    stage.settle("two others", 2, |_, replies| {
        pools(&replies[1], "eth0") == [c.name.clone()]
            && pools(&replies[1], "net1") == [d.name.clone()]
    });
    assert_eq!([&a, &b, &c, &d].map(|pool| slots_in(&pool.name).len()), [0, 0, 2, 2]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00011_the_gateway_is_cleaned_where_it_is_said() {
    let stage = Stage::open("a00011");
    let routed = |name: &str| {
        let pool = stage.prefix(name, 4);
        let gateway = json!({"gateway": format!("{}1", pool.base)});
        stage.fill(pool, 2, &gateway)
    };
    let (first, second) = (routed("first"), routed("second"));
    let each = json!([
        {"interface": "eth0", "ipv4": [first.name], "cleangateway": false},
        {"interface": "net1", "ipv4": [second.name], "cleangateway": true},
    ]);
    let pod = stage.pod("web", &[(IPPOOLS, each.to_string())]);
    pod.add("eth0");
    let reply = pod.add("net1");
    assert_eq!(routes(&reply, "eth0"), [format!("0.0.0.0/0 via {}1", first.base)]);
    assert_eq!(routes(&reply, "net1"), [""; 0]);
    assert_eq!(endpoint_nic(&pod, "eth0")["cleanGateway"], false);
    assert_eq!(endpoint_nic(&pod, "net1")["cleanGateway"], true);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00013_an_interface_that_is_not_listed() {
    let stage = Stage::open("a00013");
    let pool = stage.pool("blue", 2);
    let one = json!([{"interface": "eth0", "ipv4": [pool.name]}]).to_string();
    let pod = stage.pod("web", &[(IPPOOLS, one), (NETWORKS, "kube-system/other".to_owned())]);
    pod.add("eth0");
    let told = pod.refused("net1", "but not for the interface `net1`; add it to the list");
    assert_eq!(told.code, Some(101));
    assert_eq!(slots_of(&pod).len(), 1);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00014_an_interface_that_is_listed_twice() {
    let stage = Stage::open("a00014");
    let pool = stage.pool("blue", 2);
    let item = json!({"interface": "eth0", "ipv4": [pool.name]});
    let pod = stage.pod("web", &[(IPPOOLS, json!([item, item]).to_string())]);
    let told = pod.refused("eth0", "item 1 is for the interface `eth0`, as item 0 is; merge them");
    assert_eq!(told.code, Some(7));
    assert!(slots_of(&pod).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00015_patterns_of_each_interface() {
    let stage = Stage::open("a00015");
    let [first, second] = ["first-1", "second-1"].map(|name| stage.pool(name, 2));
    let each = json!([
        {"interface": "eth0", "ipv4": ["a00015-first-*"]},
        {"interface": "net1", "ipv4": ["a00015-sec?nd-[0-9]"]},
    ]);
    let pod = stage.pod("web", &[(IPPOOLS, each.to_string())]);
    let reply = pod.add("eth0");
    assert_eq!(pools(&reply, "eth0"), [first.name]);
    // Every interface of the list is granted by the first ADD.
    assert_eq!(pools(&reply, "net1"), [second.name]);
    assert_eq!(addresses(&pod.add("net1"), "net1"), addresses(&reply, "net1"));
    assert_eq!(slots_of(&pod).len(), 2);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00016_a_full_pool_drains_no_other() {
    let stage = Stage::open("a00016");
    let (wide, narrow) = (stage.pool("wide", 9), stage.pool("narrow", 1));
    let first = stage.pod("first", &[(IPPOOLS, each(&wide, &narrow))]);
    first.add("eth0");
    let second = stage.pod("second", &[(IPPOOLS, each(&wide, &narrow))]);
    for sandbox in 0..5 {
        let mut again = second.clone();
        again.container = format!("{}-{sandbox}", second.container);
        again.refused("eth0", "a00016-narrow: all its addresses are taken");
        again.del("eth0");
    }
    assert!(slots_of(&second).is_empty(), "partial success is never kept");
    assert_eq!(slots_in(&wide.name).len(), 1);
    stage.end(&first);
    first.del("net1");
    second.add("eth0");
    assert_eq!(slots_of(&second).len(), 2);
}

/// What a replica has at its two interfaces.
fn had(stage: &Stage, name: &str) -> [Vec<String>; 2] {
    let (_, replies) = stage.named(name);
    ["eth0", "net1"].map(|nic| addresses(&replies[1], nic))
}

fn both_had(stage: &Stage) -> [[Vec<String>; 2]; 2] {
    ["db-0", "db-1"].map(|name| had(stage, name))
}

/// Changes the annotations of the replicas' template, and waits until all are made again.
fn make_again(stage: &mut Stage, notes: Notes<'_>) {
    let uids: Vec<_> = stage.running().map(|(pod, _)| pod.uid.clone()).collect();
    stage.annotate("statefulsets", "db", notes);
    stage.settle("two others", 2, |pod, _| !uids.contains(&pod.uid));
}

/// Replicas with two interfaces are made, and made again; what they have before and after.
fn restarts(stage: &mut Stage, [a, b]: [&Pool; 2], notes: Notes<'_>) -> [[Vec<String>; 2]; 2] {
    stage.workload("statefulsets", "db", 2, notes);
    stage.settle("two replicas", 2, |_, replies| {
        let expected = [[a.name.clone()], [b.name.clone()]];
        ["eth0", "net1"].map(|nic| pools(&replies[1], nic)) == expected
    });
    let before = both_had(stage);
    make_again(stage, &[("restarted", "now".to_owned())]);
    assert_eq!(both_had(stage), before);
    before
}

/// The replicas' second interfaces have gone from pool `b` to pool `c`.
fn second_moved(stage: &Stage, [a, b, c]: [&Pool; 3], before: [[Vec<String>; 2]; 2]) {
    for (name, before) in ["db-0", "db-1"].into_iter().zip(before) {
        let [first, second] = had(stage, name);
        assert_eq!(first, before[0], "the first interface keeps what it has");
        assert!(second.len() == 1 && c.has(&second[0]), "{second:?}");
    }
    assert_eq!([a, b, c].map(|pool| slots_in(&pool.name).len()), [2, 0, 2]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00017_replicas_with_networks_of_multus() {
    let mut stage = Stage::open("a00017");
    stage.nics = vec!["eth0", "net1"];
    let second = json!({"multusName": ["a00017/second"]});
    let (a, b) = (stage.pool("a", 8), stage.pool_with("b", 8, &second));
    let c = stage.pool_with("c", 8, &second);
    let networks = (NETWORKS, r#"[{"name": "second"}]"#.to_owned());
    let before = restarts(&mut stage, [&a, &b], &[(IPPOOLS, each(&a, &b)), networks]);
    make_again(&mut stage, &[(IPPOOLS, each(&a, &c))]);
    second_moved(&stage, [&a, &b, &c], before);
    let pod = &stage.named("db-0").0;
    eventually("the endpoint shows the new pool", || {
        (endpoint_nic(pod, "net1")["ipv4Pool"] == c.name.clone()).then_some(())
    });
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00018_replicas_with_pools_in_order() {
    let mut stage = Stage::open("a00018");
    stage.nics = vec!["eth0", "net1"];
    let [a, b, c] = ["a", "b", "c"].map(|name| stage.pool(name, 8));
    let before = restarts(&mut stage, [&a, &b], &[(IPPOOLS, in_order(&a, &b))]);
    make_again(&mut stage, &[(IPPOOLS, in_order(&a, &c))]);
    second_moved(&stage, [&a, &b, &c], before);
    // In another order the list says the same.
    let moved = both_had(&stage);
    make_again(&mut stage, &[(IPPOOLS, in_order(&c, &a))]);
    assert_eq!(both_had(&stage), moved);
}
