//! What is told on pods: why there is no address, and what else people have to know.
//!
//! Telling never holds a verb up: it is handed over, and dropped where too much is waiting.
//!
//! Invariants:
//! 1. The same text on the same pod is one event whose count grows, written at most once a minute
//!    (`the_same_text_is_one_event`).
//! 2. However many pods fail, so many new events a second are written and no more
//!    (`a_flood_is_held_back`).
//! 3. What is remembered is bounded (`memory_is_bounded`).

use crate::soon::Soon;
use spiderpool_core::name::Name;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The same event is written again after so long, at the earliest.
const AGAIN_MS: u64 = 60_000;
/// An event is forgotten after so long without a repetition.
const FORGET_MS: u64 = 600_000;
/// So many events may be written at once.
const BURST: u64 = 25;
/// After that, one more is allowed each so many milliseconds.
const REFILL_MS: u64 = 500;
/// So many events are remembered.
const REMEMBERED: usize = 2_000;
/// So many events may wait to be written.
const WAITING: usize = 256;
/// Kubernetes takes so many bytes of text (`core/v1` validation, `NoteLengthLimit`).
const TEXT_MAX_BYTES: usize = 1_024;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: Name,
        /// Its name.
        name: Name,
        /// Its UID.
        uid: String,
    },
    /// This node.
    Node,
}

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// For information.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// About what.
    pub about: About,
    /// How serious it is.
    pub weight: Weight,
    /// One word for programs, such as `NoAddress`.
    pub reason: &'static str,
    /// The text for people.
    pub text: String,
}

/// An event as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What is told.
    pub told: Told,
    /// How often it was told, this time included.
    pub count: u32,
    /// The first time, in milliseconds since the Unix epoch.
    pub first_ms: u64,
    /// The last time.
    pub last_ms: u64,
}

/// Wherever events are written.
pub trait Board: Send + Sync + 'static {
    /// Writes an event, over the earlier one of the same text where there is one.
    fn post(&self, notice: Notice) -> Soon<'_, Result<(), String>>;
}

/// Takes what is to be told.
#[derive(Debug)]
pub struct Herald {
    sender: mpsc::Sender<Told>,
}

impl Herald {
    /// A herald, and the work of writing, which is to be spawned.
    pub fn new(board: Arc<dyn Board>) -> (Arc<Self>, impl Future<Output = ()> + Send) {
        let (sender, mut receiver) = mpsc::channel::<Told>(WAITING);
        let work = async move {
            let mut memory = Memory::default();
            while let Some(told) = receiver.recv().await {
                let now_ms = spiderpool_host::moment().map_or(0, |moment| moment.now_ms);
                let Some(notice) = memory.weigh(told, now_ms) else { continue };
                if let Err(why) = board.post(notice).await {
                    tracing::debug!(why, "an event could not be written");
                }
            }
        };
        (Arc::new(Self { sender }), work)
    }

    /// Tells something, unless too much waits to be written already.
    pub fn tell(&self, mut told: Told) {
        if told.text.len() > TEXT_MAX_BYTES {
            let mut end = TEXT_MAX_BYTES.saturating_sub('…'.len_utf8());
            while !told.text.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            told.text.truncate(end);
            told.text.push('…');
        }
        drop(self.sender.try_send(told));
    }
}

/// What was told lately.
#[derive(Debug, Default)]
struct Memory {
    seen: BTreeMap<Told, Seen>,
    /// How many events may be written, as of a moment.
    budget: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u32,
    first_ms: u64,
    last_ms: u64,
    written_ms: Option<u64>,
}

impl Memory {
    /// The event to be written for this, if one is.
    fn weigh(&mut self, told: Told, now_ms: u64) -> Option<Notice> {
        self.make_room(now_ms);
        let fresh = Seen { count: 0, first_ms: now_ms, last_ms: now_ms, written_ms: None };
        let mut seen = self.seen.get(&told).copied().unwrap_or(fresh);
        seen.count = seen.count.saturating_add(1);
        seen.last_ms = now_ms;
        let is_due = seen.written_ms.is_none_or(|at| now_ms.saturating_sub(at) >= AGAIN_MS);
        let writes = is_due && self.spend(now_ms);
        if writes {
            seen.written_ms = Some(now_ms);
        }
        self.seen.insert(told.clone(), seen);
        let Seen { count, first_ms, last_ms, .. } = seen;
        writes.then_some(Notice { told, count, first_ms, last_ms })
    }

    fn make_room(&mut self, now_ms: u64) {
        self.seen.retain(|_, seen| now_ms.saturating_sub(seen.last_ms) < FORGET_MS);
        if self.seen.len() >= REMEMBERED {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.last_ms);
            if let Some(oldest) = oldest.map(|(told, _)| told.clone()) {
                self.seen.remove(&oldest);
            }
        }
    }

    fn spend(&mut self, now_ms: u64) -> bool {
        let (left, since) = self.budget.unwrap_or((BURST, now_ms));
        let refilled = now_ms.saturating_sub(since) / REFILL_MS;
        let left = left.saturating_add(refilled).min(BURST);
        let since = since.saturating_add(refilled.saturating_mul(REFILL_MS));
        self.budget = Some((left.saturating_sub(1), since));
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pod: usize, text: &str) -> Told {
        let name = |text: &str| Name::new(text).unwrap();
        let about = About::Pod {
            namespace: name("default"),
            name: name(&format!("web-{pod}")),
            uid: format!("u{pod}"),
        };
        Told { about, weight: Weight::Warning, reason: "NoAddress", text: text.to_owned() }
    }

    #[test]
    fn the_same_text_is_one_event() {
        let mut memory = Memory::default();
        assert_eq!(memory.weigh(told(1, "full"), 1_000).unwrap().count, 1);
        for at in 2..60 {
            assert_eq!(memory.weigh(told(1, "full"), at * 1_000), None);
        }
        let again = memory.weigh(told(1, "full"), 61_000).unwrap();
        assert_eq!((again.count, again.first_ms, again.last_ms), (60, 1_000, 61_000));
        assert!(memory.weigh(told(1, "other"), 61_000).is_some());
        let later = memory.weigh(told(1, "full"), 61_000 + FORGET_MS + 1).unwrap();
        assert_eq!(later.count, 1, "a new story");
    }

    #[test]
    fn a_flood_is_held_back() {
        let mut memory = Memory::default();
        let at_once = (0..500).filter(|pod| memory.weigh(told(*pod, "full"), 0).is_some()).count();
        assert_eq!(at_once, 25);
        let later = (0..500).filter(|pod| memory.weigh(told(*pod, "full"), 2_000).is_some());
        assert_eq!(later.count(), 4);
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        for pod in 0..5_000 {
            drop(memory.weigh(told(pod, "full"), 0));
        }
        assert_eq!(memory.seen.len(), REMEMBERED);
    }
}
