//! The sweep over snapshots.

use super::*;
use crate::cluster::object::EndpointKey;
use crate::cluster::workload::{IdentityKind, Pod, lift_pod};
use proptest::prelude::*;
use serde_json::json;
use spiderpool_core::address::Family;
use spiderpool_core::command::{Claim, Place};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const NOW: u64 = 1_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn endpoint_key(text: &str) -> EndpointKey {
    EndpointKey { namespace: name("ns"), name: name(text) }
}

/// A slot by `owner container node`.
fn held(text: &str) -> Held {
    let [owner, container, node] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    let uid = owner.strip_prefix("pod/").unwrap_or("replica");
    let holder = Holder {
        owner: Owner::parse(owner).unwrap(),
        pod_uid: Some(name(uid)),
        container: Some(name(container)),
        node: name(node),
    };
    let placement = Placement { pool: name("blue"), attachment: name("eth0"), network: None };
    let stage = Stage::Attached;
    Held { holder, placement, stage, generation: 9, since_ms: 1_000, past_quarantines: 0 }
}

/// The block of 10.0.0.0 with these slots.
fn block(slots: &[(u8, &str)]) -> Vec<(BlockKey, Sheet)> {
    let key = BlockKey { space: name("default"), family: Family::V4, first: 0x0a00_0000 };
    let slots =
        slots.iter().map(|(slot, text)| (*slot, Slot::Allocated(Box::new(held(text))))).collect();
    let size = BlockSize::DEFAULT;
    vec![(key, Sheet { size, incarnation: 1, commits: 9, generation: 9, slots })]
}

fn place(slot: u8) -> Place {
    Place { space: name("default"), address: IpAddr::from([10, 0, 0, slot]) }
}

fn claim(slot: u8) -> Claim {
    Claim { place: place(slot), generation: 9 }
}

fn pod(uid: &str, node: &str) -> Pod {
    let metadata = json!({"namespace": "ns", "name": uid, "uid": uid});
    let status = json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]});
    lift_pod(&json!({"metadata": metadata, "spec": {"nodeName": node}, "status": status})).unwrap()
}

fn pods(coverage: Coverage, at_ms: u64, live: bool, uids: &[&str]) -> PodsSeen {
    PodsSeen { coverage, at_ms, live, pods: uids.iter().map(|uid| pod(uid, "a")).collect() }
}

fn nodes(at_ms: u64, states: &[(&str, NodeState)]) -> NodesSeen {
    let nodes = states.iter().map(|(node, state)| (name(node), *state)).collect();
    NodesSeen { at_ms, live: true, complete: true, nodes }
}

fn sandboxes(at_ms: u64, containers: &[&str]) -> SandboxesSeen {
    let containers: BTreeSet<_> = containers.iter().map(|id| name(id)).collect();
    SandboxesSeen { node: name("a"), at_ms, containers }
}

fn endpoint(key: &str, kind: &str, uid: &str, slots: &[u8]) -> EndpointSeen {
    let told = slots.iter().map(|slot| Told {
        attachment: "eth0".to_owned(),
        space: None,
        address: place(*slot).address,
    });
    let (key, pod_uid) = (endpoint_key(key), uid.to_owned());
    EndpointSeen { key, owner_kind: kind.to_owned(), pod_uid, told: told.collect() }
}

fn endpoints(at_ms: u64, endpoints: Vec<EndpointSeen>) -> EndpointsSeen {
    EndpointsSeen { coverage: Coverage::All, at_ms, live: true, endpoints }
}

fn sweep() -> Sweep {
    let mut sweep = Sweep::new(Scope::Cluster, GcSettings::default());
    sweep.nodes(nodes(NOW, &[("a", NodeState::Ready)]));
    sweep
}

