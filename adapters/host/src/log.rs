//! The log file: one line for each thing that happened, with the attachment it happened to.
//!
//! A plugin's standard output belongs to the runtime and its standard error is mostly lost, so it
//! writes to a file. A line is one `write(2)` to a file opened for appending, so lines of processes
//! never mix. Logging never fails a verb.

use serde::Deserialize;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much is logged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every decision with its reasons.
    Debug,
    /// What was done and undone.
    Info,
    /// What was wrong but could be worked around.
    Warn,
    /// What failed.
    Error,
    /// Nothing.
    Off,
}

/// Where a log is and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The file; its directory is made if it is not there.
    pub path: PathBuf,
    /// From which level on messages are written.
    pub level: Level,
    /// It is rotated beyond this size, in MB; 0 for never.
    pub max_size: u64,
    /// Rotated files are removed after so many days; 0 for never.
    pub max_age: u64,
    /// So many rotated files are kept, at least 1.
    pub max_count: usize,
}

/// Where messages about one attachment go.
#[derive(Debug)]
pub struct Log {
    level: Level,
    subject: String,
    file: Option<File>,
}

impl Level {
    /// The level of a name: `debug`, `info`, `warn` or `warning`, `error`, `off`, in any case.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" => Some(Self::Error),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

impl Log {
    /// The log of one verb for one attachment, which `subject` names.
    #[must_use]
    pub fn open(options: &LogFile, subject: String) -> Self {
        let file = if options.level == Level::Off { None } else { open(options) };
        Self { level: options.level, subject, file }
    }

    /// Writes down a decision.
    pub fn debug(&self, message: impl Display) {
        self.line(Level::Debug, &message);
    }

    /// Writes down what was done.
    pub fn info(&self, message: impl Display) {
        self.line(Level::Info, &message);
    }

    /// Writes down what could be worked around.
    pub fn warn(&self, message: impl Display) {
        self.line(Level::Warn, &message);
    }

    /// Writes down what failed.
    pub fn error(&self, message: impl Display) {
        self.line(Level::Error, &message);
    }

    fn line(&self, level: Level, message: &dyn Display) {
        let Some(mut file) = self.file.as_ref().filter(|_| level >= self.level) else { return };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, ms) = (since.as_secs(), since.subsec_millis());
        let message = message.to_string().replace('\n', " ");
        let level = format!("{level:?}").to_lowercase();
        let line =
            format!("time={seconds}.{ms:03} level={level} {} msg={message:?}\n", self.subject);
        // There is nobody to tell that the log cannot be written.
        drop(file.write_all(line.as_bytes()));
    }
}

fn open(options: &LogFile) -> Option<File> {
    let path = &options.path;
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        fs::create_dir_all(dir).ok()?;
    }
    let limit = options.max_size.saturating_mul(1 << 20);
    if limit > 0 && fs::metadata(path).is_ok_and(|file| file.len() >= limit) {
        rotate(options);
    }
    OpenOptions::new().create(true).append(true).open(path).ok()
}

/// Moves each file to the next number; of two processes that do so at once, one finds it done.
fn rotate(options: &LogFile) {
    let path: &Path = &options.path;
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..options.max_count).rev() {
        drop(fs::rename(numbered(number), numbered(number + 1)));
    }
    drop(fs::rename(path, numbered(1)));
    if options.max_age == 0 {
        return;
    }
    let age = Duration::from_secs(options.max_age.saturating_mul(24 * 60 * 60));
    for number in 1..=options.max_count {
        let modified = fs::metadata(numbered(number)).and_then(|file| file.modified());
        if modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age)) {
            drop(fs::remove_file(numbered(number)));
        }
    }
}
