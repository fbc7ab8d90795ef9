//! The embedded store as the keeper of an ADD's allocations.
//!
//! Verbs for one container take turns. Where the pools are exhausted, what a reboot or a lost DEL left
//! behind is given back, and the store is asked once more.

use crate::detect::Taken;
use crate::failure;
use crate::forget::forget;
use crate::offer::{Grantor, Offer, Report};
use crate::request::request;
use crate::session::{Attachment, Session, moment};
use spiderpool_cni::{Call, CniError, NetConf, code};
use spiderpool_core::command::{
    Allocated, Answer, Claim, Command, Conflict, Granted, Place, Release, Suspicion,
};
use spiderpool_core::name::Name;
use spiderpool_core::refusal::{AllocateRefusal, ChangeRefusal, Refusal};
use spiderpool_core::request::Request;
use spiderpool_host::SweepError;
use spiderpool_netlink::probe::Mac;
use spiderpool_store::{Extra, Store, StoreError};
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// How often a sweep begins anew when containers come and go meanwhile.
const SWEEPS: u32 = 8;

/// One ADD's way into the store.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    session: &'a Session,
    store: &'a Store,
    request: Request,
    extra: Extra,
    attachment: Attachment,
    /// Whether this ADD was granted something.
    is_granted: Cell<bool>,
}

