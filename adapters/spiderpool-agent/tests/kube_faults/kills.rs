//! Agents and the API server are killed and paused under a stream of pods.

use crate::chance::Chance;
use crate::crowd::{Crowd, Roll};
use crate::daemon::Daemon;
use crate::ground::Ground;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many times an agent is killed.
const KILLS: u32 = 32;

const SEED: u64 = 20_250_213;

/// Kills one of the agents a while after the last kill, and starts it again.
fn kill_one(agents: &[Daemon], chance: &mut Chance) {
    std::thread::sleep(Duration::from_millis(50 + chance.below(700)));
    let place = usize::try_from(chance.below(agents.len() as u64)).unwrap();
    agents[place].kill();
    agents[place].launch();
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn kills_and_pauses_give_no_address_twice_and_leave_none() {
    let ground = Ground::alone("kills", 1);
    let agents: Vec<_> =
        ["a", "b", "c"].map(|node| Daemon::start(ground.story, node, &ground.node(node))).into();
    let roll = Roll::default();
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    crowd.stream(3, SEED, || {
        let mut chance = Chance::new(SEED);
        for kill in 0..KILLS {
            match kill {
                10 => {
                    ground.cluster.pause_server().unwrap();
                    std::thread::scope(|scope| {
                        scope.spawn(|| (0..3).for_each(|_| kill_one(&agents, &mut chance)));
                        std::thread::sleep(Duration::from_secs(5));
                    });
                    ground.cluster.resume_server().unwrap();
                }
                20 => {
                    ground.cluster.kill_server();
                    kill_one(&agents, &mut chance);
                    ground.cluster.start_server().unwrap();
                }
                _ => {}
            }
            kill_one(&agents, &mut chance);
        }
        agents.iter().for_each(Daemon::is_ready);
    });
    let added = roll.added.load(Ordering::Relaxed);
    assert!(added > 40, "{added} pods are no stream");
    assert!(roll.failed.load(Ordering::Relaxed) > 0, "no verb met a kill");
    crowd.is_well();
    crowd.leaves_nothing();
    // A slot that was held for less than two minutes may be that of an ADD which is still under way.
    let (within, abandoned) = (Duration::from_secs(150), roll.abandoned());
    assert!(!abandoned.is_empty(), "every pod was ended by a DEL");
    ground.eventually(within, || match ground.held() {
        held if held.is_empty() => Ok(()),
        held => Err(format!("not taken back: {held:?}")),
    });
    ground.is_sound();
}
