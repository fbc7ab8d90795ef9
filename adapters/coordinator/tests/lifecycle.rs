//! One life of an attachment after another, by the real plugins in real namespaces: what is reached, what
//! is left, and what is mended.

#![cfg(test)]

mod lab;

use lab::room::ip;
use lab::snapshot::{Snapshot, is_again, settled, snapshot};
use lab::{Node, Pod};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Pod and node reach each other, over both families, and each sees an address of the other's own.
#[track_caller]
fn joined(node: &Node, pod: &Pod<'_>, net: u32) {
    for (node_address, pod_address) in node.addresses(net).into_iter().zip(pod.addresses(net)) {
        pod.room.reaches(node_address);
        node.host.reaches(pod_address);
        assert_eq!(node.host.connects(&pod.room, pod_address), source(node, pod_address));
        // IPv4 speaks from the first interface, IPv6 from whichever address is nearest.
        let expected = if node_address.is_ipv4() { pod.addresses(0)[0] } else { pod_address };
        assert_eq!(pod.room.connects(&node.host, node_address), expected);
    }
}

/// The address that the node sends from to another.
fn source(node: &Node, to: IpAddr) -> IpAddr {
    let answer = node.host.ip(&format!("-json route get {to}"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer[0]["prefsrc"].as_str().unwrap().parse().unwrap()
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_and_its_node_reach_each_other_and_part_without_a_trace() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    // Without the plugin nothing goes between a macvlan and its parent.
    pod.room.does_not_reach(node.addresses(0)[0]);
    let before = snapshot(&node.host, &pod.room);
    let ask = pod.ask("ADD", "eth0", &previous);
    let heard = pod.send(&ask).ok();
    assert_eq!(heard.json(), previous);
    assert_eq!(node.lab.records(), [format!("{}/eth0", pod.container)]);
    joined(&node, &pod, 0);
    for far in node.far_addresses(0) {
        pod.room.reaches(far);
    }
    pod.send(&ask.clone().verb("CHECK")).ok();
    pod.send(&ask.clone().verb("DEL")).ok();
    is_again(&before, (&node.host, &pod.room), "after this");
    assert_eq!(node.lab.records(), Vec::<String>::new());
    pod.room.does_not_reach(node.addresses(0)[0]);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn asking_twice_changes_nothing() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let before = snapshot(&node.host, &pod.room);
    let ask = pod.ask("ADD", "eth0", &previous);
    pod.send(&ask).ok();
    settled([&node.host, &pod.room]);
    let once = snapshot(&node.host, &pod.room);
    let record = std::fs::read(node.lab.record_path(&pod.container, "eth0")).unwrap();
    pod.send(&ask).ok();
    is_again(&once, (&node.host, &pod.room), "after this");
    assert_eq!(std::fs::read(node.lab.record_path(&pod.container, "eth0")).unwrap(), record);
    for _ in 0..2 {
        pod.send(&ask.clone().verb("DEL")).ok();
        is_again(&before, (&node.host, &pod.room), "after this");
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn del_works_with_the_namespace_gone() {
    let node = Node::new();
    let (pod, other) = (node.pod(), node.pod());
    other.attach("eth0", 0);
    let without = node.host.ip("route show table 500");
    let ask = pod.attach("eth0", 0);
    pod.room.delete();
    for netns in [pod.room.path(), String::new()] {
        let del = ask.clone().verb("DEL").netns(netns).without("prevResult");
        pod.send(&del).ok();
    }
    assert_eq!(node.lab.records(), [format!("{}/eth0", other.container)]);
    lab::room::eventually("the end of the pair", || {
        node.host.ip("route show table 500") == without
    });
    joined(&node, &other, 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn del_asks_nobody() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let before = snapshot(&node.host, &pod.room);
    let ask = pod.ask("ADD", "eth0", &previous);
    pod.send(&ask).ok();
    // A runtime that was restarted says container and interface, and no more; the configuration has been
    // spoilt since.
    let bare = ask.verb("DEL").without("prevResult").netns("").set("mode", "?");
    pod.send(&bare).ok();
    is_again(&before, (&node.host, &pod.room), "after this");
    assert_eq!(node.lab.records(), Vec::<String>::new());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn del_works_without_its_record() {
    let node = Node::new();
    let pod = node.pod();
    for damage in [None, Some(""), Some("{\"record\":")] {
        let previous = pod.wire("eth0", 0);
        let ask = pod.ask("ADD", "eth0", &previous);
        pod.send(&ask).ok();
        let record = node.lab.record_path(&pod.container, "eth0");
        match damage {
            None => std::fs::remove_file(&record).unwrap(),
            Some(body) => std::fs::write(&record, body).unwrap(),
        }
        pod.send(&ask.clone().verb("CHECK")).expect(103);
        pod.send(&ask.clone().verb("DEL")).ok();
        assert!(!node.host.ip("-o link").contains("veth"), "{}", node.host.ip("-o link"));
        assert_eq!(node.host.ip("route show table 500"), "");
        assert_eq!(pod.room.ip("rule show pref 1000"), "");
        assert_eq!(node.lab.records(), Vec::<String>::new());
        pod.unwire("eth0", 0);
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_failed_add_leaves_all_as_it_was() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let before = snapshot(&node.host, &pod.room);
    let add = pod.ask("ADD", "eth0", &previous);
    // The rules say no.
    pod.send(&add.clone().set("mode", "overlay")).expect(100);
    pod.send(&add.clone().set("podDefaultRouteNic", "net7").set("podNics", json!(["eth0"])))
        .expect(100);
    // The kernel says no, at every change in turn.
    let mut failures = 0;
    for number in 1.. {
        let trial = format!("error:{number}");
        let ask = add.clone().env("SPIDERPOOL_TESTING", "1").env("SPIDERPOOL_FAULT", trial);
        let heard = pod.send(&ask);
        if heard.code() == 0 {
            break;
        }
        failures += 1;
        let heard = heard.expect(5);
        is_again(&before, (&node.host, &pod.room), &format!("after change {number}: {heard:?}"));
        assert_eq!(node.lab.records(), Vec::<String>::new(), "after change {number}");
    }
    assert!(failures > 10, "only {failures} changes were made");
    joined(&node, &pod, 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn del_survives_one_refusal() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let before = snapshot(&node.host, &pod.room);
    let add = pod.ask("ADD", "eth0", &previous);
    for number in 1..=12 {
        pod.send(&add).ok();
        let trial = format!("error:{number}");
        let del = add.clone().verb("DEL").env("SPIDERPOOL_TESTING", "1");
        pod.send(&del.env("SPIDERPOOL_FAULT", trial)).ok();
        is_again(&before, (&node.host, &pod.room), &format!("after change {number} was refused"));
    }
    assert_eq!(node.lab.records(), Vec::<String>::new());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_record_is_there_before_anything_is_changed() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let before = snapshot(&node.host, &pod.room);
    let add = pod.ask("ADD", "eth0", &previous);
    for number in [1, 2, 5, 9] {
        let trial = format!("kill:{number}");
        let ask = add.clone().env("SPIDERPOOL_TESTING", "1").env("SPIDERPOOL_FAULT", trial);
        assert_eq!(pod.send(&ask).exit, None, "the process is killed");
        assert_eq!(node.lab.records(), [format!("{}/eth0", pod.container)]);
        pod.send(&add.clone().verb("DEL")).ok();
        is_again(&before, (&node.host, &pod.room), &format!("after a kill at change {number}"));
        // Or the runtime asks again.
        assert_eq!(pod.send(&ask).exit, None, "the process is killed");
        pod.send(&add).ok();
        pod.send(&add.clone().verb("CHECK")).ok();
        pod.send(&add.clone().verb("DEL")).ok();
        is_again(&before, (&node.host, &pod.room), "after an ADD again");
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn check_says_what_is_missing_and_another_add_mends_it() {
    let node = Node::new();
    let pod = node.pod();
    let ask = pod.attach("eth0", 0);
    let check = ask.clone().verb("CHECK");
    settled([&node.host, &pod.room]);
    let whole = snapshot(&node.host, &pod.room);
    let pod_address = pod.addresses(0)[0];
    let end = format!("veth{}", &pod.container[..11]);
    let damages: [(&str, &dyn Fn(), &str); 6] = [
        ("the rule for replies", &|| drop(pod.room.ip("rule del pref 1000")), "ip rule add"),
        ("a route", &|| drop(pod.room.ip("route del 169.254.0.0/16")), "169.254.0.0/16"),
        (
            "the marks",
            &|| assert!(pod.room.run("nft", &["flush", "ruleset"]).status.success()),
            "nft ",
        ),
        (
            "the node's route",
            &|| drop(node.host.ip(&format!("route del {pod_address} table 500"))),
            "table 500",
        ),
        (
            "the node's neighbour",
            &|| drop(node.host.ip(&format!("neigh del {pod_address} dev {end}"))),
            "ip neigh",
        ),
        ("the filter", &|| pod.room.sysctl("net/ipv4/conf/all/rp_filter", 1), "rp_filter"),
    ];
    for (what, damage, command) in damages {
        damage();
        let told = pod.send(&check).expect(104).told();
        assert!(told.contains(command), "{what}: {told}");
        pod.send(&ask).ok();
        pod.send(&check).ok();
        is_again(&whole, (&node.host, &pod.room), what);
    }
    joined(&node, &pod, 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_interface_leaves_and_the_other_works() {
    let node = Node::new();
    let pod = node.pod();
    let first = pod.attach("eth0", 0);
    settled([&node.host, &pod.room]);
    let alone = snapshot(&node.host, &pod.room);
    let previous = pod.wire("net1", 1);
    let second = pod.ask("ADD", "net1", &previous);
    pod.send(&second).ok();
    for net in 0..2 {
        joined(&node, &pod, net);
        for (far, own) in node.far_addresses(net).into_iter().zip(pod.addresses(net)) {
            pod.room.reaches(far);
            node.far.reaches(own);
        }
    }
    for ask in [&first, &second] {
        pod.send(&ask.clone().verb("CHECK")).ok();
    }
    pod.send(&second.clone().verb("DEL")).ok();
    pod.send(&first.clone().verb("CHECK")).ok();
    pod.unwire("net1", 1);
    is_again(&alone, (&node.host, &pod.room), "without net1");
    pod.send(&first.clone().verb("CHECK")).ok();
    joined(&node, &pod, 0);
    pod.send(&first.verb("DEL")).ok();
    assert_eq!(node.lab.records(), Vec::<String>::new());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_chosen_hardware_address_is_in_the_result() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let before = snapshot(&node.host, &pod.room);
    let ask = pod.ask("ADD", "eth0", &previous).set("podMACPrefix", "0a:1b");
    let result = pod.send(&ask).ok().json();
    let IpAddr::V4(address) = pod.addresses(0)[0] else { panic!("no IPv4 address") };
    let [a, b, c, d] = address.octets();
    let expected = format!("0a:1b:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
    let of_eth0 = result["interfaces"].as_array().unwrap().iter();
    let macs: Vec<_> = of_eth0.filter(|one| one["name"] == "eth0").map(|one| &one["mac"]).collect();
    assert_eq!(macs, [&json!(expected)]);
    assert!(pod.room.ip("link show eth0").contains(&expected));
    assert!(!node.lab.log().contains("not announced"), "{}", node.lab.log());
    joined(&node, &pod, 0);
    pod.send(&ask.verb("DEL")).ok();
    is_again(&before, (&node.host, &pod.room), "after this");
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_collection_takes_back_what_is_not_listed() {
    let node = Node::new();
    let (a, b, c) = (node.pod(), node.pod(), node.pod());
    let previous = a.wire("eth0", 0);
    let before = snapshot(&node.host, &a.room);
    a.send(&a.ask("ADD", "eth0", &previous)).ok();
    let keeps = b.attach("eth0", 0);
    c.attach("eth0", 0);
    c.room.delete();
    let gc = node.lab.ask("GC", "x").set("cniVersion", "1.1.0");
    // No list says nothing about what is valid: only what is certainly dead goes.
    node.send(lab::PLUGIN, &gc).ok();
    let mut left = [&a, &b].map(|pod| format!("{}/eth0", pod.container));
    left.sort_unstable();
    assert_eq!(node.lab.records(), left);
    let listed = json!([{"containerID": b.container, "ifname": "eth0"}]);
    node.send(
        lab::PLUGIN,
        &gc.clone().set("name", "other").set("cni.dev/valid-attachments", json!([])),
    )
    .ok();
    assert_eq!(node.lab.records(), left, "another network's list is not about these");
    node.send(lab::PLUGIN, &gc.set("cni.dev/valid-attachments", listed)).ok();
    assert_eq!(node.lab.records(), [format!("{}/eth0", b.container)]);
    let of_pod = |held: &Snapshot| -> Vec<String> {
        held.iter().filter(|line| line.starts_with("pod")).cloned().collect()
    };
    assert_eq!(of_pod(&snapshot(&node.host, &a.room)), of_pod(&before));
    b.send(&keeps.verb("CHECK")).ok();
    joined(&node, &b, 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_that_another_program_attached_is_left_in_peace() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    // As the reference leaves a pod: no record, no alias, and routes of the protocol `boot`.
    let end = format!("veth{}", &pod.container[..11]);
    ip(&format!(
        "-n {} link add {end} type veth peer name veth0 netns {}",
        node.host.name, pod.room.name
    ));
    node.host.ip(&format!("link set {end} up"));
    pod.room.ip("link set veth0 up");
    pod.room.ip("route add 172.30.0.2/32 dev veth0 scope link src 172.30.0.100");
    pod.room.ip("rule add pref 1000 fwmark 0x1 lookup 100");
    let ask = pod.ask("CHECK", "eth0", &previous);
    pod.send(&ask).ok();
    assert!(node.lab.log().contains("another program attached it"));
    pod.send(&ask.clone().verb("DEL")).ok();
    assert!(!node.host.ip("-o link").contains(&end), "the pair is gone");
    pod.send(&ask.verb("DEL")).ok();
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn status_is_well_where_everything_is_there() {
    let node = Node::new();
    node.send(lab::PLUGIN, &node.lab.ask("STATUS", "x").set("cniVersion", "1.1.0")).ok();
}
