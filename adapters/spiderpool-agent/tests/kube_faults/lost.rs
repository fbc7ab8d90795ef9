//! A block is deleted by an administrator who takes its finalizer off.

use crate::crowd::{Crowd, Roll, sandbox};
use crate::daemon::Daemon;
use crate::ground::{APIS, Ground};
use serde_json::json;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, BlockSize};
use spiderpool_kube::cluster::wire::block_name;
use std::collections::BTreeMap;
use std::time::Duration;

/// The block that most containers of the first agent are in.
fn fullest(roll: &Roll) -> BlockKey {
    let mut counts: BTreeMap<BlockKey, u32> = BTreeMap::new();
    for (address, _) in roll.living().into_values().filter(|(_, agent)| *agent == 0) {
        let key = BlockKey::of(&Name::new("default").unwrap(), address, BlockSize::DEFAULT);
        *counts.entry(key).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_deleted_block_stops_grants_until_every_ready_node_has_written_back() {
    let ground = Ground::new("lost", 5);
    let agents: Vec<_> =
        ["a", "b"].map(|node| Daemon::start(ground.story, node, &ground.node(node))).into();
    let roll = Roll::default();
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    for number in 0..16 {
        let agent = number % 2;
        let new = sandbox(&ground, &agents[agent].node, &format!("lost-{number}"));
        crowd.begin(agent, new);
    }
    let key = fullest(&roll);
    let path = format!("{APIS}/spiderblocks/{}", block_name(&key));
    let before = ground.insist("GET", &path, None).json();
    let epoch = ground.ledger().epoch;
    // A ready node that cannot say what its pods hold.
    agents[1].kill();
    assert!(ground.insist("DELETE", &path, None).is_well());
    ground.change(&path, &json!({"metadata": {"finalizers": null}}));
    assert_eq!(ground.insist("GET", &path, None).status, 404);
    let is_in = |address| BlockKey::of(&key.space, address, BlockSize::DEFAULT) == key;
    let living = roll.living();
    let (holder, _) =
        living.iter().find(|(_, (address, agent))| *agent == 0 && is_in(*address)).unwrap();
    // Absent is not empty: nobody is told an address of it, not even the one that is theirs.
    let told = agents[0].add(holder, 3_000);
    assert!(told.is_err(), "{told:?}");
    ground.eventually(Duration::from_secs(20), || match ground.ledger().recovery {
        Some(recovery) if recovery.lost.contains(&key) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let new = sandbox(&ground, &agents[0].node, "lost-new");
    let told = agents[0].add(&new, 3_000);
    assert!(told.is_err(), "node b has not written back: {told:?}");
    agents[1].launch();
    let (_, address) = crowd.begin(0, new);
    assert!(living.values().all(|(theirs, _)| *theirs != address), "{address} is held");
    ground.eventually(Duration::from_secs(20), || match ground.ledger() {
        ledger if ledger.recovery.is_none() && ledger.epoch > epoch => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let after = ground.insist("GET", &path, None).json();
    assert_ne!(before["spec"]["incarnation"], after["spec"]["incarnation"]);
    crowd.is_well();
    crowd.leaves_nothing();
}
