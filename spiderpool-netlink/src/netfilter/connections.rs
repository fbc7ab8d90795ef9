//! Forgetting the tracked connections of an address that has a new owner.
//!
//! Without it, packets of the new owner could be taken for the old one's connections: translated,
//! accepted or marked as those were. See [`netfilter`](super) for the invariants.

use std::net::IpAddr;

use super::attribute::{Attributes, attribute, nested};
use super::message::{
    Answer, DELETE_CONNECTION, GET_CONNECTION, IPV4, IPV6, Message, NEW_CONNECTION,
};
use super::socket::NetfilterSocket;
use crate::fault::{Errno, NetlinkFault};
use crate::socket::unreadable;

/// `CTA_TUPLE_ORIG`: the addresses and ports of the first packet.
const ORIGINAL: u16 = 1;
/// `CTA_TUPLE_REPLY`: those that a reply is expected with.
const REPLY: u16 = 2;
/// `CTA_ID`: tells this entry from a later one of the same addresses and ports.
const ID: u16 = 12;
/// `CTA_ZONE`.
const ZONE: u16 = 18;
/// `CTA_TUPLE_IP`.
const ADDRESSES: u16 = 1;
/// `CTA_IP_V4_SRC` and `CTA_IP_V4_DST`.
const OF_IPV4: [u16; 2] = [1, 2];
/// `CTA_IP_V6_SRC` and `CTA_IP_V6_DST`.
const OF_IPV6: [u16; 2] = [3, 4];

/// Makes the kernel forget each tracked connection from or to an address, translated or not, and
/// gives their number: `conntrack -D` with `-s`, `-d`, `-r` and `-q`.
///
/// An entry that ends meanwhile is not counted. One that begins meanwhile may stay: whoever needs
/// none takes the address away first. A kernel that tracks no connections has none to forget.
///
/// # Errors
///
/// What the kernel says.
pub fn flush_connections(
    socket: &mut NetfilterSocket,
    address: IpAddr,
) -> Result<usize, NetlinkFault> {
    let subject = format!("list the connections of `{address}`");
    let family = if address.is_ipv4() { IPV4 } else { IPV6 };
    let concerned =
        |answer: &Answer| answer.kind == NEW_CONNECTION && concerns(&answer.attributes, address);
    let question = Message::new(GET_CONNECTION, family, &[]);
    let entries = match socket.dump(&subject, &question, &concerned) {
        Err(fault) if is_untracked(&fault) => return Ok(0),
        other => other?,
    };
    let mut forgotten = 0;
    for entry in &entries {
        let request = deletion(entry)
            .map_err(|reason| unreadable(&subject, reason))?
            .ok_or_else(|| unreadable(&subject, "an entry without its addresses".into()))?;
        let done = socket.change(&format!("forget a connection of `{address}`"), request);
        match done {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => {}
            other => forgotten += other.map(|()| 1)?,
        }
    }
    Ok(forgotten)
}

/// Whether there is nobody to ask: the question has nothing in it that could be wrong.
fn is_untracked(fault: &NetlinkFault) -> bool {
    let untracked = [Errno::EINVAL, Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT];
    matches!(fault, NetlinkFault::Refused { errno, .. } if untracked.contains(errno))
}

/// Whether an entry's first packet or its reply is from or to an address.
fn concerns(entry: &[u8], address: IpAddr) -> bool {
    let is_there = |tuple| holds(entry, tuple, address).unwrap_or(false);
    is_there(ORIGINAL) || is_there(REPLY)
}

fn holds(entry: &[u8], tuple: u16, address: IpAddr) -> Result<bool, String> {
    let addresses = Attributes::read(entry)?.nested(tuple)?.nested(ADDRESSES)?;
    Ok(match address {
        IpAddr::V4(ip) => OF_IPV4.iter().any(|at| addresses.bytes(*at) == Some(&ip.octets())),
        IpAddr::V6(ip) => OF_IPV6.iter().any(|at| addresses.bytes(*at) == Some(&ip.octets())),
    })
}

