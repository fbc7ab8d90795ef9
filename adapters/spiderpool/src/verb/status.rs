//! STATUS: whether an ADD could be served (CNI spec 1.1.0, section 2, "STATUS").
//!
//! A full pool is not a node that is not ready: only a store or a configuration that cannot be
//! used is.

use crate::session::{Session, moment, name};
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_core::command::Command;
use spiderpool_core::view::View;
use spiderpool_store::{Extra, StoreError};

/// Says nothing when an ADD could be served.
///
/// # Errors
/// Code 50 when the store cannot be used, or the configuration names pools that do not exist.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let session = Session::start("STATUS", conf, None).map_err(|error| unavailable(&error))?;
    let now = moment().map_err(|error| session.failed(unavailable(&error)))?;
    // Removing what no container can have writes nothing, but has to be allowed to: a store that is
    // read-only serves no ADD.
    let nobody = name("/").map_err(|error| unavailable(&error))?;
    let probe = Extra { add: Vec::new(), remove: vec![(nobody, None)] };
    let missing = (session.store())
        .and_then(|store| {
            store.execute(&Command::Tidy { before_ms: 0 }, now, &probe)?;
            store.read(|view| missing(view, &session))
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
fn missing(view: &View, session: &Session) -> Vec<String> {
    let ipam = &session.ipam;
    let named = ipam.default_ipv4_ippool.iter().chain(&ipam.default_ipv6_ippool);
    let exact = named.filter(|name| !name.contains(['*', '?', '[']));
    exact.filter(|name| matches!(view.pool(name), Ok(None))).cloned().collect()
}
