//! The plugin in a kernel that has RDMA: VM tier.
//!
//! The VM's SR-IOV card has virtual functions with network devices, and each gets an RDMA device of the
//! test module `fakerdma`, which moves between namespaces as a real one does. Tests share the card, so
//! they run one after another.

#![cfg(test)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spiderpool_netlink::Namespace;
use spiderpool_netlink::rdma::{RdmaSocket, SharingMode};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rdma");

/// How long the kernel may take to bring devices home from a namespace that ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A virtual function and the RDMA devices on it.
struct Function {
    pci: String,
    netdev: String,
    devices: Vec<String>,
}

/// The card with its functions; what a test leaves in other namespaces comes home at the end.
struct Card {
    functions: Vec<Function>,
    physical: String,
    records: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Card {
    /// Two functions: the first with one RDMA device, the second with two.
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut host = RdmaSocket::here().unwrap();
        if host.sharing_mode().unwrap() == SharingMode::Shared {
            host.set_sharing_mode(SharingMode::Exclusive).unwrap();
        }
        let physical = physical_function();
        let count = Path::new("/sys/class/net").join(&physical).join("device/sriov_numvfs");
        if fs::read_to_string(&count).unwrap().trim() == "0" {
            fs::write(&count, "2").unwrap();
        }
        let functions = [(0, vec!["mlx5_2"]), (1, vec!["mlx5_3", "mlx5_4"])]
            .map(|(number, names)| function(&mut host, &physical, number, &names));
        let records = tempfile::tempdir().unwrap();
        Self { functions: functions.into(), physical, records, _turn: turn }
    }

    fn conf(&self, function: usize) -> Value {
        json!({
            "cniVersion": "1.1.0", "name": "roce", "type": "rdma",
            "stateDir": self.records.path(),
            "deviceID": self.functions[function].pci,
            "prevResult": {"cniVersion": "1.1.0", "interfaces": [], "ips": []},
        })
    }
}

fn physical_function() -> String {
    let mut found = names("/sys/class/net").into_iter().filter(|name| {
        Path::new("/sys/class/net").join(name).join("device/sriov_totalvfs").exists()
    });
    found.next().expect("the VM has no card with virtual functions: is the module fakenic loaded?")
}

fn function(host: &mut RdmaSocket, physical: &str, number: u32, devices: &[&str]) -> Function {
    let place = PathBuf::from(format!("/sys/class/net/{physical}/device/virtfn{number}"));
    eventually("a network device on the virtual function", || !names(place.join("net")).is_empty());
    let netdev = names(place.join("net")).remove(0);
    let pci = fs::read_link(&place).unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    for name in devices {
        if !present(&host_devices(), name) {
            host.add_link(name, "fakerdma", &netdev).unwrap();
        }
    }
    Function { pci, netdev, devices: devices.iter().map(|name| (*name).to_owned()).collect() }
}

fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !probe() {
        assert!(Instant::now() < end, "{what} did not come about in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A pod's namespace.
struct Pod {
    name: String,
}

impl Pod {
    fn new(name: &str) -> Self {
        ip(&format!("netns add {name}"));
        Self { name: name.into() }
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    fn devices(&self) -> Vec<String> {
        let namespace = Namespace::by_name(&self.name).unwrap();
        let found = namespace.run(|_| RdmaSocket::here()?.devices()).unwrap();
        found.into_iter().map(|device| device.name).collect()
    }

    /// Ends the namespace now.
    fn end(self) {
        drop(self);
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.name));
    }
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

fn host_devices() -> Vec<String> {
    let found = RdmaSocket::here().unwrap().devices().unwrap();
    found.into_iter().map(|device| device.name).collect()
}

fn present(devices: &[String], name: &str) -> bool {
    devices.iter().any(|device| device == name)
}

/// Calls the plugin, and gives its exit code and what it printed; no code if a signal ended it.
fn call_with(
    env: &[(&str, &str)],
    verb: &str,
    (container, netns): (&str, &str),
    conf: &Value,
) -> (Option<i32>, Value) {
    let mut child = Command::new(PLUGIN)
        .env_clear()
        .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", container), ("CNI_NETNS", netns)])
        .envs([("CNI_IFNAME", "net1"), ("CNI_PATH", "/opt/cni/bin")])
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

fn call(verb: &str, container: &str, netns: &str, conf: &Value) -> (i32, Value) {
    let (exit, printed) = call_with(&[], verb, (container, netns), conf);
    (exit.unwrap(), printed)
}

fn done(verb: &str, container: &str, netns: &str, conf: &Value) -> Value {
    let (exit, printed) = call(verb, container, netns, conf);
    assert_eq!(exit, 0, "{verb}: {printed}");
    printed
}

fn refused(verb: &str, container: &str, netns: &str, conf: &Value, code: u64) -> String {
    let (exit, printed) = call(verb, container, netns, conf);
    assert_eq!((exit, printed["code"].as_u64()), (1, Some(code)), "{verb}: {printed}");
    printed.to_string()
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn a_device_goes_to_the_pod_and_comes_back() {
    let card = Card::new();
    let pod = Pod::new("there-and-back");
    let conf = card.conf(0);
    let printed = done("ADD", "c1", &pod.path(), &conf);
    assert_eq!(printed["cniVersion"], "1.1.0");
    assert_eq!(pod.devices(), ["mlx5_2"]);
    assert!(!present(&host_devices(), "mlx5_2"));
    done("CHECK", "c1", &pod.path(), &conf);
    done("ADD", "c1", &pod.path(), &conf);
    for _ in 0..2 {
        done("DEL", "c1", &pod.path(), &conf);
        assert!(present(&host_devices(), "mlx5_2"));
        assert_eq!(pod.devices(), [""; 0]);
    }
    refused("CHECK", "c1", &pod.path(), &conf, 101);
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn every_device_of_a_function_goes() {
    let card = Card::new();
    let pod = Pod::new("several");
    done("ADD", "c2", &pod.path(), &card.conf(1));
    assert_eq!(pod.devices(), card.functions[1].devices);
    done("DEL", "c2", &pod.path(), &card.conf(1));
    for name in &card.functions[1].devices {
        assert!(present(&host_devices(), name), "{name}");
    }
}

/// The fault tier: every change of ADD and of DEL is refused, or the process is killed before or after it.
#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn a_fault_at_any_change_is_mended_by_the_next_del() {
    let card = Card::new();
    let pod = Pod::new("faults");
    let (conf, devices) = (card.conf(1), &card.functions[1].devices);
    let (who, path) = ("c11", pod.path());
    let meets = |verb: &str, how: &str, number: usize| {
        let fault = format!("{how}:{number}");
        let env = [("SPIDERPOOL_TESTING", "1"), ("SPIDERPOOL_FAULT", fault.as_str())];
        let (exit, printed) = call_with(&env, verb, (who, &path), &conf);
        let is_killed = exit.is_none() && how != "error";
        let is_told = exit == Some(1) && printed.to_string().contains("SPIDERPOOL_FAULT");
        assert!(exit == Some(0) || is_killed || is_told, "{verb} {fault}: {exit:?} {printed}");
        exit != Some(0)
    };
    let is_home = |after: &str| {
        done("DEL", who, &path, &conf);
        let there = host_devices();
        assert!(devices.iter().all(|name| present(&there, name)), "{after}: {there:?}");
        assert_eq!(pod.devices(), [""; 0], "{after}");
        assert_eq!(names(card.records.path()), [".lock"], "{after}");
    };
    for how in ["error", "kill", "kill-before"] {
        for (verb, number) in ["ADD", "DEL"].into_iter().flat_map(|verb| [(verb, 1), (verb, 2)]) {
            if verb == "DEL" {
                done("ADD", who, &path, &conf);
            }
            assert!(meets(verb, how, number), "{verb} {how}:{number}");
            is_home(&format!("{verb} {how}:{number}"));
            done("ADD", who, &path, &conf);
            assert_eq!(&pod.devices(), devices);
            done("CHECK", who, &path, &conf);
            done("DEL", who, &path, &conf);
        }
        assert!(!meets("ADD", how, 3), "two devices take two changes");
        is_home(how);
    }
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn a_namespace_that_is_gone_gave_its_devices_back() {
    let card = Card::new();
    let pod = Pod::new("gone");
    let path = pod.path();
    done("ADD", "c3", &path, &card.conf(0));
    pod.end();
    eventually("the device's way home", || present(&host_devices(), "mlx5_2"));
    done("DEL", "c3", &path, &card.conf(0));
    assert_eq!(names(card.records.path()), [".lock"]);
    done("DEL", "c3", "", &card.conf(0));
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn a_device_is_found_by_its_hardware_address() {
    let card = Card::new();
    let pod = Pod::new("by-address");
    let mac = "02:11:22:33:44:55";
    ip(&format!("link set {} vf 0 mac {mac}", card.physical));
    let mut conf = card.conf(0);
    conf["deviceID"] = Value::Null;
    let interface = json!({"name": "net1", "mac": mac.to_uppercase(), "sandbox": pod.path()});
    conf["prevResult"]["interfaces"] = json!([interface]);
    done("ADD", "c4", &pod.path(), &conf);
    assert_eq!(pod.devices(), ["mlx5_2"]);
    done("DEL", "c4", &pod.path(), &conf);
    conf["prevResult"]["interfaces"][0]["mac"] = "02:99:99:99:99:99".into();
    let told = refused("ADD", "c4", &pod.path(), &conf, 7);
    assert!(told.contains("0 virtual functions have the hardware address"), "{told}");
    conf["prevResult"]["interfaces"] = json!([interface, interface]);
    refused("ADD", "c4", &pod.path(), &conf, 7);
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn what_leads_nowhere_is_refused_and_leaves_nothing() {
    let card = Card::new();
    let pod = Pod::new("nowhere");
    let check = |key: &str, value: Value, code: u64, expected: &str| {
        let mut conf = card.conf(0);
        conf[key] = value;
        let told = refused("ADD", "c5", &pod.path(), &conf, code);
        assert!(told.contains(expected), "{told}");
        assert_eq!(names(card.records.path()), [".lock"]);
    };
    check("deviceID", "0000:ff:1f.7".into(), 7, "there is no device");
    check("deviceID", "../../net".into(), 7, "can be no device's name");
    check("deviceID", 7.into(), 7, "must be text");
    check("prevResult", Value::Null, 7, "no `prevResult`");
    let told = refused("ADD", "c5", "/run/netns/missing", &card.conf(0), 8);
    assert!(told.contains("/run/netns/missing"), "{told}");
    assert!(present(&host_devices(), "mlx5_2"));
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn a_device_in_another_pod_is_not_taken() {
    let card = Card::new();
    let (first, second) = (Pod::new("first"), Pod::new("second"));
    done("ADD", "c6", &first.path(), &card.conf(0));
    refused("ADD", "c7", &second.path(), &card.conf(0), 7);
    assert_eq!(first.devices(), ["mlx5_2"]);
    done("DEL", "c7", &second.path(), &card.conf(0));
    assert_eq!(first.devices(), ["mlx5_2"]);
    done("DEL", "c6", &first.path(), &card.conf(0));
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn what_the_runtime_does_not_list_comes_home() {
    let card = Card::new();
    let (kept, lost) = (Pod::new("kept"), Pod::new("lost"));
    done("ADD", "c8", &kept.path(), &card.conf(0));
    done("ADD", "c9", &lost.path(), &card.conf(1));
    let mut conf = card.conf(0);
    done("GC", "", "", &conf);
    assert_eq!(lost.devices().len(), 2, "no list means nothing");
    conf["cni.dev/valid-attachments"] = json!([{"containerID": "c8", "ifname": "net1"}]);
    done("GC", "", "", &conf);
    assert_eq!(kept.devices(), ["mlx5_2"]);
    assert_eq!(lost.devices(), [""; 0]);
    conf["cni.dev/valid-attachments"] = json!([]);
    done("GC", "", "", &conf);
    assert!(present(&host_devices(), "mlx5_2"));
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn shared_mode_is_told_with_what_to_do() {
    let card = Card::new();
    let conf = card.conf(0);
    done("STATUS", "", "", &conf);
    let mut host = RdmaSocket::here().unwrap();
    // Possible only while there is no other namespace.
    host.set_sharing_mode(SharingMode::Shared).unwrap();
    let told = refused("STATUS", "", "", &conf, 50);
    assert!(told.contains("netns_mode=0"), "{told}");
    let pod = Pod::new("shared");
    refused("ADD", "c10", &pod.path(), &conf, 100);
    let busy = host.set_sharing_mode(SharingMode::Exclusive).unwrap_err().to_string();
    assert!(busy.contains("EBUSY"), "{busy}");
    pod.end();
    eventually("the end of the namespace", || {
        host.set_sharing_mode(SharingMode::Exclusive).is_ok()
    });
}

#[test]
#[ignore = "VM tier: needs RDMA in exclusive mode"]
fn a_port_names_its_network_device() {
    let card = Card::new();
    let mut host = RdmaSocket::here().unwrap();
    let devices = host.devices().unwrap();
    let device = devices.iter().find(|device| device.name == "mlx5_2").unwrap();
    let links = host.links(device).unwrap();
    assert_eq!(links[0].netdev.as_deref(), Some(card.functions[0].netdev.as_str()));
}
