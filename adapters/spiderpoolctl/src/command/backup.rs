//! `backup`: the whole store in one file.

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Copy the whole store into one file, while others go on
///
/// The file holds one moment and is complete or not there. A file of that name is not overwritten.
#[derive(Debug, Args)]
#[command(after_long_help = after!("  spiderpoolctl backup /var/backups/spiderpool.sqlite"))]
pub(crate) struct Backup {
    /// The file to make
    file: PathBuf,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
struct Saved {
    file: PathBuf,
    revision: u64,
}

impl Backup {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.store_only(
            "a cluster's addresses are custom resources, and are saved with the cluster",
            "a snapshot of etcd (`etcdctl snapshot save`); `get pools -o yaml` and the like for the definitions alone",
        )?;
        let store = session.look()?;
        let revision = store.revision()?;
        store.backup(&self.file)?;
        let saved = Saved { file: self.file, revision };
        session.show(&saved, || {
            format!(
                "the store is saved in `{}` (at revision {revision} or later)\n",
                saved.file.display()
            )
        })?;
        Ok(Exit::Done)
    }
}
