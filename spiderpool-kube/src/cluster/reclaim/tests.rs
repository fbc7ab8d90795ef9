//! The decision, row by row and as properties.

use super::sight::NodeState;
use super::*;
use crate::cluster::stamp;
use crate::cluster::workload::{CONFIG_HASH, CONFIG_MIRROR, Pod, lift_pod};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::Held;

/// When the slot was granted, observed first, observed last, and decided about.
const SINCE: u64 = 100_000;
const FIRST: u64 = 990_000;
const LAST: u64 = 999_000;
const NOW: u64 = 1_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn held(owner: &str) -> Held {
    let holder = Holder {
        owner: Owner::parse(owner).unwrap(),
        pod_uid: Some(name("uid")),
        container: Some(name("box")),
        node: name("worker"),
    };
    let placement = Placement { pool: name("blue"), attachment: name("eth0"), network: None };
    let stage = Stage::Attached;
    Held { holder, placement, stage, generation: 7, since_ms: SINCE, past_quarantines: 0 }
}

/// A pod with a phase, and what a row adds: words of `deleted`, `overdue`, `ips`, `ended`, `never`.
fn pod(phase: &str, words: &str) -> Pod {
    let has = |word: &str| words.split(' ').any(|w| w == word);
    let mut metadata = json!({"namespace": "ns", "name": "p", "uid": "uid"});
    if has("deleted") || has("overdue") {
        let at_ms = if has("overdue") { NOW - 60_000 } else { NOW - 10_000 };
        metadata["deletionTimestamp"] = Value::String(stamp::text(at_ms));
        metadata["deletionGracePeriodSeconds"] = json!(30);
    }
    let ips = if has("ips") { json!([{"ip": "10.0.0.1"}]) } else { json!([]) };
    let mut status = json!({"phase": phase, "podIPs": ips});
    if has("ended") {
        let at = stamp::text(NOW - 60_000);
        status["containerStatuses"] = json!([{"state": {"terminated": {"finishedAt": at}}}]);
    }
    let restart = if has("never") { "Never" } else { "Always" };
    let spec = json!({"restartPolicy": restart, "hostNetwork": has("host")});
    lift_pod(&json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
}

/// Everything that a decision looks at, with a second observation that is live, on a ready node that
/// has no sandbox of the pod.
#[derive(Clone)]
struct Scene {
    held: Held,
    pod: Option<Pod>,
    at: Vec<(u64, bool)>,
    valid: Option<bool>,
    named: Option<bool>,
    rival: Option<Rival>,
    node: Option<(NodeState, bool)>,
    sandbox: Sandbox,
    settings: GcSettings,
    now_ms: u64,
}

fn scene(owner: &str, pod: Option<Pod>) -> Scene {
    Scene {
        held: held(owner),
        pod,
        at: vec![(FIRST, false), (LAST, true)],
        valid: None,
        named: None,
        rival: None,
        node: Some((NodeState::Ready, true)),
        sandbox: Sandbox::None,
        settings: GcSettings::default(),
        now_ms: NOW,
    }
}

fn ordinary(pod: Option<Pod>) -> Scene {
    scene("pod/uid", pod)
}

fn identity(valid: bool, pod: Option<Pod>) -> Scene {
    Scene { valid: Some(valid), named: Some(true), ..scene("identity/ns/p", pod) }
}

impl Scene {
    fn on(self, node: NodeState) -> Self {
        Self { node: Some((node, true)), sandbox: Sandbox::Unasked, ..self }
    }

    fn with(mut self, set: impl FnOnce(&mut GcSettings)) -> Self {
        set(&mut self.settings);
        self
    }

    fn history(&self, standing: Option<Standing>) -> History {
        let mut history = History::default();
        for (at_ms, live) in standing.map(|_| &self.at).into_iter().flatten() {
            let standing = standing.unwrap_or(Standing::Absent);
            history.note(Sighting { at_ms: *at_ms, standing, live: *live });
        }
        history
    }

    fn verdict(&self) -> Verdict {
        let stands = |stands| if stands { Standing::Stands } else { Standing::Absent };
        let case = Case {
            held: &self.held,
            known_ms: NOW,
            pods: &self.history(Some(classify(self.pod.as_ref(), &self.settings))),
            pod: self.pod.as_ref(),
            identity: &self.history(self.valid.map(stands)),
            named: &self.history(self.named.map(stands)),
            rival: self.rival,
            node: self.node,
            sandbox: self.sandbox,
            now_ms: self.now_ms,
        };
        decide(&case, &self.settings)
    }

    #[track_caller]
    fn comes_to(&self, expected: &str) {
        let told = match self.verdict() {
            Verdict::Observe { what, again_at_ms, live } => {
                let when = if again_at_ms > self.now_ms {
                    format!(" at {again_at_ms}")
                } else {
                    String::new()
                };
                format!("look at {what:?}{}{when}", if live { " live" } else { "" })
            }
            Verdict::Keep { why } => format!("keep {why:?}"),
            Verdict::Free { why } => format!("free {why:?}"),
            Verdict::AskNode => "ask node".to_owned(),
        };
        assert_eq!(told, expected);
    }
}

/// The rows of the reference's full scan, on a ready node that has no sandbox of the pod.
#[test]
fn the_table_of_the_full_scan() {
    // Missing.
    ordinary(None).comes_to("free PodAbsent");
    identity(true, None).comes_to("keep Valid");
    identity(false, None).comes_to("free IdentityInvalid");
    // A node that nobody could look up.
    Scene { node: None, ..ordinary(None) }.comes_to("look at Node live");
    // Succeeded or Failed.
    for phase in ["Succeeded", "Failed"] {
        identity(true, Some(pod(phase, "never ended"))).comes_to("keep Valid");
        identity(false, Some(pod(phase, "never ended"))).comes_to("free IdentityInvalid");
        ordinary(Some(pod(phase, "never deleted ips"))).comes_to("look at Pod live at 1020000");
        ordinary(Some(pod(phase, "never overdue ips"))).comes_to("free PodOverdue");
        // Left to the trace there, which counts from the end of the last container.
        ordinary(Some(pod(phase, "never ended"))).comes_to("free PodFinished");
        ordinary(Some(pod(phase, "never"))).comes_to("keep NoFinishTime");
    }
    // Pending.
    ordinary(Some(pod("Pending", ""))).comes_to("keep Alive");
    identity(false, Some(pod("Pending", ""))).comes_to("keep Alive");
    // Told to go.
    ordinary(Some(pod("Running", "deleted ips"))).comes_to("look at Pod live at 1020000");
    ordinary(Some(pod("Running", "overdue ips"))).comes_to("free PodOverdue");
    ordinary(Some(pod("Running", "deleted"))).comes_to("free PodWithoutAddress");
    identity(true, Some(pod("Running", "deleted"))).comes_to("keep Valid");
    identity(true, Some(pod("Running", "overdue"))).comes_to("keep Valid");
    identity(false, Some(pod("Running", "overdue ips"))).comes_to("free IdentityInvalid");
    // Running with addresses.
    ordinary(Some(pod("Running", "ips"))).comes_to("keep Alive");
    identity(false, Some(pod("Running", "ips"))).comes_to("keep Alive");
    // Running without: the reference frees those of invalid identities, and of pods in an unknown
    // phase; here the switch decides about all of them, since an empty status proves nothing (#4888).
    for phase in ["Running", "Strange"] {
        let empty = || Some(pod(phase, ""));
        ordinary(empty()).comes_to("keep Alive");
        identity(true, empty()).comes_to("keep Alive");
        identity(false, empty()).comes_to("keep Alive");
        let on = |scene: Scene| scene.with(|settings| settings.running_without_addresses = true);
        on(ordinary(empty())).comes_to("free PodWithoutAddress");
        on(identity(true, empty())).comes_to("keep Valid");
        on(identity(false, empty())).comes_to("free IdentityInvalid");
        on(ordinary(Some(pod("Pending", "")))).comes_to("keep Alive");
    }
    ordinary(Some(pod("Succeeded", "host never ended"))).comes_to("keep Alive");
}

/// The switches, and what a node has to say.
#[test]
fn switches_and_nodes_decide_who_may_be_believed() {
    use NodeState::{Gone, NotReady, OutOfService, Ready};
    let overdue = || ordinary(Some(pod("Running", "overdue ips")));
    let unready = "keep SwitchedOff { switch: \"SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_NOT_READY_NODE_ENABLED\" }";
    let ready = "keep SwitchedOff { switch: \"SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_READY_NODE_ENABLED\" }";
    overdue().on(Ready).comes_to("ask node");
    Scene { sandbox: Sandbox::Left, ..overdue() }.comes_to("keep SandboxLeft");
    overdue().with(|s| s.ended_on_ready_node = false).comes_to(ready);
    ordinary(None).with(|s| s.ended_on_ready_node = false).comes_to("free PodAbsent");
    for state in [Gone, OutOfService] {
        let none =
            |s: &mut GcSettings| (s.ended_on_ready_node, s.ended_on_unready_node) = (false, false);
        overdue().with(none).on(state).comes_to("free PodOverdue");
        ordinary(None).with(none).on(state).comes_to("free PodAbsent");
        Scene { node: Some((state, false)), ..ordinary(None) }.comes_to("look at Node live");
    }
    overdue().on(NotReady).comes_to("free PodOverdue");
    overdue().with(|s| s.ended_on_unready_node = false).on(NotReady).comes_to(unready);
    ordinary(None).with(|s| s.ended_on_unready_node = false).on(NotReady).comes_to(unready);
    // What rests on the node's word alone cannot do without it.
    ordinary(Some(pod("Running", "deleted"))).on(NotReady).comes_to("keep NodeNotReady");
    ordinary(Some(pod("Succeeded", "ended"))).on(NotReady).comes_to("keep NodeNotReady");
    Scene { sandbox: Sandbox::None, ..ordinary(Some(pod("Succeeded", "ended"))).on(NotReady) }
        .comes_to("free PodFinished");
    let off = ordinary(None).with(|s| s.enabled = false);
    off.comes_to("keep SwitchedOff { switch: \"SPIDERPOOL_GC_IP_ENABLED\" }");
    // The delay is added to each grace period, and to the first observed absence.
    overdue().with(|s| s.delay_ms = 45_000).comes_to("look at Pod live at 1015000");
    ordinary(None).with(|s| s.delay_ms = 30_000).comes_to("look at Pod live at 1020000");
}

#[test]
fn one_observation_frees_nothing() {
    let seen = |at: &[(u64, bool)]| Scene { at: at.to_vec(), ..ordinary(None) };
    seen(&[]).comes_to("look at Pod");
    seen(&[(LAST, true)]).comes_to("look at Pod live at 1004000");
    seen(&[(FIRST, true)]).comes_to("look at Pod live");
    seen(&[(LAST - 1, true), (LAST, true)]).comes_to("look at Pod live at 1003999");
    seen(&[(FIRST, true), (LAST, false)]).comes_to("look at Pod live");
    seen(&[(FIRST, false), (LAST, true)]).comes_to("free PodAbsent");
    // From before the slot was what it is.
    seen(&[(SINCE - 9_000, false), (SINCE, true)]).comes_to("look at Pod");
    // Too old.
    Scene { now_ms: NOW + 30_000, ..seen(&[(FIRST, false), (LAST, true)]) }
        .comes_to("look at Pod live");
    seen(&[(LAST, true)]).with(|s| s.gap_ms = 0).comes_to("look at Pod live");
    let once = Scene { at: vec![(LAST, true)], ..identity(false, None) };
    once.comes_to("look at Pod live at 1004000");
    let unread = Scene { valid: None, ..identity(false, None) };
    unread.comes_to("look at Identity live");
    let stale = Scene { now_ms: NOW + 300_000, ..identity(true, None) };
    stale.comes_to("look at Identity live");
}

#[test]
fn a_young_slot_waits_for_its_add() {
    let mut young = ordinary(None);
    young.held.since_ms = FIRST - 1_000;
    young.comes_to("look at Pod live at 1109000");
    young.now_ms = FIRST - 1_000 + 120_000;
    young.at = vec![(FIRST, false), (young.now_ms - 1, true)];
    young.comes_to("free PodAbsent");
    // A stamp from the future counts as the moment when the slot was seen first.
    let mut ahead = ordinary(None);
    ahead.held.since_ms = NOW + 3_600_000;
    ahead.comes_to("look at Pod");
    ahead.now_ms = NOW + 130_000;
    ahead.at = vec![(NOW + 110_000, false), (NOW + 129_000, true)];
    ahead.comes_to("free PodAbsent");
}

/// What leaked or was taken wrongly in the reference, by its threads.
#[test]
fn the_cases_of_the_threads() {
    use NodeState::NotReady;
    // #397, #412, #419, #437, #448: DEL never came and the pod was removed by force.
    ordinary(None).comes_to("free PodAbsent");
    // ... but its containers may still run on a node that is ready.
    Scene { sandbox: Sandbox::Left, ..ordinary(None) }.comes_to("keep SandboxLeft");
    // #3002, #3081: pods of a dead node stay in Terminating for ever.
    ordinary(Some(pod("Running", "overdue ips"))).on(NotReady).comes_to("free PodOverdue");
    // #1187, #3699, #4916: a pod of the same name with another UID is not this pod.
    let mut other = pod("Running", "ips");
    other.uid = name("other");
    assert!(!other.is("uid"));
    // #2442, #2360: the pod of a replica is being made again.
    identity(true, None).comes_to("keep Valid");
    // #3751, #3817, #3778: 3 replicas, then 1, then 3: once valid again, what was seen before is void.
    let mut back = History::default();
    for (at_ms, standing) in [
        (FIRST, Standing::Absent),
        (LAST, Standing::Absent),
        (LAST + 1, Standing::Stands),
        (LAST + 2, Standing::Absent),
    ] {
        back.note(Sighting { at_ms, standing, live: true });
    }
    let scene = identity(false, None);
    let (pods, named) =
        (scene.history(Some(Standing::Absent)), scene.history(Some(Standing::Stands)));
    let case = Case {
        held: &scene.held,
        known_ms: NOW,
        pods: &pods,
        pod: None,
        identity: &back,
        named: &named,
        rival: None,
        node: scene.node,
        sandbox: Sandbox::None,
        now_ms: NOW,
    };
    let again = LAST + 2 + scene.settings.gap_ms;
    let look = Verdict::Observe { what: Look::Identity, again_at_ms: again, live: true };
    assert_eq!(decide(&case, &scene.settings), look);
    // #3869: the pods of a completed Job.
    ordinary(Some(pod("Succeeded", "never ended"))).comes_to("free PodFinished");
    // #4888, #4889: no addresses in the status while a kubelet starts.
    ordinary(Some(pod("Running", ""))).comes_to("keep Alive");
    // #4864, #4752: the switches hold on every path, there is only one.
    let off =
        ordinary(Some(pod("Running", "overdue ips"))).with(|s| s.ended_on_unready_node = false);
    assert!(matches!(off.on(NotReady).verdict(), Verdict::Keep { .. }));
    // #1659: a replica in Terminating after its set was deleted.
    identity(false, Some(pod("Running", "overdue ips"))).comes_to("free IdentityInvalid");
    // #2526, and weak spot 27: an identity in Terminating without addresses is judged by validity alone.
    identity(true, Some(pod("Running", "deleted"))).comes_to("keep Valid");
}

#[test]
fn orphans_go_and_nothing_else() {
    let orphan = |scene: Scene, rival| Scene { named: Some(false), rival, ..scene };
    let alive = || Some(pod("Running", "ips"));
    let (same, other) = (Some(Rival::SameSandbox), Some(Rival::OtherSandbox));
    // An ordinary pod that was told another address.
    orphan(ordinary(alive()), same).comes_to("free Orphan");
    orphan(ordinary(alive()), other).comes_to("free Orphan");
    Scene { sandbox: Sandbox::Left, ..orphan(ordinary(alive()), other) }
        .comes_to("keep SandboxLeft");
    Scene { sandbox: Sandbox::Left, ..orphan(ordinary(alive()), same) }.comes_to("free Orphan");
    // Of an ordinary pod an endpoint that lags behind is no witness by itself.
    orphan(ordinary(alive()), None).comes_to("keep Alive");
    // An identity's slot that its endpoint does not name, valid or not.
    for valid in [true, false] {
        orphan(identity(valid, alive()), same).comes_to("free Orphan");
        orphan(identity(valid, alive()), None).comes_to("keep Alive");
        orphan(identity(valid, None), None).comes_to("free Orphan");
    }
    // An ADD may be between its hold and its pointer.
    let mut young = orphan(identity(true, None), same);
    young.held.since_ms = NOW - 60_000;
    young.comes_to("look at Endpoint live at 1060000");
    let once = Scene { at: vec![(LAST, true)], ..orphan(identity(true, None), same) };
    once.comes_to("look at Endpoint live at 1004000");
}

#[test]
fn an_identity_without_a_pod_needs_no_node() {
    let mut detached = identity(false, None);
    detached.held.holder.pod_uid = None;
    detached.held.holder.container = None;
    Scene { node: None, sandbox: Sandbox::Unasked, ..detached.clone() }
        .comes_to("free IdentityInvalid");
    Scene { valid: Some(true), ..detached }.comes_to("keep Valid");
}

#[test]
fn a_del_keeps_what_a_living_pod_will_want_again() {
    let check = |uid: Option<&str>, pod: Option<Pod>, expected: bool| {
        assert_eq!(keeps_on_del(uid, pod.as_ref()), expected, "{uid:?} {pod:?}");
    };
    check(Some("uid"), Some(pod("Running", "ips")), true);
    check(None, Some(pod("Running", "ips")), true);
    check(Some("old"), Some(pod("Running", "ips")), false);
    check(Some("uid"), Some(pod("Running", "deleted ips")), false);
    check(Some("uid"), Some(pod("Succeeded", "never")), false);
    check(Some("uid"), None, false);
    let mut mirror = pod("Running", "ips");
    mirror.annotations =
        [CONFIG_HASH, CONFIG_MIRROR].map(|key| (key.to_owned(), "hash".to_owned())).into();
    check(Some("hash"), Some(mirror), true);
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Standing::Stands), Just(Standing::Ends), Just(Standing::Absent)]
}

