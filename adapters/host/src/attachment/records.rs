//! What is remembered of each attachment: one JSON file, written before anything is changed.
//!
//! `DIR/pods/CONTAINER/INTERFACE.json` is a [`Kept`]; `DIR/locks/` holds the files by which the verbs of
//! one container take turns. Invariants:
//!
//! 1. A file is whole or not there: it is written beside its place and moved (`a_record_is_whole`).
//! 2. What cannot be read is told from what is not there, and hinders nobody
//!    (`a_damaged_record_is_told_from_none`).
//! 3. Only one verb of a container is under way at a time (`turns_are_taken`).

use serde::{Deserialize, Serialize};
use spiderpool_core::intend::Record;
use spiderpool_core::net::LinkName;
use spiderpool_netlink::Witness;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long to wait before a lock is tried again.
const PAUSE: Duration = Duration::from_millis(2);

/// Containers share this many lock files, so that none need ever be removed.
const LOCKS: u64 = 64;

/// What is kept of one attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The network's name, for GC.
    pub network: String,
    /// The pod's namespace; none where nothing could be remembered of it.
    pub witness: Option<Witness>,
    /// What was wanted and what was there before.
    pub record: Record,
}

/// What there is of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record that can be used.
    Kept(Box<Kept>),
    /// A file that is damaged, or of a format that this version does not read.
    Unreadable {
        /// The container.
        container: String,
        /// The interface.
        interface: LinkName,
        /// What is wrong with it.
        why: String,
    },
}

/// The records of one host.
#[derive(Clone, Debug)]
pub struct Records {
    dir: PathBuf,
}

/// The right to work on a container; others wait until it is dropped.
#[derive(Debug)]
#[must_use = "the turn ends when it is dropped"]
pub struct Turn {
    _file: File,
}

/// Records cannot be read or written.
#[derive(Debug, Error)]
pub enum RecordFault {
    /// The file system said no.
    #[error("cannot {action} `{path}`; is its file system writable, and is there room on it?")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another verb of the container did not end in time.
    #[error(
        "another verb of container `{container}` is still under way; try again when it has ended"
    )]
    Busy {
        /// The container.
        container: String,
    },
}

impl Entry {
    /// Its interface.
    #[must_use]
    pub fn interface(&self) -> &LinkName {
        match self {
            Self::Kept(kept) => &kept.record.interface,
            Self::Unreadable { interface, .. } => interface,
        }
    }

    /// Its container.
    #[must_use]
    pub fn container(&self) -> &str {
        match self {
            Self::Kept(kept) => &kept.record.container,
            Self::Unreadable { container, .. } => container,
        }
    }

    /// The record, if it can be used.
    #[must_use]
    pub fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Unreadable { .. } => None,
        }
    }
}

impl Records {
    /// The records in a directory; nothing is looked at or made.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes the directory if need be, and shows that a file can be written in it.
    ///
    /// # Errors
    /// [`RecordFault::Io`] when it cannot be.
    pub fn try_out(&self) -> Result<(), RecordFault> {
        let pods = self.dir.join("pods");
        make_dir(&pods)?;
        // No container's name begins so.
        let path = pods.join(format!(".try-{}", std::process::id()));
        write_new(&path, b"1")?;
        fs::remove_file(&path).map_err(io("remove", &path))
    }

    /// Waits for this container's turn, to look: makes nothing where there is nothing, and gives no turn
    /// where none can be had, since a look harms nobody.
    ///
    /// # Errors
    /// [`RecordFault::Busy`] when it has not come by `until`.
    pub fn lock_to_look(
        &self,
        container: &str,
        until: Instant,
    ) -> Result<Option<Turn>, RecordFault> {
        if !self.dir.join("locks").is_dir() {
            return Ok(None);
        }
        match self.lock(container, until) {
            Err(RecordFault::Io { .. }) => Ok(None),
            turn => turn.map(Some),
        }
    }

