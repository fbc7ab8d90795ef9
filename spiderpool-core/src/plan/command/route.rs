//! Routes in words.

use std::fmt;
use std::net::IpAddr;

use super::{Word, protocol};
use crate::address::Family;
use crate::net::{Hop, Route, RoutePreference, RouteType, Scope};

/// What follows `ip route add` or `delete`.
pub(super) struct Told<'a>(pub(super) &'a Route);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(route) = self;
        if route.kind != RouteType::Unicast {
            write!(f, "{} ", kind(route.kind))?;
        }
        match route.destination.prefix_len() {
            0 => f.write_str("default")?,
            _ => write!(f, "{}", route.destination)?,
        }
        if route.tos != 0 {
            write!(f, " tos {:#x}", route.tos)?;
        }
        if let Some(id) = route.nexthop_id {
            write!(f, " nhid {id}")?;
        } else if let [hop] = route.hops.as_slice() {
            way(f, hop, route.family())?;
        }
        write!(f, " table {}", route.table)?;
        protocol(f, "proto", route.protocol)?;
        attributes(f, route)?;
        if route.nexthop_id.is_none() && route.hops.len() > 1 {
            for hop in &route.hops {
                f.write_str(" nexthop")?;
                way(f, hop, route.family())?;
                write!(f, " weight {}", hop.weight)?;
            }
        }
        Ok(())
    }
}

fn way(f: &mut fmt::Formatter<'_>, hop: &Hop, family: Family) -> fmt::Result {
    match hop.gateway {
        Some(gateway @ IpAddr::V6(_)) if family == Family::V4 => write!(f, " via inet6 {gateway}")?,
        Some(gateway) => write!(f, " via {gateway}")?,
        None => {}
    }
    if let Some(device) = &hop.device {
        write!(f, " dev {}", Word(device))?;
    }
    f.write_str(if hop.is_onlink { " onlink" } else { "" })
}

fn attributes(f: &mut fmt::Formatter<'_>, route: &Route) -> fmt::Result {
    if route.family() == Family::V4 {
        let has_gateway = route.hops.iter().any(|hop| hop.gateway.is_some());
        let is_obvious = route.scope == Scope::Universe && has_gateway;
        let has_scope = !route.hops.is_empty() && !is_obvious;
        if has_scope {
            write!(f, " scope {}", scope(route.scope))?;
        }
    }
    if let Some(source) = route.source {
        write!(f, " src {source}")?;
    }
    if route.metric != 0 {
        write!(f, " metric {}", route.metric)?;
    }
    for (number, value) in &route.metrics {
        match metric(*number) {
            Some(name) => write!(f, " {name} {value}")?,
            None => write!(f, " rtax{number} {value}")?,
        }
    }
    f.write_str(match route.preference {
        RoutePreference::Low => " pref low",
        RoutePreference::Medium => "",
        RoutePreference::High => " pref high",
    })
}

/// The name of a scope (`/etc/iproute2/rt_scopes`).
pub(super) fn scope(scope: Scope) -> String {
    match scope {
        Scope::Universe => "global".to_owned(),
        Scope::Site => "site".to_owned(),
        Scope::Link => "link".to_owned(),
        Scope::Host => "host".to_owned(),
        Scope::Nowhere => "nowhere".to_owned(),
        Scope::Other(number) => number.to_string(),
    }
}

fn kind(kind: RouteType) -> String {
    let name = match kind {
        RouteType::Unicast => "unicast",
        RouteType::Local => "local",
        RouteType::Broadcast => "broadcast",
        RouteType::Anycast => "anycast",
        RouteType::Multicast => "multicast",
        RouteType::Blackhole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        RouteType::Throw => "throw",
        RouteType::Other(number) => return number.to_string(),
    };
    name.to_owned()
}

/// The name of a metric by its number (`RTAX_*` in `include/uapi/linux/rtnetlink.h`).
const fn metric(number: u16) -> Option<&'static str> {
    Some(match number {
        2 => "mtu",
        3 => "window",
        4 => "rtt",
        5 => "rttvar",
        6 => "ssthresh",
        7 => "cwnd",
        8 => "advmss",
        9 => "reordering",
        10 => "hoplimit",
        11 => "initcwnd",
        12 => "features",
        13 => "rto_min",
        14 => "initrwnd",
        15 => "quickack",
        17 => "fastopen_no_cookie",
        _ => return None,
    })
}
