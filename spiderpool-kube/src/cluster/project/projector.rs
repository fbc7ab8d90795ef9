//! When which projection is due: off the critical path, seldom, and again when it failed.
//!
//! The first mark of a quiet object is due after a short while in which more may come; of a busy one,
//! when the pace allows. A projection that failed is due again after a time that doubles.

use std::collections::BTreeMap;

/// How often projections are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long a mark waits for others, in milliseconds.
    pub settle_ms: u64,
    /// The least time between two projections of one object, in milliseconds.
    pub apart_ms: u64,
    /// The longest wait after failures, in milliseconds; the first one is `apart_ms`.
    pub retry_max_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { settle_ms: 200, apart_ms: 1_000, retry_max_ms: 60_000 }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing is to be done, and nothing may be done before a moment.
    Quiet { free_ms: u64 },
    /// It is to be projected.
    Due { at_ms: u64, failures: u32 },
    /// It is being projected; whether it was marked since.
    Running { began_ms: u64, marked: bool, failures: u32 },
}

/// What is dirty, and when it is due. The driver projects what [`Projector::due`] gives and reports
/// with [`Projector::done`] or [`Projector::failed`].
#[derive(Clone, Debug)]
pub struct Projector<K> {
    pace: Pace,
    objects: BTreeMap<K, State>,
}

impl<K: Ord + Clone> Projector<K> {
    /// One that has nothing to do.
    #[must_use]
    pub const fn new(pace: Pace) -> Self {
        Self { pace, objects: BTreeMap::new() }
    }

    /// The source of an object has changed.
    pub fn mark(&mut self, key: K, now_ms: u64) {
        let settled_ms = now_ms.saturating_add(self.pace.settle_ms);
        let state = self.objects.entry(key).or_insert(State::Quiet { free_ms: 0 });
        *state = match *state {
            State::Quiet { free_ms } => State::Due { at_ms: settled_ms.max(free_ms), failures: 0 },
            State::Running { began_ms, failures, .. } => {
                State::Running { began_ms, marked: true, failures }
            }
            due @ State::Due { .. } => due,
        };
    }

    /// The objects that are to be projected, in order, at most so many.
    pub fn due(&mut self, now_ms: u64, at_most: usize) -> Vec<K> {
        let forgotten =
            |state: &State| matches!(state, State::Quiet { free_ms } if *free_ms <= now_ms);
        self.objects.retain(|_, state| !forgotten(state));
        let mut waiting: Vec<_> = self
            .objects
            .iter()
            .filter_map(|(key, state)| match state {
                State::Due { at_ms, .. } if *at_ms <= now_ms => Some((*at_ms, key.clone())),
                State::Due { .. } | State::Quiet { .. } | State::Running { .. } => None,
            })
            .collect();
        waiting.sort();
        waiting.truncate(at_most);
        for (_, key) in &waiting {
            if let Some(state) = self.objects.get_mut(key)
                && let State::Due { failures, .. } = *state
            {
                *state = State::Running { began_ms: now_ms, marked: false, failures };
            }
        }
        waiting.into_iter().map(|(_, key)| key).collect()
    }

    /// An object is up to date with its source as it was when it was given out.
    pub fn done(&mut self, key: &K, now_ms: u64) {
        let Pace { settle_ms, apart_ms, .. } = self.pace;
        if let Some(state) = self.objects.get_mut(key)
            && let State::Running { began_ms, marked, .. } = *state
        {
            let free_ms = began_ms.saturating_add(apart_ms);
            *state = match marked {
                true => {
                    let at_ms = now_ms.saturating_add(settle_ms).max(free_ms);
                    State::Due { at_ms, failures: 0 }
                }
                false => State::Quiet { free_ms },
            };
        }
    }

