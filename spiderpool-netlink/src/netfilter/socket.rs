//! A netfilter socket: one request, listing or transaction at a time, each followed to its end.
//!
//! `marks` and `connections` ask through it. It belongs for ever to the network namespace of the
//! thread that opened it. Its limits are those of the route socket: a listing that was overtaken is
//! read again, a call that a signal interrupted is made again, no wait for a datagram is endless,
//! and only the kernel is listened to. Every change passes `send_change`, and nothing else does.

use std::collections::BTreeSet;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::message::{Answer, Message};
use super::talk::{Outcome, Talk};
use crate::fault::{Errno, NetlinkFault};
use crate::socket::{
    DATAGRAM_LEN, MOST_READINGS, MOST_WAIT, not_received, open_bound, refused, uninterrupted,
    unreadable,
};

/// A netfilter socket in one network namespace.
///
/// The kernel answers it, questions included, only for whoever has `CAP_NET_ADMIN` in the user
/// namespace that owns the network namespace.
#[derive(Debug)]
pub struct NetfilterSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
    wait: Duration,
}

/// One message of a transaction, and what it does, to complete "cannot …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) subject: String,
    pub(super) message: Message,
}

impl NetfilterSocket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::NoSocket`] if no socket can be had; its number is
    /// [`Errno::EPROTONOSUPPORT`] on a kernel without netfilter's netlink, where there are neither
    /// tables nor tracked connections ([`NetfilterSocket::here_if_any`]).
    pub fn here() -> Result<Self, NetlinkFault> {
        let no_socket = |errno| NetlinkFault::NoSocket { errno };
        let socket = open_bound(NETLINK_NETFILTER).map_err(|error| no_socket(Errno::of(&error)))?;
        let wait = MOST_WAIT;
        let limit = TimeVal::new(wait.as_secs().cast_signed(), wait.subsec_micros().into());
        setsockopt(&socket, sockopt::ReceiveTimeout, &limit)
            .map_err(|errno| no_socket(errno.into()))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(DATAGRAM_LEN), wait })
    }

    /// Opens a socket in the network namespace of the calling thread; nothing on a kernel without
    /// netfilter's netlink.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::NoSocket`] for any other reason.
    pub fn here_if_any() -> Result<Option<Self>, NetlinkFault> {
        match Self::here() {
            Err(fault) if fault.errno() == Some(Errno::EPROTONOSUPPORT) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Asks for one thing, and gives what the kernel answered before its acknowledgement.
    pub(super) fn request(
        &mut self,
        subject: &str,
        message: Message,
    ) -> Result<Vec<Answer>, NetlinkFault> {
        let sequence = self.next();
        let bytes = acknowledged(message).bytes(sequence);
        self.send(subject, &bytes)?;
        let outcome = self.follow(subject, Talk::request(sequence), &|_| true)?;
        ended(subject, outcome)
    }

    /// Lists all objects of a kind, and keeps those that are wanted.
    pub(super) fn dump(
        &mut self,
        subject: &str,
        message: &Message,
        wanted: &dyn Fn(&Answer) -> bool,
    ) -> Result<Vec<Answer>, NetlinkFault> {
        let message = message.clone().with_flags(NLM_F_DUMP);
        for _ in 0..MOST_READINGS {
            let sequence = self.next();
            self.send(subject, &message.bytes(sequence))?;
            let outcome = self.follow(subject, Talk::request(sequence), wanted)?;
            if outcome != Outcome::Interrupted {
                return ended(subject, outcome);
            }
        }
        Err(NetlinkFault::Unsettled { subject: subject.into(), attempts: MOST_READINGS })
    }

    /// Changes one thing that is not in nftables, which takes transactions only.
    pub(super) fn change(&mut self, subject: &str, message: Message) -> Result<(), NetlinkFault> {
        let sequence = self.next();
        let bytes = acknowledged(message).bytes(sequence);
        self.send_change(subject, &bytes)?;
        let outcome = self.follow(subject, Talk::request(sequence), &|_| false)?;
        ended(subject, outcome).map(drop)
    }

    /// Changes nftables, by all steps or by none.
    pub(super) fn transact(&mut self, subject: &str, steps: &[Step]) -> Result<(), NetlinkFault> {
        let opening = self.next();
        let mut bytes = Message::batch_begin().bytes(opening);
        let mut numbers = BTreeSet::new();
        for step in steps {
            let sequence = self.next();
            bytes.extend(acknowledged(step.message.clone()).bytes(sequence));
            numbers.insert(sequence);
        }
        bytes.extend(Message::batch_end().bytes(self.next()));
        let step_of = numbers.iter().copied().zip(steps).collect::<Vec<_>>();
        self.send_change(subject, &bytes)?;
        let outcome = self.follow(subject, Talk::transaction(opening, numbers), &|_| false)?;
        let refused_step = match &outcome {
            Outcome::Refused(at, _) => step_of.iter().find(|(number, _)| number == at),
            Outcome::Answered(_) | Outcome::Interrupted | Outcome::Unreadable(_) => None,
        };
        let subject = refused_step.map_or(subject, |(_, step)| step.subject.as_str());
        ended(subject, outcome).map(drop)
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// The one place where a change leaves for the kernel.
    fn send_change(&self, subject: &str, bytes: &[u8]) -> Result<(), NetlinkFault> {
        self.send(subject, bytes)
    }

    fn send(&self, subject: &str, bytes: &[u8]) -> Result<(), NetlinkFault> {
        uninterrupted(|| self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)).map(drop).map_err(
            |error| NetlinkFault::NotSent { subject: subject.into(), errno: Errno::of(&error) },
        )
    }

    fn follow(
        &mut self,
        subject: &str,
        mut talk: Talk,
        wanted: &dyn Fn(&Answer) -> bool,
    ) -> Result<Outcome, NetlinkFault> {
        loop {
            if self.receive(subject)?
                && let Some(outcome) = talk.take(&self.buffer, wanted)
            {
                return Ok(outcome);
            }
        }
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

fn acknowledged(message: Message) -> Message {
    let flags = message.flags | NLM_F_ACK;
    message.with_flags(flags)
}

fn ended(subject: &str, outcome: Outcome) -> Result<Vec<Answer>, NetlinkFault> {
    match outcome {
        Outcome::Answered(answers) => Ok(answers),
        Outcome::Refused(_, no) => Err(refused(subject, no)),
        Outcome::Interrupted => {
            Err(NetlinkFault::Unsettled { subject: subject.into(), attempts: 1 })
        }
        Outcome::Unreadable(reason) => Err(unreadable(subject, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{GET_GENERATION, UNSPECIFIED};
    use super::*;
    use crate::frame::No;

    #[test]
    fn every_end_is_told_with_its_subject() {
        let no = No { errno: libc::EEXIST, text: None, offset: Some(20) };
        let refusal = ended("add it", Outcome::Refused(2, no)).unwrap_err();
        assert_eq!(
            refusal,
            NetlinkFault::Refused {
                subject: "add it".into(),
                errno: Errno::EEXIST,
                text: None,
                offset: Some(20),
            }
        );
        let unsettled = ended("list it", Outcome::Interrupted).unwrap_err();
        assert_eq!(unsettled, NetlinkFault::Unsettled { subject: "list it".into(), attempts: 1 });
    }

    #[test]
    fn a_request_asks_for_its_acknowledgement() {
        let asked = acknowledged(Message::new(GET_GENERATION, UNSPECIFIED, &[]).with_flags(0x400));
        assert_eq!(asked.flags, 0x400 | NLM_F_ACK);
    }
}
