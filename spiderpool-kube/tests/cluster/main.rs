//! The protocol of one node and of a few, request by request.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that stops says where"
)]

mod burst;
mod restore;
mod server;
mod world;

use spiderpool_core::command::{Answer, Claim, Command, Conflict, Place};
use spiderpool_kube::cluster::object::{Body, Key};
use spiderpool_kube::cluster::port::{Change, Input, Request};
use std::collections::BTreeSet;
use world::{Reply, World, name, word};

#[test]
fn nobody_is_told_before_the_block_is_durable_and_listed() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    world.agents[0].order.clear();
    let id = world.add(0, "a", "c1");
    world.run();
    assert_eq!(world.held().keys().collect::<Vec<_>>(), [&world.address(0, id)]);
    let order = &world.agents[0].order;
    let at = |what: &str| order.iter().position(|line| line.starts_with(what)).unwrap();
    assert!(at("note Sought") < at("call create block"), "{order:#?}");
    assert!(at("call create block") < at("call list"), "{order:#?}");
    assert!(at("call look pool") > at("call create block"), "{order:#?}");
    assert!(at("call read the ledger") > at("call create block"), "{order:#?}");
    assert_eq!(at("answer"), order.len() - 1, "{order:#?}");
}

#[test]
fn the_intent_is_noted_before_the_write_is_sent() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    for pod in 0..20 {
        world.add(0, &format!("p{pod}"), &format!("c{pod}"));
    }
    world.run();
    let order = &world.agents[0].order;
    for container in 0..20 {
        let quoted = format!("container: \"c{container}\"");
        let noted = order.iter().position(|l| l.contains("Sought") && l.contains(&quoted));
        assert!(noted.is_some(), "{container}: {order:#?}");
    }
}

#[test]
fn what_waits_shares_the_next_write() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let first = world.add(0, "first", "c-first");
    world.run();
    world.address(0, first);
    let before = world.server.writes;
    let ids: Vec<_> =
        (0..40).map(|pod| world.add(0, &format!("p{pod}"), &format!("c{pod}"))).collect();
    world.run();
    let addresses: BTreeSet<_> = ids.iter().map(|id| world.address(0, *id)).collect();
    assert_eq!(addresses.len(), 40);
    assert!(world.server.writes - before <= 5, "{} writes", world.server.writes - before);
}

#[test]
fn asking_again_writes_nothing() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let first = world.add(0, "a", "c1");
    world.run();
    let writes = world.server.writes;
    let again = world.add(0, "a", "c1");
    world.run();
    assert_eq!((world.address(0, first), writes), (world.address(0, again), world.server.writes));
}

#[test]
fn a_lost_reply_is_settled_where_it_was_lost() {
    for reply in [Reply::Lost, Reply::NotServed] {
        let mut world = World::new(1, "10.6.0.10-10.6.0.99");
        world.add(0, "first", "c0");
        world.run();
        let id = world.add(0, "a", "c1");
        let request = world.serve(0, reply).unwrap();
        assert!(matches!(request, Request::Replace { key: Key::Block(_), .. }), "{request:?}");
        world.run();
        let held = world.held();
        assert_eq!(held.len(), 2, "{held:?}");
        assert_eq!(held.get(&world.address(0, id)).map(String::as_str), Some("pod/a"));
    }
}

#[test]
fn a_refusal_says_nothing_of_the_request_before_it() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    world.add(0, "first", "c0");
    world.run();
    let id = world.add(0, "a", "c1");
    let late = world.serve(0, Reply::NotServed).unwrap();
    let read = world.serve(0, Reply::Given).unwrap();
    assert!(matches!(read, Request::Read(Key::Block(_))), "{read:?}");
    assert_eq!(world.serve(0, Reply::Refused).unwrap(), late);
    assert!(world.fault(0, id).contains("will not have it"));

    let del = world.del(0, "c1");
    assert!(!world.agents[0].answers.contains_key(&del), "the late write may still land");
    world.server.serve(&late);
    assert_eq!(world.held().len(), 2);
    world.run();
    assert!(world.agents[0].answers.contains_key(&del));
    assert_eq!(world.held().values().collect::<Vec<_>>(), ["pod/first"]);
}

