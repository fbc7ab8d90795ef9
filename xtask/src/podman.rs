//! The tier `podman`: a container runtime of every day with our IPAM under its bridge, and a second
//! network of macvlan with our coordinator behind it.
//!
//! Owns a private podman (4.3 is Debian's) with its CNI backend: configuration, storage, image and
//! networks live in a [`Sandbox`]. podman sends ADD and DEL, CNI_ARGS in random order, and DEL without
//! a previous result. What the machine here forces on the configuration: rlimits of our own (they
//! cannot be raised), the `cgroupfs` manager and runc (crun refuses cgroup v1 beside v2), locks in a
//! file (those in shared memory are the whole machine's), the `vfs` driver (no overlay needed).

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::call::{Call, Fault};
use crate::ipam::{Choice, FIRST, Ipam, Net, SECOND};
use crate::prerequisites::{self, BUSYBOX, CNI_PLUGINS};
use crate::sandbox::Sandbox;
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::Workspace;

/// The link that the second network rests on, and the end of the node's address there.
const PARENT: &str = "spmv0";
const NODE: &str = "250";

const IMAGE: &str = "localhost/spiderpool-test:busybox";

/// Runs two containers on a bridge and asserts that they meet, and that nothing stays behind.
pub(crate) fn tier(workspace: &Workspace, choice: Choice) -> Report {
    if let Err(reason) = possible() {
        return Report::skipped(reason);
    }
    let mut steps = Steps::new("podman");
    let Some(sandbox) = steps.step("a private network", Sandbox::open) else {
        return steps.finish();
    };
    let ipam = steps.step("pools", || Ipam::prepare(workspace, choice, &sandbox));
    let Some(ipam) = ipam else { return steps.finish() };
    if let Some(podman) = steps.step("image", || Podman::install(&sandbox, &ipam)) {
        podman.scenario(&mut steps, &ipam);
    }
    steps.finish()
}

fn possible() -> Result<(), String> {
    Sandbox::possible()?;
    prerequisites::need(&["podman", "runc", "tar"])?;
    prerequisites::need_file(&Path::new(CNI_PLUGINS).join("bridge"))?;
    if prerequisites::is_static(Path::new(BUSYBOX)) {
        return Ok(());
    }
    Err(format!("{BUSYBOX} is missing or not static: install busybox-static"))
}

/// What is said to happen, and what makes it so.
type Sentence<'a> = (&'a str, &'a dyn Fn() -> Result<(), Fault>);

/// A podman whose every file is in a sandbox.
#[derive(Debug)]
struct Podman<'a> {
    sandbox: &'a Sandbox,
    containers: PathBuf,
    storage: PathBuf,
}

impl<'a> Podman<'a> {
    fn install(sandbox: &'a Sandbox, ipam: &Ipam<'_>) -> Result<Self, Fault> {
        for name in ["networks", "root", "run", "tmp", "volumes"] {
            sandbox.directory(name)?;
        }
        let containers = sandbox.file("containers.conf", &containers_conf(sandbox, ipam))?;
        let storage = sandbox.file("storage.conf", &storage_conf(sandbox))?;
        parent(sandbox)?;
        let state = sandbox.path("coordinator");
        let joined = joined(ipam, &state, &sandbox.path("coordinator.log"));
        for (net, list) in [(FIRST, network(FIRST, "spbr0", ipam)), (SECOND, joined)] {
            sandbox.file(&format!("networks/{}.conflist", net.name), &list)?;
        }
        let podman = Self { sandbox, containers, storage };
        podman.call(&["import", &image(sandbox)?, IMAGE]).output()?;
        Ok(podman)
    }

    fn call(&self, arguments: &[&str]) -> Call {
        self.sandbox
            .call("podman")
            .args(arguments)
            .env("CONTAINERS_CONF", &self.containers)
            .env("CONTAINERS_STORAGE_CONF", &self.storage)
    }

    /// The story that the tier tells, a step for each sentence.
    fn scenario(&self, steps: &mut Steps, ipam: &Ipam<'_>) {
        let story: [Sentence<'_>; 6] = [
            ("container a runs", &|| self.start("a", &[FIRST])),
            ("container b runs with two interfaces", &|| self.start("b", &[FIRST, SECOND])),
            ("three interfaces hold six addresses", &|| ipam.expect_allocated(6)),
            ("a reaches b over IPv4", &|| self.ping("a", "b", "IPAddress", FIRST.v4)),
            ("a reaches b over IPv6", &|| self.ping("a", "b", "GlobalIPv6Address", FIRST.v6)),
            ("b reaches a over IPv4", &|| self.ping("b", "a", "IPAddress", FIRST.v4)),
        ];
        // host-local is there to try this harness alone: nothing of ours joins the containers then.
        let joined: [Sentence<'_>; 2] = [
            ("b reaches its node beside macvlan over IPv4", &|| self.ping_node("b", SECOND.v4)),
            ("b reaches its node beside macvlan over IPv6", &|| self.ping_node("b", SECOND.v6)),
        ];
        let end: [Sentence<'_>; 3] = [
            ("the containers stop", &|| {
                self.call(&["stop", "--time", "0", "a", "b"]).output().map(drop)
            }),
            ("every address came back", &|| ipam.expect_allocated(0)),
            ("a container that cannot start holds nothing", &|| self.start_in_vain(ipam)),
        ];
        let joined = joined.iter().filter(|_| ipam.plugin() == "spiderpool");
        for (name, work) in story.iter().chain(joined).chain(&end) {
            if steps.step(name, work).is_none() {
                return;
            }
        }
    }

