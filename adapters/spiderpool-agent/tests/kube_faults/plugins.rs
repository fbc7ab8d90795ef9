//! The real CNI plugins as a runtime calls them: Debian's main plugins, our IPAM plugin and coordinator,
//! and the agent behind their socket.
//!
//! Two nodes are namespaces whose uplinks meet in a switch; pods get interfaces on the uplinks. Agents run
//! outside of them, as nothing of theirs depends on the node's network.

use crate::daemon::{Daemon, Sandbox};
use crate::ground::{APIS, Ground};
use serde_json::{Value, json};
use spiderpool_chains::call::{Call, Heard, PLUGINS, our_programs};
use spiderpool_chains::{Room, eventually};
use spiderpool_core::slots::Slot;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What the cluster wants hijacked: only the agent can have told a coordinator.
const HIJACKED: &str = "10.77.0.0/16";

/// Two nodes on one network.
struct Site {
    ground: Ground,
    switch: Room,
    nodes: Vec<Node>,
}

struct Node {
    name: &'static str,
    room: Room,
    agent: Daemon,
}

/// A pod's namespace and who it is.
struct Pod {
    room: Room,
    sandbox: Sandbox,
}

impl Site {
    /// Nodes `a` and `b`; `more` is in their agents' configuration.
    fn new(story: &'static str, net: u8, more: &Value) -> Self {
        let ground = Ground::new(story, net);
        let switch = Room::new("switch");
        switch.ip("link add br0 type bridge mcast_snooping 0");
        switch.ip("link set br0 up");
        let node = |name| {
            let room = Room::new(name);
            let way = ground.node(name).kubeconfig;
            let agent = Daemon::new(story, name, &way, more);
            agent.launch();
            Node { name, room, agent }
        };
        let nodes = vec![node("a"), node("b")];
        let site = Self { ground, switch, nodes };
        for (number, node) in (2..).zip(&site.nodes) {
            site.plug(&node.room, number);
        }
        site.nodes.iter().for_each(|node| node.agent.is_ready());
        site
    }

    /// A link `up0` of a room into the switch, with the address of that number.
    fn plug(&self, room: &Room, number: u8) {
        let (switch, address) = (self.switch.name(), self.ground.address(number));
        room.ip(&format!("link add up0 type veth peer name p{number} netns {switch}"));
        room.ip(&format!("addr add {address}/24 dev up0"));
        room.ip("link set up0 up");
        self.switch.ip(&format!("link set p{number} master br0 up"));
    }

    fn pod(&self, name: &str, node: usize, more: &Value) -> Pod {
        let uid = self.ground.pod_with(name, self.nodes[node].name, more);
        Pod {
            room: Room::new("pod"),
            sandbox: Sandbox { pod: name.to_owned(), uid, container: container() },
        }
    }

    /// The configuration of a main plugin with our IPAM.
    fn main(&self, node: usize, plugin: &Value) -> Value {
        let agent = &self.nodes[node].agent;
        let mut conf = json!({
            "cniVersion": "1.0.0",
            "name": "lan",
            "ipam": {
                "type": "spiderpool",
                "ipam_unix_socket_path": agent.socket(),
                "default_ipv4_ippool": [self.ground.story],
                "log_file_path": agent.at("plugin.log"),
            },
        });
        for (key, value) in plugin.as_object().unwrap() {
            conf[key] = value.clone();
        }
        conf
    }

    fn macvlan(&self, node: usize) -> Value {
        self.main(node, &json!({"type": "macvlan", "master": "up0", "mode": "bridge"}))
    }

    fn coordinator(&self, node: usize, previous: &Value) -> Value {
        let agent = &self.nodes[node].agent;
        json!({
            "cniVersion": "1.0.0",
            "name": "lan",
            "type": "coordinator",
            "ipam_unix_socket_path": agent.socket(),
            "stateDir": agent.at("coordinator"),
            "logOptions": {"logFile": agent.at("coordinator.log")},
            "prevResult": previous,
        })
    }

