//! A packet socket on one link, which hears ARP and neighbour discovery and nothing else.
//!
//! Opened by the loops in `run`. It hears from the moment it is open, so whoever sends a question
//! afterwards misses no answer. A BPF program in the kernel leaves out other traffic and frames of a
//! VLAN, which belong to other links although the kernel shows them without their tag; a tag that
//! carries a priority and no VLAN is the link's own, as it is to the kernel
//! (`a_tagged_answer_is_another_networks`).

use super::fault::ProbeFault;
use super::target::Mac;
use crate::fault::Errno;
use nix::errno::Errno as Raw;
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send,
    setsockopt, socket, sockopt,
};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// `ARPHRD_ETHER` of `include/uapi/linux/if_arp.h`.
const ETHERNET: u16 = 1;

/// `PACKET_OUTGOING` of `include/uapi/linux/if_packet.h`: what this host sends.
const OUTGOING: u8 = 4;

/// Enough for any ARP or neighbour discovery frame of the sizes that carry meaning here.
const FRAME_LEN: usize = 2048;

#[derive(Debug, Clone, Copy)]
struct AttachFilter;
nix::setsockopt_impl!(
    AttachFilter,
    libc::SOL_SOCKET,
    libc::SO_ATTACH_FILTER,
    libc::sock_fprog,
    sockopt::SetStruct<libc::sock_fprog>
);

#[derive(Debug, Clone, Copy)]
struct JoinGroup;
nix::setsockopt_impl!(
    JoinGroup,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq,
    sockopt::SetStruct<libc::packet_mreq>
);

/// An open packet socket on a link.
#[derive(Debug)]
pub(super) struct Ears {
    socket: OwnedFd,
    link: String,
    index: usize,
    mac: Mac,
    buffer: Vec<u8>,
}

/// Whether the link took a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Taken,
    /// Its queue is full, or it has no carrier.
    Refused,
}

impl Ears {
    /// Opens a socket on a link of the calling thread's network namespace.
    pub(super) fn open(link: &str) -> Result<Self, ProbeFault> {
        let fault = |what| move |errno| socket_fault(what, link, errno);
        let name = find(link)?;
        let no_ethernet = || ProbeFault::NotEthernet { link: link.into() };
        let mac = name.addr().filter(|_| name.hatype() == ETHERNET).ok_or_else(no_ethernet)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
            .map_err(fault("open a packet socket"))?;
        attach_filter(&socket).map_err(fault("filter frames"))?;
        // The address has no protocol in it; the kernel then keeps the socket's own.
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &name).map_err(fault("listen"))?;
        let (index, link) = (name.ifindex(), link.to_owned());
        let mut ears = Self { socket, link, index, mac: Mac(mac), buffer: vec![0; FRAME_LEN] };
        // Before the filter and the binding, frames of any kind and link came in.
        while ears.raw_receive()?.is_some() {}
        Ok(ears)
    }

    /// The link's own MAC.
    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Hears a multicast group too, for as long as this is open.
    pub(super) fn join(&self, group: Mac) -> Result<(), ProbeFault> {
        let fault = |errno| socket_fault("join a multicast group", &self.link, errno);
        let [a, b, c, d, e, g] = group.0;
        let membership = libc::packet_mreq {
            mr_ifindex: i32::try_from(self.index).map_err(|_| fault(Raw::EOVERFLOW))?,
            mr_type: u16::try_from(libc::PACKET_MR_MULTICAST).unwrap_or_default(),
            mr_alen: 6,
            mr_address: [a, b, c, d, e, g, 0, 0],
        };
        setsockopt(&self.socket, JoinGroup, &membership).map_err(fault)
    }

    /// Sends a frame.
    pub(super) fn send(&self, frame: &[u8]) -> Result<Sent, ProbeFault> {
        loop {
            let socket = std::os::fd::AsRawFd::as_raw_fd(&self.socket);
            match send(socket, frame, MsgFlags::MSG_DONTWAIT) {
                Ok(_) => return Ok(Sent::Taken),
                Err(Raw::EINTR) => {}
                Err(Raw::ENOBUFS | Raw::EAGAIN) => return Ok(Sent::Refused),
                Err(errno) => return Err(socket_fault("send a frame", &self.link, errno)),
            }
        }
    }

    /// The next frame that came from others; `None` when all were read.
    pub(super) fn hear(&mut self) -> Result<Option<&[u8]>, ProbeFault> {
        loop {
            let Some((length, sender)) = self.raw_receive()? else { return Ok(None) };
            let is_ours = sender
                .is_some_and(|from| from.ifindex() == self.index && from.pkttype() != OUTGOING);
            if is_ours {
                return Ok(self.buffer.get(..length));
            }
        }
    }

    fn raw_receive(&mut self) -> Result<Option<(usize, Option<LinkAddr>)>, ProbeFault> {
        loop {
            let socket = std::os::fd::AsRawFd::as_raw_fd(&self.socket);
            match recvfrom::<LinkAddr>(socket, &mut self.buffer) {
                Ok(received) => return Ok(Some(received)),
                Err(Raw::EINTR) => {}
                Err(Raw::EAGAIN) => return Ok(None),
                Err(errno) => return Err(socket_fault("listen", &self.link, errno)),
            }
        }
    }

    /// Waits until there is something to hear, a signal came or the time is over.
    pub(super) fn wait(&self, time: Duration) -> Result<(), ProbeFault> {
        let ms = time.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Raw::EINTR) => Ok(()),
            Err(errno) => Err(socket_fault("wait", &self.link, errno)),
        }
    }
}

