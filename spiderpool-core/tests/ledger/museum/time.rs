//! Waiting ends: what was refused comes when there is room, and what rests comes back in its time.

use super::*;

fn blue() -> PoolDraft {
    pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.12"])
}

fn cool() -> PoolDraft {
    PoolDraft { cool_down_ms: 1_000, ..blue() }
}

fn asks(pod: &str, container: &str) -> Request {
    from_pools(request(pod, container), &["blue"], &[])
}

fn fill(world: &mut World) {
    for at in 0..3 {
        world.add(&asks(&format!("p{at}"), &format!("c{at}"))).unwrap();
    }
}

fn conflict(world: &mut World, address: &str, generation: u64) -> Result<Answer, String> {
    let place = Place { space: name("default"), address: address.parse().unwrap() };
    let claim = Claim { place, generation };
    world.run(&Command::Conflict(Conflict { claim, mac: [7; 6] }))
}

/// Metal3 #988 and #1537, Cluster API in-cluster IPAM #179: a claim that had once been refused was
/// never looked at again. Whatever makes room makes the same request succeed.
#[test]
fn a_refusal_is_not_the_last_word() {
    let one_more = pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.13"]);
    let makes_room: [&dyn Fn(&mut World); 5] = [
        &|world| assert_eq!(world.del("c1", None).len(), 1),
        &|world| assert_eq!(world.collect("net", &[("c0", "eth0"), ("c2", "eth0")]).len(), 1),
        &|world| {
            let generation = world.generation_of("10.0.0.11");
            assert_eq!(world.reclaim("10.0.0.11", generation).unwrap().len(), 1);
        },
        &|world| drop(world.define(one_more.clone()).unwrap()),
        &|world| {
            world.define(pool("red", "10.1.0.0/24", &["10.1.0.10"])).unwrap();
            let mut other = from_pools(request("p1", "c1"), &["red"], &[]);
            other.named = vec!["10.1.0.10".parse().unwrap()];
            assert_eq!(world.add(&other).unwrap(), ["10.1.0.10"]);
        },
    ];
    for make_room in makes_room {
        let mut world = World::with([blue()]);
        fill(&mut world);
        let waits = asks("w", "cw");
        for _ in 0..3 {
            assert_eq!(verdict(&refused(&mut world, &waits)), &Verdict::Exhausted);
        }
        make_room(&mut world);
        world.add(&waits).unwrap();
    }
}

