//! Chains come and go: what they leave, what a failure leaves, many at once, and through libcni.

#![cfg(test)]

use serde_json::json;
use spiderpool_chains::pod::Memory;
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, Pod, promise};
use std::net::IpAddr;

const VERSIONS: [&str; 3] = ["0.3.1", "0.4.0", "1.0.0"];

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_chain_leaves_both_namespaces_as_they_were() {
    let lab = Lab::new();
    let pod = lab.pod();
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    for version in VERSIONS {
        let network = |net| lab.underlay(net).in_cluster().without("tuning").version(version);
        for nic in ["eth0", "net1", "net2"].iter().enumerate() {
            pod.attach(nic.1, &network(nic.0));
            assert_eq!(pod.result(nic.1)["cniVersion"], version);
        }
        if version != "0.3.1" {
            ["eth0", "net1", "net2"].iter().for_each(|nic| pod.check(nic).unwrap());
        }
        for nic in ["net2", "net1", "eth0"] {
            pod.detach(nic);
        }
        before[0].comes_back_in(&lab.node);
        before[1].comes_back_in(&pod.room);
        assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_overlay_pod_gets_back_what_was_moved() {
    let lab = Lab::new();
    let pod = lab.pod();
    pod.attach("eth0", &lab.overlay("ptp"));
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let network =
        |net| lab.underlay(net).in_cluster().without("tuning").with("podDefaultRouteNic", "net1");
    pod.attach("net1", &network(0));
    pod.attach("net2", &network(1));
    pod.detach("net2");
    pod.detach("net1");
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn interfaces_may_leave_in_any_order() {
    for order in [["eth0", "net1", "net2"], ["net1", "eth0", "net2"], ["net2", "eth0", "net1"]] {
        let lab = Lab::new();
        let pod = lab.pod();
        let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
        for (net, nic) in ["eth0", "net1", "net2"].iter().enumerate() {
            pod.attach(nic, &lab.underlay(net).in_cluster().without("tuning"));
        }
        order.iter().for_each(|nic| pod.detach(nic));
        before[0].comes_back_in(&lab.node);
        before[1].comes_back_in(&pod.room);
        assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_failed_chain_leaves_nothing() {
    let lab = Lab::new();
    let pod = lab.pod();
    let first = pod.attach("eth0", &lab.underlay(0).in_cluster());
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    // Every plugin before it has done its part when tuning refuses.
    let network = lab.underlay(1).in_cluster().set("tuning", "sysctl", json!({"net.no.such": "1"}));
    let failed = pod.try_attach("net1", &network).unwrap_err();
    assert_eq!(failed.kind, "tuning");
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
    assert_eq!((lab.allocated().len(), lab.records().len()), (2, 1));
    promise::all(&lab, &pod, &first);
    // A gateway that is on no link: the kernel refuses the coordinator's route.
    let routes = json!([{"dst": "203.0.113.0/24", "gw": "192.0.2.1"}]);
    let failed = pod.try_attach("net1", &lab.underlay(1).with("policyRoutes", routes)).unwrap_err();
    assert_eq!(failed.kind, "coordinator");
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
    promise::all(&lab, &pod, &first);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_add_again_changes_nothing() {
    let lab = Lab::new();
    let pod = lab.pod();
    let networks = [0, 1].map(|net| lab.underlay(net).in_cluster());
    let addresses = [pod.attach("eth0", &networks[0]), pod.attach("net1", &networks[1])];
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    for (nic, network) in ["eth0", "net1", "eth0"].iter().zip([0, 1, 0]) {
        let heard = pod.plugin("ADD", nic, &networks[network], "coordinator");
        assert!(heard.is_well(), "{heard:?}");
        before[0].holds_in(&lab.node);
        before[1].holds_in(&pod.room);
    }
    promise::all(&lab, &pod, &addresses.concat());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn pods_that_come_at_once_are_all_connected() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let networks = [0, 1].map(|net| lab.underlay(net).in_cluster());
    let attach = || {
        let pod = lab.pod();
        let eth0 = pod.attach("eth0", &networks[0]);
        let net1 = pod.attach("net1", &networks[1]);
        (pod, [eth0, net1].concat())
    };
    let pods: Vec<(Pod<'_>, Vec<IpAddr>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(attach)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (pod, addresses) in &pods {
        promise::pod_to_node(&lab, pod, addresses);
        promise::node_to_pod(&lab, pod, addresses);
    }
    promise::pods_meet(&pods[0].0, &pods[7].0, &pods[7].1);
    for rules in [lab.node.ip("rule"), lab.node.ip("-6 rule")] {
        assert_eq!(rules.matches("lookup 500").count(), 1, "{rules}");
    }
    std::thread::scope(|scope| {
        for (pod, _) in pods {
            scope.spawn(move || ["net1", "eth0"].iter().for_each(|nic| pod.detach(nic)));
        }
    });
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    before.comes_back_in(&lab.node);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_restarted_runtime_takes_everything_back() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let pod = lab.pod();
    for (net, nic) in ["eth0", "net1"].iter().enumerate() {
        pod.attach(nic, &lab.underlay(net).in_cluster());
    }
    // Neither namespace nor result is known, but the namespace is there still: main plugins leave their
    // interfaces then, and ours finds the pod by what it recorded.
    for nic in ["net1", "eth0"] {
        pod.detach_as(nic, Memory::None);
    }
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    pod.room.delete();
    before.comes_back_in(&lab.node);
}
