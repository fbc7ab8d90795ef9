//! `ip reserve`: keeps addresses from being given out, or for one identity.

#[cfg(feature = "cluster")]
use crate::copy::{Copy, put};
#[cfg(feature = "cluster")]
use crate::definition::Definition;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{DEFAULT_SPACE, parse_name, parse_place};
use crate::session::{Session, host_name};
use clap::Args;
use serde::Serialize;
use spiderpool_core::address::parse_range;
use spiderpool_core::command::{Answer, Command, Hold, Standing};
use spiderpool_core::definition::{Reservation, ReservationDraft};
use spiderpool_core::owner::Owner;
use spiderpool_core::view::View;
use spiderpool_store::Extra;

/// Keep addresses from being given out, or hold one for an identity
#[derive(Debug, Args)]
#[command(
    long_about = "Keep addresses from being given out, or hold one for an identity.\n\nWithout --for, the addresses are put into a reservation, which is made or grows; allocations that are there stay until they are released. With --for, one address is held for a static identity until its pod comes, and outlives that pod.",
    after_long_help = after!(
        "  spiderpoolctl ip reserve 10.1.2.3\n  \
           spiderpoolctl ip reserve 10.1.2.10-10.1.2.19 --name printers\n  \
           spiderpoolctl ip reserve 10.1.2.4 --for default/web-0 --interface eth0"
    )
)]
pub(crate) struct Reserve {
    /// An address, a range first-last, or a prefix
    addresses: String,
    /// The reservation to make or to add to
    #[arg(long, default_value = "by-hand", value_name = "NAME", conflicts_with = "identity")]
    name: String,
    /// The static identity that one address is held for
    #[arg(long = "for", value_name = "IDENTITY")]
    identity: Option<String>,
    /// The identity's interface
    #[arg(long, default_value = "eth0", value_name = "IF", requires = "identity")]
    interface: String,
    /// The node that is recorded [default: this host's name]
    #[arg(long, value_name = "NAME", requires = "identity")]
    node: Option<String>,
    /// The address space
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "NAME")]
    space: String,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reserved {
    addresses: String,
    by: String,
    /// Allocations that stay until they are released.
    standing: Vec<Standing>,
}

impl Reserve {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let reserved = match &self.identity {
            Some(identity) => self.hold(session, identity)?,
            None => self.reserve(session)?,
        };
        session.show(&reserved, || print(&reserved))?;
        Ok(Exit::Done)
    }

    fn hold(&self, session: &Session, identity: &str) -> Result<Reserved, Failure> {
        let owner = Owner::identity(&parse_name("identity", identity)?)
            .map_err(|bad| Failure::bad("the identity cannot be used").because(&bad))?;
        let node = self.node.clone().unwrap_or_else(host_name);
        let hold = Hold {
            owner,
            attachment: parse_name("interface", &self.interface)?,
            place: parse_place(&self.addresses, &self.space)?,
            node: parse_name("node", &node)?,
        };
        let (addresses, by) = (hold.place.address.to_string(), hold.owner.to_string());
        let reserved = Reserved { addresses, by, standing: Vec::new() };
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            crate::cluster::reserve(session, &cluster, hold)?;
            return Ok(reserved);
        }
        session.open()?.execute(&Command::Hold(hold), session.moment(), &Extra::default())?;
        Ok(reserved)
    }

    fn reserve(&self, session: &Session) -> Result<Reserved, Failure> {
        let bad = |error: &dyn std::error::Error| {
            Failure::bad(format!("`{}` cannot be reserved", self.addresses)).because(error)
        };
        let range = parse_range(&self.addresses).map_err(|error| bad(&error))?;
        let mut draft = ReservationDraft {
            name: self.name.clone(),
            space: self.space.clone(),
            version: Some(range.family().version().into()),
            ranges: vec![range.to_string()],
        };
        let fresh = Reservation::try_from(draft.clone()).map_err(|error| bad(&error))?;
        let view = session.view()?;
        if let Some(old) = existing(&view, &self.name) {
            if old.space() != fresh.space() || old.addresses().family() != range.family() {
                let what = format!("reservation {} is of another family or space", self.name);
                return Err(Failure::bad(what).try_this("give another --name"));
            }
            let both = old.addresses().union(fresh.addresses());
            draft.ranges = both.ranges().map(|range| range.to_string()).collect();
        }
        let reservation = Reservation::try_from(draft).map_err(|error| bad(&error))?;
        let standing = define(session, view, reservation)?;
        Ok(Reserved {
            addresses: range.to_string(),
            by: format!("reservation {}", self.name),
            standing,
        })
    }
}

/// Makes or changes a reservation, and gives the allocations that stay under it.
fn define(
    session: &Session,
    view: View,
    reservation: Reservation,
) -> Result<Vec<Standing>, Failure> {
    #[cfg(feature = "cluster")]
    if let Some(cluster) = session.cluster()? {
        let definitions = vec![Definition::Reservation(reservation)];
        let mut steps = put(&mut Copy { view }, definitions, session.moment())?;
        crate::cluster::apply(&cluster, &mut steps, &[], false)?;
        return Ok(steps.into_iter().flat_map(|step| step.standing).collect());
    }
    drop(view);
    let command = Command::DefineReservation(reservation);
    let answer = session.open()?.execute(&command, session.moment(), &Extra::default())?;
    Ok(match answer {
        Answer::Defined { standing, .. } => standing,
        Answer::Allocated(_)
        | Answer::Freed(_)
        | Answer::Quarantined { .. }
        | Answer::Spared(_)
        | Answer::Done => Vec::new(),
    })
}

fn existing(view: &View, name: &str) -> Option<Reservation> {
    view.reservations()
        .find(|reservation| &**reservation.name() == name)
        .map(|found| (**found).clone())
}

fn print(reserved: &Reserved) -> String {
    let mut text = format!("{} reserved by {}\n", reserved.addresses, reserved.by);
    for held in &reserved.standing {
        text.push_str(&format!(
            "  {} stays with {} until it is released\n",
            held.place.address, held.owner
        ));
    }
    text
}
