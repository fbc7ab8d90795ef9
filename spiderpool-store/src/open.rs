//! Opening a store, and telling a ledger from everything that is not one.
//!
//! Owns [`Store`]. Opening reads a few pages: no scan of the file, so that a plugin starts in well
//! under a millisecond (the figures are in `docs/decisions/001-embedded-store.md`).
//!
//! Invariants:
//! 1. A missing ledger becomes a new one only when it was asked for and nothing shows that there
//!    was one (`a_lost_ledger_is_not_made_again`).
//! 2. An empty, foreign, truncated or newer file is an error that says what to do
//!    (`tests/hostile.rs`).

use crate::error::{Site, StoreError};
use crate::journal::JournalLimits;
use crate::patience::Patience;
use crate::{create, schema};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name of the ledger file within the store's directory.
pub(crate) const LEDGER: &str = "ledger.sqlite";

/// Bytes of the write-ahead log from which a commit moves it into the ledger and empties it: 64 pages
/// with their headers. A process that comes alone reads the whole log once and does not know how much
/// of it has been moved before, so a log that is only moved and never emptied would be moved again by
/// every process (`the_log_stays_short`).
const LOG_BYTES: u64 = 64 * 4120;

/// A log beyond this size is worth waiting for its readers.
const LOG_BYTES_MAX: u64 = 16 * LOG_BYTES;

/// How to open a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Make the store when there is none and there never was one.
    pub create: bool,
    /// Never write: for a look at a store on read-only media.
    pub read_only: bool,
    /// How long to wait for other processes.
    pub patience: Patience,
    /// How much history is kept.
    pub journal: JournalLimits,
}

impl OpenOptions {
    /// The store is made when there is none.
    #[must_use]
    pub fn create() -> Self {
        Self { create: true, ..Self::default() }
    }

    /// Nothing is written.
    #[must_use]
    pub fn read_only() -> Self {
        Self { read_only: true, ..Self::default() }
    }
}

/// What tells a store from every other one, and from its own past after a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The random name that the store was made with.
    pub uuid: String,
    /// A random name that every restore changes.
    pub incarnation: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

/// An open store.
///
/// It can be shared by threads, which then take turns; processes each open their own.
#[derive(Debug)]
pub struct Store {
    pub(crate) site: Site,
    pub(crate) options: OpenOptions,
    db: Mutex<Connection>,
    inode: (u64, u64),
}

impl Store {
    /// Opens the store in a directory.
    ///
    /// # Errors
    /// [`StoreError::Missing`] without a store and without `create`; [`StoreError::Lost`],
    /// [`StoreError::Empty`], [`StoreError::Foreign`], [`StoreError::Damaged`] and
    /// [`StoreError::Format`] when what is there cannot be used; others as the system fails.
    pub fn open(dir: impl AsRef<Path>, options: OpenOptions) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let path = dir.join(LEDGER);
        let site = Site::of(dir, &path);
        match fs::metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                judge_absence(&site)?;
                if !options.create || options.read_only {
                    return Err(StoreError::Missing { dir: dir.to_owned() });
                }
                create::create(&site, options.patience)?;
            }
            Err(error) => return Err(site.io("look at the ledger", &error)),
        }
        let inode = judge_file(&site)?;
        let db = connect(&site, options)?;
        Ok(Self { site, options, db: Mutex::new(db), inode })
    }

    /// The directory that the store is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.site.dir
    }

    /// The ledger file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.site.path
    }

    /// What tells this store from others.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn identity(&self) -> Result<Identity, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let text = |key: &str| -> Result<String, StoreError> {
            let value: Option<String> = tx
                .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
                .optional()
                .map_err(|error| self.site.sql("read the store's identity", error))?;
            value.ok_or_else(|| self.site.damaged(format!("it has no `{key}`")))
        };
        let created = text("created_at_ms")?;
        let created_at_ms =
            created.parse().map_err(|_| self.site.damaged("its time of creation is no number"))?;
        Ok(Identity { uuid: text("uuid")?, incarnation: text("incarnation")?, created_at_ms })
    }

    pub(crate) fn db(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked has rolled its transaction back: the connection is as good as new.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction that reads one consistent state.
    pub(crate) fn begin_read<'a>(&self, db: &'a Connection) -> Result<Transaction<'a>, StoreError> {
        self.options.patience.start().sql(&self.site, "begin to read", || {
            let tx = Transaction::new_unchecked(db, TransactionBehavior::Deferred)?;
            tx.prepare_cached("SELECT 1 FROM meta LIMIT 1")?
                .query_row([], |_| Ok(()))
                .optional()?;
            Ok(tx)
        })
    }

    /// Begins a transaction that may write, when every earlier one is done.
    pub(crate) fn begin_write<'a>(
        &self,
        db: &'a Connection,
    ) -> Result<Transaction<'a>, StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly { dir: self.site.dir.clone() });
        }
        let tx = self.options.patience.start().sql(&self.site, "begin to write", || {
            Transaction::new_unchecked(db, TransactionBehavior::Immediate)
        })?;
        let now = fs::metadata(&self.site.path).map(|meta| (meta.dev(), meta.ino())).ok();
        if now != Some(self.inode) {
            return Err(StoreError::Replaced { path: self.site.path.clone() });
        }
        Ok(tx)
    }
}

