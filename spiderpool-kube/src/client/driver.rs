//! The loop that owns a node's state machine: inputs in, outputs done.
//!
//! Owns the one task that steps it; `start` makes it, [`Handle`](super::Handle)s speak to it. It decides
//! nothing: what happens in which order is the state machine's, `gate` keeps notes ahead of calls, and
//! everything that waits is a task or a thread of its own. At most as many calls as
//! [`Settings::calls_max`](super::Settings::calls_max) are on their way, the others wait in order; the
//! four watches and a list of nodes come on top. Invariants, each kept by a test of that name in `tests`:
//!
//! 1. No call is sent before every note ahead of it is durable
//!    (`no_call_is_sent_before_its_notes_are_durable`).
//! 2. Each call is answered once, and never are more on their way than allowed
//!    (`never_more_calls_than_allowed_are_on_their_way`).
//! 3. All definitions have been told when it says so, with the smallest revision of their lists
//!    (`synced_comes_after_all_lists`).

use super::clock::Clock;
use super::gate::{Deed, Gate, Passage};
use super::handle::{Asked, TaskFault};
use super::notice::Notice;
use super::recorder::Recorder;
use super::server::{Server, Unclear};
use super::watch::{LEDGERS, Told, WATCHED, Watched};
use crate::cluster::node::Node;
use crate::cluster::port::{AskId, CallId, Change, Fault, Input, Outcome, Output, Request};
use spiderpool_core::command::Answer;
use spiderpool_core::event::Revision;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// The shortest time between two ticks.
const TICK_MIN: Duration = Duration::from_millis(1);

/// The longest time between two looks at the clock, which may be set meanwhile.
const TICK_MAX: Duration = Duration::from_secs(60);

/// How long open asks are waited for when the driver is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What is driven: a [`Node`], or something that stands for it in a test.
pub(super) trait Protocol: Send + 'static {
    /// Takes in what happened, and gives what is to be done.
    fn step(&mut self, moment: Moment, input: Input) -> Vec<Output>;
    /// When a tick is due at the latest.
    fn wake_at(&self) -> Option<u64>;
    /// Why no address is given out at present, if that is so.
    fn closed(&self) -> Option<String>;
}

impl Protocol for Node {
    fn step(&mut self, moment: Moment, input: Input) -> Vec<Output> {
        Self::step(self, moment, input)
    }

    fn wake_at(&self) -> Option<u64> {
        Self::wake_at(self)
    }

    fn closed(&self) -> Option<String> {
        Self::closed(self)
    }
}

/// What a driver is made of.
#[derive(Debug)]
pub(super) struct Parts<P> {
    pub protocol: P,
    pub server: Server,
    pub clock: Arc<Clock>,
    pub recorder: Recorder,
    pub asks: mpsc::Receiver<Asked>,
    pub told: mpsc::Receiver<Told>,
    pub stop: watch::Receiver<bool>,
    pub closed: watch::Sender<Option<Arc<str>>>,
    pub notices: broadcast::Sender<Notice>,
    pub calls_max: usize,
}

/// The loop.
#[derive(Debug)]
pub(super) struct Driver<P> {
    parts: Parts<P>,
    gate: Gate,
    open: BTreeMap<AskId, oneshot::Sender<Result<Answer, Fault>>>,
    asked: AskId,
    calls: Calls,
    nodes: Nodes,
    listed: BTreeMap<&'static str, Revision>,
    ticked: Instant,
    drain: Option<Instant>,
}

/// Requests on their way and waiting.
#[derive(Debug, Default)]
struct Calls {
    waiting: VecDeque<(CallId, Box<Request>)>,
    running: JoinSet<(CallId, Outcome)>,
}

/// The list of nodes on its way.
#[derive(Debug, Default)]
struct Nodes {
    running: JoinSet<BTreeSet<Name>>,
    /// Asked for again since it was sent.
    again: bool,
}

enum Happening {
    Asked(Option<Box<Asked>>),
    Told(Option<Told>),
    Replied(CallId, Outcome),
    Nodes(BTreeSet<Name>),
    Durable,
    Woken,
    Stop,
}

impl<P: Protocol> Driver<P> {
    pub(super) fn new(parts: Parts<P>, first: Vec<Output>) -> Self {
        let mut gate = Gate::default();
        gate.push(first);
        Self {
            parts,
            gate,
            open: BTreeMap::new(),
            asked: 0,
            calls: Calls::default(),
            nodes: Nodes::default(),
            listed: BTreeMap::new(),
            ticked: Instant::now(),
            drain: None,
        }
    }

    /// Drives until nobody can ask any more and nothing is open.
    pub(super) async fn run(mut self) -> Result<(), TaskFault> {
        loop {
            self.pass();
            self.tell_closed();
            if self.has_ended() {
                return Ok(());
            }
            if self.tick_is_due() {
                self.ticked = Instant::now();
                self.step(Input::Tick);
                continue;
            }
            let happening = self.happening().await?;
            self.take(happening);
        }
    }

