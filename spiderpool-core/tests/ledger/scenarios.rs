//! What one host can go through, told as short stories.

use crate::world::*;
use spiderpool_core::audit::audit;
use spiderpool_core::command::*;
use spiderpool_core::decide::decide;
use spiderpool_core::definition::*;
use spiderpool_core::event::{Event, Grant, ObjectKey};
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::request::*;
use spiderpool_core::slots::{BlockKey, BlockSize};

fn blue() -> PoolDraft {
    pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.12"])
}

fn asks_blue(pod: &str, container: &str) -> Request {
    from_pools(request(pod, container), &["blue"], &[])
}

fn identity(text: &str, container: &str) -> Request {
    let mut request = asks_blue("uid", container);
    request.holder.owner = Owner::identity(&name(text)).unwrap();
    request.holder.pod_uid = Some(name(&format!("uid-of-{container}")));
    request
}

#[test]
fn asking_twice_changes_nothing() {
    let mut world = World::with([blue()]);
    assert_eq!(world.add(&asks_blue("a", "c1")).unwrap(), ["10.0.0.10"]);
    let before = world.ledger.revision();
    assert_eq!(world.add(&asks_blue("a", "c1")).unwrap(), ["10.0.0.10"]);
    assert_eq!(world.ledger.revision(), before);
}

#[test]
fn a_sandbox_made_again_keeps_its_address_and_the_late_del_frees_nothing() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let first = world.generation_of("10.0.0.10");
    assert_eq!(world.add(&asks_blue("a", "c2")).unwrap(), ["10.0.0.10"]);
    assert!(world.generation_of("10.0.0.10") > first);
    assert!(world.del("c1", None).is_empty());
    assert_eq!(world.del("c2", Some("eth0")), ["10.0.0.10"]);
    assert!(world.standing().is_empty());
}

#[test]
fn a_request_that_arrived_before_its_del_is_refused() {
    let mut world = World::with([blue()]);
    let mut request = asks_blue("a", "c1");
    request.ticket = world.ledger.revision();
    world.del("c1", None);
    let refused = world.add(&request).unwrap_err();
    assert!(refused.contains("was deleted while its request was under way"), "{refused}");
    request.ticket = world.ledger.revision() + 1;
    world.add(&request).unwrap();
}

#[test]
fn tombstones_are_taken_down() {
    let mut world = World::with([blue()]);
    world.del("c1", None);
    let before_ms = world.moment.now_ms + 1;
    world.run(&Command::Tidy { before_ms }).unwrap();
    assert_eq!(world.ledger.view().tombstones_before(u64::MAX).unwrap().count(), 0);
}

#[test]
fn two_interfaces_in_one_pool_get_two_addresses() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let mut second = asks_blue("a", "c1");
    second.attachment = name("net1");
    assert_eq!(world.add(&second).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.del("c1", Some("net1")), ["10.0.0.11"]);
    assert_eq!(world.standing().len(), 1);
}

/// After a store went back in time and a node wrote back what a container was told, the slot of an
/// earlier container may stand beside it.
#[test]
fn of_two_addresses_the_one_that_the_container_was_told_is_kept() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let (mut view, request) = (world.ledger.view().clone(), asks_blue("a", "c2"));
    let key = BlockKey::of(&name("default"), "10.0.0.11".parse().unwrap(), BlockSize::DEFAULT);
    let grant = Grant {
        holder: request.holder.clone(),
        placement: Placement {
            pool: name("blue"),
            attachment: name("eth0"),
            network: Some(name("net")),
        },
        stage: Stage::Attached,
        generation: 2,
        at_ms: 5,
    };
    view.apply(&ObjectKey::Block(key), &Event::Granted { slot: 11, grant });
    assert_eq!(audit(&view).unwrap().violations.len(), 1);

    let decision = decide(&view, &Command::Allocate(request), world.moment).unwrap();
    let Answer::Allocated(allocated) = &decision.answer else { panic!("{decision:?}") };
    assert_eq!(allocated.addresses[0].address.to_string(), "10.0.0.11/24");
    for write in &decision.writes {
        write.events.iter().for_each(|event| view.apply(&write.object, event));
    }
    assert!(audit(&view).unwrap().is_clean(), "the earlier one is given back");
}

