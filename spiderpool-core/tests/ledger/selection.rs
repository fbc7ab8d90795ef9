//! Which pools are candidates, in which order, and what a refusal says: tables after the reference
//! (sections 3.1 to 3.5, 3.9) and its end-to-end lists (A, D, E, L).

use crate::world::*;
use spiderpool_core::definition::*;
use spiderpool_core::label::{Labels, Requirement, Selector};
use spiderpool_core::owner::Owner;
use spiderpool_core::request::*;

fn tens(number: u8) -> PoolDraft {
    let name = format!("p{number}");
    pool(&name, &format!("10.{number}.0.0/24"), &[&format!("10.{number}.0.10-10.{number}.0.12")])
}

fn sixes(number: u8) -> PoolDraft {
    let name = format!("s{number}");
    pool(&name, &format!("fd00:{number}::/64"), &[&format!("fd00:{number}::10-fd00:{number}::12")])
}

fn world() -> World {
    World::with([tens(1), tens(2), tens(3), sixes(1), sixes(2)])
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn selects(key: &str, value: &str) -> Option<Selector> {
    Some(Selector { labels: labels(&[(key, value)]), requirements: Vec::new() })
}

fn refusal(world: &mut World, request: &Request) -> String {
    world.add(request).unwrap_err()
}

/// A00004 to A00006: pod for each interface, pod, namespace, configuration, defaults.
#[test]
fn the_strongest_source_wins_entirely() {
    let mut world = world();
    world
        .define(PoolDraft {
            is_default: true,
            ..pool("def", "10.9.0.0/24", &["10.9.0.1-10.9.0.9"])
        })
        .unwrap();
    let mut asked = request("a", "c1");
    asked.sources = Sources {
        per_nic: Some(vec![NicPools {
            attachment: Some(name("eth0")),
            pools: names(&["p1"], &[]),
            clean_gateway: None,
        }]),
        pod: Some(names(&["p2"], &["s1"])),
        namespace: Some(names(&["p3"], &[])),
        configured: Some(names(&[], &["s2"])),
    };
    let next = |world: &mut World, asked: &mut Request| {
        let got = world.add(asked).unwrap();
        world.del("c1", None);
        got
    };
    assert_eq!(next(&mut world, &mut asked), ["10.1.0.10"]);
    asked.sources.per_nic = None;
    assert_eq!(next(&mut world, &mut asked), ["10.2.0.10", "fd00:1::10"]);
    asked.sources.pod = None;
    assert_eq!(next(&mut world, &mut asked), ["10.3.0.10"]);
    asked.sources.namespace = None;
    assert_eq!(next(&mut world, &mut asked), ["fd00:2::10"]);
    asked.sources.configured = Some(PoolNames::default());
    assert_eq!(next(&mut world, &mut asked), ["10.9.0.1"]);
}

#[test]
fn without_any_pool_the_refusal_says_so() {
    let mut world = world();
    assert_eq!(
        refusal(&mut world, &request("a", "c1")),
        "no pool is available: the default pools name none"
    );
    let asked = from_pools(request("a", "c1"), &[], &[]);
    assert_eq!(refusal(&mut world, &asked), "no pool is available: the pod's pools name none");
    let asked = from_pools(request("a", "c1"), &["nope"], &[]);
    assert_eq!(
        refusal(&mut world, &asked),
        "no address for IPv4 of eth0 among the pod's pools: nope: there is no such pool"
    );
}

/// A00007, A00015.
#[test]
fn patterns_name_pools_once_each_in_order() {
    let mut world = world();
    let asked = from_pools(request("a", "c1"), &["p3", "p*"], &["s[2-9]"]);
    assert_eq!(world.add(&asked).unwrap(), ["10.3.0.10", "fd00:2::10"]);
    let shortlist = world.shortlist(&from_pools(request("b", "c2"), &["p?", "p1"], &[]));
    let order: Vec<_> = shortlist.demands[0].candidates.iter().map(|c| c.pool.as_str()).collect();
    assert_eq!(order, ["p1", "p2", "p3"]);
    let refused = refusal(&mut world, &from_pools(request("b", "c2"), &["q*"], &["s1"]));
    assert!(refused.contains("q*: the pattern matches no pool of this family"), "{refused}");
    let refused = refusal(&mut world, &from_pools(request("b", "c2"), &["[*"], &[]));
    assert!(refused.contains("[*: the pattern cannot be read"), "{refused}");
}

/// Weak spot 11 of the reference: the user's order is kept among equals.
#[test]
fn the_written_order_holds_among_equals_and_ties_come_first() {
    let mut world = world();
    let order = |world: &World, names: &[&str]| {
        let shortlist = world.shortlist(&from_pools(request("b", "c2"), names, &[]));
        shortlist.demands[0].candidates.iter().map(|c| c.pool.clone()).collect::<Vec<_>>()
    };
    assert_eq!(order(&world, &["p3", "p1", "p2"]), ["p3", "p1", "p2"]);
    let mut tied = tens(2);
    tied.scope.node_names = vec!["node-1".into()];
    world.define(tied).unwrap();
    assert_eq!(order(&world, &["p3", "p1", "p2"]), ["p2", "p3", "p1"]);
    let mut stronger = tens(1);
    stronger.scope.pods = Some(Selector {
        labels: Labels::new(),
        requirements: vec![Requirement::parse("x", "DoesNotExist", vec![]).unwrap()],
    });
    world.define(stronger).unwrap();
    assert_eq!(order(&world, &["p3", "p1", "p2"]), ["p1", "p2", "p3"]);
}

fn scoped(edit: impl Fn(&mut PoolDraft), ask: impl Fn(&mut Request), expected: &str) {
    let mut draft = tens(1);
    edit(&mut draft);
    let world = World::with([draft]);
    let mut asked = from_pools(request("a", "c1"), &["p1"], &[]);
    asked.subject.namespace = "prod".into();
    ask(&mut asked);
    let shortlist = world.shortlist(&asked);
    assert_eq!(shortlist.demands[0].candidates[0].verdict.to_string(), expected);
}

/// L00001 to L00006, D00009 to D00016, D00005.
#[test]
fn every_filter_says_why() {
    let fits = "gives 10.1.0.10";
    scoped(|_| {}, |_| {}, fits);
    scoped(|d| d.disabled = true, |_| {}, "it is disabled");
    scoped(|d| d.deleting = true, |_| {}, "it is being deleted");
    scoped(|d| d.scope.node_names = vec!["node-1".into()], |_| {}, fits);
    scoped(
        |d| d.scope.node_names = vec!["node-2".into()],
        |_| {},
        "its node names leave out node node-1",
    );
    let zone = |d: &mut PoolDraft| d.scope.nodes = selects("zone", "a");
    scoped(zone, |r| r.subject.node_labels = labels(&[("zone", "a")]), fits);
    scoped(zone, |_| {}, "its node affinity `zone=a` leaves out the node");
    let replaced = |d: &mut PoolDraft| {
        d.scope.nodes = selects("zone", "b");
        d.scope.node_names = vec!["node-1".into()];
    };
    scoped(replaced, |_| {}, fits);
    scoped(|d| d.scope.namespace_names = vec!["prod".into()], |_| {}, fits);
    scoped(
        |d| d.scope.namespace_names = vec!["test".into()],
        |_| {},
        "its namespace names leave out namespace prod",
    );
    let team = |d: &mut PoolDraft| d.scope.namespaces = selects("team", "x");
    scoped(team, |r| r.subject.namespace_labels = labels(&[("team", "x")]), fits);
    scoped(team, |_| {}, "its namespace affinity `team=x` leaves out the namespace");
    let app = |d: &mut PoolDraft| d.scope.pods = selects("app", "web");
    scoped(app, |r| r.subject.pod_labels = labels(&[("app", "web")]), fits);
    scoped(app, |_| {}, "its pod affinity `app=web` leaves out the pod");
    let lan = |d: &mut PoolDraft| d.scope.networks = vec!["kube-system/lan".into()];
    let on = |network: &str| {
        let network = network.to_owned();
        move |r: &mut Request| drop(r.subject.networks.insert("eth0".into(), network.clone()))
    };
    scoped(lan, on("kube-system/lan"), fits);
    scoped(lan, on("default/lan"), "it is tied to networks other than default/lan");
    scoped(lan, |_| {}, "it is tied to networks, and the attachment's network is not known");
    scoped(|_| {}, |r| r.master = Some(vec!["10.1.0.77".parse().unwrap()]), fits);
    scoped(
        |_| {},
        |r| r.master = Some(vec!["10.7.0.77".parse().unwrap()]),
        "no address of the master interface lies in its prefix",
    );
}

/// Weak spot 26 of the reference: an unknown network is no obstacle where no pool asks for it.
#[test]
fn an_unknown_network_matters_only_to_pools_that_are_tied_to_one() {
    scoped(|_| {}, |r| r.subject.networks.clear(), "gives 10.1.0.10");
}

/// E00008.
#[test]
fn a_full_pool_falls_back_to_the_next_and_refuses_with_counts() {
    let mut world = world();
    let ask = |i: u8| from_pools(request(&format!("u{i}"), &format!("c{i}")), &["p1", "p2"], &[]);
    for i in 0..6 {
        world.add(&ask(i)).unwrap();
    }
    let refused = refusal(&mut world, &ask(6));
    assert_eq!(
        refused,
        "no address for IPv4 of eth0 among the pod's pools: \
         p1: all its addresses are taken (0 of 3 free, 3 allocated, 0 reserved, 0 cooling, 0 quarantined), \
         p2: all its addresses are taken (0 of 3 free, 3 allocated, 0 reserved, 0 cooling, 0 quarantined); \
         it would succeed after this: in pool p1 add 10.1.0.1 to `ips`"
    );
    world.del("c4", None);
    assert_eq!(world.add(&ask(6)).unwrap(), ["10.2.0.11"]);
}

/// A00012 to A00014, A00002.
#[test]
fn lists_of_interfaces_are_strict() {
    let mut world = world();
    let with = |nics: &[Option<&str>]| {
        let mut asked = request("a", "c1");
        let nic = |n: &Option<&str>| NicPools {
            attachment: n.map(name),
            pools: names(&["p1"], &[]),
            clean_gateway: None,
        };
        asked.sources.per_nic = Some(nics.iter().map(nic).collect());
        asked
    };
    assert!(refusal(&mut world, &with(&[])).contains("is empty"));
    assert!(
        refusal(&mut world, &with(&[Some("net1")])).contains("but not for the interface `eth0`")
    );
    assert!(refusal(&mut world, &with(&[Some("eth0"), None])).contains("name all or none"));
    assert!(
        refusal(&mut world, &with(&[Some("eth0"), Some("eth0")]))
            .contains("names one of them twice")
    );
}

/// A00016: a full pool of one interface does not drain the pools of the others.
#[test]
fn retries_of_a_pod_that_cannot_be_satisfied_drain_nothing() {
    let mut world = World::with([tens(1), pool("full", "10.2.0.0/24", &[])]);
    let mut asked = request("a", "c1");
    let nic = |n: &str, pool: &str| NicPools {
        attachment: Some(name(n)),
        pools: names(&[pool], &[]),
        clean_gateway: None,
    };
    asked.sources.per_nic = Some(vec![nic("eth0", "p1"), nic("net1", "full")]);
    for _ in 0..10 {
        refusal(&mut world, &asked);
    }
    assert_eq!(world.tally("p1").free, 3);
}

/// Upstream #5813: two dual-stack pods never hold each other's last address.
#[test]
fn dual_stack_is_all_or_nothing_or_one_family_by_policy() {
    let mut world = World::with([tens(1), pool("six", "fd00::/64", &[])]);
    let mut asked = from_pools(request("a", "c1"), &["p1"], &["six"]);
    refusal(&mut world, &asked);
    assert_eq!(world.tally("p1").free, 3);
    asked.families = FamilyPolicy::Prefer;
    assert_eq!(world.add(&asked).unwrap(), ["10.1.0.10"]);
    let asked = from_pools(request("b", "c2"), &[], &["six"]);
    refusal(&mut world, &asked);
}

/// E00009: one family is asked for, one family is given.
#[test]
fn a_family_that_is_not_named_is_not_given() {
    let mut world = world();
    assert_eq!(world.add(&from_pools(request("a", "c1"), &[], &["s1"])).unwrap(), ["fd00:1::10"]);
}

/// Section 3.9, A00011.
#[test]
fn routes_find_the_interface_that_reaches_their_next_hop() {
    let gateway = |mut draft: PoolDraft, gw: &str| {
        draft.gateway = Some(gw.into());
        draft
    };
    let mut first = gateway(tens(1), "10.1.0.1");
    first.routes = Some(vec![RouteDraft { dst: "192.168.0.0/16".into(), gw: "10.1.0.2".into() }]);
    let mut world =
        World::with([first, gateway(tens(2), "10.2.0.1"), gateway(sixes(1), "fd00:1::1")]);
    let mut asked = request("a", "c1");
    asked.sources.per_nic = Some(vec![
        NicPools {
            attachment: Some(name("eth0")),
            pools: names(&["p1"], &["s1"]),
            clean_gateway: None,
        },
        NicPools {
            attachment: Some(name("net1")),
            pools: names(&["p2"], &[]),
            clean_gateway: Some(true),
        },
    ]);
    let route = |dst: &str, gw: &str| Route { dst: dst.parse().unwrap(), gw: gw.parse().unwrap() };
    asked.routes = vec![
        route("172.16.0.0/12", "10.2.0.9"),
        route("0.0.0.0/0", "10.1.0.254"),
        route("1.0.0.0/8", "9.9.9.9"),
    ];
    let allocated = world.allocated(&asked);
    let routes: Vec<_> =
        allocated.routes.iter().map(|r| format!("{} {}", r.attachment, r.route)).collect();
    assert_eq!(
        routes,
        [
            "eth0 192.168.0.0/16 via 10.1.0.2",
            "net1 172.16.0.0/12 via 10.2.0.9",
            "eth0 0.0.0.0/0 via 10.1.0.254",
            "eth0 ::/0 via fd00:1::1",
        ]
    );
    assert_eq!(allocated.unplaced, [route("1.0.0.0/8", "9.9.9.9")]);
    assert_eq!(allocated.addresses[0].address.to_string(), "10.1.0.10/24");
}

/// D00002: what changes in a pool reaches the next request, also of a pod that keeps its address.
#[test]
fn a_changed_gateway_reaches_new_answers() {
    let mut world = World::with([tens(1)]);
    let mut asked = from_pools(request("a", "c1"), &["p1"], &[]);
    asked.holder.owner = Owner::identity(&name("db/0")).unwrap();
    assert_eq!(world.allocated(&asked).addresses[0].gateway, None);
    world.define(PoolDraft { gateway: Some("10.1.0.1".into()), ..tens(1) }).unwrap();
    asked.holder.container = Some(name("c2"));
    assert_eq!(world.allocated(&asked).addresses[0].gateway, "10.1.0.1".parse().ok());
}

#[test]
fn remedies_name_the_smallest_change() {
    let mut draft = tens(1);
    draft.scope.node_names = vec!["node-7".into()];
    draft.disabled = true;
    let mut world = World::with([draft]);
    let refused = refusal(&mut world, &from_pools(request("a", "c1"), &["p1"], &[]));
    assert!(refused.ends_with("it would succeed after this: in pool p1 set `disable: false`, and in pool p1 add `node-1` to `nodeName`"), "{refused}");
    let mut asked = from_pools(request("a", "c1"), &["p1"], &[]);
    asked.named = vec!["10.1.0.77".parse().unwrap()];
    let mut world = World::with([tens(1)]);
    let refused = refusal(&mut world, &asked);
    assert!(refused.ends_with("in pool p1 add 10.1.0.77 to `ips`"), "{refused}");
}
