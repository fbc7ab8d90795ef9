//! The cluster of all tests, and the agents of its two nodes.
//!
//! Each agent is the real program with a socket, a record and a configuration of its own, and may do what
//! `deploy/` lets the agent of its node do: its credential is a token that is bound to its pod. Their
//! directories and processes are in the laboratory's, and end with it, however the tests end.

use serde_json::{Value, json};
use spiderpool_agent_api::Client;
use spiderpool_kube_lab::{Bound, Cluster, Controllers, Identity, Options};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_spiderpool-agent");

/// The nodes; the label `topology.kubernetes.io/zone` of each has its name.
pub(crate) const NODES: [&str; 2] = ["east", "west"];

/// The namespace that the agents run in: the one that `deploy/` makes.
pub(crate) const AGENTS: &str = "spiderpool";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster and its agents.
pub(crate) struct Room {
    cluster: Cluster,
    agents: Vec<Agent>,
}

struct Agent {
    home: PathBuf,
    identity: Identity,
    /// Ended by the laboratory's guardian.
    _process: Child,
}

/// The room that all tests are in; made by the first of them.
pub(crate) fn room() -> &'static Room {
    static ROOM: OnceLock<Room> = OnceLock::new();
    ROOM.get_or_init(Room::open)
}

/// Requests as the administrator.
pub(crate) fn admin() -> &'static Identity {
    room().cluster.admin()
}

/// An object that is made; what the server made of it.
pub(crate) fn create(path: &str, object: &Value) -> Value {
    admin().call("POST", path, Some(object)).unwrap()
}

/// An object that is changed by a merge patch.
pub(crate) fn patch(path: &str, patch: &Value) -> Value {
    admin().call("PATCH", path, Some(patch)).unwrap()
}

/// An object, if it is there.
pub(crate) fn read(path: &str) -> Option<Value> {
    let reply = admin().send("GET", path, None).unwrap();
    assert!(reply.is_well() || reply.status == 404, "{path}: {}", reply.text);
    reply.is_well().then(|| reply.json())
}

/// The objects of a list.
pub(crate) fn list(path: &str) -> Vec<Value> {
    let list = admin().call("GET", path, None).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Looks until there is what is looked for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

impl Room {
    fn open() -> Self {
        let names =
            ["daemonset", "deployment", "garbage-collector", "job", "replicaset", "statefulset"];
        let others = tempfile::tempdir().unwrap();
        let file = others.path().join("databases.json");
        fs::write(&file, crate::third_party::definition().to_string()).unwrap();
        let mut manifests: Vec<_> =
            ["spiderpool-kube/crds", "deploy/rbac", "deploy/policy"].map(deploy).into();
        manifests.push(file);
        let controllers = names.map(|name| format!("{name}-controller"));
        let controllers = Controllers::These(controllers.into());
        let cluster = Cluster::start(Options { controllers, manifests, ..Options::default() });
        let cluster = cluster.unwrap();
        let agents = NODES.map(|node| {
            make_node(cluster.admin(), node);
            Agent::start(&cluster, node)
        });
        let room = Self { cluster, agents: agents.into() };
        for node in NODES {
            room.wait_for_agent(node);
        }
        room
    }

    fn agent(&self, node: &str) -> &Agent {
        let at = NODES.iter().position(|name| *name == node).unwrap();
        self.agents.get(at).unwrap()
    }

    /// A plugin's side of the socket of a node's agent.
    pub(crate) fn client(&self, node: &str) -> Client {
        let socket = self.agent(node).home.join("agent.sock");
        Client::new(socket, Instant::now() + Duration::from_secs(20))
    }

    /// The credential of a node's agent.
    pub(crate) fn identity(&self, node: &str) -> Identity {
        self.agent(node).identity.clone()
    }

    /// The end of an agent's log.
    pub(crate) fn log(&self, node: &str) -> String {
        let log = fs::read_to_string(self.agent(node).home.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    fn wait_for_agent(&self, node: &str) {
        let begun = Instant::now();
        while let Err(fault) = self.client(node).healthy() {
            let (log, late) = (self.log(node), begun.elapsed() > PATIENCE);
            assert!(!late, "the agent of {node} is not ready: {fault}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn make_node(admin: &Identity, node: &str) {
    let labels = json!({"topology.kubernetes.io/zone": node, "kubernetes.io/hostname": node});
    let object = json!({
        "metadata": {"name": node, "labels": labels},
        "status": {
            "capacity": {"cpu": "64", "memory": "64Gi", "pods": "1000"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    admin.call("POST", "/api/v1/nodes", Some(&object)).unwrap();
    // What the node controller does, which does not run here.
    let untainted = json!({"spec": {"taints": null}});
    admin.call("PATCH", &format!("/api/v1/nodes/{node}"), Some(&untainted)).unwrap();
    let pod = json!({
        "metadata": {"name": format!("agent-{node}")},
        "spec": {
            "nodeName": node, "hostNetwork": true, "serviceAccountName": "spiderpool-agent",
            "containers": [{"name": "agent", "image": "none"}],
        },
    });
    let pods = format!("/api/v1/namespaces/{AGENTS}/pods");
    admin.call("POST", &pods, Some(&pod)).unwrap();
}

impl Agent {
    fn start(cluster: &Cluster, node: &str) -> Self {
        let lab = cluster.kubeconfig().parent().unwrap();
        let home = lab.join(format!("agent-{node}"));
        fs::create_dir(&home).unwrap();
        let at = |name: &str| home.join(name);
        let pod = format!("agent-{node}");
        let token = cluster.token_for(AGENTS, "spiderpool-agent", Bound::Pod(&pod)).unwrap();
        fs::write(at("machine-id"), format!("{node:0>32}\n")).unwrap();
        let conf = format!(
            "ipamUnixSocketPath: {}\ntuneSysctlConfig: false\nagent: {{coordinatorStateDir: {}, repairIntervalSeconds: 0}}\n",
            at("agent.sock").display(),
            at("coordinator").display(),
        );
        fs::write(at("conf.yml"), conf).unwrap();
        let process = Command::new(PROGRAM)
            .env_clear()
            .env("KUBECONFIG", &token.kubeconfig)
            .env("SPIDERPOOL_NODE_NAME", node)
            .env("SPIDERPOOL_POD_NAMESPACE", AGENTS)
            .env("SPIDERPOOL_POD_NAME", &pod)
            .env("SPIDERPOOL_LISTEN_ADDRESS", "127.0.0.1")
            .env("SPIDERPOOL_HEALTH_PORT", "0")
            .env("SPIDERPOOL_RECORD_PATH", at("record"))
            .env("SPIDERPOOL_MACHINE_ID_PATH", at("machine-id"))
            .args(["daemon", "--config-path"])
            .arg(at("conf.yml"))
            // The guardian of the laboratory ends what works in its directory.
            .current_dir(lab)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        Self { home, identity: token, _process: process }
    }
}