/// A static identity keeps the one of two that it asks for by name; the other is given back, unless another
/// container has it.
#[test]
fn of_two_addresses_of_an_identity_only_what_no_container_has_is_given_back() {
    for (container, left) in [(None, 2), (Some("c9"), 3)] {
        let mut world = World::with([blue()]);
        world.add(&asks_blue("x", "cx")).unwrap();
        let mut view = world.ledger.view().clone();
        let mut request = asks_blue("a", "c2");
        request.holder.owner = Owner::identity(&name("default/web-0")).unwrap();
        request.named = vec!["10.0.0.12".parse().unwrap()];
        let key = BlockKey::of(&name("default"), "10.0.0.11".parse().unwrap(), BlockSize::DEFAULT);
        for (slot, generation, container) in [(11, 2, container), (12, 3, Some("c8"))] {
            let container = container.map(name);
            let grant = Grant {
                holder: Holder { container, node: name("other"), ..request.holder.clone() },
                placement: Placement {
                    pool: name("blue"),
                    attachment: name("eth0"),
                    network: None,
                },
                stage: Stage::Detached,
                generation,
                at_ms: 5,
            };
            view.apply(&ObjectKey::Block(key.clone()), &Event::Granted { slot, grant });
        }
        let decision = decide(&view, &Command::Allocate(request), world.moment).unwrap();
        let Answer::Allocated(allocated) = &decision.answer else { panic!("{decision:?}") };
        assert_eq!(allocated.addresses[0].address.to_string(), "10.0.0.12/24");
        for write in &decision.writes {
            write.events.iter().for_each(|event| view.apply(&write.object, event));
        }
        let all = view.block(&key, None).unwrap().unwrap();
        assert_eq!(all.allocations().count(), left, "{container:?}");
    }
}

fn two_nics(pod: &str, container: &str, attachment: &str) -> Request {
    let mut request = request(pod, container);
    let nic = |nic: &str| NicPools {
        attachment: Some(name(nic)),
        pools: names(&["blue"], &[]),
        clean_gateway: Some(nic == "net1"),
    };
    request.sources.per_nic = Some(vec![nic("eth0"), nic("net1")]);
    request.attachment = name(attachment);
    request
}

#[test]
fn all_interfaces_are_granted_at_once_and_claimed_one_by_one() {
    let mut world = World::with([blue()]);
    assert_eq!(world.add(&two_nics("a", "c1", "eth0")).unwrap(), ["10.0.0.10", "10.0.0.11"]);
    assert_eq!(world.add(&two_nics("a", "c1", "net1")).unwrap(), ["10.0.0.10", "10.0.0.11"]);
    assert_eq!(world.del("c1", Some("eth0")), ["10.0.0.10"]);
    assert_eq!(world.del("c1", Some("net1")), ["10.0.0.11"]);
}

#[test]
fn what_was_granted_ahead_goes_with_the_pod() {
    let mut world = World::with([blue()]);
    world.add(&two_nics("a", "c1", "eth0")).unwrap();
    assert_eq!(world.del("c1", Some("eth0")), ["10.0.0.10", "10.0.0.11"]);
}

#[test]
fn all_or_nothing() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("x", "cx")).unwrap();
    world.add(&asks_blue("y", "cy")).unwrap();
    let refused = world.add(&two_nics("a", "c1", "eth0")).unwrap_err();
    assert!(refused.contains("IPv4 of net1"), "{refused}");
    assert_eq!(world.standing().len(), 2);
}

