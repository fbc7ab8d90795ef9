//! `cargo xtask demo`: the main job, on this machine, in a few seconds.
//!
//! Owns the story that the README's first command tells: pools go in, real pods get real addresses
//! through Debian's unmodified macvlan plugin, they reach each other, a pod for which there is no room
//! is told what would help, and in the end nothing is left. Each step prints what it does and what came
//! out. Everything happens in namespaces of [`crate::sandbox`]. Invariant: what is not as promised ends
//! the story with an error (every step goes through [`Fault`]).

mod stage;

use crate::call::Fault;
use crate::prerequisites;
use crate::setup;
use crate::workspace::Workspace;

use stage::{Nic, Stage, node_addresses};

/// What the demonstration needs of Debian.
const PACKAGES: [&str; 4] =
    ["iproute2", "iputils-ping", "util-linux", "containernetworking-plugins"];

/// Every interface of every pod: `web-0` has two.
const NICS: [Nic; 5] = [
    Nic { pod: "web-0", name: "eth0", network: "blue" },
    Nic { pod: "web-0", name: "net1", network: "green" },
    Nic { pod: "web-1", name: "eth0", network: "blue" },
    Nic { pod: "web-2", name: "eth0", network: "blue" },
    Nic { pod: "db-0", name: "eth0", network: "green" },
];

/// Who calls whom: pod, then position in [`NICS`].
const CALLS: [(&str, usize); 5] =
    [("web-0", 2), ("web-1", 3), ("web-2", 0), ("web-0", 4), ("db-0", 1)];

/// A pod that names the pools of the network `blue`.
const ANOTHER: [&str; 5] = ["explain", "--pod", "demo/web-3", "--pool", "blue-v4,blue-v6"];

/// Tells the story; `false` when something is missing that only root can install.
///
/// # Errors
/// The first thing that is not as promised.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Fault> {
    if !setup::ensure(&PACKAGES)? {
        return Ok(false);
    }
    prerequisites::root().map_err(|reason| Fault::Wrong(format!("the demonstration {reason}")))?;
    let mut stage = Stage::open(workspace)?;
    prepare(&mut stage)?;
    let results = attach(&mut stage)?;
    meet(&mut stage, &results)?;
    refuse(&mut stage)?;
    look(&mut stage)?;
    leave(&mut stage)?;
    println!("\nEverything was as promised. Nothing of it is left on this machine.");
    Ok(true)
}

fn prepare(stage: &mut Stage) -> Result<(), Fault> {
    stage.say("A host of its own, in namespaces: two wires for two networks");
    stage.show_links()?;
    stage.say("Pools for both networks and both families, from the manifests a cluster would take");
    stage.apply("pools.yaml", include_str!("demo/pools.yaml"))?;
    stage.control(&["get", "pools"], 0)?;
    stage.say("Would a pod get its addresses? Nothing is written to find out");
    let text = stage.control(&ANOTHER, 0)?;
    stage.promise(text.contains("10.66.0.10"), "the first address of blue", &text)
}

fn attach(stage: &mut Stage) -> Result<Vec<Vec<String>>, Fault> {
    stage.say("Four pods, one of them on both networks: Debian's macvlan asks our IPAM, our coordinator follows");
    let results = stage.add(&NICS)?;
    let mut all: Vec<&String> = results.iter().flatten().collect();
    all.sort();
    all.dedup();
    stage.promise(all.len() == 2 * NICS.len(), "ten different addresses", &format!("{all:?}"))?;
    Ok(results)
}

fn meet(stage: &mut Stage, results: &[Vec<String>]) -> Result<(), Fault> {
    stage.say("They reach each other over IPv4 and IPv6, on either network");
    for (from, to) in CALLS {
        for address in results.get(to).into_iter().flatten() {
            stage.ping(from, address)?;
        }
    }
    stage
        .say("They reach their own node, which macvlan alone forbids: the coordinator joined them");
    for nic in &NICS {
        for net in node_addresses(nic.network) {
            stage.ping(nic.pod, net.split('/').next().unwrap_or_default())?;
        }
    }
    stage.say("CHECK holds store, result, namespace and intent against each other");
    NICS.iter().try_for_each(|nic| stage.check(nic))
}

fn refuse(stage: &mut Stage) -> Result<(), Fault> {
    stage.say("There is no room for a fourth pod on blue, and this is why, and what would help");
    let text = stage.control(&ANOTHER, 1)?;
    stage.promise(
        text.contains("remedy") && text.contains("in pool blue-v4"),
        "a remedy",
        &text,
    )?;
    stage.say("One address more for the pool, and the same pod would be served");
    stage.apply("larger.yaml", include_str!("demo/larger.yaml"))?;
    let text = stage.control(&ANOTHER, 0)?;
    stage.promise(text.contains("gives 10.66.0.2"), "the address that was added", &text)
}

fn look(stage: &mut Stage) -> Result<(), Fault> {
    stage.say("Who has what");
    let text = stage.control(&["ip", "list"], 0)?;
    stage.promise(text.contains("pod/uid-of-db-0"), "the pod db-0", &text)?;
    stage.say("The pool as a picture");
    stage.control(&["map", "blue-v4"], 0).map(drop)
}

fn leave(stage: &mut Stage) -> Result<(), Fault> {
    stage.say("The pods go; their namespaces and the results of their ADDs are forgotten before");
    NICS.iter().try_for_each(|nic| stage.del(nic))?;
    stage.say("Nothing is left, and the audit of the whole ledger finds nothing");
    stage.nothing_is_left()?;
    let text = stage.control(&["audit"], 0)?;
    stage.promise(text.contains("nothing found"), "an audit that finds nothing", &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "host tier: makes namespaces, needs root"]
    fn the_story_comes_to_its_end() {
        assert!(run(&Workspace::open().unwrap()).unwrap());
    }

    #[test]
    fn the_story_has_what_the_readme_says() {
        let pods: std::collections::BTreeSet<&str> = NICS.iter().map(|nic| nic.pod).collect();
        assert!(pods.len() >= 3 && NICS.len() > pods.len());
        assert!(CALLS.iter().all(|(from, to)| NICS[*to].pod != *from));
    }
}
