//! What people have to be told of, while the driver goes on.

use super::line::Loss;
use crate::cluster::port::Alarm;
use std::sync::Arc;
use thiserror::Error;

/// Something for Events, logs and metrics; sent on a channel that may lose the oldest when nobody reads.
#[derive(Clone, Debug, Error)]
pub enum Notice {
    /// Something is wrong with the store.
    #[error(transparent)]
    Alarm(#[from] Alarm),
    /// A request or a watch got no reply that can be relied on. It is made good; when it goes on, the API
    /// server cannot be reached or its definitions are not installed.
    #[error("{what} got no clear reply: {why}")]
    Unclear {
        /// What was asked.
        what: String,
        /// What was received.
        why: String,
    },
    /// The local record was not there or could not be believed, and is made anew from the cluster.
    #[error("the local record is made anew: {0}")]
    RecordLost(Loss),
    /// The local record cannot be written: nothing is given out until it can.
    #[error("nothing is given out: the local record cannot be written: {why}")]
    RecordStuck {
        /// Why, with its causes.
        why: Arc<str>,
    },
    /// The local record can be written again.
    #[error("the local record can be written again")]
    RecordMended,
}
