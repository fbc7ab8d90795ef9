//! `restore`: a store from a backup.

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use spiderpool_store::Store;
use std::path::PathBuf;

/// Make the store anew from a backup
///
/// The backup is checked from end to end first. A store that is there is only replaced with --replace,
/// and then it is kept beside the new one. What was allocated since the backup is not known afterwards:
/// compare with the pods that run.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl --store look restore spiderpool.sqlite\n  \
       spiderpoolctl restore spiderpool.sqlite --replace"
))]
pub(crate) struct Restore {
    /// The file that backup made
    file: PathBuf,
    /// Put it in place of the store that is there
    #[arg(long)]
    replace: bool,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
struct Restored {
    revision: u64,
    /// Where the former ledger lies.
    kept: Option<PathBuf>,
}

impl Restore {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.store_only(
            "a cluster is restored with its etcd, and not from a file of addresses",
            "`etcdutl snapshot restore`; the agents then write back what their pods hold before any address is given out, and `audit` shows how far that is",
        )?;
        if !self.file.exists() {
            return Err(Failure::bad(format!("there is no backup `{}`", self.file.display())));
        }
        let kept = Store::restore(&self.file, session.dir()?, self.replace)?;
        let restored = Restored { revision: session.look()?.revision()?, kept };
        session.show(&restored, || {
            let mut text = format!("the store is restored, at revision {}\n", restored.revision);
            if let Some(kept) = &restored.kept {
                text.push_str(&format!("the former ledger is kept in `{}`\n", kept.display()));
            }
            text
        })?;
        Ok(Exit::Done)
    }
}
