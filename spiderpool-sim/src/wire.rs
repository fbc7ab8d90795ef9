//! The way between a node and the server: latency, loss, delay, and requests counted by kind.
//!
//! Every request meets its fate when it is sent. What a caller is told and what happens at the server
//! are two things: a request may be lost before it arrives, take effect with its reply lost, or arrive
//! long after its caller gave up.
//!
//! Invariant: a request of a process that is gone may still take effect; its reply goes nowhere.

use crate::machine::Machine;
use crate::saboteur::Bug;
use crate::schedule::Weather;
use crate::world::{Happening, World};
use spiderpool_core::slots::Slot;
use spiderpool_kube::cluster::object::{Body, Key, Meta};
use spiderpool_kube::cluster::port::{CallId, Fault, Outcome, Request};
use std::collections::BTreeMap;

/// The longest that an ordinary reply takes in good weather, in milliseconds.
pub(crate) const LATENCY_MAX_MS: u64 = 20;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A process on a host.
    Host { host: usize, life: u32 },
    /// A leader, which looks again instead of waiting.
    Leader,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) sender: Sender,
    pub(crate) call: CallId,
    pub(crate) request: Request,
    /// Whether the caller will hear of it.
    pub(crate) answered: bool,
    /// Whether somebody else changes the object first.
    pub(crate) contended: bool,
    /// To which life of the server it goes: a connection does not outlast one.
    server: u32,
}

/// The weather of all requests.
#[derive(Debug, Default)]
pub(crate) struct Skies {
    /// Until when the server is away.
    pub(crate) away_until: u64,
    /// How often the server was started anew.
    pub(crate) life: u32,
    /// Bad times: until when, what, and to how many of a thousand requests.
    pub(crate) storms: Vec<(u64, Weather, u64)>,
}

/// What was counted in one schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Happenings.
    pub events: u64,
    /// Steps of state machines.
    pub steps: u64,
    /// Requests by kind.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests that met bad luck.
    pub mishaps: u64,
    /// Pods that were made.
    pub pods: u64,
    /// ADDs that were answered with addresses.
    pub granted: u64,
    /// ADDs that were answered with a fault, by its name.
    pub refused: BTreeMap<&'static str, u64>,
    /// DELs that were answered.
    pub released: u64,
    /// Slots that leaders freed.
    pub reclaimed: u64,
}

/// A name for what an ADD was answered with.
pub(crate) const fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Refused(_) => "refused by the rules",
        Fault::Late => "late",
        Fault::Contended { .. } => "contended",
        Fault::NotReady => "not ready",
        Fault::Recovering { .. } => "recovering",
        Fault::NoRecord { .. } => "no record",
        Fault::Lost { .. } => "block lost",
        Fault::Unreadable { .. } => "unreadable",
        Fault::Forbidden { .. } => "forbidden",
        Fault::NotHere { .. } => "not here",
    }
}

/// The kind of a request, as it is counted.
pub(crate) const fn kind(request: &Request) -> &'static str {
    match request {
        Request::Read(Key::Block(_)) => "read block",
        Request::Read(Key::Index(_)) => "read index",
        Request::Read(Key::Ledger) => "read ledger",
        Request::Read(Key::Endpoint(_)) => "read endpoint",
        Request::Read(_) => "read definition",
        Request::ReadMeta(_) => "read metadata",
        Request::Create { key: Key::Block(_), .. } => "create block",
        Request::Create { key: Key::Endpoint(_), .. } => "create endpoint",
        Request::Create { .. } => "create other",
        Request::Replace { key: Key::Block(_), .. } => "write block",
        Request::Replace { key: Key::Endpoint(_), .. } => "write endpoint",
        Request::Replace { .. } => "write other",
        Request::List { .. } => "merge index",
        Request::EndpointsOf(_) => "list endpoints",
        Request::Reservations => "list reservations",
    }
}

pub(crate) const fn is_write(request: &Request) -> bool {
    matches!(request, Request::Create { .. } | Request::Replace { .. } | Request::List { .. })
}