#[test]
fn interfaces_without_names_are_claimed_in_order() {
    let mut world = World::with([blue(), pool("red", "10.1.0.0/24", &["10.1.0.10-10.1.0.12"])]);
    let ask = |attachment: &str| {
        let mut request = request("a", "c1");
        let nic = |pool: &str| NicPools { pools: names(&[pool], &[]), ..NicPools::default() };
        request.sources.per_nic = Some(vec![nic("red"), nic("blue")]);
        request.attachment = name(attachment);
        request
    };
    let granted = |allocated: Allocated, nic: &str| {
        let of_nic = allocated.addresses.into_iter().find(|g| *g.demand.attachment == *nic);
        of_nic.unwrap().address.addr().to_string()
    };
    assert_eq!(granted(world.allocated(&ask("eth0")), "eth0"), "10.1.0.10");
    assert_eq!(granted(world.allocated(&ask("net7")), "net7"), "10.0.0.10");
    assert_eq!(granted(world.allocated(&ask("net7")), "net7"), "10.0.0.10");
    let refused = world.add(&ask("net8")).unwrap_err();
    assert!(refused.contains("`net8` is one too many"), "{refused}");
    world.del("c1", None);
    assert!(world.standing().is_empty());
}

#[test]
fn a_static_identity_outlives_its_pods() {
    let mut world = World::with([blue()]);
    assert_eq!(world.add(&identity("db/0", "c1")).unwrap(), ["10.0.0.10"]);
    assert!(world.del("c1", None).is_empty());
    assert_eq!(world.standing(), [("10.0.0.10".into(), "identity/db/0".into())]);
    world.add(&asks_blue("b", "c9")).unwrap();
    assert_eq!(world.add(&identity("db/0", "c2")).unwrap(), ["10.0.0.10"]);
    assert!(world.collect("net", &[("c9", "eth0")]).is_empty());
    let generation = world.generation_of("10.0.0.10");
    assert!(world.reclaim("10.0.0.10", generation).unwrap_err().contains("static identity"));
}

#[test]
fn a_static_identity_moves_with_its_pools_but_not_into_a_full_one() {
    let red = pool("red", "10.1.0.0/24", &["10.1.0.10"]);
    let mut world = World::with([blue(), red]);
    world.add(&identity("db/0", "c1")).unwrap();
    let mut moved = from_pools(identity("db/0", "c2"), &["red"], &[]);
    assert_eq!(world.add(&moved).unwrap(), ["10.1.0.10"]);
    assert_eq!(world.standing().len(), 1);
    let mut other = from_pools(identity("db/1", "c3"), &["blue"], &[]);
    world.add(&other).unwrap();
    other.sources.pod = Some(names(&["red"], &[]));
    assert!(world.add(&other).unwrap_err().contains("all its addresses are taken"));
    moved.holder.container = Some(name("c4"));
    assert_eq!(world.add(&moved).unwrap(), ["10.1.0.10"]);
    assert_eq!(world.standing().len(), 2);
}

#[test]
fn an_address_is_held_for_an_identity_before_its_first_pod() {
    let mut world = World::with([blue()]);
    let hold = |address: &str, owner: &str| {
        let place = Place { space: name("default"), address: address.parse().unwrap() };
        let owner = Owner::identity(&name(owner)).unwrap();
        Command::Hold(Hold { owner, attachment: name("eth0"), place, node: name("n") })
    };
    world.run(&hold("10.0.0.12", "db/0")).unwrap();
    assert!(
        world.run(&hold("10.0.0.12", "db/1")).unwrap_err().contains("allocated to identity/db/0")
    );
    assert!(world.run(&hold("10.0.0.99", "db/1")).unwrap_err().contains("no pool gives it out"));
    assert_eq!(world.add(&identity("db/0", "c1")).unwrap(), ["10.0.0.12"]);
}

#[test]
fn a_named_address_is_given_or_refused_but_never_replaced() {
    let mut world = World::with([blue()]);
    let mut request = asks_blue("a", "c1");
    request.named = vec!["10.0.0.12".parse().unwrap()];
    assert_eq!(world.add(&request).unwrap(), ["10.0.0.12"]);
    let mut other = asks_blue("b", "c2");
    other.named = request.named.clone();
    assert!(world.add(&other).unwrap_err().contains("10.0.0.12 is not free: allocated to pod/a"));
    other.named = vec!["10.0.0.200".parse().unwrap()];
    assert!(world.add(&other).unwrap_err().contains("10.0.0.200 is not among the addresses"));
    other.named = vec!["fd00::1".parse().unwrap()];
    assert!(world.add(&other).unwrap_err().contains("no pool of its family is named"));
    request.named = vec!["10.0.0.11".parse().unwrap()];
    assert_eq!(world.add(&request).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.standing().len(), 1);
}

