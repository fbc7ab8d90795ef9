//! Backups: one consistent file, taken while others go on, complete or not there.
//!
//! Called by `spiderpoolctl backup`; `restore` is the way back. Invariant: the name that was asked
//! for never belongs to half a backup (`a_backup_restores_the_state`).

use crate::error::{Site, StoreError};
use crate::open::{Store, sync_dir};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

impl Store {
    /// Copies the store, as it is at one moment, into one new file.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is a file of that name; [`StoreError::Full`] and
    /// [`StoreError::Fault`] as the system fails: then there is no file of that name.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let to = to.as_ref();
        let dir = match to.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let site = Site::of(dir, to);
        if to.try_exists().map_err(|error| site.io("look at the backup", &error))? {
            return Err(StoreError::Exists { path: to.to_owned() });
        }
        let partial = beside(to, ".partial");
        let done = self.copy(&site, &partial).and_then(|()| publish(&site, &partial));
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && done.is_ok() => {
                return Err(site.io("tidy up behind the backup", &error));
            }
            _ => {}
        }
        done
    }

    fn copy(&self, site: &Site, partial: &Path) -> Result<(), StoreError> {
        let fault = |error: io::Error| site.io("make the backup's file", &error);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(partial).map_err(fault)?;
        let db = self.db();
        let doing = "copy the ledger";
        let mut target = Connection::open(partial).map_err(|error| site.sql(doing, error))?;
        {
            let backup = Backup::new(&db, &mut target).map_err(|error| site.sql(doing, error))?;
            let mut wait = self.options.patience.start();
            // All pages in one step: a reader hinders nobody, and nothing changes under it.
            while backup.step(-1).map_err(|error| site.sql(doing, error))? != StepResult::Done {
                wait.again("the ledger")?;
            }
        }
        target.close().map_err(|(_, error)| site.sql(doing, error))?;
        File::open(partial).and_then(|file| file.sync_all()).map_err(fault)
    }
}

/// Gives the finished file its name, unless somebody else has taken it.
fn publish(site: &Site, partial: &Path) -> Result<(), StoreError> {
    match fs::hard_link(partial, &site.path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::Exists { path: site.path.clone() })
        }
        Err(error) => Err(site.io("name the backup", &error)),
        Ok(()) => sync_dir(site, &site.dir),
    }
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