/// The request that deletes an entry; nothing without its addresses, because such a request would
/// delete every entry.
fn deletion(entry: &Answer) -> Result<Option<Message>, String> {
    let attributes = Attributes::read(&entry.attributes)?;
    let Some(tuple) = attributes.bytes(ORIGINAL).filter(|tuple| !tuple.is_empty()) else {
        return Ok(None);
    };
    let mut parts = vec![nested(ORIGINAL, &[tuple.to_vec()])];
    parts.extend(
        [ZONE, ID].into_iter().filter_map(|kind| Some(attribute(kind, attributes.bytes(kind)?))),
    );
    Ok(Some(Message::new(DELETE_CONNECTION, entry.family, &parts)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuple(kind: u16, [from, to]: [&str; 2]) -> Vec<u8> {
        let part = |kinds: [u16; 2], at: usize, text: &str| match text.parse().unwrap() {
            IpAddr::V4(ip) => attribute(kinds[at], &ip.octets()),
            IpAddr::V6(ip) => attribute(OF_IPV6[at], &ip.octets()),
        };
        let addresses = [part(OF_IPV4, 0, from), part(OF_IPV4, 1, to)];
        nested(kind, &[nested(ADDRESSES, &addresses), nested(2, &[attribute(1, &[17])])])
    }

    fn entry(original: [&str; 2], reply: [&str; 2]) -> Vec<u8> {
        let id = attribute(ID, &[0, 0, 0, 9]);
        [tuple(ORIGINAL, original), tuple(REPLY, reply), id].concat()
    }

    fn check(address: &str, original: [&str; 2], reply: [&str; 2], expected: bool) {
        let found = concerns(&entry(original, reply), address.parse().unwrap());
        assert_eq!(found, expected, "{address} in {original:?} {reply:?}");
    }

    #[test]
    fn an_entry_concerns_all_its_four_ends() {
        let (original, reply) = (["10.0.0.1", "10.96.0.1"], ["10.0.0.2", "10.1.0.1"]);
        for end in ["10.0.0.1", "10.96.0.1", "10.0.0.2", "10.1.0.1"] {
            check(end, original, reply, true);
        }
        check("10.0.0.3", original, reply, false);
        check("fd00::2", ["fd00::1", "fd00::2"], ["fd00::2", "fd00::1"], true);
        check("fd00::3", ["fd00::1", "fd00::2"], ["fd00::2", "fd00::1"], false);
    }

    #[test]
    fn a_deletion_names_one_entry() {
        let ends = ["10.0.0.1", "10.0.0.2"];
        let zone = attribute(ZONE, &[0, 5]);
        let attributes = [entry(ends, ["10.0.0.2", "10.0.0.1"]), zone.clone()].concat();
        let answer = Answer { kind: NEW_CONNECTION, family: IPV4, attributes };
        let parts = [tuple(ORIGINAL, ends), zone, attribute(ID, &[0, 0, 0, 9])];
        let expected = Message::new(DELETE_CONNECTION, IPV4, &parts);
        assert_eq!(deletion(&answer), Ok(Some(expected)));
    }

    #[test]
    fn no_request_deletes_every_entry() {
        for attributes in [vec![], attribute(ID, &[0, 0, 0, 9]), nested(ORIGINAL, &[])] {
            let answer = Answer { kind: NEW_CONNECTION, family: IPV4, attributes };
            assert_eq!(deletion(&answer), Ok(None));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_entries_end(
            tail in prop::collection::vec(any::<u8>(), 0..128),
            ip: IpAddr,
            at in 0_usize..100,
        ) {
            let mut bytes = entry(["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]);
            bytes.splice(at.min(bytes.len()).., tail);
            concerns(&bytes, ip);
            let answer = Answer { kind: NEW_CONNECTION, family: IPV4, attributes: bytes };
            if let Ok(Some(message)) = deletion(&answer) {
                prop_assert!(!message.attributes.is_empty());
            }
        }
    }
}
