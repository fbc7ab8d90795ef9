//! A stock kernel against what this crate says of it: link kinds and devices that many machines lack.

#![cfg(test)]

#[expect(dead_code, reason = "the host tier's tests use more of it")]
mod lab;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lab::{Room, ip};
use spiderpool_core::net::{Link, LinkName};
use spiderpool_netlink::{Namespace, Session};

fn links(namespace: &Namespace) -> BTreeMap<LinkName, Link> {
    namespace.run(Session::links).unwrap()
}

fn link(namespace: &Namespace, name: &str) -> Link {
    links(namespace).remove(&LinkName::new(name).unwrap()).unwrap()
}

fn has_link(namespace: &Namespace, name: &str) -> bool {
    links(namespace).contains_key(&LinkName::new(name).unwrap())
}

#[test]
#[ignore = "VM tier: needs bonding, 8021q, ipvlan, macvlan and vrf"]
fn each_kind_of_link_is_observed() {
    let room = Room::new();
    room.ip("link add eth0 type dummy");
    room.ip("link add eth1 type dummy");
    for (name, arguments) in [
        ("bond", "type bond mode active-backup"),
        ("vlan", "link eth0 type vlan id 100"),
        ("ipvlan", "link eth0 type ipvlan mode l2"),
        ("macvlan", "link eth1 type macvlan mode bridge"),
        ("vrf", "type vrf table 500"),
    ] {
        room.ip(&format!("link add test-{name} {arguments}"));
        let observed = link(&room.namespace(), &format!("test-{name}"));
        assert_eq!(observed.kind.name(), name);
        let parent = match arguments.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["link", parent, ..] => Some(link(&room.namespace(), parent).index),
            _ => None,
        };
        assert_eq!(observed.parent.map(|parent| parent.index), parent, "{name}");
    }
}

#[test]
#[ignore = "VM tier: needs bonding and 8021q"]
fn a_vlan_on_a_bond_holds_an_address() {
    let room = Room::new();
    for slave in ["eth0", "eth1"] {
        room.ip(&format!("link add {slave} type dummy"));
    }
    room.ip("link add bond0 type bond mode active-backup miimon 100");
    room.ip("link set eth0 master bond0");
    room.ip("link set eth1 master bond0");
    room.ip("link set bond0 up");
    room.ip("link add bond0.100 link bond0 type vlan id 100");
    room.ip("link set bond0.100 up");
    room.ip("address add 10.6.0.10/24 dev bond0.100");
    let namespace = room.namespace();
    let bond = link(&namespace, "bond0");
    assert!(bond.is_up && bond.has_carrier);
    for slave in ["eth0", "eth1"] {
        assert_eq!(link(&namespace, slave).controller.as_deref(), Some("bond0"));
    }
    let parent = link(&namespace, "bond0.100").parent.unwrap();
    assert_eq!((parent.name.as_deref(), parent.index), (Some("bond0"), bond.index));
    let addresses = namespace.run(Session::addresses).unwrap();
    let ours: Vec<String> = addresses
        .iter()
        .filter(|address| &*address.device == "bond0.100" && address.net.addr().is_ipv4())
        .map(|address| address.net.to_string())
        .collect();
    assert_eq!(ours, ["10.6.0.10/24"]);
}

/// The network interface that is a PCI device with virtual functions.
fn physical_function() -> String {
    let devices = std::fs::read_dir("/sys/class/net").unwrap();
    let names = devices.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let has_functions = |name: &String| device(name).join("sriov_totalvfs").exists();
    names.into_iter().find(has_functions).unwrap()
}

fn device(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name).join("device")
}

#[test]
#[ignore = "VM tier: needs a device with virtual functions"]
fn a_virtual_function_moves_and_comes_back() {
    let node = Namespace::here().unwrap();
    let physical = physical_function();
    std::fs::write(device(&physical).join("sriov_numvfs"), "1").unwrap();
    let function = std::fs::read_dir(device(&physical).join("virtfn0/net")).unwrap();
    let [function] = function.map(Result::unwrap).collect::<Vec<_>>().try_into().unwrap();
    let function = function.file_name().into_string().unwrap();
    let before = link(&node, &function);
    {
        let room = Room::new();
        ip(&format!("link set {function} netns {}", room.name));
        assert!(!has_link(&node, &function));
        let inside = link(&room.namespace(), &function);
        assert_eq!((&inside.mac, inside.mtu), (&before.mac, before.mtu));
    }
    // The kernel clears a namespace away some time after its last user has gone.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !has_link(&node, &function) {
        assert!(std::time::Instant::now() < deadline, "{:?}", links(&node));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::fs::write(device(&physical).join("sriov_numvfs"), "0").unwrap();
    assert!(!has_link(&node, &function));
}

#[test]
#[ignore = "VM tier: needs an RDMA device"]
fn an_rdma_device_belongs_to_its_interface() {
    ip("link add roce0 type dummy");
    let made = std::process::Command::new("rdma")
        .args(["link", "add", "fake0", "type", "fakerdma", "netdev", "roce0"])
        .status();
    assert!(made.unwrap().success());
    let names = "/sys/class/infiniband/fake0/ports/1/gid_attrs/ndevs/0";
    assert_eq!(std::fs::read_to_string(names).unwrap().trim(), "roce0");
    ip("link delete roce0");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while Path::new("/sys/class/infiniband/fake0").exists() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
