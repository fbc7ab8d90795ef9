//! When reclaiming is done: soon after a pod of this node vanished, when a round asked for another, and a
//! full one now and then.

use super::reclaim::{Reclaimer, Swept};
use crate::log::chain;
use spiderpool_kube::cluster::reclaim::GcSettings;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long changes of pods are collected before a round.
const SETTLE: Duration = Duration::from_secs(1);

/// How soon a round that failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The least time between two rounds.
const APART: Duration = Duration::from_millis(100);

/// Reclaims in time.
#[derive(Debug)]
pub struct Watchman {
    reclaimer: Reclaimer,
    scan: Duration,
    full_at: Instant,
    again_at: Option<Instant>,
}

impl Watchman {
    /// One that makes a full round at once.
    #[must_use]
    pub fn new(reclaimer: Reclaimer, settings: &GcSettings) -> Self {
        let scan = Duration::from_millis(settings.scan_every_ms.max(1_000));
        Self { reclaimer, scan, full_at: Instant::now(), again_at: None }
    }

    /// Reclaims for ever; `changes` grows with each change of the node's pods.
    pub async fn keep(mut self, mut changes: watch::Receiver<u64>) {
        self.begin().await;
        loop {
            let until = self.again_at.map_or(self.full_at, |again| again.min(self.full_at));
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(SETTLE).await;
                    changes.mark_unchanged();
                }
            }
            self.round().await;
        }
    }

    async fn begin(&mut self) {
        while let Err(fault) = self.reclaimer.begin().await {
            tracing::debug!(why = chain(&fault), "the node's endpoints cannot be read yet");
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn round(&mut self) {
        let full = Instant::now() >= self.full_at;
        let now_ms = self.reclaimer.now_ms();
        match self.reclaimer.round(now_ms, full).await {
            Ok(swept) => {
                let left = |at_ms: u64| Duration::from_millis(at_ms.saturating_sub(now_ms));
                self.again_at = swept.again_at_ms.map(|at_ms| after(left(at_ms)));
                if full {
                    self.full_at = after(self.scan);
                }
                tell(&swept);
            }
            Err(fault) => {
                let why = chain(&fault);
                tracing::warn!(why, "reclaiming could not be done, and is tried again");
                self.again_at = Some(after(AGAIN));
                self.full_at = self.full_at.max(after(AGAIN));
            }
        }
    }
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time.max(APART)).unwrap_or(now)
}

#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
fn tell(swept: &Swept) {
    for standing in &swept.freed {
        let (address, owner) = (standing.place.address, standing.owner.as_str());
        let container = standing.container.as_str();
        tracing::info!(%address, owner, container, "taken back: its pod is gone, and its sandbox too");
    }
    if swept.doubtful > 0 {
        tracing::debug!(doubtful = swept.doubtful, blocks = swept.blocks, "slots are in doubt");
    }
}
