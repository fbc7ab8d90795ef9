//! `version`: of the program, and which store it looks at.

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Print the version, and which store or cluster is looked at
///
/// The store's name is given when it was made; every restore from a backup changes its incarnation. Of a
/// cluster, the version of Kubernetes and of each custom resource definition is printed.
#[derive(Debug, Args)]
#[command(after_long_help = after!("  spiderpoolctl version -o json"))]
pub(crate) struct Version {}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    version: &'static str,
    store: Option<Store>,
    #[cfg(feature = "cluster")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<crate::cluster::Versions>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    dir: PathBuf,
    uuid: String,
    incarnation: String,
    created_at_ms: u64,
    revision: u64,
}

impl Version {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self {} = self;
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            let versions = Versions {
                version: env!("CARGO_PKG_VERSION"),
                store: None,
                cluster: Some(crate::cluster::versions(&cluster)?),
            };
            session.show(&versions, || print(Path::new(""), &versions))?;
            return Ok(Exit::Done);
        }
        let dir = session.dir()?;
        let store = match session.look_if_there()? {
            None => None,
            Some(store) => {
                let identity = store.identity()?;
                Some(Store {
                    dir: dir.to_owned(),
                    uuid: identity.uuid,
                    incarnation: identity.incarnation,
                    created_at_ms: identity.created_at_ms,
                    revision: store.revision()?,
                })
            }
        };
        let versions = Versions {
            version: env!("CARGO_PKG_VERSION"),
            store,
            #[cfg(feature = "cluster")]
            cluster: None,
        };
        session.show(&versions, || print(dir, &versions))?;
        Ok(Exit::Done)
    }
}

fn print(dir: &Path, versions: &Versions) -> String {
    let mut text = format!("spiderpoolctl {}\n", versions.version);
    #[cfg(feature = "cluster")]
    if let Some(cluster) = &versions.cluster {
        return text + &cluster.print();
    }
    match &versions.store {
        Some(store) => text.push_str(&format!(
            "store `{}`: {}, incarnation {}, revision {}\n",
            store.dir.display(),
            store.uuid,
            store.incarnation,
            store.revision
        )),
        None => text.push_str(&format!("there is no store in `{}`\n", dir.display())),
    }
    text
}
