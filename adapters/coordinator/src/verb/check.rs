//! CHECK: whether both namespaces still hold what was recorded at ADD.

use crate::session::{Session, interface};
use crate::{failure, outcome};
use spiderpool_cni::{Call, CniError, NetConf};
use spiderpool_host::attachment::{Drift, Subject, drift};
use std::path::PathBuf;

/// Says nothing when they do. A pod that another program attached has no record; there is nothing to
/// hold it against, and that is no error.
///
/// # Errors
/// Code 104 with every difference, as the command that would mend it; 103 when the record of an
/// attachment of ours is lost; others when the namespaces cannot be looked at.
pub(crate) fn run(call: &Call<PathBuf>, conf: &NetConf) -> Result<(), CniError> {
    let session = Session::strict("CHECK", conf, (&call.container_id, &call.ifname))?;
    check(&session, call, conf).map_err(|error| session.failed(error))
}

fn check(session: &Session, call: &Call<PathBuf>, conf: &NetConf) -> Result<(), CniError> {
    outcome::previous(conf)?;
    let interface = interface(call)?;
    let subject =
        Subject { container: &call.container_id, interface: &interface, until: session.until };
    let drift = drift(&session.records, &subject, &call.netns);
    match drift.map_err(|error| failure::of(&error))? {
        Drift::Unrecorded => {
            session
                .log
                .warn("there is no record: another program attached it, or nothing was done");
            Ok(())
        }
        Drift::Drifted(plan) if plan.is_empty() => Ok(()),
        Drift::Drifted(plan) => Err(failure::of_difference(&call.ifname, &plan)),
    }
}
