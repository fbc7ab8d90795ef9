//! Detection of conflicts and gateways during ADD, in real network namespaces.
//!
//! The plugin is called as macvlan calls it: the pod's interface is there, down and without an
//! address. Names C00007 and so on are those of the reference's end-to-end list.

#![cfg(test)]

mod lab;

use lab::ask::Heard;
use lab::room::Room;
use lab::{Ask, Lab, name, range, ten};
use serde_json::json;
use spiderpool_core::command::{Claim, Command, Conflict, Place};
use spiderpool_core::moment::Moment;
use spiderpool_netlink::RunError;
use spiderpool_store::Extra;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The MAC of whoever is on the other end of the cable.
const OTHER: &str = "02:00:00:00:00:07";

/// A pod with an interface that is down, and what is on the other end of its cable.
struct Site {
    lab: Lab,
    pod: Room,
    other: Room,
}

impl Site {
    fn new() -> Self {
        Self::with(Lab::new())
    }

    fn with(lab: Lab) -> Self {
        let (pod, other) = (Room::new(), Room::new());
        pod.ip(&format!(
            "link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address {OTHER} netns {}",
            other.name
        ));
        other.ip("link set eth0 up");
        Self { lab, pod, other }
    }

    fn other_has(&self, nets: &[&str]) {
        for net in nets {
            self.other.ip(&format!("address add {net} dev eth0 nodad"));
        }
    }

    /// Sets a sysctl below `net` on the other end.
    fn other_sets(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/net/{key}");
        let written: Result<(), RunError<std::io::Error>> =
            self.other.namespace().run(|_| std::fs::write(&path, value));
        written.unwrap();
    }

    /// An ADD of both families.
    fn add(&self, container: &str) -> Ask {
        let ask = self.lab.add(container).netns(self.pod.path());
        ask.pools(&["blue"], &["blue6"]).pod("web-0", "uid-1")
    }

    /// One that asks for conflicts only.
    fn wary(&self, container: &str) -> Ask {
        self.add(container).ipam("enableIPConflictDetection", true)
    }

    fn log_has(&self, text: &str) {
        let log = self.lab.log();
        assert!(log.contains(text), "no `{text}` in {log}");
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn says(heard: &Heard, texts: &[&str]) {
    for text in texts {
        assert!(heard.stdout.contains(text), "no `{text}` in {heard:?}");
    }
}

/// C00007, C00018: a stateless pod's conflicting addresses are put in quarantine, and it gets
/// others in the same ADD.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_conflicting_address_is_put_in_quarantine_and_another_given() {
    let site = Site::new();
    site.other_has(&["10.6.0.10/24", "fd00:6::10/64"]);
    let got = site.wary("c1").send().addresses();
    assert_eq!(got, [address("10.6.0.11"), address("fd00:6::11")]);
    site.log_has(&format!("10.6.0.10 is located at {OTHER}"));
    site.log_has(&format!("fd00:6::10 is located at {OTHER}"));
    assert!(site.lab.audit().is_clean());
    // Nobody else is given them either, asked or not.
    let next = site.lab.add("c2").pools(&["blue"], &["blue6"]).pod("web-1", "uid-2");
    assert_eq!(next.send().addresses(), [address("10.6.0.12"), address("fd00:6::12")]);
}

/// C00019: a static identity keeps its address, and the ADD says who has it.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_static_identity_keeps_a_conflicting_address_and_fails() {
    let site = Site::new();
    site.other_has(&["10.6.0.10/24"]);
    let ask = site.wary("c1").pools(&["blue"], &[]).ipam("owner", "name");
    let heard = ask.send().expect(105);
    says(&heard, &["10.6.0.10 is located at", OTHER, "static identity", "default/web-0"]);
    assert_eq!(site.lab.held().len(), 1, "it waits for its next pod");
    site.other.ip("address del 10.6.0.10/24 dev eth0");
    assert_eq!(ask.container("c2").send().address(), address("10.6.0.10"));
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_pod_is_given_another_address_at_most_twice() {
    let site = Site::new();
    site.other_has(&["10.6.0.10/24", "10.6.0.11/24", "10.6.0.12/24"]);
    let ask = site.wary("c1").pools(&["blue"], &[]);
    let heard = ask.send().expect(105);
    says(&heard, &["10.6.0.12 is located at", OTHER]);
    site.lab.is_as_new();
    assert_eq!(ask.send().address(), address("10.6.0.13"));
}

/// An address whose quarantine is over is given when nothing else is left, and is asked about like
/// any other; if it is taken still, it is in quarantine for twice as long.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_address_whose_quarantine_is_over_is_probed_again() {
    let site = Site::with(Lab::with([range("blue", "10.6.0.", "24", "10", "10")]));
    site.other_has(&["10.6.0.10/24"]);
    site.lab.add("c1").pools(&["blue"], &[]).send().ok();
    // Long ago, somebody answered for it.
    let place = Place { space: name("default"), address: address("10.6.0.10") };
    let generation = {
        let view = site.lab.store().load_all().unwrap();
        view.allocations().unwrap().map(|found| found.allocation.generation).next().unwrap()
    };
    let conflict = Conflict { claim: Claim { place, generation }, mac: [2, 0, 0, 0, 0, 7] };
    let long_ago = Moment { now_ms: 1, seed: 1 };
    let store = site.lab.store();
    store.execute(&Command::Conflict(conflict), long_ago, &Extra::default()).unwrap();
    drop(store);
    let ask = |container: &str| site.wary(container).pools(&["blue"], &[]);
    let heard = ask("c2").send().expect(100);
    site.log_has("10.6.0.10 is located at");
    says(&heard, &["quarantine"]);
    // It is free by now, but in quarantine again.
    site.other.ip("address del 10.6.0.10/24 dev eth0");
    ask("c3").send().expect(100);
    assert!(site.lab.held().is_empty() && site.lab.audit().is_clean());
}

