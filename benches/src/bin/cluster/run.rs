//! One run: every node's pods ask until all are served or the time is over.
//!
//! A node's pods arrive as after its restart: up to [`BURST`] ask at once, each further one when another
//! is served. An ADD that fails is tried again after [`PAUSE`], as a kubelet would. The time of an
//! allocation counts from the pod's arrival to the address, pauses included.

use crate::api::Said;
use crate::blocks::Blocks;
use crate::object::Objects;
use crate::reference::Reference;
use crate::scene::{BURST, PAUSE, Scene};
use spiderpool_benches::pod::Pod;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// A node of some layout.
pub(crate) enum Agent {
    /// The reference's.
    Reference(Reference),
    /// One object for each address.
    Object(Objects),
    /// Ours.
    Blocks(Box<Blocks>),
}

impl Agent {
    /// Makes ready whatever a node has ready before its pods come.
    pub(crate) async fn warm(&self) -> Result<(), Said> {
        match self {
            Self::Reference(node) => node.warm().await,
            Self::Object(node) => node.warm().await,
            Self::Blocks(node) => node.warm().await,
        }
    }

    async fn allocate(&self, pod: Pod, again: bool) -> Result<Ipv4Addr, Said> {
        match self {
            Self::Reference(node) => node.allocate(pod).await,
            Self::Object(node) => node.allocate(pod, again).await,
            Self::Blocks(node) => node.allocate(pod).await,
        }
    }

    /// Takes a pod's address back.
    pub(crate) async fn release(&self, pod: Pod, address: Ipv4Addr) -> Result<(), Said> {
        match self {
            Self::Reference(node) => node.release(pod, address).await,
            Self::Object(node) => node.release(address).await,
            Self::Blocks(node) => node.release(pod).await,
        }
    }

    /// Ends it.
    pub(crate) async fn stop(&self) -> Result<(), crate::fault::Fault> {
        match self {
            Self::Reference(_) | Self::Object(_) => Ok(()),
            Self::Blocks(node) => node.stop().await,
        }
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Who was told which address.
    pub(crate) told: Vec<(Pod, Ipv4Addr)>,
    /// How long each of them waited, in order of length.
    pub(crate) waits: Vec<Duration>,
    /// ADDs that failed, by reason.
    pub(crate) failures: BTreeMap<String, u32>,
    /// Until the last pod was served, or the time was over.
    pub(crate) took: Duration,
}

impl Outcome {
    /// The wait that so many of a hundred pods stay below.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = self.waits.len().saturating_sub(1) * percent / 100;
        self.waits.get(at).copied().unwrap_or_default()
    }

    /// Allocations each second.
    pub(crate) fn rate(&self) -> f64 {
        let told = u32::try_from(self.told.len()).unwrap_or(u32::MAX);
        f64::from(told) / self.took.as_secs_f64().max(1e-9)
    }
}

enum Happened {
    Told(Pod, Ipv4Addr, Duration),
    Failed(String),
}

/// Lets the pods of all nodes ask; `served` goes along.
pub(crate) async fn run(agents: &[Arc<Agent>], scene: &Scene, served: &Arc<AtomicU32>) -> Outcome {
    let (tell, mut hear) = mpsc::unbounded_channel();
    let mut nodes = JoinSet::new();
    let began = Instant::now();
    for (number, agent) in (0..).zip(agents) {
        nodes.spawn(node(Arc::clone(agent), scene.pods(number), tell.clone()));
    }
    drop(tell);
    let mut outcome = Outcome::default();
    let deadline = tokio::time::Instant::from_std(began + scene.limit);
    outcome.took = scene.limit;
    while let Ok(Some(happened)) = tokio::time::timeout_at(deadline, hear.recv()).await {
        match happened {
            Happened::Failed(why) => *outcome.failures.entry(why).or_default() += 1,
            Happened::Told(pod, address, wait) => {
                outcome.told.push((pod, address));
                outcome.waits.push(wait);
                let count = served.fetch_add(1, Ordering::Relaxed) + 1;
                if count == scene.requests {
                    outcome.took = began.elapsed();
                }
            }
        }
    }
    nodes.shutdown().await;
    outcome.waits.sort_unstable();
    outcome
}

async fn node(agent: Arc<Agent>, pods: Vec<Pod>, tell: mpsc::UnboundedSender<Happened>) {
    let places = Arc::new(Semaphore::new(BURST));
    let mut all = JoinSet::new();
    for pod in pods {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (agent, tell) = (Arc::clone(&agent), tell.clone());
        all.spawn(async move {
            add(&agent, pod, &tell).await;
            drop(place);
        });
    }
    all.join_all().await;
}

async fn add(agent: &Agent, pod: Pod, tell: &mpsc::UnboundedSender<Happened>) {
    let arrived = Instant::now();
    let mut again = false;
    loop {
        let happened = match agent.allocate(pod, again).await {
            Ok(address) => Happened::Told(pod, address, arrived.elapsed()),
            Err(said) => Happened::Failed(match said {
                Said::Conflict => "conflict".to_owned(),
                Said::Missing => "missing".to_owned(),
                Said::Other(why) => why,
            }),
        };
        let done = matches!(happened, Happened::Told(..));
        // Nobody listens any more when the time is over.
        if tell.send(happened).is_err() || done {
            return;
        }
        again = true;
        tokio::time::sleep(PAUSE).await;
    }
}