    /// Waits for this container's turn.
    ///
    /// # Errors
    /// [`RecordFault::Busy`] when it has not come by `until`; [`RecordFault::Io`] when no lock file can be
    /// made.
    pub fn lock(&self, container: &str, until: Instant) -> Result<Turn, RecordFault> {
        let dir = self.dir.join("locks");
        make_dir(&dir)?;
        let mut hasher = DefaultHasher::new();
        container.hash(&mut hasher);
        let path = dir.join(format!("{:02x}", hasher.finish() % LOCKS));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(io("open", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(RecordFault::Busy { container: container.to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
            }
        }
    }

    /// What there is of one attachment's record.
    ///
    /// # Errors
    /// [`RecordFault::Io`] when the directory cannot be read.
    pub fn find(
        &self,
        container: &str,
        interface: &LinkName,
    ) -> Result<Option<Entry>, RecordFault> {
        read(&self.path(container, interface), container, interface)
    }

    /// What there is of a container's records, in the order of their interfaces.
    ///
    /// # Errors
    /// [`RecordFault::Io`] when the directory cannot be read.
    pub fn of_container(&self, container: &str) -> Result<Vec<Entry>, RecordFault> {
        let dir = self.dir.join("pods").join(container);
        let interfaces = names(&dir)?.into_iter().filter_map(|name| {
            let interface = name.strip_suffix(".json").filter(|_| !name.starts_with(".tmp-"))?;
            LinkName::new(interface).ok()
        });
        let entries = interfaces.map(|interface| self.find(container, &interface));
        entries.filter_map(Result::transpose).collect()
    }

    /// What there is of all records, in the order of their containers.
    ///
    /// # Errors
    /// [`RecordFault::Io`] when the directory cannot be read.
    pub fn all(&self) -> Result<Vec<Entry>, RecordFault> {
        let mut entries = Vec::new();
        for container in names(&self.dir.join("pods"))? {
            entries.extend(self.of_container(&container)?);
        }
        Ok(entries)
    }

    /// Writes a record, in place of one that is there.
    ///
    /// # Errors
    /// [`RecordFault::Io`] when it cannot be written; the earlier one is then as it was.
    pub fn write(&self, kept: &Kept) -> Result<(), RecordFault> {
        let path = self.path(&kept.record.container, &kept.record.interface);
        let dir = path.parent().unwrap_or(&self.dir);
        make_dir(dir)?;
        let body = serde_json::to_vec(kept);
        let body = body.map_err(|error| io("write", &path)(error.into()))?;
        let beside = dir.join(format!(".tmp-{}", kept.record.interface));
        // Left by a verb that was killed; it is this container's turn, so nobody else writes it.
        drop(fs::remove_file(&beside));
        write_new(&beside, &body)?;
        fs::rename(&beside, &path).map_err(io("write", &path))
    }

    /// Removes a record; says whether there was one.
    ///
    /// # Errors
    /// [`RecordFault::Io`] when it is there and cannot be removed.
    pub fn remove(&self, container: &str, interface: &LinkName) -> Result<bool, RecordFault> {
        let path = self.path(container, interface);
        let was_there = match fs::remove_file(&path) {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(io("remove", &path)(error)),
        };
        if let Some(dir) = path.parent() {
            drop(fs::remove_file(dir.join(format!(".tmp-{interface}"))));
            // It is not empty while the container has other attachments.
            drop(fs::remove_dir(dir));
        }
        Ok(was_there)
    }

    fn path(&self, container: &str, interface: &LinkName) -> PathBuf {
        self.dir.join("pods").join(container).join(format!("{interface}.json"))
    }
}

fn read(path: &Path, container: &str, interface: &LinkName) -> Result<Option<Entry>, RecordFault> {
    let body = match fs::read(path) {
        Ok(body) => body,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(io("read", path)(error)),
    };
    let unreadable = |why: String| Entry::Unreadable {
        container: container.to_owned(),
        interface: interface.clone(),
        why,
    };
    let entry = match serde_json::from_slice::<Kept>(&body) {
        Err(error) => unreadable(format!("it cannot be decoded: {error}")),
        Ok(kept) if kept.record.format != Record::FORMAT => {
            let (got, ours) = (kept.record.format, Record::FORMAT);
            unreadable(format!("it is of format {got}, and this version reads {ours}"))
        }
        Ok(kept) if kept.record.container != container || kept.record.interface != *interface => {
            unreadable("it is of another attachment".to_owned())
        }
        Ok(kept) => Entry::Kept(Box::new(kept)),
    };
    Ok(Some(entry))
}

/// The names in a directory, sorted; none if there is no directory.
fn names(dir: &Path) -> Result<Vec<String>, RecordFault> {
    let entries = match fs::read_dir(dir) {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        entries => entries.map_err(io("read", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not UTF-8 was not made here.
        names.extend(entry.map_err(io("read", dir))?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

fn make_dir(dir: &Path) -> Result<(), RecordFault> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("make the directory", dir))
}

fn write_new(path: &Path, body: &[u8]) -> Result<(), RecordFault> {
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(body)).map_err(io("write", path))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RecordFault + 'a {
    move |source| RecordFault::Io { action, path: path.display().to_string(), source }
}
