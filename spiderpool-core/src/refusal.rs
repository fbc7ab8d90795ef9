//! Why the rules said no: nobody's fault, and every candidate that was weighed is shown.

use crate::address::Family;
use crate::command::{Claim, Place, Standing};
use crate::definition::{BadDefinition, PoolDraft};
use crate::name::{BadName, Name};
use crate::request::Demand;
use crate::view::{Need, Tally};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;

/// What kept a decision from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The view lacks something: load it and ask again.
    Need(Need),
    /// The rules say no.
    Refusal(Box<Refusal>),
}

impl From<Need> for Obstacle {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

impl<T: Into<Refusal>> From<T> for Obstacle {
    fn from(refusal: T) -> Self {
        Self::Refusal(Box::new(refusal.into()))
    }
}

/// A command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No addresses for a pod.
    #[error(transparent)]
    Allocate(#[from] AllocateRefusal),
    /// A definition cannot be changed like that.
    #[error(transparent)]
    Define(#[from] DefineRefusal),
    /// An allocation cannot be changed like that.
    #[error(transparent)]
    Change(#[from] ChangeRefusal),
}

/// Why a pod got no addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AllocateRefusal {
    /// No candidate satisfied some demand; everything that was weighed is in the shortlist.
    #[error("{0}")]
    Unsatisfied(Box<Shortlist>),
    /// The container was told to go while the request was under way.
    #[error(
        "the container `{container}` was deleted while its request was under way; nothing was given"
    )]
    Buried {
        /// Its id.
        container: Name,
    },
    /// The pod lists its interfaces and this one is not among them.
    #[error(
        "the pod lists pools for {listed:?}, but not for the interface `{attachment}`; add it to the list"
    )]
    NotListed {
        /// The interface that asked.
        attachment: Name,
        /// The interfaces that are listed.
        listed: Vec<String>,
    },
    /// The list of interfaces cannot be used.
    #[error("the pod's list of interfaces {why}")]
    BadList {
        /// What is wrong with it.
        why: &'static str,
    },
    /// More interfaces ask than the pod's list has entries.
    #[error(
        "the pod lists {entries} interfaces without names, and all are taken; `{attachment}` is one too many"
    )]
    TooManyInterfaces {
        /// The interface that asked.
        attachment: Name,
        /// How many entries the list has.
        entries: usize,
    },
    /// An address was asked for by name, but no pool of its family is in question.
    #[error(
        "{address} was asked for, but no pool of its family is named for this interface; name one"
    )]
    NamedUnwanted {
        /// The address.
        address: IpAddr,
    },
    /// An address was asked for by name, and its family is switched off.
    #[error(
        "{address} was asked for, but the configuration switches {} off; ask for none, or switch it on",
        Family::of(*.address)
    )]
    NamedOff {
        /// The address.
        address: IpAddr,
    },
    /// A request names no container.
    #[error("the request names no container")]
    NoContainer,
    /// Two addresses of one family were asked for one attachment.
    #[error("{first} and {second} were both asked for; name at most one address of each family")]
    NamedTwice {
        /// One of them.
        first: IpAddr,
        /// The other.
        second: IpAddr,
    },
}

/// Everything that was weighed for a request that could not be satisfied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortlist {
    /// Where the pools were named.
    pub source: Source,
    /// Each demand with its candidates, in the order in which they were tried.
    pub demands: Vec<Weighed>,
    /// The smallest change that would have satisfied the request, where one is known.
    pub remedy: Option<Remedy>,
}

/// Which source of candidates won.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The pod, for all its interfaces at once.
    PerNic,
    /// The pod, for whichever interface asks.
    Pod,
    /// The pod's namespace.
    Namespace,
    /// The network's configuration.
    Configured,
    /// Nothing was named: the pools marked as default.
    #[default]
    Defaults,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerNic => "the pod's pools for each interface",
            Self::Pod => "the pod's pools",
            Self::Namespace => "the namespace's pools",
            Self::Configured => "the network configuration's pools",
            Self::Defaults => "the default pools",
        })
    }
}

/// One demand with everything that was considered for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighed {
    /// The attachment and family.
    pub demand: Demand,
    /// Each candidate, in the order in which it was tried.
    pub candidates: Vec<Candidate>,
}

impl Weighed {
    /// Whether some candidate was taken.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.candidates
            .iter()
            .any(|c| matches!(c.verdict, Verdict::Taken { .. } | Verdict::Kept { .. }))
    }
}

/// A pool under consideration, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The pool, or the name or pattern as it was written when it names no pool.
    pub pool: String,
    /// Taken, or why not.
    pub verdict: Verdict,
    /// Its counts, when they matter to the verdict.
    pub tally: Option<Tally>,
}

