//! From an offer to one that the wire agrees with: conflicting addresses are reported, and others taken
//! in their place.
//!
//! Called by ADD, whoever keeps the allocations. A static identity keeps its address and gets no other
//! (`a_static_identity_keeps_a_conflicting_address_and_fails`).

use crate::detect::{self, Taken, detect};
use crate::offer::{Grantor, Offer, Report};
use crate::session::Session;
use spiderpool_cni::{Call, CniError, code};
use std::path::PathBuf;

/// How often a pod gets other addresses in place of conflicting ones within one ADD. More of them
/// are no accident, and the runtime waits.
const ANOTHER: u32 = 2;

/// Gives an offer whose addresses nobody else has.
///
/// # Errors
/// Code 105 or 106 when there is none, and what detection and ledger have to say.
pub(crate) fn settle(
    session: &Session,
    call: &Call<PathBuf>,
    grantor: &impl Grantor,
    mut offer: Offer,
) -> Result<Offer, CniError> {
    for round in 0..=ANOTHER {
        let taken = taken(session, call, &offer)?;
        let Some(first) = taken.first() else { return Ok(offer) };
        for one in &taken {
            report(session, grantor, one)?;
        }
        if round == ANOTHER {
            return Err(detect::conflict(first, "the two before it were taken too"));
        }
        offer = grantor.ask()?;
    }
    Err(CniError::new(code::INTERNAL, "detection has no end".to_owned()))
}

/// The addresses of the interface that others have.
fn taken<'a>(
    session: &Session,
    call: &Call<PathBuf>,
    offer: &'a Offer,
) -> Result<Vec<Taken<'a>>, CniError> {
    for (timing, granted) in offer.questions_of(&call.ifname) {
        let taken = detect(session, call, timing, &granted)?;
        if !taken.is_empty() {
            return Ok(taken);
        }
    }
    Ok(Vec::new())
}

fn report(session: &Session, grantor: &impl Grantor, taken: &Taken<'_>) -> Result<(), CniError> {
    match grantor.report(taken)? {
        Report::Quarantined => {
            session.log.warn(format!("{}; it is put in quarantine", taken.told()));
            Ok(())
        }
        Report::Gone => Ok(()),
        Report::Kept(why) => Err(detect::conflict(taken, &why)),
    }
}
