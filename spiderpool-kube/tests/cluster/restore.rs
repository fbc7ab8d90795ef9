//! What a store that goes back in time takes with it, and how it is mended.

use crate::world::{Reply, World, name, wish};
use spiderpool_core::command::Command;
use spiderpool_core::request::Request;
use spiderpool_kube::cluster::object::{Body, EndpointKey, Key};
use spiderpool_kube::cluster::port::{Alarm, Change, Input};
use std::collections::BTreeSet;

/// The store is as it was once; what the test counts goes on.
fn restore(world: &mut World, backup: &crate::server::Server) {
    let (reads, writes) = (world.server.reads, world.server.writes);
    world.server = backup.clone();
    (world.server.reads, world.server.writes) = (reads, writes);
}

/// Who has written back in the recovery that is under way.
fn asserted(world: &World) -> Option<BTreeSet<String>> {
    let ledger = world.server.find(&Key::Ledger)?;
    let recovery = ledger.body.ledger()?.recovery.clone()?;
    Some(recovery.asserted.iter().map(ToString::to_string).collect())
}

#[test]
fn a_restore_during_a_recovery_begins_another() {
    let mut world = World::new(3, "10.6.0.10-10.6.0.29");
    world.add(0, "early", "c0");
    world.run();
    let backup = world.server.clone();
    let told: Vec<_> = (1..12)
        .map(|pod| (pod % 3, world.add(pod % 3, &format!("p{pod}"), &format!("c{pod}"))))
        .collect();
    world.run();
    let told: BTreeSet<_> = told.iter().map(|(at, id)| world.address(*at, *id)).collect();
    restore(&mut world, &backup);
    world.add(1, "after", "c-after");
    // One node is ahead of the others.
    while world.serve(1, Reply::Given).is_some() {}
    let mut middle = Some(world.server.clone());
    while world.round() {
        let some = asserted(&world).is_some_and(|nodes| !nodes.is_empty() && nodes.len() < 3);
        if some && !told.is_subset(&world.held().into_keys().collect()) {
            middle = Some(world.server.clone());
        }
    }
    assert!(told.is_subset(&world.held().into_keys().collect()));
    // One node has written back there, and others have not.
    restore(&mut world, &middle.unwrap());
    for at in 0..3 {
        let ledger = world.server.find(&Key::Ledger).unwrap();
        let (revision, was) = (ledger.meta.revision, u64::MAX);
        world.input(at, Input::Changed(Change::Rewound { revision, was }));
        world.input(at, Input::Changed(Change::Seen(Box::new(ledger))));
        world.input(at, Input::Changed(Change::Resumed));
    }
    world.run();
    assert_eq!(asserted(&world), None, "the recovery has ended");
    let held: BTreeSet<_> = world.held().into_keys().collect();
    assert!(told.is_subset(&held), "{told:?} {held:?}");
}

#[test]
fn an_endpoint_of_before_names_again_what_its_pod_has() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.19");
    let first = world.add(0, "ns/web-0", "c1");
    world.run();
    let before = world.address(0, first);
    let backup = world.server.clone();
    world.del(0, "c1");
    world.run();
    let now = if before == "10.6.0.19" { "10.6.0.18" } else { "10.6.0.19" }.to_owned();
    let named = vec![now.parse().unwrap()];
    let moves = Request { named, ..wish("node-1", "ns/web-0", "c2") };
    let second = world.ask(1, Command::Allocate(moves));
    world.run();
    assert_eq!(world.address(1, second), now);
    restore(&mut world, &backup);
    world.input(1, Input::Changed(Change::Resumed));
    world.run();
    assert_eq!(world.held().into_keys().collect::<Vec<_>>(), std::slice::from_ref(&now));
    let key = EndpointKey { namespace: name("ns"), name: name("web-0") };
    let endpoint = world.server.find(&Key::Endpoint(key)).unwrap();
    let named: Vec<_> = match &endpoint.body {
        Body::Endpoint(endpoint) => {
            endpoint.slots.iter().map(|pointer| pointer.place.address.to_string()).collect()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(named, [now]);
}

/// A good while: a contested address is looked at for as long as it is one.
fn rounds(world: &mut World) {
    (0..500).for_each(|_| {
        world.round();
    });
}

#[test]
fn a_contested_address_goes_back_to_whoever_stays() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.10");
    let backup = world.server.clone();
    let ours = world.add(0, "a", "c1");
    world.run();
    let address = world.address(0, ours);
    restore(&mut world, &backup);
    // The other node gives it out before the first one looks.
    let theirs = world.add(1, "b", "c2");
    while world.serve(1, Reply::Given).is_some() {}
    assert_eq!(world.address(1, theirs), address);
    world.input(0, Input::Changed(Change::Resumed));
    rounds(&mut world);
    let clashes = |alarm: &&Alarm| matches!(alarm, Alarm::Clash { .. });
    assert_eq!(world.agents[0].alarms.iter().filter(clashes).count(), 1);
    assert_eq!(world.held()[&address], "pod/b");
    world.del(1, "c2");
    rounds(&mut world);
    assert_eq!(world.held()[&address], "pod/a", "nobody else is given it");
}

#[test]
fn a_hold_that_took_long_to_confirm_is_looked_at_again() {
    let mut world = World::new(1, "10.6.0.10-10.6.0.29");
    let backup = world.server.clone();
    let id = world.add(0, "a", "c1");
    while world.held().is_empty() {
        world.serve(0, Reply::Given);
    }
    restore(&mut world, &backup);
    world.now_ms += 5_000;
    world.run();
    let told = matches!(world.agents[0].answers.get(&id), Some(Ok(_)));
    assert_eq!(told, !world.held().is_empty(), "what is told is held");
    let looks = world.agents[0].order.iter().filter(|line| line.starts_with("call read block"));
    assert!(looks.count() > 1);
}

#[test]
fn an_endpoint_that_names_nothing_held_moves_nobody() {
    let mut world = World::new(2, "10.6.0.10-10.6.0.19");
    let first = world.add(0, "ns/web-0", "c1");
    world.run();
    let held = world.address(0, first);
    world.del(0, "c1");
    world.run();
    let key = Key::Endpoint(EndpointKey { namespace: name("ns"), name: name("web-0") });
    let object = world.server.find(&key).unwrap();
    let Body::Endpoint(mut endpoint) = object.body else { panic!("no endpoint") };
    // A write that was late names another slot.
    let mut dangling = endpoint.slots[0].clone();
    dangling.place.address = match held.as_str() {
        "10.6.0.19" => "10.6.0.18".parse().unwrap(),
        _ => "10.6.0.19".parse().unwrap(),
    };
    endpoint.slots = vec![dangling];
    world.server.put(key, Body::Endpoint(endpoint));
    let again = world.add(0, "ns/web-0", "c2");
    world.run();
    assert_eq!(world.address(0, again), held);
}
