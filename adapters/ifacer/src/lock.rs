//! One ADD at a time on a host: what is looked at is what is then changed.
//!
//! `flock(2)` on a file; the kernel takes it back when its process ends, however it ends. Invariant:
//! whoever does not get it in time is told so, and by whom it may be held (`waiting_ends`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use spiderpool_cni::{CniError, code};

/// How long an ADD waits: making a bond takes milliseconds, and runtimes give up after two minutes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it sleeps before it looks again.
const NAP: Duration = Duration::from_millis(5);

/// The lock; dropping it lets the next ADD in.
#[derive(Debug)]
pub(crate) struct Turn {
    _file: File,
}

/// Waits until no other ADD of this host is under way.
///
/// # Errors
///
/// Code 11 when it takes too long, 5 when the file cannot be made.
pub(crate) fn take(path: &Path) -> Result<Turn, CniError> {
    take_within(path, PATIENCE)
}

fn take_within(path: &Path, patience: Duration) -> Result<Turn, CniError> {
    let failed = |error: io::Error| {
        let told = format!("the lock `{}` cannot be taken: {error}", path.display());
        CniError::new(code::IO_FAILURE, told).with_details("is its directory there and writable?")
    };
    let file = open(path).map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Turn { _file: file }),
            Err(TryLockError::WouldBlock) if started.elapsed() < patience => thread::sleep(NAP),
            Err(TryLockError::WouldBlock) => {
                let told = format!(
                    "another ADD has held the lock `{}` for {} s: `fuser {}` says which process",
                    path.display(),
                    patience.as_secs(),
                    path.display()
                );
                return Err(CniError::new(code::TRY_AGAIN_LATER, told));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/ifacer.lock");
        let turn = take(&path).unwrap();
        let late = take_within(&path, Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.code, code::TRY_AGAIN_LATER);
        drop(turn);
        take_within(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_said() {
        let error = take(Path::new("/proc/nowhere/ifacer.lock")).unwrap_err();
        assert!(error.code == code::IO_FAILURE && error.msg.contains("/proc/nowhere"), "{error:?}");
    }
}