#[test]
fn a_released_address_cools_down() {
    let mut world = World::with([PoolDraft { cool_down_ms: 1_000, ..blue() }]);
    for (pod, container) in [("a", "c1"), ("b", "c2"), ("d", "c3")] {
        world.add(&asks_blue(pod, container)).unwrap();
    }
    world.del("c2", None);
    let refused = world.add(&asks_blue("e", "c4")).unwrap_err();
    assert!(refused.contains("0 of 3 free, 2 allocated, 0 reserved, 1 cooling"), "{refused}");
    assert!(refused.contains("an address will have rested at"), "{refused}");
    world.pass(1_000);
    assert_eq!(world.add(&asks_blue("e", "c4")).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.tally("blue").cooling, 0);
}

#[test]
fn a_clock_that_steps_back_only_makes_a_cool_down_longer() {
    let mut world = World::with([PoolDraft {
        cool_down_ms: 1_000,
        ..pool("blue", "10.0.0.0/24", &["10.0.0.10"])
    }]);
    world.add(&asks_blue("a", "c1")).unwrap();
    world.del("c1", None);
    world.moment.now_ms -= 500_000;
    assert!(world.add(&asks_blue("b", "c2")).is_err());
    world.moment.now_ms += 600_000;
    world.add(&asks_blue("b", "c2")).unwrap();
}

#[test]
fn rotate_gives_the_longest_free_address() {
    let mut world = World::with([PoolDraft { policy: Policy::Rotate, ..blue() }]);
    world.add(&asks_blue("a", "c1")).unwrap();
    world.del("c1", None);
    assert_eq!(world.add(&asks_blue("b", "c2")).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.add(&asks_blue("d", "c3")).unwrap(), ["10.0.0.12"]);
    world.del("c3", None);
    world.pass(5);
    world.del("c2", None);
    let got: Vec<_> = (0..3)
        .map(|i| world.add(&asks_blue(&format!("p{i}"), &format!("d{i}"))).unwrap()[0].clone())
        .collect();
    assert_eq!(got, ["10.0.0.10", "10.0.0.12", "10.0.0.11"]);
}

#[test]
fn sequential_gives_the_lowest_free_address() {
    let mut world = World::with([blue()]);
    for i in 0..3 {
        world.add(&asks_blue(&format!("p{i}"), &format!("c{i}"))).unwrap();
    }
    world.del("c2", None);
    world.del("c0", None);
    assert_eq!(world.add(&asks_blue("x", "cx")).unwrap(), ["10.0.0.10"]);
}

fn conflict(world: &mut World, address: &str, mac: u8) -> Result<Answer, String> {
    let place = Place { space: name("default"), address: address.parse().unwrap() };
    let claim = Claim { place, generation: world.generation_of(address) };
    world.run(&Command::Conflict(Conflict { claim, mac: [mac; 6] }))
}

#[test]
fn an_address_in_conflict_is_quarantined_and_the_next_one_given() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let Ok(Answer::Quarantined { until_ms }) = conflict(&mut world, "10.0.0.10", 1) else {
        panic!()
    };
    assert_eq!(world.add(&asks_blue("a", "c1")).unwrap(), ["10.0.0.11"]);
    world.add(&asks_blue("b", "c2")).unwrap();
    assert!(world.add(&asks_blue("d", "c3")).unwrap_err().contains("1 quarantined"));
    world.moment.now_ms = until_ms;
    assert_eq!(world.add(&asks_blue("d", "c3")).unwrap(), ["10.0.0.10"]);
    let now = world.moment.now_ms;
    let Ok(Answer::Quarantined { until_ms: again }) = conflict(&mut world, "10.0.0.10", 1) else {
        panic!()
    };
    assert_eq!(again - now, 2 * 5 * 60 * 1000, "the second quarantine in a row is twice as long");
}