#[test]
fn a_pod_that_is_gone_is_looked_for_asked_about_and_reclaimed() {
    let mut sweep = sweep();
    let blocks = block(&[(1, "pod/one c1 a"), (2, "pod/two c2 a")]);
    sweep.pods(pods(Coverage::All, NOW, false, &["one", "two"]));
    assert_eq!(sweep.blocks(&blocks, NOW + 1), Round::default());
    sweep.pods(pods(Coverage::All, NOW + 2, false, &["two"]));
    let round = sweep.blocks(&blocks, NOW + 3);
    assert_eq!(round.asks, [(Ask::Sandboxes(name("a")), (0, true))].into());
    sweep.sandboxes(sandboxes(NOW + 4, &["c2"]));
    let round = sweep.blocks(&blocks, NOW + 5);
    // The name of the pod is known from when it was seen.
    let again = NOW + 2 + 5_000;
    assert_eq!(round.asks, [(Ask::Pod(endpoint_key("one")), (again, true))].into());
    assert_eq!(round.again_at_ms, Some(again));
    sweep.pods(pods(Coverage::One(endpoint_key("one")), again, true, &[]));
    let round = sweep.blocks(&blocks, again + 1);
    assert_eq!((&round.ordinary[..], &round.statics[..]), (&[claim(1)][..], &[][..]));
    let [command] = &round.commands()[..] else { panic!("{round:?}") };
    assert!(!command.statics);
    // It is asked for until it is gone.
    assert_eq!(sweep.blocks(&blocks, again + 2).ordinary, [claim(1)]);
    assert_eq!(sweep.absences().count(), 1);
    assert_eq!(sweep.blocks(&block(&[(2, "pod/two c2 a")]), again + 3), Round::default());
    assert_eq!(sweep.absences().count(), 0);
}

#[test]
fn a_claim_carries_its_generation() {
    let mut sweep = sweep();
    let mut blocks = block(&[(1, "pod/one c1 a")]);
    for (at_ms, live) in [(NOW, false), (NOW + 6_000, true)] {
        sweep.pods(pods(Coverage::All, at_ms, live, &[]));
        sweep.sandboxes(sandboxes(at_ms, &[]));
        sweep.blocks(&blocks, at_ms);
    }
    assert_eq!(sweep.blocks(&blocks, NOW + 6_001).ordinary, [claim(1)]);
    // Another grant of the slot begins anew.
    if let Some(Slot::Allocated(held)) = blocks[0].1.slots.get_mut(&1) {
        (held.generation, held.since_ms) = (10, NOW + 6_001);
    }
    let round = sweep.blocks(&blocks, NOW + 6_002);
    assert!(round.ordinary.is_empty() && !round.asks.is_empty(), "{round:?}");
}

#[test]
fn what_is_not_covered_is_not_absent() {
    let mut sweep = sweep();
    let blocks = block(&[(1, "pod/one c1 a"), (2, "identity/ns/web-0 c2 a")]);
    let told = |sweep: &mut Sweep| {
        let round = sweep.blocks(&blocks, NOW + 60_000);
        round.verdicts.iter().map(|(_, verdict)| verdict.to_string()).collect::<Vec<_>>()
    };
    let unseen = ["undecided: look at the pod again", "undecided: look at the pod live"];
    assert_eq!(told(&mut sweep), unseen);
    sweep.pods(pods(Coverage::Node(name("b")), NOW, true, &[]));
    assert_eq!(told(&mut sweep), unseen);
    // A node's list of endpoints does not show that an identity has none.
    let coverage = Coverage::Node(name("a"));
    sweep.endpoints(EndpointsSeen { coverage, at_ms: NOW, live: true, endpoints: Vec::new() });
    assert_eq!(told(&mut sweep), unseen);
    sweep.pods(pods(Coverage::Node(name("a")), NOW, true, &["one"]));
    assert_eq!(told(&mut sweep), ["undecided: look at the workload of the static identity live"]);
}

