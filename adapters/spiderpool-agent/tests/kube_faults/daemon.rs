//! The real program `spiderpool-agent`, with a disk of its own that outlives its process.

use serde_json::{Value, json};
use spiderpool_agent_api::message::{IpamAddArgs, IpamAddResponse, IpamDelArgs, IpamStatusQuery};
use spiderpool_agent_api::{AgentFault, ApiVersion, Client};
use spiderpool_kube_lab::{Identity, Proxy};
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_spiderpool-agent");

/// How long an agent may take until it could serve an ADD.
const PATIENCE: Duration = Duration::from_secs(60);

/// One sandbox of a pod: whom an ADD is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sandbox {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) container: String,
}

/// An agent, whether it runs or not.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The node's name without that of the story.
    pub(crate) node: String,
    full_node: String,
    pool: String,
    kubeconfig: PathBuf,
    record: PathBuf,
    disk: TempDir,
    child: Mutex<Option<Child>>,
}

impl Daemon {
    /// An agent of a node that was not started yet. `more` is merged into its configuration.
    pub(crate) fn new(story: &str, node: &str, way: &Path, more: &Value) -> Self {
        let disk = tempfile::Builder::new().prefix("sp-faults-").tempdir().unwrap();
        let daemon = Self {
            node: node.to_owned(),
            full_node: format!("{story}-{node}"),
            pool: story.to_owned(),
            kubeconfig: way.to_owned(),
            record: disk.path().join("record"),
            disk,
            child: Mutex::default(),
        };
        fs::write(daemon.at("machine-id"), format!("{}\n", daemon.full_node)).unwrap();
        let mut conf = json!({
            "ipamUnixSocketPath": daemon.socket(),
            "tuneSysctlConfig": false,
            "enableIPv6": false,
            "agent": {"coordinatorStateDir": daemon.at("coordinator"), "repairIntervalSeconds": 0},
        });
        for (key, value) in more.as_object().unwrap() {
            conf[key] = value.clone();
        }
        fs::write(daemon.at("conf.yml"), conf.to_string()).unwrap();
        daemon
    }

    /// An agent that speaks to the API server, and serves.
    pub(crate) fn start(story: &str, node: &str, identity: &Identity) -> Self {
        let daemon = Self::new(story, node, &identity.kubeconfig, &json!({}));
        daemon.launch();
        daemon.is_ready();
        daemon
    }

    /// An agent that speaks to a proxy.
    pub(crate) fn behind(story: &str, node: &str, proxy: &Proxy) -> Self {
        let daemon = Self::new(story, node, proxy.kubeconfig(), &json!({}));
        daemon.launch();
        daemon.is_ready();
        daemon
    }

    /// An agent with a socket of its own, and the local record of another one.
    pub(crate) fn sharing(first: &Self, story: &str, identity: &Identity) -> Self {
        let mut second = Self::new(story, &first.node, &identity.kubeconfig, &json!({}));
        second.record = first.at("record");
        second
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.at("agent.sock")
    }

    /// The process before it is started. Nothing but loopback and its own directory is opened, and
    /// vanished pods are looked for each second.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .env("SPIDERPOOL_NODE_NAME", &self.full_node)
            .env("SPIDERPOOL_POD_NAMESPACE", "spiderpool")
            .env("SPIDERPOOL_HEALTH_PORT", "0")
            .env("SPIDERPOOL_LISTEN_ADDRESS", "127.0.0.1")
            .env("SPIDERPOOL_RECORD_PATH", &self.record)
            .env("SPIDERPOOL_MACHINE_ID_PATH", self.at("machine-id"))
            .env("SPIDERPOOL_LOG_FORMAT", "text")
            .env("SPIDERPOOL_LOG_LEVEL", "debug")
            .env("SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION", "2")
            .env("SPIDERPOOL_GC_TRACE_POD_GAP_DURATION", "1")
            .arg("daemon")
            .arg("--config-path")
            .arg(self.at("conf.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Starts the process; it may take a while until it serves.
    pub(crate) fn launch(&self) {
        let log = File::options().create(true).append(true).open(self.at("log")).unwrap();
        let mut child = self.child.lock().unwrap();
        assert!(child.is_none(), "it runs");
        *child = Some(self.command().stderr(log).spawn().unwrap());
    }

    /// Ends the process where it is: SIGKILL.
    #[track_caller]
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap().take().unwrap();
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.signal(), Some(9), "it had ended by itself:\n{}", self.tail());
    }

    /// Fails unless it could serve an ADD in time.
    #[track_caller]
    pub(crate) fn is_ready(&self) {
        let end = Instant::now() + PATIENCE;
        let query = IpamStatusQuery { api_version: ApiVersion::CURRENT, ..Default::default() };
        while let Err(fault) = self.client(2_000).status(&query) {
            assert!(Instant::now() < end, "{}: {fault}\n{}", self.full_node, self.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn client(&self, within_ms: u64) -> Client {
        Client::new(self.socket(), Instant::now() + Duration::from_millis(within_ms))
    }

    /// One ADD for `eth0`; the address without its length.
    pub(crate) fn add(&self, sandbox: &Sandbox, within_ms: u64) -> Result<IpAddr, AgentFault> {
        let client = self.client(within_ms);
        let args = IpamAddArgs {
            container_id: sandbox.container.clone(),
            if_name: "eth0".to_owned(),
            net_namespace: "/run/netns/none".to_owned(),
            pod_namespace: "default".to_owned(),
            pod_name: sandbox.pod.clone(),
            pod_uid: sandbox.uid.clone(),
            default_ipv4_ippool: vec![self.pool.clone()],
            network_name: Some("lan".to_owned()),
            api_version: ApiVersion::CURRENT,
            deadline_ms: Some(client.deadline_ms()),
            ..IpamAddArgs::default()
        };
        client.add(&args).map(|reply| address(&reply))
    }

    /// One DEL for `eth0`.
    pub(crate) fn del(&self, sandbox: &Sandbox, within_ms: u64) -> Result<(), AgentFault> {
        let client = self.client(within_ms);
        let args = IpamDelArgs {
            container_id: sandbox.container.clone(),
            if_name: "eth0".to_owned(),
            pod_namespace: "default".to_owned(),
            pod_name: sandbox.pod.clone(),
            pod_uid: sandbox.uid.clone(),
            api_version: ApiVersion::CURRENT,
            deadline_ms: Some(client.deadline_ms()),
            ..IpamDelArgs::default()
        };
        client.release(&args)
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(Some(mut child)) = self.child.lock().map(|mut child| child.take()) {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            // The story has failed: what the agent has to say of it is all that is left of it.
            self.disk.disable_cleanup(true);
            eprintln!("{}: see {}", self.full_node, self.at("log").display());
        }
    }
}

#[track_caller]
fn address(reply: &IpamAddResponse) -> IpAddr {
    assert_eq!(reply.ips.len(), 1, "{reply:?}");
    reply.ips[0].address.split('/').next().unwrap().parse().unwrap()
}

/// What a program said that ended by itself.
pub(crate) fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
