//! Remembers a network namespace, and judges later whether it still lives.
//!
//! Stores keep a [`Witness`] beside each allocation of a host without an API server; reclaiming asks
//! [`Witness::judge`]. A wrong "gone" gives a living pod's address to another, so whatever cannot be
//! known is [`Verdict::Unknown`]. Invariants:
//!
//! 1. After a reboot everything is gone (`another_boot_is_gone`).
//! 2. A namespace is told from a later one with its name and its inode number
//!    (`a_namespace_of_the_same_name_is_not_the_same`).
//! 3. What cannot be read is never gone (`what_cannot_be_read_is_unknown`).
//! 4. Nor is what a wrongly mounted container would not see (`an_empty_window_is_unknown`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fault::Errno;
use crate::namespace::{BadNamespace, Namespace};

/// Where the kernel tells this boot from all others.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What is remembered of a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Witness {
    /// The boot in which it was seen, as in `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The path it was seen at.
    pub path: String,
    /// Device number of the namespace file system.
    pub device: u64,
    /// Inode number of the namespace, which a later namespace may get again.
    pub inode: u64,
    /// The namespace's own number in this boot, where the kernel tells it (Linux 5.14) and the
    /// observer was allowed to enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
}

/// Whether a remembered namespace still lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same namespace is at the same path.
    Alive,
    /// It is certain that it lives no more at its path.
    Gone {
        /// What shows it.
        why: String,
    },
    /// It cannot be known: treat it as alive, and ask somebody else.
    Unknown {
        /// What was in the way.
        why: String,
    },
}

/// Why nothing can be remembered of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessFault {
    /// There is no network namespace to remember.
    #[error("there is nothing to remember at `{path}`")]
    Namespace {
        /// The path that was given.
        path: String,
        /// What is wrong with it.
        source: BadNamespace,
    },
    /// This boot cannot be told from others.
    #[error("the boot id cannot be read from `{path}`: {errno}; is /proc mounted?")]
    BootId {
        /// The file that was tried.
        path: String,
        /// The answer of `open(2)` or `read(2)`.
        errno: Errno,
    },
}

/// Takes and judges witnesses; says where this boot's id is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observer {
    /// A file that holds the boot id.
    pub boot_id_path: PathBuf,
}

impl Default for Observer {
    fn default() -> Self {
        Self { boot_id_path: BOOT_ID.into() }
    }
}

impl Witness {
    /// Remembers the network namespace at a path.
    ///
    /// # Errors
    ///
    /// [`WitnessFault`] if there is none, or the boot id cannot be read.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use spiderpool_netlink::{Verdict, Witness};
    ///
    /// let witness = Witness::of("/run/netns/pod-a")?;
    /// assert_eq!(witness.judge(), Verdict::Alive);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(path: &str) -> Result<Self, WitnessFault> {
        Observer::default().witness(path)
    }

    /// Whether the remembered namespace still lives.
    #[must_use]
    pub fn judge(&self) -> Verdict {
        Observer::default().judge(self)
    }
}

impl Observer {
    /// Remembers the network namespace at a path.
    ///
    /// # Errors
    ///
    /// As [`Witness::of`].
    pub fn witness(&self, path: &str) -> Result<Witness, WitnessFault> {
        let boot_id = self.boot_id().map_err(|error| WitnessFault::BootId {
            path: self.boot_id_path.display().to_string(),
            errno: Errno::of(&error),
        })?;
        let namespace = Namespace::by_path(path)
            .map_err(|source| WitnessFault::Namespace { path: path.into(), source })?;
        let id = namespace.identity();
        let cookie = namespace.cookie().ok();
        Ok(Witness { boot_id, path: path.into(), device: id.device, inode: id.inode, cookie })
    }

    /// Whether a remembered namespace still lives.
    #[must_use]
    pub fn judge(&self, witness: &Witness) -> Verdict {
        match self.boot_id() {
            Ok(boot_id) if boot_id == witness.boot_id => judge_path(witness),
            Ok(_) => gone("the host rebooted"),
            Err(error) => unknown(format!(
                "the boot id cannot be read from `{}`: {}",
                self.boot_id_path.display(),
                Errno::of(&error)
            )),
        }
    }

    /// This boot's id; an empty file is no boot id.
    fn boot_id(&self) -> io::Result<String> {
        let text = fs::read_to_string(&self.boot_id_path)?;
        match text.trim() {
            "" => Err(io::ErrorKind::InvalidData.into()),
            id => Ok(id.to_owned()),
        }
    }
}

