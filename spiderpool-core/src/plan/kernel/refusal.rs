//! Why the kernel refuses an op.

use std::fmt;

/// Why the kernel refuses an op: its number, and what it means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{errno}: {reason}")]
pub struct KernelRefusal {
    /// What the kernel answers.
    pub errno: Errno,
    /// What it means here.
    pub reason: &'static str,
}

/// What the kernel answers (`include/uapi/asm-generic/errno.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errno {
    /// `EPERM`.
    NotPermitted,
    /// `ENOENT`.
    NoEntry,
    /// `ESRCH`.
    NoSuchRoute,
    /// `EBUSY`.
    Busy,
    /// `EEXIST`.
    Exists,
    /// `ENODEV`.
    NoDevice,
    /// `EINVAL`.
    Invalid,
    /// `ENOTEMPTY`.
    NotEmpty,
    /// `EOPNOTSUPP`.
    NotSupported,
    /// `ERANGE`.
    OutOfRange,
    /// `EADDRINUSE`.
    AddressInUse,
    /// `EADDRNOTAVAIL`.
    AddressNotAvailable,
    /// `ENETDOWN`.
    NetworkDown,
    /// `ENETUNREACH`.
    NetworkUnreachable,
    /// `ENOBUFS`.
    NoBuffers,
    /// `EHOSTUNREACH`.
    HostUnreachable,
    /// `EACCES`.
    NoAccess,
}

impl Errno {
    /// A refusal with this number, and what it means here.
    pub(super) const fn because(self, reason: &'static str) -> KernelRefusal {
        KernelRefusal { errno: self, reason }
    }

    /// The number that the kernel answers with.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::NoEntry => 2,
            Self::NoSuchRoute => 3,
            Self::NoAccess => 13,
            Self::Busy => 16,
            Self::Exists => 17,
            Self::NoDevice => 19,
            Self::Invalid => 22,
            Self::OutOfRange => 34,
            Self::NotEmpty => 39,
            Self::NotSupported => 95,
            Self::AddressInUse => 98,
            Self::AddressNotAvailable => 99,
            Self::NetworkDown => 100,
            Self::NetworkUnreachable => 101,
            Self::NoBuffers => 105,
            Self::HostUnreachable => 113,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::NotPermitted => "EPERM",
            Self::NoEntry => "ENOENT",
            Self::NoSuchRoute => "ESRCH",
            Self::NoAccess => "EACCES",
            Self::Busy => "EBUSY",
            Self::Exists => "EEXIST",
            Self::NoDevice => "ENODEV",
            Self::Invalid => "EINVAL",
            Self::OutOfRange => "ERANGE",
            Self::NotEmpty => "ENOTEMPTY",
            Self::NotSupported => "EOPNOTSUPP",
            Self::AddressInUse => "EADDRINUSE",
            Self::AddressNotAvailable => "EADDRNOTAVAIL",
            Self::NetworkDown => "ENETDOWN",
            Self::NetworkUnreachable => "ENETUNREACH",
            Self::NoBuffers => "ENOBUFS",
            Self::HostUnreachable => "EHOSTUNREACH",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
