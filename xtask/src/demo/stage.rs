//! The host, the pods and the programs of the demonstration.
//!
//! Called by [`super`], one method for each kind of thing that happens there. Invariants: links and
//! namespaces live in a [`Sandbox`] and end with it (`sandbox::tests::a_sandbox_keeps_its_own_namespaces`);
//! every program's command is printed before its output.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::call::{Call, Fault};
use crate::prerequisites::CNI_PLUGINS;
use crate::sandbox::Sandbox;
use crate::workspace::Workspace;

/// How long a first packet may take: duplicate address detection alone takes a second or two.
const PATIENCE: Duration = Duration::from_secs(10);

/// One interface of one pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nic {
    /// The pod, and its namespace.
    pub(super) pod: &'static str,
    /// The interface in it.
    pub(super) name: &'static str,
    /// The network; its master is `NETWORK0`, its pools are `NETWORK-v4` and `NETWORK-v6`.
    pub(super) network: &'static str,
}

/// Everything that the story needs.
#[derive(Debug)]
pub(super) struct Stage {
    sandbox: Sandbox,
    store: PathBuf,
    binaries: PathBuf,
    control: PathBuf,
    results: BTreeMap<(&'static str, &'static str), Value>,
    pods: Vec<&'static str>,
    step: u32,
}

impl Stage {
    /// Builds the programs, and makes the namespaces with a wire for each network.
    ///
    /// # Errors
    /// When a build fails, or the kernel refuses.
    pub(super) fn open(workspace: &Workspace) -> Result<Self, Fault> {
        let names = ["spiderpool-plugin", "spiderpool-coordinator", "spiderpoolctl"];
        let packages = names.iter().flat_map(|name| ["--package", name]);
        Call::cargo().args(["build", "--bins"]).args(packages).dir(&workspace.root).run()?;
        let sandbox = Sandbox::open()?;
        for network in ["blue", "green"] {
            let (end, other) = (format!("{network}0"), format!("{network}0-peer"));
            let ip = |words: &[&str]| sandbox.call("ip").args(words).output();
            ip(&["link", "add", &end, "type", "veth", "peer", "name", &other])?;
            ip(&["link", "set", &end, "up"])?;
            ip(&["link", "set", &other, "up"])?;
            for address in node_addresses(network) {
                ip(&["address", "add", address, "dev", &end, "nodad"])?;
            }
        }
        Ok(Self {
            store: sandbox.path("store"),
            binaries: workspace.target.join("debug"),
            control: workspace.binary("spiderpoolctl"),
            sandbox,
            results: BTreeMap::new(),
            pods: Vec::new(),
            step: 0,
        })
    }

    /// Prints what comes next.
    pub(super) fn say(&mut self, text: &str) {
        self.step += 1;
        println!("\n{}. {text}", self.step);
    }

    /// Fails unless what was promised is there.
    ///
    /// # Errors
    /// Names it, with what was seen.
    #[expect(clippy::unused_self, reason = "reads as the other sentences of the story")]
    pub(super) fn promise(&self, is_kept: bool, what: &str, seen: &str) -> Result<(), Fault> {
        if is_kept {
            Ok(())
        } else {
            Err(Fault::Wrong(format!("{what} was promised, got:\n{seen}")))
        }
    }

    pub(super) fn show_links(&self) -> Result<(), Fault> {
        println!("   $ ip -brief link");
        print(&self.sandbox.call("ip").args(["-brief", "link"]).output()?);
        Ok(())
    }

    /// Runs `spiderpoolctl`, which must end with that code, and gives what it printed.
    pub(super) fn control(&self, words: &[&str], code: i32) -> Result<String, Fault> {
        println!("   $ spiderpoolctl {}", words.join(" "));
        let call = self.sandbox.call(&self.control).arg("--store").arg(&self.store).args(words);
        let (status, out, err) = call.capture()?;
        print(&out);
        print(&err);
        if status.code() == Some(code) {
            return Ok(out + &err);
        }
        Err(Fault::Wrong(format!("`{}` must end with {code}, got {status}", call.line())))
    }

