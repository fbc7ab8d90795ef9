//! The log file: one line for each thing that happened, with the attachment it happened to.
//!
//! A plugin's standard output belongs to the runtime and its standard error is mostly lost, so it
//! writes to a file. A line is one `write(2)` to a file opened for appending, so lines of processes
//! never mix. Logging never fails a verb.

use crate::conf::{Ipam, Level};
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where messages about one attachment go.
#[derive(Debug)]
pub(crate) struct Log {
    level: Level,
    subject: String,
    file: Option<File>,
}

impl Log {
    /// The log of one verb for one attachment.
    pub(crate) fn open(ipam: &Ipam, subject: String) -> Self {
        let file = if ipam.log_level == Level::Off { None } else { open(ipam) };
        Self { level: ipam.log_level, subject, file }
    }

    pub(crate) fn info(&self, message: impl Display) {
        self.line(Level::Info, &message);
    }

    pub(crate) fn warn(&self, message: impl Display) {
        self.line(Level::Warn, &message);
    }

    pub(crate) fn error(&self, message: impl Display) {
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

fn open(ipam: &Ipam) -> Option<File> {
    let path = &ipam.log_file_path;
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        fs::create_dir_all(dir).ok()?;
    }
    let limit = ipam.log_file_max_size.saturating_mul(1 << 20);
    if limit > 0 && fs::metadata(path).is_ok_and(|file| file.len() >= limit) {
        rotate(path, ipam);
    }
    OpenOptions::new().create(true).append(true).open(path).ok()
}

/// Moves each file to the next number; of two processes that do so at once, one finds it done.
fn rotate(path: &Path, ipam: &Ipam) {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..ipam.log_file_max_count).rev() {
        drop(fs::rename(numbered(number), numbered(number + 1)));
    }
    drop(fs::rename(path, numbered(1)));
    let age = Duration::from_secs(ipam.log_file_max_age.saturating_mul(24 * 60 * 60));
    for number in 1..=ipam.log_file_max_count {
        let modified = fs::metadata(numbered(number)).and_then(|file| file.modified());
        if modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age)) {
            drop(fs::remove_file(numbered(number)));
        }
    }
}
