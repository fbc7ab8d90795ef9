//! A pod: a namespace, and the calls that give it interfaces and take them away.

use super::room::{Room, eventually};
use super::{Ask, Heard, Node, PLUGIN, PLUGINS, both};
use serde_json::{Value, json};
use std::net::IpAddr;

/// A namespace with a container id.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) room: Room,
    pub(crate) container: String,
    node: &'a Node,
    /// What its addresses end in.
    number: u32,
}

impl<'a> Pod<'a> {
    pub(crate) fn new(node: &'a Node, number: u32) -> Self {
        let id = u64::from(std::process::id()) << 20 | u64::from(number);
        let container = format!("{:011x}{}", id & 0xfff_ffff_ffff, "0f".repeat(26));
        // Decimal, so that a number is the same text in both families.
        Self { room: Room::new(), container, node, number: 100 + number }
    }

    /// Its addresses in one of the two nets.
    pub(crate) fn addresses(&self, net: u32) -> [IpAddr; 2] {
        both(net, self.number)
    }

    /// The main plugin's configuration for an interface in one of the two nets.
    fn main(&self, net: u32) -> Value {
        let number = self.number;
        let ips = [
            json!({"address": format!("172.3{net}.0.{number}/24"), "gateway": format!("172.3{net}.0.1")}),
            json!({"address": format!("fd3{net}::{number}/64"), "gateway": format!("fd3{net}::1")}),
        ];
        json!({
            "cniVersion": "1.0.0",
            "name": format!("net{net}"),
            "type": "macvlan",
            "master": format!("up{net}"),
            "mode": "bridge",
            "ipam": {
                "type": "static",
                "addresses": ips,
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        })
    }

    fn call(&self, verb: &str, nic: &str, conf: Value) -> Ask {
        let ask = Ask::new(verb, conf).container(&self.container).netns(self.room.path());
        ask.nic(nic).env("CNI_PATH", PLUGINS)
    }

    /// Gives the pod an interface in one of the two nets by Debian's macvlan; gives its result.
    #[track_caller]
    pub(crate) fn wire(&self, nic: &str, net: u32) -> Value {
        let ask = self.call("ADD", nic, self.main(net));
        let heard = self.node.send(&format!("{PLUGINS}/macvlan"), &ask).ok();
        eventually("the end of duplicate address detection", || {
            self.room.ip("-6 addr show tentative").is_empty()
        });
        heard.json()
    }

    /// Takes the interface away again.
    #[track_caller]
    pub(crate) fn unwire(&self, nic: &str, net: u32) {
        let ask = self.call("DEL", nic, self.main(net));
        self.node.send(&format!("{PLUGINS}/macvlan"), &ask).ok();
    }

    /// A call of the coordinator for one interface, after the main plugin's result.
    pub(crate) fn ask(&self, verb: &str, nic: &str, previous: &Value) -> Ask {
        let ask = self.call(verb, nic, self.node.lab.conf());
        ask.set("prevResult", previous.clone())
    }

    /// Calls the coordinator.
    pub(crate) fn send(&self, ask: &Ask) -> Heard {
        self.node.send(PLUGIN, ask)
    }

    /// An interface by macvlan, coordinated; gives the call of its ADD.
    #[track_caller]
    pub(crate) fn attach(&self, nic: &str, net: u32) -> Ask {
        let previous = self.wire(nic, net);
        let ask = self.ask("ADD", nic, &previous);
        self.send(&ask).ok();
        ask
    }
}
