//! The local record's writer: one batch at a time, on a thread that may block, until it is durable.
//!
//! Owns the [`Journal`] on behalf of `driver`. A batch that cannot be written is tried again and again;
//! until it is durable nothing passes the gate, and [`Recorder::stuck`] says why, so that whoever asks
//! for an address is told at once. Invariant: [`Recorder::durable`] gives word once for each batch, and
//! not before it is durable (`tests::a_record_that_cannot_be_written_stops_grants`).

use super::backoff::Backoff;
use super::clock::chance;
use super::journal::{Journal, RecordFault};
use super::notice::Notice;
use crate::cluster::record::Entry;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

/// Pauses between attempts to write a record: a full disk is looked at again before a pod gives up.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Writes batches of entries. At most one of `idle`, `writing` and `pausing` is there.
#[derive(Debug)]
pub(super) struct Recorder {
    idle: Option<Journal>,
    writing: Option<Thread>,
    pausing: Option<(Batch, Instant)>,
    backoff: Backoff,
    stuck: watch::Sender<Option<Arc<str>>>,
    notices: broadcast::Sender<Notice>,
}

type Thread = JoinHandle<(Batch, Result<(), RecordFault>)>;

/// A batch and the journal that it goes to.
#[derive(Debug)]
struct Batch {
    journal: Journal,
    entries: Vec<Entry>,
}

impl Recorder {
    /// A writer that has nothing to write.
    pub(super) fn new(journal: Journal, notices: broadcast::Sender<Notice>) -> Self {
        let backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let stuck = watch::Sender::new(None);
        Self { idle: Some(journal), writing: None, pausing: None, backoff, stuck, notices }
    }

    /// Why the record cannot be written, as long as it cannot.
    pub(super) fn stuck(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.stuck.subscribe()
    }

    /// Why the record cannot be written, if that is so.
    pub(super) fn stuck_reason(&self) -> Option<Arc<str>> {
        self.stuck.borrow().clone()
    }

    /// Begins to write a batch; only when none is on its way.
    pub(super) fn begin(&mut self, entries: Vec<Entry>) {
        self.writing = self.idle.take().map(|journal| write(Batch { journal, entries }));
    }

    /// Waits until the batch is durable; for ever when there is none. Nothing is lost when the wait is
    /// given up and begun again.
    ///
    /// # Errors
    /// When the thread that writes was lost.
    pub(super) async fn durable(&mut self) -> Result<(), JoinError> {
        loop {
            if let Some(thread) = &mut self.writing {
                let (batch, result) = thread.await?;
                self.writing = None;
                match result {
                    Ok(()) => {
                        self.idle = Some(batch.journal);
                        self.well();
                        return Ok(());
                    }
                    Err(fault) => self.pause(batch, &fault),
                }
            } else if let Some((_, until)) = &self.pausing {
                tokio::time::sleep_until(*until).await;
                self.writing = self.pausing.take().map(|(batch, _)| write(batch));
            } else {
                std::future::pending().await
            }
        }
    }

    fn well(&mut self) {
        self.backoff.reset();
        if self.stuck.send_replace(None).is_some() {
            drop(self.notices.send(Notice::RecordMended));
        }
    }

    fn pause(&mut self, batch: Batch, fault: &RecordFault) {
        let why: Arc<str> = match fault.source() {
            Some(source) => format!("{fault}: {source}").into(),
            None => fault.to_string().into(),
        };
        if self.stuck.send_replace(Some(Arc::clone(&why))).is_none() {
            drop(self.notices.send(Notice::RecordStuck { why }));
        }
        let until = Instant::now() + self.backoff.pause(chance());
        self.pausing = Some((batch, until));
    }
}

fn write(mut batch: Batch) -> Thread {
    tokio::task::spawn_blocking(move || {
        let result = batch.journal.append(&batch.entries);
        (batch, result)
    })
}