/// What only a store that has been used leaves behind.
fn judge_absence(site: &Site) -> Result<(), StoreError> {
    for name in ["ledger.sqlite-wal", "ledger.sqlite-shm", crate::ballast::NAME] {
        let evidence = site.dir.join(name);
        let there = evidence
            .try_exists()
            .map_err(|error| site.io("look for traces of a ledger", &error))?;
        if there && !site.path.exists() {
            return Err(StoreError::Lost { path: site.path.clone(), evidence });
        }
    }
    Ok(())
}

/// Judges the header of the ledger file (SQLite's "Database File Format", section 1.3) before
/// SQLite sees it, and gives its device and inode.
pub(crate) fn judge_file(site: &Site) -> Result<(u64, u64), StoreError> {
    let fault = |error: io::Error| site.io("read the ledger's header", &error);
    let file = File::open(&site.path).map_err(fault)?;
    let meta = file.metadata().map_err(fault)?;
    if meta.is_file() && meta.len() == 0 {
        return Err(StoreError::Empty { path: site.path.clone() });
    }
    if !meta.is_file() {
        let found = "it is no regular file".to_owned();
        return Err(StoreError::Foreign { path: site.path.clone(), found });
    }
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header).map_err(fault)?;
    let magic = b"SQLite format 3\0";
    let found = header.get(..magic.len().min(header.len())).unwrap_or_default();
    if !magic.starts_with(found) {
        let found = format!("it begins with `{}`", found.escape_ascii());
        return Err(StoreError::Foreign { path: site.path.clone(), found });
    }
    if meta.len() < 512 {
        return Err(site.damaged(format!("it was cut to {} bytes", meta.len())));
    }
    let application = header.get(68..72).unwrap_or_default();
    if application != schema::APPLICATION_ID.to_be_bytes() {
        let found = format!("it is the SQLite database of another program (id {application:02x?})");
        return Err(StoreError::Foreign { path: site.path.clone(), found });
    }
    Ok((meta.dev(), meta.ino()))
}

fn connect(site: &Site, options: OpenOptions) -> Result<Connection, StoreError> {
    let access = if options.read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let db = Connection::open_with_flags(&site.path, flags)
        .map_err(|error| site.sql("open the ledger", error))?;
    let mut wait = options.patience.start();
    wait.sql(site, "open the ledger", || configure(&db))?;
    let found = wait.sql(site, "read the ledger's format", || schema::format(&db))?;
    if found == schema::FORMAT {
        return Ok(db);
    }
    let refused =
        |found| StoreError::Format { path: site.path.clone(), found, expected: schema::FORMAT };
    if options.read_only || !(0..schema::FORMAT).contains(&found) {
        return Err(refused(found));
    }
    let tx = wait.sql(site, "begin an upgrade", || {
        Transaction::new_unchecked(&db, TransactionBehavior::Immediate)
    })?;
    let doing = "upgrade the ledger";
    let found = schema::format(&tx).map_err(|error| site.sql(doing, error))?;
    if found > schema::FORMAT {
        return Err(refused(found));
    }
    schema::upgrade(&tx, found).map_err(|error| site.sql(doing, error))?;
    tx.commit().map_err(|error| site.sql(doing, error))?;
    Ok(db)
}

/// Sets what holds for this connection; the mode of the journal is kept in the file.
fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(std::time::Duration::ZERO)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = OFF;
         PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = -4096;
         PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;",
    )?;
    db.set_prepared_statement_cache_capacity(64);
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" && !db.is_readonly("main")? {
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    }
    Ok(())
}

impl Store {
    /// After a commit: empties a log that has grown long. What stands in the way (a reader, a full
    /// disk) is no failure of the commit; the next one tries again.
    pub(crate) fn shorten_log(&self, db: &Connection) {
        let [log, _] = companions(&self.site.path);
        let length = || fs::metadata(&log).map_or(0, |log| log.len());
        let tries = if length() > LOG_BYTES_MAX { 100 } else { 1 };
        for _ in 0..tries {
            if length() <= LOG_BYTES {
                return;
            }
            let busy: rusqlite::Result<i64> =
                db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0));
            if busy == Ok(0) {
                return;
            }
            if tries > 1 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
}

/// Makes what was done to the names in a directory durable.
pub(crate) fn sync_dir(site: &Site, dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| site.io("make the directory durable", &error))
}

/// The ledger's companions: its write-ahead log and the index of that.
pub(crate) fn companions(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}
