//! Unmodified CNI plugins of Debian's `containernetworking-plugins` with our binary as their IPAM, in
//! real network namespaces.
//!
//! The plugins run inside a namespace that stands for the host, so that nothing of the machine is
//! touched; both it and the pods go with the test.

#![cfg(test)]

mod lab;

use lab::ask::Heard;
use lab::room::{Room, ip};
use lab::{Ask, Lab, PLUGIN, ten};
use serde_json::{Value, json};
use spiderpool_core::definition::PoolDraft;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where Debian puts the plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// How long the kernel may take to let a packet through: duplicate address detection alone takes a
/// second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host with networks, and the pods on it.
struct Node {
    lab: Lab,
    host: Room,
}

impl Node {
    fn new() -> Self {
        let pool =
            |name: &str, begin: &str, length: &str| -> PoolDraft { ten(name, begin, length) };
        let lab = Lab::with([
            pool("blue", "10.6.0.", "24"),
            pool("blue6", "fd00:6::", "64"),
            pool("green", "10.7.0.", "24"),
            pool("green6", "fd00:7::", "64"),
        ]);
        Self { lab, host: Room::new() }
    }

    /// A link that plugins may take as their master: one end of a pair whose other end is up.
    fn master(&self, name: &str) {
        self.host.ip(&format!("link add {name} type veth peer name {name}-peer"));
        self.host.ip(&format!("link set {name} up"));
        self.host.ip(&format!("link set {name}-peer up"));
    }

    /// A call of a plugin for one interface of a pod, on the pools of that colour.
    fn ask(&self, pod: &Room, nic: &str, (colour, plugin): (&str, &Value)) -> Ask {
        let mut conf = self.lab.conf(&[colour], &[&format!("{colour}6")]);
        for (key, value) in plugin.as_object().unwrap() {
            conf[key] = value.clone();
        }
        conf["name"] = colour.into();
        let ours = Path::new(PLUGIN).parent().unwrap().display();
        let ask = Ask::new("ADD", conf).container(&pod.name).netns(pod.path()).nic(nic);
        ask.pod(&pod.name, &pod.name).env("CNI_PATH", format!("{PLUGINS}:{ours}"))
    }

    fn send(&self, verb: &str, ask: &Ask) -> Heard {
        let ask = ask.clone().env("CNI_COMMAND", verb);
        let lab::ask::Stdin::Conf(conf) = &ask.stdin else { panic!("no configuration") };
        let plugin = format!("{PLUGINS}/{}", conf["type"].as_str().unwrap());
        ask.send_as(self.host.command(&plugin))
    }
}

