//! What can go wrong between us and the kernel, with the kernel's own words and what to do next.
//!
//! Made by `socket` and [`change`](crate::change), read by people and by adapters that turn it into
//! their own error codes. Invariants:
//!
//! 1. The kernel's extended text is in the message whenever the kernel gave one
//!    (`a_refusal_carries_the_kernels_words`).
//! 2. An error number without a name is still printed (`numbers_without_a_name_are_printed`).

use std::fmt;

use nix::libc;

/// The kernel's error number of a failed call, positive, as in `errno(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// The caller lacks a capability.
    pub const EPERM: Self = Self(libc::EPERM);
    /// What was named does not exist.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// The object to delete or to read does not exist (routes).
    pub const ESRCH: Self = Self(libc::ESRCH);
    /// A file's permissions refuse the caller.
    pub const EACCES: Self = Self(libc::EACCES);
    /// Somebody else holds it.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// The object to create is already there.
    pub const EEXIST: Self = Self(libc::EEXIST);
    /// There is no such link.
    pub const ENODEV: Self = Self(libc::ENODEV);
    /// A directory of a path is a file.
    pub const ENOTDIR: Self = Self(libc::ENOTDIR);
    /// The request makes no sense to the kernel.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// This kernel lacks the protocol of a socket.
    pub const EPROTONOSUPPORT: Self = Self(libc::EPROTONOSUPPORT);
    /// This kernel lacks the feature.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);
    /// The kernel does not know this socket option.
    pub const ENOPROTOOPT: Self = Self(libc::ENOPROTOOPT);
    /// Nothing says where it leads (what a route that throws answers).
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// The file system cannot be written to.
    pub const EROFS: Self = Self(libc::EROFS);
    /// The device failed.
    pub const EIO: Self = Self(libc::EIO);
    /// No host answers there.
    pub const EHOSTUNREACH: Self = Self(libc::EHOSTUNREACH);
    /// The link, or one that it rests on, is down.
    pub const ENETDOWN: Self = Self(libc::ENETDOWN);
    /// No route leads there.
    pub const ENETUNREACH: Self = Self(libc::ENETUNREACH);
    /// The address to delete is not there.
    pub const EADDRNOTAVAIL: Self = Self(libc::EADDRNOTAVAIL);

    /// The symbol of this number, such as `EEXIST`, if it has one.
    #[must_use]
    pub fn name(self) -> Option<String> {
        let known = nix::errno::Errno::from_raw(self.0);
        (known != nix::errno::Errno::UnknownErrno).then(|| format!("{known:?}"))
    }

    pub(crate) fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }

    fn advice(self) -> &'static str {
        match self {
            Self::EPERM | Self::EACCES => {
                "it takes CAP_NET_ADMIN in the user namespace that owns this network namespace"
            }
            Self::EEXIST => "something like it is already there: look first, or delete that",
            Self::ENODEV => "does that link exist in this network namespace?",
            Self::ENOENT | Self::ESRCH | Self::EADDRNOTAVAIL => {
                "it is not there: has somebody else removed it?"
            }
            Self::EBUSY => "somebody else holds it: try again",
            Self::EOPNOTSUPP => "does this kernel have that feature, or its module?",
            Self::ENETUNREACH => "is the gateway on a connected subnet, and the link up?",
            _ => "compare the request with what the namespace holds",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", nix::errno::Errno::from_raw(self.0).desc()),
            None => write!(f, "error number {}", self.0),
        }
    }
}

impl std::error::Error for Errno {}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

