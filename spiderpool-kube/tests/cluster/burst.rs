//! Every node's pods at once, as after a power cut: how often do nodes meet?

use crate::world::World;
use std::collections::BTreeSet;

/// Pods of a node that ask at once.
const AT_ONCE: usize = 110;

/// What came of a burst.
#[derive(Debug)]
struct Burst {
    /// Conflicts until 95 of 100 addresses were given, and in all.
    conflicts: [u64; 2],
    writes: u64,
    reads: u64,
}

/// As many pods as addresses, spread evenly over the nodes; each is to get one.
fn burst(nodes: usize, pods: usize, ips: &str) -> Burst {
    let mut world = World::new(nodes, ips);
    let total = nodes * pods;
    // The asks of each node that are open, and how many it has made.
    let mut asks: Vec<(Vec<u64>, usize)> = vec![(Vec::new(), 0); nodes];
    let mut given = BTreeSet::new();
    let mut early = None;
    world.server.reads = 0;
    world.server.writes = 0;
    while given.len() < total {
        for (at, (open, asked)) in asks.iter_mut().enumerate() {
            while *asked < pods && open.len() < AT_ONCE {
                let pod = format!("n{at}-p{asked}");
                open.push(world.add(at, &pod, &format!("c-{pod}")));
                *asked += 1;
            }
        }
        let goes_on = world.round();
        for (at, (open, _)) in asks.iter_mut().enumerate() {
            let answers = &world.agents[at].answers;
            let (done, left): (Vec<u64>, _) = open.iter().partition(|id| answers.contains_key(id));
            *open = left;
            for id in done {
                assert!(given.insert(world.address(at, id)), "given twice");
            }
        }
        if early.is_none() && given.len() * 100 >= total * 95 {
            early = Some(world.server.conflicts);
        }
        assert!(goes_on || given.len() == total, "{} of {total} are served", given.len());
    }
    assert_eq!(world.held().len(), total);
    let conflicts = [early.unwrap_or_default(), world.server.conflicts];
    Burst { conflicts, writes: world.server.writes, reads: world.server.reads }
}

#[test]
fn a_burst_of_all_nodes_meets_few_conflicts() {
    for (nodes, pods) in [(1, 2_048), (4, 512), (16, 128), (64, 32)] {
        let burst = burst(nodes, pods, "10.6.0.0-10.6.7.255");
        let [early, all] = burst.conflicts;
        assert!(early * 20 <= 2_048 * 95 / 100 && all * 20 <= 2_048, "{nodes} nodes: {burst:?}");
        assert!(burst.writes * 8 <= 2_048, "{nodes} nodes: {burst:?}");
        assert!(burst.reads * 2 <= 2_048, "{nodes} nodes: {burst:?}");
    }
}
