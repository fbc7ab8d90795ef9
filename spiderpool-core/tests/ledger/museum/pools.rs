//! Pools change shape, go, and come again, at any width, and nobody is given what another one has.

use super::*;
use std::sync::Arc;

fn blue() -> PoolDraft {
    pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.12"])
}

fn asks(pod: &str, container: &str) -> Request {
    from_pools(request(pod, container), &["blue"], &[])
}

fn ranges(bits: u16, offset: u16) -> Vec<String> {
    let chosen = (0..16).filter(|at| bits & (1 << at) != 0);
    chosen.map(|at| format!("10.0.0.{}", 56 + offset + at)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Calico libcalico-go#1377 and #10778, Antrea #7306, MetalLB #1591: blocks of two sizes, or pools
    /// that were edited one after the other, came to lie over each other, and both gave out what they
    /// shared. Two pools on one prefix grow, shrink, go and come in any order; an address changes
    /// hands only after its release. (Each step is audited: see `World::run`.)
    #[test]
    fn reshaping_never_moves_an_address_from_hand_to_hand(
        steps in prop::collection::vec((0u8..8, any::<u16>(), any::<u16>()), 1..60),
    ) {
        let mut world = World::with([pool("a", "10.0.0.0/24", &[]), pool("b", "10.0.0.0/24", &[])]);
        for (at, (kind, bits, spot)) in steps.into_iter().enumerate() {
            let before: BTreeMap<_, _> = world.standing().into_iter().collect();
            let which = if spot & 1 == 0 { "a" } else { "b" };
            let mut goes = None;
            match kind {
                0..=2 => {
                    let ranges = ranges(bits, spot % 4);
                    drop(world.define(PoolDraft { ranges, ..pool(which, "10.0.0.0/24", &[]) }));
                }
                3 => drop(world.run(&Command::RemovePool(name(which)))),
                4..=6 => {
                    let pod = format!("p{at}");
                    drop(world.add(&from_pools(request(&pod, &pod), &[which], &[])));
                }
                _ => {
                    let nth = before.iter().nth(usize::from(spot) % before.len().max(1));
                    if let Some((address, owner)) = nth {
                        world.del(&owner["pod/".len()..], None);
                        goes = Some(address.clone());
                    }
                }
            }
            let after: BTreeMap<_, _> = world.standing().into_iter().collect();
            for (address, owner) in &before {
                let now = after.get(address);
                prop_assert_eq!(now, Some(owner).filter(|_| goes.as_ref() != Some(address)));
            }
        }
    }
}

/// Calico #10778: the size of the blocks was changed under allocations, and new blocks overlapped
/// old ones.
#[test]
fn the_block_size_of_a_space_is_fixed_for_each_family() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    let [small, default] = [16, 64].map(|slots| BlockSize::try_from(slots).unwrap());
    for (v4_block, v6_block, expected) in [
        (small, default, "cannot change from 64 to 16"),
        (default, small, "cannot change from 64 to 16"),
        (small, small, "cannot change from 64 to 16"),
    ] {
        let space = Space { name: name("default"), v4_block, v6_block };
        let refused = world.run(&Command::DefineSpace(space)).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}

/// MetalLB #1591: a pool whose range was written a second time under another prefix length was taken
/// for a new one.
#[test]
fn pools_share_a_prefix_or_nothing() {
    let mut world = World::with([blue()]);
    for prefix in ["10.0.0.0/25", "10.0.0.0/16", "0.0.0.0/0"] {
        assert!(
            world.define(pool("red", prefix, &[])).unwrap_err().contains("overlaps pool blue's")
        );
    }
    world.define(pool("red", "10.0.0.0/24", &["10.0.0.13"])).unwrap();
    let grown = pool("red", "10.0.0.0/24", &["10.0.0.9-10.0.0.13"]);
    assert!(world.define(grown).unwrap_err().contains("gives out 10.0.0.10-10.0.0.12 already"));
}

/// The same class: a pool was removed and made again, or its addresses were moved to another pool,
/// and what was still cooling down or in quarantine was given at once.
#[test]
fn a_pool_made_again_remembers_who_rests_and_who_is_in_quarantine() {
    let cool = PoolDraft { cool_down_ms: 1_000, ..blue() };
    let mut world = World::with([cool.clone()]);
    for (pod, container) in [("a", "c1"), ("b", "c2")] {
        world.add(&asks(pod, container)).unwrap();
    }
    let place = Place { space: name("default"), address: "10.0.0.11".parse().unwrap() };
    let claim = Claim { place, generation: world.generation_of("10.0.0.11") };
    world.run(&Command::Conflict(Conflict { claim, mac: [1; 6] })).unwrap();
    world.del("c1", None);
    world.run(&Command::RemovePool(name("blue"))).unwrap();
    world.define(PoolDraft { name: "red".into(), ..cool }).unwrap();
    let asks = |pod| from_pools(request(pod, pod), &["red"], &[]);
    assert_eq!(world.add(&asks("d")).unwrap(), ["10.0.0.12"]);
    let shortlist = refused(&mut world, &asks("e"));
    let tally = shortlist.demands[0].candidates[0].tally.unwrap();
    assert_eq!((tally.cooling, tally.quarantined), (1, 1));
}

/// Two pools that give out the same addresses, as a store that was damaged or filled by others may
/// have them; a pod holds one of the addresses through `blue`.
fn overlapping() -> View {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    let mut view = world.ledger.view().clone();
    let red = pool("red", "10.0.0.0/24", &["10.0.0.10-10.0.0.20"]);
    view.load_pool(&Arc::new(Pool::try_from(red).unwrap()), 77);
    assert!(!audit(&view).unwrap().is_sound(), "the state is broken");
    view
}

fn carry_out(view: &mut View, command: &Command) -> Answer {
    let decision = decide(view, command, at(9)).unwrap();
    for write in &decision.writes {
        write.events.iter().for_each(|event| view.apply(&write.object, event));
    }
    decision.answer
}

/// Spiderpool #1203, Calico #8643: of two pools that had come to overlap neither could be deleted,
/// since each step of the deletion was checked like a new definition.
#[test]
fn a_pool_that_overlaps_another_can_be_removed_once_it_is_empty() {
    let mut view = overlapping();
    carry_out(&mut view, &Command::RemovePool(name("red")));
    assert!(audit(&view).unwrap().is_clean());
}

/// Spiderpool #1203: nor could the overlap be edited away, or either pool be switched off.
#[test]
fn a_pool_that_overlaps_another_can_be_cut_back_disabled_and_sent_away() {
    let red = pool("red", "10.0.0.0/24", &["10.0.0.10-10.0.0.20"]);
    for (draft, sound) in [
        (PoolDraft { disabled: true, ..red.clone() }, false),
        (PoolDraft { deleting: true, ..red.clone() }, false),
        (PoolDraft { excluded: vec!["10.0.0.10".into()], ..red.clone() }, false),
        (PoolDraft { excluded: vec!["10.0.0.10-10.0.0.12".into()], ..red.clone() }, true),
    ] {
        let mut view = overlapping();
        carry_out(&mut view, &Command::DefinePool(Pool::try_from(draft.clone()).unwrap()));
        assert_eq!(audit(&view).unwrap().is_sound(), sound, "{draft:?}");
    }
    let mut view = overlapping();
    let blue_gone = decide(&view, &Command::RemovePool(name("blue")), at(9));
    assert!(blue_gone.is_err(), "its own pod is still there");
    let grown = PoolDraft { ranges: vec!["10.0.0.10-10.0.0.21".into()], ..red };
    let grown = Command::DefinePool(Pool::try_from(grown).unwrap());
    assert!(decide(&view, &grown, at(9)).is_err(), "an overlap is never made larger");
    carry_out(
        &mut view,
        &Command::Release(Release { container: name("c1"), attachment: None, ticket: 9 }),
    );
    carry_out(&mut view, &Command::RemovePool(name("blue")));
    assert!(audit(&reloaded(&view, Order::PoolsFirst)).unwrap().is_clean());
}

/// Antrea #7306: what happens when two pools overlap was "undefined behaviour", and it was a conflict.
/// The blocks say who has an address, whichever pool is asked.
#[test]
fn two_pools_that_came_to_overlap_never_give_one_address_twice() {
    for policy in [Policy::Sequential, Policy::Spread, Policy::Rotate] {
        let mut view = overlapping();
        for draft in [blue(), pool("red", "10.0.0.0/24", &["10.0.0.10-10.0.0.20"])] {
            let draft = PoolDraft { policy, ..draft };
            view.load_pool(&Arc::new(Pool::try_from(draft).unwrap()), 78);
        }
        let mut seen = BTreeSet::from(["10.0.0.10".to_owned()]);
        for at in 0..10 {
            let (pod, list) =
                (format!("p{at}"), if at % 2 == 0 { ["red", "blue"] } else { ["blue", "red"] });
            let asked = from_pools(request(&pod, &pod), &list, &[]);
            let Answer::Allocated(allocated) = carry_out(&mut view, &Command::Allocate(asked))
            else {
                panic!()
            };
            assert!(seen.insert(allocated.addresses[0].address.addr().to_string()));
        }
        assert_eq!(view.allocations().unwrap().count(), 11);
    }
}

/// Kube-OVN #4898, MetalLB #1929: objects that were to go stayed for ever. A pool on its way out gives
/// nothing, keeps what it gave, takes it back, and then goes.
#[test]
fn a_pool_on_its_way_out_drains_and_goes() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    world.define(PoolDraft { deleting: true, ..blue() }).unwrap();
    assert_eq!(verdict(&refused(&mut world, &asks("b", "c2"))), &Verdict::Deleting);
    assert_eq!(world.add(&asks("a", "c1")).unwrap(), ["10.0.0.10"]);
    assert!(
        world.run(&Command::RemovePool(name("blue"))).unwrap_err().contains("10.0.0.10 of pod/a")
    );
    assert_eq!(world.del("c1", None), ["10.0.0.10"]);
    world.run(&Command::RemovePool(name("blue"))).unwrap();
    assert_eq!(world.ledger.view().pools().unwrap().count(), 0);
}

