//! What two namespaces hold, for comparing before and after.

use super::room::{Room, eventually};
use spiderpool_core::net::{
    Marking, NeighbourState, RouteProtocol, RuleAction, Scene, Side, table,
};
use spiderpool_netlink::{Focus, Stage, Wanted};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// One line for each thing that a node and a pod hold, less what the kernel learns by itself and what is
/// the node's for good: the rules for its table of pods.
pub(crate) type Snapshot = BTreeSet<String>;

/// What there is at present.
#[track_caller]
pub(crate) fn snapshot(host: &Room, pod: &Room) -> Snapshot {
    let focus = Focus { host: Wanted::everything(), pod: Wanted::everything() };
    let mut stage = Stage::open(&host.namespace(), &pod.namespace()).unwrap();
    lines(&stage.observe(&focus).unwrap())
}

/// Fails unless all becomes again as it was: some of it the kernel does in its own time.
#[track_caller]
pub(crate) fn is_again(before: &Snapshot, (host, pod): (&Room, &Room), when: &str) {
    let differences = || {
        let now = snapshot(host, pod);
        let gone = before.difference(&now).map(|line| format!("- {line}"));
        let new = now.difference(before).map(|line| format!("+ {line}"));
        gone.chain(new).collect::<Vec<_>>()
    };
    for _ in 0..100 {
        if differences().is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{when}:\n{}", differences().join("\n"));
}

/// Waits until no address is still being probed for.
#[track_caller]
pub(crate) fn settled(rooms: [&Room; 2]) {
    for room in rooms {
        eventually("the end of duplicate address detection", || {
            room.ip("-6 addr show tentative").is_empty()
        });
    }
}

fn lines(scene: &Scene) -> Snapshot {
    let mut lines = Snapshot::new();
    for side in [Side::Host, Side::Pod] {
        let held = scene.side(side);
        let mut put = |thing: &dyn Debug| lines.extend([format!("{side}: {thing:?}")]);
        held.links.values().for_each(|link| put(link));
        for address in &held.addresses {
            let mut address = address.clone();
            address.flags.is_tentative = false;
            put(&address);
        }
        held.routes.iter().for_each(|route| put(route));
        let is_node_wide = |action: RuleAction, protocol: RouteProtocol| {
            side == Side::Host
                && protocol == RouteProtocol::OURS
                && action == RuleAction::Lookup(table::HOST)
        };
        let rules = held.rules.iter().filter(|rule| !is_node_wide(rule.action, rule.protocol));
        rules.for_each(|rule| put(rule));
        let told = held.neighbours.iter().filter(|one| one.state != NeighbourState::Learned);
        told.for_each(|neighbour| put(neighbour));
        if held.marking != Marking::Absent {
            put(&held.marking);
        }
    }
    lines
}
