//! RDMA devices of a network namespace, and whether the system keeps them apart.
//!
//! In the *exclusive* mode an RDMA device belongs to one network namespace and can be moved between
//! them, as the `rdma` plugin does; in the *shared* mode every namespace sees every device. The kernel
//! is spoken to over `NETLINK_RDMA` with [`neli`] (feature `rdma`); messages are those of
//! `include/uapi/rdma/rdma_netlink.h`. Invariants:
//!
//! 1. Hostile answers end in an error (`hostile_answers_end_in_an_error`).
//! 2. What is sent is what the kernel's header says (`requests_are_what_the_header_says`).
//!
//! ```no_run
//! use spiderpool_netlink::Namespace;
//! use spiderpool_netlink::rdma::{RdmaFault, RdmaSocket, SharingMode};
//!
//! let mut host = RdmaSocket::here()?;
//! assert_eq!(host.sharing_mode()?, SharingMode::Exclusive);
//! let pod = Namespace::by_path("/run/netns/pod-a")?;
//! for device in host.devices()? {
//!     host.move_device(&device, &pod)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fault;
mod message;
mod sysfs;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

use neli::consts::nl::NlmF;
use neli::consts::socket::NlFamily;
use neli::err::SocketError;
use neli::nl::{NlPayload, Nlmsghdr, NlmsghdrBuilder};
use neli::socket::synchronous::NlSocketHandle;
use neli::utils::Groups;

use crate::fault::Errno;
use crate::namespace::Namespace;
use crate::trial::{self, Way};

pub use fault::RdmaFault;
pub use message::{RdmaDevice, RdmaLink, SharingMode};
pub use sysfs::{BadDevice, Sysfs};

use message::{Attributes, Command, Request};

/// A socket for the RDMA devices of the namespace in which it was opened.
///
/// The kernel works a request off inside the send, so an answer is there when it returns.
pub struct RdmaSocket {
    handle: NlSocketHandle,
    sequence: u32,
}

