//! The order of wishes: every state on the way is safe.
//!
//! What is to be there is made from the ground up, so that each step finds what it needs; what is to go
//! goes when its replacement stands, from the top down.

use super::LinkChange;
use crate::intend::{Tenure, Want, Wish};
use crate::net::{Scene, SysctlName, SysctlPlace};

/// When a wish has its turn, the earlier first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// IPv6 is allowed or not, before links come up with it.
    Ipv6,
    /// Links are made.
    Create,
    /// Their names, MTU, options and texts are set.
    Shape,
    /// Their settings, before they hear or send anything.
    Configure,
    /// Their hardware addresses, before IPv6 makes addresses of them.
    Mac,
    /// Their controllers.
    Attach,
    /// They come up.
    Up,
    /// A bond's ports are weighed against each other, now that it has them.
    Prefer,
    /// Addresses.
    Address,
    /// Neighbours, which stand in for what gateways would have to be asked.
    Neighbour,
    /// Routes to the link itself.
    OnLink,
    /// Routes over a gateway, which on-link routes lead to.
    Gateway,
    /// Rules, when the tables that they point to are full.
    Rule,
    /// Marks, when the rules for them are there.
    Mark,
    /// Marks go.
    NoMark,
    /// Rules go.
    NoRule,
    /// Routes go.
    NoRoute,
    /// Neighbours go.
    NoNeighbour,
    /// Addresses go.
    NoAddress,
    /// Links go down.
    Down,
    /// Links go.
    NoLink,
}

/// The place of a wish among others: the node's own first.
pub(super) fn turn(scene: &Scene, wish: &Wish) -> (bool, Phase) {
    (wish.tenure != Tenure::Node, phase(scene, wish))
}

fn phase(scene: &Scene, wish: &Wish) -> Phase {
    match &wish.want {
        Want::Link(_) => Phase::Create,
        Want::Setting { change, .. } => shape(change),
        Want::Address(_) => Phase::Address,
        Want::Neighbour(_) => Phase::Neighbour,
        Want::Route(route) => {
            let has_gateway = route.hops.iter().any(|hop| hop.gateway.is_some());
            if has_gateway { Phase::Gateway } else { Phase::OnLink }
        }
        Want::Rule(_) => Phase::Rule,
        Want::Sysctl(setting, _) => {
            let is_there = match &setting.place {
                SysctlPlace::Link(link) => scene.side(wish.side).links.contains_key(link),
                SysctlPlace::All | SysctlPlace::Default => true,
            };
            let is_v6 = setting.name == SysctlName::DisableIpv6;
            if is_v6 && is_there { Phase::Ipv6 } else { Phase::Configure }
        }
        Want::Marks(_) => Phase::Mark,
        Want::NoMarks => Phase::NoMark,
        Want::NoRule(_) => Phase::NoRule,
        Want::NoRoute(_) => Phase::NoRoute,
        Want::NoNeighbour(_) => Phase::NoNeighbour,
        Want::NoAddress(_) => Phase::NoAddress,
        Want::NoLink(_) => Phase::NoLink,
    }
}

fn shape(change: &LinkChange) -> Phase {
    match change {
        LinkChange::Bond(bond) if bond.port().is_some() => Phase::Prefer,
        LinkChange::Up(true) => Phase::Up,
        LinkChange::Up(false) => Phase::Down,
        LinkChange::Mac(_) => Phase::Mac,
        LinkChange::Controller(_) => Phase::Attach,
        LinkChange::Name(_)
        | LinkChange::Mtu(_)
        | LinkChange::TxQueueLength(_)
        | LinkChange::Alias(_)
        | LinkChange::Bond(_) => Phase::Shape,
    }
}
