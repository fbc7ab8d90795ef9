//! The watches of definitions and of the ledger: everything that a node holds of the cluster.
//!
//! Owns one loop for each kind of [`WATCHED`]: a list, what it differs in, a watch from there on, and a
//! new list when that came to its end. `driver` listens. Nothing else is watched: not blocks, not
//! endpoints, not the cluster's pods, since those change as fast as the cluster allocates. Invariants:
//!
//! 1. A listener is told all that changed, also over a gap in the watch
//!    (`tests::a_gap_in_a_watch_is_made_good`).
//! 2. A server that refuses or goes away is asked again with growing pauses, and never in a loop
//!    (`tests::a_server_that_goes_away_is_found_again`).

use super::backoff::{Backoff, jitter};
use super::catalogue::Catalogue;
use super::clock::chance;
use super::notice::Notice;
use super::server::{Server, Unclear};
use super::verdict::Instead;
use crate::cluster::port::Change;
use crate::cluster::wire;
use crate::manifest::{PoolSpec, ReservedIPSpec, Spec, SubnetSpec};
use serde_json::Value;
use spiderpool_core::event::Revision;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Watched {
    /// The plural, as URLs write it.
    pub plural: &'static str,
    /// The kind.
    pub kind: &'static str,
}

/// All that is watched.
pub(super) const WATCHED: [Watched; 4] = [
    Watched { plural: "spiderippools", kind: PoolSpec::KIND },
    Watched { plural: "spidersubnets", kind: SubnetSpec::KIND },
    RESERVATIONS,
    LEDGERS,
];

/// The ledger.
pub(super) const LEDGERS: Watched = Watched { plural: "spiderledgers", kind: wire::LEDGER_KIND };

/// Reservations, which are also listed before a reply.
pub(super) const RESERVATIONS: Watched =
    Watched { plural: "spiderreservedips", kind: ReservedIPSpec::KIND };

/// What a watch has to say.
#[derive(Debug)]
pub(super) enum Told {
    /// Something changed.
    Changed(Change),
    /// All that there was of a kind at a revision has been told.
    Listed(Watched, Revision),
    /// A watch that broke goes on where it stood.
    Resumed(Watched),
}

/// Pauses of a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The first pause after a failure.
    pub first: Duration,
    /// The longest one.
    pub longest: Duration,
    /// How long a watch may be silent: a server sends a bookmark each minute.
    pub silence: Duration,
    /// Seconds after which the server ends a watch, half of it at least.
    pub span_s: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            silence: Duration::from_secs(200),
            span_s: 600,
        }
    }
}

/// The pauses of whoever asks until there is an answer.
pub(super) fn backoff() -> Backoff {
    let Pace { first, longest, .. } = Pace::default();
    Backoff::new(first, longest)
}

/// How often a watch is taken up again where it stood, until a new list is asked for.
const RESUMES_MAX: u32 = 3;

/// A watch of one kind, on its way.
#[derive(Debug)]
pub(super) struct Watch {
    pub what: Watched,
    pub server: Server,
    pub listener: mpsc::Sender<Told>,
    pub notices: broadcast::Sender<Notice>,
    pub pace: Pace,
}

/// How one watch ended.
enum Ended {
    /// It can be taken up where it stood.
    Broken,
    /// A new list is needed.
    Stale,
    /// Nobody listens any more.
    Unheard,
}

impl Watch {
    /// Lists and watches until nobody listens any more.
    pub(super) async fn run(self) {
        let mut catalogue = Catalogue::default();
        let mut backoff = Backoff::new(self.pace.first, self.pace.longest);
        loop {
            match self.server.list(self.what.plural).await {
                Ok(listed) => {
                    let objects = self.server.lift_all(self.what.kind, &listed.items);
                    let changes = catalogue.listed(listed.revision, objects);
                    let told = changes.into_iter().map(Told::Changed);
                    for told in told.chain([Told::Listed(self.what, listed.revision)]) {
                        if self.listener.send(told).await.is_err() {
                            return;
                        }
                    }
                    if let Ended::Unheard = self.follow(&mut catalogue, &mut backoff).await {
                        return;
                    }
                }
                Err(Unclear(why)) => self.complain(why),
            }
            if self.listener.is_closed() {
                return;
            }
            tokio::time::sleep(backoff.pause(chance())).await;
        }
    }

