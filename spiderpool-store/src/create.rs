//! Making a new store: complete under another name first, then there, or not there at all.
//!
//! Called by [`crate::Store::open`]. Invariants:
//! 1. The final name never belongs to a half-made ledger (`tests/crash.rs`).
//! 2. Processes that make one at once agree on one (`racing_creators_agree`).

use crate::error::{Site, StoreError};
use crate::open::sync_dir;
use crate::patience::Patience;
use crate::{ballast, locks, schema};
use rusqlite::Connection;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of a ledger that is being made; the lock says that at most one process makes it.
const UNFINISHED: &str = "ledger.sqlite.new";

pub(crate) fn create(site: &Site, patience: Patience) -> Result<(), StoreError> {
    make_dir(site)?;
    let _lock = locks::take(site, "create", patience)?;
    if site.path.exists() {
        return Ok(());
    }
    let unfinished = site.dir.join(UNFINISHED);
    for leftover in ["", "-journal", "-wal", "-shm"] {
        let path = site.dir.join(format!("{UNFINISHED}{leftover}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(site.io("remove a ledger that was never finished", &error));
            }
            _ => {}
        }
    }
    let filled = Connection::open(&unfinished).and_then(|db| fill(&db).map(|()| db));
    let db = filled.map_err(|error| site.sql("make a new ledger", error))?;
    db.close().map_err(|(_, error)| site.sql("make a new ledger", error))?;
    let fault = |error: io::Error| site.io("make a new ledger", &error);
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600)).map_err(fault)?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(fault)?;
    fs::hard_link(&unfinished, &site.path).map_err(fault)?;
    sync_dir(site, &site.dir)?;
    fs::remove_file(&unfinished).map_err(fault)?;
    ballast::make(site)?;
    sync_dir(site, &site.dir)
}

/// Makes the directory, with every name on the way to it durable.
fn make_dir(site: &Site) -> Result<(), StoreError> {
    if site.dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&site.dir)
        .map_err(|error| site.io("make the store's directory", &error))?;
    for parent in site.dir.ancestors().skip(1).take(2) {
        let parent = if parent.as_os_str().is_empty() { ".".as_ref() } else { parent };
        sync_dir(site, parent)?;
    }
    Ok(())
}

fn fill(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("PRAGMA synchronous = FULL; BEGIN")?;
    schema::create(db)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let rows = [
        ("uuid", random_uuid()),
        ("incarnation", random_uuid()),
        ("created_at_ms", now.to_string()),
    ];
    for (key, value) in rows {
        db.execute("INSERT INTO meta VALUES (?1, ?2)", (key, value))?;
    }
    db.execute_batch("COMMIT")?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
}

/// A random UUID (RFC 9562, section 5.4).
pub(crate) fn random_uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Without a source of chance the time has to do: the name only tells stores apart.
    let drawn = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let number = if drawn.is_ok() { u128::from_be_bytes(bytes) } else { now };
    let number = (number & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_is_of_version_four() {
        let uuid = super::random_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{uuid}");
        assert_ne!(uuid, super::random_uuid());
    }
}