#[test]
fn one_mac_for_many_addresses_is_a_router() {
    let mut world = World::with([pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.99"])]);
    for i in 0..4 {
        world.add(&asks_blue(&format!("p{i}"), &format!("c{i}"))).unwrap();
    }
    for address in ["10.0.0.10", "10.0.0.11", "10.0.0.12"] {
        assert!(matches!(conflict(&mut world, address, 7), Ok(Answer::Quarantined { .. })));
    }
    let spared = conflict(&mut world, "10.0.0.13", 7).unwrap();
    assert_eq!(spared, Answer::Spared(Suspicion::OneMacForMany { mac: [7; 6], addresses: 4 }));
    assert_eq!(world.tally("blue").quarantined, 3);
}

#[test]
fn a_static_identity_is_never_quarantined_away() {
    let mut world = World::with([blue()]);
    world.add(&identity("db/0", "c1")).unwrap();
    assert!(conflict(&mut world, "10.0.0.10", 1).unwrap_err().contains("never given up by itself"));
}

#[test]
fn a_quarantine_ends_by_hand() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    conflict(&mut world, "10.0.0.10", 1).unwrap();
    let place = Place { space: name("default"), address: "10.0.0.10".parse().unwrap() };
    world.run(&Command::Clear(place.clone())).unwrap();
    assert_eq!(world.tally("blue").free, 3);
    assert!(world.run(&Command::Clear(place)).is_err());
}

#[test]
fn a_reclaim_presents_the_generation_that_it_saw() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let seen = world.generation_of("10.0.0.10");
    world.del("c1", None);
    world.add(&asks_blue("b", "c2")).unwrap();
    let refused = world.reclaim("10.0.0.10", seen).unwrap_err();
    assert!(refused.contains("was given anew since it was looked at"), "{refused}");
    let seen = world.generation_of("10.0.0.10");
    assert_eq!(world.reclaim("10.0.0.10", seen).unwrap(), ["10.0.0.10"]);
}

#[test]
fn a_runtime_that_lists_nothing_empties_its_network_only() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let mut other = asks_blue("b", "c2");
    other.network = name("other");
    world.add(&other).unwrap();
    assert_eq!(world.collect("net", &[]), ["10.0.0.10"]);
    assert!(world.collect("other", &[("c2", "eth0")]).is_empty());
    assert_eq!(world.standing().len(), 1);
}

#[test]
fn a_change_says_what_stands_in_its_way() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    world.add(&asks_blue("b", "c2")).unwrap();
    let refused =
        world.define(PoolDraft { excluded: vec!["10.0.0.11".into()], ..blue() }).unwrap_err();
    assert_eq!(
        refused,
        "pool blue: 1 allocation is in the way: 10.0.0.11 of pod/b; release them first"
    );
    let refused = world.define(pool("blue", "10.0.0.0/24", &[])).unwrap_err();
    assert!(
        refused.contains("2 allocations are in the way: 10.0.0.10 of pod/a, 10.0.0.11 of pod/b"),
        "{refused}"
    );
    world.define(PoolDraft { excluded: vec!["10.0.0.12".into()], ..blue() }).unwrap();
    let removed = world.run(&Command::RemovePool(name("blue"))).unwrap_err();
    assert!(removed.contains("2 allocations are in the way"), "{removed}");
    world.del("c1", None);
    world.del("c2", None);
    world.run(&Command::RemovePool(name("blue"))).unwrap();
}

#[test]
fn a_pool_may_not_overlap_another() {
    let mut world = World::with([blue()]);
    let refused = |world: &mut World, draft| world.define(draft).unwrap_err();
    assert_eq!(
        refused(&mut world, pool("red", "10.0.0.0/25", &[])),
        "pool red: its prefix 10.0.0.0/25 overlaps pool blue's 10.0.0.0/24; use the same prefix or a separate one"
    );
    assert_eq!(
        refused(&mut world, pool("red", "10.0.0.0/24", &["10.0.0.12-10.0.0.20"])),
        "pool red: pool blue gives out 10.0.0.12 already; take it off one of them"
    );
    assert_eq!(
        refused(&mut world, pool("blue", "10.9.0.0/24", &[])),
        "pool blue: `subnet` cannot change from 10.0.0.0/24 to 10.9.0.0/24; make a new one instead"
    );
    world.define(pool("red", "10.0.0.0/24", &["10.0.0.13-10.0.0.20"])).unwrap();
    world
        .define(PoolDraft { space: "vrf-1".into(), ..pool("green", "10.0.0.0/25", &["10.0.0.12"]) })
        .unwrap();
}

