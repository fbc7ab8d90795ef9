//! The cluster store on a real API server: the async code around the protocol, as thin as it can be.
//!
//! [`start`] connects, opens the local record, and puts a [`Node`] to work; its [`Handle`] asks. What is
//! done, and in which order, is said by [`cluster`](crate::cluster); in here bytes are moved. All of it is
//! behind the feature `client`.
//!
//! Modules, in reading order: `handle` what programs hold, `driver` the loop, `gate` notes before calls;
//! `message` what is sent, `verdict` what a reply means, `server` one exchange; `catalogue`, `frames` and
//! `watch` what is watched; `line`, `journal` and `recorder` the local record; `calibrator`, `clock`,
//! `backoff` time and chance; `notice` what people are told.
//!
//! Invariants:
//! 1. Every read that backs a write is a quorum read (`message`: `no_read_names_a_revision`).
//! 2. Nothing but a clear word of the API server is taken for a refusal or an absence (`verdict`).
//! 3. The client never sends a request again on its own (`tests::nothing_is_sent_twice`).

mod backoff;
mod calibrator;
mod catalogue;
mod clock;
mod driver;
mod frames;
mod gate;
mod handle;
mod journal;
mod line;
mod message;
mod notice;
mod recorder;
mod server;
#[cfg(test)]
mod tests;
mod verdict;
mod watch;

pub use handle::{Handle, Task, TaskFault};
pub use journal::RecordFault;
pub use line::Loss;
pub use notice::Notice;

use crate::cluster::node::{Node, Setup};
use crate::cluster::record::{Identity, Record};
use clock::{Clock, chance};
use driver::{Driver, Parts, Protocol};
use journal::{Journal, Opened};
use kube::{Client, Config};
use recorder::Recorder;
use server::{Server, Unclear};
use spiderpool_core::name::Name;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinError;
use watch::{Pace, WATCHED, Watch};

/// What a node's driver is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name.
    pub node: Name,
    /// The namespace of the agent: where a network lies whose name a pool gives without one.
    pub agent_namespace: String,
    /// The file of the local record, on a disk that a restart of the host leaves as it is. Its directory
    /// is made when it is not there.
    pub record: PathBuf,
    /// The file that holds the machine's id (`machine-id(5)`), of the host and not of a container.
    pub machine_id: PathBuf,
    /// How many requests may be on their way at once, at least one. Each holds a connection.
    pub calls_max: usize,
    /// How long one request may take, at least a second.
    pub patience: Duration,
    /// How long to try to reach the API server before giving up the start.
    pub start_within: Duration,
}

impl Settings {
    /// Eight requests at once of ten seconds each; a minute to start.
    #[must_use]
    pub const fn new(
        node: Name,
        agent_namespace: String,
        record: PathBuf,
        machine_id: PathBuf,
    ) -> Self {
        Self {
            node,
            agent_namespace,
            record,
            machine_id,
            calls_max: 8,
            patience: Duration::from_secs(10),
            start_within: Duration::from_secs(60),
        }
    }
}

