//! A node and what is around it.
//!
//! ```text
//!   node ==up0== net 0 172.30.0.0/24 fd30::/64 ==\
//!        ==up1== net 1 172.31.0.0/24 fd31::/64 ===> far ==out0== client 198.51.100.7 2001:db8:51::7
//!        ==up2== net 2 172.32.0.0/24 fd32::/64 ==/
//!        ==mgmt0== 172.40.0.0/24 fd40::/64 =====/        (the node's default route)
//!   peer is in the three nets as well: a pod or a host of another node
//! ```
//!
//! In each net `far` is .1, the node .2 and the peer .3; pods get addresses from .100 on. `far` takes
//! from each link only sources of that link's subnet, in both families, so a reply that leaves by another
//! interface than it should is lost. The suites make a laboratory for each test: it takes a quarter of a
//! second and no test sees another's leftovers.

use crate::network::Network;
use crate::pod::Pod;
use crate::room::{Room, ip};
use crate::tap::nft;
use serde_json::Value;
use spiderpool_core::command::Command;
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::moment::Moment;
use spiderpool_store::{Extra, OpenOptions, Patience, Store};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A subnet in both families, each without its last number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    v4: &'static str,
    v6: &'static str,
}

/// The three underlay nets.
pub const NETS: [Subnet; 3] = [
    Subnet { v4: "172.30.0.", v6: "fd30::" },
    Subnet { v4: "172.31.0.", v6: "fd31::" },
    Subnet { v4: "172.32.0.", v6: "fd32::" },
];

/// The net of the node's own address.
pub const MANAGEMENT: Subnet = Subnet { v4: "172.40.0.", v6: "fd40::" };

/// The net beyond the router.
pub const OUTSIDE: Subnet = Subnet { v4: "198.51.100.", v6: "2001:db8:51::" };

/// The overlay's pods of the node.
pub const OVERLAY: Subnet = Subnet { v4: "10.244.0.", v6: "fd44::" };

/// The services.
pub const SERVICES: Subnet = Subnet { v4: "10.96.0.", v6: "fd96::" };

/// The number of the external client.
pub const CLIENT: u32 = 7;

impl Subnet {
    /// The address with this number, IPv4 or IPv6. Numbers are written in decimal in both.
    #[must_use]
    pub fn address(self, is_v4: bool, number: u32) -> IpAddr {
        let begin = if is_v4 { self.v4 } else { self.v6 };
        format!("{begin}{number}").parse().unwrap()
    }

    /// Both addresses with this number, IPv4 first.
    #[must_use]
    pub fn both(self, number: u32) -> [IpAddr; 2] {
        [self.address(true, number), self.address(false, number)]
    }

    /// The prefix of a family.
    #[must_use]
    pub fn prefix(self, is_v4: bool) -> String {
        if is_v4 { format!("{}0/24", self.v4) } else { format!("{}/64", self.v6) }
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let begin = if address.is_ipv4() { self.v4 } else { self.v6 };
        address.to_string().starts_with(begin)
    }
}

/// A node, its surroundings, and a directory for whatever plugins write.
#[derive(Debug)]
pub struct Lab {
    /// The node: plugins run here.
    pub node: Room,
    /// The router of every subnet.
    pub far: Room,
    /// An external client, behind the router.
    pub client: Room,
    /// A host or pod elsewhere in the three nets.
    pub peer: Room,
    /// What joins the rooms of each net: bridges `br0`, `br1`, `br2`.
    pub switch: Room,
    pods: AtomicU32,
    home: TempDir,
}

impl Lab {
    /// Makes the laboratory, and pools of addresses for each net.
    #[must_use]
    pub fn new() -> Self {
        Self::around(Room::new("node"))
    }

    /// As [`new`](Self::new), around a node that is there.
    #[must_use]
    pub fn around(node: Room) -> Self {
        let lab = Self {
            node,
            far: Room::new("far"),
            client: Room::new("client"),
            peer: Room::new("peer"),
            switch: Room::new("switch"),
            pods: AtomicU32::new(0),
            home: tempfile::Builder::new().prefix("sp-chains-").tempdir().unwrap(),
        };
        for router in [&lab.node, &lab.far] {
            router.sysctl("net/ipv4/ip_forward", 1);
            router.sysctl("net/ipv6/conf/all/forwarding", 1);
        }
        lab.wire();
        lab.guard();
        lab.define_pools();
        lab
    }

