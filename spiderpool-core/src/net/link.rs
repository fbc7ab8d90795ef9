//! Links: network devices and what their kinds add.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bond, LinkName};

/// A network device, seen from the namespace that it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Its name in this namespace.
    pub name: LinkName,
    /// Its number in this namespace, from 1; 0 for one that is not made yet.
    pub index: u32,
    /// Its kind, with the kind's own attributes.
    pub kind: LinkKind,
    /// Its hardware address; none for devices without one.
    pub mac: Option<HardwareAddress>,
    /// Its maximum transmission unit, in bytes.
    pub mtu: u32,
    /// Whether it was set up (`IFF_UP`).
    pub is_up: bool,
    /// Whether its lower layer carries (`IFF_LOWER_UP`), as with a plugged-in cable. Nobody can plan it.
    pub has_carrier: bool,
    /// Whether it can broadcast (`IFF_BROADCAST`), as Ethernet can and tunnels cannot.
    pub is_broadcast: bool,
    /// Whether it can multicast (`IFF_MULTICAST`).
    pub is_multicast: bool,
    /// Packets that its queue takes (`IFLA_TXQLEN`).
    pub tx_queue_length: u32,
    /// The link that it rests on (macvlan, VLAN) or is paired with (veth).
    pub parent: Option<Parent>,
    /// The bridge, bond or VRF of this namespace that it is a port of.
    pub controller: Option<LinkName>,
    /// The free text that `ip link set alias` keeps with it.
    pub alias: Option<String>,
    /// The virtual functions of an SR-IOV physical function.
    pub functions: Vec<VirtualFunction>,
}

/// The link below a link, or at the other end of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Parent {
    /// Its name, where it is in the same namespace.
    pub name: Option<LinkName>,
    /// Its index, counted in its own namespace.
    pub index: u32,
    /// This namespace's number for the namespace that it is in, if that is another.
    pub netns_id: Option<i32>,
}

/// What kind a link is, as `ip link add type KIND` has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LinkKind {
    /// A physical device, or loopback: no kind at all.
    Plain,
    /// One end of a pair; the other is [`Link::parent`].
    Veth,
    /// A child that has a hardware address of its own.
    Macvlan(Macvlan),
    /// A child that has its parent's hardware address.
    Ipvlan(Ipvlan),
    /// A child that tags its packets.
    Vlan(Vlan),
    /// Several links as one.
    Bond(Bond),
    /// A software switch.
    Bridge,
    /// A device that drops what is sent to it.
    Dummy,
    /// A routing domain with this table.
    Vrf(u32),
    /// A child on InfiniBand.
    Ipoib {
        /// The partition key, with the membership bit.
        pkey: u16,
    },
    /// Any other kind, by its name.
    Other(String),
}

impl LinkKind {
    /// The kind's name as `ip link add type KIND` has it; empty for [`LinkKind::Plain`].
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Plain => "",
            Self::Veth => "veth",
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
            Self::Vlan(_) => "vlan",
            Self::Bond(_) => "bond",
            Self::Bridge => "bridge",
            Self::Dummy => "dummy",
            Self::Vrf(_) => "vrf",
            Self::Ipoib { .. } => "ipoib",
            Self::Other(name) => name,
        }
    }
}

/// A macvlan's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Macvlan {
    /// Whom it talks to.
    pub mode: MacvlanMode,
}

/// Which of its siblings a macvlan can reach (`enum macvlan_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MacvlanMode {
    /// None of them.
    Private,
    /// Those that an external switch reflects.
    Vepa,
    /// All.
    Bridge,
    /// It takes the parent over.
    Passthru,
    /// Those that are listed.
    Source,
}

/// An ipvlan's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ipvlan {
    /// On which layer it switches.
    pub mode: IpvlanMode,
}

/// On which layer an ipvlan switches (`enum ipvlan_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpvlanMode {
    /// Layer 2.
    L2,
    /// Layer 3.
    L3,
    /// Layer 3, with the netfilter hooks of the parent's namespace.
    L3S,
}

/// A VLAN's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vlan {
    /// The number in its tags.
    pub id: VlanId,
    /// The kind of its tags.
    pub protocol: VlanProtocol,
}

/// A VLAN's number: 1 to 4094 (IEEE 802.1Q, table 9-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

/// A number that no VLAN can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{got} can be no VLAN's number: use 1 to 4094")]
pub struct BadVlanId {
    /// What was given.
    pub got: i64,
}

impl VlanId {
    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = BadVlanId;

    fn try_from(got: u16) -> Result<Self, BadVlanId> {
        if (1..=4094).contains(&got) { Ok(Self(got)) } else { Err(BadVlanId { got: got.into() }) }
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> Self {
        id.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kind of a VLAN's tags.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum VlanProtocol {
    /// 802.1Q: a customer's tag.
    #[default]
    Customer,
    /// 802.1ad: a provider's tag, the outer one of QinQ.
    Provider,
}

/// One virtual function, as its physical function shows it (`IFLA_VF_INFO`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualFunction {
    /// Its number, from 0.
    pub number: u32,
    /// The hardware address that the administrator gave it.
    pub mac: HardwareAddress,
    /// The VLAN that it is put in; 0 for none.
    pub vlan: u32,
    /// The priority of that VLAN's tag, 0 to 7.
    pub vlan_priority: u32,
    /// Whether it may send from its own hardware address only.
    pub checks_spoofing: Option<bool>,
    /// Whether it may change its hardware address and listen to everything.
    pub is_trusted: Option<bool>,
}

/// A hardware address of any length: 6 bytes on Ethernet, 20 on IPoIB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HardwareAddress(pub Vec<u8>);

impl HardwareAddress {
    /// Whether it is an Ethernet address that one station may have: 6 bytes, unicast, not all zero.
    #[must_use]
    pub fn is_station(&self) -> bool {
        matches!(self.0.as_slice(), [first, _, _, _, _, _] if first & 1 == 0)
            && self.0.iter().any(|byte| *byte != 0)
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_print_as_usual() {
        let address = HardwareAddress(vec![0x02, 0, 0xab, 0xcd, 0, 0x0f]);
        assert_eq!(address.to_string(), "02:00:ab:cd:00:0f");
    }

    #[test]
    fn vlan_numbers_are_1_to_4094() {
        for good in [1, 4094] {
            assert_eq!(VlanId::try_from(good).unwrap().number(), good);
        }
        for bad in [0, 4095, 65535] {
            assert_eq!(VlanId::try_from(bad), Err(BadVlanId { got: bad.into() }));
        }
    }
}