fn sightings() -> impl Strategy<Value = Vec<Sighting>> {
    let one = (0_u64..200, standing(), any::<bool>()).prop_map(|(at, standing, live)| Sighting {
        at_ms: NOW - at * 100,
        standing,
        live,
    });
    prop::collection::vec(one, 0..8)
}

fn node() -> impl Strategy<Value = Option<(NodeState, bool)>> {
    use NodeState::{Gone, NotReady, OutOfService, Ready};
    prop::option::of((
        prop::sample::select(vec![Ready, NotReady, OutOfService, Gone]),
        any::<bool>(),
    ))
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let phases = vec!["Pending", "Running", "Succeeded", "Failed", "Strange"];
    let words = vec!["ips", "", "deleted", "overdue ips", "never ended", "ended ips"];
    (prop::sample::select(phases), prop::sample::select(words)).prop_map(|(p, w)| pod(p, w))
}

fn history(sightings: &[Sighting]) -> History {
    let mut history = History::default();
    sightings.iter().for_each(|sighting| history.note(*sighting));
    history
}

/// The last observation, of those at one moment the one that keeps most.
fn last(sightings: &[Sighting]) -> Option<Standing> {
    let at_ms = sightings.iter().map(|s| s.at_ms).max()?;
    sightings.iter().filter(|s| s.at_ms == at_ms).map(|s| s.standing).min()
}