    /// A call for `eth0` of a pod.
    fn call(&self, verb: &str, pod: &Pod, conf: &Value) -> Call {
        let Sandbox { pod: name, uid, container } = &pod.sandbox;
        let kind = conf["type"].as_str().unwrap().to_owned();
        let call = Call { kind, env: BTreeMap::new(), conf: conf.clone() };
        call.env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", container)
            .env("CNI_NETNS", &pod.room.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &format!("{}:{PLUGINS}", our_programs().display()))
            .env("CNI_ARGS", &format!("K8S_POD_UID={uid};IgnoreUnknown=1;K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={container};K8S_POD_NAMESPACE=default"))
    }

    fn send(&self, verb: &str, node: usize, pod: &Pod, conf: &Value) -> Heard {
        self.call(verb, pod, conf).send(&self.nodes[node].room)
    }

    /// A call that succeeds.
    #[track_caller]
    fn well(&self, verb: &str, node: usize, pod: &Pod, conf: &Value) -> Value {
        let heard = self.send(verb, node, pod, conf);
        assert!(heard.is_well(), "{heard:?}\n{}", self.nodes[node].agent.tail());
        heard.json()
    }

    /// DEL as a runtime says it that was restarted: no namespace, no previous result.
    #[track_caller]
    fn forget(&self, node: usize, pod: &Pod, conf: &Value) {
        let call = self.call("DEL", pod, conf).env("CNI_NETNS", "");
        let heard = call.send(&self.nodes[node].room);
        assert!(heard.is_well(), "{heard:?}\n{}", self.nodes[node].agent.tail());
    }

    /// Who the address is held for.
    fn holder(&self, address: IpAddr) -> Option<String> {
        let held = self.ground.held();
        held.get(&address)?.holder.container.as_ref().map(ToString::to_string)
    }

    /// Our IPAM plugin's own configuration, in the version that knows GC and STATUS.
    fn latest(&self, node: usize) -> Value {
        let mut conf = self.macvlan(node);
        conf["cniVersion"] = "1.1.0".into();
        conf["type"] = "spiderpool".into();
        conf
    }
}

/// An id as long as a runtime's; no other is alike in the first characters, which links are named after.
fn container() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number =
        u64::from(std::process::id()) << 20 | u64::from(COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{:011x}{}", number & 0xfff_ffff_ffff, "0f".repeat(26))
}

