//! Messages of netfilter: a netlink header, a small header of netfilter's own, attributes.
//!
//! Used by `marks` and `connections`, which fill them, and by `socket`, which sends them. The
//! layout is that of `struct nlmsghdr` and `struct nfgenmsg` in the kernel's
//! `include/uapi/linux/netlink.h` and `include/uapi/linux/netfilter/nfnetlink.h`.

use netlink_packet_core::NLM_F_REQUEST;

use crate::frame::{HEADER_LEN, padded};

/// Length in bytes of `struct nfgenmsg`.
const OWN_HEADER_LEN: usize = 4;

/// `NFNL_SUBSYS_CTNETLINK`, in the high byte of a message's type.
const CONNECTIONS: u16 = 1 << 8;
/// `NFNL_SUBSYS_NFTABLES`, as a batch names it.
const NFTABLES_NUMBER: u16 = 10;
/// The same, in the high byte of a message's type.
const NFTABLES: u16 = NFTABLES_NUMBER << 8;

/// `NFNL_MSG_BATCH_BEGIN`.
const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`.
const BATCH_END: u16 = 0x11;

/// `NFT_MSG_NEWTABLE`.
pub(super) const NEW_TABLE: u16 = NFTABLES;
/// `NFT_MSG_GETTABLE`.
pub(super) const GET_TABLE: u16 = NFTABLES | 1;
/// `NFT_MSG_DELTABLE`.
pub(super) const DELETE_TABLE: u16 = NFTABLES | 2;
/// `NFT_MSG_NEWCHAIN`.
pub(super) const NEW_CHAIN: u16 = NFTABLES | 3;
/// `NFT_MSG_GETCHAIN`.
pub(super) const GET_CHAIN: u16 = NFTABLES | 4;
/// `NFT_MSG_NEWRULE`.
pub(super) const NEW_RULE: u16 = NFTABLES | 6;
/// `NFT_MSG_GETRULE`.
pub(super) const GET_RULE: u16 = NFTABLES | 7;
/// `NFT_MSG_NEWGEN`.
pub(super) const NEW_GENERATION: u16 = NFTABLES | 15;
/// `NFT_MSG_GETGEN`.
pub(super) const GET_GENERATION: u16 = NFTABLES | 16;

/// `IPCTNL_MSG_CT_NEW`: also what a listing answers.
pub(super) const NEW_CONNECTION: u16 = CONNECTIONS;
/// `IPCTNL_MSG_CT_GET`.
pub(super) const GET_CONNECTION: u16 = CONNECTIONS | 1;
/// `IPCTNL_MSG_CT_DELETE`.
pub(super) const DELETE_CONNECTION: u16 = CONNECTIONS | 2;

/// `NFPROTO_UNSPEC`.
pub(super) const UNSPECIFIED: u8 = 0;
/// `NFPROTO_INET`: packets of both families.
pub(super) const INET: u8 = 1;
/// `NFPROTO_IPV4`.
pub(super) const IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
pub(super) const IPV6: u8 = 10;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u16,
    /// Besides `NLM_F_REQUEST`, which every message has.
    pub(super) flags: u16,
    /// One of `NFPROTO_*`.
    pub(super) family: u8,
    /// `nfgenmsg.res_id`; 0 except in a batch's ends.
    resource: u16,
    pub(super) attributes: Vec<u8>,
}

impl Message {
    pub(super) fn new(kind: u16, family: u8, parts: &[Vec<u8>]) -> Self {
        Self { kind, flags: 0, family, resource: 0, attributes: parts.concat() }
    }

    pub(super) fn with_flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    /// What opens a transaction on nftables.
    pub(super) fn batch_begin() -> Self {
        Self { resource: NFTABLES_NUMBER, ..Self::new(BATCH_BEGIN, UNSPECIFIED, &[]) }
    }

    /// What commits it.
    pub(super) fn batch_end() -> Self {
        Self { resource: NFTABLES_NUMBER, ..Self::new(BATCH_END, UNSPECIFIED, &[]) }
    }

    /// The message as it is sent; the kernel fills in the sender.
    pub(super) fn bytes(&self, sequence: u32) -> Vec<u8> {
        let length = HEADER_LEN + OWN_HEADER_LEN + self.attributes.len();
        let mut bytes = u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((self.flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        // `NFNETLINK_V0` is the only version there is.
        bytes.extend([self.family, 0]);
        bytes.extend(self.resource.to_be_bytes());
        bytes.extend(&self.attributes);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }
}

/// One message of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: u16,
    /// One of `NFPROTO_*`.
    pub(super) family: u8,
    pub(super) attributes: Vec<u8>,
}

impl Answer {
    /// Reads the body of a frame.
    pub(super) fn read(kind: u16, body: &[u8]) -> Result<Self, String> {
        let (own, attributes) = body
            .split_at_checked(OWN_HEADER_LEN)
            .ok_or_else(|| format!("a message of type {kind:#x} without netfilter's header"))?;
        let family = own.first().copied().unwrap_or(UNSPECIFIED);
        Ok(Self { kind, family, attributes: attributes.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::number;
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_message_is_laid_out_as_in_the_header_files() {
        let message = Message::new(GET_TABLE, INET, &[number(2, 1)]).with_flags(4);
        #[rustfmt::skip]
        let expected = [
            28, 0, 0, 0,   0x01, 0x0a,   5, 0, // length, nftables' GETTABLE, REQUEST|ACK
            9, 0, 0, 0,    0, 0, 0, 0,         // sequence, sender
            1, 0, 0, 0,                        // inet, version 0, resource 0
            8, 0, 2, 0,    0, 0, 0, 1,         // one attribute of type 2
        ];
        assert_eq!(message.bytes(9), expected);
        // A batch names its subsystem in network byte order.
        assert_eq!(Message::batch_begin().bytes(1)[4..8], [0x10, 0, 1, 0]);
        assert_eq!(Message::batch_begin().bytes(1)[16..], [0, 0, 0, 10]);
        assert_eq!(Message::batch_end().bytes(1)[4..8], [0x11, 0, 1, 0]);
    }

    #[test]
    fn an_answer_too_short_for_its_header_is_said() {
        assert!(Answer::read(NEW_TABLE, &[1, 0, 0]).is_err());
        assert_eq!(
            Answer::read(NEW_TABLE, &[1, 0, 0, 3, 9]).unwrap(),
            Answer { kind: NEW_TABLE, family: INET, attributes: vec![9] }
        );
    }
}
