//! GC: take back what the runtime does not list (CNI spec 1.1.0, section 2, "GC").

use crate::failure;
use crate::session::Session;
use spiderpool_cni::{CniError, NetConf};
use spiderpool_core::net::LinkName;
use spiderpool_host::attachment::{Collection, collect};
use std::collections::BTreeSet;

/// Withdraws this network's attachments that are not listed, and those of any network whose namespace is
/// gone. Without a list nothing is known of what is valid, so only the latter go.
///
/// # Errors
/// The first failure, when all the others have been tried.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let session = Session::lenient("GC", conf, ("", ""));
    let keep = conf.valid_attachments.as_ref().map(|valid| {
        let of = |ifname: &str| LinkName::new(ifname).ok();
        let listed =
            valid.iter().filter_map(|one| Some((one.container_id.clone(), of(&one.ifname)?)));
        listed.collect::<BTreeSet<_>>()
    });
    if keep.is_none() {
        session.log.warn("the runtime gave no list of attachments");
    }
    let collection = Collection { network: &conf.name, keep: keep.as_ref(), until: session.until };
    let collected = collect(&session.records, &collection);
    let collected = collected.map_err(|fault| session.failed(failure::of_records(&fault)))?;
    for (container, interface) in &collected.withdrawn {
        session.log.info(format!("collected `{interface}` of container {container}"));
    }
    collected.remarks.iter().for_each(|remark| session.log.warn(remark));
    match collected.faults.first() {
        None => Ok(()),
        Some(first) => {
            collected.faults.iter().for_each(|fault| session.log.error(fault));
            Err(failure::of(first))
        }
    }
}