#[test]
fn a_pool_inherits_from_its_subnet() {
    let mut world = World::new();
    let subnet = SubnetDraft {
        name: "lan".into(),
        prefix: "10.0.0.0/24".into(),
        ranges: vec!["10.0.0.10-10.0.0.50".into()],
        gateway: Some("10.0.0.1".into()),
        routes: Some(vec![RouteDraft { dst: "172.16.0.0/12".into(), gw: "10.0.0.2".into() }]),
        ..SubnetDraft::default()
    };
    let define = Command::DefineSubnet(Subnet::try_from(subnet).unwrap());
    world.run(&define).unwrap();
    world.define(blue()).unwrap();
    let allocated = world.allocated(&asks_blue("a", "c1"));
    let routes: Vec<_> = allocated.routes.iter().map(|r| r.route.to_string()).collect();
    assert_eq!(routes, ["172.16.0.0/12 via 10.0.0.2", "0.0.0.0/0 via 10.0.0.1"]);
    let refused = world.define(pool("red", "10.0.0.0/24", &["10.0.0.60"])).unwrap_err();
    assert_eq!(refused, "pool red: 10.0.0.60 is not within the addresses of subnet lan");
    let refused = world.run(&Command::RemoveSubnet(name("lan"))).unwrap_err();
    assert_eq!(refused, "subnet lan is still used by pool blue");
}

#[test]
fn a_reservation_names_who_is_under_it() {
    let mut world = World::with([blue()]);
    world.add(&asks_blue("a", "c1")).unwrap();
    let draft = ReservationDraft {
        name: "hosts".into(),
        ranges: vec!["10.0.0.10-10.0.0.11".into()],
        ..ReservationDraft::default()
    };
    let define = Command::DefineReservation(Reservation::try_from(draft).unwrap());
    let Ok(Answer::Defined { standing, .. }) = world.run(&define) else { panic!() };
    assert_eq!(standing.len(), 1);
    assert_eq!(world.add(&asks_blue("b", "c2")).unwrap(), ["10.0.0.12"]);
    assert_eq!(world.add(&asks_blue("a", "c1")).unwrap(), ["10.0.0.10"], "who has it keeps it");
    world.run(&Command::RemoveReservation(name("hosts"))).unwrap();
    assert_eq!(world.add(&asks_blue("d", "c3")).unwrap(), ["10.0.0.11"]);
}

#[test]
fn a_pool_made_again_knows_who_is_there() {
    let mut world = World::with([blue(), pool("red", "10.0.0.0/24", &[])]);
    world.add(&asks_blue("a", "c1")).unwrap();
    world.define(pool("blue", "10.0.0.0/24", &["10.0.0.10"])).unwrap();
    world.define(pool("red", "10.0.0.0/24", &["10.0.0.11-10.0.0.12"])).unwrap();
    assert_eq!(world.add(&from_pools(request("b", "c2"), &["red"], &[])).unwrap(), ["10.0.0.11"]);
}

#[test]
fn wide_pools_work_like_any_other() {
    let holes: Vec<String> = (0..10_000u32)
        .map(|i| {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + i * 1_600 + 1);
            address.to_string()
        })
        .collect();
    let wide =
        PoolDraft { excluded: holes, ..pool("wide", "10.0.0.0/8", &["10.0.0.1-10.255.255.254"]) };
    let six = pool("six", "fd00::/64", &["fd00::2-fd00::ffff:ffff:ffff:fffe"]);
    let mut world = World::with([wide, six]);
    let asked = from_pools(request("a", "c1"), &["wide"], &["six"]);
    assert_eq!(world.add(&asked).unwrap(), ["10.0.0.2", "fd00::2"]);
    assert_eq!(world.tally("wide").free, (1 << 24) - 2 - 10_000 - 1);
    assert_eq!(world.tally("six").size, (1 << 64) - 3);
}
