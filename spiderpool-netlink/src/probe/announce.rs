//! Announcements: frames that put a NIC's MAC into its neighbours' caches.
//!
//! Called by [`tell`](super::tell). A NIC only ever announces what is its own: an announcement takes
//! traffic away from whoever else has the address (`others_addresses_are_not_announced`).

use super::arp::Arp;
use super::nd;
use super::target::Mac;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// An address that is to be announced and is not the NIC's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is not announced: the NIC does not have it; announce only its own addresses")]
pub struct NotOwn {
    /// The address.
    pub address: IpAddr,
}

/// One frame for each address: a gratuitous ARP request, sender and target alike (RFC 5227, section
/// 2.3), or an unsolicited neighbour advertisement that overrides (RFC 4861, section 7.2.6).
///
/// `own` is what the NIC has: what the kernel says it carries, or what it was granted.
///
/// # Errors
///
/// [`NotOwn`] for the first address that is not among its own; there are no frames then.
pub fn announcements(
    mac: Mac,
    addresses: &[IpAddr],
    own: &BTreeSet<IpAddr>,
) -> Result<Vec<Vec<u8>>, NotOwn> {
    let frame = |address: &IpAddr| match *address {
        other if !own.contains(&other) => Err(NotOwn { address: other }),
        IpAddr::V4(address) => Ok(Arp::request((mac, address), address).broadcast()),
        IpAddr::V6(address) => Ok(nd::announcement((mac, address))),
    };
    addresses.iter().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::super::arp::Operation;
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn others_addresses_are_not_announced() {
        let own = BTreeSet::from([address("10.6.0.10"), address("fd00:6::10")]);
        let asked = [address("10.6.0.10"), address("10.6.0.1")];
        let refused = announcements(OWN, &asked, &own);
        assert_eq!(refused, Err(NotOwn { address: address("10.6.0.1") }));
    }

    #[test]
    fn an_announcement_names_the_address_twice_and_overrides() {
        let own = BTreeSet::from([address("10.6.0.10"), address("fd00:6::10")]);
        let all: Vec<_> = own.iter().copied().collect();
        let frames = announcements(OWN, &all, &own).unwrap();
        let arp = Arp::of(&frames[0]).unwrap();
        assert_eq!(arp.operation, Operation::Request);
        assert_eq!((arp.sender.1, arp.target.1), ("10.6.0.10".parse().unwrap(), arp.sender.1));
        assert_eq!(frames[1][58], 0x20, "the override flag");
    }
}
