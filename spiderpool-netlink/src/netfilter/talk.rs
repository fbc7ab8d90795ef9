//! Follows requests of netfilter through the kernel's datagrams, and says how they ended.
//!
//! `socket` feeds it whatever arrives. A single request, a listing and a transaction are one thing
//! here: a run of sequence numbers of which each is to be answered once. A transaction's opening
//! message has a number of its own: the kernel answers it only to refuse the whole
//! (`nfnetlink_rcv_batch` in `net/netfilter/nfnetlink.c`). Invariants:
//!
//! 1. Only frames with the run's numbers count (`answers_to_others_are_passed_over`).
//! 2. A transaction is followed to its last acknowledgement, so that the socket can be used again,
//!    and its first refusal is what is told (`the_first_refusal_of_a_transaction_is_told`).
//! 3. No datagram makes it panic (`hostile_answers_end`).

use std::collections::BTreeSet;

use super::message::Answer;
use crate::conversation::{DONE, ERROR, NOOP, OVERRUN};
use crate::frame::{DUMP_INTERRUPTED, Frame, No, acknowledgement, frames, last_of_dump};

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What the kernel answered, in its order, as far as it was to be kept.
    Answered(Vec<Answer>),
    /// The kernel said no to the request of this number.
    Refused(u32, No),
    /// The listing was overtaken by changes.
    Interrupted,
    /// Something came that makes no sense.
    Unreadable(String),
}

/// Requests, from their sending to their end.
#[derive(Debug)]
pub(super) struct Talk {
    /// The number of a transaction's opening message.
    opening: Option<u32>,
    unanswered: BTreeSet<u32>,
    answers: Vec<Answer>,
    refusal: Option<(u32, No)>,
    is_interrupted: bool,
    unreadable: Option<String>,
}

impl Talk {
    /// About one request or listing.
    pub(super) fn request(sequence: u32) -> Self {
        Self::new(None, [sequence].into())
    }

    /// About a transaction that is opened by one message and made of others.
    pub(super) fn transaction(opening: u32, steps: BTreeSet<u32>) -> Self {
        Self::new(Some(opening), steps)
    }

    fn new(opening: Option<u32>, unanswered: BTreeSet<u32>) -> Self {
        Self {
            opening,
            unanswered,
            answers: Vec::new(),
            refusal: None,
            is_interrupted: false,
            unreadable: None,
        }
    }