    /// Watches, and takes the watch up again, until a new list is needed.
    async fn follow(&self, catalogue: &mut Catalogue, backoff: &mut Backoff) -> Ended {
        let mut resumes = 0;
        let mut is_first = true;
        loop {
            let from = catalogue.revision();
            match self.once(catalogue, backoff, std::mem::take(&mut is_first)).await {
                Ended::Broken if catalogue.revision() > from => resumes = 0,
                Ended::Broken if resumes < RESUMES_MAX => resumes += 1,
                Ended::Broken => return Ended::Stale,
                ended @ (Ended::Stale | Ended::Unheard) => return ended,
            }
            tokio::time::sleep(backoff.pause(chance())).await;
        }
    }

    async fn once(
        &self,
        catalogue: &mut Catalogue,
        backoff: &mut Backoff,
        is_first: bool,
    ) -> Ended {
        let seconds = jitter(Duration::from_secs(self.pace.span_s), chance()).as_secs().max(1);
        let watch = self.server.watch(self.what.plural, catalogue.revision(), seconds);
        let mut events = match watch.await {
            Ok(events) => events,
            Err(Instead::Unclear(why)) => {
                self.complain(why);
                return Ended::Broken;
            }
            Err(Instead::Expired) => return Ended::Stale,
            Err(other @ (Instead::Missing(..) | Instead::Conflict | Instead::No(_))) => {
                self.complain(other.text());
                return Ended::Stale;
            }
        };
        if !is_first && self.listener.send(Told::Resumed(self.what)).await.is_err() {
            return Ended::Unheard;
        }
        loop {
            let event = tokio::select! {
                event = tokio::time::timeout(self.pace.silence, events.next()) => event,
                () = self.listener.closed() => return Ended::Unheard,
            };
            let event = match event {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ended::Broken,
                Ok(Err(Unclear(why))) => {
                    self.complain(why);
                    return Ended::Broken;
                }
                Err(_) => {
                    self.complain(format!("the watch was silent for {:?}", self.pace.silence));
                    return Ended::Broken;
                }
            };
            match self.take(catalogue, &event).await {
                Ok(()) => backoff.reset(),
                Err(ended) => return ended,
            }
        }
    }

    /// Takes in one event (API concepts, "Efficient detection of changes").
    async fn take(&self, catalogue: &mut Catalogue, event: &Value) -> Result<(), Ended> {
        let object = event.get("object").unwrap_or(&Value::Null);
        let change = match event.get("type").and_then(Value::as_str) {
            Some("ADDED" | "MODIFIED") => {
                self.server.lift(self.what.kind, object).and_then(|object| catalogue.seen(object))
            }
            Some("DELETED") => {
                let lifted = self.server.lift(self.what.kind, object);
                lifted.and_then(|object| catalogue.gone(object.key, object.meta.revision))
            }
            Some("BOOKMARK") => {
                if let Ok(meta) = wire::lift_meta(object) {
                    catalogue.reached(meta.revision);
                }
                None
            }
            other => {
                if object.get("code").is_none_or(|code| code != 410) {
                    let other = other.unwrap_or("an event without a type");
                    self.complain(format!("{other} instead of an event: {object}"));
                }
                return Err(Ended::Stale);
            }
        };
        match change {
            None => Ok(()),
            Some(change) => {
                let told = self.listener.send(Told::Changed(change)).await;
                told.map_err(|_| Ended::Unheard)
            }
        }
    }

    fn complain(&self, why: String) {
        // Nobody has to listen.
        drop(
            self.notices.send(Notice::Unclear { what: format!("watch {}", self.what.plural), why }),
        );
    }
}