impl fmt::Debug for RdmaSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RdmaSocket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl RdmaSocket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`RdmaFault::NotPresent`] on a kernel without RDMA; [`RdmaFault::NoSocket`].
    pub fn here() -> Result<Self, RdmaFault> {
        let handle = NlSocketHandle::connect(NlFamily::Rdma, None, Groups::empty())
            .map_err(|error| fault::no_socket(&error))?;
        handle.enable_ext_ack(true).map_err(|error| fault::no_socket(&error))?;
        Ok(Self { handle, sequence: 0 })
    }

    /// Whether each namespace has its own devices: `rdma system show netns`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault`].
    pub fn sharing_mode(&mut self) -> Result<SharingMode, RdmaFault> {
        let subject = "read the system's RDMA namespace mode";
        let answers = self.ask(subject, &Request::new(Command::SysGet), NlmF::ACK)?;
        answers
            .iter()
            .find_map(message::sharing_mode)
            .ok_or_else(|| fault::unreadable(subject, "the answer does not say the mode"))
    }

    /// Sets whether each namespace has its own devices: `rdma system set netns exclusive|shared`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault::Refused`]; with `EBUSY` while any other network namespace exists.
    pub fn set_sharing_mode(&mut self, mode: SharingMode) -> Result<(), RdmaFault> {
        let request = Request::new(Command::SysSet).mode(mode);
        self.change(&format!("set the system's RDMA namespace mode to {mode}"), &request)
    }

    /// The devices of this namespace, sorted by name: `rdma dev`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault`]; a list is whole or it is an error.
    pub fn devices(&mut self) -> Result<Vec<RdmaDevice>, RdmaFault> {
        let subject = "list the RDMA devices";
        let answers = self.ask(subject, &Request::new(Command::Get), NlmF::DUMP)?;
        let mut devices = answers
            .iter()
            .map(|answer| message::device(answer).map_err(|why| fault::unreadable(subject, why)))
            .collect::<Result<Vec<_>, _>>()?;
        devices.sort();
        Ok(devices)
    }

    /// The ports of a device with the network device behind each, sorted by port: `rdma link`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault`]; a list is whole or it is an error.
    pub fn links(&mut self, device: &RdmaDevice) -> Result<Vec<RdmaLink>, RdmaFault> {
        let subject = format!("list the ports of RDMA device `{}`", device.name);
        let request = Request::new(Command::PortGet).device(device.index);
        let answers = self.ask(&subject, &request, NlmF::DUMP)?;
        let mut links = answers
            .iter()
            .map(|answer| message::link(answer).map_err(|why| fault::unreadable(&subject, why)))
            .collect::<Result<Vec<_>, _>>()?;
        links.sort();
        Ok(links)
    }

    /// Moves a device of this namespace to another: `rdma dev set NAME netns NAMESPACE`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault::Refused`]: in shared mode, while somebody uses the device, when its driver cannot, or
    /// when the target has a device of that name.
    pub fn move_device(
        &mut self,
        device: &RdmaDevice,
        target: &Namespace,
    ) -> Result<(), RdmaFault> {
        let (name, path) = (&device.name, target.path().display());
        let subject = format!("move RDMA device `{name}` to the namespace at `{path}`");
        let fd = target.as_fd().as_raw_fd();
        let request = Request::new(Command::Set).device(device.index).namespace(fd);
        self.change(&subject, &request)
    }

    /// Renames a device of this namespace: `rdma dev set NAME name NEW`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault::Refused`]; a name is unique among all devices that one namespace sees.
    pub fn rename_device(&mut self, device: &RdmaDevice, name: &str) -> Result<(), RdmaFault> {
        let subject = format!("rename RDMA device `{}` to `{name}`", device.name);
        let request = Request::new(Command::Set).device(device.index).name(name);
        self.change(&subject, &request)
    }

    /// Makes a software device on a network device: `rdma link add NAME type KIND netdev NETDEV`.
    ///
    /// # Errors
    ///
    /// [`RdmaFault::Refused`].
    pub fn add_link(&mut self, name: &str, kind: &str, netdev: &str) -> Result<(), RdmaFault> {
        let subject = format!("make RDMA device `{name}` of kind `{kind}` on `{netdev}`");
        let request = Request::new(Command::NewLink).name(name).kind(kind).netdev(netdev);
        self.change(&subject, &request)
    }

    fn change(&mut self, subject: &str, request: &Request) -> Result<(), RdmaFault> {
        trial::change(subject, Way::Forth, || self.ask(subject, request, NlmF::ACK).map(drop))
    }

    fn ask(
        &mut self,
        subject: &str,
        request: &Request,
        flags: NlmF,
    ) -> Result<Vec<Attributes>, RdmaFault> {
        self.sequence = self.sequence.wrapping_add(1);
        let attributes = request.attributes().map_err(|why| fault::unreadable(subject, why))?;
        let message = NlmsghdrBuilder::default()
            .nl_type(request.command)
            .nl_flags(NlmF::REQUEST | flags)
            .nl_seq(self.sequence)
            .nl_payload(NlPayload::Payload(attributes))
            .build()
            .map_err(|error| fault::unreadable(subject, error.to_string()))?;
        self.handle.send(&message).map_err(|error| fault::lost(subject, &error))?;
        self.gather(subject)
    }

    fn gather(&self, subject: &str) -> Result<Vec<Attributes>, RdmaFault> {
        let mut answers = Vec::new();
        loop {
            let (messages, _) = match self.handle.recv::<Command, Attributes>() {
                Ok(received) => received,
                Err(SocketError::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                    continue;
                }
                Err(error) => return Err(fault::lost(subject, &error)),
            };
            for message in messages {
                let message = message.map_err(|error| fault::lost(subject, &error))?;
                if *message.nl_seq() == self.sequence && !take(subject, message, &mut answers)? {
                    return Ok(answers);
                }
            }
        }
    }
}

/// Takes one message in; says whether more will come.
fn take(
    subject: &str,
    mut message: Nlmsghdr<Command, Attributes>,
    answers: &mut Vec<Attributes>,
) -> Result<bool, RdmaFault> {
    if let Some(error) = message.get_err() {
        return Err(fault::refused(subject, *error.error(), error.ext_ack()));
    }
    match message.nl_payload() {
        NlPayload::Payload(attributes) => {
            answers.push(attributes.clone());
            Ok(true)
        }
        NlPayload::DumpExtAck(end) if *end.error() < 0 => {
            Err(fault::refused(subject, *end.error(), end.ext_ack()))
        }
        NlPayload::Ack(_) | NlPayload::DumpExtAck(_) | NlPayload::Empty | NlPayload::Err(_) => {
            Ok(false)
        }
    }
}

/// An error number as the kernel has it in messages: negative.
fn errno(code: i32) -> Errno {
    Errno(code.saturating_neg())
}
