//! The program: from its arguments to an agent that serves, and to its end.
//!
//! Invariants:
//! 1. An API server that is away at the start is waited for; the sockets are open meanwhile and say so.
//! 2. SIGTERM ends it within seconds: requests under way have `GRACE` to end.

use crate::agent::{Agent, Site};
use crate::board::Events;
use crate::book::Book;
use crate::cli::{Cli, Command, Daemon, Install};
use crate::conf::reload::{self, Present, Watched};
use crate::duty::install::{InstallFault, Placed, install};
use crate::duty::project::{Outbox, Scribe};
use crate::duty::reclaim::{Reclaimer, Tools};
use crate::duty::sandbox::Host;
use crate::duty::watchman::Watchman;
use crate::duty::{drive, repair, sysctl};
use crate::facts::cluster::Cluster;
use crate::facts::server::Server;
use crate::facts::watch::{OwnPods, attend};
use crate::health::{Health, Part, Probes};
use crate::herald::Herald;
use crate::http::{self, Answers, Listener};
use crate::log::{self, chain};
use crate::metrics::{Exporter, Metrics};
use crate::order::Order;
use crate::socket::Door;
use crate::soon::Soon;
use crate::store::cluster::ClusterStore;
use clap::{CommandFactory as _, Parser as _};
use kube::{Client, Config};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::reclaim::GcSettings;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long requests that are under way have when the agent is told to end.
const GRACE: Duration = Duration::from_secs(5);

/// The sysctls of this kernel.
const SYSCTLS: &str = "/proc/sys";

/// Where runtimes keep the files of network namespaces.
const NAMESPACES: &str = "/run/netns";

/// Why the program did not do what it was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// The system failed.
    World(String),
    /// The arguments or the configuration cannot be used.
    Bad(String),
}

/// Runs the program: reads the arguments, does what they say, and says why not.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, daemon } = Cli::parse();
    let done = match command {
        None => run_daemon(daemon),
        Some(Command::Daemon(daemon)) => run_daemon(*daemon),
        Some(Command::Install(install)) => run_install(&install),
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "spiderpool-agent", &mut script);
            print(&script)
        }
        Some(Command::Man { dir }) => man(dir.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::World(why)) => complain(&why, 1),
        Err(Failure::Bad(why)) => complain(&why, 2),
    }
}

fn complain(why: &str, code: u8) -> ExitCode {
    // Nobody is left to be told if this fails.
    drop(writeln!(std::io::stderr(), "error: {why}"));
    ExitCode::from(code)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let written = std::io::stdout().write_all(bytes);
    written.map_err(|error| Failure::World(format!("cannot write the answer: {error}")))
}

fn man(dir: Option<&Path>) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::World(format!("cannot write the page: {error}"));
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(fault)?;
        return print(&page);
    };
    std::fs::create_dir_all(dir).map_err(fault)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(fault)
}

fn run_install(args: &Install) -> Result<(), Failure> {
    let from = match &args.from {
        Some(from) => from.clone(),
        None => own_directory().map_err(|error| Failure::World(error.to_string()))?,
    };
    let mut faults = Vec::new();
    for (name, placed) in install(&from, &args.dir, args.replace_newer) {
        match placed {
            Ok(placed) => {
                let told = told(placed);
                print(format!("{}: {told}\n", args.dir.join(name).display()).as_bytes())?;
            }
            Err(fault) => faults.push(chain(&fault)),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::World(faults.join("; "))) }
}

const fn told(placed: Placed) -> &'static str {
    match placed {
        Placed::New => "installed",
        Placed::Same => "is there already",
        Placed::NewerKept => "a later one is there, and stays",
    }
}

fn own_directory() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().map_or_else(|| "/".into(), Path::to_path_buf))
}

