//! Where default routes go.

use spiderpool_core::intend::{Configuration, Note, PolicyRoute, Reason, Want};
use spiderpool_core::net::{Hop, Route, RoutePreference, RouteProtocol, Side, table};

use crate::model::missing;
use crate::world::{Stack, World, configuration, ip, name, net, show, wished};

fn chosen(nic: &str) -> Configuration {
    Configuration { default_route_nic: Some(name(nic)), ..configuration() }
}

fn two_underlay(second: &Configuration) -> World {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    world.attach("net1", second);
    world
}

#[test]
fn a_moved_default_keeps_all_that_it_has() {
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    let plain = Route::via(net("default"), table::MAIN, ip("10.1.0.1"), name("net1"));
    world.scene.pod.routes.retain(|route| !(route.is_default() && route.leaves_by("net1")));
    let special = Route {
        metric: 77,
        protocol: RouteProtocol::STATIC,
        metrics: [(Route::MTU, 1400)].into(),
        source: Some(ip("10.1.0.5")),
        hops: vec![Hop { is_onlink: true, ..plain.hops[0].clone() }],
        ..plain
    };
    world.pod_route(special.clone());
    world.attach("net1", &configuration());
    let moved =
        world.scene.pod.routes.iter().find(|route| route.table == 101 && route.is_default());
    assert_eq!(moved, Some(&Route { table: 101, ..special }));
}

#[test]
fn router_preference_is_kept() {
    let mut world = World::overlay(Stack::V6);
    world.nic("net1", &["fd00:1::5/64"], &[]);
    let route = Route {
        preference: RoutePreference::High,
        ..Route::via(net("default6"), table::MAIN, ip("fe80::99"), name("net1"))
    };
    world.pod_route(Route { metric: 99, ..route.clone() });
    world.attach("net1", &configuration());
    assert!(world.scene.pod.routes.contains(&Route { metric: 99, table: 101, ..route }));
}

#[test]
fn a_gateway_on_the_link_works_in_the_interfaces_table() {
    let mut world = World::overlay(Stack::V4);
    world.nic("net1", &["10.1.0.5/32"], &["169.254.9.9"]);
    let on_link = Route::on_link(net("169.254.9.9"), table::MAIN, name("net1"));
    world.pod_route(Route { protocol: RouteProtocol::BOOT, ..on_link });
    world.attach("net1", &configuration());
    assert!(world.routes(101).contains(&"169.254.9.9 dev net1".to_owned()));
    assert!(world.routes(101).contains(&"default via 169.254.9.9 dev net1".to_owned()));
}

#[test]
fn link_local_and_multicast_prefixes_stay() {
    let mut world = World::overlay(Stack::V6);
    world.net_nic(1);
    for prefix in ["fe80::/64", "ff00::/8"] {
        world.pod_route(Route::on_link(net(prefix), table::MAIN, name("net1")));
    }
    world.attach("net1", &configuration());
    assert!(
        world.routes(101).iter().all(|route| !route.starts_with('f') || route.contains("fd00"))
    );
    assert!(world.routes(table::MAIN).contains(&"fe80::/64 dev net1".to_owned()));
}

/// Two IPv6 default routes are one route with two hops: only the interface's own hop moves.
#[test]
fn of_a_multipath_default_one_hop_moves() {
    let mut world = World::overlay(Stack::V6);
    world.net_nic(1);
    let both = "default via fe80::1 dev eth0 via fd00:1::1 dev net1";
    assert_eq!(world.routes(table::MAIN)[0], both);
    world.attach("net1", &configuration());
    assert_eq!(world.routes(table::MAIN)[0], "default via fe80::1 dev eth0");
    assert_eq!(world.routes(101)[0], "default via fd00:1::1 dev net1");
    world.withdraw("net1");
    assert_eq!(world.routes(table::MAIN)[0], both);
}

