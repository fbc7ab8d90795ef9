//! The cluster: which programs run with which arguments, and what a test may do to them.
//!
//! Owns [`Cluster`] and [`Options`]. Tests call it, `kube-lab`, and the figures of the cluster store. The
//! data is in a directory of its own and, unless asked for, is not synced to the disk. Everything listens on 127.0.0.1, on ports that were free. Invariants:
//!
//! 1. A call that starts the API server returns when it answers `/readyz` and the namespaces of every
//!    cluster are there (`a_cluster_serves_what_is_written`).
//! 2. The address, the authority and the credentials stay the same over restarts and restores
//!    (`a_restart_keeps_the_state`).

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Fault;
use crate::api;
use crate::home::Home;
use crate::identity::{Authority, Identity, loopback};
use crate::process::Process;
use crate::snapshot::{self, Restore, Snapshot};
use crate::tools::Tools;

/// How long a program may take to become ready; a busy machine takes ten times the usual.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two questions to a program that is becoming ready.
const PAUSE: Duration = Duration::from_millis(25);

/// Ports that are tried: below those that the kernel gives to outgoing connections.
const PORTS: (u16, u16) = (20_000, 32_000);

/// How many times a cluster is tried whose ports somebody else took first.
const ATTEMPTS: u32 = 3;

/// How far the revision goes on in a restore that bumps it: more writes than any test makes.
const BUMP: &str = "1000000000";

/// What a cluster consists of.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether pods need a service account.
    pub service_accounts: ServiceAccounts,
    /// The controllers that run.
    pub controllers: Controllers,
    /// Whether pods are given to nodes.
    pub scheduler: bool,
    /// Whether the store waits for the disk.
    pub syncing: Syncing,
    /// Arguments for the API server behind the laboratory's own: `--feature-gates=…`.
    pub server_arguments: Vec<String>,
    /// Files or directories of manifests to apply once the API server is ready: CRDs, for example.
    pub manifests: Vec<PathBuf>,
}

/// Whether a pod needs a service account: a namespace gets its `default` one from a controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServiceAccounts {
    /// A pod may be created without: the admission plugin `ServiceAccount` is off.
    #[default]
    Optional,
    /// As in every real cluster. It takes the controller `serviceaccount-controller`, or accounts that
    /// the test makes.
    Required,
}

/// Which controllers run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Controllers {
    /// None: no controller manager is started.
    #[default]
    None,
    /// These: `deployment-controller`, `garbage-collector-controller`.
    These(Vec<String>),
    /// All that are on by default.
    All,
}

/// Whether etcd syncs its log to the disk before it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Syncing {
    /// It does not (`--unsafe-no-fsync`): the data of a test goes with the test.
    #[default]
    Never,
    /// As in every real cluster: whoever measures a write measures the disk, too.
    Always,
}

/// A program of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    Server,
    /// The controllers.
    Controllers,
    /// The scheduler.
    Scheduler,
}

/// What a token is bound to: it ends with that object, and says which node it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound<'a> {
    /// To nothing but its time.
    Nothing,
    /// To a node, by name.
    Node(&'a str),
    /// To a pod of the account's namespace, by name; the token also names the pod's node.
    Pod(&'a str),
}

/// A control plane that ends with this value.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the programs before the directory that they write to.
    parts: Mutex<Parts>,
    tools: Tools,
    options: Arc<Options>,
    ports: Ports,
    authority: Authority,
    admin: Identity,
    home: Home,
}

#[derive(Debug, Default)]
struct Parts {
    scheduler: Option<Process>,
    controllers: Option<Process>,
    server: Option<Process>,
    etcd: Option<Process>,
    snapshots: u32,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: SocketAddr,
    peer: SocketAddr,
    server: SocketAddr,
}

