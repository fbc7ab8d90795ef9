//! The embedded store: the ledger of one host in one SQLite file.
//!
//! For hosts without an API server and without a daemon. Every process that allocates (a CNI plugin
//! for each pod, `spiderpoolctl`) opens the directory, has one command decided and committed, and
//! goes. The rules are those of [`spiderpool_core`]; this crate loads what a decision needs, commits
//! what it writes, and answers only when that is on the disk.
//!
//! | file | what |
//! |---|---|
//! | `ledger.sqlite` | definitions, blocks, journal; with `-wal` and `-shm` beside it |
//! | `locks/000` … `locks/fff` | one lock for a share of the containers each |
//! | `ballast` | room that releases get when the disk is full |
//!
//! Invariants:
//! 1. What was answered survives `kill -9` and a power cut (`tests/crash.rs`).
//! 2. An address is never given twice, however many processes ask (`tests/many.rs`).
//! 3. Same commands, same answers and same state as in memory (`tests/conformance.rs`).
//! 4. No bytes on the disk make it panic, and none become an empty store (`tests/hostile.rs`).
//!
//! ```
//! use spiderpool_core::{command::Command, definition::{Pool, PoolDraft}, moment::Moment};
//! use spiderpool_store::{Extra, OpenOptions, Store};
//! # let place = tempfile::tempdir()?;
//! # let dir = place.path().join("store");
//! let store = Store::open(&dir, OpenOptions::create())?;
//! let pool = Pool::try_from(PoolDraft {
//!     name: "blue".into(),
//!     prefix: "10.6.0.0/24".into(),
//!     ranges: vec!["10.6.0.10-10.6.0.99".into()],
//!     ..PoolDraft::default()
//! })?;
//! store.execute(&Command::DefinePool(pool), Moment { now_ms: 1, seed: 7 }, &Extra::default())?;
//! assert_eq!(store.revision()?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backup;
mod ballast;
mod check;
mod commit;
mod create;
mod derived;
mod error;
mod history;
mod journal;
mod load;
mod locks;
mod object;
mod open;
mod patience;
mod replay;
mod restore;
mod rows;
mod schema;
mod witness;
mod write;

pub use check::{CheckReport, Discrepancy};
pub use error::{Cause, StoreError};
pub use history::{Filter, Tenure};
pub use journal::{Entry, JournalLimits};
pub use locks::ContainerLock;
pub use open::{Identity, OpenOptions, Store};
pub use patience::Patience;
pub use replay::{Difference, ReplayReport};
pub use witness::{Extra, Witness};