#[test]
fn what_is_refused_for_good_stops_nothing() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    world.add(0, "first", "c0");
    world.run();
    world.add(0, "a", "c1");
    world.serve(0, Reply::NotServed).unwrap();
    let del = world.del(0, "c1");
    for _ in 0..400 {
        let written = world.agents[0].wire.front().map(|(_, request)| word(request));
        match written.is_some_and(|word| word.starts_with("replace block")) {
            true => world.serve(0, Reply::Refused),
            false => world.round().then_some(Request::Read(Key::Ledger)),
        };
    }
    assert!(world.agents[0].answers.contains_key(&del), "{:?}", world.agents[0].order);
    assert_eq!(world.held().values().collect::<Vec<_>>(), ["pod/first"]);
}

#[test]
fn a_pool_that_was_shrunk_behind_a_stale_watch_gives_nothing() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let id = world.add(0, "a", "c1");
    world.define_silently("10.6.1.7");
    world.run();
    assert_eq!(world.address(0, id), "10.6.1.7");
    assert_eq!(world.held().keys().collect::<Vec<_>>(), ["10.6.1.7"]);
}

#[test]
fn listing_a_block_that_is_listed_is_no_sign_of_a_restore() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.99");
    let one = world.add(0, "a", "c1");
    let two = world.add(1, "b", "c2");
    world.run();
    assert_ne!(world.address(0, one), world.address(1, two));
    let third = world.add(1, "c", "c3");
    world.run();
    world.address(1, third);
    assert!(world.agents.iter().all(|agent| agent.alarms.is_empty()));
}

#[test]
fn a_reservation_behind_a_stale_watch_is_kept() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let id = world.add(0, "a", "c1");
    world.reserve_silently("10.6.0.10-10.6.0.98");
    world.run();
    assert_eq!(world.address(0, id), "10.6.0.99");
    assert_eq!(world.held().len(), 1);
}

#[test]
fn what_nobody_waits_for_holds_nothing() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let late = world.add(0, "default/web-0", "c1");
    world.now_ms += 100_000;
    world.input(0, Input::Tick);
    assert!(world.fault(0, late).contains("in time"));
    world.run();
    assert!(world.held().is_empty());
    assert_eq!(world.agents[0].node.busy(), 0);
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let id = world.add(0, "a", "c1");
    world.serve(0, Reply::NotServed);
    world.now_ms -= 3_600_000;
    world.input(0, Input::Tick);
    world.run();
    world.address(0, id);
}

#[test]
fn as_many_pods_as_addresses_fit_whoever_asks() {
    let mut world = World::new(8, "10.6.0.0-10.6.1.255");
    let mut ids = Vec::new();
    for pod in 0..512 {
        ids.push((pod % 8, world.add(pod % 8, &format!("p{pod}"), &format!("c{pod}"))));
    }
    world.run();
    let addresses: BTreeSet<_> = ids.iter().map(|(at, id)| world.address(*at, *id)).collect();
    assert_eq!((addresses.len(), world.held().len()), (512, 512));
    let one_more = world.add(3, "late", "c-late");
    world.run();
    assert!(world.fault(3, one_more).contains("all its addresses are taken"));
    world.del(5, "c5");
    world.run();
    let again = world.add(3, "late", "c-late2");
    world.run();
    world.address(3, again);
}

#[test]
fn a_late_del_frees_nothing_of_the_next_sandbox() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let one = world.add(0, "a", "c1");
    world.run();
    let two = world.add(0, "a", "c2");
    world.run();
    let del = world.del(0, "c1");
    world.run();
    assert_eq!(world.address(0, one), world.address(0, two));
    assert!(matches!(&world.agents[0].answers[&del], Ok(Answer::Freed(freed)) if freed.is_empty()));
    assert_eq!(world.held().len(), 1);
    world.del(0, "c2");
    world.run();
    assert!(world.held().is_empty());
    assert_eq!(world.agents[0].node.record().traces().count(), 0);
}

