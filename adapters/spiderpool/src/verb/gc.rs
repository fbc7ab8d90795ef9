//! GC: give back what the runtime does not list (CNI spec 1.1.0, section 2, "GC").

use crate::agent;
use crate::ledger::Ledger;
use crate::session::{Session, moment, name};
use spiderpool_cni::{CniError, NetConf};
use spiderpool_core::command::{Answer, Collect, Command};
use spiderpool_store::{Extra, StoreError};
use std::collections::BTreeSet;
use std::path::Path;

/// Tombstones are kept for an hour: no ADD lasts so long.
const TOMBSTONES_MS: u64 = 60 * 60 * 1000;

/// Frees this network's attachments that are not listed. Without a list nothing is known, and
/// nothing is freed; an empty list says that nothing is attached. Static identities stay.
///
/// # Errors
/// When the ledger cannot be asked.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let session = Session::start("GC", conf, None)?;
    let Some(valid) = &conf.valid_attachments else {
        session.log.warn("the runtime gave no list of attachments; nothing is freed");
        return Ok(());
    };
    let collected = match &session.ledger {
        Ledger::Embedded(dir) => {
            let mut keep = BTreeSet::new();
            for attachment in valid {
                keep.insert((name(&attachment.container_id)?, name(&attachment.ifname)?));
            }
            collected(&session, dir, Collect { network: session.network.clone(), keep })
        }
        Ledger::Agent(socket) => agent::collect(&session, socket, valid),
    };
    collected.map_err(|error| session.failed(error))
}

fn collected(session: &Session, dir: &Path, collect: Collect) -> Result<(), CniError> {
    let of_store = |error: StoreError| crate::failure::of_store(&error);
    let store = match session.store(dir) {
        Err(StoreError::Missing { .. }) => return Ok(()),
        store => store.map_err(of_store)?,
    };
    let now = moment()?;
    let answer =
        store.execute(&Command::Collect(collect), now, &Extra::default()).map_err(of_store)?;
    let Answer::Freed(freed) = answer else { return Ok(()) };
    for standing in &freed {
        session.log.info(format!("collected {} of {}", standing.place.address, standing.owner));
    }
    let gone = freed.iter().filter_map(|standing| {
        let container = spiderpool_core::name::Name::new(&standing.container).ok()?;
        Some((container, Some(standing.attachment.clone())))
    });
    let extra = Extra { remove: gone.collect(), ..Extra::default() };
    let tidy = Command::Tidy { before_ms: now.now_ms.saturating_sub(TOMBSTONES_MS) };
    store.execute(&tidy, moment()?, &extra).map_err(of_store)?;
    Ok(())
}
