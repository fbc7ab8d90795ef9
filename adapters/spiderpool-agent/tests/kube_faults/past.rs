//! etcd is restored to an older snapshot while pods run.
//!
//! The pods' addresses are on a link of a namespace, so that agents see them run although the API server
//! has forgotten some of their pods.

use crate::crowd::{Crowd, Roll, sandbox};
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

fn goes_back(story: &'static str, net: u8, how: Restore) {
    let ground = Ground::new(story, net);
    let agents: Vec<_> =
        ["a", "b"].map(|node| Daemon::start(ground.story, node, &ground.node(node))).into();
    let roll = Roll::default();
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    let story = Story { crowd, room: Room::new("running") };
    let mut running = story.running(10, "kept");
    let gone = story.running(4, "gone");
    let made: Vec<_> = (0..4).map(|n| story.made(n % 2, &format!("late-{n}"))).collect();
    let epoch = ground.ledger().epoch;
    let snapshot = ground.cluster.snapshot().unwrap();
    gone.iter().for_each(|pod| story.end(pod));
    running.extend(made.into_iter().map(|pod| story.run(pod)));
    let forgotten = story.running(6, "forgotten");
    ground.cluster.restore(&snapshot, how).unwrap();
    // While the store is older than its pods, somebody wants an address.
    running.extend(story.running(6, "new"));
    ground.eventually(Duration::from_secs(60), || match ground.ledger() {
        ledger if ledger.recovery.is_none() && ledger.epoch > epoch => roll.is_held(&ground),
        other => Err(format!("{other:?}")),
    });
    roll.is_unambiguous();
    for (agent, sandbox, address) in &running {
        assert_eq!(agents[*agent].add(sandbox, 30_000).ok(), Some(*address), "{sandbox:?}");
    }
    assert_eq!(roll.is_held(&ground), Ok(()));
    ground.is_sound();
    // The API server has these pods and their slots again, and no node does: reclaiming is told in
    // `kills`, and takes minutes.
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
    goes_back("rewound", 3, Restore::Rewound);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_restore_that_goes_on_above_gives_nothing_that_is_held() {
    goes_back("bumped", 4, Restore::Bumped);
}