/// What was found of a candidate; all but the first three leave it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It gives this address.
    Taken {
        /// The address.
        address: IpAddr,
    },
    /// The owner has this address of it already.
    Kept {
        /// The address.
        address: IpAddr,
    },
    /// It would do, but an earlier one was taken.
    Spare,
    /// No such pool.
    Missing,
    /// The pattern matches no pool of the family.
    NoMatch,
    /// The pattern cannot be read.
    BadPattern,
    /// It is going away.
    Deleting,
    /// It is disabled.
    Disabled,
    /// It is of the other family.
    OtherFamily,
    /// Pods get no addresses of its family.
    SwitchedOff {
        /// The family.
        family: Family,
    },
    /// The node is not among its node names.
    NodeName {
        /// The node.
        node: String,
    },
    /// The node's labels do not match its node affinity.
    NodeAffinity {
        /// What was asked.
        selector: String,
    },
    /// The namespace is not among its namespace names.
    NamespaceName {
        /// The namespace.
        namespace: String,
    },
    /// The namespace's labels do not match its namespace affinity.
    NamespaceAffinity {
        /// What was asked.
        selector: String,
    },
    /// The pod's labels do not match its pod affinity.
    PodAffinity {
        /// What was asked.
        selector: String,
    },
    /// It is tied to networks, and that of the attachment is not known.
    NetworkUnknown,
    /// It is tied to other networks.
    Network {
        /// The attachment's network.
        network: String,
    },
    /// No address of the master lies in its prefix.
    Master,
    /// Every address is taken.
    Exhausted,
    /// The address asked for is not one that it gives out.
    NotMember {
        /// The address asked for.
        address: IpAddr,
    },
    /// The address asked for is taken.
    NamedTaken {
        /// The address asked for.
        address: IpAddr,
        /// By whom, or why it is not free.
        by: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { address } => write!(f, "gives {address}"),
            Self::Kept { address } => write!(f, "{address} is kept"),
            Self::Spare => f.write_str("would do, but an earlier pool was taken"),
            Self::Missing => f.write_str("there is no such pool"),
            Self::NoMatch => f.write_str("the pattern matches no pool of this family"),
            Self::BadPattern => f.write_str("the pattern cannot be read"),
            Self::Deleting => f.write_str("it is being deleted"),
            Self::Disabled => f.write_str("it is disabled"),
            Self::OtherFamily => f.write_str("it is of the other family"),
            Self::SwitchedOff { family } => write!(f, "the configuration switches {family} off"),
            Self::NodeName { node } => write!(f, "its node names leave out node {node}"),
            Self::NodeAffinity { selector } => {
                write!(f, "its node affinity `{selector}` leaves out the node")
            }
            Self::NamespaceName { namespace } => {
                write!(f, "its namespace names leave out namespace {namespace}")
            }
            Self::NamespaceAffinity { selector } => {
                write!(f, "its namespace affinity `{selector}` leaves out the namespace")
            }
            Self::PodAffinity { selector } => {
                write!(f, "its pod affinity `{selector}` leaves out the pod")
            }
            Self::NetworkUnknown => {
                f.write_str("it is tied to networks, and the attachment's network is not known")
            }
            Self::Network { network } => write!(f, "it is tied to networks other than {network}"),
            Self::Master => f.write_str("no address of the master interface lies in its prefix"),
            Self::Exhausted => f.write_str("all its addresses are taken"),
            Self::NotMember { address } => {
                write!(f, "{address} is not among the addresses it gives out")
            }
            Self::NamedTaken { address, by } => write!(f, "{address} is not free: {by}"),
        }
    }
}

impl fmt::Display for Shortlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unmet: Vec<_> = self.demands.iter().filter(|weighed| !weighed.is_satisfied()).collect();
        if unmet.is_empty() {
            write!(f, "no pool is available: {} name none", self.source)?;
        }
        for (at, weighed) in unmet.into_iter().enumerate() {
            let separator = if at == 0 { "no address for " } else { "; none for " };
            write!(f, "{separator}{} among {}", weighed.demand, self.source)?;
            if weighed.candidates.is_empty() {
                write!(f, ": there are none")?;
            }
            for (at, Candidate { pool, verdict, tally }) in weighed.candidates.iter().enumerate() {
                let separator = if at == 0 { ": " } else { ", " };
                write!(f, "{separator}{pool}: {verdict}")?;
                if let Some(tally) = tally {
                    write!(f, " ({tally})")?;
                }
            }
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Shortlist {}

/// Changes that make the same request succeed, as few as could be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// Each change; all of them are needed.
    pub edits: Vec<Edit>,
    /// The pools as they would be then, ready to be defined.
    pub pools: Vec<PoolDraft>,
    /// When set, waiting until this moment (milliseconds since the Unix epoch) is all it takes.
    pub wait_until_ms: Option<u64>,
}

