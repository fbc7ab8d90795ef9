//! Lists of interfaces without names: which entry each interface has, also when the list changes
//! between two pods of a static identity.

use crate::world::*;
use proptest::prelude::*;
use spiderpool_core::command::*;
use spiderpool_core::decide::glob_matches;
use spiderpool_core::owner::Owner;
use spiderpool_core::request::*;
use std::collections::BTreeMap;

const NICS: [&str; 5] = ["eth0", "net1", "net2", "net3", "net4"];

/// Pools `a` to `d` of IPv4, `s` and `t` of IPv6.
fn world() -> World {
    let four = |name: &str, at: u8| {
        pool(name, &format!("10.{at}.0.0/24"), &[&format!("10.{at}.0.10-10.{at}.0.29")])
    };
    let six = |name: &str, at: u8| {
        pool(name, &format!("fd00:{at}::/64"), &[&format!("fd00:{at}::10-fd00:{at}::29")])
    };
    World::with([four("a", 1), four("b", 2), four("c", 3), four("d", 4), six("s", 1), six("t", 2)])
}

/// Entries by their pools: `a+s b` are two, the first with a pool of each family. A name that begins
/// with `6` is a pattern of pools of IPv6.
fn entries(list: &str) -> Vec<NicPools> {
    let entry = |text: &str| {
        let is_six = |name: &&str| matches!(name.chars().next(), Some('s' | 't' | '6'));
        let (six, four): (Vec<_>, Vec<_>) = text.split('+').partition(is_six);
        let six: Vec<_> = six.iter().map(|name| name.trim_start_matches('6')).collect();
        NicPools { pools: names(&four, &six), ..NicPools::default() }
    };
    list.split_whitespace().map(entry).collect()
}

fn asks(list: &str, container: &str, nic: &str) -> Request {
    let mut asked = request(&format!("uid-of-{container}"), container);
    asked.holder.owner = Owner::identity(&name("db/0")).unwrap();
    asked.sources.per_nic = Some(entries(list));
    asked.attachment = name(nic);
    asked
}

/// What is given to each interface: its pools as in a list, and its addresses.
type Given = BTreeMap<String, (String, Vec<String>)>;

fn given(allocated: &Allocated) -> Given {
    let mut given = Given::new();
    for granted in &allocated.addresses {
        let (pools, addresses) = given.entry(granted.demand.attachment.to_string()).or_default();
        if !pools.is_empty() {
            pools.push('+');
        }
        pools.push_str(&granted.pool);
        addresses.push(granted.address.addr().to_string());
    }
    given
}

/// The ADDs of a pod's interfaces. None of them moves what an earlier one was told, and repeating
/// them changes nothing.
fn adds(world: &mut World, list: &str, container: &str, nics: &[&str]) -> Given {
    let mut told = Given::new();
    for (at, nic) in nics.iter().enumerate() {
        let once = given(&world.allocated(&asks(list, container, nic)));
        let (asked, standing) = (&nics[..=at], world.standing());
        for again in asked {
            let repeated = given(&world.allocated(&asks(list, container, again)));
            assert_eq!(repeated, once, "{list}: {again} asks again after {nic}");
        }
        assert_eq!(world.standing(), standing, "{list}: repeated after {nic}");
        let is_same = told.iter().all(|(nic, had)| once.get(nic) == Some(had));
        assert!(is_same && once.contains_key(*nic), "{list}: {told:?} {once:?}");
        told = once.into_iter().filter(|(nic, _)| asked.contains(&nic.as_str())).collect();
    }
    told
}

/// A replica has its interfaces by one list, and comes again with another one: what each interface
/// has then. An address is kept wherever its pool is.
fn check(before: &str, after: &str, expected: &str) {
    let nics = |list: &str| &NICS[..list.split_whitespace().count()];
    let mut world = world();
    let had = adds(&mut world, before, "c1", nics(before));
    world.del("c1", None);
    let has = adds(&mut world, after, "c2", nics(expected));
    let pools: Vec<_> = nics(expected).iter().map(|nic| has[*nic].0.as_str()).collect();
    assert_eq!(pools.join(" "), expected, "{before} -> {after}");
    for (nic, (old_pools, old)) in had.iter().filter(|(nic, _)| has.contains_key(*nic)) {
        let (pools, addresses) = &has[nic];
        for (pool, address) in old_pools.split('+').zip(old) {
            let stays = pools.split('+').any(|other| other == pool);
            assert_eq!(stays, addresses.contains(address), "{before} -> {after}: {nic} {address}");
        }
    }
    world.del("c2", None);
    assert_eq!(adds(&mut world, after, "c3", nics(expected)), has, "{after} again");
}

