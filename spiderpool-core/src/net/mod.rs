//! What network namespaces hold, as plain values: the vocabulary of coordination.
//!
//! Whoever observes the kernel (`spiderpool-netlink`) fills a [`Scene`]; [`intend`](crate::intend)
//! says what one should hold, and [`plan`](crate::plan) how to get there. Names stand for links
//! everywhere: an index means something only to the kernel that gave it.
//!
//! Invariants:
//!
//! 1. A name that can be no link's name cannot be made ([`LinkName`]).
//! 2. The same state is the same value: collections are sorted, and what only the kernel counts
//!    (lifetimes, statistics, carrier) is left out or marked.

mod address;
mod bond;
mod link;
mod marking;
mod name;
mod neighbour;
mod object;
mod route;
mod rule;
mod scene;
mod sysctl;

pub use address::{Address, AddressFlags};
pub use bond::{BadBond, Bond, BondKind, BondNeeds, BondOption, BondValue, bond_mode};
pub use link::{
    BadVlanId, HardwareAddress, Ipvlan, IpvlanMode, Link, LinkKind, Macvlan, MacvlanMode, Parent,
    VirtualFunction, Vlan, VlanId, VlanProtocol,
};
pub use marking::{Marking, Marks};
pub use name::{BadLinkName, LinkName};
pub use neighbour::{Neighbour, NeighbourState};
pub use object::Object;
pub use route::{Hop, Route, RoutePreference, RouteProtocol, RouteType, Scope, table};
pub use rule::{Mark, Rule, RuleAction};
pub use scene::{Observed, Scene, Side};
pub use sysctl::{Sysctl, SysctlName, SysctlPlace};
