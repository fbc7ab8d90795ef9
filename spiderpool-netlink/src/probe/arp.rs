//! ARP for IPv4 over Ethernet (RFC 826), bytes to values and back.
//!
//! Used by the prober and by announcements. Frames of other kinds, VLAN-tagged ones and short ones
//! are nothing (`what_is_no_arp_frame_is_nothing`); what follows the packet is padding.

use super::target::Mac;
use std::net::Ipv4Addr;

/// The Ethernet type of ARP, then hardware Ethernet, protocol IPv4, and their address lengths.
const BEFORE_OPERATION: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4];

/// What a packet wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Who has it?
    Request,
    /// I have it.
    Reply,
}

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arp {
    pub(super) operation: Operation,
    /// `ar$sha` and `ar$spa`; `0.0.0.0` in a probe.
    pub(super) sender: (Mac, Ipv4Addr),
    /// `ar$tha` and `ar$tpa`.
    pub(super) target: (Mac, Ipv4Addr),
}

impl Arp {
    /// The question who has an address; from `0.0.0.0` it is a probe (RFC 5227, section 1.1).
    pub(super) fn request(sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self { operation: Operation::Request, sender, target: (Mac::ZERO, target) }
    }

    /// The frame that carries this packet to everybody.
    pub(super) fn broadcast(&self) -> Vec<u8> {
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        [
            Mac::BROADCAST.0.as_slice(),
            &self.sender.0.0,
            &BEFORE_OPERATION,
            &operation.to_be_bytes(),
            &self.sender.0.0,
            &self.sender.1.octets(),
            &self.target.0.0,
            &self.target.1.octets(),
        ]
        .concat()
    }

    /// The packet of a frame, if it is one.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let (_addresses, rest) = frame.split_first_chunk::<12>()?;
        let rest = rest.strip_prefix(&BEFORE_OPERATION)?;
        let (operation, rest) = rest.split_first_chunk()?;
        let operation = match u16::from_be_bytes(*operation) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        let (sender, rest) = party(rest)?;
        let (target, _padding) = party(rest)?;
        Some(Self { operation, sender, target })
    }
}

fn party(bytes: &[u8]) -> Option<((Mac, Ipv4Addr), &[u8])> {
    let (mac, rest) = bytes.split_first_chunk()?;
    let (address, rest) = rest.split_first_chunk::<4>()?;
    Some(((Mac(*mac), Ipv4Addr::from(*address)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn probe() -> Arp {
        Arp::request((OWN, Ipv4Addr::UNSPECIFIED), Ipv4Addr::new(10, 6, 0, 10))
    }

    #[test]
    fn a_probe_is_these_bytes() {
        #[rustfmt::skip]
        let golden = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06,
            0, 1, 0x08, 0, 6, 4, 0, 1,
            2, 0, 0, 0, 0, 1, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 10, 6, 0, 10,
        ];
        assert_eq!(probe().broadcast(), golden);
    }

    #[test]
    fn a_packet_survives_the_wire_and_padding() {
        let reply = Arp {
            operation: Operation::Reply,
            sender: (OWN, Ipv4Addr::new(10, 6, 0, 1)),
            target: (Mac([2, 0, 0, 0, 0, 9]), Ipv4Addr::new(10, 6, 0, 2)),
        };
        for arp in [probe(), reply] {
            let mut frame = arp.broadcast();
            assert_eq!(Arp::of(&frame), Some(arp));
            frame.resize(60, 0xee);
            assert_eq!(Arp::of(&frame), Some(arp));
        }
    }

    #[test]
    fn what_is_no_arp_frame_is_nothing() {
        let good = probe().broadcast();
        for length in 0..good.len() {
            assert_eq!(Arp::of(&good[..length]), None, "cut to {length}");
        }
        let tagged = [&good[..12], &[0x81, 0, 0, 100], &good[12..]].concat();
        assert_eq!(Arp::of(&tagged), None);
        for (at, byte) in [(13, 0), (15, 6), (17, 6), (18, 8), (19, 16), (21, 3), (20, 1)] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(Arp::of(&other), None, "byte {at}");
        }
    }
}
