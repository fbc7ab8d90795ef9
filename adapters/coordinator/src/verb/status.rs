//! STATUS: whether an ADD could be served (CNI spec 1.1.0, section 2, "STATUS").

use crate::session::Session;
use spiderpool_agent_api::Client;
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_coordinator::facts::socket;
use spiderpool_host::attachment::try_out;

/// Says nothing when an ADD could be served: the configuration can be read, records can be written, the
/// kernel answers for routes and for nftables, and so does the agent where there is one.
///
/// # Errors
/// Code 50 with what is in the way.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let session = Session::strict("STATUS", conf, ("", ""))
        .map_err(|error| CniError { code: code::NOT_AVAILABLE, ..error })?;
    let unavailable = |error: &(dyn std::error::Error + 'static)| {
        session.failed(CniError::caused_by(code::NOT_AVAILABLE, error))
    };
    try_out(&session.records).map_err(|error| unavailable(&error))?;
    let Some(socket) = socket(&session.conf) else { return Ok(()) };
    Client::new(socket, session.until).healthy().map_err(|fault| unavailable(&fault))
}
