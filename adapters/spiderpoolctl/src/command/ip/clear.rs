//! `ip clear`: ends a rest or a quarantine before its time.

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{DEFAULT_SPACE, parse_place};
use crate::session::Session;
use clap::Args;
use spiderpool_core::command::{Command, Place};
use spiderpool_store::Extra;

/// Set an address free that rests or is in quarantine
#[derive(Debug, Args)]
#[command(
    long_about = "Set an address free that rests or is in quarantine.\n\nDo so when whoever used the address without leave is gone, or when a rest is longer than it need be.",
    after_long_help = after!("  spiderpoolctl ip clear 10.1.2.3")
)]
pub(crate) struct Clear {
    /// The address
    address: String,
    /// Its address space
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "NAME")]
    space: String,
}

impl Clear {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let place = parse_place(&self.address, &self.space)?;
        clear(session, &place)?;
        session.show(&place, || format!("{} is free\n", place.address))?;
        Ok(Exit::Done)
    }
}

fn clear(session: &Session, place: &Place) -> Result<(), Failure> {
    #[cfg(feature = "cluster")]
    if let Some(cluster) = session.cluster()? {
        return crate::cluster::clear(session, &cluster, place);
    }
    let store = session.open()?;
    store.execute(&Command::Clear(place.clone()), session.moment(), &Extra::default())?;
    Ok(())
}
