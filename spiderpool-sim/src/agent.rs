//! Agents: the process around a state machine, its local record, its watch, its clock, and how it
//! dies and comes back.
//!
//! Invariants:
//! 1. An agent can die between any two outputs of a step; what came before has happened, what comes
//!    after never does.
//! 2. A record reaches a new process only if it belongs to the node
//!    (`spiderpool_kube::cluster::record::Record::belongs_to`).

use crate::machine::Machine;
use crate::saboteur::Bug;
use crate::schedule::{Fate, Shape};
use crate::wire::Sender;
use crate::world::{EPOCH_MS, Happening, World};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::node::Setup;
use spiderpool_kube::cluster::object::{Key, Object};
use spiderpool_kube::cluster::port::{Alarm, AskId, CallId, Change, Input, Outcome, Output};
use spiderpool_kube::cluster::record::{Entry, Identity, Record};
use std::collections::{BTreeMap, BTreeSet};

/// How long a node that was cut off or is down counts as ready, in milliseconds.
const READY_GRACE_MS: u64 = 40_000;

/// Every so many notes a copy of the record is kept, for restoring an earlier one.
const COPY_EVERY: u32 = 16;

/// One machine with its agent and what it keeps on disk.
#[derive(Debug)]
pub(crate) struct Host<M> {
    pub(crate) node: Name,
    pub(crate) identity: Identity,
    pub(crate) machine: Option<M>,
    /// Which process it is.
    pub(crate) life: u32,
    pub(crate) disk: Option<Record>,
    earlier: Option<Record>,
    /// Whether its record was once taken for one of an earlier time, which nobody can notice.
    pub(crate) forgetful: bool,
    /// Whether its record was ever lost, or another node's.
    pub(crate) careless: bool,
    notes: u32,
    /// By how much its clock is off, in milliseconds.
    pub(crate) clock: i64,
    /// The pods that were assigned to it, and their sandboxes, in the order in which they were made.
    pub(crate) pods: Vec<usize>,
    pub(crate) sandboxes: Vec<usize>,
    pub(crate) asks: BTreeMap<AskId, Asked>,
    pub(crate) next_ask: AskId,
    pub(crate) ticket: u64,
    pub(crate) kill: Option<Kill>,
    /// Since when it is not powered.
    pub(crate) off_since: Option<u64>,
    /// Whether its Node object is gone.
    pub(crate) demolished: bool,
    pub(crate) cut_since: u64,
    pub(crate) cut_until: u64,
    pub(crate) watch: Watch,
    tick_at: Option<u64>,
    /// What a planted bug remembers.
    pub(crate) cached: BTreeMap<Key, Outcome>,
}

impl Watch {
    /// A new process knows nothing of what the one before was told.
    fn forget(&mut self) {
        (self.reached, self.listed, self.synced) = (0, 0, false);
        self.known.clear();
        self.since.clear();
        self.gone.clear();
    }
}

/// What an agent was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) sandbox: usize,
    /// The interface of an ADD; `None` for a DEL.
    pub(crate) interface: Option<usize>,
    /// Whether it repeats what was answered before.
    pub(crate) again: bool,
}

/// A death that is to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) after: u32,
    pub(crate) fate: Fate,
    pub(crate) down_ms: u64,
}

/// An agent's watch of definitions and of the ledger.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Which connection it is.
    pub(crate) number: u32,
    pub(crate) open: bool,
    pub(crate) blind_until: u64,
    pub(crate) lag_ms: u64,
    known: BTreeMap<Key, u64>,
    /// What was told since the last list was made, which is newer than the list.
    since: BTreeSet<Key>,
    /// What went since then, at which revision: a watch tells things in order.
    gone: BTreeMap<Key, u64>,
    /// Whether the present process was told all that there was.
    synced: bool,
    /// The revision that it has come to.
    reached: u64,
    /// The revision that it had come to when the last list was asked for.
    listed: u64,
}

/// A name made of a word and a number.
pub(crate) fn name(word: &str, number: usize) -> Name {
    let made = Name::new(&format!("{word}{number}"));
    made.unwrap_or_else(|_| unreachable!("a word and a number are a name"))
}

impl<M> Host<M> {
    pub(crate) fn all(shape: &Shape) -> Vec<Self> {
        let count = shape.hosts + usize::from(shape.twin);
        (0..count).map(|at| Self::new(at, at % shape.hosts, shape)).collect()
    }

