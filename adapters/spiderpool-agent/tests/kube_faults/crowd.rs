//! A stream of pods that come and go on several nodes, as runtimes make them, and the roll of what each
//! container that lives was told.
//!
//! A container lives from the reply to its ADD until its DEL is sent. An ADD that failed is followed by
//! DEL, which is repeated until it succeeds, and by an ADD of another container of the same pod. Some pods
//! get a new sandbox while they live, and the DEL of the old one comes late; some pods vanish and no DEL
//! comes at all.
//!
//! Invariant: whoever enters the roll with an address that another living container has is told of at the
//! end ([`Roll::is_unambiguous`]).

use crate::chance::Chance;
use crate::daemon::{Daemon, Sandbox};
use crate::ground::Ground;
use spiderpool_agent_api::AgentFault;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long one try of a verb may take, in milliseconds.
const TRY_MS: u64 = 8_000;

/// How long a runtime goes on trying before the story has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// How many pods a worker has at most.
const PODS: usize = 8;

/// How many containers end without a DEL: all of them early, since they are long in being taken back.
const ABANDONED: usize = 8;

/// What every living container was told.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    living: Mutex<BTreeMap<Sandbox, (IpAddr, usize)>>,
    clashes: Mutex<Vec<String>>,
    abandoned: Mutex<BTreeSet<String>>,
    pub(crate) added: AtomicU32,
    pub(crate) failed: AtomicU32,
}

impl Roll {
    /// A container was told an address by the agent of that number.
    pub(crate) fn enter(&self, sandbox: &Sandbox, address: IpAddr, agent: usize) {
        let mut living = self.living.lock().unwrap();
        for (other, (theirs, _)) in living.iter() {
            if *theirs == address && other != sandbox {
                let clash = format!("{address} was told to {sandbox:?} while {other:?} has it");
                self.clashes.lock().unwrap().push(clash);
            }
        }
        living.insert(sandbox.clone(), (address, agent));
    }

    /// A container ends: its DEL is about to be sent.
    pub(crate) fn leave(&self, sandbox: &Sandbox) {
        self.living.lock().unwrap().remove(sandbox);
    }

    /// A container ends, and no DEL will come.
    pub(crate) fn abandon(&self, sandbox: &Sandbox) {
        self.abandoned.lock().unwrap().insert(sandbox.container.clone());
        self.leave(sandbox);
    }

    /// The containers whose DEL never came.
    pub(crate) fn abandoned(&self) -> BTreeSet<String> {
        self.abandoned.lock().unwrap().clone()
    }

    pub(crate) fn living(&self) -> BTreeMap<Sandbox, (IpAddr, usize)> {
        self.living.lock().unwrap().clone()
    }

    /// Fails if two living containers ever had one address.
    #[track_caller]
    pub(crate) fn is_unambiguous(&self) {
        assert_eq!(*self.clashes.lock().unwrap(), Vec::<String>::new());
        let living = self.living();
        let mut seen = BTreeMap::new();
        for (sandbox, (address, _)) in &living {
            let other = seen.insert(address, sandbox);
            assert!(other.is_none(), "{address}: {sandbox:?} and {other:?}");
        }
    }

    /// Fails unless every living container's address is held for it.
    pub(crate) fn is_held(&self, ground: &Ground) -> Result<(), String> {
        let held = ground.held();
        for (sandbox, (address, _)) in self.living() {
            let container = held.get(&address).and_then(|held| held.holder.container.as_ref());
            if container.is_none_or(|container| **container != *sandbox.container) {
                return Err(format!("{address} of {sandbox:?} is held for {container:?}"));
            }
        }
        Ok(())
    }

    /// Fails unless nothing is held but what living containers were told, or abandoned ones have until
    /// it is taken back.
    pub(crate) fn has_no_leak(&self, ground: &Ground) -> Result<(), String> {
        let living: BTreeMap<_, _> =
            self.living().into_iter().map(|(who, (address, _))| (address, who)).collect();
        let (mut held, abandoned) = (ground.held(), self.abandoned());
        held.retain(|address, held| {
            let container = held.holder.container.as_ref();
            let is_abandoned = container.is_some_and(|name| abandoned.contains(name.as_str()));
            !living.contains_key(address) && !is_abandoned
        });
        if held.is_empty() { Ok(()) } else { Err(format!("leaked: {held:?}")) }
    }
}

/// What a story's containers are called: no two are alike.
pub(crate) fn sandbox(ground: &Ground, node: &str, pod: &str) -> Sandbox {
    let uid = ground.pod(pod, node);
    Sandbox { pod: pod.to_owned(), uid, container: container(ground.story) }
}

/// Another container of the same pod.
pub(crate) fn again(ground: &Ground, sandbox: &Sandbox) -> Sandbox {
    Sandbox { container: container(ground.story), ..sandbox.clone() }
}

fn container(story: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{story}-{:06}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The agents of a story and the roll.
#[derive(Clone, Copy)]
pub(crate) struct Crowd<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) agents: &'a [Daemon],
    pub(crate) roll: &'a Roll,
}

