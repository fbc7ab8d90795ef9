//! The state machine of one node: what is asked becomes transactions, transactions meet in lanes, and
//! nobody is answered before everything that the answer rests on was seen to hold.
//!
//! A [`Node`] is driven by one caller, who hands in one [`Input`] after the other. Inside, each thing
//! asked is a *run* around a [`spiderpool_core::transaction::Transaction`]; each block that runs meet
//! at is a *lane*, where writes that wait for one another are sent as one; every other object is read
//! in *rounds* that runs share.
//!
//! Invariants, each kept by a test of that name in `tests/cluster`:
//! 1. Who is told an address holds it durably, in a block that the index lists
//!    (`nobody_is_told_before_the_block_is_durable_and_listed`).
//! 2. After the hold and before the reply each pool and the ledger are read once more
//!    (`a_pool_that_was_shrunk_behind_a_stale_watch_gives_nothing`).
//! 3. A write without a reply is settled before any other block is tried
//!    (`a_lost_reply_is_settled_where_it_was_lost`).
//! 4. Writes that wait for one another are sent as one (`what_waits_shares_the_next_write`).
//! 5. A static identity's endpoint names its slot before and after
//!    (`an_identity_keeps_its_address_on_another_node`).
//! 6. A store that went back gives nothing out until every ready node has written back what its pods
//!    hold (`a_restored_store_gives_nothing_that_is_held`).

mod ask;
mod claim;
mod confirm;
mod contested;
mod definitions;
mod endpoint;
mod lane;
mod load;
mod meet;
mod read;
mod rebuild;
mod recover;
mod repoint;
mod run;
mod verify;

use super::object::{IndexKey, Key};
use super::port::{Alarm, AskId, CallId, Change, Input, Outcome, Output, Request};
use super::record::{Entry, Identity, Record};
use ask::Group;
use definitions::Definitions;
use lane::Lane;
use read::{Question, Reads};
use rebuild::Rebuild;
use recover::Recovering;
use run::{Progress, Run, RunId};
use spiderpool_core::event::Revision;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::slots::BlockKey;
use std::collections::{BTreeMap, VecDeque};
use verify::Verifying;

/// What a node is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The node's name.
    pub node: Name,
    /// Its local record, or `None` when it was lost or belongs to another life. Then, and when it is not
    /// whole, it is made anew from the endpoints of the node.
    pub record: Option<Record>,
    /// Whose record a new one is.
    pub identity: Identity,
}

/// One node's part of the protocol.
#[derive(Debug)]
pub struct Node {
    name: Name,
    record: Record,
    definitions: Definitions,
    lanes: BTreeMap<BlockKey, Lane>,
    reads: Reads,
    runs: BTreeMap<RunId, Box<Run>>,
    groups: BTreeMap<RunId, Group>,
    calls: BTreeMap<CallId, Sent>,
    recovering: Recovering,
    /// The epoch of the record when the watches last listed everything.
    listed_epoch: u64,
    /// Blocks with the newest grants, while they are looked at.
    verifying: Option<Verifying>,
    /// Blocks that the record is made anew from, while that lasts.
    rebuilding: Option<Rebuild>,
    ready: VecDeque<Waiter>,
    outputs: Vec<Output>,
    moment: Moment,
    counter: u64,
}

/// Who waits for something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiter {
    Run(RunId),
    Lane(BlockKey),
    Recovery,
    Rebuild,
    Verify,
}

/// A call whose reply has not come.
#[derive(Clone, Debug)]
struct Sent {
    purpose: Purpose,
    /// The highest revision that was seen when it was sent: a write comes after it.
    seen: Revision,
    /// The epoch of the record then.
    epoch: u64,
}

/// What a call is for.
#[derive(Clone, Debug)]
enum Purpose {
    Read(Question),
    Lane(BlockKey),
    List(BlockKey),
    /// A hint of the index, of which nobody waits for the end.
    Hint(IndexKey),
    Endpoint(RunId),
    Endpoints,
    Ledger,
    /// An endpoint that is to name again what a container has.
    Repoint(Key),
}

/// How long a question without an answer waits before it is asked again, in milliseconds; doubled
/// each time up to [`RETRY_MAX_MS`].
const RETRY_MS: u64 = 50;
/// The longest pause between two tries.
const RETRY_MAX_MS: u64 = 5_000;

