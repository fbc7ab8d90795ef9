//! Follows one request through the kernel's datagrams, and says how it ended.
//!
//! `socket` feeds it whatever arrives; there is no input or output here, so that every course a
//! conversation can take is a test. Invariants:
//!
//! 1. Only frames with the request's sequence number count
//!    (`frames_of_other_requests_are_passed_over`).
//! 2. A message that cannot be read does not end a dump early: the dump is followed to its end, so
//!    that the socket can be used again, and then it fails (`an_unreadable_message_fails_at_the_end`).
//! 3. No datagram makes it panic (`hostile_conversations_end`).
//! 4. Messages are read when all of them are there: the kernel takes a listing that spans several
//!    datagrams as overtaken if anything changes between two of them, so that time is kept short, and a
//!    listing that was overtaken is not read at all (`an_interrupted_dump_is_no_answer`).

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::RouteNetlinkMessage;

use crate::frame::{DUMP_INTERRUPTED, Frame, No, acknowledgement, frames, last_of_dump};

/// `NLMSG_NOOP`.
pub(crate) const NOOP: u16 = 1;
/// `NLMSG_ERROR`: an acknowledgement, or a refusal.
pub(crate) const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub(crate) const DONE: u16 = 3;
/// `NLMSG_OVERRUN`: data was lost.
pub(crate) const OVERRUN: u16 = 4;

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that the kernel answered, in its order.
    Answered(Vec<RouteNetlinkMessage>),
    /// The kernel said no.
    Refused(No),
    /// The listing was overtaken by changes and may lack or repeat objects.
    Interrupted,
    /// Something came that makes no sense.
    Unreadable(String),
}

/// One request, from its sending to its end.
#[derive(Debug)]
pub(crate) struct Conversation {
    sequence: u32,
    /// The type and body of each message so far.
    bodies: Vec<(u16, Vec<u8>)>,
    interrupted: bool,
}

impl Conversation {
    pub(crate) fn new(sequence: u32) -> Self {
        Self { sequence, bodies: Vec::new(), interrupted: false }
    }

    /// Takes one datagram in, and gives the outcome if that was the last.
    pub(crate) fn take(&mut self, datagram: &[u8]) -> Option<Outcome> {
        for frame in frames(datagram) {
            let frame = match frame {
                Ok(frame) => frame,
                // Where the next frame starts is lost, and so is the end: waiting for it is vain.
                Err(reason) => return Some(Outcome::Unreadable(reason)),
            };
            if frame.sequence == self.sequence
                && let Some(outcome) = self.take_frame(&frame)
            {
                return Some(outcome);
            }
        }
        None
    }

    fn take_frame(&mut self, frame: &Frame<'_>) -> Option<Outcome> {
        self.interrupted |= frame.flags & DUMP_INTERRUPTED != 0;
        match frame.kind {
            NOOP => None,
            ERROR => Some(self.end(acknowledgement(frame))),
            DONE => Some(self.end(last_of_dump(frame))),
            OVERRUN => Some(Outcome::Unreadable("the kernel dropped part of the answer".into())),
            _ => {
                self.bodies.push((frame.kind, frame.body.to_vec()));
                None
            }
        }
    }

    fn end(&mut self, answer: Result<Option<No>, String>) -> Outcome {
        match answer {
            Err(reason) => Outcome::Unreadable(reason),
            Ok(Some(no)) => Outcome::Refused(no),
            Ok(None) if self.interrupted => Outcome::Interrupted,
            Ok(None) => match self.bodies.iter().map(read).collect() {
                Ok(messages) => Outcome::Answered(messages),
                Err(reason) => Outcome::Unreadable(reason),
            },
        }
    }
}

fn read((kind, body): &(u16, Vec<u8>)) -> Result<RouteNetlinkMessage, String> {
    let mut header = NetlinkHeader::default();
    header.message_type = *kind;
    RouteNetlinkMessage::deserialize(&header, body)
        .map_err(|error| format!("message of type {kind}: {error}"))
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_MULTIPART, NetlinkSerializable};
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    use proptest::prelude::*;

    use super::*;
    use crate::frame::tests::{error_body, frame};

    const NEW_LINK: u16 = 16;

    fn link(name: &str) -> RouteNetlinkMessage {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        RouteNetlinkMessage::NewLink(message)
    }

    fn bytes_of(message: &RouteNetlinkMessage) -> Vec<u8> {
        let mut body = vec![0; message.buffer_len()];
        message.serialize(&mut body);
        body
    }

    fn part(sequence: u32, name: &str) -> Vec<u8> {
        frame(NEW_LINK, NLM_F_MULTIPART, sequence, &bytes_of(&link(name)))
    }

    fn done(sequence: u32, flags: u16) -> Vec<u8> {
        frame(DONE, NLM_F_MULTIPART | flags, sequence, &0_i32.to_ne_bytes())
    }

    #[test]
    fn a_dump_is_gathered_over_datagrams() {
        let mut talk = Conversation::new(7);
        assert_eq!(talk.take(&[part(7, "a"), part(7, "b")].concat()), None);
        assert_eq!(talk.take(&part(7, "c")), None);
        assert_eq!(
            talk.take(&done(7, 0)),
            Some(Outcome::Answered(vec![link("a"), link("b"), link("c")]))
        );
    }

    #[test]
    fn frames_of_other_requests_are_passed_over() {
        let mut talk = Conversation::new(7);
        assert_eq!(talk.take(&[part(6, "old"), done(6, 0), part(7, "a")].concat()), None);
        assert_eq!(talk.take(&frame(ERROR, 0, 8, &error_body(-1, &[], &[]))), None);
        assert_eq!(talk.take(&done(7, 0)), Some(Outcome::Answered(vec![link("a")])));
    }

    #[test]
    fn an_interrupted_dump_is_no_answer() {
        for flagged in [
            [frame(NEW_LINK, DUMP_INTERRUPTED, 7, &bytes_of(&link("a"))), done(7, 0)],
            [part(7, "a"), done(7, DUMP_INTERRUPTED)],
        ] {
            assert_eq!(Conversation::new(7).take(&flagged.concat()), Some(Outcome::Interrupted));
        }
    }

    #[test]
    fn an_error_in_the_last_frame_is_a_refusal() {
        let last = frame(DONE, NLM_F_MULTIPART, 7, &(-22_i32).to_ne_bytes());
        let no = No { errno: 22, text: None, offset: None };
        assert_eq!(
            Conversation::new(7).take(&[part(7, "a"), last].concat()),
            Some(Outcome::Refused(no))
        );
    }

    #[test]
    fn an_unreadable_message_fails_at_the_end() {
        let mut talk = Conversation::new(7);
        assert_eq!(talk.take(&frame(NEW_LINK, NLM_F_MULTIPART, 7, b"short")), None);
        assert_eq!(talk.take(&part(7, "a")), None);
        assert!(matches!(talk.take(&done(7, 0)), Some(Outcome::Unreadable(_))));
    }

    #[test]
    fn an_acknowledgement_ends_a_request() {
        let bytes = frame(ERROR, 0x100, 7, &error_body(0, &[], &[]));
        assert_eq!(Conversation::new(7).take(&bytes), Some(Outcome::Answered(Vec::new())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_conversations_end(
            kind in 0_u16..128,
            flags: u16,
            body in prop::collection::vec(any::<u8>(), 0..256),
            tail in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut talk = Conversation::new(7);
            let ended = talk.take(&[frame(kind, flags, 7, &body), tail].concat()).is_some();
            prop_assert!(ended || talk.take(&done(7, 0)).is_some());
        }
    }
}
