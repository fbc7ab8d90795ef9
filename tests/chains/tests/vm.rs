//! Chains that rest on what `ifacer` makes, on a kernel that has bonds, VLANs and ipvlan.
//!
//! The node has three more NICs, `trunk0`, `trunk1` and `trunk2`, on which only tagged frames lead anywhere:
//! net 0 has the tag 30, net 1 the tag 31, net 2 the tag 32. A frame with a wrong tag, or without one, is
//! lost, and the test with it.

#![cfg(test)]

use serde_json::{Value, json};
use spiderpool_chains::lab::NETS;
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, Network, Pod, eventually, promise};
use std::net::IpAddr;

const NICS: [&str; 2] = ["eth0", "net1"];

/// A net's tag.
const fn tag(net: usize) -> usize {
    30 + net
}

/// A laboratory whose node has the three trunks.
fn lab() -> Lab {
    let lab = Lab::new();
    let switch = lab.switch.name();
    for trunk in ["trunk0", "trunk1", "trunk2"] {
        lab.node.ip(&format!("link add {trunk} type veth peer name {trunk} netns {switch}"));
        lab.switch.ip(&format!("link set {trunk} up"));
        for net in 0..NETS.len() {
            let port = format!("{trunk}.{}", tag(net));
            lab.switch.ip_batch(&format!(
                "link add link {trunk} name {port} type vlan id {}\n\
                 link set {port} master br{net} up",
                tag(net)
            ));
        }
    }
    lab
}

/// The bond of the first two trunks, with these other keys of `ifacer`.
fn bonded(lab: &Lab, keys: &Value) -> Value {
    let mut conf = json!({
        "type": "ifacer", "interfaces": ["trunk0", "trunk1"], "lockPath": lab.path("ifacer.lock"),
        "bond": {"mode": "active-backup", "options": "miimon=50"},
    });
    conf.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    conf
}

/// ifacer's bond, and Debian's vlan on it.
fn vlan_on_bond(lab: &Lab, net: usize) -> Network {
    let main = json!({"type": "vlan", "master": "sp_bond0", "vlanId": tag(net)});
    lab.underlay(net).in_cluster().made_by(main).insert(0, bonded(lab, &json!({})))
}

/// The third trunk, and Debian's vlan on it: a tag can be used once on each parent.
fn vlan_on_trunk(lab: &Lab, net: usize) -> Network {
    let below = json!({
        "type": "ifacer", "interfaces": ["trunk2"], "lockPath": lab.path("ifacer.lock"),
    });
    let main = json!({"type": "vlan", "master": "trunk2", "vlanId": tag(net)});
    lab.underlay(net).in_cluster().made_by(main).insert(0, below)
}

/// ifacer's VLAN on its bond, and macvlan on that.
fn macvlan_on_vlan(lab: &Lab, net: usize) -> Network {
    let main =
        json!({"type": "macvlan", "master": format!("sp_bond0.{}", tag(net)), "mode": "bridge"});
    let below = bonded(lab, &json!({"vlanID": tag(net)}));
    lab.underlay(net).in_cluster().made_by(main).insert(0, below)
}

/// ifacer's VLAN on its bond, and ipvlan on that. Debian's ipvlan can do without a `master` behind ifacer
/// but for CHECK, which does not look at the previous result for it.
fn ipvlan_on_vlan(lab: &Lab, net: usize) -> Network {
    let main = json!({"type": "ipvlan", "master": format!("sp_bond0.{}", tag(net))});
    let below = bonded(lab, &json!({"vlanID": tag(net)}));
    lab.underlay(net).in_cluster().made_by(main).insert(0, below)
}

/// ipvlan on a NIC of the node.
fn ipvlan_alone(lab: &Lab) -> Network {
    lab.underlay(0).made_by(json!({"type": "ipvlan", "master": "up0"}))
}

/// Attaches a net to each interface; gives all addresses, those of `eth0` first.
fn attach(lab: &Lab, pod: &Pod<'_>, network: fn(&Lab, usize) -> Network) -> Vec<IpAddr> {
    let nics = NICS.into_iter().enumerate();
    nics.flat_map(|(net, nic)| pod.attach(nic, &network(lab, net))).collect()
}

/// Has ifacer make what a network rests on, and waits until the kernel is done with it.
fn prepare(lab: &Lab, pod: &Pod<'_>, network: fn(&Lab, usize) -> Network) {
    for (net, nic) in NICS.into_iter().enumerate() {
        let heard = pod.plugin("ADD", nic, &network(lab, net), "ifacer");
        assert!(heard.is_well(), "{heard:?}");
        let parent = heard.json()["interfaces"][0]["name"].as_str().unwrap().to_owned();
        let is_up = || lab.node.ip(&format!("link show {parent}")).contains("state UP");
        eventually(&format!("{parent}'s carrier"), is_up);
    }
}

