//! Cuts a netlink datagram into frames, and reads the two frames that end a request.
//!
//! Called by `conversation` and `netfilter`. The layout is that of `struct nlmsghdr`, `struct nlmsgerr` and
//! `enum nlmsgerr_attrs` in the kernel's `include/uapi/linux/netlink.h`. The decoding of routes,
//! addresses and links is left to the packet crates; the framing is here because they drop the
//! error code of a dump's last frame and leave extended acknowledgements as bytes. Invariants:
//!
//! 1. No datagram makes it panic or loop (`hostile_datagrams_end`).
//! 2. The error of a dump's last frame is seen (`a_dumps_last_frame_carries_its_error`).
//! 3. The extended text is found with and without the request echoed
//!    (`extended_text_is_found_behind_an_echo`).

/// Length in bytes of `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;
/// The first byte after `nlmsgerr.error` and the echoed header.
const ECHO_END: usize = 4 + HEADER_LEN;

/// `NLM_F_DUMP_INTR`: the objects changed while they were being listed.
pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLM_F_CAPPED`: the refused request is echoed without its payload.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow the echo.
const WITH_ATTRIBUTES: u16 = 0x200;

/// `NLMSGERR_ATTR_MSG`: a text, ended by NUL.
const ATTRIBUTE_TEXT: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`: an offset into the request.
const ATTRIBUTE_OFFSET: u16 = 2;
/// The bits of an attribute's type that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
pub(crate) const ATTRIBUTE_FLAGS: u16 = 0xc000;

/// One message of a datagram, still as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// What the kernel said no with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    /// Positive, as in `errno(3)`.
    pub(crate) errno: i32,
    pub(crate) text: Option<String>,
    pub(crate) offset: Option<u32>,
}

/// The frames of a datagram, in order; the first that cannot be cut off ends it with a reason.
pub(crate) fn frames(datagram: &[u8]) -> Frames<'_> {
    Frames { rest: datagram }
}

/// See [`frames`].
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let whole = self.rest;
        self.rest = &[];
        let Some((frame, length)) = first_frame(whole) else {
            return Some(Err(format!("a frame is cut off in {} remaining bytes", whole.len())));
        };
        // The last frame of a datagram may come without its padding.
        self.rest = whole.get(padded(length)..).unwrap_or_default();
        Some(Ok(frame))
    }
}

/// Reads `NLMSG_ERROR`: nothing for an acknowledgement, else what the kernel said no with.
pub(crate) fn acknowledgement(frame: &Frame<'_>) -> Result<Option<No>, String> {
    let errno = error_number(frame.body)?;
    if errno == 0 {
        return Ok(None);
    }
    Ok(Some(no(errno, frame.flags, attributes_behind_echo(frame))))
}

/// Reads `NLMSG_DONE`: nothing if the dump is whole, else what the kernel broke it off with.
pub(crate) fn last_of_dump(frame: &Frame<'_>) -> Result<Option<No>, String> {
    if frame.body.is_empty() {
        return Ok(None);
    }
    let errno = error_number(frame.body)?;
    if errno == 0 {
        return Ok(None);
    }
    Ok(Some(no(errno, frame.flags, frame.body.get(4..).unwrap_or_default())))
}

fn first_frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let body = bytes.get(HEADER_LEN..length)?;
    let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
    let sequence = u32_at(bytes, 8)?;
    Some((Frame { kind, flags, sequence, body }, length))
}

fn error_number(body: &[u8]) -> Result<i32, String> {
    let code = u32_at(body, 0).ok_or("an answer without its error number")?.cast_signed();
    code.checked_neg()
        .filter(|errno| *errno >= 0)
        .ok_or_else(|| format!("an answer with the impossible error number {code}"))
}

fn attributes_behind_echo<'a>(frame: &Frame<'a>) -> &'a [u8] {
    let echoed = match frame.flags & CAPPED {
        0 => u32_at(frame.body, 4).and_then(|length| usize::try_from(length).ok()),
        _ => Some(HEADER_LEN),
    };
    let start = echoed.and_then(|length| padded(length).checked_add(4)).unwrap_or(ECHO_END);
    frame.body.get(start..).unwrap_or_default()
}

fn no(errno: i32, flags: u16, attributes: &[u8]) -> No {
    let mut no = No { errno, text: None, offset: None };
    if flags & WITH_ATTRIBUTES == 0 {
        return no;
    }
    let mut rest = attributes;
    while let Some((kind, value, length)) = first_attribute(rest) {
        match kind & !ATTRIBUTE_FLAGS {
            ATTRIBUTE_TEXT => no.text = Some(printable(value)),
            ATTRIBUTE_OFFSET => no.offset = u32_at(value, 0),
            _ => {}
        }
        rest = rest.get(padded(length)..).unwrap_or_default();
    }
    no
}

/// The type, the value and the length with its header of the first attribute, if it is whole.
pub(crate) fn first_attribute(bytes: &[u8]) -> Option<(u16, &[u8], usize)> {
    let length = usize::from(u16_at(bytes, 0)?);
    Some((u16_at(bytes, 2)?, bytes.get(4..length)?, length))
}

