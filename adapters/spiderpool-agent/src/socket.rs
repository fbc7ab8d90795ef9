//! The door of the agent: one unix socket that at most one agent answers at.
//!
//! Invariants:
//! 1. Whoever can see the socket can be answered: it is bound under another name, and moved to its place
//!    once it listens and its permissions are set (`a_socket_appears_ready`).
//! 2. A second agent is refused, and the first one's socket stays (`a_second_agent_is_refused`).
//! 3. What a killed agent left is taken away; anything that is no socket is left alone
//!    (`what_was_left_behind_goes`, `a_file_is_not_taken_for_a_socket`).

use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::UnixListener;

/// Who may speak to the agent: root, and its group.
const MODE: u32 = 0o660;

/// A socket that this process listens on. Dropping it takes the file away.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    /// Device and inode of the file that was made here.
    identity: (u64, u64),
    /// Held for as long as the door is open.
    _lock: Flock<File>,
}

/// The socket cannot be listened on.
#[derive(Debug, Error)]
pub enum DoorFault {
    /// Another agent is there.
    #[error(
        "another agent answers at `{path}`; stop it first, or give this one another `ipamUnixSocketPath`"
    )]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name.
    #[error("`{path}` is there and is no socket; move it away, or choose another path")]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {action} `{path}`; is its directory writable by this process?")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Door {
    /// Listens at a path; directories that lack are made.
    ///
    /// # Errors
    /// [`DoorFault::Taken`] while another agent lives; [`DoorFault`] otherwise as it says.
    pub fn open(path: &Path) -> Result<(Self, UnixListener), DoorFault> {
        if let Some(dir) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
            made.map_err(io("make the directory", dir))?;
        }
        let lock = lock(path)?;
        clear(path)?;
        let beside = beside(path, ".new");
        clear(&beside)?;
        let listener = UnixListener::bind(&beside).map_err(io("listen at", &beside))?;
        let permitted = fs::set_permissions(&beside, Permissions::from_mode(MODE));
        permitted.map_err(io("set the permissions of", &beside))?;
        let made = fs::symlink_metadata(&beside).map_err(io("look at", &beside))?;
        fs::rename(&beside, path).map_err(io("move the socket to", path))?;
        let identity = (made.dev(), made.ino());
        Ok((Self { path: path.to_owned(), identity, _lock: lock }, listener))
    }

    /// Whether the file is still the one that was made here; without it no plugin finds the agent.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let found = fs::symlink_metadata(&self.path);
        found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.is_in_place() {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Takes the lock that only a living agent holds. The file stays when the agent ends: were it removed,
/// two agents could hold locks on two files of one name.
fn lock(path: &Path) -> Result<Flock<File>, DoorFault> {
    let name = beside(path, ".lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&name);
    let file = file.map_err(io("open", &name))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno == nix::errno::Errno::EWOULDBLOCK {
            DoorFault::Taken { path: path.to_owned() }
        } else {
            io("lock", &name)(errno.into())
        }
    })
}

/// Takes away a socket that nobody listens on.
fn clear(path: &Path) -> Result<(), DoorFault> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("look at", path)(error)),
    };
    if !found.file_type().is_socket() {
        return Err(DoorFault::NotASocket { path: path.to_owned() });
    }
    // An agent that takes no such lock (the reference's) is found by calling it.
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(DoorFault::Taken { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(io("remove", path))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DoorFault + 'a {
    move |source| DoorFault::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn room() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/agent.sock");
        (dir, path)
    }

    #[tokio::test]
    async fn a_socket_appears_ready() {
        let (_dir, path) = room();
        let (door, _listener) = Door::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(UnixStream::connect(&path).is_ok() && door.is_in_place());
        assert!(!beside(&path, ".new").exists());
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_second_agent_is_refused() {
        let (_dir, path) = room();
        let (_door, _listener) = Door::open(&path).unwrap();
        assert!(matches!(Door::open(&path), Err(DoorFault::Taken { .. })));
        assert!(UnixStream::connect(&path).is_ok());
        // One that knows nothing of the lock.
        let other = path.with_file_name("other.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
        assert!(matches!(Door::open(&other), Err(DoorFault::Taken { .. })));
    }

    #[tokio::test]
    async fn what_was_left_behind_goes() {
        let (_dir, path) = room();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(std::os::unix::net::UnixListener::bind(beside(&path, ".new")).unwrap());
        let (door, _listener) = Door::open(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        // Another agent took the place by force: it keeps its socket when this one ends.
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(!door.is_in_place());
        drop(door);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_is_not_taken_for_a_socket() {
        let (_dir, path) = room();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Door::open(&path), Err(DoorFault::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
