//! Why a network namespace cannot be had, and why nothing came out of one.

use crate::fault::{Errno, NetlinkFault};

/// Why something cannot be taken for a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNamespace {
    /// There is nothing of that name.
    #[error(
        "there is no network namespace at `{given}`; has the pod ended, or is it the path of another host?"
    )]
    Missing {
        /// The path that was tried.
        given: String,
    },
    /// It is there but cannot be opened.
    #[error(
        "network namespace `{given}` cannot be opened: {errno}; it takes root, or the user that owns it"
    )]
    Unopenable {
        /// The path that was tried.
        given: String,
        /// The answer of `open(2)`, `fstat(2)` or `fstatfs(2)`.
        errno: Errno,
    },
    /// It is no namespace at all.
    #[error(
        "`{given}` is {what}, not a network namespace; give a path such as /run/netns/NAME that a \
         namespace is mounted on, or /proc/PID/ns/net"
    )]
    NotANamespace {
        /// The path that was tried.
        given: String,
        /// What is there.
        what: &'static str,
    },
    /// It is a namespace of another kind.
    #[error(
        "`{given}` is a namespace of kind `{kind}`, not a network namespace; give the `net` one"
    )]
    OtherKind {
        /// The path that was tried.
        given: String,
        /// The kind that the kernel names, or `unknown`.
        kind: String,
    },
    /// The name can be no namespace's name.
    #[error("`{given}` can be no namespace's name; give one word without `/`, or a path")]
    BadName {
        /// The name as it was given.
        given: String,
    },
}

/// Why a closure did not give its value from inside a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError<E: std::error::Error + 'static> {
    /// There was no thread to be had.
    #[error(
        "no thread can be started for network namespace `{namespace}`: {errno}; is the limit on processes reached?"
    )]
    NoThread {
        /// The namespace's path.
        namespace: String,
        /// The answer of `pthread_create(3)`.
        errno: Errno,
    },
    /// The kernel did not let the thread in.
    #[error(
        "network namespace `{namespace}` cannot be entered: {errno}; it takes CAP_SYS_ADMIN there and here"
    )]
    NotEntered {
        /// The namespace's path.
        namespace: String,
        /// The answer of `setns(2)`.
        errno: Errno,
    },
    /// There was no socket to be had inside.
    #[error("network namespace `{namespace}` was entered in vain")]
    NoSession {
        /// The namespace's path.
        namespace: String,
        /// Why there is no socket.
        source: NetlinkFault,
    },
    /// The closure panicked.
    #[error("our code panicked in network namespace `{namespace}`: {message}; please report it")]
    Panicked {
        /// The namespace's path.
        namespace: String,
        /// The text of the panic.
        message: String,
    },
    /// The closure gave its own error.
    #[error("the work in network namespace `{namespace}` failed")]
    Within {
        /// The namespace's path.
        namespace: String,
        /// The closure's error.
        source: E,
    },
}