/// What `probe` gives, as soon as it is true.
fn eventually(what: &str, probe: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !probe() {
        assert!(Instant::now() < end, "{what} did not come about in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// No address is still being probed for, and none was found to be another's.
fn settled(pod: &Room) {
    eventually("the end of duplicate address detection", || {
        pod.ip("-6 addr show tentative").is_empty()
    });
    assert_eq!(pod.ip("-6 addr show dadfailed"), "");
}

fn reaches(from: &Room, to: IpAddr) {
    let to = to.to_string();
    eventually(&format!("an answer from {to}"), || {
        from.run("ping", &["-n", "-c", "1", "-W", "1", &to]).status.success()
    });
}

/// Two pods on one network meet, pass CHECK, fail it when they should, and leave nothing.
fn life(node: &Node, plugin: &Value, version: &str) {
    let (a, b) = (Room::new(), Room::new());
    let asks = [&a, &b].map(|pod| node.ask(pod, "eth0", ("blue", plugin)).version(version));
    let results = asks.each_ref().map(|ask| node.send("ADD", ask).ok());
    for (result, pod) in results.iter().zip([&a, &b]) {
        assert_eq!(result.json()["cniVersion"], version);
        assert_eq!(result.addresses().len(), 2, "{result:?}");
        settled(pod);
    }
    for (from, to) in [(&a, &results[1]), (&b, &results[0])] {
        to.addresses().into_iter().for_each(|address| reaches(from, address));
    }
    let checks = [0, 1].map(|n| asks[n].clone().set("prevResult", results[n].json()));
    for check in &checks {
        node.send("CHECK", check).ok();
    }
    let taken = results[0].json()["ips"][0]["address"].as_str().unwrap().to_owned();
    a.ip(&format!("addr del {taken} dev eth0"));
    let heard = node.send("CHECK", &checks[0]).expect(104);
    assert!(heard.stdout.contains(&taken), "{heard:?}");
    node.send("CHECK", &checks[1]).ok();
    for check in &checks {
        node.send("DEL", check).ok();
        node.send("DEL", check).ok();
    }
    node.lab.is_as_new();
    assert!(!a.ip("-o link").contains("eth0"), "{}", a.ip("-o link"));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn macvlan_pods_meet_and_leave_nothing() {
    for version in ["0.4.0", "1.0.0"] {
        let node = Node::new();
        node.master("m0");
        life(&node, &json!({"type": "macvlan", "master": "m0", "mode": "bridge"}), version);
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn bridge_pods_meet_and_leave_nothing() {
    for version in ["0.4.0", "1.0.0"] {
        let node = Node::new();
        life(&node, &json!({"type": "bridge", "bridge": "br0", "isGateway": true}), version);
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn ptp_pods_meet_and_leave_nothing() {
    for version in ["0.4.0", "1.0.0"] {
        life(&Node::new(), &json!({"type": "ptp"}), version);
    }
}

/// C00007 with real plugins: the second pod finds that the first has an address that another store
/// gives out too, as with a cluster that is not told of ours.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn detection_works_under_plugins_that_make_their_interface_first() {
    for plugin in [
        json!({"type": "macvlan", "master": "m0", "mode": "bridge"}),
        json!({"type": "bridge", "bridge": "br0"}),
    ] {
        let (node, stranger) = (Node::new(), Lab::new());
        node.master("m0");
        let (a, b) = (Room::new(), Room::new());
        let first = node.ask(&a, "eth0", ("blue", &plugin));
        let first =
            node.send("ADD", &first.ipam("store_path", stranger.store_dir().to_str().unwrap()));
        let taken = first.ok().addresses();
        settled(&a);
        let ask = node.ask(&b, "eth0", ("blue", &plugin)).ipam("enableIPConflictDetection", true);
        let given = node.send("ADD", &ask).ok().addresses();
        let begins: Vec<_> = given.iter().map(ToString::to_string).collect();
        assert_eq!(begins, ["10.6.0.11", "fd00:6::11"], "{}", node.lab.log());
        taken.into_iter().for_each(|address| reaches(&b, address));
        given.into_iter().for_each(|address| reaches(&a, address));
        node.send("DEL", &ask).ok();
        assert_eq!(node.lab.held().len(), 0);
    }
}

/// C00009 with a real plugin: the DEL that the runtime sends then takes the interface away.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_macvlan_pod_whose_gateway_is_dead_is_refused() {
    let node = Node::new();
    node.master("m0");
    let pod = Room::new();
    let ask = node.ask(&pod, "eth0", ("blue", &json!({"type": "macvlan", "master": "m0"})));
    let ask = ask.ipam("enableGatewayDetection", true);
    let heard = node.send("ADD", &ask).expect(106);
    assert!(heard.stdout.contains("gateway 10.6.0.1 is unreachable"), "{heard:?}");
    node.lab.is_as_new();
    node.send("DEL", &ask).ok();
    node.lab.is_as_new();
    assert!(!pod.ip("-o link").contains("eth0"), "{}", pod.ip("-o link"));
    node.host.ip("address add 10.6.0.1/24 dev m0-peer");
    node.host.ip("address add fd00:6::1/64 dev m0-peer nodad");
    node.send("ADD", &ask).ok();
    settled(&pod);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn ptp_makes_its_interface_later_and_is_not_asked_on() {
    let node = Node::new();
    let pod = Room::new();
    let ask = node.ask(&pod, "eth0", ("blue", &json!({"type": "ptp"})));
    node.send("ADD", &ask.ipam("enableIPConflictDetection", true)).ok();
    assert!(node.lab.log().contains("no detection on `eth0`"), "{}", node.lab.log());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_on_two_networks_meets_both() {
    let node = Node::new();
    node.master("m0");
    node.master("n0");
    let nets = ["m0", "n0"].map(|master| json!({"type": "macvlan", "master": master}));
    let [first, second] = &nets;
    let (a, b, c) = (Room::new(), Room::new(), Room::new());
    // The pod says which pools each of its interfaces has; what the networks name is not asked.
    let wish = json!([
        {"interface": "eth0", "ipv4": ["blue"], "ipv6": ["blue6"], "cleangateway": false},
        {"interface": "net1", "ipv4": ["green"], "ipv6": ["green6"], "cleangateway": true},
    ]);
    let of_pod =
        |nic: &str, net| node.ask(&a, nic, net).annotation("ipam.spidernet.io/ippools", &wish);
    let asks = [
        of_pod("eth0", ("blue", first)),
        of_pod("net1", ("green", second)),
        node.ask(&b, "eth0", ("blue", first)),
        node.ask(&c, "eth0", ("green", second)),
    ];
    let results = asks.each_ref().map(|ask| node.send("ADD", ask).ok());
    assert_eq!(node.lab.held().len(), 8);
    [&a, &b, &c].into_iter().for_each(settled);
    for to in [&results[2], &results[3]] {
        to.addresses().into_iter().for_each(|address| reaches(&a, address));
    }
    results[0].addresses().into_iter().for_each(|address| reaches(&b, address));
    results[1].addresses().into_iter().for_each(|address| reaches(&c, address));
    let default = a.ip("route show default");
    assert!(default.contains("10.6.0.1 dev eth0") && !default.contains("net1"), "{default}");
    for (ask, result) in asks.iter().zip(&results) {
        node.send("CHECK", &ask.clone().set("prevResult", result.json())).ok();
    }
    // A runtime that was restarted knows neither namespace nor result any more.
    for ask in &asks[..2] {
        node.send("DEL", &ask.clone().netns("").args("")).ok();
    }
    assert_eq!(node.lab.held().len(), 4);
    for ask in &asks[2..] {
        node.send("DEL", ask).ok();
    }
    node.lab.is_as_new();
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_add_that_cannot_end_well_leaves_nothing() {
    let node = Node::new();
    let pod = Room::new();
    // macvlan asks for addresses only after it has made its interface; this master is not there.
    let ask = node.ask(&pod, "eth0", ("blue", &json!({"type": "macvlan", "master": "m404"})));
    assert_ne!(node.send("ADD", &ask).exit, Some(0));
    node.lab.is_as_new();
    // A namespace of the name of a pod that is there already.
    let taken = node.ask(&pod, "eth0", ("blue", &json!({"type": "ptp"})));
    ip(&format!("-n {} link add eth0 type bridge", pod.name));
    assert_ne!(node.send("ADD", &taken).exit, Some(0));
    node.lab.is_as_new();
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn check_notices_an_address_that_another_host_has() {
    let lab = Lab::new();
    let (a, b) = (Room::new(), Room::new());
    ip(&format!("-n {} link add eth0 type veth peer name eth0 netns {}", a.name, b.name));
    for room in [&a, &b] {
        room.ip("link set eth0 up");
    }
    let add = lab.add("c1").pools(&[], &["blue6"]).netns(b.path());
    let address = add.send().address();
    a.ip(&format!("addr add {address}/64 dev eth0"));
    settled(&a);
    b.ip(&format!("addr add {address}/64 dev eth0"));
    eventually("a failure of duplicate address detection", || {
        !b.ip("-6 addr show dadfailed").is_empty()
    });
    let heard = add.env("CNI_COMMAND", "CHECK").send().expect(104);
    assert!(heard.stdout.contains("another host answers"), "{heard:?}");
}