    fn new(at: usize, node: usize, shape: &Shape) -> Self {
        let identity =
            Identity { node_uid: format!("node-{node}"), machine_id: format!("machine-{at}") };
        Self {
            node: name("n", node),
            identity,
            machine: None,
            life: 0,
            disk: None,
            earlier: None,
            forgetful: false,
            careless: false,
            notes: 0,
            clock: shape.clocks.get(at).copied().unwrap_or(0),
            pods: Vec::new(),
            sandboxes: Vec::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            ticket: 0,
            kill: None,
            off_since: None,
            demolished: false,
            cut_since: 0,
            cut_until: 0,
            watch: Watch::default(),
            tick_at: None,
            cached: BTreeMap::new(),
        }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.off_since.is_none()
    }

    /// Whether the cluster believes that it is well.
    pub(crate) fn is_ready(&self, now: u64) -> bool {
        let fresh = |since: u64| now < since + READY_GRACE_MS;
        let cut = now < self.cut_until && !fresh(self.cut_since);
        !self.demolished && !cut && self.off_since.is_none_or(fresh)
    }

    /// Whether its agent can be asked.
    pub(crate) const fn is_reachable(&self, now: u64) -> bool {
        self.is_on() && self.machine.is_some() && now >= self.cut_until
    }

    /// What its clock shows, in milliseconds since the Unix epoch.
    pub(crate) fn local_ms(&self, now: u64) -> u64 {
        (EPOCH_MS + now).saturating_add_signed(self.clock)
    }

    fn take_note(&mut self, entry: &Entry) {
        let identity = &self.identity;
        let disk = self.disk.get_or_insert_with(|| Record::new(identity.clone()));
        self.notes += 1;
        if self.notes.is_multiple_of(COPY_EVERY) {
            self.earlier = Some(disk.clone());
        }
        disk.apply(entry);
    }

    /// The record that a new process may use: another's is thrown away.
    fn own_record(&mut self) -> Option<Record> {
        let identity = &self.identity;
        self.disk = self.disk.take().filter(|record| record.belongs_to(identity));
        self.disk.clone()
    }
}