/// Spiderpool's case D00005 and #1203: a pool that is disabled, or that waits for cool-downs and
/// quarantines, is no prison either.
#[test]
fn rests_and_quarantines_do_not_keep_a_pool() {
    let mut world = World::with([PoolDraft { cool_down_ms: 60_000, ..blue() }]);
    for (pod, container) in [("a", "c1"), ("b", "c2")] {
        world.add(&asks(pod, container)).unwrap();
    }
    world.define(PoolDraft { disabled: true, cool_down_ms: 60_000, ..blue() }).unwrap();
    let place = Place { space: name("default"), address: "10.0.0.10".parse().unwrap() };
    let claim = Claim { place, generation: world.generation_of("10.0.0.10") };
    world.run(&Command::Conflict(Conflict { claim, mac: [1; 6] })).unwrap();
    assert_eq!(world.del("c2", None), ["10.0.0.11"]);
    world.run(&Command::RemovePool(name("blue"))).unwrap();
}

/// How many bytes a pool's index and blocks may take after a handful of allocations: some nodes for
/// each, whatever the width.
const BYTES_MAX: usize = 64 * 1024;

fn wide(draft: &PoolDraft) {
    for policy in [Policy::Sequential, Policy::Spread, Policy::Rotate] {
        let draft = PoolDraft { policy, ..draft.clone() };
        let family = Pool::try_from(draft.clone()).unwrap().family();
        let mut world = World::with([draft.clone()]);
        let size = world.tally("wide").size;
        for pod in 0..8 {
            let pod = format!("p{pod}");
            let list: &[&str] = &["wide"];
            let (v4, v6) = if family == Family::V4 { (list, &[][..]) } else { (&[][..], list) };
            let mut asked = from_pools(request(&pod, &pod), v4, v6);
            asked.holder.node = name(&format!("node-of-{pod}"));
            world.add(&asked).unwrap();
        }
        let (bytes, _) = world.ledger.view().heap_bytes();
        assert!(bytes < BYTES_MAX, "{bytes} bytes for {} {policy:?}", draft.prefix);
        let tally = world.tally("wide");
        assert_eq!((tally.allocated, tally.free), (8, size - 8));
        let view = world.ledger.view();
        let runs = view.pool("wide").unwrap().unwrap().usable.range_count();
        assert!(runs <= 1 + draft.excluded.len(), "{runs} runs");
        assert_eq!(world.del("p3", None).len(), 1);
        assert!(world.define(PoolDraft { ranges: Vec::new(), ..draft.clone() }).is_err());
    }
}