/// Whether a pause is over. One that is longer than any pause is one from before the clock was set back.
const fn is_over(at_ms: u64, now_ms: u64) -> bool {
    at_ms <= now_ms || at_ms > now_ms.saturating_add(RETRY_MAX_MS)
}

/// The pause before try `tries`, spread so that nodes do not come back together.
fn pause(moment: Moment, tries: u32) -> u64 {
    let most = RETRY_MS.saturating_mul(1 << tries.min(10)).min(RETRY_MAX_MS);
    most / 2 + moment.draw(tries.into()).checked_rem(most / 2).unwrap_or(0)
}

impl Node {
    /// A node that has not looked at anything yet, and what it does first.
    #[must_use]
    pub fn new(setup: Setup, moment: Moment) -> (Self, Vec<Output>) {
        let Setup { node, record, identity } = setup;
        let record = record.filter(Record::is_whole);
        let known = record.is_some();
        let mut this = Self {
            name: node,
            record: record.unwrap_or_else(|| Record::new(identity.clone())),
            definitions: Definitions::default(),
            lanes: BTreeMap::new(),
            reads: Reads::default(),
            runs: BTreeMap::new(),
            groups: BTreeMap::new(),
            calls: BTreeMap::new(),
            recovering: Recovering::default(),
            listed_epoch: 0,
            verifying: None,
            rebuilding: None,
            ready: VecDeque::new(),
            outputs: Vec::new(),
            moment,
            counter: 0,
        };
        if !known {
            this.note(Entry::Began { format: super::record::FORMAT, identity });
            this.begin_rebuild();
        }
        let outputs = std::mem::take(&mut this.outputs);
        (this, outputs)
    }

    /// Takes in what happened, and gives what is to be done, in order.
    pub fn step(&mut self, moment: Moment, input: Input) -> Vec<Output> {
        self.moment = moment;
        match input {
            Input::Ask { id, ask } => self.begin(id, *ask),
            Input::Reply { call, outcome } => self.reply(call, outcome),
            Input::Changed(change) => self.changed(change),
            Input::ReadyNodes(nodes) => self.judge_recovery(&nodes),
            Input::Tick => self.tick(),
        }
        self.settle();
        std::mem::take(&mut self.outputs)
    }