    /// Writes a manifest and has it applied.
    pub(super) fn apply(&self, name: &str, text: &str) -> Result<(), Fault> {
        let path = self.sandbox.file(name, text)?.display().to_string();
        println!("   $ spiderpoolctl apply -f {name}");
        let call = self.sandbox.call(&self.control).arg("--store").arg(&self.store);
        print(&call.args(["apply", "-f", &path]).output()?);
        Ok(())
    }

    /// Attaches the interfaces of each pod in order, all pods at once, as kubelets do; gives the two
    /// addresses of each interface.
    pub(super) fn add(&mut self, nics: &[Nic]) -> Result<Vec<Vec<String>>, Fault> {
        for nic in nics {
            if !self.pods.contains(&nic.pod) {
                self.sandbox.call("ip").args(["netns", "add", nic.pod]).output()?;
                self.pods.push(nic.pod);
            }
        }
        let of_pod = |pod: &str| -> Result<Vec<(Nic, Value)>, Fault> {
            let own = nics.iter().filter(|nic| nic.pod == pod);
            own.map(|nic| self.add_one(nic).map(|result| (*nic, result))).collect()
        };
        let added: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self.pods.iter().map(|pod| scope.spawn(|| of_pod(pod))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for pod in added {
            let pod = pod.map_err(|_| Fault::Wrong("a call of macvlan panicked".to_owned()))?;
            self.results
                .extend(pod?.into_iter().map(|(nic, result)| ((nic.pod, nic.name), result)));
        }
        let nothing = Value::Null;
        let result = |nic: &Nic| self.results.get(&(nic.pod, nic.name)).unwrap_or(&nothing);
        nics.iter().map(|nic| addresses(result(nic))).collect()
    }

    fn add_one(&self, nic: &Nic) -> Result<Value, Fault> {
        let text = self.plugin("ADD", nic, &self.configuration(nic))?;
        let result: Value = serde_json::from_str(&text).map_err(|error| unexpected(&error))?;
        let text = self.plugin("ADD", nic, &self.coordination(nic, Some(&result)))?;
        let result: Value = serde_json::from_str(&text).map_err(|error| unexpected(&error))?;
        println!("   ADD {:5} {}: {}", nic.pod, nic.name, nets(&result).join("  "));
        Ok(result)
    }

    /// Has an attachment checked against its result.
    pub(super) fn check(&self, nic: &Nic) -> Result<(), Fault> {
        let mut conf = self.configuration(nic);
        if let (Some(conf), Some(result)) =
            (conf.as_object_mut(), self.results.get(&(nic.pod, nic.name)))
        {
            conf.insert("prevResult".to_owned(), result.clone());
        }
        self.plugin("CHECK", nic, &conf)?;
        let result = self.results.get(&(nic.pod, nic.name));
        self.plugin("CHECK", nic, &self.coordination(nic, result))?;
        println!("   CHECK {:5} {}: well", nic.pod, nic.name);
        Ok(())
    }

    /// Detaches an interface as a runtime does that was restarted: without namespace and result.
    pub(super) fn del(&mut self, nic: &Nic) -> Result<(), Fault> {
        if let Some(at) = self.pods.iter().position(|pod| *pod == nic.pod) {
            self.sandbox.call("ip").args(["netns", "delete", nic.pod]).output()?;
            self.pods.remove(at);
        }
        self.plugin("DEL", nic, &self.coordination(nic, None))?;
        self.plugin("DEL", nic, &self.configuration(nic))?;
        println!("   DEL {:5} {}", nic.pod, nic.name);
        Ok(())
    }

    /// One packet and its answer, as soon as the kernel lets it through.
    pub(super) fn ping(&self, from: &str, to: &str) -> Result<(), Fault> {
        let words = ["netns", "exec", from, "ping", "-n", "-c", "1", "-W", "1", to];
        let call = self.sandbox.call("ip").args(words);
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, out, err) = call.capture()?;
            if status.success() {
                let answer =
                    out.lines().find(|line| line.contains("bytes from")).unwrap_or_default();
                println!("   {from:5} -> {to}: {answer}");
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Fault::Wrong(format!("{from} does not reach {to}: {out}{err}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails unless the store holds no address.
    pub(super) fn nothing_is_left(&self) -> Result<(), Fault> {
        let call = self.sandbox.call(&self.control).arg("--store").arg(&self.store);
        let text = call.args(["ip", "list", "-o", "json"]).output()?;
        println!("   $ spiderpoolctl ip list -o json");
        print(&text);
        let left: Result<Vec<Value>, _> = serde_json::from_str(&text);
        self.promise(left.is_ok_and(|left| left.is_empty()), "an empty list", &text)
    }

    fn configuration(&self, nic: &Nic) -> Value {
        let network = nic.network;
        json!({
            "cniVersion": "1.0.0",
            "name": network,
            "type": "macvlan",
            "master": format!("{network}0"),
            "ipam": {
                "type": "spiderpool",
                "store_path": self.store,
                "log_file_path": self.sandbox.path("spiderpool.log"),
                "default_ipv4_ippool": [format!("{network}-v4")],
                "default_ipv6_ippool": [format!("{network}-v6")],
            },
        })
    }

    /// What comes behind it in the chain.
    fn coordination(&self, nic: &Nic, result: Option<&Value>) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": nic.network,
            "type": "coordinator",
            "mode": "underlay",
            "serviceCIDR": ["10.233.0.0/18"],
            "stateDir": self.sandbox.path("coordinator"),
            "logOptions": {"logFile": self.sandbox.path("coordinator.log")},
            "prevResult": result,
        })
    }

    /// Calls a plugin by the CNI protocol (CNI spec 1.0.0, section 2) and gives what it printed.
    fn plugin(&self, verb: &str, nic: &Nic, conf: &Value) -> Result<String, Fault> {
        let there = self.pods.contains(&nic.pod);
        let netns = if there { format!("/run/netns/{}", nic.pod) } else { String::new() };
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME={0};K8S_POD_UID=uid-of-{0}",
            nic.pod
        );
        let name = conf.get("type").and_then(Value::as_str).unwrap_or_default();
        let ours = self.binaries.join(name);
        let program = if name == "macvlan" { PathBuf::from(CNI_PLUGINS).join(name) } else { ours };
        let call = self.sandbox.call(program);
        let call =
            call.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", nic.pod).env("CNI_NETNS", netns);
        let call = call.env("CNI_IFNAME", nic.name).env("CNI_ARGS", args);
        let call = call.env("CNI_PATH", format!("{CNI_PLUGINS}:{}", self.binaries.display()));
        let mut child = call.start()?;
        let written =
            child.stdin.take().map(|mut stdin| stdin.write_all(conf.to_string().as_bytes()));
        let output = child.wait_with_output();
        let output = output.map_err(|source| Fault::Start { command: call.line(), source })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && matches!(written, Some(Ok(()))) {
            return Ok(text);
        }
        Err(Fault::Wrong(format!("`{}` ended with {}: {text}", call.line(), output.status)))
    }
}

/// The node's own addresses on a network.
pub(super) fn node_addresses(network: &str) -> [&'static str; 2] {
    match network {
        "blue" => ["10.66.0.250/24", "fd00:66::250/64"],
        _ => ["10.67.0.250/24", "fd00:67::250/64"],
    }
}

/// The addresses of a result, with the length of their prefixes.
fn nets(result: &Value) -> Vec<&str> {
    let ips = result.get("ips").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    ips.iter().filter_map(|ip| ip.get("address")?.as_str()).collect()
}

/// The addresses of a result; there must be two.
fn addresses(result: &Value) -> Result<Vec<String>, Fault> {
    let addresses: Vec<String> =
        nets(result).iter().filter_map(|net| net.split('/').next()).map(str::to_owned).collect();
    if addresses.len() == 2 {
        return Ok(addresses);
    }
    Err(unexpected(&format!("two addresses were promised: {result}")))
}

fn unexpected(reason: &impl ToString) -> Fault {
    Fault::Reply { command: "an ADD".to_owned(), reason: reason.to_string() }
}

/// Prints a program's output below its command.
fn print(text: &str) {
    text.lines().for_each(|line| println!("     {line}"));
}
