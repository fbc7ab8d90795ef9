//! DEL: take back what only this interface needed, however often it is asked.

use crate::failure;
use crate::session::{Session, interface};
use spiderpool_cni::{Call, CniError, NetConf};
use spiderpool_host::attachment::{Subject, Withdrawal, detach};
use std::path::PathBuf;

/// Detaches one interface. Container id and interface are all it needs: what is gone already is no
/// error, be it record, namespace or node-side link.
///
/// # Errors
/// When something that is there cannot be taken away; the runtime tries again.
pub(crate) fn run(call: &Call<Option<PathBuf>>, conf: &NetConf) -> Result<(), CniError> {
    let session = Session::lenient("DEL", conf, (&call.container_id, &call.ifname));
    let interface = interface(call)?;
    let subject =
        Subject { container: &call.container_id, interface: &interface, until: session.until };
    let withdrawal = Withdrawal { subject, netns: call.netns.as_deref() };
    match detach(&session.records, &withdrawal) {
        Ok(detached) => {
            detached.remarks.iter().for_each(|remark| session.log.warn(remark));
            session.log.info(format!("detached in {} steps", detached.plan.steps.len()));
            Ok(())
        }
        Err(error) => Err(session.failed(failure::of(&error))),
    }
}