/// The link's own address as the kernel lists it: the one way to have one without `unsafe`.
fn find(link: &str) -> Result<LinkAddr, ProbeFault> {
    let all = getifaddrs().map_err(|errno| socket_fault("list the links", link, errno))?;
    all.filter(|entry| entry.interface_name == link)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| ProbeFault::NoLink { link: link.into() })
}

fn socket_fault(what: &'static str, link: &str, errno: Raw) -> ProbeFault {
    let link = link.to_owned();
    if errno == Raw::ENETDOWN {
        ProbeFault::LinkDown { link }
    } else if matches!(errno, Raw::ENXIO | Raw::ENODEV) {
        ProbeFault::NoLink { link }
    } else {
        ProbeFault::Socket { what, link, errno: Errno::from(errno) }
    }
}

/// Lets ARP of no VLAN, and ICMPv6 of no VLAN and the two neighbour discovery types through.
///
/// The kernel copies the program within the call, so the pointer to it never outlives it.
fn attach_filter(socket: &OwnedFd) -> nix::Result<()> {
    let mut program = program();
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Raw::EINVAL)?,
        filter: program.as_mut_ptr(),
    };
    setsockopt(socket, AttachFilter, &program)
}

/// Classic BPF (`Documentation/networking/filter.rst` of the kernel). Jumps count from the next line.
///
/// Whether there is a tag is asked apart from what it says: kernels leave the last tag's number in a
/// packet that has none. VLAN 0 is none (IEEE 802.1Q, section 9.6, and `__netif_receive_skb_core` in
/// the kernel's `net/core/dev.c`); switches and NICs that carry priorities send it.
fn program() -> [libc::sock_filter; 15] {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const EQUAL: u16 = 0x15;
    const AND: u16 = 0x54;
    const RETURN: u16 = 0x06;
    /// `SKF_AD_OFF + SKF_AD_VLAN_TAG`.
    const VLAN_TAG: u32 = 0xffff_f000 + 44;
    /// `SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT`.
    const VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;
    let line = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    [
        line(LOAD_WORD, VLAN_TAG_PRESENT, 0, 0),
        line(EQUAL, 0, 3, 0),
        line(LOAD_WORD, VLAN_TAG, 0, 0),
        line(AND, 0x0fff, 0, 0),
        line(EQUAL, 0, 0, 9),
        line(LOAD_HALF, 12, 0, 0),
        line(EQUAL, 0x0806, 6, 0),
        line(EQUAL, 0x86dd, 0, 6),
        line(LOAD_BYTE, 20, 0, 0),
        line(EQUAL, 58, 0, 4),
        line(LOAD_BYTE, 54, 0, 0),
        line(EQUAL, 135, 1, 0),
        line(EQUAL, 136, 0, 1),
        line(RETURN, 0xffff, 0, 0),
        line(RETURN, 0, 0, 0),
    ]
}
