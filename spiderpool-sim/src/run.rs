//! Runs schedules, one after the other or over all cores, and says what came of them.
//!
//! Invariants:
//! 1. What came of a schedule depends on its seed, its scope and the planted bug alone, not on the
//!    other schedules or the cores (`tests/replay.rs`).
//! 2. A failure names the command that repeats it.

use crate::machine::Machine;
use crate::saboteur::Bug;
use crate::schedule::{Schedule, Scope};
use crate::wire::Counts;
use crate::world::World;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What came of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What was found to be wrong.
    pub violation: Option<String>,
    /// A number that differs when anything went differently.
    pub digest: u64,
    /// What was counted.
    pub counts: Counts,
}

/// What every schedule of a series has in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    /// Which kinds of faults there are.
    pub scope: Scope,
    /// The planted bug.
    pub bug: Option<Bug>,
    /// Whether it goes on after a failure, to count them all.
    pub survey: bool,
}

/// What came of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many schedules ran.
    pub schedules: u64,
    /// The failure with the lowest seed.
    pub failure: Option<Outcome>,
    /// Every failure by what it says, its numbers left out: how often, and the lowest seed.
    pub failures: BTreeMap<String, (u64, u64)>,
    /// Everything that was counted.
    pub counts: Counts,
}

impl Tally {
    fn fail(&mut self, kind: String, (times, seed): (u64, u64)) {
        let known = self.failures.entry(kind).or_insert((0, seed));
        known.0 += times;
        known.1 = known.1.min(seed);
    }
}

/// What a failure says without the numbers and names in it.
pub(crate) fn kind(violation: &str) -> String {
    let text = violation.split_once(": ").map_or(violation, |(_, text)| text);
    let words = text.split(' ').filter(|word| !word.chars().any(|c| c.is_ascii_digit()));
    words.take(14).collect::<Vec<_>>().join(" ")
}

impl Counts {
    /// Adds what another schedule counted.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.steps += other.steps;
        self.mishaps += other.mishaps;
        self.pods += other.pods;
        self.granted += other.granted;
        self.released += other.released;
        self.reclaimed += other.reclaimed;
        for (kind, count) in &other.requests {
            *self.requests.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.refused {
            *self.refused.entry(kind).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, steps, mishaps, pods, granted, released, reclaimed, .. } = self;
        writeln!(f, "{events} events, {steps} steps, {mishaps} mishaps of requests")?;
        writeln!(f, "{pods} pods, {granted} ADDs and {released} DELs done, {reclaimed} reclaimed")?;
        for (what, count) in &self.refused {
            writeln!(f, "{count:>12} ADDs {what}")?;
        }
        for (kind, count) in &self.requests {
            writeln!(f, "{count:>12} {kind}")?;
        }
        Ok(())
    }
}

/// Runs one schedule.
#[must_use]
pub fn run<M: Machine>(schedule: &Schedule, bug: Option<Bug>) -> Outcome {
    let mut world: World<'_, M> = World::new(schedule, bug);
    world.run();
    outcome(schedule, &world)
}

/// Runs one schedule and prints all that happens in it.
#[must_use]
pub fn trace<M: Machine>(schedule: &Schedule, bug: Option<Bug>) -> Outcome {
    let mut world: World<'_, M> = World::new(schedule, bug);
    world.trace();
    world.run();
    outcome(schedule, &world)
}

fn outcome<M: Machine>(schedule: &Schedule, world: &World<'_, M>) -> Outcome {
    let violation = world.truth().violation().map(ToOwned::to_owned);
    let (digest, counts) = (world.digest(), world.counts().clone());
    Outcome { seed: schedule.seed, violation, digest, counts }
}

/// Runs the schedules of the seeds from `first` on over some threads, until so many are done, one
/// fails, or `enough` says so.
pub fn series<M: Machine>(
    setting: Setting,
    (first, count): (u64, u64),
    threads: usize,
    enough: impl Fn() -> bool + Sync,
) -> Tally {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    let work = || {
        let mut own = Tally::default();
        while !stop.load(Ordering::Relaxed) && !enough() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            let schedule = Schedule::of(first.wrapping_add(at), setting.scope);
            let mut world: World<'_, M> = World::new(&schedule, setting.bug);
            world.run();
            own.schedules += 1;
            own.counts.add(world.counts());
            if world.truth().is_sound() {
                continue;
            }
            // A planted bug is found only where all is well without it.
            if setting.bug.is_some() && run::<M>(&schedule, None).violation.is_some() {
                continue;
            }
            let outcome = outcome(&schedule, &world);
            stop.store(!setting.survey, Ordering::Relaxed);
            own.fail(kind(outcome.violation.as_deref().unwrap_or_default()), (1, outcome.seed));
            own.failure.get_or_insert(outcome);
        }
        merge(&tally, own);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap_or_default()
}

fn merge(tally: &Mutex<Tally>, mut own: Tally) {
    let Ok(mut all) = tally.lock() else { return };
    all.schedules += own.schedules;
    all.counts.add(&own.counts);
    for (kind, found) in std::mem::take(&mut own.failures) {
        all.fail(kind, found);
    }
    let seed = |failure: &Option<Outcome>| failure.as_ref().map_or(u64::MAX, |f| f.seed);
    if seed(&own.failure) < seed(&all.failure) {
        all.failure = own.failure;
    }
}
