//! Restoring a backup: checked first, put in place whole, with what it replaces kept beside it.
//!
//! Called by `spiderpoolctl restore`. Invariants:
//! 1. A backup that is damaged, foreign or newer is refused before anything is touched.
//! 2. A store that is there stays, unless it is to be replaced; then it is moved, not deleted, and
//!    no commit to it is under way (`a_process_notices_that_its_ledger_was_replaced`).
//! 3. The restored store has a new incarnation (`a_backup_restores_the_state`).

use crate::backup::beside;
use crate::create::random_uuid;
use crate::error::{Site, StoreError};
use crate::open::{LEDGER, OpenOptions, Store, companions, judge_file, sync_dir};
use crate::patience::Patience;
use crate::{ballast, check, locks, schema};
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

impl Store {
    /// Makes the store of a directory anew from a backup. A store that is there is only moved away
    /// when `replace` says so. Gives the file that the former ledger was moved to, if there was one.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a store is there and is not to be replaced; what
    /// [`Store::open`] says of the backup; [`StoreError::Damaged`] when a check finds anything.
    pub fn restore(
        from: impl AsRef<Path>,
        dir: impl AsRef<Path>,
        replace: bool,
    ) -> Result<Option<PathBuf>, StoreError> {
        let (from, dir) = (from.as_ref(), dir.as_ref());
        judge_backup(from)?;
        let site = Site::of(dir, &dir.join(LEDGER));
        let fault = |error: io::Error| site.io("restore the ledger", &error);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault)?;
        let _lock = locks::take(&site, "create", Patience::default())?;
        let exists = site.path.try_exists().map_err(fault)?;
        if exists && !replace {
            return Err(StoreError::Exists { path: site.path });
        }
        let restored = beside(&site.path, ".restored");
        fs::copy(from, &restored).map_err(fault)?;
        renew(&site, &restored)?;
        let moved = move_away(&site)?;
        fs::hard_link(&restored, &site.path).map_err(fault)?;
        sync_dir(&site, dir)?;
        fs::remove_file(&restored).map_err(fault)?;
        ballast::require(&site)?;
        sync_dir(&site, dir)?;
        Ok(moved)
    }
}

/// Refuses what is not a whole backup of a format that this version reads.
fn judge_backup(from: &Path) -> Result<(), StoreError> {
    let site = Site::of(from.parent().unwrap_or(from), from);
    if !from.try_exists().map_err(|error| site.io("look at the backup", &error))? {
        return Err(StoreError::Missing { dir: from.to_owned() });
    }
    judge_file(&site)?;
    let doing = "read the backup";
    let db = open_immutable(from).map_err(|error| site.sql(doing, error))?;
    let found = schema::format(&db).map_err(|error| site.sql(doing, error))?;
    if !(0..=schema::FORMAT).contains(&found) {
        return Err(StoreError::Format { path: from.to_owned(), found, expected: schema::FORMAT });
    }
    if found < schema::FORMAT {
        return Ok(());
    }
    let report = check::check(&db, &site)?;
    match report.discrepancies.first() {
        Some(first) => Err(site.damaged(first.to_string())),
        None => Ok(()),
    }
}

/// Opens a file that nobody writes, on whatever medium.
pub(crate) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

/// Gives the copy a new incarnation and makes it durable.
fn renew(site: &Site, restored: &Path) -> Result<(), StoreError> {
    let doing = "prepare the restored ledger";
    let change = |db: &Connection| {
        db.execute_batch("PRAGMA synchronous = FULL")?;
        let sql = "UPDATE meta SET value = ?1 WHERE key = 'incarnation'";
        db.execute(sql, [random_uuid()])?;
        db.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
    };
    let db = Connection::open(restored).map_err(|error| site.sql(doing, error))?;
    change(&db).map_err(|error| site.sql(doing, error))?;
    db.close().map_err(|(_, error)| site.sql(doing, error))?;
    File::open(restored).and_then(|file| file.sync_all()).map_err(|error| site.io(doing, &error))
}

/// Moves a ledger and its log out of the way, while nobody commits to it.
fn move_away(site: &Site) -> Result<Option<PathBuf>, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let target = site.dir.join(format!("replaced-{now}.sqlite"));
    // A ledger that cannot be opened has no writer either.
    let old = Store::open(&site.dir, OpenOptions::default()).ok();
    let guard = old.as_ref().map(Store::db);
    let _held = match (&old, &guard) {
        (Some(store), Some(db)) => match store.begin_write(db) {
            Err(busy @ StoreError::Busy { .. }) => return Err(busy),
            begun => begun.ok(),
        },
        _ => None,
    };
    let moved = rename(site, &site.path, &target)?;
    for (from, to) in companions(&site.path).iter().zip(companions(&target)) {
        rename(site, from, &to)?;
    }
    sync_dir(site, &site.dir)?;
    Ok(moved.then_some(target))
}

fn rename(site: &Site, from: &Path, to: &Path) -> Result<bool, StoreError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(site.io("move the former ledger away", &error)),
    }
}