/// A router with proxy ARP answers for everything: after a few addresses of one MAC there is no more
/// quarantine, and the reason says so.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_proxy_arp_router_is_reported_and_ends_quarantine() {
    let site = Site::with(Lab::with([range("blue", "10.6.0.", "24", "10", "250")]));
    // Linux's own proxy ARP leaves probes alone, other routers' does not: this one has it all.
    site.other.ip("route add local 10.6.0.0/24 dev lo");
    let ask = |container: &str| site.wary(container).pools(&["blue"], &[]);
    ask("c1").send().expect(105);
    let heard = ask("c2").send().expect(105);
    says(&heard, &["proxy ARP", OTHER, "4 addresses"]);
    ask("c3").send().expect(105);
    site.lab.is_as_new();
    // Three are in quarantine, and it stays at that.
    let free = site.lab.add("c4").pools(&["blue"], &[]).send().address();
    assert_eq!(free, address("10.6.0.13"));
}

/// C00009.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_unreachable_gateway_fails_the_add_and_leaves_nothing() {
    for (v4, v6, gateway) in
        [(&["blue"][..], &[][..], "10.6.0.1"), (&[][..], &["blue6"][..], "fd00:6::1")]
    {
        let site = Site::new();
        let ask = site.add("c1").pools(v4, v6).ipam("enableGatewayDetection", true);
        let heard = ask.send().expect(106);
        says(&heard, &[&format!("gateway {gateway} is unreachable")]);
        site.lab.is_as_new();
        site.other_has(&["10.6.0.1/24", "fd00:6::1/64"]);
        ask.send().ok();
        ask.ipam("enableIPConflictDetection", true).container("c2").send().ok();
    }
}

/// #4475, #4582: a gateway is asked only from an address that is free, and never from the conflicting
/// one.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_conflict_is_told_before_a_gateway() {
    let site = Site::new();
    site.other_has(&["10.6.0.10/24", "fd00:6::1/64"]);
    let ask = site.wary("c1").ipam("enableGatewayDetection", true);
    let heard = ask.send().expect(106);
    says(&heard, &["gateway 10.6.0.1 is unreachable from 10.6.0.11"]);
    site.log_has("10.6.0.10 is located at");
    site.lab.is_as_new();
    let cached = site.other.ip("neighbour show dev eth0");
    assert!(!cached.contains("10.6.0.10 "), "{cached}");
}