    async fn happening(&mut self) -> Result<Happening, JoinError> {
        let pause = self.pause();
        let Parts { asks, told, stop, recorder, .. } = &mut self.parts;
        let may_ask = self.drain.is_none();
        tokio::select! {
            biased;
            durable = recorder.durable() => durable.map(|()| Happening::Durable),
            Some(reply) = self.calls.running.join_next() => {
                reply.map(|(call, outcome)| Happening::Replied(call, outcome))
            }
            Some(nodes) = self.nodes.running.join_next() => nodes.map(Happening::Nodes),
            told = told.recv() => Ok(Happening::Told(told)),
            asked = asks.recv(), if may_ask => Ok(Happening::Asked(asked.map(Box::new))),
            () = stopped(stop), if may_ask => Ok(Happening::Stop),
            () = tokio::time::sleep(pause) => Ok(Happening::Woken),
        }
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Asked(Some(asked)) => {
                let Asked { ask, teller } = *asked;
                let id = self.asked;
                self.asked += 1;
                self.open.insert(id, teller);
                self.step(Input::Ask { id, ask: Box::new(ask) });
            }
            Happening::Asked(None) | Happening::Stop => {
                self.parts.asks.close();
                self.drain = Some(Instant::now() + DRAIN);
            }
            Happening::Told(told) => self.hear(told),
            Happening::Replied(call, outcome) => self.step(Input::Reply { call, outcome }),
            Happening::Nodes(nodes) => {
                if std::mem::take(&mut self.nodes.again) {
                    self.want_nodes();
                }
                self.step(Input::ReadyNodes(nodes));
            }
            Happening::Durable => self.gate.committed(),
            Happening::Woken => {}
        }
    }

    fn hear(&mut self, told: Option<Told>) {
        match told {
            Some(Told::Changed(change)) => self.step(Input::Changed(change)),
            Some(Told::Listed(what, revision)) => {
                let is_first = self.listed.insert(what.plural, revision).is_none();
                let all = self.listed.len() == WATCHED.len();
                match self.listed.values().min().copied().filter(|_| is_first && all) {
                    Some(revision) => self.step(Input::Changed(Change::Synced { revision })),
                    None if !is_first => self.resumed(what),
                    None => {}
                }
            }
            Some(Told::Resumed(what)) => self.resumed(what),
            // The watches only end when this loop does.
            None => self.drain = self.drain.or(Some(Instant::now())),
        }
    }

    /// A watch is back; one of them speaks for all.
    fn resumed(&mut self, what: Watched) {
        if what == LEDGERS {
            self.step(Input::Changed(Change::Resumed));
        }
    }

    /// Whoever wants to know is told when addresses are not given out any more, or again.
    fn tell_closed(&self) {
        let stuck = || self.parts.recorder.stuck_reason();
        let why = self.parts.protocol.closed().map(Arc::from).or_else(stuck);
        self.parts.closed.send_if_modified(|told| {
            let changes = *told != why;
            *told = why;
            changes
        });
    }

    fn step(&mut self, input: Input) {
        let outputs = self.parts.protocol.step(self.parts.clock.moment(), input);
        self.gate.push(outputs);
    }

    /// Does whatever may be done.
    fn pass(&mut self) {
        while let Some(passage) = self.gate.next() {
            match passage {
                Passage::Perform(deeds) => deeds.into_iter().for_each(|deed| self.perform(deed)),
                Passage::Commit(entries) => self.parts.recorder.begin(entries),
            }
        }
        while self.calls.running.len() < self.parts.calls_max {
            let Some((call, request)) = self.calls.waiting.pop_front() else { break };
            let (server, notices) = (self.parts.server.clone(), self.parts.notices.clone());
            self.calls.running.spawn(async move {
                let (outcome, unclear) = server.call(&request).await;
                if let Some(why) = unclear {
                    let what = what(&request);
                    drop(notices.send(Notice::Unclear { what, why }));
                }
                (call, outcome)
            });
        }
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Call(call, request) => self.calls.waiting.push_back((call, request)),
            Deed::Answer(id, answer) => {
                if let Some(teller) = self.open.remove(&id) {
                    // Whoever asked need not wait for it.
                    drop(teller.send(answer));
                }
            }
            Deed::WantNodes if self.nodes.running.is_empty() => self.want_nodes(),
            Deed::WantNodes => self.nodes.again = true,
            Deed::Alarm(alarm) => drop(self.parts.notices.send(Notice::Alarm(alarm))),
        }
    }

    fn want_nodes(&mut self) {
        let (server, notices) = (self.parts.server.clone(), self.parts.notices.clone());
        self.nodes.running.spawn(async move {
            let mut backoff = super::watch::backoff();
            loop {
                match server.ready_nodes().await {
                    Ok(nodes) => return nodes,
                    Err(Unclear(why)) => {
                        let what = "list the nodes".to_owned();
                        drop(notices.send(Notice::Unclear { what, why }));
                        tokio::time::sleep(backoff.pause(super::clock::chance())).await;
                    }
                }
            }
        });
    }

    fn has_ended(&self) -> bool {
        let Some(drain) = self.drain else { return false };
        let idle = self.open.is_empty() && self.gate.is_empty();
        idle && self.calls.waiting.is_empty() && self.calls.running.is_empty()
            || Instant::now() >= drain
    }

    fn tick_is_due(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero()) && self.ticked.elapsed() >= TICK_MIN
    }

    /// How long until a tick is due.
    fn left(&self) -> Option<Duration> {
        let at_ms = self.parts.protocol.wake_at()?;
        Some(Duration::from_millis(at_ms.saturating_sub(self.parts.clock.now_ms())))
    }

    fn pause(&self) -> Duration {
        let left = self.left().unwrap_or(TICK_MAX).clamp(TICK_MIN, TICK_MAX);
        match self.drain {
            None => left,
            Some(drain) => left.min(drain.saturating_duration_since(Instant::now())),
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Whoever could stop it is gone, and then this task is aborted.
        std::future::pending().await
    }
}

/// What people are told about a request.
fn what(request: &Request) -> String {
    match request {
        Request::Read(key) | Request::ReadMeta(key) => format!("read {key}"),
        Request::Create { key, .. } => format!("create {key}"),
        Request::Replace { key, .. } => format!("write {key}"),
        Request::List { index, .. } => format!("list a block in {index}"),
        Request::EndpointsOf(node) => format!("list the endpoints of {node}"),
        Request::Reservations => "list the reservations".to_owned(),
    }
}
