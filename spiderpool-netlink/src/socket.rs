//! A blocking route socket: one request at a time, each followed to its end.
//!
//! [`Session`](crate::Session) owns one. A netlink socket belongs for ever to the network namespace
//! of the thread that opened it. Invariants:
//!
//! 1. A listing that was overtaken by changes is read again after a pause, at most [`MOST_LISTINGS`]
//!    times (`lists_taken_amid_changes_are_whole_or_errors`, `pauses_between_listings_grow_and_end`).
//! 2. A call that a signal interrupted is made again (`calls_are_made_again_after_a_signal`).
//! 3. No wait for a datagram is longer than [`MOST_WAIT`] (`silence_ends`).
//! 4. Only the kernel is listened to, not other processes (`other_processes_are_not_listened_to`).

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::conversation::{Conversation, Outcome};
use crate::fault::{Errno, NetlinkFault};
use crate::frame::No;

/// The longest wait for one datagram. The kernel works a request off inside the send, so a wait at
/// all means a long listing; five seconds is far beyond any seen.
pub(crate) const MOST_WAIT: Duration = Duration::from_secs(5);

/// How often a listing is read before its changes win.
pub(crate) const MOST_READINGS: u32 = 8;

/// How often a listing of links, addresses or routes is read before its changes win. While many pods come
/// at once the node's links change every few milliseconds, and a listing of hundreds of links takes about
/// as long (`a_hundred_pods_come_and_go_at_once` of the chains met eight in a row).
pub(crate) const MOST_LISTINGS: u32 = 64;

/// The longest pause before a listing is read again; the first is a 64th of it.
const MOST_PAUSE: Duration = Duration::from_millis(32);

/// Bytes for one datagram: the kernel fills at most 32 KiB of a listing at once
/// (`netlink_dump` in `net/netlink/af_netlink.c`); a single object may be larger.
pub(crate) const DATAGRAM_LEN: usize = 64 * 1024;

/// An open route socket.
#[derive(Debug)]
pub(crate) struct RouteSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
    wait: Duration,
}

impl RouteSocket {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, NetlinkFault> {
        Self::open_with(MOST_WAIT)
    }

    fn open_with(wait: Duration) -> Result<Self, NetlinkFault> {
        let no_socket = |errno| NetlinkFault::NoSocket { errno };
        let socket = open_bound(NETLINK_ROUTE).map_err(|error| no_socket(Errno::of(&error)))?;
        let limit = TimeVal::new(wait.as_secs().cast_signed(), wait.subsec_micros().into());
        setsockopt(&socket, sockopt::ReceiveTimeout, &limit)
            .map_err(|errno| no_socket(errno.into()))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(DATAGRAM_LEN), wait })
    }

    /// How many requests were sent, listings and those that failed included.
    pub(crate) fn round_trips(&self) -> u32 {
        self.sequence
    }

    /// Asks for one thing, and gives what the kernel answered before its acknowledgement.
    pub(crate) fn request(
        &mut self,
        subject: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkFault> {
        match self.converse(subject, message, NLM_F_REQUEST | NLM_F_ACK | flags)? {
            Outcome::Answered(messages) => Ok(messages),
            Outcome::Refused(no) => Err(refused(subject, no)),
            Outcome::Interrupted => {
                Err(NetlinkFault::Unsettled { subject: subject.into(), attempts: 1 })
            }
            Outcome::Unreadable(reason) => Err(unreadable(subject, reason)),
        }
    }

    /// Lists all objects of a kind; `message` is the question, which may filter.
    pub(crate) fn dump(
        &mut self,
        subject: &str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkFault> {
        for reading in 0..MOST_LISTINGS {
            match self.converse(subject, message.clone(), NLM_F_REQUEST | NLM_F_DUMP)? {
                Outcome::Answered(messages) => return Ok(messages),
                Outcome::Refused(no) => return Err(refused(subject, no)),
                Outcome::Unreadable(reason) => return Err(unreadable(subject, reason)),
                Outcome::Interrupted => std::thread::sleep(pause_after(reading)),
            }
        }
        Err(NetlinkFault::Unsettled { subject: subject.into(), attempts: MOST_LISTINGS })
    }

    fn converse(
        &mut self,
        subject: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Outcome, NetlinkFault> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(subject, message, flags)?;
        let mut conversation = Conversation::new(self.sequence);
        loop {
            if self.receive(subject)?
                && let Some(outcome) = conversation.take(&self.buffer)
            {
                return Ok(outcome);
            }
        }
    }

    fn send(
        &self,
        subject: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkFault> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        uninterrupted(|| self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)).map(drop).map_err(
            |error| NetlinkFault::NotSent { subject: subject.into(), errno: Errno::of(&error) },
        )
    }

    /// Receives one datagram into the buffer; says whether it came from the kernel.
    fn receive(&mut self, subject: &str) -> Result<bool, NetlinkFault> {
        self.buffer.clear();
        let Self { socket, buffer, wait, .. } = self;
        let (length, sender) = uninterrupted(|| socket.recv_from(buffer, libc::MSG_TRUNC))
            .map_err(|error| not_received(subject, &error, *wait))?;
        if length > self.buffer.len() {
            return Err(unreadable(subject, format!("a datagram of {length} bytes is too long")));
        }
        Ok(sender.port_number() == 0)
    }
}

