//! What was observed of one thing, and when.
//!
//! A history is a set: the order in which its observations arrive changes nothing
//! (`tests::the_order_of_arrival_is_irrelevant`). What came before the last observation that the
//! thing stands is forgotten. Beyond [`LENGTH`] observations those in the middle are forgotten, which
//! can only make a run look shorter than it was.

use std::collections::BTreeMap;

/// How many observations are kept.
pub(super) const LENGTH: usize = 8;

/// How a thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is there and well: a pod alive, an identity valid, a slot named by its endpoint.
    Stands,
    /// It is coming to its end, or has come to it, and is still shown.
    Ends,
    /// It is not there.
    Absent,
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When it was made, in milliseconds since the Unix epoch: the moment before a read was sent.
    pub at_ms: u64,
    /// What was found.
    pub standing: Standing,
    /// Whether it came from the server itself and not from a cache.
    pub live: bool,
}

/// All observations that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    sightings: BTreeMap<u64, (Standing, bool)>,
}

/// The observations that agree up to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first_ms: u64,
    pub(super) last: Sighting,
    pub(super) times: usize,
    /// Since when it has been absent, as far as it is now.
    pub(super) absent_ms: Option<u64>,
}

impl History {
    /// Takes in an observation. Of two at the same moment the one that keeps more counts.
    pub fn note(&mut self, sighting: Sighting) {
        let Sighting { at_ms, standing, live } = sighting;
        let entry = self.sightings.entry(at_ms).or_insert((standing, live));
        *entry = (entry.0.min(standing), entry.1 || live);
        let stands = |(_, (standing, _)): &(&u64, &(Standing, bool))| *standing == Standing::Stands;
        if let Some((at, _)) = self.sightings.iter().rev().find(stands) {
            self.sightings = self.sightings.split_off(&at.clone());
        }
        while self.sightings.len() > LENGTH {
            let Some(middle) = self.sightings.keys().nth(LENGTH / 2).copied() else { break };
            self.sightings.remove(&middle);
        }
    }

    /// When the last observation was made.
    pub(super) fn last_ms(&self) -> Option<u64> {
        self.sightings.keys().next_back().copied()
    }

    /// The last observation after a moment.
    pub(super) fn last_after(&self, floor_ms: u64) -> Option<Sighting> {
        let (at_ms, (standing, live)) = self.sightings.iter().next_back()?;
        let sighting = Sighting { at_ms: *at_ms, standing: *standing, live: *live };
        Some(sighting).filter(|sighting| sighting.at_ms > floor_ms)
    }

    /// The observations after a moment that agree that the thing does not stand; `None` when the last
    /// one says that it does.
    pub(super) fn run_after(&self, floor_ms: u64) -> Option<Run> {
        let last = self.last_after(floor_ms)?;
        let after = self.sightings.range(floor_ms.saturating_add(1)..).rev();
        let over = after.take_while(|(_, (standing, _))| *standing != Standing::Stands);
        let over: Vec<_> = over.collect();
        let (first_ms, _) = over.last()?;
        let absent = over.iter().take_while(|(_, (standing, _))| *standing == Standing::Absent);
        let absent_ms = absent.last().map(|(at, _)| **at);
        Some(Run { first_ms: **first_ms, last, times: over.len(), absent_ms })
    }

    /// When it was first found absent, if it has been so since.
    #[must_use]
    pub fn absent_since_ms(&self) -> Option<u64> {
        self.run_after(0)?.absent_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(marks: &str) -> History {
        let mut history = History::default();
        for (at, mark) in (1..).zip(marks.chars()) {
            let standing = match mark {
                's' => Standing::Stands,
                'e' => Standing::Ends,
                'a' => Standing::Absent,
                _ => continue,
            };
            history.note(Sighting { at_ms: at, standing, live: false });
        }
        history
    }

    fn check(marks: &str, floor: u64, expected: Option<(u64, usize, Option<u64>)>) {
        let run = history(marks).run_after(floor);
        let told = run.map(|run| (run.first_ms, run.times, run.absent_ms));
        assert_eq!(told, expected, "{marks} after {floor}");
    }

    #[test]
    fn a_run_is_what_agrees_at_the_end() {
        check("", 0, None);
        check("s", 0, None);
        check("aas", 0, None);
        check("aasa", 0, Some((4, 1, Some(4))));
        check("seeaa", 0, Some((2, 4, Some(4))));
        check("saae", 0, Some((2, 3, None)));
        check("saaa", 2, Some((3, 2, Some(3))));
        check("saaa", 4, None);
    }

    #[test]
    fn a_long_history_keeps_its_ends() {
        let long = history(&"a".repeat(50));
        let run = long.run_after(0).unwrap();
        assert_eq!((run.first_ms, run.last.at_ms, run.times), (1, 50, LENGTH));
    }

    #[test]
    fn of_two_at_once_the_one_that_keeps_counts() {
        let mut history = history("a");
        history.note(Sighting { at_ms: 1, standing: Standing::Stands, live: false });
        history.note(Sighting { at_ms: 1, standing: Standing::Absent, live: true });
        assert_eq!(history.run_after(0), None);
    }
}
