//! The cluster's past: copies of etcd's data, and the way back to one.
//!
//! Owns [`Snapshot`] and the directory work; `cluster` says when. A copy is taken while etcd is stopped
//! by a signal, and so is what etcd would find after a crash at that moment: everything that it had
//! answered is in its log. Invariant: what was answered before is in the copy
//! (`a_restored_cluster_holds_the_older_state`).

use std::path::{Path, PathBuf};

use crate::Fault;

/// A copy of etcd's data. It goes with the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub(crate) directory: PathBuf,
}

/// How a cluster goes back to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// The revision goes back, too: a client may have seen a `resourceVersion` that will be given a
    /// second time, to something else. A plain `etcdutl snapshot restore` leaves a cluster so.
    Rewound,
    /// The revision goes on far above the old one, and all before counts as compacted: no
    /// `resourceVersion` is given twice, and every watch must list again. That is
    /// `etcdutl snapshot restore --bump-revision … --mark-compacted`, as etcd's manual asks of
    /// Kubernetes clusters.
    Bumped,
}

/// Copies a directory with all that is below.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(to).map_err(Fault::file("create", to))?;
    for entry in std::fs::read_dir(from).map_err(Fault::file("read", from))? {
        let entry = entry.map_err(Fault::file("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            std::fs::copy(&source, &target).map_err(Fault::file("copy", &source))?;
        }
    }
    Ok(())
}

/// Removes a directory, which need not be there.
///
/// # Errors
/// When something cannot be removed.
pub(crate) fn remove(directory: &Path) -> Result<(), Fault> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::file("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("a"), place.path().join("b"));
        std::fs::create_dir_all(from.join("member/wal")).unwrap();
        std::fs::write(from.join("member/wal/0.wal"), "log").unwrap();
        std::fs::write(from.join("x"), "x").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("member/wal/0.wal")).unwrap(), "log");
        assert_eq!(std::fs::read_to_string(to.join("x")).unwrap(), "x");
        remove(&to).unwrap();
        assert!(!to.exists());
        remove(&to).unwrap();
    }
}