#[test]
fn hops_of_a_v4_multipath_default_keep_their_shares() {
    let mut world = World::overlay(Stack::V4);
    world.nic("net1", &["10.1.0.5/16"], &[]);
    world.scene.pod.routes.retain(|route| !route.is_default());
    let hop = |device, gateway, weight| Hop {
        gateway: Some(ip(gateway)),
        weight,
        ..Hop::on(name(device))
    };
    let hops =
        vec![hop("eth0", "169.254.1.1", 3), hop("net1", "10.1.0.1", 5), hop("net1", "10.1.0.2", 7)];
    world.pod_route(Route { hops: hops.clone(), ..Route::new(net("default"), table::MAIN) });
    world.attach("net1", &configuration());
    let found = |number| {
        let mut routes = world.scene.pod.routes.iter();
        routes.find(|route| route.table == number && route.is_default()).unwrap().hops.clone()
    };
    assert_eq!(found(101), hops[1..]);
    assert_eq!(found(table::MAIN), [Hop { weight: 1, ..hops[0].clone() }]);
}

#[test]
fn the_chosen_interface_takes_the_default_route() {
    let mut world = two_underlay(&chosen("net1"));
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("net1"));
    assert_eq!(world.way(Some("172.100.0.210"), "8.8.8.8").as_deref(), Some("eth0"));
    assert_eq!(world.way(Some("10.1.0.5"), "8.8.8.8").as_deref(), Some("net1"));
    assert_eq!(world.rules()[1], "1001: from 172.100.0.210 lookup 101");
    world.net_nic(2);
    world.attach("net2", &configuration());
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("net1"));
    assert_eq!(world.way(Some("10.2.0.5"), "8.8.8.8").as_deref(), Some("net2"));
}

/// An earlier attachment may choose an interface that is still to come.
#[test]
fn a_choice_waits_for_its_interface() {
    let mut world = World::overlay(Stack::Dual);
    world.net_nic(1);
    let intended = world.attach("net1", &chosen("net2"));
    assert_eq!(intended.notes, [Note::DefaultRouteLater { interface: name("net2") }]);
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("eth0"));
    world.net_nic(2);
    world.attach("net2", &configuration());
    for (from, to) in [(None, "net2"), (Some("10.1.0.5"), "net1"), (Some("10.244.1.7"), "eth0")] {
        assert_eq!(world.way(from, "8.8.8.8").as_deref(), Some(to), "from {from:?}");
    }
    assert_eq!(world.way(None, "2001:db8::1").as_deref(), Some("net2"));
    assert!(world.renew("net1").notes.is_empty());
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("net2"));
}

/// 1.11, step 5: where a third interface is chosen, each one's routes go with rules for its own addresses.
#[test]
fn a_third_interface_is_chosen() {
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    world.net_nic(2);
    world.attach("net2", &chosen("net1"));
    for (from, to) in [
        (None, "net1"),
        (Some("10.1.0.5"), "net1"),
        (Some("10.2.0.5"), "net2"),
        (Some("10.244.1.7"), "eth0"),
    ] {
        assert_eq!(world.way(from, "8.8.8.8").as_deref(), Some(to), "from {from:?}");
    }
    let record = world.record("net2").clone();
    assert_eq!(record.displaced.unwrap().interface, name("eth0"));
    let again = world.intend("net2", &chosen("net1")).unwrap();
    assert_eq!(missing(&world.scene, &again.intent), Vec::<String>::new());
}

#[test]
fn a_choice_of_what_was_attached_without_it_moves_when_that_is_renewed() {
    let mut world = two_underlay(&configuration());
    world.net_nic(2);
    let notes = world.attach("net2", &chosen("net1")).notes;
    assert_eq!(notes, [Note::ChosenElsewhere { interface: name("net1") }]);
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("eth0"));
    world.renew("net1");
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("net1"));
    assert_eq!(world.way(Some("172.100.0.210"), "8.8.8.8").as_deref(), Some("eth0"));
    world.renew("net2");
    assert_eq!(world.way(Some("10.2.0.5"), "8.8.8.8").as_deref(), Some("net2"));
}

#[test]
fn a_family_without_another_default_keeps_its_own() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    world.stack = Stack::Dual;
    world.net_nic(1);
    world.attach("net1", &configuration());
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("eth0"));
    assert_eq!(world.way(None, "2001:db8::1").as_deref(), Some("net1"));
    assert_eq!(world.way(Some("fd00:1::5"), "2001:db8::1").as_deref(), Some("net1"));
}

