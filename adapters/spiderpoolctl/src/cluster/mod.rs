//! A cluster instead of the embedded store: the same commands, on custom resources.
//!
//! Commands reach this through [`crate::session::Session`]. What they look at is a complete view, built
//! from lists of the custom resources; what they change goes as a request with a field manager, and an
//! address only through the protocol's own state machine.
//!
//! Modules, in reading order: [`api`] one request, [`fault`] why not, [`state`] what there is, [`pods`]
//! whose it is; then what commands need: [`define`], [`drive`], [`mod@explain`], [`finding`], [`survey`],
//! [`mod@reclaim`], [`mod@release`], [`version`].
//!
//! Invariants:
//! 1. An object that cannot be read is told, never passed over (`tests/kube`:
//!    `what_cannot_be_read_is_told`).
//! 2. An address passes to nobody and from nobody but by compare-and-swap at the generation that was
//!    seen (`tests/kube`: `a_release_meets_a_writer`).
//! 3. Looking changes nothing (`tests/kube`: `looking_changes_nothing`).

mod api;
mod define;
mod drive;
mod explain;
mod fault;
mod finding;
mod pods;
mod reclaim;
mod release;
mod state;
mod survey;
mod version;

pub(crate) use define::{apply, delete};
pub(crate) use explain::explain;
pub(crate) use reclaim::reclaim;
pub(crate) use release::{Facts, Wish, clear, facts, release, reserve};
pub(crate) use state::Extent;
pub(crate) use survey::audit;
pub(crate) use version::{Versions, versions};

use crate::failure::Failure;
use clap::Args;
use fault::chain;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::fmt;
use std::path::{Path, PathBuf};
use tokio::runtime::{Builder, Runtime};

/// Where a network lies whose name a pool or a pod gives without a namespace, unless told otherwise.
pub(crate) const AGENT_NAMESPACE: &str = "kube-system";

/// Who the API server records as the author of what is written.
const FIELD_MANAGER: &str = "spiderpoolctl";

/// Which cluster, if any.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Choice {
    /// Work on a cluster: that of $KUBECONFIG or ~/.kube/config, or the one this runs in
    #[arg(long, global = true)]
    cluster: bool,
    /// Work on the cluster of this kubeconfig
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Work on the cluster of this context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
}

impl Choice {
    /// Whether a cluster was chosen.
    pub(crate) const fn is_made(&self) -> bool {
        self.cluster || self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// A cluster's API server.
pub(crate) struct Cluster {
    runtime: Runtime,
    client: Client,
    /// Where it is, for people.
    url: String,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the credentials. Nothing is sent yet.
    pub(crate) fn connect(choice: &Choice) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::world("cannot wait for the network").because(&error))?;
        let mut config = runtime.block_on(config(choice))?;
        // A write that is sent twice meets its own conflict.
        config.default_retry = false;
        let url = config.cluster_url.to_string();
        let entered = runtime.enter();
        let client = Client::try_from(config).map_err(|error| {
            Failure::bad(format!("cannot use the credentials: {}", chain(&error)))
        })?;
        drop(entered);
        Ok(Self { runtime, client, url })
    }
}

async fn config(choice: &Choice) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: choice.context.clone(), ..Default::default() };
    let read = match &choice.kubeconfig {
        Some(file) => from_file(file, &options).await,
        None if choice.context.is_some() => {
            Config::from_kubeconfig(&options).await.map_err(|error| chain(&error))
        }
        None => Config::infer().await.map_err(|error| chain(&error)),
    };
    read.map_err(|why| {
        Failure::bad(format!("cannot tell which cluster: {why}"))
            .try_this("name a kubeconfig with --kubeconfig, or set KUBECONFIG")
    })
}

async fn from_file(file: &Path, options: &KubeConfigOptions) -> Result<Config, String> {
    let read = Kubeconfig::read_from(file).map_err(|error| chain(&error))?;
    Config::from_custom_kubeconfig(read, options).await.map_err(|error| chain(&error))
}
