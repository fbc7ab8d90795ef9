//! Finding and giving back what nobody uses any more.

use spiderpool_core::command::{Answer, Claim, Command, Place, Reclaim, Standing};
use spiderpool_core::event::Ending;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Owner, Stage};
use spiderpool_core::view::Found;
use spiderpool_netlink::witness::WitnessFault;
use spiderpool_netlink::{Verdict, Witness};
use spiderpool_store::{Extra, Store, StoreError, Witness as Stored};
use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, fs};
use thiserror::Error;

/// What became of an allocation's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was made before the last boot.
    OtherBoot,
    /// Its namespace is gone in this boot.
    Dead {
        /// What shows it.
        why: String,
    },
    /// It was granted ahead, and nothing that is attached is left of its container.
    Abandoned,
    /// It lives, for all that is known.
    Alive,
    /// It belongs to a static identity, which keeps it without a pod.
    Static,
    /// It cannot be known.
    Unknown {
        /// What is in the way.
        why: String,
    },
}

impl Fate {
    /// Whether it is certain that nobody uses the address any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::OtherBoot | Self::Dead { .. } | Self::Abandoned => true,
            Self::Alive | Self::Static | Self::Unknown { .. } => false,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBoot => f.write_str("made before the last boot"),
            Self::Dead { why } => write!(f, "its namespace is gone: {why}"),
            Self::Abandoned => {
                f.write_str("granted ahead, and nothing attached is left of its container")
            }
            Self::Alive => f.write_str("alive"),
            Self::Static => f.write_str("a static identity keeps it"),
            Self::Unknown { why } => write!(f, "unknown: {why}"),
        }
    }
}

/// An allocation and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What to present to give it back.
    pub claim: Claim,
    /// Its container id; empty while there is none.
    pub container: String,
    /// Its interface.
    pub attachment: Name,
    /// What became of its namespace.
    pub fate: Fate,
}

/// What all witnesses of a store say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every allocation, in the order of its address.
    pub judged: Vec<Judged>,
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

/// Judges every allocation by its witness. What was granted ahead shares the fate of what is attached
/// of its container.
///
/// # Errors
/// [`SweepError`] when the store cannot be read.
pub fn survey(store: &Store) -> Result<Survey, SweepError> {
    let witnesses = store.witnesses()?;
    let bodies: BTreeMap<_, _> = witnesses
        .iter()
        .map(|stored| ((&*stored.container, &*stored.attachment), stored.body.as_str()))
        .collect();
    let boot_id = boot_id();
    let view = store.load_all()?;
    let allocations: Vec<_> =
        view.allocations().map_err(|need| SweepError::Incomplete(need.to_string()))?.collect();
    let mut survey = Survey::default();
    let mut attached: BTreeMap<&str, Fate> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for found in &allocations {
        let (container, nic) =
            (found.allocation.container, &*found.allocation.placement.attachment);
        let fate = fate(found, bodies.get(&(container, nic)).copied(), &boot_id);
        if found.allocation.stage == Stage::Attached {
            let of_container = attached.entry(container).or_insert_with(|| fate.clone());
            if !fate.is_over() {
                *of_container = fate.clone();
            }
        }
        used.insert((container, nic));
        survey.judged.push(judged(found, fate));
    }
    for (found, judged) in allocations.iter().zip(&mut survey.judged) {
        if found.allocation.stage == Stage::Ahead && judged.fate != Fate::Static {
            let siblings = attached.get(found.allocation.container);
            judged.fate = siblings.cloned().unwrap_or(Fate::Abandoned);
        }
    }
    let key = |stored: &Stored| (stored.container.clone(), stored.attachment.clone());
    let is_idle = |(container, nic): &(Name, Name)| !used.contains(&(&**container, &**nic));
    survey.idle = witnesses.iter().map(key).filter(is_idle).collect();
    survey.seen = witnesses.into_iter().collect();
    Ok(survey)
}

fn judged(found: &Found<'_>, fate: Fate) -> Judged {
    let place = Place { space: found.key.space.clone(), address: found.address() };
    Judged {
        claim: Claim { place, generation: found.allocation.generation },
        container: found.allocation.container.to_owned(),
        attachment: found.allocation.placement.attachment.clone(),
        fate,
    }
}

fn fate(found: &Found<'_>, body: Option<&str>, boot_id: &str) -> Fate {
    if Owner::parse(found.allocation.owner).is_ok_and(|owner| owner.is_static()) {
        return Fate::Static;
    }
    let Some(body) = body else { return Fate::Unknown { why: "it has no witness".to_owned() } };
    let Ok(witness) = serde_json::from_str::<Witness>(body) else {
        return Fate::Unknown { why: "its witness cannot be read".to_owned() };
    };
    match witness.judge() {
        Verdict::Alive => Fate::Alive,
        Verdict::Unknown { why } => Fate::Unknown { why },
        Verdict::Gone { .. } if witness.boot_id != boot_id => Fate::OtherBoot,
        Verdict::Gone { why } => Fate::Dead { why },
    }
}

fn boot_id() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    read.trim().to_owned()
}

/// Gives back what a survey found to be over, as far as `takes` says, together with the witnesses that
/// are of no use any more. Nothing is done when a witness has changed since: survey again then.
///
/// # Errors
/// [`SweepError`] when the store cannot be written, or has been overtaken.
pub fn sweep(
    store: &Store,
    survey: &Survey,
    takes: impl Fn(&Fate) -> bool,
    moment: Moment,
) -> Result<Vec<Standing>, SweepError> {
    let going: Vec<_> =
        survey.judged.iter().filter(|one| one.fate.is_over() && takes(&one.fate)).collect();
    let claims: Vec<_> = going.iter().map(|one| one.claim.clone()).collect();
    let swept = going
        .iter()
        .filter_map(|one| Some((Name::new(&one.container).ok()?, one.attachment.clone())));
    let remove: BTreeSet<_> = survey.idle.iter().cloned().chain(swept).collect();
    if claims.is_empty() && remove.is_empty() {
        return Ok(Vec::new());
    }
    let containers: BTreeSet<_> = remove.iter().map(|(container, _)| container).collect();
    let rests_on = |stored: &&Stored| containers.contains(&stored.container);
    let expect: Vec<_> = survey.seen.iter().filter(rests_on).cloned().collect();
    // What was granted ahead keeps its generation when its own ADD comes, and gets a witness then.
    let is_seen = |key: &(Name, Name)| {
        expect.iter().any(|seen| (&seen.container, &seen.attachment) == (&key.0, &key.1))
    };
    let absent = remove.iter().filter(|key| !is_seen(key)).cloned().collect();
    let remove = remove.iter().map(|(container, nic)| (container.clone(), Some(nic.clone())));
    let extra = Extra { remove: remove.collect(), expect, absent, ..Extra::default() };
    let reclaim = Command::Reclaim(Reclaim { claims, statics: false, ending: Ending::Reclaimed });
    match store.execute(&reclaim, moment, &extra) {
        Ok(Answer::Freed(freed)) => Ok(freed),
        Ok(_) => Ok(Vec::new()),
        // The one allocation that was dead has been given back by somebody else since.
        Err(StoreError::Refused(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
