//! What real runtimes do to a plugin, each behaviour as it was recorded from containerd and podman.
//!
//! The calls are the real binary's; that containerd and podman themselves are content is the matter
//! of the tiers `go client` and `podman`.

#![cfg(test)]

mod lab;

use lab::ask::Heard;
use lab::{Ask, HERE, Lab};
use serde_json::{Value, json};
use std::fs;

const ANNOTATION: &str = "ipam.spidernet.io/ippools";

fn containerd(lab: &Lab, verb: &str, id: &str) -> Ask {
    Ask::new(verb, lab.conf(&["blue"], &["blue6"])).container(id).netns(HERE).pod("web-0", "u-1")
}

/// Every order of four things.
fn orders(items: [&str; 4]) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new()];
    for item in items {
        all = all
            .iter()
            .flat_map(|list: &Vec<&str>| {
                (0..=list.len()).map(|at| {
                    let mut longer = list.clone();
                    longer.insert(at, item);
                    longer
                })
            })
            .collect();
    }
    all
}

#[test]
fn arguments_come_in_another_order_with_each_call() {
    let lab = Lab::new();
    let pairs = [
        "K8S_POD_INFRA_CONTAINER_ID=c1",
        "K8S_POD_NAMESPACE=default",
        "K8S_POD_NAME=web-0",
        "K8S_POD_UID=u-1",
    ];
    let orders = orders(pairs);
    assert_eq!(orders.len(), 24);
    let answers: Vec<_> = orders
        .iter()
        .map(|order| containerd(&lab, "ADD", "c1").args(&order.join(";")).send())
        .collect();
    assert!(answers.iter().all(|heard| heard.stdout == answers[0].stdout), "{answers:?}");
    assert_eq!(lab.held().len(), 2);
    for order in orders.iter().rev() {
        containerd(&lab, "DEL", "c1").args(&order.join(";")).send().ok();
    }
    lab.is_as_new();
}

#[test]
fn del_is_repeated_without_namespace_and_previous_result() {
    let lab = Lab::new();
    containerd(&lab, "ADD", "c1").send().ok();
    for _ in 0..5 {
        containerd(&lab, "DEL", "c1").netns("").args("").send().ok();
        lab.is_as_new();
    }
}

#[test]
fn a_failed_add_is_followed_at_once_by_del() {
    let lab = Lab::new();
    let unlucky = [
        containerd(&lab, "ADD", "c1").netns("/run/netns/cni-gone"),
        containerd(&lab, "ADD", "c1").pools(&["bleu"], &[]),
        containerd(&lab, "ADD", "c1").annotation(ANNOTATION, &json!("x")),
    ];
    for add in unlucky {
        assert_ne!(add.send().code(), 0);
        add.env("CNI_COMMAND", "DEL").send().ok();
        lab.is_as_new();
    }
}

#[test]
fn a_failing_del_is_retried_until_it_works() {
    let lab = Lab::new();
    containerd(&lab, "ADD", "c1").send().ok();
    let ledger = lab.store_dir().join("ledger.sqlite");
    let aside = lab.path("aside");
    fs::rename(&ledger, &aside).unwrap();
    fs::write(&ledger, "").unwrap();
    for _ in 0..3 {
        containerd(&lab, "DEL", "c1").netns("").send().expect(102);
    }
    fs::rename(&aside, &ledger).unwrap();
    containerd(&lab, "DEL", "c1").netns("").send().ok();
    lab.is_as_new();
}

#[test]
fn annotations_come_with_add_and_with_del() {
    let lab = Lab::new();
    let nics =
        json!([{"interface": "eth0", "ipv4": ["green"]}, {"interface": "net1", "ipv4": ["blue"]}]);
    let call =
        |verb: &str, nic: &str| containerd(&lab, verb, "c1").nic(nic).annotation(ANNOTATION, &nics);
    assert_eq!(call("ADD", "eth0").send().address().to_string(), "10.7.0.10");
    assert_eq!(call("ADD", "net1").send().address().to_string(), "10.6.0.10");
    call("DEL", "net1").send().ok();
    call("DEL", "eth0").send().ok();
    lab.is_as_new();
}

#[test]
fn annotations_of_others_are_passed_over() {
    let lab = Lab::new();
    let add = containerd(&lab, "ADD", "c1").annotation("example.test/notes", &json!({"a": [1]}));
    assert_eq!(
        add.annotation("kubernetes.io/config.source", &json!("api")).send().addresses().len(),
        2
    );
}

#[test]
fn add_and_del_alone_are_a_whole_life() {
    // containerd 1.6 never calls CHECK, GC or STATUS.
    let lab = Lab::new();
    for round in 0..25 {
        let id = format!("c{round}");
        containerd(&lab, "ADD", &id).send().ok();
        containerd(&lab, "DEL", &id).netns("").send().ok();
    }
    lab.is_as_new();
}

#[test]
fn each_answer_is_in_the_version_that_was_asked() {
    let lab = Lab::new();
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let said = |heard: Heard| heard.json()["cniVersion"].clone();
        let add = containerd(&lab, "ADD", "c1").version(version);
        assert_eq!(said(add.send().ok()), Value::from(version));
        assert_eq!(
            said(add.netns("/run/netns/cni-gone").container("c2").send().expect(8)),
            Value::from(version)
        );
    }
}

#[test]
fn a_sandbox_is_made_again_before_the_old_one_goes() {
    let lab = Lab::new();
    let first = containerd(&lab, "ADD", "c1").send().addresses();
    assert_eq!(containerd(&lab, "ADD", "c2").send().addresses(), first);
    for _ in 0..3 {
        containerd(&lab, "DEL", "c1").netns("").send().ok();
        assert_eq!(lab.held().len(), 2);
    }
    containerd(&lab, "DEL", "c2").netns("").send().ok();
    lab.is_as_new();
}

#[test]
fn podman_gives_several_interfaces_without_multus() {
    let lab = Lab::new();
    let call = |verb: &str, nic: &str| {
        let args =
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=b;K8S_POD_NAME=b;K8S_POD_INFRA_CONTAINER_ID=c1";
        containerd(&lab, verb, "c1").nic(nic).args(args).version("0.4.0")
    };
    let addresses: Vec<_> =
        ["eth0", "net1"].iter().flat_map(|nic| call("ADD", nic).send().addresses()).collect();
    assert_eq!(addresses.len(), 4);
    assert_eq!(lab.held().len(), 4);
    for nic in ["net1", "eth0"] {
        call("DEL", nic).send().ok();
    }
    lab.is_as_new();
}
