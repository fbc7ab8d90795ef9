//! CHECK: whether ledger, namespace and previous result still agree.

use crate::agent::{self, Held};
use crate::failure::MISMATCH;
use crate::ledger::Ledger;
use crate::session::{Attachment, Session};
use ipnet::IpNet;
use spiderpool_cni::{Call, CniError, CniResult, NetConf, code};
use spiderpool_core::net;
use spiderpool_core::view::{Need, View};
use spiderpool_netlink::Namespace;
use std::net::IpAddr;
use std::path::PathBuf;

/// Says nothing when all three agree.
///
/// # Errors
/// Code 104 with the first difference; others when ledger or namespace cannot be looked at.
pub(crate) fn run(call: &Call<PathBuf>, conf: &NetConf) -> Result<(), CniError> {
    let session = Session::start("CHECK", conf, Some((&call.container_id, &call.ifname)))?;
    check(&session, call, conf).map_err(|error| session.failed(error))
}

fn check(session: &Session, call: &Call<PathBuf>, conf: &NetConf) -> Result<(), CniError> {
    let held = match &session.ledger {
        Ledger::Embedded(dir) => {
            let attachment = Attachment::of(call)?;
            let store = session.store(dir);
            store
                .and_then(|store| store.look(|view| held(view, &attachment)))
                .map_err(|error| crate::failure::of_store(&error))?
        }
        Ledger::Agent(socket) => match agent::check(session, socket, call)? {
            Held::Addresses(held) => held,
            Held::Unknown => {
                session.log.warn("the agent is older than CHECK; nothing is compared");
                return Ok(());
            }
        },
    };
    if held.is_empty() {
        return Err(mismatch(format!(
            "{} has no address for `{}` of container `{}`",
            session.ledger.told(),
            call.ifname,
            call.container_id
        )));
    }
    if let Some(result) = conf.prev_result.clone().transpose()? {
        agree(session, &held, &result)?;
    }
    in_namespace(session, call, &held)
}

fn mismatch(told: String) -> CniError {
    CniError::new(MISMATCH, told)
}

/// The addresses that the store has for an attachment, each with its pool's prefix length.
fn held(view: &View, attachment: &Attachment) -> Result<Vec<IpNet>, Need> {
    let mut held = Vec::new();
    for found in view.held_in(&attachment.container)? {
        if found.allocation.placement.attachment != attachment.interface {
            continue;
        }
        let entry = view.pool(&found.allocation.placement.pool)?;
        let length = entry.map(|entry| entry.pool.prefix().prefix_len());
        held.extend(length.and_then(|length| IpNet::new(found.address(), length).ok()));
    }
    Ok(held)
}

/// The previous result lists every address that the ledger has; it may list others of a chain.
fn agree(session: &Session, held: &[IpNet], result: &CniResult) -> Result<(), CniError> {
    let listed: Vec<IpNet> = result.ips.iter().map(|ip| ip.address).collect();
    match held.iter().find(|address| !listed.contains(address)) {
        None => Ok(()),
        Some(address) => {
            let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
            Err(mismatch(format!(
                "{} has {address}, but the previous result lists only [{}]",
                session.ledger.told(),
                listed.join(", ")
            )))
        }
    }
}

fn in_namespace(session: &Session, call: &Call<PathBuf>, held: &[IpNet]) -> Result<(), CniError> {
    let bad =
        |error: &(dyn std::error::Error + 'static)| CniError::caused_by(code::BAD_NETNS, error);
    let namespace = Namespace::by_path(&call.netns).map_err(|error| bad(&error))?;
    let addresses = namespace.run(|session| session.addresses()).map_err(|error| bad(&error))?;
    for net in held {
        let address: IpAddr = net.addr();
        let on = |a: &&net::Address| {
            a.device.as_str() == call.ifname.as_str() && a.net.addr() == address
        };
        let Some(seen) = addresses.iter().find(on) else {
            return Err(mismatch(format!(
                "{} has {net} for `{}`, but the interface does not carry it",
                session.ledger.told(),
                call.ifname
            )));
        };
        if seen.flags.has_dad_failed {
            return Err(mismatch(format!(
                "another host answers for {address} (duplicate address detection failed on `{}`)",
                call.ifname
            )));
        }
    }
    Ok(())
}
