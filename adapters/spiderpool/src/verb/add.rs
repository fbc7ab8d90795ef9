//! ADD: allocate, and answer with the addresses and routes of the interface that asked.

use crate::failure;
use crate::forget::forget;
use crate::request::request;
use crate::session::{Attachment, Session, moment};
use crate::verb::settle::settle;
use serde_json::Value;
use spiderpool_cni::{Call, CniError, CniResult, Dns, IpConfig, NetConf, Route, code};
use spiderpool_core::command::{Allocated, Answer, Command};
use spiderpool_core::refusal::{AllocateRefusal, Refusal};
use spiderpool_core::request::Request;
use spiderpool_host::SweepError;
use spiderpool_netlink::probe::Timing;
use spiderpool_store::{Extra, Store, StoreError};
use std::path::PathBuf;

/// How often a sweep begins anew when containers come and go meanwhile.
const SWEEPS: u32 = 8;

/// Allocates for one interface, and answers in the version that was asked.
///
/// # Errors
/// As `crate::failure` lists them; nothing is allocated then.
pub(crate) fn run(call: &Call<PathBuf>, conf: &NetConf) -> Result<Value, CniError> {
    let session = Session::start("ADD", conf, Some((&call.container_id, &call.ifname)))?;
    let allocated = allocate(&session, call, conf).map_err(|error| session.failed(error))?;
    for route in &allocated.unplaced {
        session
            .log
            .warn(format!("no interface of the pod reaches the next hop of the route {route}"));
    }
    let result = result(&session, &allocated, call, conf)?;
    let given: Vec<_> = result.ips.iter().map(|ip| ip.address.to_string()).collect();
    session.log.info(format!("gave {}", given.join(", ")));
    Ok(result.lower(conf.version))
}

fn allocate(
    session: &Session,
    call: &Call<PathBuf>,
    conf: &NetConf,
) -> Result<Allocated, CniError> {
    let of_store = |error: StoreError| failure::of_store(&error);
    let store = session.store().map_err(of_store)?;
    let ticket = store.revision().map_err(of_store)?;
    let Attachment { container, interface } = Attachment::of(call)?;
    let _turn = store.lock_container(&container, session.patience).map_err(of_store)?;
    let netns = call.netns.to_string_lossy();
    let witness = spiderpool_host::witness(&container, &interface, &netns)
        .map_err(|error| failure::told(code::BAD_NETNS, &error))?;
    let extra = Extra { add: vec![witness], ..Extra::default() };
    let request = request(session, call, conf, ticket)?;
    let ask = || ask_under_pressure((session, &store), &request, &extra);
    let allocated = ask()?;
    if session.ipam.detection() == Timing::default() {
        return Ok(allocated);
    }
    settle((session, &store), call, allocated, ask)
}

/// Asks, and where the pools are exhausted, once more when something was given back meanwhile.
fn ask_under_pressure(
    (session, store): (&Session, &Store),
    request: &Request,
    extra: &Extra,
) -> Result<Allocated, CniError> {
    let of_store = |error: StoreError| failure::of_store(&error);
    let before = store.revision().map_err(of_store)?;
    let outcome = match ask(store, request, extra)? {
        Err(refused) if is_exhausted(&refused) => {
            reclaim(session, store)?;
            // Whoever gave it back, this process or another one: there may be room now.
            let changed = store.revision().map_err(of_store)? != before;
            if changed { ask(store, request, extra)? } else { Err(refused) }
        }
        outcome => outcome,
    };
    let allocated = outcome.map_err(of_store)?;
    forget(session, &allocated.addresses);
    Ok(allocated)
}

fn ask(
    store: &Store,
    request: &Request,
    extra: &Extra,
) -> Result<Result<Allocated, StoreError>, CniError> {
    match store.execute(&Command::Allocate(request.clone()), moment()?, extra) {
        Ok(Answer::Allocated(allocated)) => Ok(Ok(allocated)),
        Ok(other) => {
            Err(CniError::new(code::INTERNAL, format!("an allocation was answered with {other:?}")))
        }
        Err(error) => Ok(Err(error)),
    }
}

fn is_exhausted(error: &StoreError) -> bool {
    let StoreError::Refused(refusal) = error else { return false };
    matches!(&**refusal, Refusal::Allocate(AllocateRefusal::Unsatisfied(_)))
}

/// Under pressure: gives back what a reboot or a lost DEL left behind.
fn reclaim(session: &Session, store: &Store) -> Result<(), CniError> {
    let failed = |error: &SweepError| failure::told(code::IO_FAILURE, error);
    let mut tries = 0..SWEEPS;
    let freed = loop {
        let survey = spiderpool_host::survey(store).map_err(|error| failed(&error))?;
        match spiderpool_host::sweep(store, &survey, |_| true, moment()?) {
            Err(SweepError::Store(StoreError::Overtaken { .. })) if tries.next().is_some() => {}
            outcome => break outcome.map_err(|error| failed(&error))?,
        }
    };
    for standing in &freed {
        let place = &standing.place;
        session
            .log
            .warn(format!("reclaimed {} of {}, which is gone", place.address, standing.owner));
    }
    Ok(())
}

fn result(
    session: &Session,
    allocated: &Allocated,
    call: &Call<PathBuf>,
    conf: &NetConf,
) -> Result<CniResult, CniError> {
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
        dns: dns(session, conf)?,
    })
}

/// The `dns` of the `ipam` object, else that of the network.
fn dns(session: &Session, conf: &NetConf) -> Result<Dns, CniError> {
    let Some(own) = &session.ipam.dns else { return Ok(conf.dns.clone()) };
    let only_dns = serde_json::json!({ "dns": own });
    CniResult::lift(&only_dns).map(|result| result.dns).map_err(CniError::from)
}