/// Hands an ADD its way into the store of a directory, while it is the container's turn.
///
/// # Errors
/// When the store cannot be used or the call cannot be lifted to a request, and those of `work`.
pub(crate) fn with_store<T>(
    (session, dir): (&Session, &Path),
    call: &Call<PathBuf>,
    conf: &NetConf,
    work: impl FnOnce(&Embedded<'_>) -> Result<T, CniError>,
) -> Result<T, CniError> {
    let store = session.store(dir).map_err(of_store)?;
    let ticket = store.revision().map_err(of_store)?;
    let attachment = Attachment::of(call)?;
    let Attachment { container, interface } = &attachment;
    let _turn = store.lock_container(container, session.patience).map_err(of_store)?;
    let netns = call.netns.to_string_lossy();
    let witness = spiderpool_host::witness(container, interface, &netns)
        .map_err(|error| failure::told(code::BAD_NETNS, &error))?;
    let extra = Extra { add: vec![witness], ..Extra::default() };
    let request = request(session, call, conf, ticket)?;
    let (store, is_granted) = (&store, Cell::new(false));
    work(&Embedded { session, store, request, extra, attachment, is_granted })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn of_store(error: StoreError) -> CniError {
    failure::of_store(&error)
}

impl Grantor for Embedded<'_> {
    fn ask(&self) -> Result<Offer, CniError> {
        let allocated = self.ask_under_pressure()?;
        self.is_granted.set(true);
        forget(self.session, &allocated.addresses);
        let timing = self.session.ipam.detection();
        let questions = allocated.addresses.iter().map(|one| (one.address.addr(), timing));
        Ok(Offer { questions: questions.collect(), allocated, dns: None })
    }

    fn report(&self, taken: &Taken<'_>) -> Result<Report, CniError> {
        let Granted { address, space, generation, .. } = taken.granted;
        let place = Place { space: space.clone(), address: address.addr() };
        let claim = Claim { place, generation: *generation };
        let Mac(mac) = taken.mac;
        let command = Command::Conflict(Conflict { claim, mac });
        match self.store.execute(&command, moment()?, &Extra::default()) {
            Ok(Answer::Spared(suspicion)) => Ok(Report::Kept(spared(suspicion))),
            Ok(_) => Ok(Report::Quarantined),
            Err(StoreError::Refused(refusal)) => match &*refusal {
                Refusal::Change(why @ ChangeRefusal::Static { .. }) => {
                    Ok(Report::Kept(why.to_string()))
                }
                Refusal::Change(
                    ChangeRefusal::Stale { .. } | ChangeRefusal::NotAllocated { .. },
                ) => Ok(Report::Gone),
                Refusal::Change(_) | Refusal::Allocate(_) | Refusal::Define(_) => {
                    Err(of_store(StoreError::Refused(refusal)))
                }
            },
            Err(error) => Err(of_store(error)),
        }
    }

    /// As with a DEL.
    fn give_back(&self) {
        if !self.is_granted.replace(false) {
            return;
        }
        if let Err(error) = self.release() {
            self.session.log.error(format!(
                "what the failed ADD holds could not be given back: {}; DEL does it, or a reclaim",
                error.msg
            ));
        }
    }
}

impl Embedded<'_> {
    /// Asks, and where the pools are exhausted, once more when something was given back meanwhile.
    fn ask_under_pressure(&self) -> Result<Allocated, CniError> {
        let before = self.store.revision().map_err(of_store)?;
        let outcome = match self.ask_once()? {
            Err(refused) if is_exhausted(&refused) => {
                self.reclaim()?;
                // Whoever gave it back, this process or another one: there may be room now.
                let changed = self.store.revision().map_err(of_store)? != before;
                if changed { self.ask_once()? } else { Err(refused) }
            }
            outcome => outcome,
        };
        outcome.map_err(of_store)
    }

    fn ask_once(&self) -> Result<Result<Allocated, StoreError>, CniError> {
        let command = Command::Allocate(self.request.clone());
        match self.store.execute(&command, moment()?, &self.extra) {
            Ok(Answer::Allocated(allocated)) => Ok(Ok(allocated)),
            Ok(other) => {
                let told = format!("an allocation was answered with {other:?}");
                Err(CniError::new(code::INTERNAL, told))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Under pressure: gives back what a reboot or a lost DEL left behind.
    fn reclaim(&self) -> Result<(), CniError> {
        let failed = |error: &SweepError| failure::told(code::IO_FAILURE, error);
        let mut tries = 0..SWEEPS;
        let freed = loop {
            let survey = spiderpool_host::survey(self.store).map_err(|error| failed(&error))?;
            match spiderpool_host::sweep(self.store, &survey, |_| true, moment()?) {
                Err(SweepError::Store(StoreError::Overtaken { .. })) if tries.next().is_some() => {}
                outcome => break outcome.map_err(|error| failed(&error))?,
            }
        };
        for standing in &freed {
            let (address, owner) = (standing.place.address, &standing.owner);
            self.session.log.warn(format!("reclaimed {address} of {owner}, which is gone"));
        }
        Ok(())
    }

    fn release(&self) -> Result<(), CniError> {
        let Attachment { container, interface } = &self.attachment;
        let ticket = self.store.revision().map_err(of_store)?;
        let gone: (Name, Option<Name>) = (container.clone(), Some(interface.clone()));
        let release =
            Release { container: container.clone(), attachment: Some(interface.clone()), ticket };
        let extra = Extra { remove: vec![gone], ..Extra::default() };
        let command = Command::Release(release);
        self.store.execute(&command, moment()?, &extra).map(|_| ()).map_err(of_store)
    }
}

fn is_exhausted(error: &StoreError) -> bool {
    let StoreError::Refused(refusal) = error else { return false };
    matches!(&**refusal, Refusal::Allocate(AllocateRefusal::Unsatisfied(_)))
}

fn spared(suspicion: Suspicion) -> String {
    match suspicion {
        Suspicion::OneMacForMany { mac, addresses } => format!(
            "{} answers for {addresses} addresses of the pool, so it is a router with proxy ARP rather than a host: the address is not put in quarantine; turn proxy ARP off there, or detection off here",
            Mac(mac)
        ),
        Suspicion::TooMany { quarantined } => format!(
            "{quarantined} addresses of the pool are in quarantine, so the address is not put there too; see who uses the pool's range (`spiderpoolctl ip list`), or turn detection off"
        ),
    }
}
