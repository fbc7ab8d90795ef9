//! Two agents with the name of one node: on two disks by mistake, or on one.

use crate::crowd::{Crowd, Roll, sandbox};
use crate::daemon::{Daemon, told};
use crate::ground::Ground;
use spiderpool_agent_api::message::IpamStatusQuery;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SEED: u64 = 11;

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn two_agents_of_one_node_give_no_address_twice() {
    let ground = Ground::new("twins", 6);
    let identity = ground.node("a");
    let agents: Vec<_> = (0..2).map(|_| Daemon::start(ground.story, "a", &identity)).collect();
    let roll = Roll::default();
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    crowd.stream(3, SEED, || std::thread::sleep(Duration::from_secs(6)));
    let added = roll.added.load(Ordering::Relaxed);
    assert!(added > 20, "{added} pods are no stream");
    crowd.is_well();
    crowd.leaves_nothing();
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_second_agent_on_one_disk_waits_for_the_first() {
    let ground = Ground::new("disk", 7);
    let identity = ground.node("a");
    let first = Daemon::start(ground.story, "a", &identity);
    let roll = Roll::default();
    let crowd = Crowd { ground: &ground, agents: std::slice::from_ref(&first), roll: &roll };
    // Where there were recoveries, an agent that is new needs a moment until it may give anything out.
    let (sandbox, address) = crowd.begin(0, sandbox(&ground, "a", "disk-0"));
    // At its socket, a second one ends at once.
    let (code, why) = told(&first.command().output().unwrap());
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("another agent answers at"), "{why}");
    // With a socket of its own it serves nobody, and says why.
    let second = Daemon::sharing(&first, ground.story, &identity);
    second.launch();
    let status = || second.client(2_000).status(&IpamStatusQuery::default());
    ground.eventually(Duration::from_secs(20), || match status() {
        Err(fault) if fault.to_string().contains("in use by another process") => Ok(()),
        other => Err(format!("{other:?}\n{}", second.tail())),
    });
    assert!(second.add(&sandbox, 1_000).is_err());
    assert_eq!(first.add(&sandbox, 10_000).unwrap(), address);
    // Once the first is gone, it goes on with what is on the disk.
    first.kill();
    second.is_ready();
    assert_eq!(second.add(&sandbox, 10_000).unwrap(), address);
    ground.vanish(&sandbox.pod);
    second.del(&sandbox, 10_000).unwrap();
    assert!(ground.held().is_empty(), "{:?}", ground.held());
    ground.is_sound();
}