/// Why a driver cannot start.
#[derive(Debug, Error)]
pub enum StartFault {
    /// The way to the API server cannot be set up.
    #[error("cannot set up a client of the API server")]
    Client(#[source] Box<kube::Error>),
    /// The machine's id cannot be read.
    #[error("cannot read the machine's id from {}", path.display())]
    MachineId {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such node.
    #[error("there is no Node `{node}`; name the node that this agent runs on")]
    NoNode {
        /// The name that was looked for.
        node: Name,
    },
    /// The API server cannot be reached.
    #[error("the API server did not say who Node `{node}` is within {} s: {why}", within.as_secs())]
    Unreachable {
        /// The node.
        node: Name,
        /// How long it was tried.
        within: Duration,
        /// What was received last.
        why: String,
    },
    /// The local record cannot be opened.
    #[error("cannot open the local record")]
    Record(#[from] RecordFault),
    /// The thread that opens it was lost.
    #[error("the thread that opens the local record was lost")]
    Thread(#[from] JoinError),
}

/// Starts to drive a node.
///
/// The client that is made of `config` does not retry: a write that was sent twice would be met by its
/// own conflict. What people should know is sent to `notices`; whoever wants to hear all of it subscribes
/// before. Asks are answered with `NotReady` until every definition was read.
///
/// # Errors
/// [`StartFault`]. An API server that does not answer is tried for [`Settings::start_within`].
pub async fn start(
    config: Config,
    settings: Settings,
    notices: broadcast::Sender<Notice>,
) -> Result<(Handle, Task), StartFault> {
    let client = client(config).map_err(|error| StartFault::Client(Box::new(error)))?;
    let node = settings.node.clone();
    let make = move |record: Option<Record>, identity, moment| {
        Node::new(Setup { node, record, identity }, moment)
    };
    start_with(client, settings, notices, Pace::default(), make).await
}

/// A client that sends each request once.
fn client(mut config: Config) -> kube::Result<Client> {
    config.default_retry = false;
    Client::try_from(config)
}

/// Starts to drive whatever `make` makes of the record that was found.
async fn start_with<P: Protocol>(
    client: Client,
    settings: Settings,
    notices: broadcast::Sender<Notice>,
    pace: Pace,
    make: impl FnOnce(
        Option<Record>,
        Identity,
        spiderpool_core::moment::Moment,
    ) -> (P, Vec<crate::cluster::port::Output>),
) -> Result<(Handle, Task), StartFault> {
    let clock = Arc::new(Clock::new());
    let patience = settings.patience.max(Duration::from_secs(1));
    let agent_namespace = settings.agent_namespace.as_str().into();
    let server = Server { client, clock: Arc::clone(&clock), patience, agent_namespace };
    let identity = identity(&server, &settings).await?;
    let (path, whose) = (settings.record.clone(), identity.clone());
    let opened = tokio::task::spawn_blocking(move || Journal::open(&path, &whose)).await?;
    let Opened { journal, found } = opened?;
    if let Err(loss) = &found {
        // Nobody has to listen.
        drop(notices.send(Notice::RecordLost(loss.clone())));
    }
    let (protocol, first) = make(found.ok(), identity, clock.moment());
    let recorder = Recorder::new(journal, notices.clone());
    let ((asks_to, asks), (tell, told)) = (mpsc::channel(1_024), mpsc::channel(256));
    let stop = tokio::sync::watch::Sender::new(false);
    for what in WATCHED {
        let (server, listener) = (server.clone(), tell.clone());
        let watch = Watch { what, server, listener, notices: notices.clone(), pace };
        // It ends when the driver no longer listens.
        drop(tokio::spawn(watch.run()));
    }
    let closed = tokio::sync::watch::Sender::new(protocol.closed().map(Arc::from));
    let handle = Handle {
        asks: asks_to,
        clock: Arc::clone(&clock),
        stuck: recorder.stuck(),
        closed: closed.subscribe(),
    };
    let (calls_max, stop_heard) = (settings.calls_max.max(1), stop.subscribe());
    let parts = Parts {
        protocol,
        server,
        clock,
        recorder,
        asks,
        told,
        stop: stop_heard,
        closed,
        notices,
        calls_max,
    };
    let driver = tokio::spawn(Driver::new(parts, first).run());
    Ok((handle, Task { driver, stop }))
}

/// Whose record this node's is; the first reply also sets the clock.
async fn identity(server: &Server, settings: &Settings) -> Result<Identity, StartFault> {
    let path = &settings.machine_id;
    let machine_id = tokio::task::spawn_blocking({
        let path = path.clone();
        move || std::fs::read_to_string(path)
    });
    let machine_id = machine_id.await?.and_then(|text| match text.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")),
        id => Ok(id.to_owned()),
    });
    let machine_id =
        machine_id.map_err(|source| StartFault::MachineId { path: path.clone(), source })?;
    let node = &settings.node;
    let (began, mut backoff) = (tokio::time::Instant::now(), watch::backoff());
    loop {
        match server.node_uid(node).await {
            Ok(Some(node_uid)) => return Ok(Identity { node_uid, machine_id }),
            Ok(None) => return Err(StartFault::NoNode { node: node.clone() }),
            Err(Unclear(why)) if began.elapsed() > settings.start_within => {
                let within = settings.start_within;
                return Err(StartFault::Unreachable { node: node.clone(), within, why });
            }
            Err(_) => tokio::time::sleep(backoff.pause(chance())).await,
        }
    }
}