/// How long to wait after a reading that was overtaken: twice as long each time, up to [`MOST_PAUSE`].
fn pause_after(reading: u32) -> Duration {
    MOST_PAUSE / 64 * (1 << reading.min(6))
}

pub(crate) fn open_bound(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    // Kernels before 4.12 (extended text) and 4.20 (strict filters) answer without them.
    tolerate_unknown_option(socket.set_ext_ack(true))?;
    tolerate_unknown_option(socket.set_cap_ack(true))?;
    tolerate_unknown_option(socket.set_netlink_get_strict_chk(true))?;
    Ok(socket)
}

fn tolerate_unknown_option(answer: io::Result<()>) -> io::Result<()> {
    match answer {
        Err(error) if Errno::of(&error) == Errno::ENOPROTOOPT => Ok(()),
        other => other,
    }
}

pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

pub(crate) fn not_received(subject: &str, error: &io::Error, wait: Duration) -> NetlinkFault {
    let subject = subject.to_owned();
    if error.kind() == io::ErrorKind::WouldBlock {
        let waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        return NetlinkFault::Silent { subject, waited_ms };
    }
    NetlinkFault::NotReceived { subject, errno: Errno::of(error) }
}

pub(crate) fn refused(subject: &str, no: No) -> NetlinkFault {
    NetlinkFault::Refused {
        subject: subject.into(),
        errno: Errno(no.errno),
        text: no.text,
        offset: no.offset,
    }
}

pub(crate) fn unreadable(subject: &str, reason: String) -> NetlinkFault {
    NetlinkFault::Unreadable { subject: subject.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_made_again_after_a_signal() {
        let mut left = 3;
        let answer = uninterrupted(|| {
            left -= 1;
            if left == 0 { Ok("through") } else { Err(io::ErrorKind::Interrupted.into()) }
        });
        assert_eq!(answer.unwrap(), "through");
    }

    #[test]
    fn pauses_between_listings_grow_and_end() {
        let pauses: Vec<Duration> = (0..MOST_LISTINGS).map(pause_after).collect();
        assert!(pauses.is_sorted() && pauses[0] < Duration::from_millis(1));
        assert_eq!(pauses.last(), Some(&MOST_PAUSE));
        assert!(pauses.iter().sum::<Duration>() < Duration::from_secs(3));
    }

    #[test]
    fn silence_ends() {
        let mut socket = RouteSocket::open_with(Duration::from_millis(30)).unwrap();
        let silent = socket.receive("list the links").unwrap_err();
        let subject = "list the links".into();
        assert_eq!(silent, NetlinkFault::Silent { subject, waited_ms: 30 });
    }

    #[test]
    fn failures_keep_their_number() {
        let lost = io::Error::from_raw_os_error(libc::ENOBUFS);
        let fault = not_received("list the links", &lost, MOST_WAIT);
        assert_eq!(fault.errno(), Some(Errno(libc::ENOBUFS)));
    }

    #[test]
    #[ignore = "host tier: needs root and iproute2"]
    fn other_processes_are_not_listened_to() {
        if std::env::var_os("SPIDERPOOL_SKIP_HOST_TIER").is_some_and(|value| value == "1") {
            eprintln!("SKIPPED: SPIDERPOOL_SKIP_HOST_TIER=1");
            return;
        }
        let mut ours = RouteSocket::open_with(Duration::from_millis(500)).unwrap();
        let mut address = SocketAddr::new(0, 0);
        ours.socket.get_address(&mut address).unwrap();
        let other = RouteSocket::open().unwrap();
        other.socket.send_to(&[0; 16], &address, 0).expect("sending to a process takes root");
        assert!(!ours.receive("list the links").unwrap());
    }

    #[test]
    fn unknown_options_are_tolerated_and_no_others() {
        let unknown = io::Error::from_raw_os_error(libc::ENOPROTOOPT);
        assert!(tolerate_unknown_option(Err(unknown)).is_ok());
        assert!(tolerate_unknown_option(Err(io::Error::from_raw_os_error(libc::EPERM))).is_err());
    }
}