    /// When [`Input::Tick`] is due at the latest, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let deadlines =
            self.runs.values().filter(|run| run.ask.is_some()).map(|run| run.deadline_ms);
        let lanes = self.lanes.values().filter_map(Lane::retry_at);
        let rebuild = self.rebuilding.as_ref().and_then(Rebuild::retry_at);
        let others = [self.reads.retry_at(), self.recovering.retry_at(), rebuild];
        let pauses = lanes.chain(others.into_iter().flatten()).min();
        let pauses = pauses.map(|at| at.min(self.moment.now_ms.saturating_add(RETRY_MAX_MS)));
        deadlines.chain(pauses).min()
    }

    /// Why no address is given out at present, if that is so.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        if !self.definitions.is_synced() {
            return Some("the pools have not been listed yet".to_owned());
        }
        if self.rebuilding.is_some() {
            return Some("the local record was lost, and is being made anew".to_owned());
        }
        self.recovery_reason()
            .map(|why| format!("the cluster's records are being recovered: {why}"))
    }

    /// Its local record.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// How many things that were asked are under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.runs.len()
    }

    /// Goes on with everything that something was waiting for.
    fn settle(&mut self) {
        while let Some(waiter) = self.ready.pop_front() {
            match waiter {
                Waiter::Run(id) => self.advance(id),
                Waiter::Lane(key) => self.advance_lane(&key),
                Waiter::Recovery => self.advance_recovery(),
                Waiter::Rebuild => self.advance_rebuild(),
                Waiter::Verify => self.advance_verify(),
            }
        }
        self.forget_idle_lanes();
    }

    fn tick(&mut self) {
        let now_ms = self.moment.now_ms;
        let late = self.runs.values_mut().filter(|run| run.deadline_ms <= now_ms);
        let late: Vec<AskId> = late.filter_map(|run| run.ask.take()).collect();
        for id in late {
            self.answer(id, Err(super::port::Fault::Late));
        }
        let due = |lane: &Lane| lane.retry_at().is_some_and(|at| is_over(at, now_ms));
        let lanes: Vec<_> =
            self.lanes.iter().filter(|(_, lane)| due(lane)).map(|(key, _)| key.clone()).collect();
        self.ready.extend(lanes.into_iter().map(Waiter::Lane));
        for key in self.reads.due(now_ms) {
            self.send_read(key);
        }
        self.ready.extend([Waiter::Recovery, Waiter::Rebuild]);
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Seen(object) => {
                if object.key == Key::Ledger {
                    self.recovering.look_again(self.counter);
                }
                let key = object.key.clone();
                if !self.definitions.see(*object, self.counter) {
                    self.doubt(key);
                }
            }
            Change::Gone(key, revision) => {
                if !self.definitions.lose(&key, revision) {
                    self.doubt(key);
                }
            }
            Change::Rewound { revision, was } => {
                self.definitions.rewind();
                self.recovering.look_again(self.counter);
                // A watch that was away while the store went back tells of what was mended since.
                if self.listed_epoch == self.record.epoch() || was <= self.record.seen() {
                    self.went_back(format!(
                        "a list is at revision {revision}, a watch was at {was}"
                    ));
                }
                self.listed_epoch = self.record.epoch();
            }
            Change::Synced { revision } => {
                self.listed_epoch = self.record.epoch();
                self.definitions.sync();
                self.record.apply(&Entry::Saw { revision });
                let waiting = self.runs.keys().copied().map(Waiter::Run);
                self.ready.extend(waiting);
                self.begin_verify();
            }
            Change::Resumed => {
                self.listed_epoch = self.record.epoch();
                self.begin_verify();
            }
        }
        self.ready.push_back(Waiter::Recovery);
    }

    /// What was read of a definition is newer than what a watch tells of it, or of a time that the store has
    /// forgotten: another read tells which.
    fn doubt(&mut self, key: Key) {
        let question = match key {
            Key::Pool(_) => Question::Object(key),
            Key::Reservation(_) => Question::Reservations,
            Key::Subnet(_) | Key::Ledger | Key::Block(_) | Key::Index(_) | Key::Endpoint(_) => {
                return;
            }
        };
        self.read(question, self.counter, &Waiter::Recovery);
    }

    fn reply(&mut self, call: CallId, outcome: Outcome) {
        let Some(sent) = self.calls.remove(&call) else { return };
        if let Outcome::Done(meta) = &outcome {
            // A merge that changes nothing is answered with the revision that was there.
            let changes = !matches!(sent.purpose, Purpose::List(_) | Purpose::Hint(_));
            if changes && meta.revision <= sent.seen && sent.epoch == self.record.epoch() {
                let (got, seen) = (meta.revision, sent.seen);
                self.went_back(format!(
                    "a write was given revision {got} after {seen} had been seen"
                ));
            }
            // What was sent before a recovery tells of a history that is gone.
            if sent.epoch == self.record.epoch() {
                self.record.apply(&Entry::Saw { revision: meta.revision });
            }
        }
        match sent.purpose {
            Purpose::Read(question) => self.read_done(&question, call, outcome),
            Purpose::Lane(key) => self.lane_reply(&key, call, outcome),
            Purpose::List(key) => self.list_reply(&key, &outcome),
            Purpose::Hint(index) => self.reads.forget(&Question::Object(Key::Index(index))),
            Purpose::Endpoint(run) => self.endpoint_reply(run, outcome),
            Purpose::Endpoints => self.endpoints_reply(outcome),
            Purpose::Ledger => self.ledger_reply(outcome),
            Purpose::Repoint(key) => self.repoint_reply(&key, &outcome),
        }
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn call(&mut self, purpose: Purpose, request: Request) -> CallId {
        let call = self.count();
        self.calls
            .insert(call, Sent { purpose, seen: self.record.seen(), epoch: self.record.epoch() });
        self.outputs.push(Output::Call { call, request: Box::new(request) });
        call
    }

    fn note(&mut self, entry: Entry) {
        self.record.apply(&entry);
        self.outputs.push(Output::Note(entry));
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.outputs.push(Output::Alarm(alarm));
    }
}