impl Cluster {
    /// Starts a cluster and gives it when the API server is ready and the manifests are applied.
    ///
    /// # Errors
    /// When a program is missing, ends, or is not ready after two minutes: with the end of its log.
    pub fn start(options: Options) -> Result<Self, Fault> {
        let tools = Tools::find()?;
        let options = Arc::new(options);
        let mut attempt = 1;
        loop {
            match Self::attempt(&tools, &options) {
                Err(Fault::Ended { log, .. })
                    if attempt < ATTEMPTS && log.contains("address already in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(tools: &Tools, options: &Arc<Options>) -> Result<Self, Fault> {
        let home = Home::open()?;
        let ports = Ports::find()?;
        let authority = Authority::open(&home, ports.server)?;
        let admin = authority.identity("admin", &["system:masters"])?;
        let cluster = Self {
            parts: Mutex::default(),
            tools: tools.clone(),
            options: Arc::clone(options),
            ports,
            authority,
            admin,
            home,
        };
        let mut parts = cluster.parts();
        cluster.launch_etcd(&mut parts)?;
        cluster.launch_server(&mut parts)?;
        drop(parts);
        options.manifests.iter().try_for_each(|path| cluster.apply(path))?;
        cluster.launch_controllers(&mut cluster.parts())?;
        Ok(cluster)
    }

    /// Gives the identity that may do everything.
    #[must_use]
    pub const fn admin(&self) -> &Identity {
        &self.admin
    }

    /// Gives the file with the credentials that may do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.admin.kubeconfig
    }

    /// Gives a user known by a certificate, in at most two groups: `system:node:a` in `system:nodes`.
    ///
    /// # Errors
    /// When there are more groups or the certificate cannot be made.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<Identity, Fault> {
        self.authority.identity(user, groups)
    }

    /// Gives a service account known by a token that the API server makes for it; the account, and what
    /// the token is bound to, must be there. With a node or a pod the API server adds
    /// `authentication.kubernetes.io/node-name` to what it knows of the user (KEP-4193).
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn token_for(
        &self,
        namespace: &str,
        account: &str,
        bound: Bound<'_>,
    ) -> Result<Identity, Fault> {
        let object =
            |kind: &str, name: &str| json!({ "apiVersion": "v1", "kind": kind, "name": name });
        let bound = match bound {
            Bound::Nothing => Value::Null,
            Bound::Node(name) => object("Node", name),
            Bound::Pod(name) => object("Pod", name),
        };
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": 3600, "boundObjectRef": bound },
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let reply = self.admin.call("POST", &path, Some(&request))?;
        let token = reply.pointer("/status/token").and_then(Value::as_str).unwrap_or_default();
        self.authority.bearer(&format!("system:serviceaccount:{namespace}:{account}"), token)
    }

    /// Runs kubectl as the administrator and gives what it printed.
    ///
    /// # Errors
    /// When kubectl fails: with what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Fault> {
        let output = Command::new(self.tools.program("kubectl")?)
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .env("HOME", self.home.path())
            .output()
            .map_err(Fault::process("start", "kubectl"))?;
        finish(&format!("kubectl {}", arguments.join(" ")), &output)
    }

