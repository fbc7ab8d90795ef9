//! A family that is switched off (`Request::only`): whatever names pools, none of it is given.

use crate::world::*;
use spiderpool_core::address::Family;
use spiderpool_core::definition::PoolDraft;
use spiderpool_core::owner::Owner;
use spiderpool_core::request::*;

/// Pools `four` and `six`, and with them one default pool of each family.
fn world() -> World {
    let default = |draft| PoolDraft { is_default: true, ..draft };
    World::with([
        pool("four", "10.1.0.0/24", &["10.1.0.10-10.1.0.19"]),
        pool("six", "fd00:1::/64", &["fd00:1::10-fd00:1::19"]),
        default(pool("def4", "10.9.0.0/24", &["10.9.0.10-10.9.0.19"])),
        default(pool("def6", "fd00:9::/64", &["fd00:9::10-fd00:9::19"])),
    ])
}

fn nics(pools: &PoolNames, named: bool) -> Sources {
    let nic = |nic: &str| NicPools {
        attachment: named.then(|| name(nic)),
        pools: pools.clone(),
        clean_gateway: None,
    };
    Sources { per_nic: Some(vec![nic("eth0"), nic("net1")]), ..Sources::default() }
}

/// A source of the pools, how it calls itself, and how many interfaces it serves.
type Listing = (fn(PoolNames) -> Sources, &'static str, usize);

/// Each source that can list pools.
fn listing() -> [Listing; 5] {
    [
        (|pools| nics(&pools, true), "the pod's pools for each interface", 2),
        (|pools| nics(&pools, false), "the pod's pools for each interface", 2),
        (|pools| Sources { pod: Some(pools), ..Sources::default() }, "the pod's pools", 1),
        (
            |pools| Sources { namespace: Some(pools), ..Sources::default() },
            "the namespace's pools",
            1,
        ),
        (
            |pools| Sources { configured: Some(pools), ..Sources::default() },
            "the network configuration's pools",
            1,
        ),
    ]
}

fn asks(sources: Sources, only: Option<Family>) -> Request {
    Request { sources, only, ..request("a", "c1") }
}

fn add(request: &Request) -> Result<Vec<String>, String> {
    world().add(request)
}

#[test]
fn no_source_gives_a_family_that_is_off() {
    let both = || names(&["four"], &["six"]);
    for (source, _, count) in listing() {
        let four: Vec<_> = (0..count).map(|at| format!("10.1.0.1{at}")).collect();
        let six: Vec<_> = (0..count).map(|at| format!("fd00:1::1{at}")).collect();
        assert_eq!(add(&asks(source(both()), Some(Family::V4))), Ok(four));
        assert_eq!(add(&asks(source(both()), Some(Family::V6))), Ok(six));
        assert_eq!(add(&asks(source(both()), None)).unwrap().len(), 2 * count);
    }
    let defaults = |only| add(&asks(Sources::default(), only)).unwrap();
    assert_eq!(defaults(None), ["10.9.0.10", "fd00:9::10"]);
    assert_eq!(defaults(Some(Family::V4)), ["10.9.0.10"]);
    assert_eq!(defaults(Some(Family::V6)), ["fd00:9::10"]);
}

/// The source that counts is the one that names pools, of whichever family: none steps in for it.
#[test]
fn with_nothing_left_the_refusal_shows_what_is_named_in_vain() {
    for policy in [FamilyPolicy::Require, FamilyPolicy::Prefer] {
        for (source, called, _) in listing() {
            let check = |pools, only, demand, named| {
                let asked = Request { families: policy, ..asks(source(pools), Some(only)) };
                let off = if only == Family::V4 { Family::V6 } else { Family::V4 };
                let told = format!(
                    "no address for {demand} of eth0 among {called}: \
                     {named}: the configuration switches {off} off"
                );
                assert_eq!(add(&asked), Err(told));
            };
            check(names(&[], &["six"]), Family::V4, "IPv6", "six");
            check(names(&[], &["s*"]), Family::V4, "IPv6", "six");
            check(names(&[], &["nope"]), Family::V4, "IPv6", "nope");
            check(names(&["four"], &[]), Family::V6, "IPv4", "four");
        }
    }
    let draft = PoolDraft { is_default: true, ..pool("def6", "fd00:9::/64", &["fd00:9::10"]) };
    let refused = World::with([draft]).add(&asks(Sources::default(), Some(Family::V4)));
    assert_eq!(
        refused.unwrap_err(),
        "no address for IPv6 of eth0 among the default pools: \
         def6: the configuration switches IPv6 off"
    );
    let refused = World::with([]).add(&asks(Sources::default(), Some(Family::V4)));
    assert_eq!(refused.unwrap_err(), "no pool is available: the default pools name none");
}

/// An interface whose pools are all of the family that is off is left out of the others' ADDs, and
/// its own is refused.
#[test]
fn an_interface_with_nothing_left_keeps_none_of_the_others() {
    let mut world = world();
    let nic =
        |nic: &str, pools| NicPools { attachment: Some(name(nic)), pools, clean_gateway: None };
    let list = vec![nic("eth0", names(&["four"], &["six"])), nic("net1", names(&[], &["six"]))];
    let sources = Sources { per_nic: Some(list), ..Sources::default() };
    let mut asked = asks(sources, Some(Family::V4));
    assert_eq!(world.add(&asked).unwrap(), ["10.1.0.10"]);
    asked.attachment = name("net1");
    let refused = world.add(&asked).unwrap_err();
    assert!(refused.contains("IPv6 of net1"), "{refused}");
    assert!(refused.contains("six: the configuration switches IPv6 off"), "{refused}");
    assert_eq!(world.standing().len(), 1);
}

#[test]
fn an_address_of_a_family_that_is_off_is_refused_by_name() {
    for (source, ..) in listing() {
        let mut asked = asks(source(names(&["four"], &["six"])), Some(Family::V4));
        asked.named = vec!["fd00:1::12".parse().unwrap()];
        assert_eq!(
            add(&asked).unwrap_err(),
            "fd00:1::12 was asked for, but the configuration switches IPv6 off; \
             ask for none, or switch it on"
        );
        asked.named = vec!["10.1.0.12".parse().unwrap()];
        assert!(add(&asked).unwrap().contains(&"10.1.0.12".to_owned()));
    }
}

/// As with a family that a list names no more: it is kept for the identity and not given.
#[test]
fn an_identity_gets_its_address_back_when_the_family_is_on_again() {
    let sources = || Sources { pod: Some(names(&["four"], &["six"])), ..Sources::default() };
    let identity = |container: &str, only| {
        let mut asked = Request { sources: sources(), only, ..request("a", container) };
        asked.holder.owner = Owner::identity(&name("db/0")).unwrap();
        asked
    };
    let mut world = world();
    let both = world.add(&identity("c1", None)).unwrap();
    world.del("c1", None);
    assert_eq!(world.add(&identity("c2", Some(Family::V4))).unwrap(), both[..1]);
    assert_eq!(world.standing().len(), 2, "what the identity holds is kept for it");
    world.add(&Request { only: None, sources: sources(), ..request("b", "c9") }).unwrap();
    world.del("c2", None);
    assert_eq!(world.add(&identity("c3", None)).unwrap(), both);
}

/// Nothing that a pod holds already makes up for a family that is off.
#[test]
fn what_is_held_is_no_way_around() {
    let six = |container: &str, only| {
        let sources = Sources { pod: Some(names(&[], &["six"])), ..Sources::default() };
        Request { sources, only, ..request("a", container) }
    };
    let mut world = world();
    world.add(&six("c1", None)).unwrap();
    let refused = world.add(&six("c1", Some(Family::V4))).unwrap_err();
    assert!(refused.contains("the configuration switches IPv6 off"), "{refused}");
    assert_eq!(world.standing().len(), 1);
}

#[test]
fn a_request_that_was_stored_before_wants_both_families() {
    let text = serde_json::to_string(&request("a", "c1")).unwrap();
    assert!(!text.contains("only"), "{text}");
    let read: Request = serde_json::from_str(&text).unwrap();
    assert_eq!(read.only, None);
    let asked = asks(Sources::default(), Some(Family::V6));
    let read: Request = serde_json::from_str(&serde_json::to_string(&asked).unwrap()).unwrap();
    assert_eq!(read, asked);
}