/// AWS VPC CNI #1700 and #2896, PR #3752: addresses that cooled down were not counted, so a pool that
/// was sized to its pods starved, or re-used them too early to live. The refusal counts them and
/// says when the first is ready; then it is given, and not a millisecond before.
#[test]
fn a_pool_of_the_size_of_its_pods_rolls_over_within_one_cool_down() {
    let mut world = World::with([cool()]);
    fill(&mut world);
    for at in 0..3 {
        world.del(&format!("c{at}"), None);
        let waits = asks(&format!("q{at}"), &format!("d{at}"));
        let shortlist = refused(&mut world, &waits);
        let tally = shortlist.demands[0].candidates[0].tally.unwrap();
        assert_eq!((tally.free, tally.cooling, tally.allocated), (0, 1, 2));
        let until_ms = shortlist.remedy.unwrap().wait_until_ms.unwrap();
        assert_eq!(until_ms, world.moment.now_ms + 1_000);
        world.moment.now_ms = until_ms - 1;
        refused(&mut world, &waits);
        world.moment.now_ms = until_ms;
        world.add(&waits).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whereabouts #288, Calico #12496, nvidia #181 with PR #280, Kubernetes #28969: an address was
    /// given again while neighbours and connections still knew the old pod under it. No history and
    /// no policy re-uses one before its time, unless its own owner asks; nobody is refused while
    /// something has rested.
    #[test]
    fn no_address_is_given_again_before_its_time_and_none_is_withheld_after_it(
        steps in prop::collection::vec((any::<bool>(), 0u8..8, 0u64..900), 1..80),
        policy in prop::sample::select(vec![Policy::Sequential, Policy::Spread, Policy::Rotate]),
    ) {
        let mut world = World::with([PoolDraft { policy, ..cool() }]);
        let mut freed_at: BTreeMap<String, u64> = BTreeMap::new();
        for (at, (comes, pod, ms)) in steps.into_iter().enumerate() {
            world.pass(ms);
            let held: BTreeMap<_, _> = world.standing().into_iter().map(|(a, o)| (o, a)).collect();
            if !comes {
                if let Some(address) = held.get(&format!("pod/p{pod}")) {
                    prop_assert_eq!(world.del(&format!("p{pod}"), None), [address.clone()]);
                    freed_at.insert(address.clone(), world.moment.now_ms);
                }
                continue;
            }
            let has = held.contains_key(&format!("pod/p{pod}"));
            let mut asked = asks(&format!("p{pod}"), &format!("p{pod}"));
            asked.ticket = u64::MAX;
            asked.holder.node = name(&format!("n{}", at % 3));
            let now_ms = world.moment.now_ms;
            let ready = freed_at.values().filter(|since_ms| *since_ms + 1_000 <= now_ms).count();
            let room = 3 - held.len() - freed_at.len() + ready;
            match world.add(&asked) {
                Ok(got) => {
                    prop_assert!(has || freed_at.remove(&got[0]).is_none_or(|ms| ms + 1_000 <= now_ms));
                }
                Err(text) => prop_assert!(!has && room == 0, "{}", text),
            }
        }
    }
}

/// Weak spot 8: a cool-down that is set after a release, or ended by an edit, holds from then on for
/// what was already resting.
#[test]
fn an_edited_cool_down_holds_at_once() {
    let mut world = World::with([cool()]);
    fill(&mut world);
    world.del("c1", None);
    refused(&mut world, &asks("w", "cw"));
    world.define(blue()).unwrap();
    assert_eq!(world.add(&asks("w", "cw")).unwrap(), ["10.0.0.11"]);
    world.define(cool()).unwrap();
    world.del("cw", None);
    refused(&mut world, &asks("w", "cx"));
}

/// AWS VPC CNI #1700: an address that its own pod asks for by name is cooling down for it as well, and
/// the refusal says that waiting is all it takes.
#[test]
fn a_named_address_that_cools_down_is_refused_until_its_time_and_then_given() {
    let mut world = World::with([cool()]);
    let mut asked = asks("a", "c1");
    asked.named = vec!["10.0.0.11".parse().unwrap()];
    world.add(&asked).unwrap();
    world.del("c1", None);
    asked.holder.container = Some(name("c2"));
    let shortlist = refused(&mut world, &asked);
    assert!(
        matches!(verdict(&shortlist), Verdict::NamedTaken { by, .. } if by == "it is cooling down")
    );
    let until_ms = shortlist.remedy.and_then(|remedy| remedy.wait_until_ms);
    assert_eq!(until_ms, Some(world.moment.now_ms + 1_000));
    world.pass(1_000);
    assert_eq!(world.add(&asked).unwrap(), ["10.0.0.11"]);
}

/// Weak spot 9, Spiderpool #4482: the address in conflict was released and, as the lowest free one,
/// given to the same pod again, for as long as the foreign host stayed.
#[test]
fn a_pod_is_never_given_the_same_conflict_twice_in_a_row() {
    let mut world = World::with([blue()]);
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let got = world.add(&asks("a", "c1")).unwrap();
        let generation = world.generation_of(&got[0]);
        assert!(matches!(
            conflict(&mut world, &got[0], generation),
            Ok(Answer::Quarantined { .. })
        ));
        assert!(seen.insert(got));
    }
    let shortlist = refused(&mut world, &asks("a", "c1"));
    assert_eq!(shortlist.demands[0].candidates[0].tally.unwrap().quarantined, 3);
    let until_ms = shortlist.remedy.unwrap().wait_until_ms.unwrap();
    assert!(until_ms > world.moment.now_ms);
}