    fn wire(&self) {
        let mut switch = String::new();
        for net in 0..NETS.len() {
            let line =
                format!("link add br{net} type bridge mcast_snooping 0\nlink set br{net} up\n");
            switch.push_str(&line);
        }
        self.switch.ip_batch(&switch);
        for (net, subnet) in NETS.into_iter().enumerate() {
            for (room, number) in [(&self.far, 1), (&self.node, 2), (&self.peer, 3)] {
                let leg = format!("up{net}");
                self.plug(room, &leg, subnet.both(number), Some(net));
            }
        }
        self.join((&self.node, "mgmt0", 2), (&self.far, "mgmt0", 1), MANAGEMENT);
        self.join((&self.client, "out0", CLIENT), (&self.far, "out0", 1), OUTSIDE);
        for (room, subnet) in
            [(&self.node, MANAGEMENT), (&self.client, OUTSIDE), (&self.peer, NETS[0])]
        {
            let [v4, v6] = subnet.both(1);
            room.ip_batch(&format!("route add default via {v4}\nroute add default via {v6}"));
        }
    }

    /// Puts a leg of a room into a bridge of the switch.
    fn plug(&self, room: &Room, leg: &str, addresses: [IpAddr; 2], net: Option<usize>) {
        let port = format!("{}-{leg}", &room.name()[6..9]);
        let switch = self.switch.name();
        room.ip_batch(&format!(
            "link add {leg} type veth peer name {port} netns {switch}\n{}",
            legged(leg, addresses)
        ));
        // A neighbour that has gone is given up soon, so that a reused address is found again.
        for ip in ["ipv4", "ipv6"] {
            room.sysctl(&format!("net/{ip}/neigh/{leg}/delay_first_probe_time"), 1);
        }
        let master = net.map(|net| format!("master br{net} ")).unwrap_or_default();
        self.switch.ip(&format!("link set {port} {master}up"));
    }

    /// Joins two rooms directly.
    fn join(&self, one: (&Room, &str, u32), other: (&Room, &str, u32), subnet: Subnet) {
        let (room, leg, number) = one;
        let (peer, peer_leg, peer_number) = other;
        room.ip_batch(&format!(
            "link add {leg} type veth peer name {peer_leg} netns {}\n{}",
            peer.name(),
            legged(leg, subnet.both(number))
        ));
        peer.ip_batch(&legged(peer_leg, subnet.both(peer_number)));
    }

    /// Has the router drop what does not belong on the link that it comes by.
    fn guard(&self) {
        let mut rules = String::new();
        let legs = NETS.into_iter().enumerate().map(|(net, subnet)| (format!("up{net}"), subnet));
        for (leg, subnet) in legs.chain([("mgmt0".to_owned(), MANAGEMENT)]) {
            let [v4, v6] = [subnet.prefix(true), subnet.prefix(false)];
            write!(
                rules,
                "iifname {leg} ip saddr != {v4} counter drop;\n\
                 iifname {leg} ip6 saddr != {{ {v6}, fe80::/10, :: }} counter drop;\n"
            )
            .unwrap();
        }
        let chain = format!("type filter hook prerouting priority -300; {rules}");
        nft(&self.far, &format!("table inet guard {{ chain pre {{ {chain} }} }}"));
    }

    fn define_pools(&self) {
        let store = self.store();
        let nets = NETS.into_iter().enumerate().map(|(net, subnet)| (format!("net{net}"), subnet));
        for (name, subnet) in nets.chain([("overlay".to_owned(), OVERLAY)]) {
            for (family, is_v4) in [("v4", true), ("v6", false)] {
                let address = |number| subnet.address(is_v4, number).to_string();
                let draft = PoolDraft {
                    name: format!("{name}-{family}"),
                    prefix: subnet.prefix(is_v4),
                    ranges: vec![format!("{}-{}", address(100), address(199))],
                    gateway: Some(address(1)),
                    ..PoolDraft::default()
                };
                let command = Command::DefinePool(Pool::try_from(draft).unwrap());
                store.execute(&command, Moment { now_ms: 1, seed: 1 }, &Extra::default()).unwrap();
            }
        }
    }