/// The one address of a result.
#[track_caller]
fn address(result: &Value) -> IpAddr {
    let ips = result["ips"].as_array().unwrap();
    assert_eq!(ips.len(), 1, "{result}");
    ips[0]["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap()
}

fn with_previous(conf: &Value, result: &Value) -> Value {
    let mut conf = conf.clone();
    conf["prevResult"] = result.clone();
    conf
}

/// The cluster's word on how pods are coordinated, as its controller leaves it.
fn coordinated(ground: &Ground) {
    let spec = json!({"mode": "auto", "podCIDRType": "none", "hijackCIDR": [HIJACKED]});
    let object = json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderCoordinator",
        "metadata": {"name": "default"}, "spec": spec});
    ground.make(&format!("{APIS}/spidercoordinators"), &object);
    let status = json!({"phase": "Synced", "overlayPodCIDR": [], "serviceCIDR": ["10.96.0.0/12"]});
    let path = format!("{APIS}/spidercoordinators/default/status");
    ground.change(&path, &json!({"status": status}));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn pods_of_two_nodes_meet_and_leave_nothing() {
    let site = Site::new("meet", 8, &json!({}));
    coordinated(&site.ground);
    let pods = [0, 1].map(|node| site.pod(&format!("meet-{node}"), node, &json!({})));
    let results = [0, 1].map(|node| {
        let result = site.well("ADD", node, &pods[node], &site.macvlan(node));
        site.well("ADD", node, &pods[node], &site.coordinator(node, &result))
    });
    let addresses = results.each_ref().map(address);
    for node in [0, 1] {
        let (pod, address) = (&pods[node], addresses[node]);
        assert!(pod.room.ip("addr show eth0").contains(&address.to_string()));
        assert_eq!(site.holder(address).as_ref(), Some(&pod.sandbox.container));
        pod.room.reaches(addresses[1 - node]);
        // The way to what the cluster hijacks leads to the node: the coordinator heard it of the agent.
        assert!(
            pod.room.ip("route show table all").contains(HIJACKED),
            "{}",
            pod.room.ip("route show table all")
        );
        pod.room.reaches(site.ground.address(if node == 0 { 2 } else { 3 }));
        // Asked again, the IPAM says the same.
        let again = site.well("ADD", node, pod, &site.latest(node));
        assert_eq!(self::address(&again), address);
        let check = with_previous(&site.macvlan(node), &results[node]);
        site.well("CHECK", node, pod, &check);
        site.well("CHECK", node, pod, &site.coordinator(node, &results[node]));
    }
    let lost = with_previous(&site.macvlan(0), &results[0]);
    pods[0].room.ip(&format!("addr del {}/24 dev eth0", addresses[0]));
    assert!(!site.send("CHECK", 0, &pods[0], &lost).is_well());
    collect(&site, &pods, addresses);
    for node in [0, 1] {
        site.ground.vanish(&pods[node].sandbox.pod);
        // Twice, since runtimes do.
        for _ in 0..2 {
            site.forget(node, &pods[node], &site.coordinator(node, &Value::Null));
            site.forget(node, &pods[node], &site.macvlan(node));
        }
    }
    assert!(site.ground.held().is_empty(), "{:?}", site.ground.held());
    site.ground.is_sound();
}

