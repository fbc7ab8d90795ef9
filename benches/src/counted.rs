//! The works whose instructions are counted: small, fixed, and the same in every run.

use crate::filled::{Filled, Others, Scene, Unbuilt};
use spiderpool_core::address::{Family, parse_list};
use spiderpool_core::definition::Policy;
use spiderpool_core::slots::{Block, FreeIndex};
use std::hint::black_box;
use std::sync::Arc;

/// How often each work is repeated.
const ROUNDS: usize = 2_000;

/// How much of a work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Only what is built ahead.
    Fixture,
    /// Everything.
    All,
}

/// One piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its name, as `counts.toml` has it.
    pub name: &'static str,
    run: fn(Phase) -> Result<usize, Unbuilt>,
}

impl Work {
    /// Every work, in the order of `counts.toml`.
    pub const ALL: [Self; 7] = [
        Self {
            name: "pair-sequential-left-out",
            run: |phase| pairs(phase, Policy::Sequential, Others::LeftOut),
        },
        Self {
            name: "pair-sequential-full",
            run: |phase| pairs(phase, Policy::Sequential, Others::Full),
        },
        Self {
            name: "pair-sequential-fit",
            run: |phase| pairs(phase, Policy::Sequential, Others::Fit),
        },
        Self { name: "pair-spread", run: |phase| pairs(phase, Policy::Spread, Others::LeftOut) },
        Self { name: "pair-rotate", run: |phase| pairs(phase, Policy::Rotate, Others::LeftOut) },
        Self { name: "index-take-give", run: index },
        Self { name: "block-decode-encode", run: block },
    ];

    /// The work of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name == name)
    }

    /// The names of all works.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|work| work.name).collect()
    }

    /// Does it, and gives how many rounds it has.
    ///
    /// # Errors
    /// [`Unbuilt`] when the fixture is wrong.
    pub fn run(self, phase: Phase) -> Result<usize, Unbuilt> {
        (self.run)(phase)
    }
}

/// One allocation and one release in a /16 that is half full.
fn pairs(phase: Phase, policy: Policy, others: Others) -> Result<usize, Unbuilt> {
    let scene = Scene { prefix: "10.0.0.0/16", policy, within: 4_096, held: 2_048, others };
    let mut filled = Filled::new(scene)?;
    let commands = filled.wear(ROUNDS)?;
    if phase == Phase::All {
        for (allocate, release, moment) in &commands {
            black_box(filled.execute(allocate, *moment)?);
            black_box(filled.execute(release, *moment)?);
        }
    }
    Ok(commands.len())
}

/// Find, take and give back in a /8.
fn index(phase: Phase) -> Result<usize, Unbuilt> {
    let prefix = "10.0.0.0/8";
    let mask = parse_list(Family::V4, &[prefix]).map_err(|_| Unbuilt::Prefix(prefix.to_owned()))?;
    let mut free = FreeIndex::new(Arc::new(mask));
    let mut chance = crate::chance::Chance::new(1);
    let starts: Vec<u128> =
        (0..ROUNDS).map(|_| 0x0a00_0000 + u128::from(chance.below(1 << 24))).collect();
    for start in &starts {
        free.take(*start);
    }
    if phase == Phase::All {
        for start in &starts {
            if let Some(number) = free.next_from(black_box(*start)) {
                free.take(number);
                free.give(number);
            }
        }
    }
    Ok(starts.len())
}

/// A full block of 64 slots, read from its stored form and written back.
fn block(phase: Phase) -> Result<usize, Unbuilt> {
    let policy = Policy::Sequential;
    let scene = Scene { prefix: "10.0.0.0/24", policy, within: 64, held: 64, others: Others::Fit };
    let filled = Filled::new(scene)?;
    let wrong = |_| Unbuilt::Refused("no block".to_owned());
    let all = filled.view.blocks().map_err(|_| Unbuilt::Refused("no blocks".to_owned()))?;
    let Some((_, block)) = all.into_iter().next() else { return Ok(0) };
    let bytes = postcard::to_allocvec(block).map_err(wrong)?;
    let rounds = ROUNDS / 20;
    if phase == Phase::All {
        for _ in 0..rounds {
            let block: Block = postcard::from_bytes(black_box(&bytes)).map_err(wrong)?;
            black_box(postcard::to_allocvec(&block).map_err(wrong)?);
        }
    }
    Ok(rounds)
}