fn judge_path(witness: &Witness) -> Verdict {
    match Namespace::by_path(&witness.path) {
        Ok(namespace) => compare(witness, &namespace),
        Err(BadNamespace::Missing { .. }) => judge_absence(&witness.path),
        Err(BadNamespace::OtherKind { kind, .. }) => {
            gone(format!("a namespace of kind `{kind}` is there"))
        }
        // A plain file is what a container without mount propagation sees of a living namespace.
        Err(
            bad @ (BadNamespace::NotANamespace { .. }
            | BadNamespace::Unopenable { .. }
            | BadNamespace::BadName { .. }),
        ) => unknown(bad.to_string()),
    }
}

fn compare(witness: &Witness, namespace: &Namespace) -> Verdict {
    let id = namespace.identity();
    if (id.device, id.inode) != (witness.device, witness.inode) {
        return gone("another namespace is there");
    }
    // Who may not enter, then or now, has the inode number alone, and that says alive.
    match (witness.cookie, namespace.cookie().ok()) {
        (Some(then), Some(now)) if then != now => {
            gone("another namespace is there, with the same inode number")
        }
        _ => Verdict::Alive,
    }
}

/// A missing file means something only where its directory can be seen: without the directory, it
/// may be us who look from inside a container. `/proc` shows its processes or nothing.
fn judge_absence(path: &str) -> Verdict {
    let path = Path::new(path);
    let window = match path.strip_prefix("/proc") {
        Ok(_) => Path::new("/proc/self"),
        Err(_) => path.parent().unwrap_or(path),
    };
    match fs::metadata(window) {
        Ok(metadata) if metadata.is_dir() => gone("nothing is at its path"),
        Ok(_) => unknown(format!("`{}` is no directory", window.display())),
        Err(error) => unknown(format!(
            "nothing is at its path, nor can `{}` be seen: {}",
            window.display(),
            Errno::of(&error)
        )),
    }
}

fn gone(why: impl Into<String>) -> Verdict {
    Verdict::Gone { why: why.into() }
}

fn unknown(why: impl Into<String>) -> Verdict {
    Verdict::Unknown { why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/proc/self/ns/net";

    fn is_unknown(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Unknown { .. })
    }

    #[test]
    fn this_process_is_alive() {
        let witness = Witness::of(HERE).unwrap();
        assert_eq!(witness.judge(), Verdict::Alive);
    }

    #[test]
    fn another_boot_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let boot_id_path = directory.path().join("boot_id");
        fs::write(&boot_id_path, "5d1b62a0-0000-4000-8000-000000000000\n").unwrap();
        let verdict = Observer { boot_id_path }.judge(&Witness::of(HERE).unwrap());
        assert_eq!(verdict, gone("the host rebooted"));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let boot_id_path = directory.path().join("missing");
        let witness = Witness::of(HERE).unwrap();
        assert!(is_unknown(&Observer { boot_id_path: boot_id_path.clone() }.judge(&witness)));
        fs::write(&boot_id_path, "\n").unwrap();
        assert!(is_unknown(&Observer { boot_id_path }.judge(&witness)));
    }

    #[test]
    fn an_empty_window_is_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("netns");
        let mut witness = Witness::of(HERE).unwrap();
        witness.path = inside.join("pod").display().to_string();
        assert!(is_unknown(&witness.judge()));
        fs::create_dir(&inside).unwrap();
        assert_eq!(witness.judge(), gone("nothing is at its path"));
        fs::write(inside.join("pod"), "").unwrap();
        assert!(is_unknown(&witness.judge()));
    }

    #[test]
    fn an_ended_process_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let witness = Witness::of(&format!("/proc/{}/ns/net", child.id())).unwrap();
        assert_eq!(witness.judge(), Verdict::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(witness.judge(), gone("nothing is at its path"));
    }

    #[test]
    fn a_witness_survives_its_file() {
        let mut witness = Witness::of(HERE).unwrap();
        let text = serde_json::to_string(&witness).unwrap();
        assert_eq!(serde_json::from_str::<Witness>(&text).unwrap(), witness);
        witness.cookie = None;
        let text = serde_json::to_string(&witness).unwrap();
        assert!(!text.contains("cookie"));
        assert_eq!(serde_json::from_str::<Witness>(&text).unwrap(), witness);
    }
}
