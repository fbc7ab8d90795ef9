//! Neighbour discovery for IPv6 over Ethernet (RFC 4861, RFC 4862, RFC 7527), bytes to values and
//! back.
//!
//! Used by the prober and by announcements. What RFC 4861 tells a node to discard (hop limit not
//! 255, bad checksum, an option of length nought, a multicast target) is nothing here
//! (`what_rfc_4861_discards_is_nothing`), and so are tagged, short and other frames.

use super::target::Mac;
use std::net::Ipv6Addr;

const ETHERNET_IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
/// Only a neighbour can send it: routers count the hop limit down.
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const NONCE: u8 = 14;
/// The override flag of an advertisement: what is cached is to be replaced.
const OVERRIDE: [u8; 4] = [0x20, 0, 0, 0];
/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The number that tells our own probe, looped back by the network, from another's (RFC 7527).
pub(super) type Nonce = [u8; 6];

/// What a neighbour said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A neighbour solicitation: who has `target`?
    Solicitation {
        /// The sender's MAC, as the frame has it.
        mac: Mac,
        /// `::` in duplicate address detection.
        source: Ipv6Addr,
        target: Ipv6Addr,
        nonce: Option<Nonce>,
    },
    /// A neighbour advertisement: `mac` has `target`.
    Advertisement {
        /// The target's MAC by its option, else the sender's.
        mac: Mac,
        target: Ipv6Addr,
    },
}

/// The group that whoever has an address listens to (RFC 4291, section 2.7.1).
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let [high, low] = [u16::from(a), u16::from_be_bytes([b, c])];
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high, low)
}

/// The MAC of a multicast group (RFC 2464, section 7).
pub(super) fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// The MACs that have to be listened to for all answers about an address.
pub(super) fn groups(address: Ipv6Addr) -> [Mac; 2] {
    [group_mac(ALL_NODES), group_mac(solicited_node(address))]
}

/// A probe of duplicate address detection, from nobody (RFC 4862, section 5.4.2).
pub(super) fn probe(own: Mac, target: Ipv6Addr, nonce: Nonce) -> Vec<u8> {
    let body = [&target.octets(), [NONCE, 1].as_slice(), &nonce].concat();
    let group = solicited_node(target);
    frame((own, Ipv6Addr::UNSPECIFIED), group, (SOLICITATION, [0; 4]), &body)
}

