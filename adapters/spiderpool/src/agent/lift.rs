//! What the agent says, lifted to the core's types.
//!
//! Invariants: only what belongs to the asked interface is taken, since a reply lists every NIC of the pod
//! (`only_the_interface_that_asks_is_taken`); a text that contradicts itself is refused with its field
//! (`contradictions_are_named`).

use crate::offer::Offer;
use ipnet::IpNet;
use spiderpool_agent_api::message::{IpConfig, IpamAddResponse, Route};
use spiderpool_cni::Dns;
use spiderpool_core::address::Family;
use spiderpool_core::command::{Allocated, Granted, PlacedRoute};
use spiderpool_core::definition;
use spiderpool_core::name::Name;
use spiderpool_core::request::Demand;
use spiderpool_netlink::probe::{Target, Timing};
use std::collections::BTreeMap;
use std::net::IpAddr;
use thiserror::Error;

/// The address space of an agent that names none.
const SPACE: &str = "default";
/// The pool of an agent that names none.
const POOL: &str = "unnamed";

/// The agent's answer contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadReply {
    #[error("the agent's reply has no address for `{interface}`; it has some for [{others}]")]
    Nothing { interface: String, others: String },
    #[error("the agent's reply is wrong: `{field}` is `{got}`, which is not {wanted}")]
    Field { field: &'static str, got: String, wanted: &'static str },
    #[error("the agent's reply has {address} twice for one interface")]
    Twice { address: IpAddr },
}

fn bad(field: &'static str, got: &str, wanted: &'static str) -> BadReply {
    let got = got.chars().take(64).collect();
    BadReply::Field { field, got, wanted }
}

/// What is granted to one interface. `pace` is that of the questions which the agent wants asked.
pub(crate) fn offer(
    reply: &IpamAddResponse,
    interface: &str,
    pace: Timing,
) -> Result<Offer, BadReply> {
    let mut questions = BTreeMap::new();
    let mut addresses = Vec::new();
    for ip in reply.ips.iter().filter(|ip| ip.nic == interface) {
        let granted = granted(ip)?;
        let address = granted.address.addr();
        let timing = Timing {
            conflict: pace.conflict.filter(|_| ip.enable_ip_conflict_detection),
            gateway: pace.gateway.filter(|_| ip.enable_gateway_detection),
        };
        if questions.insert(address, timing).is_some() {
            return Err(BadReply::Twice { address });
        }
        addresses.push(granted);
    }
    if addresses.is_empty() {
        let others: Vec<_> = reply.ips.iter().map(|ip| ip.nic.as_str()).collect();
        let (interface, others) = (interface.to_owned(), others.join(", "));
        return Err(BadReply::Nothing { interface, others });
    }
    let own = reply.routes.iter().filter(|route| route.if_name == interface);
    let routes = own.map(placed).collect::<Result<_, _>>()?;
    let allocated = Allocated { addresses, routes, unplaced: Vec::new() };
    Ok(Offer { allocated, questions, dns: dns(reply) })
}

/// The addresses of one interface.
pub(super) fn held(ips: &[IpConfig], interface: &str) -> Result<Vec<IpNet>, BadReply> {
    let own = ips.iter().filter(|ip| ip.nic == interface);
    own.map(|ip| granted(ip).map(|granted| granted.address)).collect()
}

fn granted(ip: &IpConfig) -> Result<Granted, BadReply> {
    let wanted = "an address with the length of its pool's prefix";
    let address: IpNet = ip.address.parse().map_err(|_| bad("address", &ip.address, wanted))?;
    let family = Family::of(address.addr());
    if ip.version != if family == Family::V4 { 4 } else { 6 } {
        return Err(bad("version", &ip.version.to_string(), "the family of its address"));
    }
    let wanted = "an address of its family";
    let gateway = ip.gateway.as_deref();
    let gateway: Option<IpAddr> =
        gateway.map(|text| text.parse().map_err(|_| bad("gateway", text, wanted))).transpose()?;
    // An address that no host can have on a link is no pod's either, and so it is with its gateway.
    Target::new(address.addr(), gateway)
        .map_err(|_| bad("address", &ip.address, "one that a host can have with its gateway"))?;
    let name = |field, text: Option<&str>, otherwise| {
        let text = text.unwrap_or(otherwise);
        Name::new(text).map_err(|_| bad(field, text, "a name"))
    };
    Ok(Granted {
        demand: Demand { attachment: name("nic", Some(ip.nic.as_str()), "")?, family },
        address,
        gateway,
        pool: name("ipPool", ip.ip_pool.as_deref(), POOL)?,
        space: name("space", ip.space.as_deref(), SPACE)?,
        generation: ip.generation.unwrap_or_default(),
        kept: ip.kept,
    })
}

