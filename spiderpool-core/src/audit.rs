//! What is wrong with a state: every violated invariant, as a leak or as broken.
//!
//! Fuzzers, property tests, the command line and the stores' tests all ask here. A *leak* is an
//! address that nobody can use although nobody has it; reclaim heals it. *Broken* is anything that
//! could give one address to two owners, or an answer that differs from the truth; it is a bug or a
//! damaged store.

use crate::address::{Family, Range};
use crate::command::Place;
use crate::name::Name;
use crate::owner::Stage;
use crate::view::{Found, Need, View};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use thiserror::Error;

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Addresses cannot be used; nobody is given a wrong one.
    Leak,
    /// Uniqueness or an answer is at stake.
    Broken,
}

/// One violated invariant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Violation {
    /// One owner has two addresses of one family on one interface.
    #[error("{owner} has both {} and {} as {family} of {attachment}", .one.address, .other.address)]
    TwoAddresses {
        /// The text of the owner.
        owner: String,
        /// The interface.
        attachment: Name,
        /// The family.
        family: Family,
        /// One of them.
        one: Place,
        /// The other.
        other: Place,
    },
    /// A free index does not say what the blocks say.
    #[error("the free index of pool {pool} counts {indexed} free addresses, its blocks {counted}")]
    Index {
        /// The pool.
        pool: Name,
        /// What the index counts.
        indexed: u128,
        /// What the blocks say.
        counted: u128,
    },
    /// Two pools would give out the same addresses.
    #[error("pools {one} and {other} both give out {shared}")]
    SharedAddresses {
        /// One of them.
        one: Name,
        /// The other.
        other: Name,
        /// The first shared run.
        shared: Range,
    },
    /// A block holds addresses of another block, or is not where its name says.
    #[error("the block at {first} of space {space} is misplaced or overlaps another one")]
    Misplaced {
        /// The address space.
        space: Name,
        /// Its first address.
        first: std::net::IpAddr,
    },
    /// An allocation was granted through a pool that does not exist.
    #[error("{} is held by {owner} through pool {pool}, which does not exist", .place.address)]
    NoPool {
        /// Where.
        place: Place,
        /// The text of the owner.
        owner: String,
        /// The pool that it names.
        pool: Name,
    },
    /// An allocation was granted ahead, and nothing of its container is attached.
    #[error("{} was granted ahead for {owner}, of which nothing is attached", .place.address)]
    Abandoned {
        /// Where.
        place: Place,
        /// The text of the owner.
        owner: String,
    },
    /// An allocation of an ordinary pod has no container.
    #[error("{} is held by {owner} for no container", .place.address)]
    NoContainer {
        /// Where.
        place: Place,
        /// The text of the owner.
        owner: String,
    },
}

impl Violation {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::TwoAddresses { .. }
            | Self::NoPool { .. }
            | Self::Abandoned { .. }
            | Self::NoContainer { .. } => Severity::Leak,
            Self::Index { .. } | Self::SharedAddresses { .. } | Self::Misplaced { .. } => {
                Severity::Broken
            }
        }
    }
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// How many allocations were looked at.
    pub allocations: u64,
    /// How many blocks they are in.
    pub blocks: u64,
    /// Everything that was found, in order.
    pub violations: Vec<Violation>,
}

impl Audit {
    /// Whether nothing is broken; leaks may be there.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.iter().all(|violation| violation.severity() == Severity::Leak)
    }

    /// Whether nothing was found at all.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} allocations in {} blocks, ", self.allocations, self.blocks)?;
        let broken = self.violations.iter().filter(|v| v.severity() == Severity::Broken).count();
        match (self.violations.len() - broken, broken) {
            (0, 0) => f.write_str("nothing found"),
            (leaks, broken) => write!(f, "{leaks} leaks, {broken} broken"),
        }
    }
}