impl<M: Machine> World<'_, M> {
    fn moment(&mut self, host: usize) -> Option<Moment> {
        let seed = self.chance.next();
        let now_ms = self.hosts.get(host)?.local_ms(self.now);
        Some(Moment { now_ms, seed })
    }

    /// An agent's process begins.
    pub(crate) fn start(&mut self, at: usize) {
        let Some(moment) = self.moment(at) else { return };
        let Some(host) = self.hosts.get_mut(at) else { return };
        if !host.is_on() || host.machine.is_some() {
            return;
        }
        host.life += 1;
        host.tick_at = None;
        host.watch.forget();
        let record = host.own_record();
        let setup = Setup { node: host.node.clone(), record, identity: host.identity.clone() };
        let (machine, outputs) = M::start(setup, moment);
        host.machine = Some(machine);
        self.perform(at, outputs);
        self.connect(at, 1);
    }

    /// A watch begins anew after a while.
    pub(crate) fn connect(&mut self, at: usize, delay: u64) {
        let Some(host) = self.hosts.get_mut(at) else { return };
        host.watch.number += 1;
        host.watch.open = false;
        let watch = host.watch.number;
        self.after(delay, Happening::Relist { host: at, watch });
    }

    /// Hands something to an agent's state machine and does what it says.
    pub(crate) fn step(&mut self, at: usize, input: Input) {
        let Some(moment) = self.moment(at) else { return };
        let Some(machine) = self.hosts.get_mut(at).and_then(|host| host.machine.as_mut()) else {
            return;
        };
        self.counts.steps += 1;
        let outputs = machine.step(moment, input);
        self.perform(at, outputs);
    }

    /// Does what a state machine says, in order, unless its process dies in between.
    fn perform(&mut self, at: usize, outputs: Vec<Output>) {
        self.note(outputs.len() as u64);
        for output in outputs {
            if self.is_killed(at) {
                return;
            }
            if self.trace {
                crate::trace::output(self.now, at, &output);
            }
            match output {
                Output::Note(entry) => {
                    let dying = self.hosts.get(at).is_some_and(|host| host.kill.is_some());
                    let lost = dying && self.bug == Some(Bug::NotesNotDurable);
                    if let (Some(host), false) = (self.hosts.get_mut(at), lost) {
                        host.take_note(&entry);
                    }
                }
                Output::Call { call, request } => {
                    let life = self.hosts.get(at).map_or(0, |host| host.life);
                    self.sought(at, &request);
                    self.send(Sender::Host { host: at, life }, call, *request);
                }
                Output::Answer { id, answer } => self.answered(at, id, answer),
                Output::WantNodes => {
                    let life = self.hosts.get(at).map_or(0, |host| host.life);
                    let delay = self.chance.between(2, 50);
                    self.after(delay, Happening::Nodes { host: at, life });
                }
                Output::Alarm(alarm) => self.alarmed(at, &alarm),
            }
        }
        if !self.is_killed(at) {
            self.set_alarm_clock(at);
        }
    }

    /// Counts down to a death that is to come, and lets it come.
    fn is_killed(&mut self, at: usize) -> bool {
        let Some(host) = self.hosts.get_mut(at) else { return true };
        let Some(kill) = &mut host.kill else { return host.machine.is_none() };
        if kill.after > 0 {
            kill.after -= 1;
            return false;
        }
        let kill = *kill;
        self.die(at);
        self.spoil(at, kill.fate);
        self.after(kill.down_ms, Happening::Start(at));
        true
    }

    /// An agent's process ends; whoever waits for it is told by a closed connection.
    pub(crate) fn die(&mut self, at: usize) {
        let Some(host) = self.hosts.get_mut(at) else { return };
        host.kill = None;
        host.machine = None;
        host.watch.open = false;
        host.watch.number += 1;
        host.watch.reached = 0;
        host.cached.clear();
        let asks: Vec<_> = host.asks.keys().copied().collect();
        for ask in asks {
            self.unanswered(at, ask);
        }
    }

    /// What becomes of a record while its agent is down.
    fn spoil(&mut self, at: usize, fate: Fate) {
        let next = (at + 1).checked_rem(self.hosts.len()).unwrap_or(0);
        let carried = self.hosts.get(next).and_then(|host| host.disk.clone());
        let Some(host) = self.hosts.get_mut(at) else { return };
        host.careless |= matches!(fate, Fate::Lost | Fate::Carried);
        match fate {
            Fate::Intact => {}
            Fate::Lost => host.disk = None,
            Fate::Earlier => {
                if let Some(earlier) = host.earlier.take() {
                    host.disk = Some(earlier);
                    host.forgetful = true;
                }
            }
            Fate::Carried => {
                host.disk = carried.filter(|record| record.belongs_to(&host.identity));
            }
        }
        self.spoilt(at);
    }

    /// A state machine is told the time when it asked to be.
    fn set_alarm_clock(&mut self, at: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at) else { return };
        let Some(wake) = host.machine.as_ref().and_then(M::wake_at) else { return };
        let delay = wake.saturating_sub(host.local_ms(now)).max(1);
        let due = now.saturating_add(delay);
        if host.tick_at.is_some_and(|set| set <= due && set > now) {
            return;
        }
        host.tick_at = Some(due);
        let life = host.life;
        self.after(delay.min(u64::MAX / 4), Happening::Tick { host: at, life });
    }

    pub(crate) fn tick(&mut self, at: usize, life: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at) else { return };
        if host.life != life || host.tick_at != Some(now) {
            return;
        }
        host.tick_at = None;
        self.step(at, Input::Tick);
    }

    pub(crate) fn replied(&mut self, at: usize, life: u32, call: CallId, outcome: Outcome) {
        if self.hosts.get(at).is_some_and(|host| host.life == life) {
            self.step(at, Input::Reply { call, outcome });
        }
    }

    pub(crate) fn nodes(&mut self, at: usize, life: u32) {
        if self.hosts.get(at).is_none_or(|host| host.life != life || self.now < host.cut_until) {
            return;
        }
        let now = self.now;
        let (ready, others): (Vec<_>, Vec<_>) =
            self.hosts.iter().partition(|host| host.is_ready(now));
        let ready = ready.into_iter().map(|host| host.node.clone()).collect();
        self.truth.left_out.extend(others.into_iter().map(|host| host.node.clone()));
        self.step(at, Input::ReadyNodes(ready));
    }

    /// A change of a definition or of the ledger sets out to every watch.
    pub(crate) fn broadcast(&mut self, change: &Change) {
        for at in 0..self.hosts.len() {
            let now = self.now;
            let Some(host) = self.hosts.get(at) else { continue };
            if !host.watch.open || now < host.watch.blind_until || now < host.cut_until {
                continue;
            }
            let (watch, lag) = (host.watch.number, host.watch.lag_ms);
            let usual = if self.chance.one_in(20) { 3_000 } else { 50 };
            for _ in 0..if self.chance.one_in(10) { 2 } else { 1 } {
                let delay = self.chance.between(1, usual) + self.chance.below(lag + 1);
                let change = Box::new(change.clone());
                self.after(delay, Happening::Watch { host: at, watch, change });
            }
        }
    }

    pub(crate) fn told(&mut self, at: usize, watch: u32, change: Change) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at) else { return };
        if host.watch.number != watch || now < host.watch.blind_until {
            return;
        }
        if let Change::Gone(key, revision) = &change {
            host.watch.gone.insert(key.clone(), *revision);
        }
        if let Change::Seen(object) = &change {
            if host.watch.gone.get(&object.key).is_some_and(|gone| *gone >= object.meta.revision) {
                return;
            }
            host.watch.known.insert(object.key.clone(), object.meta.revision);
            host.watch.since.insert(object.key.clone());
            host.watch.reached = host.watch.reached.max(object.meta.revision);
        }
        self.step(at, Input::Changed(change));
    }

    /// A list is asked for; it may be on its way for a while.
    pub(crate) fn relist(&mut self, at: usize, watch: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at) else { return };
        if host.watch.number != watch || host.machine.is_none() {
            return;
        }
        let blocked = host.cut_until.max(host.watch.blind_until).max(self.skies.away_until);
        if now < blocked {
            let delay = blocked - now + self.chance.between(1, 1_000);
            return self.after(delay, Happening::Relist { host: at, watch });
        }
        host.watch.open = true;
        host.watch.listed = host.watch.reached;
        host.watch.since.clear();
        host.watch.gone.clear();
        *self.counts.requests.entry("list definitions").or_default() += 1;
        let (objects, revision) =
            (self.server.watched().cloned().collect(), self.server.revision());
        let delay = if self.chance.one_in(8) { self.chance.between(1, 2_000) } else { 5 };
        self.after(delay, Happening::Listed { host: at, watch, objects, revision });
    }

    pub(crate) fn listed(&mut self, at: usize, watch: u32, objects: Vec<Object>, revision: u64) {
        let Some(host) = self.hosts.get_mut(at) else { return };
        if host.watch.number != watch {
            return;
        }
        let was = host.watch.listed;
        let is_first = !std::mem::replace(&mut host.watch.synced, true);
        host.watch.reached = revision;
        let present: BTreeMap<_, _> =
            objects.iter().map(|object| (object.key.clone(), object.meta.revision)).collect();
        let since = std::mem::take(&mut host.watch.since);
        let mut known = std::mem::replace(&mut host.watch.known, present.clone());
        let older = |(key, at): (&Key, &u64)| {
            !since.contains(key) && known.get(key).is_some_and(|known| known > at)
        };
        if revision < was || present.iter().any(older) {
            self.step(at, Input::Changed(Change::Rewound { revision, was }));
        }
        for object in objects.into_iter().filter(|object| !since.contains(&object.key)) {
            self.step(at, Input::Changed(Change::Seen(Box::new(object))));
        }
        known.retain(|key, _| !since.contains(key));
        for key in known.into_keys().filter(|key| !present.contains_key(key)) {
            self.step(at, Input::Changed(Change::Gone(key, revision.max(was))));
        }
        let change = if is_first { Change::Synced { revision } } else { Change::Resumed };
        self.step(at, Input::Changed(change));
    }

    fn alarmed(&mut self, at: usize, alarm: &Alarm) {
        let node = self.hosts.get(at).map(|host| host.node.to_string()).unwrap_or_default();
        self.truth.alarmed(self.now, &node, alarm);
    }
}

/// Whether agents watch an object.
pub(crate) const fn is_watched(key: &Key) -> bool {
    match key {
        Key::Pool(_) | Key::Subnet(_) | Key::Reservation(_) | Key::Ledger => true,
        Key::Block(_) | Key::Index(_) | Key::Endpoint(_) => false,
    }
}
