//! A pod: a namespace, a container id, and the chains that gave it interfaces.
//!
//! Chains are called as a runtime calls them (CNI spec 1.0, section 3): each plugin gets its
//! predecessor's result; the first failure ends an ADD and DEL follows for the whole chain; DEL goes
//! backwards and is given the last result.

use crate::call::{Call, Heard, PLUGINS, arguments, our_programs};
use crate::lab::Lab;
use crate::network::Network;
use crate::room::Room;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How often an ADD or a DEL is asked again that was told to come back.
const PATIENCE: usize = 3;
/// The error code for that (CNI spec 1.1.0, section 5).
const TRY_AGAIN_LATER: u64 = 11;

/// A namespace that chains give interfaces to.
#[derive(Debug)]
pub struct Pod<'a> {
    /// Its namespace.
    pub room: Room,
    /// Its container's id, as long as containerd's; no other is alike in the first eleven characters.
    pub container: String,
    lab: &'a Lab,
    attached: RefCell<BTreeMap<String, (Network, Value)>>,
}

/// A chain that failed, with the plugin that did.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The plugin's kind.
    pub kind: String,
    /// The error's code.
    pub code: u64,
    /// The error's message and details.
    pub told: String,
}

/// How a runtime calls DEL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It has the namespace and the result.
    Whole,
    /// It was restarted: an empty CNI_NETNS and no result.
    None,
}

impl<'a> Pod<'a> {
    pub(crate) fn new(lab: &'a Lab, number: u32) -> Self {
        let room = Room::new("pod");
        let id = u64::from(std::process::id()) << 20 | u64::from(number);
        let container = format!("{:011x}{}", id & 0xfff_ffff_ffff, "0f".repeat(26));
        Self { room, container, lab, attached: RefCell::default() }
    }

    /// The name of the pair's end on the node.
    #[must_use]
    pub fn host_end(&self) -> String {
        format!("veth{}", &self.container[..11])
    }

