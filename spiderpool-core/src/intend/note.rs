//! What was left out or done otherwise than asked, and why.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::Family;
use crate::net::LinkName;

/// One thing that whoever attached the interface should know, though nothing failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// The node has no address of a family.
    NoGateway {
        /// The family.
        family: Family,
    },
    /// The interface has no address of a policy route's family.
    PolicyRouteSkipped {
        /// Where the route would lead.
        destination: IpNet,
        /// The interface.
        interface: LinkName,
    },
    /// A prefix covers everything.
    PrefixOfAll {
        /// The prefix.
        prefix: IpNet,
    },
    /// There is another route to the same destination.
    RouteTaken {
        /// The destination.
        destination: IpNet,
        /// The table.
        table: u32,
    },
    /// The interface that should have the default route is still to come.
    DefaultRouteLater {
        /// The interface.
        interface: LinkName,
    },
    /// The interface that should have the default route has none of a family.
    NoDefaultRoute {
        /// The interface.
        interface: LinkName,
        /// The family.
        family: Family,
    },
    /// The interface that should have the default route was attached without that choice.
    ChosenElsewhere {
        /// The interface.
        interface: LinkName,
    },
    /// A route has attributes that cannot be moved along.
    RouteLeft {
        /// Where it leads.
        destination: IpNet,
        /// The gateway, if it has one.
        gateway: Option<IpAddr>,
    },
    /// A link's filter is loose where strict was asked for.
    LooseFilter {
        /// The link.
        link: LinkName,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGateway { family } => write!(
                f,
                "the node has no usable IPv{} address, so no IPv{0} prefix is reached through it",
                family.version()
            ),
            Self::PolicyRouteSkipped { destination, interface } => write!(
                f,
                "policy route to {destination} is left out: `{interface}` has no address of its family"
            ),
            Self::PrefixOfAll { prefix } => write!(
                f,
                "prefix {prefix} is left out: it would take the pod's default route to the node; \
                 use podDefaultRouteNic to choose the default route"
            ),
            Self::RouteTaken { destination, table } => write!(
                f,
                "no route to {destination} in table {table}: another one to the same destination is there"
            ),
            Self::DefaultRouteLater { interface } => {
                write!(f, "the default route stays where it is until `{interface}` is attached")
            }
            Self::NoDefaultRoute { interface, family } => write!(
                f,
                "`{interface}` has no IPv{} default route, so the pod's stays where it is",
                family.version()
            ),
            Self::ChosenElsewhere { interface } => write!(
                f,
                "the default route moves to `{interface}` when that attachment is renewed: \
                 it was made without this choice"
            ),
            Self::RouteLeft { destination, gateway } => {
                write!(f, "the route to {destination}")?;
                if let Some(gateway) = gateway {
                    write!(f, " via {gateway}")?;
                }
                f.write_str(" stays where it is: it has attributes that cannot be moved along")
            }
            Self::LooseFilter { link } => write!(
                f,
                "the reverse path filter of `{link}` is loose (2), not strict (1): \
                 clients beyond the node come in by it, and the way back to them is another"
            ),
        }
    }
}