#[test]
fn an_invalid_identity_is_forgotten_before_it_is_freed() {
    let mut sweep = sweep();
    let blocks = block(&[(1, "identity/ns/web-0 c1 a")]);
    let key = endpoint_key("web-0");
    sweep.endpoints(endpoints(NOW, vec![endpoint("web-0", "StatefulSet", "replica", &[1])]));
    sweep.sandboxes(sandboxes(NOW, &[]));
    sweep.pods(pods(Coverage::All, NOW, true, &[]));
    let round = sweep.blocks(&blocks, NOW + 1);
    let ask = Ask::Identity(key.clone(), Some(IdentityKind::StatefulSet));
    assert_eq!(round.asks, [(ask, (NOW + 1, true))].into());
    for at_ms in [NOW + 2, NOW + 6_000] {
        sweep.identity(&IdentitySeen { key: key.clone(), at_ms, valid: false });
        sweep.pods(pods(Coverage::All, at_ms, true, &[]));
    }
    let round = sweep.blocks(&blocks, NOW + 6_001);
    assert_eq!((&round.statics[..], &round.forget), (&[claim(1)][..], &[key.clone()].into()));
    assert!(round.commands().iter().all(|command| command.statics));
    sweep.identity(&IdentitySeen { key, at_ms: NOW + 6_002, valid: true });
    assert!(sweep.blocks(&blocks, NOW + 6_003).commands().is_empty());
}

#[test]
fn of_two_addresses_the_one_that_was_told_stays() {
    let ordinary = block(&[(1, "pod/one c1 a"), (2, "pod/one c1 a"), (3, "pod/two c2 a")]);
    let fixed = block(&[(1, "identity/ns/web-0 c1 a"), (2, "identity/ns/web-0 c1 a")]);
    let alive = ["one", "two", "replica"];
    let run = |blocks: &[(BlockKey, Sheet)], seen: &dyn Fn(&mut Sweep, u64)| {
        let mut sweep = sweep();
        let mut last = Round::default();
        for at_ms in [NOW, NOW + 6_000] {
            sweep.pods(pods(Coverage::All, at_ms, true, &alive));
            seen(&mut sweep, at_ms);
            last = sweep.blocks(blocks, at_ms + 1);
        }
        last.ordinary.into_iter().chain(last.statics).collect::<Vec<_>>()
    };
    let named = |kind: &'static str, key: &'static str, uid: &'static str, slot: u8| {
        move |sweep: &mut Sweep, at_ms| {
            sweep.endpoints(endpoints(at_ms, vec![endpoint(key, kind, uid, &[slot])]));
        }
    };
    assert_eq!(run(&ordinary, &named("Pod", "one", "one", 2)), [claim(1)]);
    assert_eq!(run(&fixed, &named("StatefulSet", "web-0", "replica", 1)), [claim(2)]);
    // A projection that names an address which the owner does not hold is no witness.
    assert_eq!(run(&ordinary, &named("Pod", "one", "one", 3)), []);
    assert_eq!(run(&ordinary, &named("Pod", "one", "one", 9)), []);
    assert_eq!(run(&fixed, &named("StatefulSet", "web-0", "replica", 9)), []);
    // The node's record goes before a projection.
    let recorded = |sweep: &mut Sweep, at_ms| {
        named("Pod", "one", "one", 2)(sweep, at_ms);
        let told = endpoint("one", "Pod", "one", &[1]).told;
        sweep.told(name("c1"), told);
    };
    assert_eq!(run(&ordinary, &recorded), [claim(2)]);
}

#[test]
fn an_absence_outlives_a_restart() {
    let blocks = block(&[(1, "pod/one c1 a")]);
    let mut before = sweep();
    before.pods(pods(Coverage::All, NOW, false, &[]));
    before.blocks(&blocks, NOW + 1);
    let kept: Vec<_> = before.absences().collect();
    assert_eq!(kept, [Absence { claim: claim(1), since_ms: NOW }]);
    let mut after = sweep();
    after.resume(kept);
    after.pods(pods(Coverage::All, NOW + 5_000, true, &[]));
    after.sandboxes(sandboxes(NOW + 5_000, &[]));
    assert_eq!(after.blocks(&blocks, NOW + 5_001).ordinary, [claim(1)]);
}

