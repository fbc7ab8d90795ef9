//! Room that is kept for releases: on a full disk a release gives up the ballast and goes on.
//!
//! Called by `commit`. Invariants:
//! 1. What allocates never uses the room: it needs the ballast to be whole first
//!    (`a_full_disk_refuses_add_and_lets_del_through`).
//! 2. The ballast is written, not only promised: its bytes do not compress, and it is fsynced.

use crate::error::{Site, StoreError};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The name within the store's directory.
pub(crate) const NAME: &str = "ballast";

/// Bytes that are held back: several hundred releases.
const BYTES: usize = 1 << 20;

/// Makes sure that the ballast is whole: one `stat` when it is.
pub(crate) fn require(site: &Site) -> Result<(), StoreError> {
    match fs::metadata(site.dir.join(NAME)) {
        Ok(meta) if meta.len() == BYTES as u64 => Ok(()),
        _ => make(site),
    }
}

/// Writes the ballast; without room for all of it, nothing of it is kept.
pub(crate) fn make(site: &Site) -> Result<(), StoreError> {
    let path = site.dir.join(NAME);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            let full = file.write_all(&noise()).and_then(|()| file.sync_all());
            if full.is_err() {
                file.set_len(0)?;
            }
            full
        });
    written.map_err(|error| site.io("write the ballast", &error))
}

/// Frees the room. `false` when there was nothing to free.
pub(crate) fn give_up(site: &Site) -> Result<bool, StoreError> {
    let fault = |error: io::Error| site.io("give up the ballast", &error);
    match OpenOptions::new().write(true).open(site.dir.join(NAME)) {
        Ok(file) => {
            let had = file.metadata().map_err(fault)?.len() > 0;
            file.set_len(0).and_then(|()| file.sync_all()).map_err(fault)?;
            Ok(had)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fault(error)),
    }
}

/// Bytes that a compressing file system cannot shrink (Marsaglia's xorshift64).
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BYTES / 8).flatten().collect()
}
