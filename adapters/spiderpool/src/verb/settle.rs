//! From an allocation to one that the wire agrees with: conflicting addresses are put in quarantine
//! and others taken in their place.
//!
//! Called by ADD where detection is on. An ADD that does not end well gives back what it holds;
//! a static identity keeps its address and gets no other
//! (`a_static_identity_keeps_a_conflicting_address_and_fails`).

use crate::detect::{self, Taken, detect};
use crate::failure;
use crate::session::{Attachment, Session, moment};
use spiderpool_cni::{Call, CniError, code};
use spiderpool_core::command::{
    Allocated, Answer, Claim, Command, Conflict, Granted, Place, Release, Suspicion,
};
use spiderpool_core::name::Name;
use spiderpool_core::refusal::{ChangeRefusal, Refusal};
use spiderpool_netlink::probe::Mac;
use spiderpool_store::{Extra, Store, StoreError};
use std::path::PathBuf;

/// How often a pod gets other addresses in place of conflicting ones within one ADD. More of them
/// are no accident, and the runtime waits.
const ANOTHER: u32 = 2;

/// Gives an allocation whose addresses nobody else has; `again` allocates once more.
///
/// # Errors
/// Code 105 or 106 when there is none, and what detection and store have to say; what the interface
/// held is given back then.
pub(crate) fn settle(
    (session, store): (&Session, &Store),
    call: &Call<PathBuf>,
    mut allocated: Allocated,
    again: impl Fn() -> Result<Allocated, CniError>,
) -> Result<Allocated, CniError> {
    let attempt = || {
        for round in 0..=ANOTHER {
            let own: Vec<_> = own(&allocated, &call.ifname).collect();
            let taken = detect(session, call, &own)?;
            let Some(first) = taken.first() else { return Ok(allocated) };
            for one in &taken {
                quarantine((session, store), one)?;
            }
            if round == ANOTHER {
                return Err(detect::conflict(first, "the two before it were taken too"));
            }
            allocated = again()?;
        }
        Err(CniError::new(code::INTERNAL, "detection has no end".to_owned()))
    };
    let settled = attempt();
    if settled.is_err() {
        give_back((session, store), call);
    }
    settled
}

/// What was granted to one interface.
fn own<'a>(allocated: &'a Allocated, interface: &str) -> impl Iterator<Item = &'a Granted> {
    allocated.addresses.iter().filter(move |granted| *granted.demand.attachment == *interface)
}

fn quarantine((session, store): (&Session, &Store), taken: &Taken<'_>) -> Result<(), CniError> {
    let Granted { address, space, generation, .. } = taken.granted;
    let place = Place { space: space.clone(), address: address.addr() };
    let claim = Claim { place, generation: *generation };
    let Mac(mac) = taken.mac;
    let command = Command::Conflict(Conflict { claim, mac });
    match store.execute(&command, moment()?, &Extra::default()) {
        Ok(Answer::Spared(suspicion)) => Err(spared(taken, suspicion)),
        Ok(_) => {
            session.log.warn(format!("{}; it is put in quarantine", taken.told()));
            Ok(())
        }
        Err(StoreError::Refused(refusal)) => match &*refusal {
            Refusal::Change(why @ ChangeRefusal::Static { .. }) => {
                Err(detect::conflict(taken, &why.to_string()))
            }
            // Somebody has ended the allocation meanwhile, so there is nothing to take away.
            Refusal::Change(ChangeRefusal::Stale { .. } | ChangeRefusal::NotAllocated { .. }) => {
                Ok(())
            }
            Refusal::Change(_) | Refusal::Allocate(_) | Refusal::Define(_) => {
                Err(failure::of_store(&StoreError::Refused(refusal)))
            }
        },
        Err(error) => Err(failure::of_store(&error)),
    }
}

fn spared(taken: &Taken<'_>, suspicion: Suspicion) -> CniError {
    let why = match suspicion {
        Suspicion::OneMacForMany { mac, addresses } => format!(
            "{} answers for {addresses} addresses of the pool, so it is a router with proxy ARP rather than a host: the address is not put in quarantine; turn proxy ARP off there, or detection off here",
            Mac(mac)
        ),
        Suspicion::TooMany { quarantined } => format!(
            "{quarantined} addresses of the pool are in quarantine, so the address is not put there too; see who uses the pool's range (`spiderpoolctl ip list`), or turn detection off"
        ),
    };
    detect::conflict(taken, &why)
}

/// The ADD fails: what the interface holds goes back, as with a DEL.
fn give_back((session, store): (&Session, &Store), call: &Call<PathBuf>) {
    let given = || -> Result<Answer, CniError> {
        let Attachment { container, interface } = Attachment::of(call)?;
        let ticket = store.revision().map_err(|error| failure::of_store(&error))?;
        let gone: (Name, Option<Name>) = (container.clone(), Some(interface.clone()));
        let release = Release { container, attachment: Some(interface), ticket };
        let extra = Extra { remove: vec![gone], ..Extra::default() };
        let answer = store.execute(&Command::Release(release), moment()?, &extra);
        answer.map_err(|error| failure::of_store(&error))
    };
    if let Err(error) = given() {
        session.log.error(format!(
            "what the failed ADD holds could not be given back: {}; DEL does it, or a reclaim",
            error.msg
        ));
    }
}
