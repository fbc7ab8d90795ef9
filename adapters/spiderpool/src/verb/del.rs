//! DEL: give back what this container holds on this interface, however often it is asked.

use crate::agent;
use crate::ledger::Ledger;
use crate::session::{Attachment, Session, moment};
use spiderpool_cni::{Call, CniError, NetConf};
use spiderpool_core::command::{Answer, Command, Release};
use spiderpool_store::{Extra, StoreError};
use std::path::{Path, PathBuf};

/// Releases one interface. Container id and interface are all it needs; what is gone already is no
/// error, and neither is a store that never was or that cannot be written any more: what is left
/// behind then is reclaimed later.
///
/// # Errors
/// When the store is there and cannot be asked, or the agent does not answer; the runtime tries again.
pub(crate) fn run(call: &Call<Option<PathBuf>>, conf: &NetConf) -> Result<(), CniError> {
    let session = Session::start("DEL", conf, Some((&call.container_id, &call.ifname)))?;
    match &session.ledger {
        Ledger::Embedded(dir) => of_store(&session, dir, call),
        Ledger::Agent(socket) => {
            agent::release(&session, socket, call).map_err(|error| session.failed(error))
        }
    }
}

fn of_store(session: &Session, dir: &Path, call: &Call<Option<PathBuf>>) -> Result<(), CniError> {
    match release(session, dir, call)? {
        Ok(answer) => {
            if let Answer::Freed(freed) = answer {
                let addresses: Vec<_> = freed.iter().map(|s| s.place.address.to_string()).collect();
                session.log.info(format!("took back [{}]", addresses.join(", ")));
            }
            Ok(())
        }
        Err(StoreError::Missing { .. }) => {
            session.log.warn("there is no store, so there is nothing to give back");
            Ok(())
        }
        Err(error @ StoreError::ReadOnly { .. }) => {
            session.log.error(format!("{error}; what is left behind is reclaimed later"));
            Ok(())
        }
        Err(error) => Err(session.store_failed(&error)),
    }
}

fn release(
    session: &Session,
    dir: &Path,
    call: &Call<Option<PathBuf>>,
) -> Result<Result<Answer, StoreError>, CniError> {
    let Attachment { container, interface } = Attachment::of(call)?;
    let moment = moment()?;
    let ask = || {
        let store = session.store(dir)?;
        let ticket = store.revision()?;
        // Where no lock file can be made the commit itself still takes its turn.
        let _turn = store.lock_container(&container, session.patience).ok();
        let extra = Extra {
            remove: vec![(container.clone(), Some(interface.clone()))],
            ..Extra::default()
        };
        let release =
            Release { container: container.clone(), attachment: Some(interface.clone()), ticket };
        store.execute(&Command::Release(release), moment, &extra)
    };
    Ok(ask())
}
