//! One world: virtual time, its queue, and everything that lives in it.
//!
//! [`World::run`] takes one happening after the other from the queue until it is empty, time is over,
//! or something is wrong. What is in the world is divided over the modules: agents and their records
//! (`agent`), requests (`wire`), pods and runtimes (`runtime`), those who
//! write definitions and break things (`control`), those who reclaim (`leader`), and
//! what must hold ([`crate::truth`], [`crate::finish`]).
//!
//! Invariant: the same schedule ends in the same digest
//! (`tests/replay.rs`: `a_schedule_replays_to_the_same_state`).

use crate::agent::Host;
use crate::chance::{Chance, mix};
use crate::control::Definitions;
use crate::leader::Leader;
use crate::machine::Machine;
use crate::runtime::{CALM_BACKOFF_MAX_MS, Pod, Sandbox, StatefulSet};
use crate::saboteur::Bug;
use crate::schedule::Schedule;
use crate::server::Server;
use crate::truth::Truth;
use crate::wire::{Counts, Flight, Skies};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::Object;
use spiderpool_kube::cluster::port::{AskId, CallId, Change, Outcome};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// When virtual time begins, in milliseconds since the Unix epoch.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Happening {
    /// An action of the schedule.
    Action(usize),
    /// An agent starts.
    Start(usize),
    /// An agent asked to be told the time.
    Tick { host: usize, life: u32 },
    /// A request reaches the server.
    Arrive(Box<Flight>),
    /// A reply of one life of the server reaches an agent.
    Reply { host: usize, life: u32, server: u32, call: CallId, outcome: Box<Outcome> },
    /// A watch tells of a change.
    Watch { host: usize, watch: u32, change: Box<Change> },
    /// A watch begins anew: a list is asked for.
    Relist { host: usize, watch: u32 },
    /// That list has come.
    Listed { host: usize, watch: u32, objects: Vec<Object>, revision: u64 },
    /// The list of ready nodes has come.
    Nodes { host: usize, life: u32 },
    /// A runtime starts a sandbox for a pod, if it has none.
    Sync(usize),
    /// A runtime asks for an interface.
    Add { sandbox: usize, interface: usize },
    /// A runtime tells of a sandbox that goes.
    Del { sandbox: usize },
    /// A runtime stops waiting.
    GiveUp { host: usize, ask: AskId },
    /// A pod's time is up.
    Stop { pod: usize },
    /// A host comes back.
    Boot(usize),
    /// Whoever withdrew addresses reads the blocks.
    Withdrawn { pool: usize, edit: u64 },
    /// A leader looks.
    Look(usize),
    /// A leader acts on what it saw.
    Free { claim: Box<crate::leader::Job> },
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Everything there is in one schedule.
#[derive(Debug)]
pub struct World<'s, M> {
    pub(crate) schedule: &'s Schedule,
    pub(crate) bug: Option<Bug>,
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    pub(crate) server: Server,
    pub(crate) copy: Option<Server>,
    pub(crate) skies: Skies,
    pub(crate) hosts: Vec<Host<M>>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) by_container: BTreeMap<Name, usize>,
    pub(crate) by_uid: BTreeMap<Name, usize>,
    pub(crate) sets: Vec<StatefulSet>,
    pub(crate) definitions: Definitions,
    pub(crate) leaders: Vec<Leader>,
    pub(crate) truth: Truth,
    pub(crate) counts: Counts,
    pub(crate) trace: bool,
    /// Whether some agent's clock may differ from the server's.
    pub(crate) clocks_differ: bool,
    digest: u64,
    order: u64,
    queue: BinaryHeap<Reverse<Entry>>,
}

