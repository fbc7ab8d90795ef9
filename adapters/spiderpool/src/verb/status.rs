//! STATUS: whether an ADD could be served (CNI spec 1.1.0, section 2, "STATUS").
//!
//! A full pool is not a node that is not ready: only a store or a configuration that cannot be
//! used is.

use crate::session::Session;
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_core::view::{Need, View};
use spiderpool_store::StoreError;

/// Says nothing when an ADD could be served.
///
/// # Errors
/// Code 50 when the store cannot be used, or the configuration names pools that do not exist.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let session = Session::start("STATUS", conf, None).map_err(|error| unavailable(&error))?;
    let missing = (session.store())
        .and_then(|store| {
            store.require_room()?;
            store.look(|view| missing(view, &session))
        })
        .map_err(|error: StoreError| {
            session.failed(unavailable(&crate::failure::of_store(&error)))
        })?;
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

/// The pools that the configuration names one by one and that are not there.
fn missing(view: &View, session: &Session) -> Result<Vec<String>, Need> {
    let ipam = &session.ipam;
    let mut missing = Vec::new();
    for name in ipam.default_ipv4_ippool.iter().chain(&ipam.default_ipv6_ippool) {
        let is_exact = !name.contains(['*', '?', '[']);
        if is_exact && view.pool(name)?.is_none() {
            missing.push(name.clone());
        }
    }
    Ok(missing)
}
