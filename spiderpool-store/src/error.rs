//! What can go wrong with the store, and what to do about it.
//!
//! Every caller of the crate meets [`StoreError`]. Invariants:
//! 1. Each variant says what was found, and the remedy (`remedies_are_stated`).
//! 2. A raw failure of SQLite or of the system becomes the variant of its cause, so that a full
//!    disk, a read-only one and a damaged file are told apart (`codes_become_causes`).

use rusqlite::ErrorCode;
use spiderpool_core::refusal::Refusal;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// The store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// There is no store, and none was to be made.
    #[error("there is no store in `{}`; apply a definition to make one, or restore a backup with `spiderpoolctl restore`", .dir.display())]
    Missing {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The ledger file is gone, but there was one.
    #[error("the ledger `{}` is gone, but `{}` shows that there was one: a new, empty store would give addresses twice; restore a backup with `spiderpoolctl restore`, or move the directory away to start anew", .path.display(), .evidence.display())]
    Lost {
        /// The ledger file.
        path: PathBuf,
        /// What is left of it.
        evidence: PathBuf,
    },
    /// The ledger file has no bytes.
    #[error("the ledger `{}` is empty (0 bytes): it was truncated; restore a backup with `spiderpoolctl restore`, or move the directory away to start anew", .path.display())]
    Empty {
        /// The ledger file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{}` is not a ledger of this program: {found}; move it away, or point to another directory", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// The file is a ledger, but not a whole one.
    #[error("the ledger `{}` is damaged: {found}; keep a copy of the directory and restore a backup with `spiderpoolctl restore --replace`", .path.display())]
    Damaged {
        /// The ledger file.
        path: PathBuf,
        /// What does not fit.
        found: String,
    },
    /// Another version of this program wrote it.
    #[error("the ledger `{}` has format {found}, this program reads format {expected}; {}", .path.display(), format_remedy(*.found, *.expected))]
    Format {
        /// The ledger file.
        path: PathBuf,
        /// The format number in the file.
        found: i64,
        /// The format number of this version.
        expected: i64,
    },
    /// Another process held the store until the deadline.
    #[error("{what} was busy for {} ms, until the deadline; try again, and look for a process that hangs", .waited.as_millis())]
    Busy {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// The disk is full.
    #[error("the disk of `{}` is full: nothing can be allocated until there is room; releases still work for a while", .dir.display())]
    Full {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store cannot be written.
    #[error("the store in `{}` cannot be written: its file system or its files are read-only; mount it writable", .dir.display())]
    ReadOnly {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Something is there already that would be overwritten.
    #[error("`{}` exists already and is not overwritten; choose another name, or move it away", .path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// The file was exchanged under a process that has it open.
    #[error("the ledger `{}` was replaced or removed while it was open; open the store again", .path.display())]
    Replaced {
        /// The ledger file.
        path: PathBuf,
    },
    /// What a command rested on has changed.
    #[error(
        "the namespace recorded for `{attachment}` of container `{container}` has changed since it was looked at; look again"
    )]
    Overtaken {
        /// The container id.
        container: String,
        /// The interface.
        attachment: String,
    },
    /// The rules said no; nothing was written.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The store and the core do not agree: a bug.
    #[error("bug: {what}; please report it together with a backup of the store")]
    Violation {
        /// What does not agree.
        what: String,
    },
    /// The system failed.
    #[error("cannot {doing}; see to the cause, then try again")]
    Fault {
        /// What was tried.
        doing: String,
        /// What the system said.
        source: Cause,
    },
}

/// What the system said, as text, so that errors compare.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Cause(pub String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn format_remedy(found: i64, expected: i64) -> &'static str {
    if found > expected {
        "a newer version wrote it: use that version, or restore a backup that is older"
    } else {
        "open it once with write access to upgrade it"
    }
}

/// Where an error happened: turns raw failures into [`StoreError`].
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) path: PathBuf,
}

/// `ENOSPC`, `EDQUOT` and `EROFS` of `errno(3)`, the same on every Linux architecture.
const NO_SPACE: [i32; 2] = [28, 122];
const READ_ONLY_FS: i32 = 30;