/// Why a request to the kernel did not give what was asked.
///
/// `subject` completes "cannot …": "list the links", "add address `10.0.0.2/24` to `eth0`".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkFault {
    /// No netlink socket could be had.
    #[error(
        "cannot open a netlink socket: {errno}; is the limit on open files reached, or is AF_NETLINK \
         filtered by seccomp?"
    )]
    NoSocket {
        /// The answer of `socket(2)`, `bind(2)` or `setsockopt(2)`.
        errno: Errno,
    },
    /// The request could not be sent.
    #[error("cannot {subject}: sending the request failed with {errno}; {}", errno.advice())]
    NotSent {
        /// What was asked.
        subject: String,
        /// The answer of `sendto(2)`.
        errno: Errno,
    },
    /// The answer could not be received.
    #[error("cannot {subject}: receiving the answer failed with {errno}; try again")]
    NotReceived {
        /// What was asked.
        subject: String,
        /// The answer of `recvfrom(2)`.
        errno: Errno,
    },
    /// The kernel said no.
    #[error("cannot {subject}: the kernel answered {errno}{}; {}", said(text.as_deref()), errno.advice())]
    Refused {
        /// What was asked.
        subject: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own words (`NLMSGERR_ATTR_MSG`), if it had any.
        text: Option<String>,
        /// Where in the request, in bytes from its header, the kernel saw the fault
        /// (`NLMSGERR_ATTR_OFFS`).
        offset: Option<u32>,
    },
    /// No answer came in time.
    #[error(
        "cannot {subject}: no answer within {waited_ms} ms; the kernel may be busy with another \
         change: try again"
    )]
    Silent {
        /// What was asked.
        subject: String,
        /// How long the answer was waited for, in milliseconds.
        waited_ms: u64,
    },
    /// Each reading was overtaken by changes (`NLM_F_DUMP_INTR`).
    #[error(
        "cannot {subject}: the objects changed during each of {attempts} readings; try again when \
         fewer changes are made at once"
    )]
    Unsettled {
        /// What was asked.
        subject: String,
        /// How many readings were made.
        attempts: u32,
    },
    /// An answer came that makes no sense to us.
    #[error(
        "cannot {subject}: the answer is not understood ({reason}); report this kernel's version"
    )]
    Unreadable {
        /// What was asked.
        subject: String,
        /// What was wrong with the bytes.
        reason: String,
    },
    /// The network namespace cannot be worked in.
    #[error("{reason}")]
    NotInside {
        /// Why not, and what to do.
        reason: String,
    },
    /// A file below `/proc/sys` could not be read or written.
    #[error("cannot {subject}: {doing} `/proc/sys/{path}` failed with {errno}; {}", of_file(*errno))]
    File {
        /// What was asked.
        subject: String,
        /// What was being done.
        doing: &'static str,
        /// The file, below `/proc/sys`.
        path: String,
        /// The answer of `open(2)`, `read(2)` or `write(2)`.
        errno: Errno,
    },
    /// A sysctl does not keep the value that was written to it.
    #[error(
        "cannot {subject}: `/proc/sys/{path}` holds {found:?} after {written} was written; does \
         somebody else set it, or does this kernel know that value?"
    )]
    NotKept {
        /// What was asked.
        subject: String,
        /// The file, below `/proc/sys`.
        path: String,
        /// What was written.
        written: i64,
        /// What it holds; none if it holds no number.
        found: Option<i64>,
    },
    /// There is no link of that name.
    #[error(
        "cannot {subject}: there is no link `{name}`; was it removed, renamed or moved away meanwhile?"
    )]
    NoLink {
        /// What was asked.
        subject: String,
        /// The link's name.
        name: String,
    },
    /// What was to be deleted is not there, so the kernel was not asked: it might have taken another.
    #[error("cannot {subject}: there is none; has somebody else removed it?")]
    NotThere {
        /// What was asked.
        subject: String,
    },
    /// A link is another one than was looked at.
    #[error(
        "cannot {subject}: link `{name}` {difference} since it was looked at; look again and plan anew"
    )]
    OtherLink {
        /// What was asked.
        subject: String,
        /// The link's name.
        name: String,
        /// Index and kind then, and index and kind that it has.
        difference: String,
    },
    /// The kernel cannot be asked for exactly this, so it was not asked at all.
    #[error("cannot {subject}: {reason}")]
    Unasked {
        /// What was asked.
        subject: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The name can be no link's name.
    #[error(
        "`{given}` can be no link's name: it {reason}; use 1 to 15 bytes without `/` or blanks"
    )]
    BadLinkName {
        /// The name as it was given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The mark would mark every connection, or none.
    #[error(
        "`{value:#x}/{mask:#x}` can mark no connections: the value must have at least one bit, and \
         none that the mask lacks"
    )]
    BadMark {
        /// The bits that would be set.
        value: u32,
        /// The bits that would count.
        mask: u32,
    },
}

impl NetlinkFault {
    /// The kernel's error number, where the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::NoSocket { errno }
            | Self::NotSent { errno, .. }
            | Self::NotReceived { errno, .. }
            | Self::Refused { errno, .. }
            | Self::File { errno, .. } => Some(*errno),
            Self::NoLink { .. } => Some(Errno::ENODEV),
            Self::NotThere { .. } => Some(Errno::ENOENT),
            Self::Silent { .. }
            | Self::Unsettled { .. }
            | Self::Unreadable { .. }
            | Self::NotInside { .. }
            | Self::NotKept { .. }
            | Self::OtherLink { .. }
            | Self::Unasked { .. }
            | Self::BadLinkName { .. }
            | Self::BadMark { .. } => None,
        }
    }

    /// Whether the kernel may have done what was asked although this came of it.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::NotReceived { .. }
            | Self::Silent { .. }
            | Self::Unreadable { .. }
            | Self::NotKept { .. } => true,
            Self::NoSocket { .. }
            | Self::NotSent { .. }
            | Self::Refused { .. }
            | Self::Unsettled { .. }
            | Self::NotInside { .. }
            | Self::File { .. }
            | Self::NoLink { .. }
            | Self::NotThere { .. }
            | Self::OtherLink { .. }
            | Self::Unasked { .. }
            | Self::BadLinkName { .. }
            | Self::BadMark { .. } => false,
        }
    }

    /// Whether it says that what was to be made is there, or what was to be deleted is not.
    pub(crate) fn is_about_presence(&self) -> bool {
        const ABOUT: [Errno; 5] =
            [Errno::EEXIST, Errno::ENOENT, Errno::ESRCH, Errno::ENODEV, Errno::EADDRNOTAVAIL];
        self.errno().is_some_and(|errno| ABOUT.contains(&errno))
    }
}

fn of_file(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "is there such a link, and has this kernel that protocol?",
        Errno::EROFS => "is /proc/sys mounted read-only in this container?",
        other => other.advice(),
    }
}

fn said(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(", saying \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let fault = NetlinkFault::Refused {
            subject: "add address `10.0.0.2/24` to `eth0`".into(),
            errno: Errno::EEXIST,
            text: Some("ipv4: Address already assigned".into()),
            offset: None,
        };
        assert_eq!(
            fault.to_string(),
            "cannot add address `10.0.0.2/24` to `eth0`: the kernel answered EEXIST (File exists), \
             saying \"ipv4: Address already assigned\"; something like it is already there: look \
             first, or delete that"
        );
        assert_eq!(fault.errno(), Some(Errno::EEXIST));
    }

    #[test]
    fn numbers_without_a_name_are_printed() {
        assert_eq!(Errno(524).to_string(), "error number 524");
        assert_eq!(Errno::ENODEV.to_string(), "ENODEV (No such device)");
    }
}
