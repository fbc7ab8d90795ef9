//! Attributes of netfilter messages: a type, a length and a value, which may be attributes again.
//!
//! Used by everything that reads or writes a message. The layout is that of `struct nlattr` in the
//! kernel's `include/uapi/linux/netlink.h`. Numbers that netfilter itself reads are in network byte
//! order; what goes into a register of a rule, a mark for example, is in the machine's own.
//!
//! Invariant: bytes that are no attributes are said, not passed over (`what_is_cut_off_is_said`).

use std::collections::BTreeMap;

use crate::frame::{ATTRIBUTE_FLAGS, first_attribute, padded};

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Length in bytes of `struct nlattr`.
const HEADER_LEN: usize = 4;

/// An attribute of a value.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Nothing that is sent comes near 64 KiB; if it did, the kernel would refuse the false length.
    let length = u16::try_from(HEADER_LEN.saturating_add(value.len())).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

/// An attribute of attributes.
pub(super) fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &parts.concat())
}

/// An attribute of a number that netfilter reads.
pub(super) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// An attribute of a text.
pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

/// The attributes of a message or of an attribute, by type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Attributes<'a>(BTreeMap<u16, &'a [u8]>);

impl<'a> Attributes<'a> {
    /// Reads attributes of which each type may be there once; of several, the last counts, as it
    /// does for the kernel.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        list(bytes).map(|all| Self(all.into_iter().collect()))
    }

    /// The types that are there, in ascending order.
    pub(super) fn kinds(&self) -> Vec<u16> {
        self.0.keys().copied().collect()
    }

    pub(super) fn bytes(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.get(&kind).copied()
    }

    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        self.bytes(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A text up to its NUL; nothing if it is not UTF-8.
    pub(super) fn text(&self, kind: u16) -> Option<&'a str> {
        let bytes = self.bytes(kind)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        std::str::from_utf8(bytes.get(..end)?).ok()
    }

    /// The attributes inside one; none if it is not there.
    pub(super) fn nested(&self, kind: u16) -> Result<Self, String> {
        self.bytes(kind).map_or_else(|| Ok(Self::default()), Self::read)
    }
}

/// All attributes in their order, types without flags.
pub(super) fn list(bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, String> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (kind, value, length) = first_attribute(rest)
            .ok_or_else(|| format!("an attribute is cut off in {} remaining bytes", rest.len()))?;
        all.push((kind & !ATTRIBUTE_FLAGS, value));
        rest = rest.get(padded(length)..).unwrap_or_default();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let inner = [text(1, "veth0"), number(2, 7)];
        let bytes = [nested(4, &inner), attribute(5, b"abc")].concat();
        let outer = Attributes::read(&bytes).unwrap();
        assert_eq!(outer.kinds(), [4, 5]);
        assert_eq!(outer.bytes(5), Some(&b"abc"[..]));
        let within = outer.nested(4).unwrap();
        assert_eq!((within.text(1), within.number(2)), (Some("veth0"), Some(7)));
        assert_eq!(outer.nested(6).unwrap(), Attributes::default());
    }

    #[test]
    fn an_attribute_is_laid_out_as_in_the_header_file() {
        // Length 4 + 6, type 1, the name and its NUL, two bytes of padding.
        let [low, high] = 10_u16.to_ne_bytes();
        let [one, nought] = 1_u16.to_ne_bytes();
        let expected = [&[low, high, one, nought][..], b"veth0\0\0\0"].concat();
        assert_eq!(text(1, "veth0"), expected);
        assert_eq!(nested(1, &[])[2..], (0x8001_u16).to_ne_bytes());
        assert_eq!(number(1, 0xa)[4..], [0, 0, 0, 0xa]);
    }

    #[test]
    fn what_is_cut_off_is_said() {
        let bytes = number(1, 7);
        for end in 1..bytes.len() {
            assert!(Attributes::read(&bytes[..end]).is_err(), "{end} bytes");
        }
        assert!(Attributes::read(&[0; 4]).is_err(), "a length below the header's");
    }
}