fn run_daemon(args: Daemon) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::World(format!("cannot start: {error}")))?;
    let done = runtime.block_on(daemon(args));
    // A blocking thread that mends a pod at the moment is not waited for: the next start looks again.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn daemon(args: Daemon) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let volume = log::begin(args.log_format, args.log_level);
    greet(&args);
    let (conf, present) = configuration(&args, &volume)?;
    prepare(&args, &present);
    let site = site(&args)?;
    let socket = present.borrow().socket.clone();
    let (door, listener) = Door::open(&socket).map_err(|fault| Failure::World(chain(&fault)))?;
    let config = Config::infer().await.map_err(|error| {
        Failure::Bad(format!("there is no way to an API server: {}", chain(&error)))
    })?;
    let built = Client::try_from(config.clone());
    let client = built.map_err(|error| Failure::Bad(chain(&error)))?;
    let parts = Parts::new(client, &args, site, present.clone());
    let (mut tasks, mut serving) = (JoinSet::new(), JoinSet::new());
    let (closing, closed) = watch::channel(false);
    tasks.spawn(conf.watch());
    tasks.spawn(log::follow(volume, present.clone()));
    tasks.spawn(repair::keep(present));
    parts.spawn_duties(&mut tasks);
    parts.spawn_reclaim(&mut tasks)?;
    tasks.spawn(drive::start(&parts, config, &args));
    tcp(&args, &parts, &mut serving, &closed).await?;
    parts.health.set(Part::Socket, Ok(()));
    let agent = Arc::clone(&parts.agent) as Arc<dyn Answers>;
    serving.spawn(http::serve(Listener::Unix(listener), agent, closed));
    tasks.spawn(watch_door(Arc::clone(&parts.health), door));
    signals.ended().await;
    closing.send_replace(true);
    drain(serving).await;
    tasks.shutdown().await;
    Ok(())
}

/// Says who begins, and which variables have no effect.
fn greet(args: &Daemon) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = args.node_name, "spiderpool-agent");
    let remarks = Daemon::remarks(|name| std::env::var(name).ok());
    remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
}

/// Lets requests that are under way end.
#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
async fn drain(mut serving: JoinSet<()>) {
    tracing::info!("told to end; requests under way have {} s", GRACE.as_secs());
    let all = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("requests are still under way, and are given up");
    }
}

/// Reads the configuration, and sets the log by it.
fn configuration(args: &Daemon, volume: &log::Volume) -> Result<(Watched, Present), Failure> {
    let path = args.config_path.display().to_string();
    let opened = Watched::open(args.config_path.clone());
    let (watched, remarks) =
        opened.map_err(|why| Failure::Bad(format!("cannot use `{path}`: {why}")))?;
    let present = watched.present();
    volume.set(present.borrow().own.log_level);
    reload::tell(&path, &remarks);
    Ok((watched, present))
}

/// What is done once, before anybody is served; nothing of it keeps the agent from serving.
fn prepare(args: &Daemon, present: &Present) {
    if let Some(dir) = &args.install_cni_binaries {
        let placed = own_directory().map(|from| install(&from, dir, false));
        match placed {
            Ok(placed) => placed.into_iter().for_each(|(name, placed)| tell_placed(name, placed)),
            Err(error) => tracing::error!(%error, "the CNI plugins cannot be installed"),
        }
    }
    let conf = Arc::clone(&present.borrow());
    if conf.tunes_node {
        let tuned = sysctl::tune(Path::new(SYSCTLS), conf.families);
        tuned.set.iter().for_each(|(path, was, is)| tracing::info!(path, was, is, "sysctl"));
        tuned.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
    }
}

#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
fn tell_placed(plugin: &str, placed: Result<Placed, InstallFault>) {
    match placed {
        Ok(placed) => tracing::info!(plugin, "{}", told(placed)),
        Err(fault) => tracing::error!(plugin, why = chain(&fault), "is not installed"),
    }
}

fn site(args: &Daemon) -> Result<Site, Failure> {
    let node = Name::new(&args.node_name)
        .map_err(|bad| Failure::Bad(format!("--node-name (SPIDERPOOL_NODE_NAME): {bad}")))?;
    Ok(Site {
        node,
        namespace: args.pod_namespace.clone(),
        network: Some(args.cluster_network.clone()).filter(|network| !network.is_empty()),
        releases_conflicts: args.release_conflict_ips,
    })
}

/// What the tasks of the agent share.
pub(crate) struct Parts {
    pub(crate) agent: Arc<Agent>,
    pub(crate) book: Arc<Book>,
    pub(crate) health: Arc<Health>,
    pub(crate) herald: Arc<Herald>,
    pub(crate) pods: Arc<OwnPods>,
    pub(crate) server: Arc<Server>,
    pub(crate) store: Arc<ClusterStore>,
    metrics: Arc<Metrics>,
    /// What is to be spawned.
    work: Mutex<Vec<Soon<'static, ()>>>,
}

