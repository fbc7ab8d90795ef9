//! Waiting for other processes, until a deadline.
//!
//! Every wait of the crate goes through [`Patience`]: for the ledger's write lock and for the locks
//! of containers. SQLite's own back-off sleeps up to 100 ms at a time; the holder is done in about
//! one, so a waiter looks again after one to two milliseconds.

use crate::error::{Site, StoreError, is_busy};
use std::time::{Duration, Instant};

/// How long operations wait for other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// All operations together, until this instant: for one CNI verb.
    Until(Instant),
    /// Each operation for this long: for a process that stays.
    Each(Duration),
}

impl Default for Patience {
    /// Ten seconds for each operation.
    fn default() -> Self {
        Self::Each(Duration::from_secs(10))
    }
}

/// One wait under way.
#[derive(Debug)]
pub(crate) struct Wait {
    since: Instant,
    end: Option<Instant>,
    rounds: u32,
}

impl Patience {
    pub(crate) fn start(self) -> Wait {
        let since = Instant::now();
        let end = match self {
            Self::Until(end) => Some(end),
            Self::Each(wait) => since.checked_add(wait),
        };
        Wait { since, end, rounds: 0 }
    }
}

impl Wait {
    /// Sleeps a little; an error when the deadline has passed.
    pub(crate) fn again(&mut self, what: &str) -> Result<(), StoreError> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(StoreError::Busy { what: what.to_owned(), waited: self.since.elapsed() });
        }
        self.rounds = self.rounds.wrapping_add(1);
        let jitter =
            (std::process::id().wrapping_add(self.rounds)).wrapping_mul(2_654_435_761) >> 22;
        std::thread::sleep(Duration::from_micros(1_000 + u64::from(jitter)));
        Ok(())
    }

    /// Runs a step of SQL again for as long as another process is in the way.
    pub(crate) fn sql<T>(
        &mut self,
        site: &Site,
        doing: &str,
        mut step: impl FnMut() -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        loop {
            match step() {
                Err(error) if is_busy(&error) => self.again("the ledger")?,
                Err(error) => return Err(site.sql(doing, error)),
                Ok(done) => return Ok(done),
            }
        }
    }
}