    fn start(&self, name: &str, networks: &[Net]) -> Result<(), Fault> {
        let call = self.call(&["run", "--detach", "--name", name]);
        let call = networks.iter().fold(call, |call, net| call.args(["--network", net.name]));
        call.args([IMAGE, BUSYBOX, "sleep", "600"]).output().map(drop)
    }

    /// A command that is not in the image: podman attaches the network first, then fails and must
    /// detach it.
    fn start_in_vain(&self, ipam: &Ipam<'_>) -> Result<(), Fault> {
        let call = self.call(&["run", "--rm", "--network", FIRST.name, IMAGE, "/no/such/program"]);
        let (status, out, err) = call.capture()?;
        if status.success() || !err.contains("/no/such/program") {
            return Err(Fault::Wrong(format!(
                "podman must miss the program, but said: {out}{err}"
            )));
        }
        ipam.expect_allocated(0)
    }

    fn ping(&self, from: &str, to: &str, field: &str, prefix: &str) -> Result<(), Fault> {
        let format =
            format!("{{{{(index .NetworkSettings.Networks \"{}\").{field}}}}}", FIRST.name);
        let address = self.call(&["inspect", "--format", &format, to]).output()?;
        let address = address.trim();
        if !address.starts_with(prefix) {
            return Err(Fault::Wrong(format!("{to} has `{address}`, which is not in {prefix}")));
        }
        let ping = ["exec", from, BUSYBOX, "ping", "-c", "1", "-W", "5", address];
        self.call(&ping).output().map(drop)
    }

    fn ping_node(&self, from: &str, prefix: &str) -> Result<(), Fault> {
        let address = format!("{prefix}{NODE}");
        let ping = ["exec", from, BUSYBOX, "ping", "-c", "3", "-W", "5", &address];
        self.call(&ping).output().map(drop)
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // The containers must end before their namespaces and files do; a failure shows in the steps.
        self.call(&["rm", "--all", "--force", "--time", "0"]).capture().ok();
    }
}

/// Gives the path of an image that holds busybox alone.
fn image(sandbox: &Sandbox) -> Result<String, Fault> {
    let directory = sandbox.directory("image/bin")?;
    std::fs::copy(BUSYBOX, directory.join("busybox"))
        .map_err(Fault::file("copy", Path::new(BUSYBOX)))?;
    let archive = sandbox.path("image.tar");
    Call::new("tar")
        .arg("--directory")
        .arg(sandbox.path("image"))
        .arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("bin")
        .output()?;
    Ok(archive.display().to_string())
}

fn network(net: Net, bridge: &str, ipam: &Ipam<'_>) -> String {
    let plugin = json!({
        "type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": false,
        "ipam": ipam.configuration(net),
    });
    json!({ "cniVersion": "0.4.0", "name": net.name, "plugins": [plugin] }).to_string()
}

/// macvlan on the parent, and with our own IPAM our coordinator behind it.
fn joined(ipam: &Ipam<'_>, state: &Path, log: &Path) -> String {
    let main = json!({ "type": "macvlan", "master": PARENT, "ipam": ipam.configuration(SECOND) });
    let coordinator = json!({
        "type": "coordinator", "stateDir": state, "logOptions": { "logFile": log },
    });
    let plugins = match ipam.plugin() {
        "spiderpool" => vec![main, coordinator],
        _ => vec![main],
    };
    json!({ "cniVersion": "0.4.0", "name": SECOND.name, "plugins": plugins }).to_string()
}

/// One end of a pair, with the node's addresses: what macvlan rests on cannot be reached from it.
fn parent(sandbox: &Sandbox) -> Result<(), Fault> {
    let peer = format!("{PARENT}-peer");
    let (v4, v6) = (format!("{}{NODE}/24", SECOND.v4), format!("{}{NODE}/64", SECOND.v6));
    let ip = |words: &[&str]| sandbox.call("ip").args(words).output().map(drop);
    ip(&["link", "add", PARENT, "type", "veth", "peer", "name", &peer])?;
    ip(&["link", "set", PARENT, "up"])?;
    ip(&["link", "set", &peer, "up"])?;
    ip(&["address", "add", &v4, "dev", PARENT])?;
    ip(&["address", "add", &v6, "dev", PARENT, "nodad"])
}

fn containers_conf(sandbox: &Sandbox, ipam: &Ipam<'_>) -> String {
    let at = |name: &str| sandbox.path(name).display().to_string();
    format!(
        r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
static_dir = "{root}/libpod"
tmp_dir = "{tmp}"
volume_path = "{volumes}"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{ipam}", "{CNI_PLUGINS}"]
network_config_dir = "{networks}"
default_network = "{first}"
"#,
        first = FIRST.name,
        root = at("root"),
        tmp = at("tmp"),
        volumes = at("volumes"),
        networks = at("networks"),
        ipam = ipam.directory.display(),
    )
}

fn storage_conf(sandbox: &Sandbox) -> String {
    let (root, run) = (sandbox.path("root"), sandbox.path("run"));
    format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        root.display(),
        run.display()
    )
}