impl Site {
    pub(crate) fn of(dir: &Path, path: &Path) -> Self {
        Self { dir: dir.to_owned(), path: path.to_owned() }
    }

    /// A failure of SQLite.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list is another crate's, and open")]
    pub(crate) fn sql(&self, doing: &str, error: rusqlite::Error) -> StoreError {
        use rusqlite::Error as E;
        match error {
            E::SqliteFailure(code, text) => self.code(doing, code, text),
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
            | E::InvalidColumnType(..) => {
                self.damaged(format!("a stored value does not fit: {error}"))
            }
            E::SqlInputError { msg, .. } => self.damaged(format!("its tables do not fit: {msg}")),
            other => self.fault(doing, &other),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the list is another crate's, and open")]
    fn code(&self, doing: &str, code: rusqlite::ffi::Error, text: Option<String>) -> StoreError {
        let said = text.unwrap_or_else(|| code.to_string());
        let primary = code.code;
        if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
            || primary == ErrorCode::DiskFull
        {
            return StoreError::Full { dir: self.dir.clone() };
        }
        if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ {
            return self.damaged(said);
        }
        match primary {
            ErrorCode::ReadOnly => StoreError::ReadOnly { dir: self.dir.clone() },
            ErrorCode::NotADatabase => StoreError::Foreign {
                path: self.path.clone(),
                found: "it is no SQLite database".into(),
            },
            ErrorCode::DatabaseCorrupt
            | ErrorCode::TypeMismatch
            | ErrorCode::ConstraintViolation => self.damaged(said),
            // The SQL of this crate is fixed, so a statement that fails points at another schema.
            ErrorCode::Unknown => self.damaged(said),
            _ => self.fault(doing, &said),
        }
    }

    /// A failure of a system call.
    pub(crate) fn io(&self, doing: &str, error: &io::Error) -> StoreError {
        match error.raw_os_error() {
            Some(code) if NO_SPACE.contains(&code) => StoreError::Full { dir: self.dir.clone() },
            Some(READ_ONLY_FS) => StoreError::ReadOnly { dir: self.dir.clone() },
            _ => self.fault(doing, error),
        }
    }

    pub(crate) fn damaged(&self, found: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), found: found.into() }
    }

    fn fault(&self, doing: &str, said: &impl ToString) -> StoreError {
        let doing = format!("{doing} in `{}`", self.dir.display());
        StoreError::Fault { doing, source: Cause(said.to_string()) }
    }
}

/// Whether SQLite says that another process is in the way.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

pub(crate) fn violation(what: impl Into<String>) -> StoreError {
    StoreError::Violation { what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site::of(Path::new("/d"), Path::new("/d/ledger.sqlite"))
    }

    fn failure(extended: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended), None)
    }

    #[test]
    fn codes_become_causes() {
        let full = StoreError::Full { dir: "/d".into() };
        let read_only = StoreError::ReadOnly { dir: "/d".into() };
        assert_eq!(site().sql("x", failure(rusqlite::ffi::SQLITE_FULL)), full);
        assert_eq!(site().sql("x", failure(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)), full);
        assert_eq!(site().sql("x", failure(rusqlite::ffi::SQLITE_READONLY)), read_only);
        assert_eq!(site().io("x", &io::Error::from_raw_os_error(28)), full);
        assert_eq!(site().io("x", &io::Error::from_raw_os_error(30)), read_only);
        let damaged = site().sql("x", failure(rusqlite::ffi::SQLITE_CORRUPT));
        assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged}");
        assert!(is_busy(&failure(rusqlite::ffi::SQLITE_BUSY_RECOVERY)));
    }

    #[test]
    fn remedies_are_stated() {
        let newer = StoreError::Format { path: "/d/l".into(), found: 9, expected: 1 };
        assert!(newer.to_string().contains("use that version"), "{newer}");
        let older = StoreError::Format { path: "/d/l".into(), found: 0, expected: 1 };
        assert!(older.to_string().contains("write access"), "{older}");
        let missing = StoreError::Missing { dir: "/d".into() };
        assert!(missing.to_string().contains("spiderpoolctl restore"), "{missing}");
    }
}