    /// Takes one datagram in, and gives the outcome if that was the last; of what is answered, only
    /// what is `wanted` is kept.
    pub(super) fn take(
        &mut self,
        datagram: &[u8],
        wanted: &dyn Fn(&Answer) -> bool,
    ) -> Option<Outcome> {
        for frame in frames(datagram) {
            let frame = match frame {
                Ok(frame) => frame,
                // Where the next frame starts is lost, and so is the end: waiting for it is vain.
                Err(reason) => return Some(Outcome::Unreadable(reason)),
            };
            if let Some(outcome) = self.take_frame(&frame, wanted) {
                return Some(outcome);
            }
        }
        None
    }

    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        wanted: &dyn Fn(&Answer) -> bool,
    ) -> Option<Outcome> {
        let is_opening = self.opening == Some(frame.sequence);
        if !is_opening && !self.unanswered.contains(&frame.sequence) {
            return None;
        }
        self.is_interrupted |= frame.flags & DUMP_INTERRUPTED != 0;
        match frame.kind {
            NOOP => None,
            ERROR if is_opening => self.end_early(frame),
            ERROR => self.answered(frame.sequence, acknowledgement(frame)),
            DONE => self.answered(frame.sequence, last_of_dump(frame)),
            OVERRUN => Some(Outcome::Unreadable("the kernel dropped part of the answer".into())),
            _ => {
                self.keep(frame, wanted);
                None
            }
        }
    }

    fn keep(&mut self, frame: &Frame<'_>, wanted: &dyn Fn(&Answer) -> bool) {
        match Answer::read(frame.kind, frame.body) {
            Ok(answer) if wanted(&answer) => self.answers.push(answer),
            Ok(_) => {}
            Err(reason) => {
                self.unreadable.get_or_insert(reason);
            }
        }
    }

    /// The kernel gave the whole transaction up: no more answers come.
    fn end_early(&self, frame: &Frame<'_>) -> Option<Outcome> {
        match acknowledgement(frame) {
            Ok(Some(no)) => Some(Outcome::Refused(frame.sequence, no)),
            Ok(None) => None,
            Err(reason) => Some(Outcome::Unreadable(reason)),
        }
    }

    fn answered(&mut self, sequence: u32, answer: Result<Option<No>, String>) -> Option<Outcome> {
        self.unanswered.remove(&sequence);
        match answer {
            Ok(Some(no)) => _ = self.refusal.get_or_insert((sequence, no)),
            Ok(None) => {}
            Err(reason) => _ = self.unreadable.get_or_insert(reason),
        }
        self.unanswered.is_empty().then(|| self.end())
    }

    fn end(&mut self) -> Outcome {
        if let Some((sequence, no)) = self.refusal.take() {
            return Outcome::Refused(sequence, no);
        }
        match self.unreadable.take() {
            _ if self.is_interrupted => Outcome::Interrupted,
            Some(reason) => Outcome::Unreadable(reason),
            None => Outcome::Answered(std::mem::take(&mut self.answers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::{INET, NEW_RULE, NEW_TABLE};
    use super::*;
    use crate::frame::tests::{error_body, frame};

    fn all(_: &Answer) -> bool {
        true
    }

    fn table(sequence: u32, byte: u8) -> Vec<u8> {
        frame(NEW_TABLE, 2, sequence, &[INET, 0, 0, 0, byte])
    }

    fn ack(sequence: u32, code: i32) -> Vec<u8> {
        frame(ERROR, 0, sequence, &error_body(code, &[], &[]))
    }

    fn done(sequence: u32, flags: u16) -> Vec<u8> {
        frame(DONE, 2 | flags, sequence, &0_i32.to_ne_bytes())
    }

    fn no(errno: i32) -> No {
        No { errno, text: None, offset: None }
    }

    #[test]
    fn a_listing_is_gathered_over_datagrams_and_sieved() {
        let mut talk = Talk::request(7);
        let wanted = |answer: &Answer| answer.attributes != [2];
        assert_eq!(talk.take(&[table(7, 1), table(7, 2)].concat(), &wanted), None);
        assert_eq!(talk.take(&table(7, 3), &wanted), None);
        let Some(Outcome::Answered(answers)) = talk.take(&done(7, 0), &wanted) else { panic!() };
        let kept: Vec<_> = answers.iter().map(|answer| answer.attributes.clone()).collect();
        assert_eq!(kept, [[1], [3]]);
    }

    #[test]
    fn answers_to_others_are_passed_over() {
        let mut talk = Talk::request(7);
        assert_eq!(talk.take(&[table(6, 1), done(6, 0), ack(8, -1)].concat(), &all), None);
        assert_eq!(talk.take(&ack(7, 0), &all), Some(Outcome::Answered(vec![])));
    }

    #[test]
    fn a_transaction_ends_with_its_last_acknowledgement() {
        let mut talk = Talk::transaction(1, [2, 3].into());
        assert_eq!(talk.take(&ack(2, 0), &all), None);
        assert_eq!(talk.take(&ack(2, 0), &all), None, "a repeated answer counts once");
        assert_eq!(talk.take(&ack(3, 0), &all), Some(Outcome::Answered(vec![])));
    }

    #[test]
    fn the_first_refusal_of_a_transaction_is_told() {
        let mut talk = Talk::transaction(1, [2, 3, 4].into());
        assert_eq!(talk.take(&ack(2, -17), &all), None);
        assert_eq!(talk.take(&ack(3, -2), &all), None);
        assert_eq!(talk.take(&ack(4, 0), &all), Some(Outcome::Refused(2, no(17))));
    }

    #[test]
    fn a_refused_opening_ends_a_transaction() {
        let mut talk = Talk::transaction(1, [2, 3].into());
        assert_eq!(talk.take(&ack(1, -1), &all), Some(Outcome::Refused(1, no(1))));
    }

    #[test]
    fn a_listing_amid_changes_is_no_answer() {
        let mut talk = Talk::request(7);
        assert_eq!(talk.take(&done(7, DUMP_INTERRUPTED), &all), Some(Outcome::Interrupted));
    }

    #[test]
    fn an_answer_without_its_header_fails_at_the_end() {
        let mut talk = Talk::request(7);
        assert_eq!(talk.take(&frame(NEW_RULE, 2, 7, &[1]), &all), None);
        let outcome = talk.take(&done(7, 0), &all);
        assert!(matches!(outcome, Some(Outcome::Unreadable(_))), "{outcome:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_answers_end(
            datagram in prop::collection::vec(any::<u8>(), 0..512),
            kind in prop_oneof![0_u16..5, any::<u16>()],
            flags: u16,
            sequence in 0_u32..5,
        ) {
            let mut talk = Talk::transaction(1, [2, 3].into());
            talk.take(&datagram, &all);
            talk.take(&frame(kind, flags, sequence, &datagram), &all);
            prop_assert!(talk.unanswered.len() <= 2);
        }
    }
}
