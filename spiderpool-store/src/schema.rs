//! The tables of the ledger file, their format number, and how an older format becomes this one.
//!
//! Called when a store is made or opened. Invariants:
//! 1. An upgrade happens in one transaction, or not at all (`an_older_format_is_upgraded`).
//! 2. A newer format is refused (`a_newer_format_is_refused`).

use rusqlite::{Connection, Result};

/// What `application_id` in the header of the file says: "SpPl".
pub(crate) const APPLICATION_ID: i32 = 0x5370_506c;

/// The format that this version reads and writes.
pub(crate) const FORMAT: i64 = 1;

/// Every table. Numbers of addresses are 16 bytes, highest first, so that they sort.
///
/// `holding` maps a 64-bit digest of an owner's or a container's name to the blocks to look at;
/// `run` and `resting` are derived from blocks and definitions (see `derived`); `base` holds the
/// objects as they were before the oldest entry of `journal`.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE definition (
    kind INTEGER NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE pool_prefix (
    space TEXT NOT NULL, family INTEGER NOT NULL, first BLOB NOT NULL, last BLOB NOT NULL,
    pool TEXT NOT NULL, PRIMARY KEY (space, family, first, pool)) WITHOUT ROWID;
CREATE UNIQUE INDEX pool_prefix_of ON pool_prefix (pool);
CREATE TABLE block (
    id INTEGER PRIMARY KEY, space TEXT NOT NULL, family INTEGER NOT NULL, first BLOB NOT NULL,
    allocated INTEGER NOT NULL, resting INTEGER NOT NULL, quarantined INTEGER NOT NULL,
    revision INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX block_name ON block (space, family, first);
CREATE INDEX block_quarantined ON block (space, family, first) WHERE quarantined <> 0;
CREATE TABLE holding (
    tag INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (tag, block)) WITHOUT ROWID;
CREATE TABLE run (
    pool TEXT NOT NULL, first BLOB NOT NULL, last BLOB NOT NULL,
    PRIMARY KEY (pool, first)) WITHOUT ROWID;
CREATE TABLE resting (
    pool TEXT NOT NULL, since_ms INTEGER NOT NULL, number BLOB NOT NULL, block INTEGER NOT NULL,
    PRIMARY KEY (pool, since_ms, number)) WITHOUT ROWID;
CREATE TABLE tombstone (
    container TEXT PRIMARY KEY, ticket INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE base (
    object TEXT PRIMARY KEY, revision INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
";

/// What came with format 1.
const WITNESSES: &str = "
CREATE TABLE witness (
    container TEXT NOT NULL, attachment TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (container, attachment)) WITHOUT ROWID;
";

/// Each turns the format of its index into the next.
const UPGRADES: &[fn(&Connection) -> Result<()>] = &[|db| db.execute_batch(WITNESSES)];

/// Makes every table in an empty database.
pub(crate) fn create(db: &Connection) -> Result<()> {
    db.execute_batch(TABLES)?;
    db.execute_batch(WITNESSES)?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", FORMAT)
}

/// The format number of the file.
pub(crate) fn format(db: &Connection) -> Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings an older format up to this one; the caller has begun a transaction and commits it.
pub(crate) fn upgrade(db: &Connection, found: i64) -> Result<()> {
    let from = usize::try_from(found).unwrap_or(usize::MAX);
    for step in UPGRADES.iter().skip(from) {
        step(db)?;
    }
    db.pragma_update(None, "user_version", FORMAT)
}
