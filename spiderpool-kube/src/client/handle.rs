//! What the rest of a program holds of the driver.
//!
//! Owns [`Handle`] and [`Task`]. Invariants:
//!
//! 1. Whoever stops waiting for an answer cancels nothing (`tests::a_dropped_asker_cancels_nothing`).
//! 2. While the local record cannot be written, whoever asks for an address is told so at once
//!    (`tests::a_record_that_cannot_be_written_stops_grants`).

use super::clock::Clock;
use crate::cluster::port::{Ask, Fault};
use spiderpool_core::command::{Answer, Command};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};

/// How long after its deadline an answer is still waited for: the state machine answers at the
/// deadline, and is told of it a little later.
const GRACE: Duration = Duration::from_millis(500);

/// An ask on its way to the driver.
#[derive(Debug)]
pub(super) struct Asked {
    pub ask: Ask,
    pub teller: oneshot::Sender<Result<Answer, Fault>>,
}

/// Asks a node; cheap to clone. The driver ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) asks: mpsc::Sender<Asked>,
    pub(super) clock: Arc<Clock>,
    pub(super) stuck: watch::Receiver<Option<Arc<str>>>,
    pub(super) closed: watch::Receiver<Option<Arc<str>>>,
}

impl Handle {
    /// Asks, and waits for the answer. What was asked goes on when the wait is given up.
    ///
    /// # Errors
    /// [`Fault`], as it says; [`Fault::Late`] when there is no answer soon after the deadline.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Fault> {
        let grants = matches!(ask.command, Command::Allocate(_) | Command::Hold(_));
        if let (true, Some(fault)) = (grants, self.stuck_fault()) {
            return Err(fault);
        }
        let left = ask.deadline_ms.saturating_sub(self.now_ms());
        let wait = tokio::time::timeout(Duration::from_millis(left) + GRACE, self.answer(ask));
        match wait.await {
            Ok(answer) => answer,
            Err(_) => Err(self.stuck_fault().filter(|_| grants).unwrap_or(Fault::Late)),
        }
    }

    async fn answer(&self, ask: Ask) -> Result<Answer, Fault> {
        let (teller, answer) = oneshot::channel();
        // A driver that has ended took nothing in; one that ends now leaves open what it did.
        self.asks.send(Asked { ask, teller }).await.map_err(|_| Fault::NotReady)?;
        answer.await.unwrap_or(Err(Fault::Late))
    }

    /// Why no address is given out at present, as it changes; `None` when all is well. The store may have
    /// gone back in time, the local record may not be writable, or the pools are not known yet. What is
    /// asked meanwhile is answered with a fault that says the same.
    #[must_use]
    pub fn closed(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.closed.clone()
    }

    /// The API server's time in milliseconds since the Unix epoch: what deadlines are counted in.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// By how many milliseconds that may be wrong; `None` as long as it is the host's own clock.
    #[must_use]
    pub fn clock_error_ms(&self) -> Option<u64> {
        self.clock.error_ms()
    }

    /// A deadline that is some time from now.
    #[must_use]
    pub fn deadline_in(&self, time: Duration) -> u64 {
        self.now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    fn stuck_fault(&self) -> Option<Fault> {
        let why = self.stuck.borrow().clone()?;
        Some(Fault::NoRecord { why: why.to_string() })
    }
}

/// Why a driver came to a bad end.
#[derive(Debug, Error)]
pub enum TaskFault {
    /// A part of it was lost.
    #[error("a task of the driver was lost")]
    Lost(#[from] JoinError),
}

/// The driver at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Task {
    pub(super) driver: JoinHandle<Result<(), TaskFault>>,
    pub(super) stop: watch::Sender<bool>,
}

impl Task {
    /// Takes in nothing more, and ends when every ask is answered, or ten seconds later.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it is a bad one: whatever was under way is then in the record and on the server.
    pub async fn wait(&mut self) -> Result<(), TaskFault> {
        (&mut self.driver).await?
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
