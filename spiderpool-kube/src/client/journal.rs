//! The local record on the disk: one file that grows line by line, and is written anew when it has
//! grown.
//!
//! Owns the files; `line` owns the text in them, `driver` calls in here from a thread that may block.
//! Beside the record `R` there are `R.lock`, which whoever works with it holds, `R.new` while it is
//! written anew, and `R.lost`, the last one that could not be believed, for people to look at.
//! Invariants:
//!
//! 1. What [`Journal::append`] was given is in the file when it returns `Ok`, whatever happens next;
//!    what it was not given never is (`a_cut_anywhere_leaves_a_beginning`).
//! 2. A kill between any two steps of writing anew leaves the old record or the new one
//!    (`a_kill_while_writing_anew_loses_nothing`).
//! 3. After a write that failed, nothing is appended behind it: the record is written anew, since what
//!    the kernel still holds of the failed write is not known (`a_failed_write_is_mended_by_writing_anew`).
//! 4. Two processes never write one record (`a_second_writer_is_refused`).

use super::line::{self, Loss};
use crate::cluster::record::{Entry, Identity, Record};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes below which a record is never written anew: some hundred lives of pods.
const SMALL: usize = 256 * 1024;

/// How many times its size after the last writing anew a record may grow to.
const GROWTH: usize = 4;

/// Why the record cannot be kept.
#[derive(Debug, Error)]
pub enum RecordFault {
    /// Another process has it.
    #[error("the record {} is in use by another process; one agent only may run on a host", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The system says no.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was being done: `open`, `append to`, …
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry has no form as JSON.
    #[error("cannot write an entry of the record as JSON")]
    Entry(#[from] serde_json::Error),
}

impl RecordFault {
    fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }
}

/// A record that is open for writing.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// The record of what is durable.
    record: Record,
    /// The file and how it goes on; `None` when it has to be written anew first.
    tail: Option<Tail>,
    /// Held as long as this lives.
    _lock: File,
}

#[derive(Debug)]
struct Tail {
    file: File,
    /// The checksum that the next line runs on from.
    sum: u32,
    /// Bytes of the file.
    size: usize,
    /// Bytes that it had when it was last written anew.
    base: usize,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Opened {
    /// The record, to go on with.
    pub journal: Journal,
    /// What it says, or why that is not to be believed.
    pub found: Result<Record, Loss>,
}

impl Journal {
    /// Opens a record and takes its lock. One that cannot be believed is put aside.
    ///
    /// # Errors
    /// When another process has it, or the system says no.
    pub(super) fn open(path: &Path, identity: &Identity) -> Result<Opened, RecordFault> {
        let lock = lock(path)?;
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(RecordFault::file("read", path)(error)),
        };
        let (found, tail) = match line::read(&bytes, identity) {
            Ok(reading) => {
                let tail = Tail::go_on(path, &reading)?;
                (Ok(reading.record), Some(tail))
            }
            Err(loss) => {
                if !bytes.is_empty() {
                    let aside = beside(path, "lost");
                    std::fs::rename(path, &aside).map_err(RecordFault::file("put aside", path))?;
                }
                (Err(loss), None)
            }
        };
        let record = found.clone().unwrap_or_else(|_| Record::new(identity.clone()));
        Ok(Opened { journal: Self { path: path.to_owned(), record, tail, _lock: lock }, found })
    }

    /// Makes entries durable with one write and one sync.
    ///
    /// # Errors
    /// When the system says no. The same entries may be given again: the record is then written anew.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), RecordFault> {
        let Some(mut tail) = self.tail.take() else { return self.write_anew(entries) };
        if tail.has_grown() {
            return self.write_anew(entries);
        }
        // Until it is known to be well, there is no tail to append to.
        tail.append(&self.path, entries)?;
        self.tail = Some(tail);
        entries.iter().for_each(|entry| self.record.apply(entry));
        Ok(())
    }

    fn write_anew(&mut self, entries: &[Entry]) -> Result<(), RecordFault> {
        let mut record = self.record.clone();
        entries.iter().for_each(|entry| record.apply(entry));
        let tail = self.prepare(&record)?;
        self.switch()?;
        (self.record, self.tail) = (record, Some(tail));
        Ok(())
    }

    /// The first half of writing anew: a whole and durable file of another name.
    fn prepare(&self, record: &Record) -> Result<Tail, RecordFault> {
        let path = beside(&self.path, "new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).map_err(RecordFault::file("open", &path))?;
        let mut tail = Tail { file, sum: 0, size: 0, base: 0 };
        tail.append(&path, &record.entries().collect::<Vec<_>>())?;
        tail.base = tail.size;
        Ok(tail)
    }

    /// The second half: that file takes the place of the old one, durably.
    fn switch(&self) -> Result<(), RecordFault> {
        let new = beside(&self.path, "new");
        std::fs::rename(&new, &self.path).map_err(RecordFault::file("rename", &new))?;
        let directory = directory(&self.path);
        let sync = File::open(directory).and_then(|directory| directory.sync_all());
        sync.map_err(RecordFault::file("sync", directory))
    }
}

