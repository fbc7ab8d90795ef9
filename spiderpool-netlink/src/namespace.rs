//! Finds a network namespace, makes sure that it is one, and runs closures inside it.
//!
//! Called by adapters with the path that a container runtime gave (`CNI_NETNS`). Invariants:
//!
//! 1. The caller's thread never changes its namespace: entering happens on a thread that ends there
//!    (`running_leaves_the_caller_where_it_was`).
//! 2. A run leaves neither thread nor file descriptor behind (`two_hundred_runs_leave_nothing`).
//! 3. A panic inside is an error outside (`a_panic_inside_is_an_error_outside`).
//! 4. What is not a network namespace is refused at opening, with what it is
//!    (`what_is_no_network_namespace_is_refused`).

use std::any::Any;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use serde::{Deserialize, Serialize};

use crate::fault::{Errno, NetlinkFault};
use crate::session::Session;

mod cookie;
mod fault;

pub use fault::{BadNamespace, RunError};

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// What tells one living network namespace from another.
///
/// Unique only among namespaces that live at the same time: the kernel gives a freed inode number
/// to the very next namespace. [`Namespace::cookie`] is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespaceId {
    /// Device number of the namespace file system.
    pub device: u64,
    /// Inode number of the namespace.
    pub inode: u64,
}

/// An open network namespace; it stays alive for as long as this is held.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    path: PathBuf,
    identity: NamespaceId,
}

impl Namespace {
    /// Opens the network namespace at a path: a mount such as `/run/netns/NAME`, or
    /// `/proc/PID/ns/net`.
    ///
    /// A mount's kind is found by entering it on a thread of its own; a caller who may not enter
    /// gets it unchecked, and [`run`](Self::run) then fails.
    ///
    /// # Errors
    ///
    /// [`BadNamespace`], which says what is there and what to give.
    pub fn by_path(path: impl AsRef<Path>) -> Result<Self, BadNamespace> {
        let path = path.as_ref();
        let given = path.display().to_string();
        // Without O_NONBLOCK, opening a FIFO would wait for its writer for ever.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| not_opened(&given, &error))?;
        let metadata = file.metadata().map_err(|error| not_opened(&given, &error))?;
        refuse_other_files(&given, &file, &metadata)?;
        refuse_other_kinds(&given, &file)?;
        let identity = NamespaceId { device: metadata.dev(), inode: metadata.ino() };
        Ok(Self { file, path: path.to_owned(), identity })
    }

    /// Opens the network namespace of a process.
    ///
    /// # Errors
    ///
    /// As [`by_path`](Self::by_path).
    pub fn by_pid(pid: u32) -> Result<Self, BadNamespace> {
        Self::by_path(format!("/proc/{pid}/ns/net"))
    }