/// One change to a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The pool.
    pub pool: String,
    /// What to do, in words that follow the pool's name.
    pub what: String,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(until_ms) = self.wait_until_ms {
            return write!(
                f,
                "an address will have rested at {until_ms} ms after the epoch; try again then"
            );
        }
        f.write_str("it would succeed after this: ")?;
        for (at, Edit { pool, what }) in self.edits.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", and " };
            write!(f, "{separator}in pool {pool} {what}")?;
        }
        Ok(())
    }
}

/// Why a definition cannot be changed as asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DefineRefusal {
    /// Allocations are in the way; they are all listed.
    #[error("{object}: {} {}", .standing.len(), describe_standing(.standing))]
    InTheWay {
        /// Kind and name of the definition.
        object: String,
        /// The allocations that the new definition would not cover.
        standing: Vec<Standing>,
    },
    /// A field that is fixed once it is set.
    #[error("{object}: `{field}` cannot change from {from} to {to}; make a new one instead")]
    Fixed {
        /// Kind and name of the definition.
        object: String,
        /// The field.
        field: &'static str,
        /// What it is.
        from: String,
        /// What was asked.
        to: String,
    },
    /// Two prefixes overlap without being equal (or at all, for subnets).
    #[error(
        "{object}: its prefix {prefix} overlaps {other}'s {other_prefix}; use the same prefix or a separate one"
    )]
    PrefixOverlap {
        /// Kind and name of the definition.
        object: String,
        /// Its prefix.
        prefix: IpNet,
        /// Kind and name of the other definition.
        other: String,
        /// The other's prefix.
        other_prefix: IpNet,
    },
    /// Two pools would give out the same addresses.
    #[error("{object}: {other} gives out {shared} already; take it off one of them")]
    AddressOverlap {
        /// Kind and name of the definition.
        object: String,
        /// Kind and name of the other one.
        other: String,
        /// The shared addresses.
        shared: String,
    },
    /// A pool would give out addresses that its subnet does not have.
    #[error("{object}: {outside} is not within the addresses of {subnet}")]
    OutsideSubnet {
        /// Kind and name of the definition.
        object: String,
        /// The subnet.
        subnet: String,
        /// The offending addresses.
        outside: String,
    },
    /// What it would inherit from its subnet does not fit.
    #[error("{object} cannot inherit from {subnet}")]
    Inherited {
        /// Kind and name of the definition.
        object: String,
        /// The subnet.
        subnet: String,
        /// What does not fit.
        #[source]
        flaws: BadDefinition,
    },
    /// There is no such thing.
    #[error("{object} does not exist")]
    Missing {
        /// Kind and name.
        object: String,
    },
    /// Something still depends on it.
    #[error("{object} is still used by {by}")]
    InUse {
        /// Kind and name.
        object: String,
        /// What depends on it.
        by: String,
    },
}

fn describe_standing(standing: &[Standing]) -> String {
    let shown = standing.iter().take(5);
    let list = shown.map(|s| format!("{} of {}", s.place.address, s.owner)).collect::<Vec<_>>();
    let more = standing.len().saturating_sub(list.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let noun = if standing.len() == 1 { "allocation is" } else { "allocations are" };
    format!("{noun} in the way: {}{more}; release them first", list.join(", "))
}

/// Why an allocation cannot be changed as asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeRefusal {
    /// The address is not allocated.
    #[error("{} is not allocated", .place.address)]
    NotAllocated {
        /// Where.
        place: Place,
    },
    /// The allocation is not the one that was seen.
    #[error("{} was given anew since it was looked at (generation {now}, not {}); look again", .claim.place.address, .claim.generation)]
    Stale {
        /// What was presented.
        claim: Claim,
        /// The generation now.
        now: u64,
    },
    /// It belongs to a static identity.
    #[error("{} belongs to the static identity {owner}; its address is never given up by itself, find the other host or release it by hand", .place.address)]
    Static {
        /// Where.
        place: Place,
        /// The text of the owner.
        owner: String,
    },
    /// The address cannot be held.
    #[error("{} cannot be held: {why}", .place.address)]
    CannotHold {
        /// Where.
        place: Place,
        /// Why not.
        why: String,
    },
    /// The address neither rests nor is in quarantine.
    #[error("{} neither rests nor is in quarantine", .place.address)]
    NotResting {
        /// Where.
        place: Place,
    },
    /// A name that was derived is too long.
    #[error(transparent)]
    Name(#[from] BadName),
}