/// #4650: the interface was set up before it had an address, so its kernel announces nothing.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn neighbours_learn_of_a_reused_address() {
    let site = Site::new();
    site.other_has(&["10.6.0.1/24", "fd00:6::1/64"]);
    for old in ["10.6.0.10", "fd00:6::10"] {
        site.other
            .ip(&format!("neighbour replace {old} lladdr 02:99:99:99:99:99 dev eth0 nud stale"));
    }
    site.wary("c1").send().ok();
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let cached = site.other.ip("neighbour show dev eth0");
        let learnt = |one: &str| {
            cached.lines().any(|line| line.starts_with(one) && line.contains("02:00:00:00:00:01"))
        };
        if learnt("10.6.0.10 ") && learnt("fd00:6::10 ") {
            break;
        }
        assert!(Instant::now() < end, "{cached}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_interface_that_is_made_later_is_not_asked_on() {
    let lab = Lab::new();
    let pod = Room::new();
    let ask = lab.add("c1").netns(pod.path()).ipam("enableIPConflictDetection", true);
    ask.ipam("enableGatewayDetection", true).send().ok();
    assert!(lab.log().contains("it is made only after IPAM"), "{}", lab.log());
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_address_on_the_interface_is_its_own() {
    let site = Site::new();
    site.pod.ip("address add 10.6.0.10/24 dev eth0");
    let ask = site.add("c1").pools(&["blue"], &[]).ipam("enableGatewayDetection", true);
    assert_eq!(ask.send().address(), address("10.6.0.10"));
    site.log_has("it carries its addresses already");
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_interface_without_carrier_gets_no_address_and_leaves_none() {
    let site = Site::new();
    site.other.ip("link set eth0 down");
    let start = Instant::now();
    let heard = site.wary("c1").ipam("timeout_seconds", 2).send().expect(11);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    says(&heard, &["has no carrier"]);
    site.lab.is_as_new();
}

/// #3359: with two interfaces, each one's own gateway is asked, on that interface.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn each_interface_asks_its_own_gateway() {
    let site = Site::new();
    site.other_has(&["10.6.0.1/24"]);
    let green = Room::new();
    site.pod.ip(&format!("link add net1 type veth peer name eth0 netns {}", green.name));
    green.ip("link set eth0 up");
    let wish = json!([
        {"interface": "eth0", "ipv4": ["blue"]},
        {"interface": "net1", "ipv4": ["green"]},
    ]);
    let ask = site.add("c1").annotation("ipam.spidernet.io/ippools", &wish);
    let ask = ask.ipam("enableGatewayDetection", true).ipam("enableIPConflictDetection", true);
    assert_eq!(ask.send().address(), address("10.6.0.10"));
    let heard = ask.clone().nic("net1").send().expect(106);
    says(&heard, &["gateway 10.7.0.1 is unreachable from 10.7.0.10"]);
    assert_eq!(site.lab.held().len(), 1, "the first interface keeps what it has");
    green.ip("address add 10.7.0.1/24 dev eth0");
    assert_eq!(ask.nic("net1").send().address(), address("10.7.0.10"));
}

/// The first ADD of a pod allocates for every interface that its annotation names.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn an_add_that_fails_leaves_nothing_of_the_other_interfaces_either() {
    let site = Site::new();
    let wish = json!([
        {"interface": "eth0", "ipv4": ["blue"]},
        {"interface": "net1", "ipv4": ["green"]},
    ]);
    let ask = site.add("c1").annotation("ipam.spidernet.io/ippools", &wish);
    ask.ipam("enableGatewayDetection", true).send().expect(106);
    site.lab.is_as_new();
}

/// A later interface's conflict is settled without touching what an earlier one has.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_conflict_on_the_second_interface_leaves_the_first_alone() {
    let site = Site::new();
    let green = Room::new();
    site.pod.ip(&format!("link add net1 type veth peer name eth0 netns {}", green.name));
    green.ip("link set eth0 up");
    green.ip("address add 10.7.0.10/24 dev eth0");
    let wish = json!([
        {"interface": "eth0", "ipv4": ["blue"]},
        {"interface": "net1", "ipv4": ["green"]},
    ]);
    let ask = site.wary("c1").annotation("ipam.spidernet.io/ippools", &wish);
    assert_eq!(ask.send().address(), address("10.6.0.10"));
    assert_eq!(ask.clone().nic("net1").send().address(), address("10.7.0.11"));
    let held: Vec<_> = site.lab.held().into_keys().collect();
    assert_eq!(held, [address("10.6.0.10"), address("10.7.0.11")]);
    assert!(site.lab.audit().is_clean());
}

/// PR #3584: gateways that answer no echo request answer ARP and neighbour solicitations.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_gateway_that_answers_no_ping_is_reachable() {
    let site = Site::new();
    site.other_has(&["10.6.0.1/24", "fd00:6::1/64"]);
    for key in ["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"] {
        site.other_sets(key, "1");
    }
    site.add("c1").ipam("enableGatewayDetection", true).send().ok();
}

/// Off by default: nothing is asked, and the interface stays as it was.
#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn without_detection_the_wire_is_left_alone() {
    let site = Site::new();
    site.other_has(&["10.6.0.10/24"]);
    let got = site.add("c1").send().addresses();
    assert_eq!(got, [address("10.6.0.10"), address("fd00:6::10")]);
    assert!(site.pod.ip("link show eth0").contains("state DOWN"));
}

#[test]
fn bad_paces_are_refused() {
    let lab = Lab::with([ten("blue", "10.6.0.", "24")]);
    for key in ["conflict_probes", "conflict_wait_ms", "gateway_tries", "gateway_wait_ms"] {
        lab.add("c1").ipam(key, 0).send().expect(6);
    }
    lab.add("c1").ipam("conflict_wait_ms", -1).send().expect(6);
    lab.add("c1").ipam("enableGatewayDetection", "yes").send().expect(6);
    lab.is_as_new();
}