/// Spiderpool #4482, #4505 and #4975, Kube-OVN #2659: probes had side effects on whatever had the
/// address when their answer came, and came in an order that mattered. A late report, a second one
/// and one about a free address change nothing.
#[test]
fn a_report_about_another_grant_than_the_present_one_changes_nothing() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    let seen = world.generation_of("10.0.0.10");
    world.del("c1", None);
    assert!(conflict(&mut world, "10.0.0.10", seen).unwrap_err().contains("is not allocated"));
    world.add(&asks("b", "c2")).unwrap();
    assert!(conflict(&mut world, "10.0.0.10", seen).unwrap_err().contains("given anew"));
    assert_eq!(world.standing(), [("10.0.0.10".into(), "pod/b".into())]);
    let present = world.generation_of("10.0.0.10");
    conflict(&mut world, "10.0.0.10", present).unwrap();
    let before = picture(world.ledger.view());
    assert!(conflict(&mut world, "10.0.0.10", present).is_err());
    assert_eq!(picture(world.ledger.view()), before);
}

/// Kube-OVN #2659: one faulty answerer took the whole subnet. However many hosts answer, at least nine
/// tenths of a pool stay in use, and evidence that is spared writes nothing.
#[test]
fn probing_never_drains_a_pool() {
    let mut world = World::with([pool("blue", "10.0.0.0/24", &["10.0.0.1-10.0.0.100"])]);
    for at in 0u8..100 {
        let pod = format!("p{at}");
        let got = world.add(&asks(&pod, &pod)).unwrap();
        let generation = world.generation_of(&got[0]);
        let place = Place { space: name("default"), address: got[0].parse().unwrap() };
        let claim = Claim { place, generation };
        let before = world.ledger.revision();
        match world.run(&Command::Conflict(Conflict { claim, mac: [at; 6] })).unwrap() {
            Answer::Quarantined { .. } => assert!(world.tally("blue").quarantined <= 10),
            Answer::Spared(_) => assert_eq!(world.ledger.revision(), before),
            other => panic!("{other:?}"),
        }
        world.del(&pod, None);
    }
    assert_eq!(world.tally("blue").quarantined, 10);
}

/// Spiderpool #4295 once more: one interface's conflict costs the others nothing, and what was granted
/// ahead with it is claimed by the repeated ADD or goes with the DEL.
#[test]
fn a_conflict_on_one_interface_leaves_the_others_as_they_were() {
    for gives_up in [false, true] {
        let mut world = World::with([blue()]);
        let asked = two_nics("a", "c1", ("eth0", "blue"), ("net1", "blue"));
        let mut later = asked.clone();
        later.attachment = name("net1");
        assert_eq!(world.add(&asked).unwrap(), ["10.0.0.10", "10.0.0.11"]);
        world.add(&later).unwrap();
        let generation = world.generation_of("10.0.0.10");
        conflict(&mut world, "10.0.0.10", generation).unwrap();
        if gives_up {
            assert_eq!(world.del("c1", Some("eth0")), [""; 0]);
            assert_eq!(world.del("c1", Some("net1")), ["10.0.0.11"]);
        } else {
            assert_eq!(world.add(&asked).unwrap(), ["10.0.0.12", "10.0.0.11"]);
        }
    }
}

/// The same, before the other interface's own ADD has come: until the ADD is repeated or the DEL
/// comes, what was granted ahead is no more than a leak, and both end it.
#[test]
fn a_conflict_leaves_what_was_granted_ahead_to_the_next_add_or_del() {
    for gives_up in [false, true] {
        let mut world = World::with([blue()]);
        let asked = two_nics("a", "c1", ("eth0", "blue"), ("net1", "blue"));
        world.add(&asked).unwrap();
        let place = Place { space: name("default"), address: "10.0.0.10".parse().unwrap() };
        let claim = Claim { place, generation: world.generation_of("10.0.0.10") };
        let conflict = Command::Conflict(Conflict { claim, mac: [1; 6] });
        world.ledger.execute(&conflict, world.moment).unwrap();
        assert!(audit(world.ledger.view()).unwrap().is_sound());
        if gives_up {
            assert_eq!(world.del("c1", Some("eth0")), ["10.0.0.11"]);
        } else {
            assert_eq!(world.add(&asked).unwrap(), ["10.0.0.12", "10.0.0.11"]);
        }
    }
}