/// Two pods with two interfaces each reach one another, their node and a service, and leave nothing.
fn joins_pods_node_and_services(
    lab: &Lab,
    of_one: fn(&Lab, usize) -> Network,
    of_other: fn(&Lab, usize) -> Network,
) {
    let (one, other) = (lab.pod(), lab.pod());
    prepare(lab, &one, of_one);
    prepare(lab, &other, of_other);
    let before = [&lab.node, &one.room, &other.room].map(|room| (room, Snapshot::of(room)));
    let others = attach(lab, &other, of_other);
    let mine = attach(lab, &one, of_one);
    NICS.iter().for_each(|nic| one.check(nic).unwrap());
    promise::core(lab, (&one, &mine), (&other, &others));
    for pod in [&one, &other] {
        NICS.iter().rev().for_each(|nic| pod.detach(nic));
    }
    // What tuning sets stays set in a pod's namespace, which ends with the pod.
    before.iter().for_each(|(room, snapshot)| snapshot.comes_back_in(room));
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn vlan_on_a_bond_and_on_a_nic_joins_pods_node_and_services() {
    joins_pods_node_and_services(&lab(), vlan_on_bond, vlan_on_trunk);
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn macvlan_on_a_vlan_on_a_bond_joins_pods_node_and_services() {
    joins_pods_node_and_services(&lab(), macvlan_on_vlan, macvlan_on_vlan);
}

#[test]
#[ignore = "VM tier: needs bonding, 8021q and ipvlan"]
fn ipvlan_on_a_vlan_on_a_bond_joins_pods_node_and_services() {
    joins_pods_node_and_services(&lab(), ipvlan_on_vlan, ipvlan_on_vlan);
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn a_tag_that_another_pod_has_is_refused_and_leaves_nothing() {
    let lab = lab();
    let (one, other) = (lab.pod(), lab.pod());
    let mine = one.attach("eth0", &vlan_on_trunk(&lab, 0));
    let before = [&lab.node, &other.room].map(|room| (room, Snapshot::of(room)));
    let failed = other.try_attach("eth0", &vlan_on_trunk(&lab, 0)).unwrap_err();
    assert_eq!(failed.kind, "vlan", "{failed:?}");
    before.iter().for_each(|(room, snapshot)| snapshot.comes_back_in(room));
    assert_eq!((lab.allocated().len(), lab.records().len()), (2, 1));
    promise::node_to_pod(&lab, &one, &mine);
    // On another parent the tag is free.
    let others = other.attach("eth0", &vlan_on_bond(&lab, 0));
    promise::pods_meet(&one, &other, &others);
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn a_bond_that_loses_its_active_nic_keeps_its_pods() {
    let lab = lab();
    let pod = lab.pod();
    let addresses = pod.attach("eth0", &macvlan_on_vlan(&lab, 0));
    promise::answers_outside(&lab, &pod, &addresses);
    let active = || {
        let details = lab.node.ip("-d link show sp_bond0");
        spiderpool_chains::room::word_after(&details, "active_slave").unwrap()
    };
    let lost = active();
    lab.switch.ip(&format!("link set {lost} down"));
    eventually("another active NIC", || active() != lost);
    promise::answers_outside(&lab, &pod, &addresses);
    // CHECK has nothing to say: the bond is as it was made.
    pod.check("eth0").unwrap();
}

#[test]
#[ignore = "VM tier: needs ipvlan"]
fn a_mac_prefix_is_refused_for_ipvlan_and_leaves_nothing() {
    let lab = Lab::new();
    let pod = lab.pod();
    let before = [&lab.node, &pod.room].map(|room| (room, Snapshot::of(room)));
    let network = ipvlan_alone(&lab).with("podMACPrefix", "0a:1b");
    let failed = pod.try_attach("eth0", &network).unwrap_err();
    assert_eq!((&*failed.kind, failed.code), ("coordinator", 100), "{failed:?}");
    assert!(failed.told.contains("podMACPrefix"), "{failed:?}");
    assert!(failed.told.contains("hardware address of its parent"), "{failed:?}");
    before.iter().for_each(|(room, snapshot)| snapshot.comes_back_in(room));
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    // It is the prefix alone that is in the way.
    let addresses = pod.attach("eth0", &ipvlan_alone(&lab));
    promise::node_to_pod(&lab, &pod, &addresses);
}

#[test]
#[ignore = "VM tier: needs ipvlan"]
fn detection_is_skipped_with_a_warning_for_ipvlan() {
    let lab = Lab::new();
    let pod = lab.pod();
    let network = ipvlan_alone(&lab)
        .ipam("enableIPConflictDetection", true)
        .ipam("enableGatewayDetection", true);
    let addresses = pod.attach("eth0", &network);
    let log = std::fs::read_to_string(lab.path("ipam.log")).unwrap();
    let warned = log.lines().filter(|line| line.contains("no detection on `eth0`: an ipvlan"));
    assert!(warned.count() > 0, "{log}");
    promise::answers_outside(&lab, &pod, &addresses);
}
