//! Routes that a pool, a subnet or an annotation gives to a pod.

use crate::address::Family;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;

/// A destination and the next hop towards it, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub dst: IpNet,
    /// Through which neighbour.
    pub gw: IpAddr,
}

/// A route as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDraft {
    /// A prefix.
    pub dst: String,
    /// An address.
    pub gw: String,
}

/// Why a text is not a route that may be given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadRoute {
    /// The destination is no prefix.
    #[error("route {position}: dst `{got}` is not a prefix; write it as `10.1.0.0/16`")]
    Destination {
        /// Counted from 0.
        position: usize,
        /// What was written.
        got: String,
    },
    /// The next hop is no address.
    #[error("route {position}: gw `{got}` is not an address")]
    Gateway {
        /// Counted from 0.
        position: usize,
        /// What was written.
        got: String,
    },
    /// Destination and next hop are of different families.
    #[error(
        "route {position}: `{dst}` cannot be reached through {gw}, which is of the other family"
    )]
    Family {
        /// Counted from 0.
        position: usize,
        /// The destination.
        dst: IpNet,
        /// The next hop.
        gw: IpAddr,
    },
    /// A default route where the gateway field is the place for it.
    #[error("route {position}: `{dst}` is a default route; set `gateway` for that")]
    Default {
        /// Counted from 0.
        position: usize,
        /// The destination.
        dst: IpNet,
    },
    /// The same destination twice.
    #[error("route {position}: `{dst}` is already routed by an earlier entry")]
    Twice {
        /// Counted from 0.
        position: usize,
        /// The destination.
        dst: IpNet,
    },
    /// The next hop cannot be reached from the pool's prefix.
    #[error("route {position}: the next hop {gw} is not within `{prefix}`")]
    Unreachable {
        /// Counted from 0.
        position: usize,
        /// The next hop.
        gw: IpAddr,
        /// The prefix.
        prefix: IpNet,
    },
}

impl RouteDraft {
    /// Reads both fields; the destination is put in network form.
    ///
    /// # Errors
    /// [`BadRoute`] with `position` when a field cannot be read or the families differ.
    pub fn parse(&self, position: usize) -> Result<Route, BadRoute> {
        let dst: IpNet = (self.dst.trim().parse())
            .map_err(|_| BadRoute::Destination { position, got: self.dst.clone() })?;
        let gw: IpAddr = (self.gw.trim().parse())
            .map_err(|_| BadRoute::Gateway { position, got: self.gw.clone() })?;
        let dst = dst.trunc();
        if Family::of(dst.addr()) == Family::of(gw) {
            Ok(Route { dst, gw })
        } else {
            Err(BadRoute::Family { position, dst, gw })
        }
    }
}

impl From<&Route> for RouteDraft {
    fn from(route: &Route) -> Self {
        Self { dst: route.dst.to_string(), gw: route.gw.to_string() }
    }
}

/// Reads the routes of a pool or subnet: no default route, no destination twice, each next hop
/// within `prefix`.
///
/// # Errors
/// The first [`BadRoute`], by position.
pub(super) fn parse_routes(prefix: IpNet, drafts: &[RouteDraft]) -> Result<Vec<Route>, BadRoute> {
    let mut seen = BTreeSet::new();
    let mut routes = Vec::with_capacity(drafts.len());
    for (position, draft) in drafts.iter().enumerate() {
        let route = draft.parse(position)?;
        let Route { dst, gw } = route;
        if dst.prefix_len() == 0 {
            return Err(BadRoute::Default { position, dst });
        }
        if !prefix.contains(&gw) {
            return Err(BadRoute::Unreachable { position, gw, prefix });
        }
        if !seen.insert(dst) {
            return Err(BadRoute::Twice { position, dst });
        }
        routes.push(route);
    }
    Ok(routes)
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} via {}", self.dst, self.gw)
    }
}
