//! What the tests of the plugin share: a node with its uplinks, pods with interfaces by Debian's plugins,
//! and a far host, all in namespaces.
//!
//! ```text
//!   far ---- br0 (172.30.0.0/24, fd30::/64) ---- up0  node
//!       ---- br1 (172.31.0.0/24, fd31::/64) ---- up1
//! ```
//!
//! The far host is `.1` and `::1` of both nets and their router; the node is `.2` and `::2`; pods get
//! their addresses from `.100` on. Interfaces are macvlans of the uplinks, so that no packet goes
//! between pod and node but through what the plugin makes. Invariants: a plugin process sees the
//! variables of its call and none of the caller's, and everything it writes lies in the lab's directory.

#![expect(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod ask;
pub(crate) mod pod;
pub(crate) mod room;
pub(crate) mod snapshot;

use room::Room;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

pub(crate) use ask::{Ask, Heard};
pub(crate) use pod::Pod;

/// The binary under test.
pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_coordinator");

/// Where Debian puts the plugins.
pub(crate) const PLUGINS: &str = "/usr/lib/cni";

/// A namespace that is there without any right: the plugin's own.
pub(crate) const HERE: &str = "/proc/self/ns/net";

/// A directory with records, a log and whatever else a test makes.
#[derive(Debug)]
pub(crate) struct Lab {
    home: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("sp-coordinator-").tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A configuration of the network `net` that writes into the lab.
    pub(crate) fn conf(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "net",
            "type": "coordinator",
            "stateDir": self.path("state"),
            "logOptions": {"logFile": self.path("log"), "logLevel": "debug"},
        })
    }

    /// A call for `eth0` of a container.
    pub(crate) fn ask(&self, verb: &str, container: &str) -> Ask {
        Ask::new(verb, self.conf()).container(container)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The attachments that there are records of, as `container/interface`.
    pub(crate) fn records(&self) -> Vec<String> {
        let names = |dir: PathBuf| {
            let entries = std::fs::read_dir(dir).into_iter().flatten();
            let name = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.unwrap().file_name().into_string().unwrap()
            };
            entries.map(name).collect::<Vec<_>>()
        };
        let pods = self.path("state").join("pods");
        let mut records = Vec::new();
        for container in names(pods.clone()) {
            for file in names(pods.join(&container)) {
                records.push(format!("{container}/{}", file.trim_end_matches(".json")));
            }
        }
        records.sort_unstable();
        records
    }

    pub(crate) fn record_path(&self, container: &str, interface: &str) -> PathBuf {
        self.path("state").join("pods").join(container).join(format!("{interface}.json"))
    }
}

/// A node with two uplinks, and what is beyond them.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) lab: Lab,
    pub(crate) host: Room,
    pub(crate) far: Room,
    switch: Room,
    pods: AtomicU32,
}

impl Node {
    pub(crate) fn new() -> Self {
        let node = Self {
            lab: Lab::new(),
            host: Room::new(),
            far: Room::new(),
            switch: Room::new(),
            pods: AtomicU32::new(0),
        };
        for net in 0..2 {
            node.switch.ip(&format!("link add br{net} type bridge"));
            node.switch.ip(&format!("link set br{net} up"));
            node.plug(&node.host, net, 2);
            node.plug(&node.far, net, 1);
        }
        node.host.ip("route add default via 172.30.0.1");
        node.host.ip("-6 route add default via fd30::1");
        node.far.sysctl("net/ipv4/ip_forward", 1);
        node.far.sysctl("net/ipv6/conf/all/forwarding", 1);
        snapshot::settled([&node.host, &node.far]);
        node
    }

    /// Puts a leg of a room into one of the two nets, with the addresses of this number.
    fn plug(&self, room: &Room, net: u32, number: u32) {
        let (leg, switch) = (format!("up{net}"), &self.switch.name);
        room.ip(&format!("link add {leg} type veth peer name p{net}-{number} netns {switch}"));
        self.switch.ip(&format!("link set p{net}-{number} master br{net} up"));
        room.ip(&format!("addr add 172.3{net}.0.{number}/24 dev {leg}"));
        room.ip(&format!("addr add fd3{net}::{number}/64 dev {leg} nodad"));
        room.ip(&format!("link set {leg} up"));
    }

    /// A pod without interfaces. Its container id is as long as containerd's, and all differ in the
    /// first eleven characters.
    pub(crate) fn pod(&self) -> Pod<'_> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        Pod::new(self, number)
    }

    /// Calls a plugin inside the node.
    pub(crate) fn send(&self, program: &str, ask: &Ask) -> Heard {
        ask.send_as(self.host.command(program))
    }

    /// The node's addresses in one of the two nets.
    pub(crate) fn addresses(&self, net: u32) -> [IpAddr; 2] {
        both(net, 2)
    }

    /// The far host's addresses in one of the two nets.
    pub(crate) fn far_addresses(&self, net: u32) -> [IpAddr; 2] {
        both(net, 1)
    }
}

/// The addresses of this number in one of the two nets.
pub(crate) fn both(net: u32, number: u32) -> [IpAddr; 2] {
    [format!("172.3{net}.0.{number}"), format!("fd3{net}::{number}")]
        .map(|text| text.parse().unwrap())
}

/// The plugin by itself, in this process's own namespace.
pub(crate) fn plain() -> Command {
    Command::new(PLUGIN)
}