    /// Applies the manifests of a file or directory, and waits until every CRD is served.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub fn apply(&self, path: &Path) -> Result<(), Fault> {
        let path = path.to_string_lossy();
        self.kubectl(&["apply", "--server-side", "--recursive", "--filename", &path])?;
        let kinds = self.kubectl(&["get", "crd", "--output", "name"])?;
        if kinds.trim().is_empty() {
            return Ok(());
        }
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
        Ok(())
    }

    /// Gives etcd's own figures in Prometheus' text format.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub fn etcd_metrics(&self) -> Result<String, Fault> {
        let (server, path) = (self.ports.etcd, "/metrics");
        let unanswered = |source| {
            let (method, path) = ("GET".to_owned(), path.to_owned());
            Fault::Unanswered { method, path, server, source }
        };
        api::ask(server, path).map(|reply| reply.text).map_err(unanswered)
    }

    /// Gives the last lines of a program's log.
    #[must_use]
    pub fn log_tail(&self, program: Program) -> String {
        let parts = self.parts();
        let process = match program {
            Program::Etcd => &parts.etcd,
            Program::Server => &parts.server,
            Program::Controllers => &parts.controllers,
            Program::Scheduler => &parts.scheduler,
        };
        process.as_ref().map(Process::tail).unwrap_or_default()
    }

    /// Stops the API server where it is: it answers nothing, and its connections stay open.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause_server(&self) -> Result<(), Fault> {
        self.parts().server.as_ref().map_or(Ok(()), Process::pause)
    }

    /// Lets a paused API server go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume_server(&self) -> Result<(), Fault> {
        self.parts().server.as_ref().map_or(Ok(()), Process::resume)
    }

    /// Kills the API server as a crash would; it stays down until [`Cluster::start_server`].
    pub fn kill_server(&self) {
        drop(self.parts().server.take());
    }

    /// Starts the API server that was killed, and waits until it is ready. One that runs goes on.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub fn start_server(&self) -> Result<(), Fault> {
        let mut parts = self.parts();
        if parts.server.is_some() { Ok(()) } else { self.launch_server(&mut parts) }
    }

    /// Asks the API server to end, as an update would, starts it again, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart_server(&self) -> Result<(), Fault> {
        let mut parts = self.parts();
        parts.server.take().map_or(Ok(()), Process::stop)?;
        self.launch_server(&mut parts)
    }

    /// Takes a copy of everything that is stored. The cluster goes on.
    ///
    /// # Errors
    /// When etcd's data cannot be copied.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        let mut parts = self.parts();
        parts.snapshots += 1;
        let directory = self.home.join(format!("snapshot-{}", parts.snapshots));
        parts.etcd.as_ref().map_or(Ok(()), Process::pause)?;
        let copied = snapshot::copy(&self.data(), &directory);
        parts.etcd.as_ref().map_or(Ok(()), Process::resume)?;
        copied.map(|()| Snapshot { directory })
    }

    /// Brings back what was stored when the snapshot was taken. Every program is started anew, and the
    /// API server is ready again at the end.
    ///
    /// # Errors
    /// When a program does not come back.
    pub fn restore(&self, snapshot: &Snapshot, how: Restore) -> Result<(), Fault> {
        let mut parts = self.parts();
        let count = parts.snapshots;
        // All of them at once: their past is about to change.
        *parts = Parts { snapshots: count, ..Parts::default() };
        snapshot::remove(&self.data())?;
        snapshot::copy(&snapshot.directory, &self.data())?;
        if how == Restore::Bumped {
            self.bump(&mut parts)?;
        }
        self.launch_etcd(&mut parts)?;
        self.launch_server(&mut parts)?;
        self.launch_controllers(&mut parts)
    }

    /// Makes etcd's data go on at a far higher revision. etcd runs for a moment, so that what only its
    /// log holds reaches the file that etcdutl reads.
    fn bump(&self, parts: &mut Parts) -> Result<(), Fault> {
        self.launch_etcd(parts)?;
        parts.etcd.take().map_or(Ok(()), Process::stop)?;
        let bumped = self.home.join("bumped");
        snapshot::remove(&bumped)?;
        let output = Command::new(self.tools.program("etcdutl")?)
            .args(["snapshot", "restore"])
            .arg(self.data().join("member/snap/db"))
            .args(["--skip-hash-check", "--mark-compacted", "--bump-revision", BUMP])
            .args(["--name", "test", "--initial-cluster"])
            .arg(format!("test=http://{}", self.ports.peer))
            .arg(format!("--initial-advertise-peer-urls=http://{}", self.ports.peer))
            .arg("--data-dir")
            .arg(&bumped)
            .output()
            .map_err(Fault::process("start", "etcdutl"))?;
        finish("etcdutl snapshot restore", &output)?;
        snapshot::remove(&self.data())?;
        std::fs::rename(&bumped, self.data()).map_err(Fault::file("rename", &bumped))
    }

    fn launch_etcd(&self, parts: &mut Parts) -> Result<(), Fault> {
        let Ports { etcd, peer, .. } = self.ports;
        let mut arguments = vec![
            "--name=test".to_owned(),
            format!("--data-dir={}", self.data().display()),
            format!("--listen-client-urls=http://{etcd}"),
            format!("--advertise-client-urls=http://{etcd}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster=test=http://{peer}"),
            "--log-level=warn".to_owned(),
        ];
        if self.options.syncing == Syncing::Never {
            arguments.push("--unsafe-no-fsync".to_owned());
        }
        let program = self.tools.program("etcd")?;
        let process = parts.etcd.insert(Process::start(&program, &arguments, self.home.path())?);
        // Its port is open before its log is read; its health is a read that waits for the whole log.
        await_ready(process, || match api::ask(etcd, "/health") {
            Ok(reply) if reply.is_well() => Ok(()),
            Ok(reply) => Err(format!("`/health` says {} {}", reply.status, reply.text)),
            Err(error) => Err(error.to_string()),
        })
    }

    fn launch_server(&self, parts: &mut Parts) -> Result<(), Fault> {
        let program = self.tools.program("kube-apiserver")?;
        let arguments = self.server_arguments();
        let process = parts.server.insert(Process::start(&program, &arguments, self.home.path())?);
        await_ready(process, || {
            for path in ["/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-system"]
            {
                let reply = self.admin.send_within(Duration::from_secs(5), "GET", path, None);
                let reply = reply.map_err(|fault| fault.chain())?;
                if !reply.is_well() {
                    return Err(format!("`{path}` says {} {}", reply.status, reply.text));
                }
            }
            Ok(())
        })
    }

    fn server_arguments(&self) -> Vec<String> {
        let file =
            |option: &str, name: &str| format!("--{option}={}", self.home.join(name).display());
        let mut arguments = vec![
            format!("--etcd-servers=http://{}", self.ports.etcd),
            format!("--bind-address={}", self.ports.server.ip()),
            format!("--advertise-address={}", self.ports.server.ip()),
            format!("--secure-port={}", self.ports.server.port()),
            file("tls-cert-file", "server.crt"),
            file("tls-private-key-file", "server.key"),
            file("client-ca-file", "ca.crt"),
            file("service-account-signing-key-file", "accounts.key"),
            file("service-account-key-file", "accounts.pub"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/108".to_owned(),
            // The service `kubernetes` cannot have an endpoint on loopback.
            "--endpoint-reconciler-type=none".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
        ];
        if self.options.service_accounts == ServiceAccounts::Optional {
            arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        arguments.extend(self.options.server_arguments.iter().cloned());
        arguments
    }

    /// Starts the controllers and the scheduler, as the options say.
    fn launch_controllers(&self, parts: &mut Parts) -> Result<(), Fault> {
        let common = [
            format!("--kubeconfig={}", self.kubeconfig().display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let controllers = match &self.options.controllers {
            Controllers::None => None,
            Controllers::These(names) => Some(names.join(",")),
            Controllers::All => Some("*".to_owned()),
        };
        if let Some(controllers) = controllers {
            let file = |name: &str| self.home.join(name).display().to_string();
            let mut arguments = common.to_vec();
            arguments.push(format!("--controllers={controllers}"));
            arguments.push(format!("--service-account-private-key-file={}", file("accounts.key")));
            arguments.push(format!("--root-ca-file={}", file("ca.crt")));
            let program = self.tools.program("kube-controller-manager")?;
            parts.controllers = Some(Process::start(&program, &arguments, self.home.path())?);
        }
        if self.options.scheduler {
            let program = self.tools.program("kube-scheduler")?;
            parts.scheduler = Some(Process::start(&program, &common, self.home.path())?);
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.home.join("etcd")
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A test that panicked elsewhere leaves processes that can still be ended.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ports {
    /// Finds ports that nobody listens on. Each process begins its search elsewhere.
    fn find() -> Result<Self, Fault> {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let (from, to) = PORTS;
        let many = u32::from(to - from);
        let first = std::process::id().wrapping_mul(97) % many;
        let mut found = Vec::new();
        for _ in from..to {
            let step = u32::from(COUNT.fetch_add(1, Ordering::Relaxed));
            let port = u16::try_from((first + step) % many).unwrap_or_default() + from;
            if TcpListener::bind(loopback(port)).is_ok() {
                found.push(loopback(port));
            }
            if let [etcd, peer, server] = found.as_slice() {
                return Ok(Self { etcd: *etcd, peer: *peer, server: *server });
            }
        }
        Err(Fault::NoPort { wanted: 3, from, to })
    }
}

/// Asks until the answer is well; the answer's error says what is missing.
fn await_ready(
    process: &mut Process,
    mut ask: impl FnMut() -> Result<(), String>,
) -> Result<(), Fault> {
    let start = Instant::now();
    loop {
        process.expect_running()?;
        let Err(last) = ask() else { return Ok(()) };
        if start.elapsed() > PATIENCE {
            let (program, log) = (process.name().to_owned(), process.tail());
            return Err(Fault::Late { program, waited: PATIENCE, last, log });
        }
        std::thread::sleep(PAUSE);
    }
}

fn finish(command: &str, output: &std::process::Output) -> Result<String, Fault> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(Fault::Failed {
        command: command.to_owned(),
        status: output.status.to_string(),
        output: format!("{}{}", text(&output.stdout), text(&output.stderr)),
    })
}
