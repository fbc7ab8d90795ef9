//! ADD: allocate, and answer with the addresses and routes of the interface that asked.

use crate::agent::Agent;
use crate::embedded::with_store;
use crate::ledger::Ledger;
use crate::offer::{Grantor, Offer};
use crate::session::Session;
use crate::verb::settle::settle;
use serde_json::Value;
use spiderpool_cni::{Call, CniError, CniResult, Dns, IpConfig, NetConf, Route, code};
use std::path::PathBuf;

/// Allocates for one interface, and answers in the version that was asked.
///
/// # Errors
/// As `crate::failure` lists them; nothing is allocated then.
pub(crate) fn run(call: &Call<PathBuf>, conf: &NetConf) -> Result<Value, CniError> {
    let session = Session::start("ADD", conf, Some((&call.container_id, &call.ifname)))?;
    let result = match &session.ledger {
        Ledger::Embedded(dir) => {
            with_store((&session, dir), call, conf, |embedded| add(&session, call, conf, embedded))
        }
        Ledger::Agent(socket) => Agent::new(&session, socket, call, conf)
            .and_then(|agent| add(&session, call, conf, &agent)),
    };
    let result = result.map_err(|error| session.failed(error))?;
    let given: Vec<_> = result.ips.iter().map(|ip| ip.address.to_string()).collect();
    session.log.info(format!("gave {}", given.join(", ")));
    Ok(result.lower(conf.version))
}

/// An ADD that does not end well gives back what it was granted.
fn add(
    session: &Session,
    call: &Call<PathBuf>,
    conf: &NetConf,
    grantor: &impl Grantor,
) -> Result<CniResult, CniError> {
    let settled = grantor.ask().and_then(|offer| settle(session, call, grantor, offer));
    let result = settled.and_then(|offer| result(session, &offer, call, conf));
    result.inspect_err(|_| grantor.give_back())
}

fn result(
    session: &Session,
    offer: &Offer,
    call: &Call<PathBuf>,
    conf: &NetConf,
) -> Result<CniResult, CniError> {
    let allocated = &offer.allocated;
    for route in &allocated.unplaced {
        session
            .log
            .warn(format!("no interface of the pod reaches the next hop of the route {route}"));
    }
    let own =
        allocated.addresses.iter().filter(|granted| *granted.demand.attachment == *call.ifname);
    let ips: Vec<_> = own
        .map(|granted| IpConfig {
            address: granted.address,
            gateway: granted.gateway,
            interface: None,
        })
        .collect();
    if ips.is_empty() {
        let told = format!("the answer has no address for `{}`", call.ifname);
        return Err(CniError::new(code::INTERNAL, told));
    }
    let routes = allocated.routes.iter().filter(|placed| *placed.attachment == *call.ifname);
    Ok(CniResult {
        interfaces: Vec::new(),
        ips,
        routes: routes.map(|placed| Route::new(placed.route.dst, Some(placed.route.gw))).collect(),
        dns: dns(session, offer, conf)?,
    })
}

/// The `dns` of the `ipam` object, else what came with the addresses, else that of the network.
fn dns(session: &Session, offer: &Offer, conf: &NetConf) -> Result<Dns, CniError> {
    let Some(own) = &session.ipam.dns else {
        return Ok(offer.dns.clone().unwrap_or_else(|| conf.dns.clone()));
    };
    let only_dns = serde_json::json!({ "dns": own });
    CniResult::lift(&only_dns).map(|result| result.dns).map_err(CniError::from)
}
