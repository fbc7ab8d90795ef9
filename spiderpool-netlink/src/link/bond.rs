//! A bond's options as attributes (`IFLA_BOND_*` in `include/uapi/linux/if_link.h`).
//!
//! One table says which number and which width each option has on the wire; both directions read it.
//! The order of the attributes does not count: the kernel takes them in an order of its own, the mode
//! first (`bond_changelink` in `drivers/net/bonding/bond_netlink.c`).

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DefaultNla, Nla, NlasIterator};
use netlink_packet_route::link::InfoBond;
use spiderpool_core::net::{Bond, BondOption, BondValue, HardwareAddress};

use super::lift::Names;

/// How a value is written.
#[derive(Clone, Copy)]
enum Width {
    U8,
    U16,
    U32,
    Mac,
    Index,
    V4,
    V6,
}

use BondOption as O;
use Width::{Index, Mac, U8, U16, U32, V4, V6};

/// Each option's number and width (`bond_policy` in `drivers/net/bonding/bond_netlink.c`).
const ATTRIBUTES: [(BondOption, u16, Width); 33] = [
    (O::Mode, 1, U8),
    (O::ActiveSlave, 2, Index),
    (O::Miimon, 3, U32),
    (O::UpDelay, 4, U32),
    (O::DownDelay, 5, U32),
    (O::UseCarrier, 6, U8),
    (O::ArpInterval, 7, U32),
    (O::ArpIpTarget, 8, V4),
    (O::ArpValidate, 9, U32),
    (O::ArpAllTargets, 10, U32),
    (O::Primary, 11, Index),
    (O::PrimaryReselect, 12, U8),
    (O::FailOverMac, 13, U8),
    (O::XmitHashPolicy, 14, U8),
    (O::ResendIgmp, 15, U32),
    (O::NumPeerNotif, 16, U8),
    (O::AllSlavesActive, 17, U8),
    (O::MinLinks, 18, U32),
    (O::LpInterval, 19, U32),
    (O::PacketsPerSlave, 20, U32),
    (O::LacpRate, 21, U8),
    (O::AdSelect, 22, U8),
    (O::AdActorSysPrio, 24, U16),
    (O::AdUserPortKey, 25, U16),
    (O::AdActorSystem, 26, Mac),
    (O::TlbDynamicLb, 27, U8),
    (O::PeerNotifDelay, 28, U32),
    (O::LacpActive, 29, U8),
    (O::MissedMax, 30, U8),
    (O::NsIp6Target, 31, V6),
    (O::CoupledControl, 32, U8),
    (O::BroadcastNeighbour, 33, U8),
    (O::LacpStrict, 34, U8),
];

/// The options that a message tells. Those of a newer kernel, ports that are gone, and addresses
/// that nobody set are left out.
pub(super) fn lift(infos: &[InfoBond], names: &Names) -> Bond {
    let options = infos.iter().filter_map(|info| {
        let (option, _, width) = ATTRIBUTES.iter().find(|(_, kind, _)| *kind == info.kind())?;
        let mut bytes = vec![0; info.value_len()];
        info.emit_value(&mut bytes);
        Some((*option, value(*width, &bytes, names)?))
    });
    Bond { options: options.collect() }
}

fn value(width: Width, bytes: &[u8], names: &Names) -> Option<BondValue> {
    Some(match width {
        U8 => BondValue::Number(bytes.first().copied()?.into()),
        U16 => BondValue::Number(u16::from_ne_bytes(bytes.try_into().ok()?).into()),
        U32 => BondValue::Number(u32::from_ne_bytes(bytes.try_into().ok()?)),
        Index => {
            let index = u32::from_ne_bytes(bytes.try_into().ok()?);
            BondValue::Link(names.get(&index)?.clone())
        }
        Mac => {
            let address = HardwareAddress(bytes.to_vec());
            BondValue::Mac(Some(address).filter(HardwareAddress::is_station)?)
        }
        V4 => {
            BondValue::V4(items(bytes, |item| <[u8; 4]>::try_from(item).ok().map(Ipv4Addr::from)))
        }
        V6 => {
            BondValue::V6(items(bytes, |item| <[u8; 16]>::try_from(item).ok().map(Ipv6Addr::from)))
        }
    })
}

fn items<T>(bytes: &[u8], item: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
    NlasIterator::new(bytes).flatten().filter_map(|nla| item(nla.value())).collect()
}

/// The attributes of options. A port is told by its index: `port` is that of the one port that they
/// name, and without it options that name one are left out.
pub(super) fn lower(bond: &Bond, port: Option<u32>) -> Vec<InfoBond> {
    let attributes = bond.options.iter().filter_map(|(option, value)| {
        let (_, kind, width) = ATTRIBUTES.iter().find(|(known, _, _)| known == option)?;
        Some(InfoBond::Other(DefaultNla::new(*kind, bytes(*width, value, port)?)))
    });
    attributes.collect()
}

fn bytes(width: Width, value: &BondValue, port: Option<u32>) -> Option<Vec<u8>> {
    Some(match value {
        BondValue::Number(number) => number_bytes(width, *number)?,
        BondValue::Mac(address) => address.0.clone(),
        BondValue::Link(_) => port?.to_ne_bytes().to_vec(),
        BondValue::V4(addresses) => nested(addresses.iter().map(|address| address.octets())),
        BondValue::V6(addresses) => nested(addresses.iter().map(|address| address.octets())),
    })
}

fn number_bytes(width: Width, number: u32) -> Option<Vec<u8>> {
    match width {
        U8 => u8::try_from(number).ok().map(|number| vec![number]),
        U16 => u16::try_from(number).ok().map(|number| number.to_ne_bytes().to_vec()),
        U32 => Some(number.to_ne_bytes().to_vec()),
        Mac | Index | V4 | V6 => None,
    }
}

/// Attributes that are numbered by their position.
fn nested<const N: usize>(items: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    let numbered = (0_u16..).zip(items);
    numbered.flat_map(|(position, item)| attribute(position, &item)).collect()
}

/// One attribute whose value is a multiple of four bytes, so that there is nothing to pad.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX).saturating_add(4);
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_option_is_on_the_wire_once() {
        let options: BTreeSet<_> = ATTRIBUTES.iter().map(|(option, _, _)| *option).collect();
        assert!(BondOption::all().eq(options));
        let kinds: BTreeSet<_> = ATTRIBUTES.iter().map(|(_, kind, _)| *kind).collect();
        assert_eq!(kinds.len(), ATTRIBUTES.len());
    }
}
