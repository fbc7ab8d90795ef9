//! STATUS: whether an ADD could be served (CNI spec 1.1.0, section 2, "STATUS").
//!
//! A full pool is not a node that is not ready: only a ledger or a configuration that cannot be used
//! is.

use crate::agent;
use crate::ledger::Ledger;
use crate::session::Session;
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_core::view::{Need, View};
use spiderpool_store::StoreError;
use std::path::Path;

/// Says nothing when an ADD could be served.
///
/// # Errors
/// Code 50 when the ledger cannot be used, or the configuration names pools that do not exist.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let session = Session::start("STATUS", conf, None).map_err(|error| unavailable(&error))?;
    let missing = match &session.ledger {
        Ledger::Embedded(dir) => missing_in_store(&session, dir),
        Ledger::Agent(socket) => agent::status(&session, socket, exact(&session)),
    };
    let missing = missing.map_err(|error| session.failed(error))?;
    if missing.is_empty() {
        return Ok(());
    }
    let told =
        format!("network `{}` names pools that do not exist: {}", conf.name, missing.join(", "));
    Err(session.failed(CniError::new(code::NOT_AVAILABLE, told)))
}

fn unavailable(error: &CniError) -> CniError {
    CniError { code: code::NOT_AVAILABLE, ..error.clone() }
}

fn missing_in_store(session: &Session, dir: &Path) -> Result<Vec<String>, CniError> {
    let store = session.store(dir);
    let missing = store.and_then(|store| {
        store.require_room()?;
        store.look(|view| missing(view, session))
    });
    missing.map_err(|error: StoreError| unavailable(&crate::failure::of_store(&error)))
}

/// The pools that the configuration names one by one.
fn exact(session: &Session) -> Vec<String> {
    let ipam = &session.ipam;
    let names = ipam.default_ipv4_ippool.iter().chain(&ipam.default_ipv6_ippool);
    names.filter(|name| !name.contains(['*', '?', '['])).cloned().collect()
}

/// Those of them that are not there.
fn missing(view: &View, session: &Session) -> Result<Vec<String>, Need> {
    let mut missing = Vec::new();
    for name in exact(session) {
        if view.pool(&name)?.is_none() {
            missing.push(name);
        }
    }
    Ok(missing)
}
