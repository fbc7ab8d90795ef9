//! A hundred pods come and go at once: plugins of all of them run at the same time, and meet at what is
//! the node's, which is the store of addresses, the table of ways to pods and its rule.

#![cfg(test)]

use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, Pod, promise};
use std::net::IpAddr;
use std::sync::Barrier;

/// As many as there are addresses in a pool of the laboratory.
const PODS: usize = 100;

/// A second interface has one pod of so many.
const SECOND: usize = 4;

/// A pod with the addresses of its interfaces.
struct Member<'a> {
    pod: Pod<'a>,
    addresses: Vec<IpAddr>,
    nics: Vec<&'static str>,
}

/// Attaches all interfaces of every pod, all pods beginning at the same moment.
fn all_come<'a>(lab: &'a Lab) -> Vec<Member<'a>> {
    let pods: Vec<Pod<'a>> = (0..PODS).map(|_| lab.pod()).collect();
    let networks = [0, 1].map(|net| lab.underlay(net).in_cluster().without("tuning"));
    let start = Barrier::new(PODS);
    let come = |(number, pod): (usize, Pod<'a>)| {
        let nics = if number % SECOND == 0 { vec!["eth0", "net1"] } else { vec!["eth0"] };
        start.wait();
        let attach = |(nic, network)| pod.attach(nic, network);
        let addresses = nics.iter().copied().zip(&networks).flat_map(attach).collect();
        Member { pod, addresses, nics }
    };
    std::thread::scope(|scope| {
        let pods = pods.into_iter().enumerate();
        let threads: Vec<_> = pods.map(|pod| scope.spawn(|| come(pod))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn gone<'a>(member: Member<'a>, start: &Barrier) -> Member<'a> {
    start.wait();
    member.nics.iter().rev().for_each(|nic| member.pod.detach(nic));
    member
}

/// Detaches all interfaces of every pod, all pods beginning at the same moment.
fn all_go(members: Vec<Member<'_>>) -> Vec<Member<'_>> {
    let start = &Barrier::new(PODS);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            members.into_iter().map(|member| scope.spawn(move || gone(member, start))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Every address answers its node; some pods are tried by all that is promised to them.
fn all_are_connected(lab: &Lab, members: &[Member<'_>]) {
    for member in members {
        member.addresses.iter().for_each(|address| lab.node.reaches(*address));
    }
    for member in members.iter().step_by(20) {
        promise::pod_to_node(lab, &member.pod, &member.addresses);
        promise::node_to_pod(lab, &member.pod, &member.addresses);
        promise::answers_outside(lab, &member.pod, &member.addresses);
        member.nics.iter().for_each(|nic| member.pod.check(nic).unwrap());
    }
    for (one, other) in [(0, PODS - 1), (PODS / 2, 1)] {
        promise::pods_meet(&members[one].pod, &members[other].pod, &members[other].addresses);
    }
}

/// What is the node's is there once, and what is a pod's once for each.
fn nothing_is_there_twice(lab: &Lab, members: &[Member<'_>]) {
    let addresses: usize = members.iter().map(|member| member.addresses.len()).sum();
    assert_eq!(addresses, 2 * (PODS + PODS / SECOND));
    assert_eq!(lab.allocated().len(), addresses);
    assert_eq!(lab.records().len(), PODS + PODS / SECOND);
    let mut ways = 0;
    for family in ["-4", "-6"] {
        let rules = lab.node.ip(&format!("{family} rule"));
        assert_eq!(rules.matches("lookup 500").count(), 1, "{rules}");
        let routes = lab.node.ip(&format!("{family} route show table 500"));
        ways += routes.lines().filter(|line| line.contains("dev veth")).count();
    }
    assert_eq!(ways, addresses);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_hundred_pods_come_and_go_at_once() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let members = all_come(&lab);
    nothing_is_there_twice(&lab, &members);
    all_are_connected(&lab, &members);
    let members = all_go(members);
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    for member in &members {
        let links = member.pod.room.ip("-o link");
        assert_eq!(links.lines().count(), 1, "only the loopback stays: {links}");
    }
    // The pods' namespaces are there still: nothing of the node's went because they did.
    before.comes_back_in(&lab.node);
}