#[test]
fn replicas_move_with_the_list() {
    check("a b", "a b", "a b");
    check("a b", "a c", "a c");
    check("a b", "c b", "c b");
    check("a b", "c d", "c d");
    check("a b", "b c", "c b");
    check("a b c", "d b a", "a b d");
    // An order that alone changes moves nothing.
    check("a b", "b a", "a b");
    check("a b c", "c a b", "a b c");
    // Two entries name one pool.
    check("a a", "a a", "a a");
    check("a a", "a c", "a c");
    check("a a", "c a", "a c");
    check("a b", "b b", "b b");
    // Patterns.
    check("* b", "b *", "a b");
    check("* *", "b *", "a b");
    check("a b", "[bc] [ad]", "a b");
    check("a b", "[cd] a", "a c");
    // A family comes or goes, or one of two moves.
    check("a b", "a+s b", "a+s b");
    check("a+s b", "a b", "a b");
    check("a+s b+t", "b+s a+s", "a+s b+s");
    check("a+s a", "a a+s", "a+s a");
    check("a+6* a+t", "a+t a+6*", "a+s a+t");
}

#[test]
fn a_list_that_grows_gives_the_new_entry() {
    check("a b", "a b c", "a b c");
    check("a b", "c a b", "a b c");
    check("a", "a b c", "a b c");
    check("a b", "a c d b", "a b c d");
    let mut world = world();
    adds(&mut world, "a", "c1", &["eth0"]);
    let grown = asks("a b", "c1", "net1");
    assert_eq!(given(&world.allocated(&grown))["net1"].0, "b", "while the container runs");
}

/// As with names, what is listed no more is neither told nor given back while its identity lives.
#[test]
fn a_list_that_shrinks_refuses_the_interface_that_is_left_over() {
    check("a b c", "a c", "a c");
    check("a b", "b", "b");
    let mut world = world();
    adds(&mut world, "a b", "c1", &["eth0", "net1"]);
    world.del("c1", None);
    adds(&mut world, "b", "c2", &["eth0"]);
    let refused = world.add(&asks("b", "c2", "net1")).unwrap_err();
    assert!(refused.contains("lists 1 interfaces without names, and all are taken"), "{refused}");
    assert!(refused.contains("`net1` is one too many"), "{refused}");
    assert_eq!(world.standing().len(), 2);
}

/// The pod ends between the ADDs of its interfaces.
#[test]
fn an_entry_that_was_never_claimed_moves_too() {
    let mut world = world();
    adds(&mut world, "a b c", "c1", &["eth0"]);
    world.del("c1", None);
    assert_eq!(world.standing().len(), 3);
    let has = adds(&mut world, "a d c", "c2", &["eth0", "net1", "net2"]);
    assert_eq!(["eth0", "net1", "net2"].map(|nic| has[nic].0.as_str()), ["a", "d", "c"]);
    assert_eq!(world.standing().len(), 3);
}

/// Invariant 3 of the entries: neither interfaces nor entries that nobody claims again are in the
/// way of the ones that come.
#[test]
fn whoever_asks_goes_before_what_an_earlier_pod_left() {
    let mut world = world();
    adds(&mut world, "a b", "c1", &["eth0", "net1"]);
    world.del("c1", None);
    // The second interface has another name.
    let has = adds(&mut world, "a b", "c2", &["eth0", "ens7"]);
    assert_eq!((has["eth0"].0.as_str(), has["ens7"].0.as_str()), ("a", "b"));
    let refused = world.add(&asks("a b", "c2", "net1")).unwrap_err();
    assert!(refused.contains("`net1` is one too many"), "{refused}");
    world.del("c2", None);
    // A list grows at its beginning and shrinks again before anybody claims the new entry.
    let has = adds(&mut world, "d a b", "c3", &["eth0", "ens7"]);
    assert_eq!((has["eth0"].0.as_str(), has["ens7"].0.as_str()), ("a", "b"));
    world.del("c3", None);
    assert_eq!(adds(&mut world, "a b", "c4", &["eth0", "ens7"]), has);
}

/// Whatever becomes of the list, a container that runs keeps what it was told.
#[test]
fn a_container_that_runs_is_not_moved() {
    for changed in ["b a", "c d", "a c", "* *", "c a b", "b+s a"] {
        let mut world = world();
        let mut told = given(&world.allocated(&asks("a b+t", "c1", "eth0")));
        let standing = world.standing();
        for nic in ["net1", "eth0", "net1", "eth0"] {
            let now = given(&world.allocated(&asks(changed, "c1", nic)))[nic].clone();
            let had = told.get(nic).map(|(_, addresses)| addresses.clone()).unwrap_or_default();
            assert!(
                had.iter().all(|address| now.1.contains(address)),
                "{changed}: {had:?} {now:?}"
            );
            told.insert(nic.to_owned(), now);
        }
        assert!(standing.iter().all(|held| world.standing().contains(held)), "{changed}");
    }
}

#[test]
fn an_interface_that_comes_back_has_its_entry_again() {
    let mut world = world();
    let ask = |nic: &str| {
        let mut asked = asks("a b", "c1", nic);
        asked.holder.owner = Owner::pod(&name("a")).unwrap();
        asked
    };
    world.add(&ask("eth0")).unwrap();
    let both = given(&world.allocated(&ask("net1")));
    for nic in ["eth0", "net1"] {
        world.del("c1", Some(nic));
        assert_eq!(given(&world.allocated(&ask(nic))), both, "{nic}");
    }
}