impl Crowd<'_> {
    /// Lets pods of each agent come and go by `workers` hands each, until `disturb` has ended.
    pub(crate) fn stream(&self, workers: usize, seed: u64, disturb: impl FnOnce()) {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let hands: Vec<_> = (0..self.agents.len() * workers)
                .map(|number| {
                    let ended = &ended;
                    let chance = Chance::new(seed ^ (number as u64) << 32);
                    let agent = number % self.agents.len();
                    let hand = Hand { crowd: *self, agent, number, chance, own: Vec::new() };
                    scope.spawn(move || hand.work(ended))
                })
                .collect();
            // Hands that work for ever would hide why the disturbance failed.
            let end = Ending(&ended);
            disturb();
            drop(end);
            hands.into_iter().for_each(|hand| hand.join().unwrap());
        });
    }

    /// ADD as runtimes do it, until it succeeds. Gives who has the address, as the container changes
    /// with each failure.
    pub(crate) fn begin(&self, agent: usize, mut sandbox: Sandbox) -> (Sandbox, IpAddr) {
        let end = Instant::now() + PATIENCE;
        loop {
            let daemon = &self.agents[agent];
            match daemon.add(&sandbox, TRY_MS) {
                Ok(address) => {
                    self.roll.enter(&sandbox, address, agent);
                    self.roll.added.fetch_add(1, Ordering::Relaxed);
                    return (sandbox, address);
                }
                Err(fault) => {
                    self.roll.failed.fetch_add(1, Ordering::Relaxed);
                    assert!(Instant::now() < end, "{sandbox:?}: {fault}\n{}", daemon.tail());
                    pause(&fault);
                    self.end(agent, &sandbox);
                    sandbox = again(self.ground, &sandbox);
                }
            }
        }
    }

    /// DEL as runtimes do it, until it succeeds.
    pub(crate) fn end(&self, agent: usize, sandbox: &Sandbox) {
        self.roll.leave(sandbox);
        let end = Instant::now() + PATIENCE;
        while let Err(fault) = self.agents[agent].del(sandbox, TRY_MS) {
            let tail = || self.agents[agent].tail();
            assert!(Instant::now() < end, "{sandbox:?}: {fault}\n{}", tail());
            pause(&fault);
        }
    }

    /// Every living container is told the same again, and it is held for it; nobody else has it, and
    /// nothing is wrong with the blocks.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        self.roll.is_unambiguous();
        for (sandbox, (address, agent)) in self.roll.living() {
            let told = self.agents[agent].add(&sandbox, 30_000);
            assert_eq!(told.ok(), Some(address), "{sandbox:?}\n{}", self.agents[agent].tail());
        }
        assert_eq!(self.roll.is_held(self.ground), Ok(()));
        self.ground.is_sound();
    }

    /// Every pod goes, and nothing is left of any.
    #[track_caller]
    pub(crate) fn leaves_nothing(&self) {
        for (sandbox, (_, agent)) in self.roll.living() {
            self.ground.vanish(&sandbox.pod);
            self.end(agent, &sandbox);
        }
        let within = Duration::from_secs(30);
        self.ground.eventually(within, || self.roll.has_no_leak(self.ground));
        self.ground.is_sound();
    }
}

/// A runtime comes back a little later; an agent that was killed is soon there again.
fn pause(fault: &AgentFault) {
    let ms = if matches!(fault, AgentFault::Refused { .. }) { 200 } else { 50 };
    std::thread::sleep(Duration::from_millis(ms));
}

/// Ends the stream, also when the disturbance panics.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One worker of a node.
struct Hand<'a> {
    crowd: Crowd<'a>,
    agent: usize,
    number: usize,
    chance: Chance,
    own: Vec<Sandbox>,
}

impl Hand<'_> {
    fn work(mut self, ended: &AtomicBool) {
        let mut count = 0;
        while !ended.load(Ordering::Relaxed) {
            match self.chance.below(10) {
                0..=4 if self.own.len() < PODS => {
                    count += 1;
                    self.birth(count);
                }
                5 if !self.own.is_empty() => self.another_sandbox(),
                _ if !self.own.is_empty() => self.death(),
                _ => {}
            }
        }
    }

    fn birth(&mut self, count: u32) {
        let Crowd { ground, agents, .. } = self.crowd;
        let pod = format!("{}-{}-{count}", ground.story, self.number);
        let new = sandbox(ground, &agents[self.agent].node, &pod);
        let (sandbox, address) = self.crowd.begin(self.agent, new);
        if self.chance.below(4) == 0 {
            // A runtime that was restarted asks again; an agent that is down is no answer.
            match agents[self.agent].add(&sandbox, TRY_MS) {
                Ok(told) => assert_eq!(told, address, "{sandbox:?}"),
                Err(_) => drop(self.crowd.roll.failed.fetch_add(1, Ordering::Relaxed)),
            }
        }
        self.own.push(sandbox);
    }

    /// The pod lives on in another sandbox, and the old one is ended late.
    fn another_sandbox(&mut self) {
        let old = self.pick();
        self.crowd.roll.leave(&old);
        let (new, _) = self.crowd.begin(self.agent, again(self.crowd.ground, &old));
        self.crowd.end(self.agent, &old);
        self.own.push(new);
    }

    fn death(&mut self) {
        let Crowd { ground, roll, .. } = self.crowd;
        let gone = self.pick();
        match self.chance.below(5) {
            // Its DEL never comes.
            0 if roll.abandoned().len() < ABANDONED => {
                roll.abandon(&gone);
                ground.vanish(&gone.pod);
            }
            1 | 2 => {
                ground.doom(&gone.pod);
                self.crowd.end(self.agent, &gone);
                ground.vanish(&gone.pod);
            }
            _ => {
                ground.vanish(&gone.pod);
                self.crowd.end(self.agent, &gone);
            }
        }
    }

    fn pick(&mut self) -> Sandbox {
        let place = self.chance.below(self.own.len() as u64);
        self.own.swap_remove(usize::try_from(place).unwrap())
    }
}
