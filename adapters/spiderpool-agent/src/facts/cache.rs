//! What was read lately, for a short time and in bounded number.
//!
//! Invariants:
//! 1. Nothing older than its time is given (`what_is_old_is_not_given`).
//! 2. There are never more entries than its size: the oldest goes (`the_oldest_goes`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A cache by key.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: Mutex<BTreeMap<K, (Instant, V)>>,
    age: Duration,
    size: usize,
}

impl<K: Ord + Clone, V: Clone> Cache<K, V> {
    pub(super) const fn new(age: Duration, size: usize) -> Self {
        Self { entries: Mutex::new(BTreeMap::new()), age, size }
    }

    /// What was read for a key, if that is recent enough at a moment.
    pub(super) fn fresh(&self, key: &K, now: Instant) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = entries.get(key)?;
        (now.saturating_duration_since(*at) < self.age).then(|| value.clone())
    }

    pub(super) fn keep(&self, key: K, value: V, now: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.size && !entries.contains_key(&key) {
            let oldest = entries.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, (now, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_not_given() {
        let cache = Cache::new(Duration::from_secs(5), 2);
        let now = Instant::now();
        cache.keep("a", 1, now);
        assert_eq!(cache.fresh(&"a", now + Duration::from_secs(4)), Some(1));
        assert_eq!(cache.fresh(&"a", now + Duration::from_secs(5)), None);
        assert_eq!(cache.fresh(&"b", now), None);
    }

    #[test]
    fn the_oldest_goes() {
        let cache = Cache::new(Duration::from_secs(5), 2);
        let now = Instant::now();
        for (at, key) in (0..).zip(["a", "b", "a", "c"]) {
            cache.keep(key, at, now + Duration::from_millis(at));
        }
        let found = ["a", "b", "c"].map(|key| cache.fresh(&key, now));
        assert_eq!(found, [Some(2), None, Some(3)]);
    }
}