#[derive(Clone, Debug)]
struct World {
    owner: &'static str,
    since_ms: u64,
    pod: Option<Pod>,
    pods: Vec<Sighting>,
    identity: Vec<Sighting>,
    named: Vec<Sighting>,
    rival: Option<Rival>,
    node: Option<(NodeState, bool)>,
    sandbox: Sandbox,
}

fn world() -> impl Strategy<Value = World> {
    let owner = prop::sample::select(vec!["pod/uid", "identity/ns/p"]);
    let rival =
        prop::sample::select(vec![None, Some(Rival::SameSandbox), Some(Rival::OtherSandbox)]);
    let sandbox =
        prop::sample::select(vec![Sandbox::None, Sandbox::None, Sandbox::Left, Sandbox::Unasked]);
    let since = prop::sample::select(vec![SINCE, NOW - 130_000, NOW - 9_000]);
    let histories = (sightings(), sightings(), sightings());
    (owner, since, prop::option::of(any_pod()), histories, rival, node(), sandbox).prop_map(
        |(owner, since_ms, pod, (pods, identity, named), rival, node, sandbox)| World {
            owner,
            since_ms,
            pod,
            pods,
            identity,
            named,
            rival,
            node,
            sandbox,
        },
    )
}

impl World {
    fn verdict(&self) -> Verdict {
        let mut held = held(self.owner);
        held.since_ms = self.since_ms;
        let case = Case {
            held: &held,
            known_ms: NOW,
            pods: &history(&self.pods),
            pod: self.pod.as_ref(),
            identity: &history(&self.identity),
            named: &history(&self.named),
            rival: self.rival,
            node: self.node,
            sandbox: self.sandbox,
            now_ms: NOW,
        };
        decide(&case, &GcSettings::default())
    }

