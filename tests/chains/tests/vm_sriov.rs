//! Chains that give a pod a virtual function and its RDMA device.
//!
//! The node is the VM itself: Debian's `host-device` and our `rdma` find devices in sysfs, which shows
//! those of the machine's own namespace. The card is the test module `fakenic`, whose functions hear one
//! another; its physical function is a port of net 0's bridge. Tests share the node and the card, so they
//! run one after another.

#![cfg(test)]

use serde_json::json;
use spiderpool_chains::lab::NETS;
use spiderpool_chains::pod::Memory;
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, Network, Pod, Room, eventually, promise};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A virtual function with an RDMA device.
struct Function {
    pci: String,
    rdma: String,
}

/// The node with its card.
struct Card {
    lab: Lab,
    functions: [Function; 2],
    _turn: MutexGuard<'static, ()>,
}

impl Card {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::around(Room::of_the_machine("node"));
        let physical = physical_function();
        let count = Path::new("/sys/class/net").join(&physical).join("device/sriov_numvfs");
        if fs::read_to_string(&count).unwrap().trim() == "0" {
            fs::write(&count, "2").unwrap();
        }
        let functions = [0, 1].map(|number| function(&lab, &physical, number));
        lab.node.ip(&format!("link set {physical} netns {}", lab.switch.name()));
        lab.switch.ip(&format!("link set {physical} master br0 up"));
        Self { lab, functions, _turn: turn }
    }

    /// Net 0 by a virtual function: host-device, rdma, coordinator, tuning.
    fn network(&self, function: usize) -> Network {
        let pci = &self.functions[function].pci;
        let rdma = json!({"type": "rdma", "deviceID": pci, "stateDir": self.lab.path("rdma")});
        // Multus writes both: the first is for SR-IOV plugins, the second for host-device.
        let main = json!({"type": "host-device", "deviceID": pci, "pciBusID": pci});
        self.lab.underlay(0).in_cluster().made_by(main).insert(1, rdma)
    }

    /// A virtual function as `eth0`, and macvlan as `net1`.
    fn attach(&self, pod: &Pod<'_>, function: usize) -> Vec<IpAddr> {
        let eth0 = pod.attach("eth0", &self.network(function));
        [eth0, pod.attach("net1", &self.lab.underlay(1).in_cluster())].concat()
    }

    /// Whether the node has both functions' network and RDMA devices.
    fn is_whole(&self) -> bool {
        let mine = devices(&self.lab.node);
        let is_here = |function: &Function| {
            mine.contains(&function.rdma) && net_device(&pci_device(&function.pci)).is_some()
        };
        self.functions.iter().all(is_here)
    }
}

/// The card's network device; it comes home by itself from a test that has ended.
fn physical_function() -> String {
    let find = || {
        let has_functions = |name: &String| {
            Path::new("/sys/class/net").join(name).join("device/sriov_totalvfs").exists()
        };
        names("/sys/class/net").into_iter().find(has_functions)
    };
    eventually("a card with virtual functions: is the module fakenic loaded?", || find().is_some());
    find().unwrap()
}

fn function(lab: &Lab, physical: &str, number: usize) -> Function {
    let place = PathBuf::from(format!("/sys/class/net/{physical}/device/virtfn{number}"));
    eventually("a network device on the virtual function", || net_device(&place).is_some());
    // host-device keeps the name in the alias, and leaves it there.
    let device = net_device(&place).unwrap();
    lab.node.ip(&format!("link set {device} alias {device}"));
    let pci = fs::read_link(&place).unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let rdma = format!("mlx5_{}", number + 2);
    eventually("the end of the last test's pods", || {
        devices(&lab.node).contains(&rdma) || names(place.join("infiniband")).is_empty()
    });
    if !devices(&lab.node).contains(&rdma) {
        lab.node.sh(&format!("rdma link add {rdma} type fakerdma netdev {device}"));
    }
    Function { pci, rdma }
}

fn pci_device(pci: &str) -> PathBuf {
    Path::new("/sys/bus/pci/devices").join(pci)
}

/// The network device of a PCI device, if it is in the machine's own namespace.
fn net_device(place: &Path) -> Option<String> {
    names(place.join("net")).into_iter().next()
}

fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The RDMA devices of a namespace: what iproute2 says.
fn devices(room: &Room) -> Vec<String> {
    let list = room.sh("rdma dev");
    let name = |line: &str| line.split_whitespace().nth(1).map(|word| word.replace(':', ""));
    list.lines().filter_map(name).collect()
}

#[test]
#[ignore = "VM tier: needs virtual functions and RDMA in exclusive mode"]
fn a_virtual_function_with_its_rdma_device_joins_pods_node_and_services() {
    let card = Card::new();
    let lab = &card.lab;
    let (one, other) = (lab.pod(), lab.pod());
    let before = [&lab.node, &one.room, &other.room].map(|room| (room, Snapshot::of(room)));
    let others = card.attach(&other, 1);
    let mine = card.attach(&one, 0);
    assert_eq!(devices(&one.room), [card.functions[0].rdma.clone()]);
    assert_eq!(devices(&other.room), [card.functions[1].rdma.clone()]);
    ["eth0", "net1"].iter().for_each(|nic| one.check(nic).unwrap());
    promise::core(lab, (&one, &mine), (&other, &others));
    for pod in [&one, &other] {
        ["net1", "eth0"].iter().for_each(|nic| pod.detach(nic));
    }
    assert!(card.is_whole());
    before.iter().for_each(|(room, snapshot)| snapshot.comes_back_in(room));
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
}

#[test]
#[ignore = "VM tier: needs virtual functions and RDMA in exclusive mode"]
fn a_pod_that_is_gone_gave_its_function_back() {
    let card = Card::new();
    let lab = &card.lab;
    let (gone, next) = (lab.pod(), lab.pod());
    card.attach(&gone, 0);
    assert!(!card.is_whole());
    gone.room.delete();
    eventually("the function's way home", || card.is_whole());
    for nic in ["net1", "eth0"] {
        gone.detach_as(nic, Memory::None);
    }
    assert_eq!((names(lab.path("rdma")), lab.records()), (vec![".lock".to_owned()], vec![]));
    // Debian's host-device asks no IPAM once the namespace is gone: reclaiming is left with eth0's.
    assert_eq!(lab.allocated().len(), 2);
    assert!(lab.allocated().iter().all(|address| NETS[0].contains(*address)));
    // Whatever the kernel calls it by now, the next pod can have it.
    let addresses = card.attach(&next, 0);
    assert_eq!(devices(&next.room), [card.functions[0].rdma.clone()]);
    promise::node_to_pod(lab, &next, &addresses);
    promise::answers_outside(lab, &next, &addresses);
    ["net1", "eth0"].iter().for_each(|nic| next.detach(nic));
}

#[test]
#[ignore = "VM tier: needs virtual functions and RDMA in exclusive mode"]
fn a_chain_that_fails_behind_rdma_gives_all_back() {
    let card = Card::new();
    let lab = &card.lab;
    let pod = lab.pod();
    let before = [&lab.node, &pod.room].map(|room| (room, Snapshot::of(room)));
    let network = card.network(0).set("tuning", "sysctl", json!({"net.no.such": "1"}));
    let failed = pod.try_attach("eth0", &network).unwrap_err();
    assert_eq!(failed.kind, "tuning", "{failed:?}");
    assert!(card.is_whole());
    before.iter().for_each(|(room, snapshot)| snapshot.holds_in(room));
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
}