#[test]
fn a_snapshot_that_lags_does_not_outweigh_a_live_look() {
    let mut sweep = sweep();
    let blocks = block(&[(1, "pod/one c1 a")]);
    let one = || Coverage::One(endpoint_key("one"));
    sweep.endpoints(endpoints(NOW, vec![endpoint("one", "Pod", "one", &[1])]));
    sweep.sandboxes(sandboxes(NOW, &[]));
    sweep.pods(pods(Coverage::All, NOW, false, &[]));
    let round = sweep.blocks(&blocks, NOW + 1);
    assert_eq!(round.asks.keys().collect::<Vec<_>>(), [&Ask::Pod(endpoint_key("one"))]);
    sweep.pods(pods(one(), NOW + 10, true, &["one"]));
    assert_eq!(sweep.blocks(&blocks, NOW + 11), Round::default());
    assert_eq!(sweep.blocks(&blocks, NOW + 12), Round::default());
    // The absence from before it was seen alive does not count.
    sweep.pods(pods(one(), NOW + 6_000, true, &[]));
    let round = sweep.blocks(&blocks, NOW + 6_001);
    assert_eq!((round.ordinary.len(), round.again_at_ms), (0, Some(NOW + 11_000)));
    // Nor does an older snapshot that comes late.
    let mut late = self::sweep();
    late.pods(pods(Coverage::All, NOW + 5, false, &["one"]));
    late.pods(pods(Coverage::All, NOW, true, &[]));
    assert_eq!(late.blocks(&blocks, NOW + 6), Round::default());
}

#[test]
fn a_word_about_sandboxes_counts_once_no_add_can_be_under_way() {
    let mut sweep = sweep();
    let mut blocks = block(&[(1, "pod/one c1 a")]);
    if let Some(Slot::Allocated(held)) = blocks[0].1.slots.get_mut(&1) {
        held.since_ms = NOW;
    }
    let settled = NOW + 120_000;
    sweep.sandboxes(sandboxes(settled - 1, &[]));
    for at_ms in [NOW + 1, settled] {
        sweep.pods(pods(Coverage::All, at_ms, true, &[]));
        sweep.nodes(nodes(at_ms, &[("a", NodeState::Ready)]));
    }
    sweep.blocks(&blocks, settled);
    sweep.pods(pods(Coverage::All, settled + 6_000, true, &[]));
    let round = sweep.blocks(&blocks, settled + 6_001);
    assert_eq!(round.asks.keys().collect::<Vec<_>>(), [&Ask::Sandboxes(name("a"))]);
    sweep.sandboxes(sandboxes(settled, &[]));
    assert_eq!(sweep.blocks(&blocks, settled + 6_002).ordinary, [claim(1)]);
}

#[test]
fn a_node_judges_its_own_slots() {
    let blocks = block(&[(1, "pod/one c1 a"), (2, "pod/two c2 b")]);
    let mut sweep = Sweep::new(Scope::Node(name("a")), GcSettings::default());
    let seen = |sweep: &mut Sweep| {
        let round = sweep.blocks(&blocks, NOW);
        round.verdicts.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&mut sweep), [place(1)]);
}

#[test]
fn a_node_that_is_gone_needs_no_word() {
    let blocks = block(&[(1, "pod/one c1 gone")]);
    let mut sweep = sweep();
    for at_ms in [NOW, NOW + 6_000] {
        sweep.pods(pods(Coverage::All, at_ms, true, &[]));
        sweep.nodes(nodes(at_ms, &[("a", NodeState::Ready)]));
        sweep.blocks(&blocks, at_ms);
    }
    assert_eq!(sweep.blocks(&blocks, NOW + 6_001).ordinary, [claim(1)]);
    sweep.nodes(nodes(NOW + 6_002, &[("gone", NodeState::Ready)]));
    let round = sweep.blocks(&blocks, NOW + 6_003);
    assert_eq!(round.asks.keys().collect::<Vec<_>>(), [&Ask::Sandboxes(name("gone"))]);
}

/// What can be handed in.
#[derive(Clone, Debug)]
enum Seen {
    Pods(PodsSeen),
    Nodes(NodesSeen),
    Sandboxes(SandboxesSeen),
    Endpoints(EndpointsSeen),
    Identity(IdentitySeen),
}