    /// The store of addresses, opened for looking.
    #[must_use]
    pub fn store(&self) -> Store {
        let patience = Patience::Each(Duration::from_secs(60));
        let options = OpenOptions { patience, ..OpenOptions::create() };
        Store::open(self.path("store"), options).unwrap()
    }

    /// The addresses that are allocated.
    #[must_use]
    pub fn allocated(&self) -> Vec<IpAddr> {
        let view = self.store().load_all().unwrap();
        view.allocations().unwrap().map(|found| found.address()).collect()
    }

    /// A path in the laboratory's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The attachments that the coordinator has records of, as `CONTAINER/INTERFACE.json`.
    #[must_use]
    pub fn records(&self) -> Vec<String> {
        let names = |dir: PathBuf| {
            let entries = std::fs::read_dir(dir).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        };
        let pods = self.path("state").join("pods");
        let files = names(pods.clone()).flat_map(|container| {
            names(pods.join(&container)).map(move |file| format!("{container}/{file}"))
        });
        files.collect()
    }

    /// What the plugins wrote into their logs.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("coordinator.log")).unwrap_or_default()
    }

    /// A pod without interfaces.
    #[must_use]
    pub fn pod(&self) -> Pod<'_> {
        Pod::new(self, self.pods.fetch_add(1, Ordering::Relaxed))
    }

    /// One of the underlay nets as a chain: macvlan, then the coordinator, then tuning.
    #[must_use]
    pub fn underlay(&self, net: usize) -> Network {
        Network::macvlan(self, net)
    }

    /// The overlay as a chain of one plugin: `ptp` or `bridge`.
    #[must_use]
    pub fn overlay(&self, kind: &str) -> Network {
        self.hide_overlay();
        Network::overlay(self, kind)
    }

    /// Hides the overlay's pods behind the node's address, as overlays do for what leaves the cluster.
    fn hide_overlay(&self) {
        let [v4, v6] = [OVERLAY.prefix(true), OVERLAY.prefix(false)];
        let uplinks = "{ mgmt0, up0, up1, up2 }";
        nft(
            &self.node,
            &format!(
                "table inet overlay; delete table inet overlay; table inet overlay {{ chain post {{ \
                 type nat hook postrouting priority srcnat; \
                 oifname {uplinks} ip saddr {v4} masquerade; oifname {uplinks} ip6 saddr {v6} masquerade; }} }}"
            ),
        );
    }

    /// The node's addresses of a net, IPv4 first.
    #[must_use]
    pub fn node_addresses(&self, subnet: Subnet) -> [IpAddr; 2] {
        subnet.both(2)
    }

    /// The external client's addresses, IPv4 first.
    #[must_use]
    pub fn client_addresses(&self) -> [IpAddr; 2] {
        OUTSIDE.both(CLIENT)
    }

    /// The key that every configuration of the coordinator has: where it keeps records and its log.
    pub(crate) fn coordinator(&self) -> Value {
        serde_json::json!({
            "type": "coordinator",
            "stateDir": self.path("state"),
            "logOptions": {"logFile": self.path("coordinator.log"), "logLevel": "debug"},
        })
    }

    /// Another laboratory's namespaces of this process that are still there.
    #[must_use]
    pub fn namespaces() -> Vec<String> {
        let mine = format!("-{}-", std::process::id());
        let list = ip("netns list");
        let names = list.lines().filter_map(|line| line.split_whitespace().next());
        names.filter(|name| name.contains(&mine)).map(str::to_owned).collect()
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// The lines that bring a leg up with its addresses.
fn legged(leg: &str, [v4, v6]: [IpAddr; 2]) -> String {
    format!("addr add {v4}/24 dev {leg}\naddr add {v6}/64 dev {leg} nodad\nlink set {leg} up\n")
}
