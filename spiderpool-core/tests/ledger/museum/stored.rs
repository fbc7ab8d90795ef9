//! What was answered is what is stored, whoever else was writing, and whoever reads it next.

use super::*;
use spiderpool_core::transaction::{Failure, Transaction};

fn pair() -> [PoolDraft; 2] {
    [pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.19"]), pool("six", "fd00::/64", &["fd00::10"])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whereabouts #141 (a timeout was swallowed), Spiderpool #412 (a failed roll-back), cilium
    /// #18352: the caller was told an address that was not in the store, or the store kept one
    /// that the caller was refused.
    #[test]
    fn every_address_in_an_answer_is_in_the_writes_of_its_decision(history in history()) {
        let mut world = World::with(pair());
        for step in &history {
            let before = world.standing();
            match play(&mut world, step) {
                Some(Ok(Answer::Allocated(allocated))) => for granted in &allocated.addresses {
                    let stored = stored(&world.ledger, granted);
                    prop_assert_eq!(stored, Some(granted.generation), "{:?}", granted);
                },
                Some(Ok(Answer::Freed(freed))) => for ended in freed {
                    let address = ended.place.address.to_string();
                    prop_assert!(world.standing().iter().all(|(held, _)| *held != address));
                },
                Some(Err(_)) => prop_assert_eq!(world.standing(), before, "refused, yet changed"),
                Some(Ok(_)) | None => {}
            }
        }
    }

    /// Cilium #47910, Kube-OVN #4051, #4086, #3458 and #2769, Calico #8548, Spiderpool #3771:
    /// counters that were incremented beside the records drifted away from them.
    #[test]
    fn counts_and_indexes_follow_from_the_blocks_alone(history in history()) {
        let mut world = World::with(pair());
        history.iter().for_each(|step| drop(play(&mut world, step)));
        for order in [Order::PoolsFirst, Order::BlocksFirst] {
            let fresh = reloaded(world.ledger.view(), order);
            prop_assert_eq!(picture(&fresh), picture(world.ledger.view()));
            for entry in fresh.pools().unwrap() {
                let kept = world.ledger.view().pool(entry.pool.name()).unwrap().unwrap();
                prop_assert_eq!(free_of(entry), free_of(kept));
                prop_assert_eq!(fresh.tally(entry), world.ledger.view().tally(kept));
            }
        }
    }

    /// Kube-OVN #4304, #1436 and #2044, MetalLB #1929, cilium #46598: a controller that had
    /// started again decided otherwise than the one before it, until addresses were given twice.
    #[test]
    fn who_starts_again_from_the_store_decides_as_who_never_stopped(
        history in history(), last in step(),
    ) {
        let mut world = World::with(pair());
        history.iter().for_each(|step| drop(play(&mut world, step)));
        let Some(command) = command(&world, &last) else { return Ok(()) };
        let fresh = reloaded(world.ledger.view(), Order::BlocksFirst);
        let (ran, started) = (world.ledger.view(), &fresh);
        prop_assert_eq!(decide(started, &command, world.moment), decide(ran, &command, world.moment));
    }

    /// Spiderpool #5813: each of two dual-stack pods held one family's last address and waited for
    /// the other's for ever.
    #[test]
    fn of_two_pods_after_the_last_pair_of_addresses_one_gets_both(
        turns in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let one = pool("one", "10.0.0.0/24", &["10.0.0.10"]);
        let mut ledger = World::with([one, pool("six", "fd00::/64", &["fd00::10"])]).ledger;
        let asks = |pod: &str| Command::Allocate(from_pools(request(pod, pod), &["one"], &["six"]));
        let outcomes = race(&mut ledger, vec![asks("a"), asks("b")], turns.into_iter().map(usize::from));
        prop_assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        prop_assert_eq!(ledger.view().allocations().unwrap().count(), 2);
    }

    /// Antrea PR #7996, Spiderpool #1375 and #1056, Whereabouts #313, #508 and #558: writers used up
    /// their retries although there were addresses left. Who meets a conflict over another slot of
    /// the block writes the same on the new revision, and tells the generation that it wrote.
    #[test]
    fn a_write_that_was_repeated_answers_with_the_generation_that_is_stored(
        turns in prop::collection::vec(0usize..6, 0..120),
    ) {
        let lists = ["a", "b", "c", "d", "e", "f"];
        let one = |at: usize| pool(lists[at], "10.0.0.0/24", &[&format!("10.0.0.{}", 10 + at)]);
        let mut ledger = World::with((0..6).map(one)).ledger;
        let asks = |pod| Command::Allocate(from_pools(request(pod, pod), &[pod], &[]));
        for outcome in race(&mut ledger, lists.map(asks).into(), turns.into_iter()) {
            let Ok(Answer::Allocated(allocated)) = outcome else { panic!("{outcome:?}") };
            let granted = &allocated.addresses[0];
            prop_assert_eq!(stored(&ledger, granted), Some(granted.generation));
        }
    }
}

/// Calico libcalico-go#785, Antrea PR #7996: both writers won. The revision that a decision was made
/// on shows the loser that it lost; what it decides then stands.
#[test]
fn of_two_decisions_on_one_revision_one_conflicts_and_succeeds_when_made_anew() {
    let mut ledger = World::with(pair()).ledger;
    let asks = |pod| Command::Allocate(from_pools(request(pod, pod), &["blue"], &[]));
    let decides = |ledger: &Memory, pod| decide(ledger.view(), &asks(pod), at(5)).unwrap();
    let (first, second) = (decides(&ledger, "a"), decides(&ledger, "b"));
    assert_eq!(
        (&first.writes[0].object, first.writes[0].base),
        (&second.writes[0].object, second.writes[0].base)
    );
    assert!(swap(&mut ledger, &first.writes[0]).is_some());
    assert!(swap(&mut ledger, &second.writes[0]).is_none());
    let anew = decides(&ledger, "b");
    assert!(swap(&mut ledger, &anew.writes[0]).is_some());
    assert_eq!(ledger.view().allocations().unwrap().count(), 2);
    assert!(audit(ledger.view()).unwrap().is_clean());
}

/// Spiderpool #1375 (five tries, then an error), Whereabouts #508: with as many writers as
/// addresses, all of them get one in the end, and in each round somebody does.
#[test]
fn as_many_writers_as_addresses_all_succeed_in_the_end() {
    for policy in [Policy::Sequential, Policy::Spread, Policy::Rotate] {
        let blue = pool("blue", "10.0.0.0/24", &["10.0.0.64-10.0.0.127"]);
        let mut ledger = World::with([PoolDraft { policy, ..blue }]).ledger;
        let mut waiting: Vec<_> = (0..64).map(|pod| writer(pod, "blue")).collect();
        let mut rounds = 0;
        while !waiting.is_empty() {
            rounds += 1;
            let decided: Vec<_> = waiting
                .iter()
                .map(|asked| decide(ledger.view(), asked, at(rounds)).unwrap())
                .collect();
            let before = waiting.len();
            let mut outcomes =
                decided.iter().map(|decision| swap(&mut ledger, &decision.writes[0]));
            waiting.retain(|_| outcomes.next().unwrap().is_none());
            assert!(waiting.len() < before, "nobody got on in round {rounds}");
        }
        assert_eq!(ledger.view().allocations().unwrap().count(), 64);
        assert!(audit(ledger.view()).unwrap().is_clean());
    }
}

/// Whereabouts #313, Spiderpool #1375: with a writer for each slot of a block, none of them comes to
/// the bound on its attempts, however the policy makes them meet.
#[test]
fn a_crowd_on_one_block_is_served_within_the_bound_on_attempts() {
    for policy in [Policy::Sequential, Policy::Spread, Policy::Rotate] {
        let blue = pool("blue", "10.0.0.0/24", &["10.0.0.64-10.0.0.127"]);
        let mut ledger = World::with([PoolDraft { policy, ..blue }]).ledger;
        let commands: Vec<_> = (0..64).map(|pod| writer(pod, "blue")).collect();
        let outcomes = race(&mut ledger, commands, std::iter::empty());
        let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}

/// Antrea PR #7996 (retries used up with addresses left): more writers than a transaction has attempts
/// get on where they spread, as nodes that share one pool should.
#[test]
fn a_crowd_is_served_where_it_spreads() {
    let wide = pool("wide", "10.0.0.0/16", &["10.0.0.0-10.0.0.255"]);
    let mut ledger = World::with([PoolDraft { policy: Policy::Spread, ..wide }]).ledger;
    let writers = 128;
    let commands: Vec<_> = (0..writers).map(|pod| writer(pod, "wide")).collect();
    let outcomes = race(&mut ledger, commands, std::iter::empty());
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(ledger.view().allocations().unwrap().count(), writers as usize);
}

/// The same where they all want the lowest address.
#[test]
fn a_crowd_is_served_on_a_sequential_pool() {
    let mut ledger = World::with([pool("wide", "10.0.0.0/16", &["10.0.0.0-10.0.0.255"])]).ledger;
    let commands: Vec<_> = (0..128).map(|pod| writer(pod, "wide")).collect();
    let outcomes = race(&mut ledger, commands, std::iter::empty());
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Calico cni-plugin#165 and libcalico-go#785: forty nodes that started at once all claimed the same
/// first block.
#[test]
fn nodes_that_start_at_once_spread_over_the_blocks() {
    let wide = |policy| PoolDraft { policy, ..pool("wide", "10.0.0.0/16", &["10.0.0.0/16"]) };
    let blocks = |policy| {
        let ledger = World::with([wide(policy)]).ledger;
        let decided =
            (0..40).map(|node| decide(ledger.view(), &writer(node, "wide"), at(5)).unwrap());
        decided.map(|decision| decision.writes[0].object.clone()).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(blocks(Policy::Sequential), 1);
    assert!(blocks(Policy::Spread) >= 37, "{} blocks for 40 nodes", blocks(Policy::Spread));
}

/// Spiderpool #4295 and #963: a pod whose second interface could not be served took an address of
/// the first one's pool with every retry, until that pool was empty too.
#[test]
fn a_pod_with_one_full_pool_leaves_every_other_pool_as_it_was() {
    let full = PoolDraft {
        excluded: vec!["10.2.0.9".into()],
        ..pool("full", "10.2.0.0/24", &["10.2.0.9"])
    };
    let mut world = World::with([pair()[0].clone(), full]);
    let before = picture(world.ledger.view());
    for attempt in 0..20 {
        let asked = two_nics("a", &format!("c{attempt}"), ("eth0", "blue"), ("net1", "full"));
        let shortlist = refused(&mut world, &asked);
        assert!(shortlist.demands[0].is_satisfied() && !shortlist.demands[1].is_satisfied());
    }
    assert_eq!(picture(world.ledger.view()), before);
}

/// Whereabouts' retry fall-through: with several ranges the write of the second overwrote the error
/// of the first. A transaction whose last object cannot be written gives the others back.
#[test]
fn a_grant_that_is_half_written_is_given_back_and_not_reported() {
    let mut ledger = World::with(pair()).ledger;
    let asked = from_pools(request("a", "c1"), &["blue"], &["six"]);
    let mut transaction = Transaction::new(Command::Allocate(asked), at(5));
    let outcome = loop {
        let hinder = |write: &Write| matches!(&write.object, ObjectKey::Block(key) if key.family == Family::V6);
        if let Some(outcome) = drive(&mut ledger, &mut transaction, hinder) {
            break outcome;
        }
    };
    assert!(matches!(outcome, Err(Failure::GaveUp { .. })), "{outcome:?}");
    assert_eq!(ledger.view().allocations().unwrap().count(), 0);
}

/// Whereabouts #70, Spiderpool #397: a call that the runtime gave up on and its retry ran side by
/// side, and the pod was given an address by each.
#[test]
fn a_request_and_its_retry_side_by_side_come_to_one_address() {
    let mut world = World::with([pair()[0].clone()]);
    world.add(&from_pools(request("x", "cx"), &["blue"], &[])).unwrap();
    let asked = Command::Allocate(from_pools(request("a", "c1"), &["blue"], &[]));
    let World { mut ledger, .. } = world;
    let mut first = about_to_write(&mut ledger, asked.clone());
    let release = Release { container: name("cx"), attachment: None, ticket: 9 };
    ledger.execute(&Command::Release(release), at(6)).unwrap();
    let retried = finish(&mut ledger, &mut Transaction::new(asked, at(7))).unwrap();
    assert_eq!(finish(&mut ledger, &mut first).unwrap(), kept(retried));
    assert_eq!(ledger.view().allocations().unwrap().count(), 1);
}

fn kept(answer: Answer) -> Answer {
    let Answer::Allocated(mut allocated) = answer else { panic!("{answer:?}") };
    allocated.addresses.iter_mut().for_each(|granted| granted.kept = true);
    Answer::Allocated(allocated)
}

/// A transaction that has decided, and is about to write.
fn about_to_write(ledger: &mut Memory, command: Command) -> Transaction {
    let mut transaction = Transaction::new(command, at(5));
    while !matches!(transaction.step(), Step::Write(_)) {
        assert_eq!(drive(ledger, &mut transaction, |_| false), None);
    }
    transaction
}

/// The CNI's cni#204: DEL ran between the decision and the write of an ADD. In a store that commits a
/// whole decision at once the tombstone is seen (`a_request_that_arrived_before_its_del_is_refused`);
/// one that swaps single objects compares the block alone.
#[test]
fn an_add_whose_del_came_between_decision_and_write_leaves_nothing() {
    let mut ledger = World::with(pair()).ledger;
    let mut asked = from_pools(request("a", "c1"), &["blue"], &[]);
    asked.ticket = 1;
    let mut transaction = about_to_write(&mut ledger, Command::Allocate(asked));
    let release = Release { container: name("c1"), attachment: None, ticket: 2 };
    ledger.execute(&Command::Release(release), at(6)).unwrap();
    assert!(finish(&mut ledger, &mut transaction).is_err());
    assert_eq!(ledger.view().allocations().unwrap().count(), 0);
}

/// Kube-OVN #4898 and weak spot 7: a pool went, or shrank, between the decision and the write of an
/// ADD, and the address belonged to no pool.
#[test]
fn a_pool_that_goes_between_decision_and_write_gives_nothing() {
    let mut ledger = World::with(pair()).ledger;
    let asked = Command::Allocate(from_pools(request("a", "c1"), &["blue"], &[]));
    let mut transaction = about_to_write(&mut ledger, asked);
    ledger.execute(&Command::RemovePool(name("blue")), at(6)).unwrap();
    assert!(finish(&mut ledger, &mut transaction).is_err());
    assert!(audit(ledger.view()).unwrap().is_clean());
}

/// The same for a pool that was disabled or marked for deletion: its addresses are as they were, and it
/// gives none (found by simulating nodes whose watch is late).
#[test]
fn a_pool_that_is_closed_between_decision_and_write_gives_nothing() {
    let close: [fn(&mut PoolDraft); 2] = [|pool| pool.disabled = true, |pool| pool.deleting = true];
    for close in close {
        let mut ledger = World::with(pair()).ledger;
        let asked = Command::Allocate(from_pools(request("a", "c1"), &["blue"], &[]));
        let mut transaction = about_to_write(&mut ledger, asked);
        let mut closed = pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.19"]);
        close(&mut closed);
        ledger.execute(&Command::DefinePool(Pool::try_from(closed).unwrap()), at(6)).unwrap();
        assert!(finish(&mut ledger, &mut transaction).is_err());
        assert_eq!(ledger.view().allocations().unwrap().count(), 0);
    }
}
