//! What keeps a figure from being taken.

use spiderpool_core::name::BadName;
use spiderpool_kube::client::{StartFault, TaskFault};
use std::path::PathBuf;
use thiserror::Error;

/// Something kept a figure from being taken.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// The laboratory failed.
    #[error("{}", .0.chain())]
    Laboratory(#[from] spiderpool_kube_lab::Fault),
    /// The API server said something else than was expected.
    #[error("cannot {what}: {why}")]
    Server {
        /// What was tried.
        what: String,
        /// What it said.
        why: String,
    },
    /// A client of the API server cannot be made.
    #[error("cannot make a client from {}: {why}", path.display())]
    Client {
        /// The kubeconfig.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A driver did not start.
    #[error("a node's driver did not start: {0}: {cause}", cause = cause(.0))]
    Start(#[from] StartFault),
    /// A driver was lost.
    #[error("a node's driver was lost: {0}")]
    Driver(#[from] TaskFault),
    /// A file cannot be used.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A name is none.
    #[error("{0}")]
    Name(#[from] BadName),
    /// A task was lost.
    #[error("a task was lost: {0}")]
    Lost(#[from] tokio::task::JoinError),
    /// The result is wrong.
    #[error("the run is void: {0}")]
    Void(String),
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