/// Looks for every violated invariant of a state.
///
/// # Errors
/// A [`Need`] when the view is partial.
pub fn audit(view: &View) -> Result<Audit, Need> {
    let mut audit = Audit::default();
    blocks(view, &mut audit)?;
    allocations(view, &mut audit)?;
    pools(view, &mut audit)?;
    audit.violations.sort();
    Ok(audit)
}

fn blocks(view: &View, audit: &mut Audit) -> Result<(), Need> {
    let mut end: Option<(Name, Family, u128)> = None;
    for (key, block) in view.blocks()? {
        audit.blocks += 1;
        let size = view.block_size(&key.space, key.family);
        let overlaps = end.as_ref().is_some_and(|(space, family, last)| {
            (space, *family) == (&key.space, key.family) && *last >= key.first
        });
        if overlaps || block.size() != size || size.align(key.first) != key.first {
            let violation =
                Violation::Misplaced { space: key.space.clone(), first: key.address(0) };
            audit.violations.push(violation);
        }
        let last = key.first.saturating_add(u128::from(block.size().slots()) - 1);
        end = Some((key.space, key.family, last));
    }
    Ok(())
}

fn allocations(view: &View, audit: &mut Audit) -> Result<(), Need> {
    let mut seen: BTreeMap<(String, Name, Family, Name), Place> = BTreeMap::new();
    let mut attached = BTreeSet::new();
    for found in view.allocations()? {
        audit.allocations += 1;
        if found.allocation.stage == Stage::Attached {
            attached.insert(found.allocation.container.to_owned());
        }
        let place = place(&found);
        if view.pool(&found.allocation.placement.pool)?.is_none() {
            let (owner, pool) = (owner(&found), found.allocation.placement.pool.clone());
            audit.violations.push(Violation::NoPool { place: place.clone(), owner, pool });
        }
        if found.allocation.container.is_empty() && !crate::owner::is_static(found.allocation.owner)
        {
            audit
                .violations
                .push(Violation::NoContainer { place: place.clone(), owner: owner(&found) });
        }
        let attachment = found.allocation.placement.attachment.clone();
        let key = (owner(&found), attachment, found.key.family, found.key.space.clone());
        if let Some(one) = seen.insert(key, place.clone()) {
            audit.violations.push(Violation::TwoAddresses {
                owner: owner(&found),
                attachment: found.allocation.placement.attachment.clone(),
                family: found.key.family,
                one,
                other: place,
            });
        }
    }
    for found in view.allocations()? {
        let ahead = found.allocation.stage == Stage::Ahead;
        if ahead && !attached.contains(found.allocation.container) {
            audit
                .violations
                .push(Violation::Abandoned { place: place(&found), owner: owner(&found) });
        }
    }
    Ok(())
}

fn place(found: &Found<'_>) -> Place {
    Place { space: found.key.space.clone(), address: found.address() }
}

fn owner(found: &Found<'_>) -> String {
    found.allocation.owner.to_owned()
}

fn pools(view: &View, audit: &mut Audit) -> Result<(), Need> {
    let mut runs: Vec<(Name, Range, Name)> = Vec::new();
    for entry in view.pools()? {
        let counted = view.tally(entry)?.free;
        let indexed = entry.free.count();
        let pool = entry.pool.name().clone();
        if counted != indexed {
            audit.violations.push(Violation::Index { pool: pool.clone(), indexed, counted });
        }
        let space = entry.pool.space().clone();
        runs.extend(entry.usable.ranges().map(|range| (space.clone(), range, pool.clone())));
    }
    runs.sort_unstable();
    for pair in runs.windows(2) {
        let [(space, range, one), (other_space, other_range, other)] = pair else { continue };
        if let Some(shared) = range.overlap(*other_range).filter(|_| space == other_space) {
            let (one, other) = (one.clone(), other.clone());
            audit.violations.push(Violation::SharedAddresses { one, other, shared });
        }
    }
    Ok(())
}
