//! Why a link could not be asked or told: the world's fault, never a finding.

use super::announce::NotOwn;
use crate::fault::{Errno, NetlinkFault};

/// Why nothing can be said of the addresses, or nothing was announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFault {
    /// There is no such link in this namespace, or it went away meanwhile.
    #[error("cannot probe on `{link}`: it is not in this network namespace; was it removed?")]
    NoLink {
        /// Its name.
        link: String,
    },
    /// It is no Ethernet device, so neither ARP nor neighbour discovery is spoken as it is here.
    #[error(
        "cannot probe on `{link}`: it is no Ethernet device; turn detection off for its network"
    )]
    NotEthernet {
        /// Its name.
        link: String,
    },
    /// The link is down, or was set down meanwhile (`ENETDOWN`).
    #[error("cannot probe on `{link}`: it is down; set it up and try again")]
    LinkDown {
        /// Its name.
        link: String,
    },
    /// Nothing leaves the link.
    #[error(
        "cannot probe on `{link}`: it has no carrier after {waited_ms} ms; is its cable plugged in, \
         and the link that it rests on up?"
    )]
    NoCarrier {
        /// Its name.
        link: String,
        /// How long it was waited for, in milliseconds.
        waited_ms: u64,
    },
    /// A call on the packet socket failed.
    #[error(
        "cannot {what} on `{link}`: {errno}; it takes CAP_NET_RAW in the namespace's user namespace"
    )]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The link.
        link: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The links could not be listed.
    #[error("cannot probe on `{link}`")]
    Netlink {
        /// The link.
        link: String,
        /// What went wrong.
        source: NetlinkFault,
    },
    /// An address is not the NIC's own.
    #[error(transparent)]
    NotOwn(#[from] NotOwn),
}