impl Tail {
    /// Goes on behind the last whole line; a torn one is cut off.
    fn go_on(path: &Path, reading: &line::Reading) -> Result<Self, RecordFault> {
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(RecordFault::file("open", path))?;
        let length = u64::try_from(reading.whole).unwrap_or(u64::MAX);
        file.set_len(length).map_err(RecordFault::file("cut", path))?;
        Ok(Self { file, sum: reading.sum, size: reading.whole, base: 0 })
    }

    const fn has_grown(&self) -> bool {
        self.size > SMALL && self.size / GROWTH > self.base
    }

    fn append(&mut self, path: &Path, entries: &[Entry]) -> Result<(), RecordFault> {
        let mut text = String::new();
        let mut sum = self.sum;
        for entry in entries {
            sum = line::append(&mut text, sum, entry)?;
        }
        self.file.write_all(text.as_bytes()).map_err(RecordFault::file("append to", path))?;
        self.file.sync_data().map_err(RecordFault::file("sync", path))?;
        (self.sum, self.size) = (sum, self.size + text.len());
        Ok(())
    }
}

/// Takes the lock of a record; the kernel gives it back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, RecordFault> {
    let directory = directory(path);
    std::fs::create_dir_all(directory).map_err(RecordFault::file("create", directory))?;
    let place = beside(path, "lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&place).map_err(RecordFault::file("open", &place))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RecordFault::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(RecordFault::file("lock", &place)(error)),
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        Identity { node_uid: "u".into(), machine_id: "m".into() }
    }

    fn saw(revision: u64) -> Entry {
        Entry::Saw { revision }
    }

    fn open(path: &Path) -> Opened {
        Journal::open(path, &identity()).unwrap()
    }

    /// What a new process would find.
    fn seen(path: &Path) -> Result<u64, Loss> {
        open(path).found.map(|record| record.seen())
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state").join("record");
        (place, path)
    }

    #[test]
    fn what_was_appended_is_found_again() {
        let (_place, path) = place();
        let Opened { mut journal, found } = open(&path);
        assert_eq!(found, Err(Loss::Absent));
        journal.append(&[saw(1), saw(2)]).unwrap();
        journal.append(&[saw(3)]).unwrap();
        drop(journal);
        let Opened { mut journal, found } = open(&path);
        assert_eq!(found.unwrap().seen(), 3);
        journal.append(&[saw(4)]).unwrap();
        drop(journal);
        assert_eq!(seen(&path), Ok(4));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
    }

    #[test]
    fn a_second_writer_is_refused() {
        let (_place, path) = place();
        let first = open(&path);
        let fault = Journal::open(&path, &identity()).unwrap_err();
        assert!(matches!(&fault, RecordFault::InUse { path: named } if *named == path), "{fault}");
        drop(first);
        open(&path);
    }

    #[test]
    fn a_record_that_is_not_believed_is_put_aside() {
        let (_place, path) = place();
        open(&path).journal.append(&[saw(1), saw(2)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace("1", "7");
        std::fs::write(&path, &text).unwrap();
        let Opened { mut journal, found } = open(&path);
        assert_eq!(found, Err(Loss::Damaged { line: 1 }));
        assert_eq!(std::fs::read_to_string(beside(&path, "lost")).unwrap(), text);
        journal.append(&[saw(5)]).unwrap();
        drop(journal);
        assert_eq!(seen(&path), Ok(5));
        let other = Identity { machine_id: "n".into(), ..identity() };
        let found = Journal::open(&path, &other).unwrap().found;
        assert_eq!(found, Err(Loss::Foreign { theirs: identity() }));
        assert_eq!(Journal::open(&path, &other).unwrap().found, Err(Loss::Absent));
    }

    #[test]
    fn a_kill_while_writing_anew_loses_nothing() {
        let (_place, path) = place();
        open(&path).journal.append(&[saw(1)]).unwrap();
        let journal = open(&path).journal;
        let mut record = journal.record.clone();
        record.apply(&saw(2));
        drop(journal.prepare(&record).unwrap());
        drop(journal);
        assert_eq!(seen(&path), Ok(1));
        let new = std::fs::read(beside(&path, "new")).unwrap();
        for cut in 0..new.len() {
            std::fs::write(beside(&path, "new"), new.get(..cut).unwrap()).unwrap();
            assert_eq!(seen(&path), Ok(1));
        }
        std::fs::write(beside(&path, "new"), &new).unwrap();
        let journal = open(&path).journal;
        journal.switch().unwrap();
        drop(journal);
        assert_eq!(seen(&path), Ok(2));
    }

    #[test]
    fn a_failed_write_is_mended_by_writing_anew() {
        let (_place, path) = place();
        let mut journal = open(&path).journal;
        journal.append(&[saw(1)]).unwrap();
        // A file that cannot be written to stands for a disk that fails.
        if let Some(tail) = &mut journal.tail {
            tail.file = File::open(&path).unwrap();
        }
        let fault = journal.append(&[saw(2)]).unwrap_err();
        assert!(matches!(fault, RecordFault::File { verb: "append to", .. }), "{fault}");
        // Nor can it be written anew, as long as something else is in the way.
        std::fs::create_dir(beside(&path, "new")).unwrap();
        let fault = journal.append(&[saw(2)]).unwrap_err();
        assert!(matches!(fault, RecordFault::File { verb: "open", .. }), "{fault}");
        std::fs::remove_dir(beside(&path, "new")).unwrap();
        journal.append(&[saw(2)]).unwrap();
        journal.append(&[saw(3)]).unwrap();
        drop(journal);
        assert_eq!(seen(&path), Ok(3));
    }

    #[test]
    fn a_record_that_has_grown_is_written_anew() {
        let (_place, path) = place();
        let mut journal = open(&path).journal;
        let mut largest = 0;
        for revision in 0..20_000 {
            let tail_before = journal.tail.as_ref().map_or(0, |tail| tail.size);
            // The sync is what takes time: many entries share one.
            let entries: Vec<Entry> = (0..50).map(|n| saw(revision * 50 + n)).collect();
            journal.append(&entries).unwrap();
            largest = largest.max(tail_before);
            if journal.tail.as_ref().unwrap().size < tail_before {
                break;
            }
        }
        assert!(largest > SMALL && largest < SMALL + 4_096, "{largest}");
        let told = journal.record.seen();
        let size = journal.tail.as_ref().unwrap().size;
        assert!(size < 4_096, "{size}");
        drop(journal);
        assert_eq!((seen(&path), std::fs::metadata(&path).unwrap().len()), (Ok(told), size as u64));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_cut_anywhere_leaves_a_beginning(batches in prop::collection::vec(1_u64..4, 1..6), cut in any::<prop::sample::Index>()) {
            let (_place, path) = place();
            let mut journal = open(&path).journal;
            let (mut revision, mut sizes) = (0, Vec::new());
            for batch in batches {
                let entries: Vec<Entry> = (1..=batch).map(|n| saw(revision + n)).collect();
                revision += batch;
                journal.append(&entries).unwrap();
                sizes.push((std::fs::metadata(&path).unwrap().len(), revision));
            }
            drop(journal);
            let bytes = std::fs::read(&path).unwrap();
            let cut = cut.index(bytes.len() + 1);
            std::fs::write(&path, &bytes[..cut]).unwrap();
            // Whatever was synced before the cut is there, and nothing that was not written.
            let durable = sizes.iter().filter(|(size, _)| *size <= cut as u64).map(|(_, revision)| *revision).max();
            match seen(&path) {
                Ok(found) => prop_assert!(durable.unwrap_or(0) <= found && found <= revision),
                Err(loss) => prop_assert!(durable.is_none() && loss == Loss::Absent),
            }
        }
    }
}