/// Spiderpool #3541 (a /10 took more than a minute for each pod), nvidia PR #266 (2^60 steps), cilium
/// #20756 (a bitmap of exabytes), OVN-Kubernetes #2134, Whereabouts' first /65: something walked
/// along the addresses of a range. What is kept grows with what is used.
#[test]
fn a_wide_pool_costs_what_is_used_of_it() {
    wide(&pool("wide", "100.64.0.0/10", &["100.64.0.1-100.127.255.254"]));
    wide(&pool("wide", "10.0.0.0/8", &["10.0.0.0/8"]));
    wide(&pool("wide", "0.0.0.0/0", &["0.0.0.0/0"]));
    wide(&pool("wide", "fd00::/64", &["fd00::/64"]));
    wide(&pool("wide", "fd00::/56", &["fd00::/57", "fd00:0:0:80::/57"]));
    wide(&pool("wide", "::/0", &["::/0"]));
}

/// Spiderpool #3541 and its PR #3804: exclusions were expanded address by address.
#[test]
fn ten_thousand_exclusions_cost_ten_thousand_runs() {
    let v4 = |at: u32| std::net::Ipv4Addr::from(0x0a00_0000 + at * 1_600 + 1).to_string();
    let excluded = (0..10_000).map(v4).collect();
    wide(&PoolDraft { excluded, ..pool("wide", "10.0.0.0/8", &["10.0.0.0/8"]) });
    let v6 = |at: u32| format!("fd00::{:x}:{:x}:0:0/97", at / 65_536, at % 65_536);
    let excluded = (1..10_000).map(v6).collect();
    wide(&PoolDraft { excluded, ..pool("wide", "fd00::/64", &["fd00::/64"]) });
}

