//! Locks for containers: verbs for one container take turns.
//!
//! `flock(2)` on one of 4096 files; the kernel takes it back when its process ends, however it ends.
//! Two containers may share a file and then take turns as well, which costs time and nothing else.
//! Invariants:
//!
//! 1. One holder at a time (`verbs_of_one_container_take_turns`).
//! 2. The containers of a full node hardly share any: an ADD keeps its lock while it asks the wire,
//!    for a second or so (`a_full_node_shares_few_locks`).

use crate::error::{Site, StoreError};
use crate::open::Store;
use crate::patience::Patience;
use crate::rows::digest;
use spiderpool_core::name::Name;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

/// The lock of a container; dropping it lets the next verb in.
#[derive(Debug)]
pub struct ContainerLock {
    _file: File,
}

impl Store {
    /// Waits until no other verb for the container is under way.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when `patience` is over first.
    pub fn lock_container(
        &self,
        container: &Name,
        patience: Patience,
    ) -> Result<ContainerLock, StoreError> {
        take(&self.site, &file_of(container), patience).map(|file| ContainerLock { _file: file })
    }
}

/// The name of the file that a container's lock is on.
fn file_of(container: &str) -> String {
    format!("{:03x}", digest(container) & 0xfff)
}

/// Takes the lock of one file of `locks/`.
pub(crate) fn take(site: &Site, name: &str, patience: Patience) -> Result<File, StoreError> {
    let fault = |error: io::Error| site.io("open a lock", &error);
    let dir = site.dir.join("locks");
    let path = dir.join(name);
    let open = || fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(fault)?;
            open()
        }
        // On a read-only file system or a full disk a file that is there can still be locked.
        Err(error) => File::open(&path).map_err(|_| error),
        Ok(file) => Ok(file),
    };
    let file = file.map_err(fault)?;
    let mut wait = patience.start();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => wait.again(&format!("the lock `{name}`"))?,
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Kubernetes runs at most 110 pods on a node by default; runtimes name containers by 64 digits.
    #[test]
    fn a_full_node_shares_few_locks() {
        let part = |number: u64, part: u64| format!("{:016x}", digest(&format!("{number}.{part}")));
        let container = |number| (0..4).map(|at| part(number, at)).collect::<String>();
        let files: BTreeSet<_> = (0..110).map(|number| file_of(&container(number))).collect();
        assert!(files.len() >= 105, "{}", files.len());
    }
}