    /// An object could not be brought up to date: a conflict, or the server did not answer.
    pub fn failed(&mut self, key: &K, now_ms: u64) {
        let Pace { apart_ms, retry_max_ms, .. } = self.pace;
        if let Some(state) = self.objects.get_mut(key)
            && let State::Running { failures, .. } = *state
        {
            let wait_ms = apart_ms.saturating_mul(1 << failures.min(20)).min(retry_max_ms);
            let at_ms = now_ms.saturating_add(wait_ms.max(apart_ms));
            *state = State::Due { at_ms, failures: failures.saturating_add(1) };
        }
    }

    /// An object is gone.
    pub fn forget(&mut self, key: &K) {
        self.objects.remove(key);
    }

    /// When [`Projector::due`] has something to give at the earliest, in milliseconds since the Unix
    /// epoch.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let due = self.objects.values().filter_map(|state| match state {
            State::Due { at_ms, .. } => Some(*at_ms),
            State::Quiet { .. } | State::Running { .. } => None,
        });
        due.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACE: Pace = Pace { settle_ms: 100, apart_ms: 1_000, retry_max_ms: 4_000 };

    #[test]
    fn marks_are_gathered_and_kept_apart() {
        let mut projector = Projector::new(PACE);
        projector.mark("a", 0);
        projector.mark("a", 50);
        assert_eq!((projector.due(99, 9), projector.wake_at()), (vec![], Some(100)));
        assert_eq!(projector.due(100, 9), ["a"]);
        assert!(projector.due(101, 9).is_empty());
        projector.mark("a", 102);
        projector.done(&"a", 110);
        assert_eq!(projector.wake_at(), Some(1_100));
        assert_eq!(projector.due(1_100, 9), ["a"]);
        projector.done(&"a", 1_110);
        assert_eq!(projector.wake_at(), None);
        projector.mark("a", 5_000);
        assert_eq!(projector.wake_at(), Some(5_100));
    }

    #[test]
    fn failures_wait_longer_each_time() {
        let mut projector = Projector::new(PACE);
        projector.mark("a", 0);
        let mut now = 100;
        let mut waits = Vec::new();
        for _ in 0..5 {
            assert_eq!(projector.due(now, 9), ["a"]);
            projector.failed(&"a", now);
            let next = projector.wake_at().unwrap();
            waits.push(next - now);
            now = next;
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 4_000, 4_000]);
        projector.due(now, 9);
        projector.forget(&"a");
        projector.failed(&"a", now);
        assert_eq!(projector.wake_at(), None);
    }

    #[test]
    fn the_longest_waiting_come_first() {
        let mut projector = Projector::new(PACE);
        for (key, at) in [("c", 0), ("a", 2), ("b", 1)] {
            projector.mark(key, at);
        }
        assert_eq!(projector.due(500, 2), ["c", "b"]);
        assert_eq!(projector.due(500, 2), ["a"]);
    }

    proptest! {
        /// Whatever is marked, given out, done or failed: after the last mark the object is projected
        /// once more, and two projections are never closer than the pace.
        #[test]
        fn every_mark_is_served_in_time(steps in prop::collection::vec((0_u8..4, 1_u64..700), 1..60)) {
            let mut projector = Projector::new(PACE);
            let (mut now, mut running, mut last, mut dirty) = (0, false, None, false);
            let close = steps.iter().copied().chain((0..30).map(|at| ([0, 2][at % 2], 1_000)));
            for (at, (step, wait)) in close.enumerate() {
                now += wait;
                let ending = at >= steps.len();
                match step {
                    1 if !ending => { projector.mark((), now); dirty = true; }
                    2 if running => { projector.done(&(), now); running = false; }
                    3 if running => { projector.failed(&(), now); running = false; dirty = true; }
                    _ => if !projector.due(now, 1).is_empty() {
                        prop_assert!(!running);
                        prop_assert!(last.is_none_or(|last| now - last >= PACE.apart_ms));
                        (running, last, dirty) = (true, Some(now), false);
                    },
                }
            }
            prop_assert!(!dirty, "a mark was lost");
        }
    }
}