#[test]
fn an_identity_keeps_its_address_on_another_node() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.99");
    let one = world.add(0, "default/web-0", "c1");
    world.run();
    world.del(0, "c1");
    world.run();
    let two = world.add(1, "default/web-0", "c2");
    world.run();
    assert_eq!(world.address(0, one), world.address(1, two));
    let order: Vec<_> = world.agents[0].order.iter().filter(|l| l.starts_with("call")).collect();
    let at = |what: &str| order.iter().position(|line| line.starts_with(what)).unwrap();
    assert!(at("call create endpoint") < at("call create block"), "{order:#?}");
}

#[test]
fn an_identity_moves_with_its_pools_and_never_loses_both() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.19");
    world.add(0, "default/web-0", "c1");
    world.run();
    world.del(0, "c1");
    world.define("10.6.9.0-10.6.9.9");
    let two = world.add(0, "default/web-0", "c2");
    world.run();
    // Its pool is still named, so the identity stays where it is.
    assert!(world.address(0, two).starts_with("10.6.0."));
}

#[test]
fn a_lost_record_is_made_anew_from_endpoints() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let one = world.add(0, "default/web-0", "c1");
    world.run();
    world.restart(0, false);
    world.run();
    assert!(world.agents[0].node.record().trace(&name("c1")).is_some());
    world.del(0, "c1");
    let two = world.add(0, "default/web-0", "c2");
    world.run();
    assert_eq!(world.address(0, one), world.address(0, two));
}

#[test]
fn a_retry_waits_for_what_is_under_way() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.99");
    let late = world.add(0, "a", "c1");
    world.now_ms += 100_000;
    world.input(0, Input::Tick);
    assert!(world.fault(0, late).contains("in time"));
    let again = world.add(0, "a", "c1");
    world.run();
    world.address(0, again);
    assert_eq!(world.held().len(), 1);
}

#[test]
fn a_restored_store_gives_nothing_that_is_held() {
    let mut world = World::new(3, "10.6.0.10-10.6.0.29");
    world.add(0, "early", "c0");
    world.run();
    let backup = world.server.clone();
    let told: Vec<_> = (1..12)
        .map(|pod| (pod % 3, world.add(pod % 3, &format!("p{pod}"), &format!("c{pod}"))))
        .collect();
    world.run();
    let told: BTreeSet<_> = told.iter().map(|(at, id)| world.address(*at, *id)).collect();
    assert_eq!(told.len(), 11);
    let (reads, writes) = (world.server.reads, world.server.writes);
    world.server = backup;
    (world.server.reads, world.server.writes) = (reads, writes);
    let refused = world.add(1, "after", "c-after");
    world.run();
    let fault = world.fault(1, refused);
    assert!(fault.contains("is older than it was"), "{fault}");
    let held: BTreeSet<_> = world.held().into_keys().collect();
    assert!(told.is_subset(&held), "{told:?} {held:?}");
    let after = world.add(1, "after", "c-after2");
    world.run();
    assert!(!told.contains(&world.address(1, after)));
}

#[test]
fn a_conflict_is_no_sign_of_a_restore() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.29");
    let first = world.add(0, "a", "c1");
    world.run();
    let Some(Ok(Answer::Allocated(allocated))) = world.agents[0].answers.get(&first) else {
        panic!("no address")
    };
    let granted = &allocated.addresses[0];
    let place = Place { space: granted.space.clone(), address: granted.address.addr() };
    let claim = Claim { place: place.clone(), generation: granted.generation };
    world.ask(0, Command::Conflict(Conflict { claim, mac: [2, 0, 0, 0, 0, 1] }));
    world.run();
    let second = world.add(0, "a", "c1");
    world.run();
    assert_ne!(world.address(0, second), place.address.to_string());
    assert!(world.agents[0].alarms.is_empty(), "{:?}", world.agents[0].alarms);
    let trace = world.agents[0].node.record().trace(&name("c1")).unwrap();
    assert!(!trace.told.contains_key(&place), "it is not written back in a recovery either");
}

