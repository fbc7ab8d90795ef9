//! What the resident repair loop will do, as a function: a pod is looked at, compared, and mended, also
//! when its node has changed.

#![cfg(test)]

mod lab;

use lab::{Node, Pod};
use spiderpool_host::attachment::{Records, Renewed, repair};
use std::time::{Duration, Instant};

/// Mends a pod from inside its node, as an agent would; without a path it finds the pod by its records.
#[track_caller]
fn mended(node: &Node, pod: &Pod<'_>) -> Vec<Renewed> {
    let records = Records::at(node.lab.path("state"));
    let until = Instant::now() + Duration::from_secs(30);
    node.host.inside(|| repair(&records, &pod.container, None, until)).unwrap()
}

fn steps(renewed: &[Renewed]) -> usize {
    renewed.iter().map(|one| one.plan.steps.len()).sum()
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn what_is_as_it_should_be_is_left_alone() {
    let node = Node::new();
    let pod = node.pod();
    pod.attach("eth0", 0);
    pod.attach("net1", 1);
    let renewed = mended(&node, &pod);
    assert_eq!((renewed.len(), steps(&renewed)), (2, 0), "{renewed:?}");
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn what_somebody_removed_is_mended() {
    let node = Node::new();
    let pod = node.pod();
    let asks = [pod.attach("eth0", 0), pod.attach("net1", 1)];
    assert!(pod.room.run("nft", &["flush", "ruleset"]).status.success());
    pod.room.ip("rule del pref 1000");
    node.host.ip("route flush table 500");
    pod.room.ip("route flush table 101");
    assert!(steps(&mended(&node, &pod)) >= 5);
    for ask in asks {
        pod.send(&ask.verb("CHECK")).ok();
    }
    assert_eq!(steps(&mended(&node, &pod)), 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn addresses_of_the_node_are_followed() {
    let node = Node::new();
    let pod = node.pod();
    let ask = pod.attach("eth0", 0);
    let late = ["172.30.0.77", "fd30::77"].map(|text| text.parse().unwrap());
    node.host.ip("addr add 172.30.0.77/24 dev up0");
    node.host.ip("addr add fd30::77/64 dev up0 nodad");
    pod.room.does_not_reach(late[0]);
    mended(&node, &pod);
    late.into_iter().for_each(|address| pod.room.reaches(address));
    pod.send(&ask.clone().verb("CHECK")).ok();
    // The address that was the gateway goes; the other one takes its place.
    node.host.ip("addr del 172.30.0.2/24 dev up0");
    node.host.ip("addr replace 172.30.0.77/24 dev up0");
    mended(&node, &pod);
    assert!(!pod.room.ip("route show").contains("172.30.0.2 "), "{}", pod.room.ip("route show"));
    pod.room.reaches(late[0]);
    node.host.reaches(pod.addresses(0)[0]);
    pod.send(&ask.verb("CHECK")).ok();
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_that_is_gone_is_no_work() {
    let node = Node::new();
    let pod = node.pod();
    pod.attach("eth0", 0);
    pod.room.delete();
    assert_eq!(mended(&node, &pod).len(), 0);
}