    /// Opens a network namespace by the name that `ip netns` knows it by.
    ///
    /// # Errors
    ///
    /// As [`by_path`](Self::by_path), and [`BadNamespace::BadName`].
    pub fn by_name(name: &str) -> Result<Self, BadNamespace> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(BadNamespace::BadName { given: name.into() });
        }
        Self::by_path(Path::new(NAMED).join(name))
    }

    /// Opens the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// As [`by_path`](Self::by_path).
    pub fn here() -> Result<Self, BadNamespace> {
        Self::by_path("/proc/thread-self/ns/net")
    }

    /// The same namespace, held open once more.
    ///
    /// # Errors
    ///
    /// [`BadNamespace::Unopenable`] if no further file can be opened.
    pub fn try_clone(&self) -> Result<Self, BadNamespace> {
        let file = self.file.try_clone().map_err(|error| not_opened(&self.given(), &error))?;
        Ok(Self { file, path: self.path.clone(), identity: self.identity })
    }

    /// What tells this namespace from all others that live now.
    #[must_use]
    pub fn identity(&self) -> NamespaceId {
        self.identity
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number that the kernel gives to one namespace only until it reboots
    /// (`SO_NETNS_COOKIE`, Linux 5.14).
    ///
    /// # Errors
    ///
    /// [`RunError`], with [`Errno::ENOPROTOOPT`] from kernels that do not know it.
    pub fn cookie(&self) -> Result<u64, RunError<Errno>> {
        let entered = on_a_thread(self.file.as_fd(), cookie::read);
        match entered.map_err(|failure| failure.into_run_error(self))? {
            Ok(cookie) => Ok(cookie),
            Err(errno) => Err(RunError::Within { namespace: self.given(), source: errno }),
        }
    }

    /// Runs a closure inside this namespace, on a thread that enters it and ends there.
    ///
    /// The caller waits, and its own thread stays where it is.
    ///
    /// # Errors
    ///
    /// [`RunError::Within`] with the closure's own error; the others say why it did not run or did
    /// not end.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use spiderpool_netlink::Namespace;
    ///
    /// let links = Namespace::by_name("pod-a")?.run(|session| session.links())?;
    /// assert!(links.keys().any(|name| name.as_str() == "lo"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run<T, E, F>(&self, work: F) -> Result<T, RunError<E>>
    where
        T: Send,
        E: std::error::Error + Send + 'static,
        F: FnOnce(&mut Session) -> Result<T, E> + Send,
    {
        let entered = on_a_thread(self.file.as_fd(), || match Session::here() {
            Ok(mut session) => Ok(work(&mut session)),
            Err(fault) => Err(fault),
        });
        match entered.map_err(|failure| failure.into_run_error(self))? {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(RunError::Within { namespace: self.given(), source }),
            Err(source) => Err(RunError::NoSession { namespace: self.given(), source }),
        }
    }

    /// Opens a session in this namespace that can be used from any thread: a netlink socket stays in
    /// the namespace that it was opened in.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::NotInside`], or [`NetlinkFault::NoSocket`].
    pub fn session(&self) -> Result<Session, NetlinkFault> {
        self.inside(Session::here)
    }

    /// Does something on a thread that enters this namespace and ends there, without a session; on the
    /// caller's own thread if it is here already.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, NetlinkFault> + Send,
    ) -> Result<T, NetlinkFault> {
        if self.is_here() {
            return work();
        }
        on_a_thread(self.file.as_fd(), work).map_err(|failure| {
            let reason = failure.into_run_error::<NetlinkFault>(self).to_string();
            NetlinkFault::NotInside { reason }
        })?
    }

    /// Whether the calling thread is in this namespace; both live, so their numbers tell them apart.
    fn is_here(&self) -> bool {
        std::fs::metadata("/proc/thread-self/ns/net").is_ok_and(|here| {
            (here.dev(), here.ino()) == (self.identity.device, self.identity.inode)
        })
    }

    fn given(&self) -> String {
        self.path.display().to_string()
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Why a thread did not do its work inside.
enum Failure {
    NoThread(Errno),
    NotEntered(Errno),
    Panicked(String),
}

impl Failure {
    fn into_run_error<E: std::error::Error>(self, namespace: &Namespace) -> RunError<E> {
        let namespace = namespace.given();
        match self {
            Self::NoThread(errno) => RunError::NoThread { namespace, errno },
            Self::NotEntered(errno) => RunError::NotEntered { namespace, errno },
            Self::Panicked(message) => RunError::Panicked { namespace, message },
        }
    }
}

fn on_a_thread<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Failure> {
    thread::scope(|scope| {
        let inside = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(Errno::from)?;
            Ok(work())
        };
        let handle = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, inside)
            .map_err(|error| Failure::NoThread(Errno::of(&error)))?;
        match handle.join() {
            Ok(entered) => entered.map_err(Failure::NotEntered),
            Err(panic) => Err(Failure::Panicked(panic_text(panic.as_ref()))),
        }
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

fn not_opened(given: &str, error: &io::Error) -> BadNamespace {
    let given = given.to_owned();
    // A directory of the path that is a file names nothing either.
    match Errno::of(error) {
        Errno::ENOENT | Errno::ENOTDIR => BadNamespace::Missing { given },
        errno => BadNamespace::Unopenable { given, errno },
    }
}

fn refuse_other_files(given: &str, file: &File, metadata: &Metadata) -> Result<(), BadNamespace> {
    let given = given.to_owned();
    let system = match fstatfs(file) {
        Ok(statistics) => statistics.filesystem_type(),
        Err(errno) => return Err(BadNamespace::Unopenable { given, errno: errno.into() }),
    };
    if system == NSFS_MAGIC {
        return Ok(());
    }
    Err(BadNamespace::NotANamespace { given, what: what_it_is(metadata) })
}

fn what_it_is(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match (kind.is_dir(), kind.is_file(), kind.is_fifo(), kind.is_char_device()) {
        (true, ..) => "a directory",
        (_, true, ..) => "a plain file",
        (_, _, true, _) => "a FIFO",
        (.., true) => "a character device",
        _ => "some other file",
    }
}

/// A file of the namespace file system shows its kind as `net:[INODE]` in `/proc/self/fd`, unless it
/// was opened through a mount: that shows its path, and only entering it tells.
fn refuse_other_kinds(given: &str, file: &File) -> Result<(), BadNamespace> {
    let other = |kind: &str| BadNamespace::OtherKind { given: given.into(), kind: kind.into() };
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let text = link.ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_default();
    match text.split_once(":[") {
        Some(("net", _)) => Ok(()),
        Some((kind, _)) if !kind.contains('/') => Err(other(kind)),
        _ => match on_a_thread(file.as_fd(), || ()) {
            Err(Failure::NotEntered(Errno::EINVAL)) => Err(other("unknown")),
            Ok(()) | Err(Failure::NotEntered(_) | Failure::NoThread(_) | Failure::Panicked(_)) => {
                Ok(())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_namespace_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let check = |path: &Path, what: &'static str| {
            let given = path.display().to_string();
            let expected = BadNamespace::NotANamespace { given, what };
            assert_eq!(Namespace::by_path(path).unwrap_err(), expected);
        };
        check(&plain, "a plain file");
        check(directory.path(), "a directory");
        check(Path::new("/dev/null"), "a character device");

        let given = "/proc/self/ns/mnt".to_owned();
        let refused = Namespace::by_path(&given).unwrap_err();
        assert_eq!(refused, BadNamespace::OtherKind { given, kind: "mnt".into() });

        let missing = directory.path().join("missing");
        assert_eq!(
            Namespace::by_path(&missing).unwrap_err(),
            BadNamespace::Missing { given: missing.display().to_string() }
        );
    }

    #[test]
    fn what_is_done_here_needs_no_thread() {
        let here = Namespace::here().unwrap();
        let thread = here.inside(|| Ok(thread::current().id())).unwrap();
        assert_eq!(thread, thread::current().id());
    }

    #[test]
    fn a_fifo_does_not_hold_us_up() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let refused = Namespace::by_path(&fifo).unwrap_err();
        assert!(matches!(refused, BadNamespace::NotANamespace { what: "a FIFO", .. }));
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for given in ["", ".", "..", "a/b", "../../proc/1/ns/net", "a\0b"] {
            let refused = Namespace::by_name(given).unwrap_err();
            assert_eq!(refused, BadNamespace::BadName { given: given.into() });
        }
    }

    #[test]
    fn this_process_has_one_namespace_by_every_way() {
        let here = Namespace::here().unwrap();
        let by_pid = Namespace::by_pid(std::process::id()).unwrap();
        assert_eq!(here.identity(), by_pid.identity());
        assert!(here.identity().inode > 0);
    }
}