impl<'s, M: Machine> World<'s, M> {
    /// The world at the beginning of a schedule, with a bug planted in it or not.
    #[must_use]
    pub fn new(schedule: &'s Schedule, bug: Option<Bug>) -> Self {
        let mut world = Self {
            schedule,
            bug,
            chance: Chance::new(mix(schedule.seed ^ 0x7370_6964_6572)),
            now: 0,
            server: Server::default(),
            copy: None,
            skies: Skies::default(),
            hosts: Host::all(&schedule.shape),
            pods: Vec::new(),
            sandboxes: Vec::new(),
            by_container: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            sets: StatefulSet::some(schedule.shape.sets),
            definitions: Definitions::new(&schedule.shape.pools),
            leaders: (0..schedule.shape.leaders).map(|_| Leader::default()).collect(),
            truth: Truth::default(),
            counts: Counts::default(),
            trace: false,
            clocks_differ: true,
            digest: schedule.seed,
            order: 0,
            queue: BinaryHeap::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.write_definitions();
        for host in 0..self.hosts.len() {
            let delay = self.chance.below(50);
            self.after(delay, Happening::Start(host));
        }
        for (at, (ms, _)) in self.schedule.actions.iter().enumerate() {
            self.after(*ms, Happening::Action(at));
        }
        for leader in 0..self.leaders.len() {
            let delay = self.chance.between(5_000, 20_000);
            self.after(delay, Happening::Look(leader));
        }
    }

    /// Prints every happening: for reading a failing schedule.
    pub const fn trace(&mut self) {
        self.trace = true;
    }

    /// Puts something into the queue.
    pub(crate) fn after(&mut self, delay_ms: u64, happening: Happening) {
        self.order += 1;
        let entry = Entry { at: self.now + delay_ms, order: self.order, happening };
        self.queue.push(Reverse(entry));
    }

    /// Whether faults have ceased.
    pub(crate) const fn is_calm(&self) -> bool {
        self.now >= self.schedule.calm_ms
    }

    /// Runs to the end, or to the first thing that is wrong.
    pub fn run(&mut self) {
        let end = self.schedule.calm_ms + self.schedule.quiet_ms;
        self.run_until(end);
        // What came free a moment ago is found when those who wait ask again.
        if self.truth.is_sound() && self.unserved().is_some() {
            self.run_until(end + 2 * CALM_BACKOFF_MAX_MS);
        }
        if self.truth.is_sound() {
            self.finish();
        }
    }

    fn run_until(&mut self, end: u64) {
        while let Some(Reverse(entry)) = self.queue.pop() {
            if entry.at > end || !self.truth.is_sound() {
                self.queue.push(Reverse(entry));
                break;
            }
            self.now = entry.at;
            if self.clocks_differ && self.is_calm() {
                // A clock that is off is a fault, too: agents set theirs by the server's.
                self.truth.had_clocks_apart |= self.hosts.iter().any(|host| host.clock != 0);
                self.hosts.iter_mut().for_each(|host| host.clock = 0);
                self.clocks_differ = false;
            }
            self.counts.events += 1;
            self.note(entry.order);
            if self.trace {
                crate::trace::happening(self.now, &entry.happening);
            }
            self.happen(entry.happening);
            if self.counts.events > self.events_max() {
                self.violated("this never comes to rest");
            }
        }
        if self.truth.is_sound() {
            self.now = end;
        }
    }

    /// More happenings than these mean that somebody goes round in circles.
    fn events_max(&self) -> u64 {
        200_000 + 1_000 * self.schedule.actions.len() as u64
    }

    /// Takes a number into the digest.
    pub(crate) const fn note(&mut self, number: u64) {
        self.digest = mix(self.digest ^ number ^ self.now.rotate_left(32));
    }

    /// A number that differs when anything went differently.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let objects = self.server.objects();
        objects.fold(self.digest, |digest, object| {
            let text = format!("{object:?}");
            text.bytes().fold(digest, |digest, byte| {
                (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        })
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Action(at) => self.act(at),
            Happening::Start(host) => self.start(host),
            Happening::Tick { host, life } => self.tick(host, life),
            Happening::Arrive(flight) => self.arrive(&flight),
            Happening::Reply { host, life, server, call, outcome } => {
                let outcome = if server == self.skies.life { *outcome } else { Outcome::Unknown };
                self.replied(host, life, call, outcome);
            }
            Happening::Watch { host, watch, change } => self.told(host, watch, *change),
            Happening::Relist { host, watch } => self.relist(host, watch),
            Happening::Listed { host, watch, objects, revision } => {
                self.listed(host, watch, objects, revision);
            }
            Happening::Nodes { host, life } => self.nodes(host, life),
            Happening::Sync(pod) => self.sync(pod),
            Happening::Add { sandbox, interface } => self.add(sandbox, interface),
            Happening::Del { sandbox } => self.del(sandbox),
            Happening::GiveUp { host, ask } => self.unanswered(host, ask),
            Happening::Stop { pod } => self.stop(pod),
            Happening::Boot(host) => self.boot(host),
            Happening::Withdrawn { pool, edit } => self.withdrawn(pool, edit),
            Happening::Look(leader) => self.look(leader),
            Happening::Free { claim } => self.free(&claim),
        }
    }

    /// What was found to be wrong, if anything was.
    #[must_use]
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}