impl Parts {
    fn new(client: Client, args: &Daemon, site: Site, conf: Present) -> Self {
        let (server, book) = (Arc::new(Server::new(client)), Arc::new(Book::default()));
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::default()));
        let pods = Arc::new(OwnPods::default());
        let board = Arc::new(Events::new(Arc::clone(&server), site.node.clone()));
        let (herald, telling) = Herald::new(board);
        let namespace = args.pod_namespace.clone();
        let store = ClusterStore::new(Arc::clone(&server), Arc::clone(&book), namespace);
        let store = Arc::new(store);
        let facts = Cluster::new(Arc::clone(&server), site.node.clone(), Arc::clone(&pods));
        let facts = Arc::new(facts);
        let outbox = Arc::new(Outbox::default());
        let scribe = Scribe {
            node: site.node.clone(),
            facts: Arc::clone(&facts) as _,
            store: Arc::clone(&store) as _,
            endpoints: Arc::clone(&facts) as _,
            outbox: Arc::clone(&outbox),
            conf: conf.clone(),
        };
        let agent = Arc::new(Agent {
            site,
            conf,
            facts,
            outbox,
            store: Arc::clone(&store) as _,
            herald: Arc::clone(&herald),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            order: Order::default(),
        });
        let work: [Soon<'static, ()>; 2] = [Box::pin(telling), Box::pin(scribe.keep())];
        let work = Mutex::new(work.into());
        Self { agent, book, health, herald, pods, server, store, metrics, work }
    }

    fn spawn_duties(&self, tasks: &mut JoinSet<()>) {
        let node = self.agent.site.node.clone();
        let health = || Arc::clone(&self.health);
        tasks.spawn(attend(Arc::clone(&self.server), health()));
        tasks.spawn(Arc::clone(&self.pods).follow(Arc::clone(&self.server), node, health()));
        let work = std::mem::take(&mut *self.work.lock().unwrap_or_else(PoisonError::into_inner));
        work.into_iter().for_each(|one| drop(tasks.spawn(one)));
    }
}

impl Parts {
    /// Takes back what vanished pods left behind.
    fn spawn_reclaim(&self, tasks: &mut JoinSet<()>) -> Result<(), Failure> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let settings =
            GcSettings::read(&environment).map_err(|bad| Failure::Bad(bad.to_string()))?;
        let records = self.agent.conf.borrow().own.coordinator_state.clone();
        let host = Host { records, namespaces: NAMESPACES.into() };
        let tools = Tools {
            facts: Arc::clone(&self.agent.facts),
            store: Arc::clone(&self.agent.store),
            book: Arc::clone(&self.book),
            sandboxes: Arc::new(host),
        };
        let node = self.agent.site.node.clone();
        let reclaimer = Reclaimer::new(node, tools, settings.clone());
        if settings.enabled {
            tasks.spawn(Watchman::new(reclaimer, &settings).keep(self.pods.changes()));
        } else {
            tracing::info!("reclaiming is switched off (SPIDERPOOL_GC_IP_ENABLED)");
        }
        Ok(())
    }
}

/// Opens the ports of probes and metrics.
async fn tcp(
    args: &Daemon,
    parts: &Parts,
    serving: &mut JoinSet<()>,
    closed: &watch::Receiver<bool>,
) -> Result<(), Failure> {
    let probes: Arc<dyn Answers> = Arc::new(Probes { health: Arc::clone(&parts.health) });
    let exporter: Arc<dyn Answers> = Arc::new(Exporter { metrics: Arc::clone(&parts.metrics) });
    let metrics = args.enable_metrics.then_some((args.metrics_port, exporter));
    for (port, answers) in [Some((args.health_port, probes)), metrics].into_iter().flatten() {
        let listener = bind(args.listen_address, port).await.map_err(|error| {
            Failure::World(format!(
                "cannot listen at port {port} of {}: {error}",
                args.listen_address
            ))
        })?;
        serving.spawn(http::serve(Listener::Tcp(listener), answers, closed.clone()));
    }
    Ok(())
}

/// Where the node has no IPv6, every IPv4 address is meant by `::`.
async fn bind(address: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::new(address, port)).await {
        Err(_) if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).await
        }
        bound => bound,
    }
}

/// Keeps the door, and says when somebody has taken its file away: no plugin finds the agent then.
async fn watch_door(health: Arc<Health>, door: Door) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let state = if door.is_in_place() {
            Ok(())
        } else {
            Err(format!("somebody took `{}` away; restart the agent", door.path().display()))
        };
        health.set(Part::Socket, state);
    }
}

/// SIGTERM and SIGINT, listened for from the very beginning: the first process of a container that has no
/// handler for SIGTERM does not hear it at all.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let fault =
            |error: std::io::Error| Failure::World(format!("signals cannot be heard: {error}"));
        let term = signal(SignalKind::terminate()).map_err(fault)?;
        let int = signal(SignalKind::interrupt()).map_err(fault)?;
        Ok(Self { term, int })
    }

    /// Waits for either.
    async fn ended(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