/// Whereabouts handed out the first /65 of a wide range only: the last address counts as well.
#[test]
fn the_last_addresses_of_a_wide_range_are_given_too() {
    let edge = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let excluded = vec!["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd".to_owned()];
    let top = PoolDraft { excluded, ..pool("six", "::/0", &["::/0"]) };
    for policy in [Policy::Sequential, Policy::Spread, Policy::Rotate] {
        let mut world = World::with([PoolDraft { policy, ..top.clone() }]);
        let asks = |pod: &str| from_pools(request(pod, pod), &[], &["six"]);
        let mut got = world.add(&asks("a")).unwrap();
        got.extend(world.add(&asks("b")).unwrap());
        got.sort();
        assert_eq!(got, ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", edge]);
        refused(&mut world, &asks("d"));
    }
}

/// Spiderpool's admission expanded both pools to compare them: neither a refusal nor a remedy walks
/// along a range.
#[test]
fn overlaps_and_remedies_of_wide_pools_are_found_by_their_ends() {
    let mut world = World::with([pool("a", "fd00::/64", &["fd00::1:0:0:0/80"])]);
    let refusal = world.define(pool("b", "fd00::/64", &["fd00::/64"])).unwrap_err();
    assert!(refusal.contains("fd00::1:0:0:0-fd00::1:ffff:ffff:ffff"), "{refusal}");
    world.define(pool("b", "fd00::/64", &[])).unwrap();
    let asked = from_pools(request("a", "c1"), &[], &["b"]);
    let shortlist = refused(&mut world, &asked);
    assert_eq!(shortlist.remedy.unwrap().edits[0].what, "add fd00::1 to `ips`");
}
