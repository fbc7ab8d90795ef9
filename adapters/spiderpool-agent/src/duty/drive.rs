//! Starting the protocol's driver, and telling people what it has to say.
//!
//! It is started as often as it takes: an API server that is away, or a node whose object is not there
//! yet, is waited for.

use crate::cli::Daemon;
use crate::health::{Health, Part};
use crate::herald::{About, Herald, Told, Weight};
use crate::log::chain;
use crate::run::Parts;
use crate::store::cluster::ClusterStore;
use kube::Config;
use spiderpool_kube::client::{self, Handle, Notice, Settings, Task};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};

/// How long to wait before another start.
const PAUSE: Duration = Duration::from_secs(5);

/// How many notices may wait.
const NOTICES: usize = 64;

/// Starts the driver, and stays with it to its end.
pub(crate) fn start(
    parts: &Parts,
    config: Config,
    args: &Daemon,
) -> impl Future<Output = ()> + Send + use<> {
    let settings = Settings::new(
        parts.agent.site.node.clone(),
        parts.agent.site.namespace.clone(),
        args.record.clone(),
        args.machine_id.clone(),
    );
    let (health, store) = (Arc::clone(&parts.health), Arc::clone(&parts.store));
    let herald = Arc::clone(&parts.herald);
    async move {
        let (notices, told) = broadcast::channel(NOTICES);
        tokio::join!(drive(config, settings, notices, (health, store)), tell(told, herald));
    }
}

async fn drive(
    config: Config,
    settings: Settings,
    notices: broadcast::Sender<Notice>,
    (health, store): (Arc<Health>, Arc<ClusterStore>),
) {
    let (handle, mut task) = begin(config, settings, notices, &health).await;
    let mut closed = handle.closed();
    store.begin(handle);
    let ended = loop {
        let why = closed.borrow_and_update().clone();
        let why = why.map(|why| format!("no address is given out: {why}"));
        health.set(Part::Store, why.map_or(Ok(()), Err));
        tokio::select! {
            ended = task.wait() => break ended,
            Ok(()) = closed.changed() => {}
        }
    };
    let why = ended.map_or_else(|fault| chain(&fault), |()| "it has ended".to_owned());
    health.set(Part::Store, Err(format!("the store's driver is gone ({why}); restart the agent")));
}

async fn begin(
    config: Config,
    settings: Settings,
    notices: broadcast::Sender<Notice>,
    health: &Health,
) -> (Handle, Task) {
    loop {
        match client::start(config.clone(), settings.clone(), notices.clone()).await {
            Ok(begun) => return begun,
            Err(fault) => health.set(Part::Store, Err(chain(&fault))),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hands on what the driver has to say.
async fn tell(mut told: broadcast::Receiver<Notice>, herald: Arc<Herald>) {
    loop {
        match told.recv().await {
            Ok(notice) => hand_on(&notice, &herald),
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "notices of the store were lost"),
            Err(RecvError::Closed) => return,
        }
    }
}

#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
fn hand_on(notice: &Notice, herald: &Herald) {
    let reason = match notice {
        Notice::Alarm(_) => "AddressStoreAlarm",
        Notice::RecordStuck { .. } => "LocalRecordStuck",
        Notice::Unclear { .. } | Notice::RecordLost(_) | Notice::RecordMended => {
            tracing::info!("{notice}");
            return;
        }
    };
    tracing::error!("{notice}");
    let (about, weight, text) = (About::Node, Weight::Warning, notice.to_string());
    herald.tell(Told { about, weight, reason, text });
}
