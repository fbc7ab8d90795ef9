//! Bonds and VLANs on a kernel that has them: the reference's list N00001 to N00006 (ipam.md, section 9),
//! and what its plugin gets wrong.
//!
//! Each test is a node of its own. No program but the plugin is run.

#![cfg(test)]

mod lab;

use lab::{Heard, Node, start, start_program};
use serde_json::{Value, json};
use spiderpool_core::net::{BondOption, LinkKind, VlanProtocol, bond_mode};
use spiderpool_core::plan::LinkChange;

fn vlan(interface: &str, id: u16) -> Value {
    json!({"interfaces": [interface], "vlanID": id})
}

#[expect(clippy::needless_pass_by_value, reason = "a table of `json!` values reads better")]
fn bond(interfaces: &[&str], bond: Value) -> Value {
    json!({"interfaces": interfaces, "bond": bond})
}

fn pair() -> Value {
    bond(&["eth1", "eth2"], json!({"mode": 1, "options": "miimon=100"}))
}

#[track_caller]
fn assert_vlan(node: &Node, name: &str, parent: &str, id: u16) {
    let link = node.link(name);
    let LinkKind::Vlan(vlan) = link.kind else { panic!("{link:?}") };
    let below = link.parent.unwrap().name.unwrap();
    assert_eq!((vlan.id.number(), below.as_str(), link.is_up), (id, parent, true));
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn n00001_a_vlan_is_made() {
    Node::within(|node| {
        node.nics(&["eth1"]);
        let heard = node.ask("ADD", &vlan("eth1", 100));
        assert_eq!(heard.exit, Some(0), "{heard:?}");
        assert_vlan(node, "eth1.100", "eth1", 100);
        let mac = node.link("eth1.100").mac.unwrap().to_string();
        let told = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth1.100", "mac": mac}]});
        assert_eq!(heard.json(), told);
        assert!(heard.done().iter().any(|line| line.contains("type vlan")), "{heard:?}");
        node.rests(&vlan("eth1", 100));
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn n00002_a_vlan_that_is_there_is_left_alone() {
    Node::within(|node| {
        node.nics(&["eth1"]);
        node.add(&vlan("eth1", 100));
        let before = node.links();
        assert_eq!(node.add(&vlan("eth1", 100)), [""; 0]);
        assert_eq!(node.links(), before);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn n00003_a_vlan_that_is_down_is_set_up() {
    Node::within(|node| {
        node.nics(&["eth1"]);
        node.add(&vlan("eth1", 100));
        let index = node.link("eth1.100").index;
        node.change("eth1.100", LinkChange::Up(false));
        assert!(!node.link("eth1.100").is_up);
        assert_eq!(node.add(&vlan("eth1", 100)).len(), 1);
        assert_vlan(node, "eth1.100", "eth1", 100);
        assert_eq!(node.link("eth1.100").index, index, "it is the same link");
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn n00004_a_number_under_another_name_is_refused() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        node.add(&vlan("eth1", 100));
        node.change("eth1.100", LinkChange::Up(false));
        node.change("eth1.100", LinkChange::Name("vlan100".try_into().unwrap()));
        let before = node.links();
        let (code, told) = node.refused(&vlan("eth1", 100));
        assert_eq!(code, 100);
        assert!(told.contains("VLAN 100 is on `eth1` already, as `vlan100`"), "{told}");
        assert_eq!(node.links(), before);
        // On another parent the number is free.
        node.add(&vlan("eth2", 100));
        assert_vlan(node, "eth2.100", "eth2", 100);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn n00005_a_parent_that_is_down_is_set_up() {
    Node::within(|node| {
        node.nics(&["eth1"]);
        node.add(&vlan("eth1", 100));
        node.change("eth1", LinkChange::Up(false));
        node.add(&vlan("eth1", 100));
        assert!(node.link("eth1").is_up && node.link("eth1.100").is_up);
        node.change("eth1", LinkChange::Up(false));
        node.add(&json!({"interfaces": ["eth1"]}));
        assert!(node.link("eth1").is_up, "also without a VLAN");
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn n00006_what_a_reboot_took_is_made_again() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        let mut asked = pair();
        asked["vlanID"] = 7.into();
        node.add(&asked);
        assert_vlan(node, "sp_bond0.7", "sp_bond0", 7);
        node.session.delete_link("sp_bond0").unwrap();
        assert!(!node.has("sp_bond0") && !node.has("sp_bond0.7"));
        node.add(&asked);
        assert_vlan(node, "sp_bond0.7", "sp_bond0", 7);
        assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
        node.rests(&asked);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn vlan_numbers_repeat_on_other_parents() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        node.add(&vlan("eth1", 100));
        node.add(&vlan("eth2", 100));
        assert_vlan(node, "eth1.100", "eth1", 100);
        assert_vlan(node, "eth2.100", "eth2", 100);
        node.rests(&vlan("eth1", 100));
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn tags_are_stacked() {
    Node::within(|node| {
        node.nics(&["eth1"]);
        node.add(&json!({"interfaces": ["eth1"], "vlanID": 100, "vlanProtocol": "802.1ad"}));
        node.add(&vlan("eth1.100", 7));
        let outer = node.link("eth1.100");
        let LinkKind::Vlan(tag) = outer.kind else { panic!("{outer:?}") };
        assert_eq!((tag.id.number(), tag.protocol), (100, VlanProtocol::Provider));
        assert_vlan(node, "eth1.100.7", "eth1.100", 7);
        // The same name with the other kind of tag is another VLAN.
        let (code, told) = node.refused(&vlan("eth1", 100));
        assert!(code == 100 && told.contains("`eth1.100` is VLAN 100 of 802.1ad"), "{told}");
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn a_link_of_that_name_is_verified() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2", "eth1.100"]);
        let before = node.links();
        let (code, told) = node.refused(&vlan("eth1", 100));
        assert!(code == 100 && told.contains("`eth1.100` is a link of kind veth"), "{told}");
        assert_eq!(node.links(), before);
        node.session.create_bridge("sp_bond0").unwrap();
        let (code, told) = node.refused(&pair());
        assert!(code == 100 && told.contains("`sp_bond0` is a link of kind bridge"), "{told}");
        assert!(!node.link("sp_bond0").is_up, "it is not touched before it is verified");
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn a_bond_is_made_with_its_options_by_name_and_by_number() {
    let by_name = json!({
        "name": "b1", "mode": "802.3ad",
        "options": "miimon=100; up_delay=250; lacp_rate=fast; xmit_hash_policy=layer3+4; ad_select=count",
    });
    let by_number = json!({
        "name": "b2", "mode": 4,
        "options": "miimon=100;updelay=200;lacp_rate=1;xmit_hash_policy=1;ad_select=2",
    });
    Node::within(|node| {
        node.nics(&["eth1", "eth2", "eth3", "eth4"]);
        let (one, two) = (bond(&["eth1", "eth2"], by_name), bond(&["eth3", "eth4"], by_number));
        node.add(&one);
        node.add(&two);
        assert_eq!(
            (node.ports("b1"), node.ports("b2")),
            (vec!["eth1".into(), "eth2".into()], vec!["eth3".into(), "eth4".into()])
        );
        let of = |name: &str, option| node.bond(name).number(option).unwrap();
        for name in ["b1", "b2"] {
            assert_eq!(of(name, BondOption::Mode), bond_mode::LACP);
            assert_eq!(of(name, BondOption::UpDelay), 200);
            assert_eq!(of(name, BondOption::LacpRate), 1);
            assert_eq!(of(name, BondOption::XmitHashPolicy), 1);
            assert_eq!(of(name, BondOption::AdSelect), 2);
            assert!(node.link(name).is_up);
        }
        node.rests(&one);
        node.rests(&two);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn every_mode_is_made() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        for mode in 0..=6 {
            let asked = bond(&["eth1", "eth2"], json!({"mode": mode}));
            node.add(&asked);
            assert_eq!(node.bond("sp_bond0").mode(), mode);
            assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
            node.rests(&asked);
            node.session.delete_link("sp_bond0").unwrap();
        }
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn the_primary_port_is_set_once_the_ports_are_there() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        let options = "miimon=100;primary=eth2;primary_reselect=better";
        let asked = bond(&["eth1", "eth2"], json!({"mode": 1, "options": options}));
        node.add(&asked);
        assert_eq!(node.bond("sp_bond0").port().unwrap().as_str(), "eth2");
        node.rests(&asked);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn what_drifted_is_told_and_repaired() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        let options = |text: &str| bond(&["eth1", "eth2"], json!({"mode": 4, "options": text}));
        node.add(&options("miimon=50;lacp_rate=slow"));
        // One option that changes at any time, and one that a bond has to be down for.
        let wanted = options("miimon=100;lacp_rate=fast");
        let checked = node.ask("CHECK", &wanted);
        let answer = checked.json();
        assert_eq!((checked.exit, &answer["code"]), (Some(1), &json!(104)), "{checked:?}");
        assert!(answer["details"].as_str().unwrap().contains("miimon 100"), "{checked:?}");
        node.add(&wanted);
        assert_eq!(node.bond("sp_bond0").number(BondOption::Miimon), Some(100));
        assert_eq!(node.bond("sp_bond0").number(BondOption::LacpRate), Some(1));
        assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
        assert!(node.link("sp_bond0").is_up);
        node.rests(&wanted);
        // A mode cannot change under the pods of a bond that works.
        let before = node.links();
        let (code, told) = node.refused(&pair());
        assert!(code == 100 && told.contains("has mode 802.3ad"), "{told}");
        assert_eq!(node.links(), before);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn a_half_built_bond_is_completed() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        node.add(&pair());
        // One port is missing.
        node.change("eth2", LinkChange::Controller(None));
        assert_eq!(node.ports("sp_bond0"), ["eth1"]);
        node.add(&pair());
        assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
        // No port is there, and the mode is another one.
        node.session.delete_link("sp_bond0").unwrap();
        node.add(&bond(&["eth1", "eth2"], json!({"mode": 0})));
        node.change("eth1", LinkChange::Controller(None));
        node.change("eth2", LinkChange::Controller(None));
        node.add(&pair());
        assert_eq!(node.bond("sp_bond0").mode(), bond_mode::ACTIVE_BACKUP);
        assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
        node.rests(&pair());
    });
}

/// The kill tier: the plugin ends at its K-th change, for every K, and the next ADD finishes.
#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn an_add_that_was_killed_anywhere_is_finished_by_the_next() {
    let mut asked = pair();
    asked["vlanID"] = 7.into();
    let killed_at = |number: usize, how: &str| {
        let mut was_killed = false;
        Node::within(|node| {
            node.nics(&["eth1", "eth2"]);
            let fault = format!("{how}:{number}");
            let env = [("SPIDERPOOL_TESTING", "1"), ("SPIDERPOOL_FAULT", fault.as_str())];
            let first = Heard::of(start("ADD", &node.conf(&asked), &env));
            was_killed = first.exit.is_none();
            assert!(was_killed || first.exit == Some(0) || how == "error", "{first:?}");
            node.add(&asked);
            assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
            assert_vlan(node, "sp_bond0.7", "sp_bond0", 7);
            node.rests(&asked);
        });
        was_killed
    };
    let most = (1..40).take_while(|number| killed_at(*number, "kill")).count();
    assert!((5..39).contains(&most), "{most} changes");
    // Before a change is after the one before it, but for what the kernel has not told yet: a sample.
    for number in (1..=most).step_by(4) {
        assert!(killed_at(number, "kill-before"));
        killed_at(number, "error");
    }
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn what_the_node_lives_on_is_not_enslaved() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        node.session.set_up("eth1").unwrap();
        node.address("eth1", "10.0.0.5/24");
        let before = node.links();
        let (code, told) = node.refused(&pair());
        assert!(code == 100 && told.contains("the node's address 10.0.0.5/24 on `eth1`"), "{told}");
        assert_eq!(node.links(), before);
        let status = node.ask(
            "STATUS",
            &json!({"cniVersion": "1.1.0", "interfaces": ["eth1", "eth2"], "bond": {}}),
        );
        assert_eq!(status.json()["code"], 50, "{status:?}");
        let mut given_up = pair();
        given_up["takeOverAddresses"] = true.into();
        node.add(&given_up);
        assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn somebody_elses_bond_is_left_alone() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2", "eth3"]);
        node.add(&bond(&["eth1", "eth3"], json!({"mode": 1})));
        let before = node.links();
        let (code, told) = node.refused(&pair());
        assert!(code == 100 && told.contains("has the port `eth3`"), "{told}");
        let (code, told) = node.refused(&bond(&["eth1", "eth2"], json!({"name": "b2", "mode": 1})));
        assert!(code == 100 && told.contains("`eth1` is a port of `sp_bond0`"), "{told}");
        assert_eq!(node.links(), before);
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn the_mtu_is_that_of_what_pods_rest_on() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2", "eth3"]);
        let mut small = vlan("eth1", 5);
        small["mtu"] = 1400.into();
        node.add(&vlan("eth1", 5));
        assert_eq!(node.link("eth1.5").mtu, 1500);
        node.add(&small);
        assert_eq!((node.link("eth1.5").mtu, node.link("eth1").mtu), (1400, 1500));
        node.rests(&small);
        small["mtu"] = 9000.into();
        assert!(node.refused(&small).1.contains("more than `eth1` carries"));
        let mut large = bond(&["eth2", "eth3"], json!({"mode": 1}));
        large["vlanID"] = 5.into();
        large["mtu"] = 9000.into();
        node.add(&large);
        for name in ["eth2", "eth3", "sp_bond0", "sp_bond0.5"] {
            assert_eq!(node.link(name).mtu, 9000, "{name}");
        }
        node.rests(&large);
    });
}

/// Some of each of four configurations, two of which share a bond.
fn crowd(node: &Node, each: usize, conf: impl Fn(&Node, &Value, usize) -> Value) {
    let on_bond = |id: u16| {
        let mut asked = pair();
        asked["vlanID"] = id.into();
        asked
    };
    let asked = [on_bond(5), on_bond(6), vlan("eth3", 5), vlan("eth3", 6)];
    let children: Vec<_> = (0..4 * each)
        .map(|number| start("ADD", &conf(node, &asked[number % 4], number), &[]))
        .collect();
    for child in children {
        let heard = Heard::of(child);
        assert_eq!(heard.exit, Some(0), "{heard:?}");
    }
    assert_eq!(node.ports("sp_bond0"), ["eth1", "eth2"]);
    for (name, parent, id) in [
        ("sp_bond0.5", "sp_bond0", 5),
        ("sp_bond0.6", "sp_bond0", 6),
        ("eth3.5", "eth3", 5),
        ("eth3.6", "eth3", 6),
    ] {
        assert_vlan(node, name, parent, id);
    }
    for keys in &asked {
        node.rests(keys);
    }
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn many_adds_at_once_converge() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2", "eth3"]);
        crowd(node, 4, |node, keys, _| node.conf(keys));
    });
}

/// As when another tool does the same at the same time: what fails with EEXIST is there.
#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn adds_without_a_common_lock_converge() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2", "eth3"]);
        crowd(node, 2, |node, keys, number| {
            let mut conf = node.conf(keys);
            let own = format!("{}.{number}", conf["lockPath"].as_str().unwrap());
            conf["lockPath"] = own.into();
            conf
        });
    });
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn the_end_of_a_pod_leaves_the_nodes_links() {
    Node::within(|node| {
        node.nics(&["eth1", "eth2"]);
        node.add(&pair());
        let before = node.links();
        for verb in ["DEL", "DEL", "GC"] {
            let mut keys = pair();
            keys["cniVersion"] = "1.1.0".into();
            let heard = node.ask(verb, &keys);
            assert_eq!((heard.exit, heard.stdout.as_str()), (Some(0), ""), "{verb} {heard:?}");
        }
        assert_eq!(node.links(), before);
    });
}

/// ipvlan without a `master` takes the interface that this plugin names; with one it uses its own.
#[test]
#[ignore = "VM tier: needs bonding, 8021q and ipvlan"]
fn ipvlan_rests_on_what_this_plugin_names() {
    for master in [Value::Null, json!("eth1.100")] {
        Node::within(|node| {
            node.nics(&["eth1"]);
            let first = node.ask("ADD", &vlan("eth1", 100));
            let mut conf = json!({
                "cniVersion": "1.0.0", "name": "lan", "type": "ipvlan", "prevResult": first.json(),
                "ipam": {
                    "type": "host-local", "dataDir": node.directory(),
                    "ranges": [[{"subnet": "10.9.0.0/24"}]],
                },
            });
            if !master.is_null() {
                conf["master"] = master.clone();
            }
            let pod = node.wire();
            let env = [("CNI_NETNS", pod.to_str().unwrap()), ("CNI_IFNAME", "net1")];
            let second = Heard::of(start_program("/usr/lib/cni/ipvlan", "ADD", &conf, &env));
            assert_eq!(second.exit, Some(0), "{second:?}");
            assert_eq!(second.json()["ips"][0]["address"], "10.9.0.2/24", "{second:?}");
        });
    }
}
