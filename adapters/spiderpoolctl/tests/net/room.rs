//! A node, a pod with an interface in the node's network, and the commands run on the node.
//!
//! The node has `up0` with 172.40.0.2 and fd40::2, the pod a macvlan of it with `.100`; the far end of
//! `up0` is `.1`, the pod's router.

use serde_json::{Value, json};
use spiderpool_cni::NetConf;
use spiderpool_coordinator::conf::Conf;
use spiderpool_coordinator::facts::{Configured, Facts as _, PodName};
use spiderpool_core::net::LinkName;
use spiderpool_host::attachment::{Attached, Records, Subject, Wanted, attach};
use spiderpool_netlink::{Namespace, RunError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The container's id, as long as a runtime's.
pub(crate) const CONTAINER: &str =
    "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff";

/// A namespace that goes with the test.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: String,
}

impl Room {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let room = Self { name: format!("sp-ctlnet-{}-{number}", std::process::id()) };
        run("ip", &format!("netns add {}", room.name));
        room.ip("link set lo up");
        room
    }

    pub(crate) fn ip(&self, arguments: &str) -> String {
        run("ip", &format!("-n {} {arguments}", self.name))
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).args(["--", program]);
        command
    }

    pub(crate) fn forget_marks(&self) {
        assert!(self.command("nft").args(["flush", "ruleset"]).status().unwrap().success());
    }

    fn snapshot(&self) -> String {
        let of = |what: &str| self.ip(what);
        let marks = self.command("nft").args(["list", "ruleset"]).output().unwrap().stdout;
        // How long an entry lives yet is no part of what there is.
        let texts = ["link show", "addr show", "rule show", "-6 rule show"].map(of);
        let routes = ["route show table all", "-6 route show table all"].map(of);
        let marks = String::from_utf8(marks).unwrap();
        format!("{}{}{marks}", texts.concat(), routes.concat())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "delete", &self.name]).output());
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) complaint: String,
    pub(crate) code: i32,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A node with one pod.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: Room,
    pub(crate) pod: Room,
    _far: Room,
    home: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("sp-ctlnet-").tempdir().unwrap();
        let node = Self { host: Room::new(), pod: Room::new(), _far: Room::new(), home };
        let (host, pod, far) = (&node.host, &node.pod, &node._far);
        host.ip(&format!("link add up0 type veth peer name up0 netns {}", far.name));
        for (room, number) in [(host, 2), (far, 1)] {
            room.ip(&format!("addr add 172.40.0.{number}/24 dev up0"));
            room.ip(&format!("addr add fd40::{number}/64 dev up0 nodad"));
            room.ip("link set up0 up");
        }
        let pod_name = &pod.name;
        host.ip(&format!("link add link up0 name eth0 netns {pod_name} type macvlan mode bridge"));
        pod.ip("addr add 172.40.0.100/24 dev eth0");
        pod.ip("addr add fd40::100/64 dev eth0 nodad");
        pod.ip("link set eth0 up");
        pod.ip("route add default via 172.40.0.1");
        pod.ip("-6 route add default via fd40::1");
        node.settled();
        std::fs::write(node.config(), node.chain().to_string()).unwrap();
        node
    }

    /// Waits until the kernel has come to rest: every link but `lo` carries and has a link-local address
    /// that is no longer tried.
    pub(crate) fn settled(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while [&self.host, &self.pod].iter().any(|room| {
            let shown = room.ip("addr show");
            let are_all_there =
                shown.matches("fe80::").count() + 1 == shown.matches("link/").count();
            shown.contains("tentative") || shown.contains("NO-CARRIER") || !are_all_there
        }) {
            assert!(Instant::now() < end, "the kernel does not come to rest");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The list of a chain with the coordinator in it.
    fn chain(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "blue",
            "plugins": [
                {"type": "macvlan", "master": "up0"},
                {"type": "coordinator", "serviceCIDR": ["10.96.0.0/12"], "stateDir": self.state()},
            ],
        })
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("chain.conflist")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.state().join("pods").join(CONTAINER).join("eth0.json")
    }

    /// What both namespaces hold, as text.
    pub(crate) fn snapshot(&self) -> String {
        self.host.snapshot() + &self.pod.snapshot()
    }

    /// Runs `spiderpoolctl net` on the node. `CONFIG`, `POD` and `ID` stand for what they say; the
    /// directory of records is always given.
    pub(crate) fn net(&self, arguments: &str) -> Said {
        let mut process = self.host.command(env!("CARGO_BIN_EXE_spiderpoolctl"));
        process.arg("net");
        for word in arguments.split_whitespace() {
            match word {
                "CONFIG" => process.arg(self.config()),
                "POD" => process.arg(&self.pod.name),
                "ID" => process.arg(CONTAINER),
                word => process.arg(word),
            };
        }
        let output = process.arg("--state-dir").arg(self.state()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            text: text(output.stdout),
            complaint: text(output.stderr),
            code: output.status.code().unwrap(),
        }
    }

    /// Attaches `eth0` as the plugin does.
    pub(crate) fn attach(&self) -> Attached {
        let chain = self.chain();
        let mut element = chain["plugins"][1].clone();
        element["name"] = chain["name"].clone();
        element["cniVersion"] = chain["cniVersion"].clone();
        let net = NetConf::parse(element.to_string().as_bytes()).unwrap();
        let conf = Conf::of(&net).unwrap();
        let draft = Configured { said: conf.draft }.of_pod(&PodName::default()).unwrap();
        let configuration = draft.configuration().unwrap();
        let interface = LinkName::new("eth0").unwrap();
        let subject = Subject {
            container: CONTAINER,
            interface: &interface,
            until: Instant::now() + Duration::from_secs(30),
        };
        let netns = self.pod.path();
        let wanted = Wanted {
            subject,
            network: "blue",
            netns: Path::new(&netns),
            configuration: &configuration,
            expected: None,
        };
        let records = Records::at(self.state());
        let host = Namespace::by_name(&self.host.name).unwrap();
        let done: Result<_, RunError<std::fmt::Error>> =
            host.run(|_| Ok(attach(&records, &wanted)));
        done.unwrap().unwrap()
    }
}

fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {complaint}; it needs root");
    String::from_utf8(output.stdout).unwrap()
}
