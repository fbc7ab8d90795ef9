//! What a pod is told: addresses, gateways, and routes with the interface each belongs to.

use super::demand::Want;
use crate::address::Family;
use crate::command::{Allocated, Granted, PlacedRoute};
use crate::definition::Route;
use crate::name::Name;
use crate::request::{Demand, Request};
use crate::slots::BlockKey;
use crate::view::{Need, PoolEntry, View};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// A want that came to an address.
pub(super) struct Settled<'v> {
    pub(super) demand: Demand,
    address: IpAddr,
    entry: Option<&'v PoolEntry>,
    pool: Name,
    space: Name,
    generation: u64,
    kept: bool,
    clean_gateway: bool,
}

impl<'v> Settled<'v> {
    pub(super) fn new(
        want: &Want<'_>,
        (key, number): (&BlockKey, u128),
        entry: Option<&'v PoolEntry>,
        pool: Name,
        (generation, kept): (u64, bool),
    ) -> Self {
        Self {
            demand: want.demand.clone(),
            address: key.family.address(number),
            entry,
            pool,
            space: key.space.clone(),
            generation,
            kept,
            clean_gateway: want.clean_gateway,
        }
    }

    /// The address with the length of its pool's prefix; of a pool that is gone, a prefix of its own.
    fn net(&self) -> IpNet {
        let length = self.entry.map(|entry| entry.pool.prefix().prefix_len());
        match self.address {
            IpAddr::V4(v4) => Ipv4Net::new(v4, length.unwrap_or(32))
                .map_or_else(|_| IpNet::from(self.address), IpNet::V4),
            IpAddr::V6(v6) => Ipv6Net::new(v6, length.unwrap_or(128))
                .map_or_else(|_| IpNet::from(self.address), IpNet::V6),
        }
    }

    fn gateway(&self) -> Option<IpAddr> {
        self.entry.and_then(|entry| entry.pool.gateway())
    }
}

/// The whole answer: for each interface its pools' routes, then those of the request that fit it,
/// then the default route.
pub(super) fn allocated(
    _: &View,
    request: &Request,
    settled: Vec<Settled<'_>>,
) -> Result<Allocated, Need> {
    let mut routes = Vec::new();
    let mut place = |settled: &Settled<'_>, route: Route| {
        let route = PlacedRoute { attachment: settled.demand.attachment.clone(), route };
        if !routes.contains(&route) {
            routes.push(route);
        }
    };
    for settled in &settled {
        let pool = settled.entry.map(|entry| entry.pool.routes());
        pool.unwrap_or_default().iter().for_each(|route| place(settled, *route));
    }
    let mut unplaced = Vec::new();
    for route in &request.routes {
        match settled.iter().find(|settled| settled.net().contains(&route.gw)) {
            Some(settled) => place(settled, *route),
            None => unplaced.push(*route),
        }
    }
    for settled in settled.iter().filter(|settled| !settled.clean_gateway) {
        let asked = request.routes.iter().any(|route| {
            is_default(route, settled.demand.family) && settled.net().contains(&route.gw)
        });
        if let (false, Some(gw)) = (asked, settled.gateway()) {
            place(settled, Route { dst: default_of(settled.demand.family), gw });
        }
    }
    let addresses = settled.into_iter().map(granted).collect();
    Ok(Allocated { addresses, routes, unplaced })
}

fn granted(settled: Settled<'_>) -> Granted {
    Granted {
        address: settled.net(),
        gateway: settled.gateway(),
        demand: settled.demand,
        pool: settled.pool,
        space: settled.space,
        generation: settled.generation,
        kept: settled.kept,
    }
}

fn is_default(route: &Route, family: Family) -> bool {
    route.dst.prefix_len() == 0 && Family::of(route.gw) == family
}

fn default_of(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    }
}
