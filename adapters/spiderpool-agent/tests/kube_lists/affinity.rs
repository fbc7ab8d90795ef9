//! List L: which pods a pool serves, by labels of nodes, namespaces and pods.

use crate::pod::{Pod, addresses, pools};
use crate::room::{NODES, eventually, read};
use crate::seen::{slots_in, slots_of};
use crate::stage::{IPPOOL, Pool, Stage, v4};
use serde_json::{Value, json};

fn labels(key: &str, value: &str) -> Value {
    json!({"matchLabels": {key: value}})
}

fn on(stage: &Stage, name: &str, node: &str, pool: &Pool) -> Pod {
    stage.pod_with(name, node, &[(IPPOOL, v4(&[pool]).to_string())], &json!({}))
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00001_a_node_that_matches() {
    let stage = Stage::open("l00001");
    let zone = labels("topology.kubernetes.io/zone", NODES[1]);
    let pool = stage.pool_with("zone", 2, &json!({"nodeAffinity": zone}));
    let pod = on(&stage, "web", NODES[1], &pool);
    let reply = pod.add("eth0");
    assert_eq!(pools(&reply, "eth0"), std::slice::from_ref(&pool.name));
    let slots = slots_of(&pod);
    assert_eq!(slots.len(), 1, "{slots:?}");
    let slot = &slots[0];
    assert!(addresses(&reply, "eth0")[0].starts_with(&format!("{}/", slot.address)));
    assert_eq!((slot.owner.as_str(), slot.node.as_str()), (&*format!("pod/{}", pod.uid), NODES[1]));
    assert_eq!((slot.pool.as_str(), slot.interface.as_str()), (&*pool.name, "eth0"));
    assert_eq!(slot.container, pod.container);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00002_a_node_that_does_not_match() {
    let stage = Stage::open("l00002");
    let zone = labels("topology.kubernetes.io/zone", NODES[1]);
    let pool = stage.pool_with("zone", 2, &json!({"nodeAffinity": zone}));
    let pod = on(&stage, "web", NODES[0], &pool);
    let told = pod.refused(
        "eth0",
        "its node affinity `topology.kubernetes.io/zone=west` leaves out the node",
    );
    assert_eq!((told.code, told.reason.as_deref()), (Some(100), Some("NoAddress")));
    assert!(told.candidates.is_some());
    assert!(slots_in(&pool.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00003_a_namespace_that_matches() {
    let stage = Stage::annotated("l00003", &[("team", "red".to_owned())], &[]);
    let red = json!({"namespaceAffinity": labels("team", "red")});
    let pool = stage.pool_with("red", 2, &red);
    let pod = stage.pod_of("web", &[&pool]);
    assert_eq!(pools(&pod.add("eth0"), "eth0"), [pool.name]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00004_a_namespace_that_does_not_match() {
    let stage = Stage::annotated("l00004", &[("team", "blue".to_owned())], &[]);
    let red = json!({"namespaceAffinity": labels("team", "red")});
    let pool = stage.pool_with("red", 2, &red);
    let pod = stage.pod_of("web", &[&pool]);
    pod.refused("eth0", "its namespace affinity `team=red` leaves out the namespace");
    assert!(slots_in(&pool.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00005_a_pod_that_matches() {
    let stage = Stage::open("l00005");
    let pool = stage.pool_with("web", 2, &json!({"podAffinity": labels("app", "web")}));
    let notes = [(IPPOOL, v4(&[&pool]).to_string())];
    let pod = stage.pod_with("web", NODES[0], &notes, &json!({"labels": {"app": "web"}}));
    assert_eq!(pools(&pod.add("eth0"), "eth0"), [pool.name]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00006_a_pod_that_does_not_match() {
    let stage = Stage::open("l00006");
    let pool = stage.pool_with("web", 2, &json!({"podAffinity": labels("app", "web")}));
    let notes = [(IPPOOL, v4(&[&pool]).to_string())];
    let pod = stage.pod_with("web", NODES[0], &notes, &json!({"labels": {"app": "other"}}));
    pod.refused("eth0", "its pod affinity `app=web` leaves out the pod");
    assert!(slots_in(&pool.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00007_each_zone_has_its_pool() {
    let mut stage = Stage::open("l00007");
    let zone = |node: &str| json!({"nodeAffinity": labels("topology.kubernetes.io/zone", node)});
    let of_zones = NODES.map(|node| stage.pool_with(node, 2, &zone(node)));
    let all: Vec<_> = of_zones.iter().collect();
    stage.workload("daemonsets", "agent", 0, &[(IPPOOL, v4(&all).to_string())]);
    stage.settle("a pod on each node", NODES.len(), |pod, replies| {
        pools(&replies[0], "eth0") == [format!("l00007-{}", pod.node)]
    });
    for (node, pool) in NODES.iter().zip(&of_zones) {
        let slots = slots_in(&pool.name);
        assert!(slots.len() == 1 && slots[0].node == *node, "{slots:?}");
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00008_a_replica_made_again_keeps_its_address() {
    let mut stage = Stage::open("l00008");
    let pool = stage.pool_with("db", 4, &json!({"podAffinity": labels("app", "db")}));
    stage.workload("statefulsets", "db", 2, &[(IPPOOL, v4(&[&pool]).to_string())]);
    stage.settle("two replicas", 2, |_, _| true);
    let had = |stage: &Stage, name: &str| addresses(&stage.named(name).1[0], "eth0");
    let before = [had(&stage, "db-0"), had(&stage, "db-1")];
    let first = stage.named("db-0").0.clone();
    stage.end(&first);
    let uid = first.uid.clone();
    stage.settle("another db-0", 2, |pod, _| pod.uid != uid);
    assert_eq!([had(&stage, "db-0"), had(&stage, "db-1")], before);
    let slots = slots_in(&pool.name);
    let mut owners: Vec<_> = slots.iter().map(|slot| slot.owner.as_str()).collect();
    owners.sort_unstable();
    assert_eq!(owners, ["identity/l00008/db-0", "identity/l00008/db-1"]);
    let now = &stage.named("db-0").0;
    assert!(slots.iter().any(|slot| slot.pod_uid == now.uid && slot.container == now.container));
    let path = "/apis/spiderpool.spidernet.io/v2beta1/namespaces/l00008/spiderendpoints/db-0";
    eventually("the endpoint of the new pod", || {
        read(path).filter(|endpoint| endpoint["status"]["current"]["uid"] == *now.uid)
    });
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn l00009_many_pools_for_many_namespaces() {
    let team = [("team", "l00009".to_owned())];
    let (one, other) =
        (Stage::annotated("l00009", &team, &[]), Stage::annotated("l00009-b", &team, &[]));
    let shared = json!({"namespaceAffinity": labels("team", "l00009")});
    let [first, second] = ["first", "second"].map(|name| one.pool_with(name, 2, &shared));
    let mut had = Vec::new();
    for (stage, name) in [(&one, "a"), (&other, "b"), (&one, "c"), (&other, "d")] {
        let reply = stage.pod_of(name, &[&first, &second]).add("eth0");
        had.push(pools(&reply, "eth0")[0].clone());
    }
    // The order of the list counts among equals.
    assert_eq!(had, [&first.name, &first.name, &second.name, &second.name].map(Clone::clone));
    one.pod_of("e", &[&first, &second]).refused("eth0", "all its addresses are taken");
}