fn placed(route: &Route) -> Result<PlacedRoute, BadReply> {
    let dst: IpNet =
        route.dst.parse().map_err(|_| bad("dst", &route.dst, "the prefix of a route"))?;
    let wanted = "an address of its route's family";
    let gw: IpAddr = route.gw.parse().map_err(|_| bad("gw", &route.gw, wanted))?;
    if gw.is_ipv4() != dst.addr().is_ipv4() {
        return Err(bad("gw", &route.gw, wanted));
    }
    let attachment = Name::new(&route.if_name).map_err(|_| bad("ifName", &route.if_name, "a name"));
    Ok(PlacedRoute { attachment: attachment?, route: definition::Route { dst, gw } })
}

/// Name resolution, if the reply has any; the reference's agent sends an empty one.
fn dns(reply: &IpamAddResponse) -> Option<Dns> {
    let said = reply.dns.as_ref()?;
    let dns = Dns {
        nameservers: said.nameservers.clone(),
        domain: said.domain.clone(),
        search: said.search.clone(),
        options: said.options.clone(),
    };
    (dns != Dns::default()).then_some(dns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(nic: &str, address: &str, gateway: &str) -> IpConfig {
        IpConfig {
            version: if address.contains(':') { 6 } else { 4 },
            address: address.into(),
            nic: nic.into(),
            gateway: Some(gateway.into()).filter(|text: &String| !text.is_empty()),
            ..IpConfig::default()
        }
    }

    fn route(nic: &str, dst: &str, gw: &str) -> Route {
        Route { if_name: nic.into(), dst: dst.into(), gw: gw.into() }
    }

    fn lift(ips: Vec<IpConfig>, routes: Vec<Route>) -> Result<Offer, BadReply> {
        let reply = IpamAddResponse { ips, routes, ..IpamAddResponse::default() };
        offer(&reply, "eth0", Timing::default())
    }

    #[test]
    fn only_the_interface_that_asks_is_taken() {
        let offer = lift(
            vec![
                ip("net1", "nonsense", ""),
                ip("eth0", "10.6.0.10/24", "10.6.0.1"),
                ip("eth0", "fd00::10/64", ""),
            ],
            vec![route("net1", "x", "y"), route("eth0", "0.0.0.0/0", "10.6.0.1")],
        );
        let Allocated { addresses, routes, .. } = offer.unwrap().allocated;
        let texts: Vec<_> = addresses.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(texts, ["10.6.0.10/24", "fd00::10/64"], "host bits stay");
        assert_eq!((addresses[0].space.as_str(), routes.len()), ("default", 1));
        let none = lift(vec![ip("net1", "10.6.0.10/24", "")], Vec::new()).unwrap_err();
        assert!(none.to_string().contains("no address for `eth0`; it has some for [net1]"));
    }

    #[test]
    fn contradictions_are_named() {
        let check = |ip: IpConfig, field: &str| {
            let error = lift(vec![ip], Vec::new()).unwrap_err();
            assert!(error.to_string().contains(&format!("`{field}` is")), "{error}");
        };
        let good = ip("eth0", "10.6.0.10/24", "10.6.0.1");
        check(ip("eth0", "10.6.0.10", ""), "address");
        check(ip("eth0", "10.6.0.10/33", ""), "address");
        check(ip("eth0", "0.0.0.0/0", ""), "address");
        check(ip("eth0", "127.0.0.1/8", ""), "address");
        check(ip("eth0", "224.0.0.1/24", ""), "address");
        check(ip("eth0", "10.6.0.10/24", "fd00::1"), "address");
        check(ip("eth0", "10.6.0.10/24", "x"), "gateway");
        check(IpConfig { version: 6, ..good.clone() }, "version");
        check(IpConfig { version: 0, ..good.clone() }, "version");
        check(IpConfig { space: Some("a b".into()), ..good.clone() }, "space");
        check(IpConfig { ip_pool: Some("y".repeat(300)), ..good.clone() }, "ipPool");
        let twice = lift(vec![good.clone(), good.clone()], Vec::new()).unwrap_err();
        assert_eq!(twice, BadReply::Twice { address: "10.6.0.10".parse().unwrap() });
        for (dst, gw) in [("x", "10.6.0.1"), ("10.0.0.0/8", "x"), ("10.0.0.0/8", "fd00::1")] {
            assert!(lift(vec![good.clone()], vec![route("eth0", dst, gw)]).is_err(), "{dst} {gw}");
        }
    }
}
