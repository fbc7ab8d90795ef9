//! One change to one namespace.

use serde::{Deserialize, Serialize};

use crate::net::{
    Address, Bond, HardwareAddress, Ipvlan, LinkName, Macvlan, Marks, Neighbour, Route, Rule,
    Sysctl, Vlan,
};

/// One change to one namespace; it prints as the command that it equals.
///
/// Creating is exclusive: what is there already is an error ([`Op::SetNeighbour`] and
/// [`Op::SetSysctl`] are what they are called).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Makes a link.
    CreateLink(NewLink),
    /// Deletes a link and all that rests on it; of a pair, both ends.
    DeleteLink(LinkName),
    /// Changes one thing about a link.
    SetLink {
        /// The link.
        name: LinkName,
        /// What becomes of it.
        change: LinkChange,
    },
    /// Moves a link to the other namespace, which takes its addresses, routes and neighbours from it.
    MoveLink {
        /// The link.
        name: LinkName,
        /// Its name there.
        target: LinkName,
    },
    /// Gives a link an address.
    AddAddress(Address),
    /// Takes an address from a link.
    DeleteAddress(Address),
    /// Makes a permanent or proxy neighbour, in place of what the kernel learned.
    SetNeighbour(Neighbour),
    /// Deletes a neighbour.
    DeleteNeighbour(Neighbour),
    /// Adds a route.
    AddRoute(Route),
    /// Adds an IPv4 route behind those that have its destination, metric and table, as programs that
    /// append leave it. A plan never begins with it: it puts back what it took away.
    AppendRoute(Route),
    /// Deletes a route.
    DeleteRoute(Route),
    /// Adds a rule.
    AddRule(Rule),
    /// Deletes a rule.
    DeleteRule(Rule),
    /// Sets a sysctl.
    SetSysctl(Sysctl, i64),
    /// Makes the table that marks connections.
    AddMarks(Marks),
    /// Deletes the table of that name, whatever is in it.
    DeleteMarks,
}

/// One thing about a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LinkChange {
    /// Whether it is up.
    Up(bool),
    /// Its maximum transmission unit, in bytes.
    Mtu(u32),
    /// Its hardware address.
    Mac(HardwareAddress),
    /// Its name.
    Name(LinkName),
    /// The bridge, bond or VRF that it is a port of.
    Controller(Option<LinkName>),
    /// Packets that its queue takes.
    TxQueueLength(u32),
    /// The text that is kept with it.
    Alias(Option<String>),
    /// Options of a bond; those that are not named stay.
    Bond(Bond),
}

/// A link to make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NewLink {
    /// Its name.
    pub name: LinkName,
    /// Its kind, with what the kind needs.
    pub kind: NewKind,
    /// Its maximum transmission unit in bytes; none for the kernel's choice.
    pub mtu: Option<u32>,
    /// Its hardware address; none for the kernel's choice.
    pub mac: Option<HardwareAddress>,
    /// The text that is kept with it.
    pub alias: Option<String>,
}

/// The kind of a link to make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NewKind {
    /// A pair.
    Veth(VethPeer),
    /// A VLAN on a link of the same namespace.
    Vlan {
        /// The link below.
        parent: LinkName,
        /// Its attributes.
        vlan: Vlan,
    },
    /// A macvlan on a link of the same namespace.
    Macvlan {
        /// The link below.
        parent: LinkName,
        /// Its attributes.
        macvlan: Macvlan,
    },
    /// An ipvlan on a link of the same namespace.
    Ipvlan {
        /// The link below.
        parent: LinkName,
        /// Its attributes.
        ipvlan: Ipvlan,
    },
    /// A bond without ports.
    Bond(Bond),
    /// A bridge.
    Bridge,
    /// A device that drops what is sent to it.
    Dummy,
    /// A routing domain with this table.
    Vrf(u32),
}

/// The other end of a pair to make; it is in the other namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VethPeer {
    /// Its name there.
    pub name: LinkName,
    /// Its maximum transmission unit in bytes; none for the kernel's choice.
    pub mtu: Option<u32>,
    /// Its hardware address; none for the kernel's choice.
    pub mac: Option<HardwareAddress>,
    /// The text that is kept with it.
    pub alias: Option<String>,
}