impl Seen {
    fn hand(self, sweep: &mut Sweep) {
        match self {
            Self::Pods(seen) => sweep.pods(seen),
            Self::Nodes(seen) => sweep.nodes(seen),
            Self::Sandboxes(seen) => sweep.sandboxes(seen),
            Self::Endpoints(seen) => sweep.endpoints(seen),
            Self::Identity(seen) => sweep.identity(&seen),
        }
    }
}

fn seen(at_ms: u64) -> impl Strategy<Value = Seen> {
    let live = any::<bool>();
    let some =
        |all: &'static [&'static str]| prop::sample::subsequence(all.to_vec(), 0..=all.len());
    let state = prop::sample::select(vec![NodeState::Ready, NodeState::NotReady, NodeState::Gone]);
    prop_oneof![
        4 => (live, some(&["one", "two", "replica"])).prop_map(move |(live, uids)| Seen::Pods(pods(Coverage::All, at_ms, live, &uids))),
        1 => state.prop_map(move |state| Seen::Nodes(nodes(at_ms, &[("a", state)]))),
        2 => some(&["c1", "c2", "c3", "c4"]).prop_map(move |ids| Seen::Sandboxes(sandboxes(at_ms, &ids))),
        1 => (1_u8..5).prop_map(move |slot| Seen::Endpoints(endpoints(at_ms, vec![endpoint("web-0", "StatefulSet", "replica", &[slot])]))),
        1 => any::<bool>().prop_map(move |valid| Seen::Identity(IdentitySeen { key: endpoint_key("web-0"), at_ms, valid })),
    ]
}

fn all_seen() -> impl Strategy<Value = Vec<Seen>> {
    let each: Vec<_> = (0..7).map(|at| seen(NOW + at * 6_000).boxed()).collect();
    each
}

fn claims(order: &[Seen]) -> Round {
    let slots = [
        (1, "pod/one c1 a"),
        (2, "pod/two c2 a"),
        (3, "identity/ns/web-0 c3 a"),
        (4, "identity/ns/web-0 c4 a"),
    ];
    let blocks = block(&slots);
    let mut sweep = sweep();
    // All slots are in doubt before anything is seen, so that each history begins with the first.
    sweep.blocks(&blocks, NOW);
    order.iter().for_each(|seen| seen.clone().hand(&mut sweep));
    sweep.blocks(&blocks, NOW + 42_000)
}

proptest! {
    #[test]
    fn snapshots_may_come_in_any_order(seen in all_seen(), shuffled in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let other: Vec<_> = shuffled.iter().map(|at| seen[*at].clone()).collect();
        prop_assert_eq!(claims(&seen), claims(&other));
    }
}

/// Every slot that is taken back in a long random run was absent at least twice, the last time live,
/// and not alive in between.
#[test]
fn no_sweep_frees_what_lives() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let worlds = all_seen();
    let blocks = block(&[(1, "pod/one c1 a"), (2, "pod/two c2 a")]);
    let mut freed = 0;
    for _ in 0..3_000 {
        let seen = worlds.new_tree(&mut runner).unwrap().current();
        let mut sweep = sweep();
        let mut alive: BTreeMap<u8, (u32, bool)> = BTreeMap::new();
        for (at, seen) in (0..).zip(seen) {
            if let Seen::Pods(seen) = &seen {
                for (slot, uid) in [(1, "one"), (2, "two")] {
                    let run = alive.entry(slot).or_default();
                    let lives = seen.pods.iter().any(|pod| &*pod.uid == uid);
                    *run = if lives { (0, false) } else { (run.0 + 1, seen.live) };
                }
            }
            seen.hand(&mut sweep);
            for claim in sweep.blocks(&blocks, NOW + at * 6_000 + 1).ordinary {
                let slot = if claim.place == place(1) { 1 } else { 2 };
                let (times, live) = alive[&slot];
                assert!(
                    times >= 2 && live,
                    "slot {slot} after {times} absences, the last live: {live}"
                );
                freed += 1;
            }
        }
    }
    assert!(freed > 50, "only {freed} slots were ever taken back");
}
