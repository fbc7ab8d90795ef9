//! Detection by an agent's word, in real network namespaces: the interface is there, down and without an
//! address, as macvlan leaves it.

use crate::fake::{Fake, Said, Seen};
use crate::lab::room::Room;
use crate::lab::{Ask, Lab};
use crate::talk::{ask, ip, socket, well};
use serde_json::{Value, json};
use std::net::IpAddr;

/// The MAC of whoever is on the other end of the cable.
const OTHER: &str = "02:00:00:00:00:07";

/// A pod with an interface that is down, what is on the other end of its cable, and an agent.
struct Site {
    lab: Lab,
    pod: Room,
    other: Room,
    agent: Fake,
}

impl Site {
    fn new(script: impl FnMut(&Seen) -> Said + Send + 'static) -> Self {
        let (lab, pod, other) = (Lab::bare(), Room::new(), Room::new());
        pod.ip(&format!(
            "link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address {OTHER} netns {}",
            other.name
        ));
        other.ip("link set eth0 up");
        let agent = Fake::new(&socket(&lab), script);
        Self { lab, pod, other, agent }
    }

    fn other_has(&self, nets: &[&str]) {
        for net in nets {
            self.other.ip(&format!("address add {net} dev eth0 nodad"));
        }
    }

    fn add(&self) -> Ask {
        ask(&self.lab, "ADD").netns(self.pod.path())
    }

    fn body(&self, at: usize) -> Value {
        serde_json::from_slice(&self.agent.seen()[at].body).unwrap()
    }
}

/// Grants `10.6.0.10`, then `.11` and so on, each to be asked about, and takes every report with `outcome`.
fn one_after_another(outcome: Value) -> impl FnMut(&Seen) -> Said + Send + 'static {
    let mut next = 10;
    move |seen| match seen.call.as_str() {
        "POST /v1/ipam/ip" => {
            let mut one = ip("eth0", &format!("10.6.0.{next}/24"), next);
            one["enableIPConflictDetection"] = json!(true);
            next += 1;
            well(&json!({"apiVersion": 2, "ips": [one]}))
        }
        "POST /v1/ipam/conflict" => well(&outcome),
        _ => well(&json!({})),
    }
}

fn quarantined() -> Value {
    json!({"apiVersion": 2, "outcome": "Quarantined"})
}

const IP: &str = "POST /v1/ipam/ip";
const CONFLICT: &str = "POST /v1/ipam/conflict";
const BACK: &str = "DELETE /v1/ipam/ips";

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_conflict_is_reported_with_its_generation_and_another_taken() {
    let site = Site::new(one_after_another(quarantined()));
    site.other_has(&["10.6.0.10/24"]);
    let expected: IpAddr = "10.6.0.11".parse().unwrap();
    assert_eq!(site.add().send().address(), expected);
    assert_eq!(site.agent.calls(), [IP, CONFLICT, IP]);
    let mut report = site.body(1);
    assert!(report["deadlineMs"].as_u64().unwrap() > 0);
    report["deadlineMs"] = json!(null);
    assert_eq!(
        report,
        json!({"containerID": "c1", "ifName": "eth0", "podNamespace": "default", "podName": "web-0",
            "podUID": "u-1", "space": "default", "address": "10.6.0.10", "generation": 10, "mac": OTHER,
            "apiVersion": 2, "deadlineMs": null})
    );
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn another_address_is_asked_for_at_most_twice() {
    let site = Site::new(one_after_another(quarantined()));
    site.other_has(&["10.6.0.10/24", "10.6.0.11/24", "10.6.0.12/24"]);
    let heard = site.add().send().expect(105);
    assert!(heard.stdout.contains("10.6.0.12 is located at"), "{heard:?}");
    assert_eq!(site.agent.calls(), [IP, CONFLICT, IP, CONFLICT, IP, CONFLICT, BACK]);
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_outcome_that_keeps_the_address_ends_the_add() {
    for outcome in ["Static", "Spared", "Teleported"] {
        let said = json!({"apiVersion": 2, "outcome": outcome, "reason": "because of that"});
        let site = Site::new(one_after_another(said));
        site.other_has(&["10.6.0.10/24"]);
        let heard = site.add().send().expect(105);
        assert!(heard.stdout.contains("because of that"), "{heard:?}");
        assert_eq!(site.agent.calls(), [IP, CONFLICT, BACK], "{outcome}");
    }
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_older_agent_gets_no_report() {
    let site = Site::new(|seen| match seen.call.as_str() {
        IP => {
            let one = json!({"version": 4, "address": "10.6.0.10/24", "nic": "eth0",
                "enableIPConflictDetection": true});
            well(&json!({"ips": [one]}))
        }
        _ => well(&json!({})),
    });
    site.other_has(&["10.6.0.10/24"]);
    let heard = site.add().send().expect(105);
    assert!(heard.stdout.contains("takes no reports"), "{heard:?}");
    assert_eq!(site.agent.calls(), [IP, BACK]);
}

/// The agent says of each address what is to be asked; the network's own switches do not count.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn the_agent_says_what_is_asked() {
    let site = Site::new(|_| {
        let mut six = ip("eth0", "fd00:6::10/64", 1);
        six["enableGatewayDetection"] = json!(true);
        well(&json!({"apiVersion": 2, "ips": [ip("eth0", "10.6.0.10/24", 1), six]}))
    });
    // The IPv4 address is another's, and its gateway is silent: neither is asked about.
    site.other_has(&["10.6.0.10/24", "fd00:6::1/64"]);
    let ask = site.add().ipam("enableIPConflictDetection", true);
    assert_eq!(ask.ipam("enableGatewayDetection", true).send().addresses().len(), 2);
    site.other.ip("address del fd00:6::1/64 dev eth0");
    let heard = site.add().send().expect(106);
    assert!(heard.stdout.contains("gateway fd00:6::1 is unreachable"), "{heard:?}");
    assert_eq!(site.agent.calls(), [IP, IP, BACK]);
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_agent_that_wants_nothing_asked_leaves_the_wire_alone() {
    let site =
        Site::new(|_| well(&json!({"apiVersion": 2, "ips": [ip("eth0", "10.6.0.10/24", 1)]})));
    site.other_has(&["10.6.0.10/24"]);
    site.add().ipam("enableIPConflictDetection", true).send().ok();
    assert!(site.pod.ip("link show eth0").contains("state DOWN"));
}
