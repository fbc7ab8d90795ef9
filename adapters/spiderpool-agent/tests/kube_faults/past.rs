//! etcd is restored to an older snapshot while pods run.
//!
//! The pods' addresses are on a link of a namespace, so that agents see them run although the API server
//! has forgotten some of their pods.

use crate::crowd::{Crowd, Roll, again, sandbox};
use crate::daemon::{Daemon, Sandbox};
use crate::ground::Ground;
use spiderpool_chains::Room;
use spiderpool_kube_lab::Restore;
use std::net::IpAddr;
use std::time::Duration;

/// A story in the middle of which the store goes back.
struct Story<'a> {
    crowd: Crowd<'a>,
    room: Room,
}

impl Story<'_> {
    /// Makes a pod for an agent without an ADD.
    fn made(&self, agent: usize, pod: &str) -> (usize, Sandbox) {
        let Crowd { ground, agents, .. } = self.crowd;
        (agent, sandbox(ground, &agents[agent].node, &format!("{}-{pod}", ground.story)))
    }

    /// ADD, and the pod runs.
    fn run(&self, (agent, sandbox): (usize, Sandbox)) -> (usize, Sandbox, IpAddr) {
        let (sandbox, address) = self.crowd.begin(agent, sandbox);
        self.room.ip(&format!("addr add {address}/32 dev lo"));
        (agent, sandbox, address)
    }

    /// As many pods that run, on the agents in turn.
    fn running(&self, many: usize, name: &str) -> Vec<(usize, Sandbox, IpAddr)> {
        (0..many).map(|n| self.run(self.made(n % 2, &format!("{name}-{n}")))).collect()
    }

    /// The pod is gone from API and node.
    fn end(&self, (agent, sandbox, address): &(usize, Sandbox, IpAddr)) {
        self.crowd.ground.vanish(&sandbox.pod);
        self.room.ip(&format!("addr del {address}/32 dev lo"));
        self.crowd.end(*agent, sandbox);
    }
}

/// What the store's past gave away.
struct Restored {
    running: Vec<(usize, Sandbox, IpAddr)>,
    /// Pods that the API server has forgotten, and that run.
    forgotten: Vec<(usize, Sandbox, IpAddr)>,
    /// Pods that the API server has again, and no node.
    gone: Vec<(usize, Sandbox, IpAddr)>,
}

/// Takes a snapshot, lets pods come and go, and restores it. Addresses of pods that go are given again
/// before the restore only if they go `first`.
fn goes_back(story: &Story<'_>, how: Restore, first: bool) -> Restored {
    let ground = story.crowd.ground;
    let mut running = story.running(10, "kept");
    let gone = story.running(4, "gone");
    let made: Vec<_> = (0..4).map(|n| story.made(n % 2, &format!("late-{n}"))).collect();
    let snapshot = ground.cluster.snapshot().unwrap();
    if first {
        gone.iter().for_each(|pod| story.end(pod));
    }
    running.extend(made.into_iter().map(|pod| story.run(pod)));
    let forgotten = story.running(6, "forgotten");
    if !first {
        gone.iter().for_each(|pod| story.end(pod));
    }
    ground.cluster.restore(&snapshot, how).unwrap();
    Restored { running, forgotten, gone }
}

/// Waits for the end of a recovery that began after `epoch`.
fn recovers(ground: &Ground, epoch: u64) {
    ground.eventually(Duration::from_secs(60), || match ground.ledger() {
        ledger if ledger.recovery.is_none() && ledger.epoch > epoch => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn agents(ground: &Ground) -> Vec<Daemon> {
    ["a", "b"].map(|node| Daemon::start(ground.story, node, &ground.node(node))).into()
}

fn nothing_that_is_held_is_given(story: &'static str, net: u8, how: Restore) {
    let ground = Ground::new(story, net);
    let (agents, roll) = (agents(&ground), Roll::default());
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    let story = Story { crowd, room: Room::new("running") };
    let epoch = ground.ledger().epoch;
    let Restored { mut running, forgotten, gone } = goes_back(&story, how, false);
    // While the store is older than its pods, somebody wants an address.
    running.extend(story.running(6, "new"));
    recovers(&ground, epoch);
    assert_eq!(roll.is_held(&ground), Ok(()));
    roll.is_unambiguous();
    for (agent, sandbox, address) in &running {
        assert_eq!(agents[*agent].add(sandbox, 30_000).ok(), Some(*address), "{sandbox:?}");
    }
    ground.is_sound();
    // Reclaiming what came back takes minutes: `kills` waits for it.
    for (_, sandbox, _) in &gone {
        ground.vanish(&sandbox.pod);
        roll.abandon(sandbox);
    }
    running.iter().chain(&forgotten).for_each(|pod| story.end(pod));
    crowd.leaves_nothing();
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_store_that_went_back_gives_nothing_that_is_held() {
    nothing_that_is_held_is_given("rewound", 3, Restore::Rewound);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_restore_that_goes_on_above_gives_nothing_that_is_held() {
    nothing_that_is_held_is_given("bumped", 4, Restore::Bumped);
}

/// The store says that an address is its old owner's, and its new owner's pod runs with it. The API server
/// has the old owner's pod again, and its node makes a sandbox for it.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_address_that_was_given_again_is_not_told_to_its_old_owner() {
    let ground = Ground::new("again", 12);
    let (agents, roll) = (agents(&ground), Roll::default());
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    let story = Story { crowd, room: Room::new("running") };
    let epoch = ground.ledger().epoch;
    let Restored { running, forgotten, gone } = goes_back(&story, Restore::Bumped, true);
    let shared = gone.iter().filter(|(_, _, theirs)| {
        running.iter().chain(&forgotten).any(|(_, _, address)| address == theirs)
    });
    assert!(shared.count() > 0, "no address was given again");
    // Whoever asks shows the agents that the store is older than they are.
    drop(story.running(2, "new"));
    recovers(&ground, epoch);
    for (agent, sandbox, _) in &gone {
        crowd.begin(*agent, again(&ground, sandbox));
    }
    roll.is_unambiguous();
    ground.is_sound();
}