    fn call(&self, verb: &str, nic: &str, kind: &str, conf: Value) -> Call {
        let places = format!("{}:{PLUGINS}", our_programs().display());
        let call = Call { kind: kind.to_owned(), env: BTreeMap::new(), conf };
        call.env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.container)
            .env("CNI_NETNS", &self.room.path())
            .env("CNI_IFNAME", nic)
            .env("CNI_PATH", &places)
            .env("CNI_ARGS", &arguments(self.room.name(), &self.container))
    }

    /// A call of one plugin of a network with its predecessor's result, for whoever wants to change it
    /// before it is made.
    #[must_use]
    pub fn request(
        &self,
        verb: &str,
        nic: &str,
        (network, kind): (&Network, &str),
        previous: Option<&Value>,
    ) -> Call {
        let place = (0..network.plugins.len()).find(|place| network.kind(*place) == kind).unwrap();
        self.call(verb, nic, kind, network.conf(place, previous))
    }

    /// Calls one plugin of a network by itself.
    #[must_use]
    pub fn plugin(&self, verb: &str, nic: &str, network: &Network, kind: &str) -> Heard {
        let place = (0..network.plugins.len()).find(|place| network.kind(*place) == kind).unwrap();
        let previous = self.attached.borrow().get(nic).map(|(_, result)| result.clone());
        self.call(verb, nic, kind, network.conf(place, previous.as_ref())).send(&self.lab.node)
    }

    /// Attaches a network as an interface; gives its addresses, IPv4 first. As a runtime does, it asks again
    /// where a plugin was busy; another failure fails the test.
    #[track_caller]
    pub fn attach(&self, nic: &str, network: &Network) -> Vec<IpAddr> {
        let mut added = self.try_attach(nic, network);
        for _ in 0..PATIENCE {
            if !matches!(&added, Err(Failed { code: TRY_AGAIN_LATER, .. })) {
                break;
            }
            added = self.try_attach(nic, network);
        }
        match added {
            Ok(addresses) => addresses,
            Err(failed) => panic!("{nic}: {failed:?}\n{}", self.lab.log()),
        }
    }

    /// Attaches a network as an interface. After a failure the whole chain is taken back, as runtimes do.
    ///
    /// # Errors
    /// [`Failed`] with the plugin that did not succeed.
    pub fn try_attach(&self, nic: &str, network: &Network) -> Result<Vec<IpAddr>, Failed> {
        let added = self.add(nic, network);
        if added.is_err() {
            self.delete(nic, network, None, Memory::Whole);
        }
        added
    }

    /// Sends ADD along the chain and leaves a failure as it is.
    ///
    /// # Errors
    /// [`Failed`] with the plugin that did not succeed.
    pub fn add(&self, nic: &str, network: &Network) -> Result<Vec<IpAddr>, Failed> {
        let mut previous: Option<Value> = None;
        for place in 0..network.plugins.len() {
            let kind = network.kind(place);
            let conf = network.conf(place, previous.as_ref());
            let heard = self.call("ADD", nic, kind, conf).send(&self.lab.node);
            if !heard.is_well() {
                let (code, told) = heard.error();
                return Err(Failed { kind: kind.to_owned(), code, told });
            }
            previous = Some(heard.json());
        }
        let result = previous.unwrap_or_default();
        let addresses = addresses(&result);
        self.attached.borrow_mut().insert(nic.to_owned(), (network.clone(), result));
        Ok(addresses)
    }

    /// The last result of an interface's chain.
    #[must_use]
    pub fn result(&self, nic: &str) -> Value {
        self.attached.borrow()[nic].1.clone()
    }

    /// Sends CHECK along an interface's chain; gives the first complaint.
    ///
    /// # Errors
    /// [`Failed`] with the plugin that found something.
    pub fn check(&self, nic: &str) -> Result<(), Failed> {
        let (network, result) = self.attached.borrow()[nic].clone();
        for place in 0..network.plugins.len() {
            let kind = network.kind(place);
            let heard = self.call("CHECK", nic, kind, network.conf(place, Some(&result)));
            let heard = heard.send(&self.lab.node);
            if !heard.is_well() {
                let (code, told) = heard.error();
                return Err(Failed { kind: kind.to_owned(), code, told });
            }
        }
        Ok(())
    }

    /// Takes an interface away; a failure fails the test.
    #[track_caller]
    pub fn detach(&self, nic: &str) {
        self.detach_as(nic, Memory::Whole);
    }

    /// Takes an interface away with what the runtime remembers; a failure fails the test.
    #[track_caller]
    pub fn detach_as(&self, nic: &str, memory: Memory) {
        let (network, result) = self.attached.borrow()[nic].clone();
        self.delete(nic, &network, Some(&result), memory);
        self.attached.borrow_mut().remove(nic);
    }

    /// Sends DEL along a chain, backwards; every plugin must succeed. As a runtime does, it asks again a
    /// plugin that was busy: a hundred pods that go at once wait for the disk.
    #[track_caller]
    pub fn delete(&self, nic: &str, network: &Network, result: Option<&Value>, memory: Memory) {
        for place in (0..network.plugins.len()).rev() {
            let kind = network.kind(place);
            let result = result.filter(|_| memory == Memory::Whole);
            let mut call = self.call("DEL", nic, kind, network.conf(place, result));
            if memory == Memory::None {
                call = call.env("CNI_NETNS", "");
            }
            let mut heard = call.send(&self.lab.node);
            for _ in 0..PATIENCE {
                if heard.is_well() || heard.error().0 != TRY_AGAIN_LATER {
                    break;
                }
                heard = call.send(&self.lab.node);
            }
            assert!(heard.is_well(), "DEL of {nic} by {kind}: {heard:?}");
        }
    }

    /// Whether one of its links has an address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.room.ip("-o addr").contains(&format!(" {address}/"))
    }

    /// The hardware address of a link, as the kernel has it.
    #[must_use]
    pub fn mac(&self, nic: &str) -> String {
        let line = self.room.ip(&format!("-o link show {nic}"));
        crate::room::word_after(&line, "link/ether").unwrap()
    }

    /// A link's MTU.
    #[must_use]
    pub fn mtu(&self, nic: &str) -> String {
        crate::room::word_after(&self.room.ip(&format!("-o link show {nic}")), "mtu").unwrap()
    }
}

/// The addresses of a result, IPv4 first.
fn addresses(result: &Value) -> Vec<IpAddr> {
    let ips = result["ips"].as_array().cloned().unwrap_or_default();
    let text = |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let mut addresses: Vec<IpAddr> = ips.iter().map(|ip| text(ip).parse().unwrap()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}