/// STATUS, DEL of a sandbox whose pod lives on, and GC.
fn collect(site: &Site, pods: &[Pod; 2], addresses: [IpAddr; 2]) {
    site.well("STATUS", 0, &pods[0], &site.latest(0));
    let mut unknown = site.latest(0);
    unknown["ipam"]["default_ipv4_ippool"] = json!(["no-such-pool"]);
    assert!(!site.send("STATUS", 0, &pods[0], &unknown).is_well());
    // The pod lives on: its next sandbox has the address.
    site.forget(0, &pods[0], &site.macvlan(0));
    assert_eq!(site.holder(addresses[0]).as_ref(), Some(&pods[0].sandbox.container));
    // One attachment of node a is listed as valid; the other goes, and so does nobody of node b.
    let stray = site.pod("meet-stray", 0, &json!({}));
    let held = address(&site.well("ADD", 0, &stray, &site.latest(0)));
    assert_eq!(site.holder(held).as_ref(), Some(&stray.sandbox.container));
    let mut gc = site.latest(0);
    let valid = json!([{"containerID": pods[0].sandbox.container, "ifname": "eth0"}]);
    gc["cni.dev/valid-attachments"] = valid;
    site.well("GC", 0, &stray, &gc);
    assert_eq!(site.holder(held), None);
    for (pod, address) in pods.iter().zip(addresses) {
        assert_eq!(site.holder(address).as_ref(), Some(&pod.sandbox.container));
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn pods_of_a_bridge_and_of_a_pair_reach_each_other() {
    let site = Site::new("bridge", 9, &json!({}));
    let conf = site.main(0, &json!({"type": "bridge", "bridge": "cni0"}));
    let pods = [0, 1].map(|n| site.pod(&format!("bridge-{n}"), 0, &json!({})));
    let addresses = pods.each_ref().map(|pod| address(&site.well("ADD", 0, pod, &conf)));
    pods[0].room.reaches(addresses[1]);
    pods[1].room.reaches(addresses[0]);
    let pair = site.main(1, &json!({"type": "ptp"}));
    let alone = site.pod("bridge-alone", 1, &json!({}));
    let address = address(&site.well("ADD", 1, &alone, &pair));
    site.nodes[1].room.reaches(address);
    for pod in &pods {
        site.ground.vanish(&pod.sandbox.pod);
        site.forget(0, pod, &conf);
    }
    site.ground.vanish(&alone.sandbox.pod);
    site.forget(1, &alone, &pair);
    assert!(site.ground.held().is_empty(), "{:?}", site.ground.held());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_replica_keeps_its_address_on_another_node() {
    let site = Site::new("replica", 10, &json!({}));
    let set = json!({"metadata": {"name": "db"}, "spec": {
        "serviceName": "db",
        "replicas": 1,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}},
    }});
    let uid = site.ground.make("/apis/apps/v1/namespaces/default/statefulsets", &set);
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": uid, "controller": true});
    let replica = |node| site.pod("db-0", node, &json!({"ownerReferences": [owner]}));
    let first = replica(0);
    let told = address(&site.well("ADD", 0, &first, &site.macvlan(0)));
    // Others come meanwhile, and are given none of it.
    site.ground.vanish("db-0");
    site.forget(0, &first, &site.macvlan(0));
    assert!(site.ground.held().contains_key(&told), "the identity keeps its address");
    let other = site.pod("replica-other", 1, &json!({}));
    assert_ne!(address(&site.well("ADD", 1, &other, &site.macvlan(1))), told);
    let second = replica(1);
    assert_eq!(address(&site.well("ADD", 1, &second, &site.macvlan(1))), told);
    assert_eq!(site.holder(told).as_ref(), Some(&second.sandbox.container));
    // The first sandbox's DEL comes again, late, and changes nothing.
    site.forget(0, &first, &site.macvlan(0));
    assert_eq!(site.holder(told).as_ref(), Some(&second.sandbox.container));
    other.room.reaches(told);
    site.ground.is_sound();
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_foreign_host_s_address_is_put_in_quarantine_and_another_given() {
    let site = Site::new("foreign", 11, &json!({"enableIPConflictDetection": true}));
    // The first pool has one address, and a host outside of the cluster has it, too.
    site.ground.pool("foreign-one", (250, 250));
    let theirs = site.ground.address(250);
    let host = Room::new("host");
    site.plug(&host, 250);
    let mut conf = site.macvlan(0);
    conf["ipam"]["default_ipv4_ippool"] = json!(["foreign-one", "foreign"]);
    let pod = site.pod("foreign-0", 0, &json!({}));
    let given = address(&site.well("ADD", 0, &pod, &conf));
    assert_ne!(given, theirs);
    assert_eq!(site.holder(given).as_ref(), Some(&pod.sandbox.container));
    let slots = site.ground.slots();
    let mac = host.ip("-o link show up0");
    let Some(Slot::Quarantined { mac: seen, .. }) = slots.get(&theirs) else {
        panic!("{:?}", slots.get(&theirs));
    };
    let seen: Vec<_> = seen.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(mac.contains(&seen.join(":")), "{mac}");
    pod.room.reaches(theirs);
    let told = || {
        let events = site.ground.list("/api/v1/namespaces/default/events");
        events.iter().any(|event| {
            let says =
                |key: &str, text: &str| event[key].as_str().is_some_and(|told| told.contains(text));
            says("reason", "AddressConflict")
                && says("message", &theirs.to_string())
                && event.pointer("/involvedObject/name") == Some(&json!("foreign-0"))
        })
    };
    eventually("an event on the pod", told);
    // Nobody is given it, asked or not.
    let next = site.pod("foreign-1", 0, &json!({}));
    assert_ne!(address(&site.well("ADD", 0, &next, &conf)), theirs);
    site.ground.eventually(Duration::from_secs(5), || match site.ground.slots().get(&theirs) {
        Some(Slot::Quarantined { .. }) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    site.ground.is_sound();
}
