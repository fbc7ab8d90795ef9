//! What can go wrong between us and the kernel's RDMA part.

use neli::consts::nl::NlmsgerrAttr;
use neli::err::SocketError;
use neli::types::{Buffer, GenlBuffer};

use crate::fault::Errno;

/// Why a request about RDMA devices did not give what was asked.
///
/// `subject` completes "cannot …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdmaFault {
    /// The kernel has no RDMA.
    #[error(
        "this kernel has no RDMA: load the module ib_core, or run on a node with an RDMA driver"
    )]
    NotPresent,
    /// No socket could be had.
    #[error("cannot open an RDMA socket: {errno}; is AF_NETLINK filtered by seccomp?")]
    NoSocket {
        /// The answer of `socket(2)`, `bind(2)` or `setsockopt(2)`.
        errno: Errno,
    },
    /// The kernel said no.
    #[error("cannot {subject}: the kernel answered {errno}{}; {}", said(text.as_deref()), advice(*errno))]
    Refused {
        /// What was asked.
        subject: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own words, if it had any.
        text: Option<String>,
    },
    /// The request or its answer was lost on the way.
    #[error("cannot {subject}: {why}; try again")]
    Lost {
        /// What was asked.
        subject: String,
        /// What was in the way.
        why: String,
    },
    /// An answer came that makes no sense to us.
    #[error("cannot {subject}: the answer is not understood ({why}); report this kernel's version")]
    Unreadable {
        /// What was asked.
        subject: String,
        /// What was wrong with it.
        why: String,
    },
}

impl RdmaFault {
    /// The kernel's error number, if it gave one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::NoSocket { errno } | Self::Refused { errno, .. } => Some(*errno),
            Self::NotPresent | Self::Lost { .. } | Self::Unreadable { .. } => None,
        }
    }
}

impl crate::trial::Refused for RdmaFault {
    fn refused(subject: &str, text: &str) -> Self {
        Self::Refused { subject: subject.into(), errno: Errno::EIO, text: Some(text.into()) }
    }
}

fn said(text: Option<&str>) -> String {
    text.map(|text| format!(" (\"{text}\")")).unwrap_or_default()
}

/// `EPROTONOSUPPORT`: no such netlink family.
const NO_FAMILY: i32 = 93;
/// `ENFILE`: what the kernel says of a name that is taken.
const NAME_TAKEN: Errno = Errno(23);

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EBUSY => {
            "the mode can be changed only while no other network namespace exists (at boot: \
             `options ib_core netns_mode=0`), and a device be moved only while nobody uses it"
        }
        Errno::EOPNOTSUPP => {
            "is the system in exclusive mode (`rdma system show`), and can this driver move its devices?"
        }
        Errno::EEXIST | NAME_TAKEN => "a device of that name is already there: rename one of them",
        Errno::EPERM | Errno::EACCES => "it takes CAP_NET_ADMIN in both namespaces",
        Errno::ENODEV | Errno::EINVAL | Errno::ENOENT => {
            "is the device in this namespace? see `rdma dev`"
        }
        _ => "compare with what `rdma dev` shows",
    }
}

pub(super) fn no_socket(error: &SocketError) -> RdmaFault {
    match raw(error) {
        Some(NO_FAMILY) => RdmaFault::NotPresent,
        number => RdmaFault::NoSocket { errno: Errno(number.unwrap_or(5)) },
    }
}

pub(super) fn lost(subject: &str, error: &SocketError) -> RdmaFault {
    let why = match raw(error) {
        Some(number) => Errno(number).to_string(),
        None => error.to_string(),
    };
    RdmaFault::Lost { subject: subject.into(), why }
}

pub(super) fn unreadable(subject: &str, why: impl Into<String>) -> RdmaFault {
    RdmaFault::Unreadable { subject: subject.into(), why: why.into() }
}

pub(super) fn refused(
    subject: &str,
    code: i32,
    details: &GenlBuffer<NlmsgerrAttr, Buffer>,
) -> RdmaFault {
    let text = details.iter().find_map(|attribute| {
        let is_text = *attribute.nla_type().nla_type() == NlmsgerrAttr::Msg;
        is_text.then(|| text(attribute.nla_payload().as_ref()))
    });
    RdmaFault::Refused { subject: subject.into(), errno: super::errno(code), text }
}

/// Bytes up to the first NUL as text.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn raw(error: &SocketError) -> Option<i32> {
    if let SocketError::Io(error) = error { error.raw_os_error() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let busy = RdmaFault::Refused {
            subject: "set the system's RDMA namespace mode to exclusive".into(),
            errno: Errno::EBUSY,
            text: None,
        };
        let text = busy.to_string();
        assert!(text.starts_with("cannot set the system's RDMA namespace mode to exclusive: "));
        assert!(text.contains("EBUSY") && text.contains("netns_mode=0"), "{text}");
    }

    #[test]
    fn a_kernel_without_rdma_is_told_from_other_failures() {
        let of = |number| SocketError::from(std::io::Error::from_raw_os_error(number));
        assert_eq!(no_socket(&of(NO_FAMILY)), RdmaFault::NotPresent);
        assert_eq!(no_socket(&of(24)), RdmaFault::NoSocket { errno: Errno(24) });
    }
}