impl<M: Machine> World<'_, M> {
    /// Sends a request; its fate is drawn here.
    pub(crate) fn send(&mut self, sender: Sender, call: CallId, request: Request) {
        *self.counts.requests.entry(kind(&request)).or_default() += 1;
        let up = self.chance.between(1, LATENCY_MAX_MS / 2);
        let server = self.skies.life;
        let mut flight = Flight { sender, call, request, answered: true, contended: false, server };
        if let (Some(Bug::DoneBeforeDurable), Request::Replace { key: Key::Block(_), .. }) =
            (self.bug, &flight.request)
        {
            let delay = self.chance.between(100, 5_000);
            self.answer(&flight, 1, Outcome::Done(self.next_meta()));
            flight.answered = false;
            return self.after(delay, Happening::Arrive(Box::new(flight)));
        }
        match self.fate(sender) {
            None => self.after(up, Happening::Arrive(Box::new(flight))),
            Some(weather) => self.mishap(weather, flight, up),
        }
    }

    fn fate(&mut self, sender: Sender) -> Option<Weather> {
        let cut = match sender {
            Sender::Host { host, .. } => self.hosts.get(host).map_or(0, |host| host.cut_until),
            Sender::Leader => 0,
        };
        if self.now < cut {
            return Some(Weather::Lost);
        }
        if self.is_calm() {
            return None;
        }
        for at in 0..self.skies.storms.len() {
            let Some(&(until, weather, permille)) = self.skies.storms.get(at) else { continue };
            if self.now < until && self.chance.permille(permille) {
                return Some(weather);
            }
        }
        if !self.chance.permille(self.schedule.shape.mishaps) {
            return None;
        }
        let kinds = [Weather::Lost, Weather::Unanswered, Weather::Late, Weather::Contended];
        self.chance.pick(&kinds).copied()
    }

    fn mishap(&mut self, weather: Weather, mut flight: Flight, up: u64) {
        self.counts.mishaps += 1;
        let patience = self.chance.between(500, 5_000);
        match weather {
            Weather::Lost => self.no_reply(&flight, patience),
            Weather::Unanswered => {
                self.no_reply(&flight, patience);
                flight.answered = false;
                self.after(up, Happening::Arrive(Box::new(flight)));
            }
            Weather::Late => {
                self.no_reply(&flight, patience);
                flight.answered = false;
                let late = patience + self.chance.between(1, 30_000);
                self.after(late, Happening::Arrive(Box::new(flight)));
            }
            Weather::Contended => {
                flight.contended = true;
                self.after(up, Happening::Arrive(Box::new(flight)));
            }
            Weather::Slow => {
                let slow = self.chance.between(up, 8_000);
                self.after(slow, Happening::Arrive(Box::new(flight)));
            }
            Weather::Refused if is_write(&flight.request) => {
                let why = "admission webhook denied the request".to_owned();
                self.answer(&flight, up, Outcome::Refused { why });
            }
            Weather::Refused => self.after(up, Happening::Arrive(Box::new(flight))),
        }
    }

    /// Tells a caller that no reply came.
    fn no_reply(&mut self, flight: &Flight, patience: u64) {
        let done = Outcome::Done(self.next_meta());
        let outcome = match (self.bug, &flight.request) {
            (Some(Bug::LostIsConflict), request) if is_write(request) => Outcome::Conflict,
            (Some(Bug::LostIsMissing), Request::Replace { .. }) => Outcome::Missing,
            (Some(Bug::LostIsDone), request) if is_write(request) => done,
            _ => Outcome::Unknown,
        };
        self.answer(flight, patience, outcome);
    }

    fn next_meta(&self) -> Meta {
        Meta { revision: self.server.revision() + 1, generation: 1, deleting: false }
    }

    fn answer(&mut self, flight: &Flight, delay: u64, outcome: Outcome) {
        let Sender::Host { host, life } = flight.sender else { return };
        let (call, outcome) = (flight.call, Box::new(outcome));
        let server = self.skies.life;
        self.after(delay, Happening::Reply { host, life, server, call, outcome });
    }

    /// A request reaches the server.
    pub(crate) fn arrive(&mut self, flight: &Flight) {
        if self.now < self.skies.away_until || flight.server != self.skies.life {
            if flight.answered {
                let patience = self.chance.between(1, 2_000);
                self.no_reply(flight, patience);
            }
            return;
        }
        if let (true, Request::Replace { key, .. }) = (flight.contended, &flight.request) {
            self.server.touch(key);
        }
        let lenient = self.bug == Some(Bug::RevisionDropped);
        let (outcome, commit) = if self.takes_from_others(flight) {
            (Outcome::Refused { why: "it belongs to pods of another node".to_owned() }, None)
        } else {
            self.server.execute(&flight.request, lenient)
        };
        self.note(self.server.revision());
        if let Some(commit) = commit {
            self.committed(&commit, flight.sender);
            if let (Sender::Host { host, life }, false) = (flight.sender, flight.answered)
                && self.hosts.get(host).is_some_and(|host| host.life == life)
            {
                self.check_late(&flight.request);
            }
        }
        if flight.answered {
            let outcome = self.altered(flight, outcome);
            let down = self.chance.between(1, LATENCY_MAX_MS / 2);
            self.answer(flight, down, outcome);
        }
    }

    /// Whether an agent writes a slot that an ordinary pod of another node has: the admission policy.
    fn takes_from_others(&self, flight: &Flight) -> bool {
        let (Sender::Host { host, .. }, Request::Replace { key, base, was, body }) =
            (flight.sender, &flight.request)
        else {
            return false;
        };
        let (Some(host), Some(stored)) = (self.hosts.get(host), self.server.object(key)) else {
            return false;
        };
        let (Some(was), Some(body), Some(is)) = (was.block(), body.block(), stored.body.block())
        else {
            return false;
        };
        let foreign = |(slot, state): (&u8, &Slot)| match state {
            Slot::Allocated(held) => {
                held.holder.node != host.node
                    && !held.holder.owner.is_static()
                    && was.sheet.slots.get(slot) != body.sheet.slots.get(slot)
            }
            Slot::Resting { .. } | Slot::Quarantined { .. } => false,
        };
        *base == stored.meta.revision && is.sheet.slots.iter().any(foreign)
    }

    /// What a caller is told, after a planted bug had its hands on it.
    fn altered(&mut self, flight: &Flight, outcome: Outcome) -> Outcome {
        let Some(bug) = self.bug else { return outcome };
        let Sender::Host { host, .. } = flight.sender else { return outcome };
        let next = self.next_meta();
        let Some(host) = self.hosts.get_mut(host) else { return outcome };
        match (bug, &flight.request, outcome) {
            (Bug::ProofFromCache, Request::ReadMeta(key @ Key::Pool(_)), outcome) => {
                host.cached.entry(key.clone()).or_insert(outcome).clone()
            }
            (Bug::EndpointFromCache, Request::Read(key @ Key::Endpoint(_)), outcome)
            | (Bug::BlockFromCache, Request::Read(key @ Key::Block(_)), outcome) => {
                aged(host.cached.insert(key.clone(), outcome.clone()), outcome)
            }
            (Bug::EndpointConflictHidden, request, Outcome::Conflict) if of_endpoint(request) => {
                Outcome::Done(next)
            }
            (Bug::AbsentIsEmpty, Request::Read(Key::Index(_)), _) => Outcome::Absent,
            (_, _, outcome) => outcome,
        }
    }
}

/// What was seen before, at the revision of what there is.
fn aged(before: Option<Outcome>, present: Outcome) -> Outcome {
    match (before, present) {
        (Some(Outcome::Found(mut old)), Outcome::Found(new)) => {
            if !matches!(new.body, Body::Unreadable { .. }) {
                old.meta = new.meta;
            }
            Outcome::Found(old)
        }
        (_, present) => present,
    }
}

const fn of_endpoint(request: &Request) -> bool {
    matches!(
        request,
        Request::Create { key: Key::Endpoint(_), .. }
            | Request::Replace { key: Key::Endpoint(_), .. }
    )
}