/// A question for a neighbour's MAC, from an address of ours (RFC 4861, section 7.2.2).
pub(super) fn question(own: (Mac, Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let body = [&target.octets(), [SOURCE_LINK_LAYER, 1].as_slice(), &own.0.0].concat();
    frame(own, solicited_node(target), (SOLICITATION, [0; 4]), &body)
}

/// An unsolicited advertisement to all nodes, which overrides what they have cached (RFC 4861,
/// section 7.2.6).
pub(super) fn announcement(own: (Mac, Ipv6Addr)) -> Vec<u8> {
    let body = [&own.1.octets(), [TARGET_LINK_LAYER, 1].as_slice(), &own.0.0].concat();
    frame(own, ALL_NODES, (ADVERTISEMENT, OVERRIDE), &body)
}

/// A frame from an address to a multicast group.
fn frame(
    (mac, source): (Mac, Ipv6Addr),
    group: Ipv6Addr,
    (kind, flags): (u8, [u8; 4]),
    body: &[u8],
) -> Vec<u8> {
    let message =
        |checksum: u16| [[kind, 0].as_slice(), &checksum.to_be_bytes(), &flags, body].concat();
    let message = message(checksum(source, group, &message(0)));
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [
        group_mac(group).0.as_slice(),
        &mac.0,
        &ETHERNET_IPV6,
        &[0x60, 0, 0, 0],
        &length.to_be_bytes(),
        &[ICMPV6, HOP_LIMIT],
        &source.octets(),
        &group.octets(),
        &message,
    ]
    .concat()
}

/// The Internet checksum over pseudo-header and message (RFC 4443, section 2.3); over a message
/// that carries the right one it is nought.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
    let mut sum = u64::from(ICMPV6).saturating_add(length);
    for bytes in [&source.octets(), &destination.octets(), message] {
        for pair in bytes.chunks(2) {
            let (high, low) = (pair.first().copied(), pair.get(1).copied());
            let word = u16::from_be_bytes([high.unwrap_or(0), low.unwrap_or(0)]);
            sum = sum.saturating_add(word.into());
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

impl Heard {
    /// What a frame says, if it is a solicitation or an advertisement.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let (_destination, rest) = frame.split_first_chunk::<6>()?;
        let (mac, rest) = rest.split_first_chunk()?;
        let packet = rest.strip_prefix(&ETHERNET_IPV6)?;
        let (source, message) = message(packet)?;
        let (head, rest) = message.split_first_chunk::<8>()?;
        let (target, options) = rest.split_first_chunk::<16>()?;
        let target = Ipv6Addr::from(*target);
        let options = Options::of(options)?;
        let mac = Mac(*mac);
        if target.is_multicast() {
            return None;
        }
        match head {
            [SOLICITATION, 0, ..] => {
                Some(Self::Solicitation { mac, source, target, nonce: options.nonce })
            }
            [ADVERTISEMENT, 0, ..] => {
                Some(Self::Advertisement { mac: options.target.unwrap_or(mac), target })
            }
            _ => None,
        }
    }
}

/// Source and ICMPv6 message of a packet that a neighbour sent.
fn message(packet: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let (head, rest) = packet.split_first_chunk::<8>()?;
    let [version, _, _, _, high, low, ICMPV6, HOP_LIMIT] = *head else { return None };
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
    let message = rest.get(..u16::from_be_bytes([high, low]).into())?;
    let is_whole = version >> 4 == 6 && checksum(source, destination, message) == 0;
    is_whole.then_some((source, message))
}

#[derive(Debug, Default)]
struct Options {
    nonce: Option<Nonce>,
    target: Option<Mac>,
}

impl Options {
    /// `None` where an option has no length or ends beyond the message.
    fn of(mut bytes: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        while let [kind, eights, ..] = *bytes {
            let length = usize::from(eights).checked_mul(8).filter(|length| *length > 0)?;
            let (option, rest) = bytes.split_at_checked(length)?;
            let value = option.get(2..).and_then(|value| value.first_chunk::<6>()).copied();
            match kind {
                NONCE if eights == 1 => options.nonce = value,
                TARGET_LINK_LAYER => options.target = value.map(Mac),
                _ => {}
            }
            bytes = rest;
        }
        bytes.is_empty().then_some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ten() -> Ipv6Addr {
        "fd00:6::12:3456".parse().unwrap()
    }

    #[test]
    fn a_probe_is_these_bytes() {
        #[rustfmt::skip]
        let golden = [
            0x33, 0x33, 0xff, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,
            0x60, 0, 0, 0, 0, 32, 58, 255,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x12, 0x34, 0x56,
            135, 0, 0xfd, 0xbb, 0, 0, 0, 0,
            0xfd, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
            14, 1, 1, 2, 3, 4, 5, 6,
        ];
        assert_eq!(probe(OWN, ten(), [1, 2, 3, 4, 5, 6]), golden);
    }

    #[test]
    fn an_announcement_is_these_bytes() {
        #[rustfmt::skip]
        let golden = [
            0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,
            0x60, 0, 0, 0, 0, 32, 58, 255,
            0xfd, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
            0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            136, 0, 0, 0, 0x20, 0, 0, 0,
            0xfd, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
            2, 1, 2, 0, 0, 0, 0, 1,
        ];
        let frame = announcement((OWN, ten()));
        let mut without_checksum = frame.clone();
        without_checksum[56..58].fill(0);
        assert_eq!(without_checksum, golden);
        assert_eq!(Heard::of(&frame), Some(Heard::Advertisement { mac: OWN, target: ten() }));
    }

    #[test]
    fn a_packet_survives_the_wire_and_padding() {
        let mut asked = probe(OWN, ten(), [9; 6]);
        let heard = Heard::Solicitation {
            mac: OWN,
            source: Ipv6Addr::UNSPECIFIED,
            target: ten(),
            nonce: Some([9; 6]),
        };
        assert_eq!(Heard::of(&asked), Some(heard));
        asked.resize(120, 0xee);
        assert_eq!(Heard::of(&asked), Some(heard));

        let gateway = "fe80::1".parse().unwrap();
        let heard = Heard::Solicitation { mac: OWN, source: ten(), target: gateway, nonce: None };
        assert_eq!(Heard::of(&question((OWN, ten()), gateway)), Some(heard));
    }

    /// The reference overlooks advertisements without options, and those with two.
    #[test]
    fn an_advertisement_needs_no_option() {
        let check = |options: &[u8], mac: Mac| {
            let body = [&ten().octets(), options].concat();
            let frame = frame((OWN, ten()), ALL_NODES, (ADVERTISEMENT, OVERRIDE), &body);
            assert_eq!(Heard::of(&frame), Some(Heard::Advertisement { mac, target: ten() }));
        };
        check(&[], OWN);
        check(&[2, 1, 7, 7, 7, 7, 7, 7], Mac([7; 6]));
        check(
            &[99, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 7, 7, 7, 7, 7, 7],
            Mac([7; 6]),
        );
    }

    #[test]
    fn what_rfc_4861_discards_is_nothing() {
        let good = probe(OWN, ten(), [9; 6]);
        for length in 0..good.len() {
            assert_eq!(Heard::of(&good[..length]), None, "cut to {length}");
        }
        let tagged = [&good[..12], &[0x81, 0, 0, 100], &good[12..]].concat();
        assert_eq!(Heard::of(&tagged), None);
        for at in 12..good.len() {
            // The flow label is anybody's business, and the traffic class too.
            if !(14..18).contains(&at) {
                let mut other = good.clone();
                other[at] ^= 0x10;
                assert_eq!(Heard::of(&other), None, "byte {at}");
            }
        }
        let discarded = |target: Ipv6Addr, options: &[u8]| {
            let body = [&target.octets(), options].concat();
            let frame = frame((OWN, ten()), ALL_NODES, (ADVERTISEMENT, OVERRIDE), &body);
            assert_eq!(Heard::of(&frame), None, "{target} {options:?}");
        };
        discarded(ten(), &[2, 0, 7, 7, 7, 7, 7, 7]);
        discarded(ten(), &[2, 2, 7, 7, 7, 7, 7, 7]);
        discarded(ten(), &[2]);
        discarded(ALL_NODES, &[]);
    }
}