    fn is_static(&self) -> bool {
        self.owner.starts_with("identity/")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_was_seen_alive_is_never_freed(world in world()) {
        let Verdict::Free { why } = world.verdict() else { return Ok(()) };
        if why == Freed::Orphan {
            prop_assert_ne!(last(&world.named), Some(Standing::Stands));
            prop_assert!(world.rival.is_some() || world.is_static());
            prop_assert!(world.rival.is_some() || last(&world.pods) != Some(Standing::Stands));
            return Ok(());
        }
        prop_assert_ne!(last(&world.pods), Some(Standing::Stands));
        let newest = world.pods.iter().map(|s| s.at_ms).max().unwrap();
        prop_assert!(world.pods.iter().any(|s| s.at_ms == newest && s.live));
        let alive = world.pods.iter().filter(|s| s.standing == Standing::Stands).map(|s| s.at_ms).max();
        let after: std::collections::BTreeSet<_> =
            world.pods.iter().map(|s| s.at_ms).filter(|at| alive.is_none_or(|alive| *at > alive)).collect();
        prop_assert!(after.len() >= 2);
    }

    #[test]
    fn a_valid_identity_is_never_freed(world in world()) {
        let named = last(&world.named) == Some(Standing::Stands) || world.named.is_empty();
        let valid = last(&world.identity) == Some(Standing::Stands) || world.identity.is_empty();
        if world.is_static() && named && valid {
            let freed = matches!(world.verdict(), Verdict::Free { .. });
            prop_assert!(!freed, "{:?}", world.verdict());
        }
    }

    #[test]
    fn the_order_of_arrival_is_irrelevant(world in world(), turn in 0_usize..8) {
        let mut turned = world.clone();
        for list in [&mut turned.pods, &mut turned.identity, &mut turned.named] {
            let by = turn.min(list.len());
            list.rotate_left(by);
            if turn % 2 == 1 { list.reverse(); }
        }
        prop_assert_eq!(world.verdict(), turned.verdict());
    }
}

/// The worlds of the properties reach every way of freeing, so that the properties say something.
#[test]
fn the_worlds_reach_every_ending() {
    let all = [
        Freed::PodAbsent,
        Freed::PodOverdue,
        Freed::PodFinished,
        Freed::PodWithoutAddress,
        Freed::IdentityInvalid,
        Freed::Orphan,
    ];
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let worlds = world();
    let mut seen = Vec::new();
    for _ in 0..60_000 {
        let world = worlds.new_tree(&mut runner).unwrap().current();
        if let Verdict::Free { why } = world.verdict()
            && !seen.contains(&why)
        {
            seen.push(why);
            if seen.len() == all.len() {
                return;
            }
        }
    }
    panic!("of {all:?} only {seen:?} were seen");
}