#[test]
fn a_pool_that_cannot_be_read_says_why_and_loses_nobody() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.29");
    let id = world.add(0, "default/web-0", "c1");
    world.run();
    let address = world.address(0, id);
    world.del(0, "c1");
    let why = "format 9 is newer than this version knows".to_owned();
    world.replace_pool(Body::Unreadable { why });
    for (pod, container) in [("a", "c2"), ("default/web-0", "c3")] {
        let refused = world.add(1, pod, container);
        world.run();
        let fault = world.fault(1, refused);
        assert!(fault.contains("pool blue cannot be used: format 9 is newer"), "{fault}");
    }
    assert_eq!(world.held().into_keys().collect::<Vec<_>>(), [address]);
}

#[test]
fn a_pool_against_its_subnet_gives_nothing_more() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.29");
    let id = world.add(0, "default/web-0", "c1");
    world.run();
    let address = world.address(0, id);
    world.define_subnet("10.6.0.20");
    let refused = world.add(0, "a", "c2");
    let again = world.add(0, "default/web-0", "c1");
    world.run();
    let fault = world.fault(0, refused);
    assert!(fault.contains("pool blue cannot be used") && fault.contains("10.6.0.20"), "{fault}");
    assert_eq!(world.address(0, again), address);
}

#[test]
fn a_node_whose_watch_goes_on_looks_whether_its_grants_stand() {
    for bumps in [false, true] {
        let mut world = World::new(2, "10.6.0.10-10.6.0.29");
        world.add(0, "early", "c0");
        world.run();
        let backup = world.server.clone();
        let late = world.add(1, "late", "c1");
        world.run();
        let (address, revision) = (world.address(1, late), world.server.revision);
        assert!(world.held().contains_key(&address));
        world.input(1, Input::Changed(Change::Resumed));
        world.run();
        assert!(world.agents[1].alarms.is_empty(), "nothing is wrong yet");

        world.server = backup;
        if bumps {
            // As `etcdutl snapshot restore --bump-revision` does.
            world.server.revision = revision + 1_000;
        }
        assert!(!world.held().contains_key(&address));
        world.input(1, Input::Changed(Change::Resumed));
        world.run();
        assert_eq!(world.held().get(&address).map(String::as_str), Some("pod/late"));
        let alarm = format!("{:?}", world.agents[1].alarms);
        assert!(alarm.contains("WentBack"), "{alarm}");
    }
}

#[test]
fn an_address_that_was_given_again_is_not_left_to_its_old_owner() {
    let mut world = World::new(2, "10.6.0.10");
    world.add(0, "old", "c0");
    world.run();
    let backup = world.server.clone();
    world.now_ms += 1_000;
    world.del(0, "c0");
    world.run();
    let new = world.add(1, "new", "c1");
    world.run();
    assert_eq!(world.address(1, new), "10.6.0.10");
    world.server = backup;
    let notice = world.add(1, "other", "c2");
    world.run();
    assert!(world.agents[1].answers[&notice].is_err());
    assert_eq!(world.held().get("10.6.0.10").map(String::as_str), Some("pod/new"));
}

#[test]
fn a_block_that_was_and_is_gone_is_not_taken_for_empty() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.29");
    let told = world.add(0, "a", "c0");
    world.run();
    let told = world.address(0, told);
    let block = world.server.objects.keys().find(|key| matches!(key, Key::Block(_))).cloned();
    world.server.objects.remove(&block.unwrap());
    let refused = world.add(1, "b", "c1");
    world.run();
    assert!(world.fault(1, refused).contains("was lost"), "{}", world.fault(1, refused));
    assert_eq!(world.held().get(&told).map(String::as_str), Some("pod/a"));
    let after = world.add(1, "b", "c2");
    world.run();
    assert_ne!(world.address(1, after), told);
    let calls = world.agents[1].order.iter().filter(|line| line.starts_with("call")).count();
    assert!(calls < 60, "{calls} calls");
    assert_eq!(word(&Request::Read(Key::Ledger)), "read the ledger");
}