/// What is said of an entry beside its pools is for the interface that has it.
#[test]
fn the_gateway_is_cleaned_where_the_entry_says_so() {
    let gateway = |mut draft: spiderpool_core::definition::PoolDraft| {
        draft.gateway = Some("10.1.0.1".into());
        draft
    };
    let mut world = World::with([gateway(pool("a", "10.1.0.0/24", &["10.1.0.10-10.1.0.29"]))]);
    let ask = |container: &str, nic: &str| {
        let mut asked = asks("a a", container, nic);
        asked.sources.per_nic.as_mut().unwrap()[1].clean_gateway = Some(true);
        asked
    };
    for container in ["c1", "c2"] {
        for nic in ["eth0", "net1", "eth0"] {
            let routes = world.allocated(&ask(container, nic)).routes;
            let routed: Vec<_> = routes.iter().map(|placed| &*placed.attachment).collect();
            assert_eq!(routed, ["eth0"], "{container} {nic}");
        }
        world.del(container, None);
    }
}

#[test]
fn an_address_that_is_held_beforehand_has_its_entry() {
    let mut world = world();
    let place = Place { space: name("default"), address: "10.2.0.20".parse().unwrap() };
    let owner = Owner::identity(&name("db/0")).unwrap();
    let hold = Hold { owner, attachment: name("eth0"), place, node: name("n") };
    world.run(&Command::Hold(hold)).unwrap();
    let has = adds(&mut world, "a b", "c1", &["eth0", "net1"]);
    assert_eq!(has["eth0"], ("b".into(), vec!["10.2.0.20".into()]));
    assert_eq!(has["net1"].0, "a");
}

/// An entry of one to three names of IPv4, patterns among them, with or without IPv6.
fn entry() -> impl Strategy<Value = String> {
    let four = prop::sample::select(vec!["a", "b", "c", "d", "*", "[ab]", "[b-d]"]);
    let six = prop::sample::select(vec!["", "", "+s", "+t", "+6*", "+s+t"]);
    (prop::collection::vec(four, 1..3), six).prop_map(|(four, six)| four.join("+") + six)
}

fn list(len: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(entry(), len).prop_map(|entries| entries.join(" "))
}

/// Whether some order of the entries lists what each interface has, each entry once.
fn is_listed(has: &[&str], entries: &[NicPools]) -> bool {
    let Some((first, rest)) = has.split_first() else { return true };
    (0..entries.len()).any(|at| {
        let mut others = entries.to_vec();
        let entry = others.remove(at);
        lists(&entry, first) && is_listed(rest, &others)
    })
}

fn lists(entry: &NicPools, pools: &str) -> bool {
    let (six, four): (Vec<_>, Vec<_>) =
        pools.split('+').partition(|pool| matches!(*pool, "s" | "t"));
    [(four, &entry.pools.v4), (six, &entry.pools.v6)].iter().all(|(pools, names)| {
        let is_named = |pool: &&str| names.iter().any(|name| glob_matches(name, pool) == Ok(true));
        pools.len() == usize::from(!names.is_empty()) && pools.iter().all(is_named)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Interfaces of one pod claim in one order and those of the next in another.
    #[test]
    fn a_list_that_stays_moves_nothing(
        list in list(1..5),
        orders in prop::collection::vec(Just(NICS.to_vec()).prop_shuffle(), 3),
    ) {
        let mut world = world();
        let count = entries(&list).len();
        let nics: Vec<_> = orders[0].iter().take(count).copied().collect();
        let had = adds(&mut world, &list, "c0", &nics);
        for (at, order) in orders.iter().enumerate() {
            world.del(&format!("c{at}"), None);
            let nics: Vec<_> = order.iter().copied().filter(|nic| nics.contains(nic)).collect();
            prop_assert_eq!(&adds(&mut world, &list, &format!("c{}", at + 1), &nics), &had);
        }
    }

    /// After a change each interface has what one entry lists, and no entry serves two.
    #[test]
    fn every_interface_has_what_one_entry_lists(
        before in list(1..5),
        after in list(1..5),
        claimed in 1usize..5,
        order in Just(NICS.to_vec()).prop_shuffle(),
    ) {
        let mut world = world();
        let was = entries(&before).len();
        let had = adds(&mut world, &before, "c1", &order[..claimed.min(was)]);
        world.del("c1", None);
        let now = entries(&after);
        let has = adds(&mut world, &after, "c2", &order[..now.len()]);
        let pools: Vec<_> = has.values().map(|(pools, _)| pools.as_str()).collect();
        prop_assert!(is_listed(&pools, &now), "{} -> {}: {:?}", before, after, has);
        // As long as the list fits as it is, nothing moves.
        let held: Vec<_> = had.values().map(|(pools, _)| pools.as_str()).collect();
        if claimed >= was && was == now.len() && is_listed(&held, &now) {
            prop_assert_eq!(has, had);
        }
    }
}
