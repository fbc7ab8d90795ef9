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
    /// Witnesses of attachments that hold nothing any more.
    stale: Vec<(Name, Option<Name>)>,
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
    let judged = judge(store)?;
    let view = store.load_all()?;
    let mut survey = Survey::default();
    let mut used = BTreeSet::new();
    let allocations = view.allocations().map_err(|need| SweepError::Incomplete(need.to_string()))?;
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
    let is_stale = |container: &str, nic: &str| !used.contains(&(container.to_owned(), nic.to_owned()));
    for (container, nics) in &judged {
        let stale = nics.keys().filter(|nic| is_stale(container, nic));
        let names = stale.filter_map(|nic| Some((Name::new(container).ok()?, Name::new(nic).ok())));
        survey.stale.extend(names);
    }
    Ok(survey)
}

type Judged = BTreeMap<String, BTreeMap<String, Verdict>>;

fn judge(store: &Store) -> Result<Judged, SweepError> {
    let mut judged = Judged::new();
    for stored in store.witnesses()? {
        let verdict = match serde_json::from_str::<Witness>(&stored.body) {
            Ok(witness) => witness.judge(),
            Err(error) => Verdict::Unknown { why: format!("its witness cannot be read: {error}") },
        };
        let nics = judged.entry(stored.container.to_string()).or_default();
        nics.insert(stored.attachment.to_string(), verdict);
    }
    Ok(judged)
}

/// Gives back what a survey found dead, together with the witnesses that are of no use any more.
///
/// # Errors
/// [`SweepError`] when the store cannot be written.
pub fn sweep(store: &Store, survey: &Survey, moment: Moment) -> Result<Vec<Standing>, SweepError> {
    let mut remove = survey.stale.clone();
    let dead = survey.dead.iter();
    remove.extend(dead.filter_map(|d| Some((Name::new(&d.container).ok()?, Some(d.attachment.clone())))));
    let claims: Vec<_> = survey.dead.iter().map(|death| death.claim.clone()).collect();
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