fn printable(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = String::from_utf8_lossy(text.get(..end).unwrap_or_default());
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `NLMSG_ALIGN` and `NLA_ALIGN`: both round up to 4.
pub(crate) fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_ne_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*field))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn frame(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_LEN + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(body);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    /// The body of an `NLMSG_ERROR` that echoes a request of `request` payload bytes.
    pub(crate) fn error_body(code: i32, request: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = code.to_ne_bytes().to_vec();
        body.extend(frame(16, 5, 1, request));
        body.extend(attributes.concat());
        body
    }

    fn only(datagram: &[u8]) -> Frame<'_> {
        let mut all = frames(datagram);
        let first = all.next().unwrap().unwrap();
        assert_eq!(all.next(), None);
        first
    }

    #[test]
    fn frames_are_cut_at_padded_lengths() {
        let datagram = [frame(16, 2, 7, b"abcde"), frame(3, 2, 7, &[])].concat();
        let all: Vec<_> = frames(&datagram).map(Result::unwrap).collect();
        assert_eq!(
            all,
            [
                Frame { kind: 16, flags: 2, sequence: 7, body: b"abcde" },
                Frame { kind: 3, flags: 2, sequence: 7, body: b"" },
            ]
        );
    }

    #[test]
    fn a_frame_that_is_cut_off_is_said() {
        let datagram = frame(16, 0, 1, b"abcd");
        for end in 1..datagram.len() {
            let mut all = frames(&datagram[..end]);
            assert!(all.next().unwrap().is_err(), "{end} bytes");
            assert_eq!(all.next(), None);
        }
    }

    #[test]
    fn extended_text_is_found_behind_an_echo() {
        let attributes = [
            attribute(ATTRIBUTE_TEXT, b"Unknown device type\0"),
            attribute(ATTRIBUTE_OFFSET, &32_u32.to_ne_bytes()),
        ];
        let expected = No { errno: 95, text: Some("Unknown device type".into()), offset: Some(32) };

        let capped = frame(2, CAPPED | WITH_ATTRIBUTES, 1, &error_body(-95, &[], &attributes));
        assert_eq!(acknowledgement(&only(&capped)), Ok(Some(expected.clone())));

        let whole = frame(2, WITH_ATTRIBUTES, 1, &error_body(-95, b"request", &attributes));
        assert_eq!(acknowledgement(&only(&whole)), Ok(Some(expected)));
    }

    #[test]
    fn attributes_are_read_only_where_they_are_announced() {
        let attributes = [attribute(ATTRIBUTE_TEXT, b"not announced\0")];
        let bytes = frame(2, CAPPED, 1, &error_body(-22, &[], &attributes));
        assert_eq!(
            acknowledgement(&only(&bytes)),
            Ok(Some(No { errno: 22, text: None, offset: None }))
        );
    }

    #[test]
    fn an_acknowledgement_is_error_number_nought() {
        let bytes = frame(2, CAPPED, 1, &error_body(0, &[], &[]));
        assert_eq!(acknowledgement(&only(&bytes)), Ok(None));
    }

    #[test]
    fn a_dumps_last_frame_carries_its_error() {
        let body = [
            (-2_i32).to_ne_bytes().to_vec(),
            attribute(ATTRIBUTE_TEXT, b"ipv4: FIB table does not exist\0"),
        ]
        .concat();
        let bytes = frame(3, 2 | WITH_ATTRIBUTES, 1, &body);
        let text = Some("ipv4: FIB table does not exist".into());
        assert_eq!(last_of_dump(&only(&bytes)), Ok(Some(No { errno: 2, text, offset: None })));
        assert_eq!(last_of_dump(&only(&frame(3, 2, 1, &[]))), Ok(None));
        assert_eq!(last_of_dump(&only(&frame(3, 2, 1, &0_i32.to_ne_bytes()))), Ok(None));
    }

    #[test]
    fn error_numbers_that_cannot_be_are_said() {
        for code in [1, i32::MAX, i32::MIN] {
            let bytes = frame(2, 0, 1, &error_body(code, &[], &[]));
            assert!(acknowledgement(&only(&bytes)).is_err(), "{code}");
        }
        assert!(acknowledgement(&only(&frame(2, 0, 1, b"ab"))).is_err());
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\0rest"), "a [31mb");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_datagrams_end(datagram in prop::collection::vec(any::<u8>(), 0..512)) {
            for frame in frames(&datagram).flatten() {
                let answers = [acknowledgement(&frame), last_of_dump(&frame)];
                prop_assert!(answers.iter().flatten().flatten().all(|no| no.errno > 0));
            }
        }

        #[test]
        fn hostile_attributes_end(flags: u16, tail in prop::collection::vec(any::<u8>(), 0..96)) {
            let body = [(-22_i32).to_ne_bytes().as_slice(), &tail].concat();
            let bytes = frame(2, flags, 1, &body);
            let answer = acknowledgement(&only(&bytes)).unwrap().unwrap();
            prop_assert_eq!(answer.errno, 22);
        }
    }
}