#[test]
fn a_chosen_interface_without_a_default_route_takes_none_away() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    world.nic("net1", &["10.1.0.5/16"], &[]);
    let notes = world.attach("net1", &chosen("net1")).notes;
    let family = spiderpool_core::address::Family::V4;
    assert_eq!(notes, [Note::NoDefaultRoute { interface: name("net1"), family }]);
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("eth0"));
}

#[test]
fn a_route_with_a_lifetime_stays_and_is_named() {
    let mut world = World::overlay(Stack::V6);
    world.nic("net1", &["fd00:1::5/64"], &[]);
    let learned = Route {
        has_more: true,
        protocol: RouteProtocol::ROUTER_ADVERTISEMENT,
        metric: 2048,
        ..Route::via(net("default6"), table::MAIN, ip("fe80::42"), name("net1"))
    };
    world.pod_route(learned.clone());
    let notes = world.attach("net1", &configuration()).notes;
    assert_eq!(
        notes,
        [Note::RouteLeft { destination: net("default6"), gateway: Some(ip("fe80::42")) }]
    );
    assert!(world.scene.pod.routes.contains(&learned));
}

/// Policy routes are where packets from the interface are looked up.
#[test]
fn policy_routes_follow_the_interface() {
    let routes = vec![PolicyRoute::new("10.50.0.0/16", "10.1.0.9").unwrap()];
    for (choice, number) in [(configuration(), 101), (chosen("net1"), table::MAIN)] {
        let world = two_underlay(&Configuration { policy_routes: routes.clone(), ..choice });
        let expected = "10.50.0.0/16 via 10.1.0.9 dev net1".to_owned();
        assert!(world.routes(number).contains(&expected), "{number}");
        assert_eq!(world.way(Some("10.1.0.5"), "10.50.1.1").as_deref(), Some("net1"));
    }
}

#[test]
fn policy_routes_of_a_family_that_is_lacking_are_left_out() {
    let policy_routes = vec![PolicyRoute::new("fd50::/64", "fd00:100::9").unwrap()];
    let intended = World::underlay(Stack::V4)
        .intend("eth0", &Configuration { policy_routes, ..configuration() })
        .unwrap();
    assert!(wished(&intended, Reason::PolicyRoute).is_empty());
    assert_eq!(intended.notes.len(), 1, "{:?}", intended.notes);
}

/// Tables follow from names, and keep off what others use.
#[test]
fn tables_follow_from_names() {
    for (interface, foreign, number) in [
        ("net1", None, 101),
        ("net7", None, 107),
        ("net100", None, 101),
        ("net07", None, 101),
        ("lan", None, 101),
        ("lan", Some(101), 102),
        ("net1", Some(101), 102),
    ] {
        let mut world = World::overlay(Stack::V4);
        world.nic(interface, &["10.1.0.5/16"], &["10.1.0.1"]);
        if let Some(foreign) = foreign {
            let route = Route::on_link(net("10.66.0.0/16"), foreign, name("eth0"));
            world.pod_route(Route { protocol: RouteProtocol::STATIC, ..route });
        }
        let record = world.intend(interface, &configuration()).unwrap().record;
        assert_eq!(record.table, number, "{interface}, {foreign:?}");
    }
}

/// What moves stays in the main table of nobody else: the rules of strangers are not spoken of.
#[test]
fn a_rule_has_its_tables_priority() {
    let mut world = World::overlay(Stack::Dual);
    world.nic("net9", &["10.1.0.5/16", "fd00:1::5/64"], &["10.1.0.1", "fd00:1::1"]);
    let intended = world.intend("net9", &configuration()).unwrap();
    let rules = wished(&intended, Reason::SourceRouting).into_iter().filter_map(|wish| {
        let Want::Rule(rule) = &wish.want else { return None };
        (wish.side == Side::Pod).then_some(rule.priority)
    });
    assert_eq!(rules.collect::<Vec<_>>(), [1000, 1000, 1009, 1009]);
    assert!(world.scene.pod.routes.iter().map(show).all(|route| !route.is_empty()));
}
