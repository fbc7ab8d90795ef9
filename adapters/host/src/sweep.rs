//! Finding and giving back what nobody uses any more.

use spiderpool_core::command::{Answer, Claim, Command, Place, Reclaim, Standing};
use spiderpool_core::event::Ending;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Owner, Stage};
use spiderpool_netlink::witness::WitnessFault;
use spiderpool_netlink::{Verdict, Witness};
use spiderpool_store::{Extra, Store, StoreError, Witness as Stored};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// An allocation whose namespace is certainly gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What to present to give it back.
    pub claim: Claim,
    /// The text of its owner.
    pub owner: String,
    /// Its container id.
    pub container: String,
    /// Its interface.
    pub attachment: Name,
    /// The pool it was granted through.
    pub pool: Name,
    /// What shows that it is gone.
    pub why: String,
}

/// What all witnesses of a store say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Allocations that can be given back.
    pub dead: Vec<Death>,
    /// Allocations of which it cannot be known, each with what was in the way.
    pub unknown: Vec<(Place, String)>,
    /// How many allocations live, for all that is known.
    pub alive: usize,
    /// The witnesses that were judged.
    seen: BTreeSet<Stored>,
    /// Attachments that have a witness and hold nothing.
    idle: BTreeSet<(Name, Name)>,
}

/// A survey or a sweep failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SweepError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A complete view lacked something: a bug.
    #[error("{0}")]
    Incomplete(String),
}

/// The text to store of a network namespace, in the same commit as what is granted to it.
///
/// # Errors
/// [`WitnessFault`] when there is no network namespace at the path.
pub fn witness(container: &Name, attachment: &Name, netns: &str) -> Result<Stored, WitnessFault> {
    let seen = Witness::of(netns)?;
    let body = serde_json::to_string(&seen).unwrap_or_default();
    Ok(Stored { container: container.clone(), attachment: attachment.clone(), body })
}

/// Judges every allocation by its witness. What was granted ahead shares the fate of its
/// container; an allocation without a witness is unknown, and one of a static identity lives.
///
/// # Errors
/// [`SweepError`] when the store cannot be read.
pub fn survey(store: &Store) -> Result<Survey, SweepError> {
    let witnesses = store.witnesses()?;
    let judged = judge(&witnesses);
    let view = store.load_all()?;
    let mut survey = Survey::default();
    let mut used = BTreeSet::new();
    let allocations =
        view.allocations().map_err(|need| SweepError::Incomplete(need.to_string()))?;
    for found in allocations {
        let allocation = &found.allocation;
        let place = Place { space: found.key.space.clone(), address: found.address() };
        let is_static = Owner::parse(allocation.owner).is_ok_and(|owner| owner.is_static());
        let attachment = allocation.placement.attachment.clone();
        used.insert((allocation.container.to_owned(), attachment.to_string()));
        if is_static {
            survey.alive += 1;
            continue;
        }
        let of_container = judged.get(allocation.container);
        let verdict = of_container.and_then(|nics| match allocation.stage {
            Stage::Ahead => nics.values().next(),
            Stage::Attached | Stage::Detached => nics.get(&*attachment),
        });
        match verdict {
            Some(Verdict::Alive) => survey.alive += 1,
            Some(Verdict::Gone { why }) => survey.dead.push(Death {
                claim: Claim { place, generation: allocation.generation },
                owner: allocation.owner.to_owned(),
                container: allocation.container.to_owned(),
                attachment,
                pool: allocation.placement.pool.clone(),
                why: why.clone(),
            }),
            Some(Verdict::Unknown { why }) => survey.unknown.push((place, why.clone())),
            None => survey.unknown.push((place, "no namespace was recorded for it".to_owned())),
        }
    }
    let key = |stored: &Stored| (stored.container.clone(), stored.attachment.clone());
    let is_idle =
        |(container, nic): &(Name, Name)| !used.contains(&(container.to_string(), nic.to_string()));
    survey.idle = witnesses.iter().map(key).filter(is_idle).collect();
    survey.seen = witnesses.into_iter().collect();
    Ok(survey)
}

type Judged = BTreeMap<String, BTreeMap<String, Verdict>>;

fn judge(witnesses: &[Stored]) -> Judged {
    let mut judged = Judged::new();
    for stored in witnesses {
        let verdict = match serde_json::from_str::<Witness>(&stored.body) {
            Ok(witness) => witness.judge(),
            Err(error) => Verdict::Unknown { why: format!("its witness cannot be read: {error}") },
        };
        let nics = judged.entry(stored.container.to_string()).or_default();
        nics.insert(stored.attachment.to_string(), verdict);
    }
    judged
}

/// Gives back what a survey found dead, together with the witnesses that are of no use any more.
///
/// # Errors
/// [`SweepError`] when the store cannot be written.
pub fn sweep(store: &Store, survey: &Survey, moment: Moment) -> Result<Vec<Standing>, SweepError> {
    // Asking again for what is held leaves its generation, but not its witness.
    let still: BTreeSet<Stored> = store.witnesses()?.into_iter().collect();
    let changed: BTreeSet<_> = survey
        .seen
        .symmetric_difference(&still)
        .map(|stored| stored.container.to_string())
        .collect();
    let dead: Vec<_> = survey.dead.iter().filter(|d| !changed.contains(&d.container)).collect();
    let claims: Vec<_> = dead.iter().map(|death| death.claim.clone()).collect();
    let idle = survey.idle.iter().filter(|(container, _)| !changed.contains(&**container));
    let mut remove: Vec<_> =
        idle.map(|(container, nic)| (container.clone(), Some(nic.clone()))).collect();
    let swept = dead
        .iter()
        .filter_map(|d| Some((Name::new(&d.container).ok()?, Some(d.attachment.clone()))));
    remove.extend(swept);
    if claims.is_empty() && remove.is_empty() {
        return Ok(Vec::new());
    }
    let reclaim = Command::Reclaim(Reclaim { claims, statics: false, ending: Ending::Reclaimed });
    let extra = Extra { add: Vec::new(), remove };
    match store.execute(&reclaim, moment, &extra) {
        Ok(Answer::Freed(freed)) => Ok(freed),
        Ok(_) => Ok(Vec::new()),
        // The one allocation that was dead has been given back by somebody else since.
        Err(StoreError::Refused(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
