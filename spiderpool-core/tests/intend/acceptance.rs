//! The reference's acceptance list of the coordinator (C00001 to C00024), as far as it is planning.

use spiderpool_core::address::Family;
use spiderpool_core::intend::{
    Configuration, HostTable, MacPrefix, Mode, Note, PolicyRoute, Reason, RpFilter, Setting,
    VethMtu, Want,
};
use spiderpool_core::net::{
    HardwareAddress, Marking, Neighbour, NeighbourState, Route, RouteProtocol, Rule, Side, Sysctl,
    SysctlName, table,
};
use spiderpool_core::plan::NewKind;

use crate::world::{HOST_END, Stack, World, configuration, ip, name, net, wished};

fn attached(mut world: World, interfaces: &[u8], configuration: &Configuration) -> World {
    if world.scene.pod.links[&name("eth0")].kind.name() == "macvlan" {
        world.attach("eth0", configuration);
    }
    for number in interfaces {
        world.net_nic(*number);
        world.attach(&format!("net{number}"), configuration);
    }
    world
}

fn pod_sysctl(world: &World, sysctl: &Sysctl) -> Option<i64> {
    world.scene.pod.sysctls.get(sysctl).copied()
}

/// C00001, C00003: an underlay pod reaches its node, services and the world, with one and two interfaces.
#[test]
fn c00001_c00003_underlay() {
    for interfaces in [&[][..], &[1]] {
        let world = attached(World::underlay(Stack::Dual), interfaces, &configuration());
        for (to, by) in [
            ("172.100.0.2", "veth0"),
            ("fd00:100::2", "veth0"),
            ("10.96.0.10", "veth0"),
            ("fd00:96::10", "veth0"),
            ("169.254.20.10", "veth0"),
            ("172.100.0.9", "eth0"),
            ("8.8.8.8", "eth0"),
            ("2001:db8::1", "eth0"),
        ] {
            assert_eq!(world.way(None, to).as_deref(), Some(by), "{to} with {interfaces:?}");
        }
    }
}

/// C00002, C00004: an overlay pod does, by the pair of its overlay.
#[test]
fn c00002_c00004_overlay() {
    for interfaces in [&[1][..], &[1, 2]] {
        let world = attached(World::overlay(Stack::Dual), interfaces, &configuration());
        for (from, to, by) in [
            (None, "172.100.0.2", "eth0"),
            (None, "10.96.0.10", "eth0"),
            (None, "8.8.8.8", "eth0"),
            (Some("10.1.0.5"), "172.100.0.2", "eth0"),
            (Some("10.1.0.5"), "8.8.8.8", "net1"),
            (Some("fd00:1::5"), "2001:db8::1", "net1"),
            (Some("10.244.1.7"), "8.8.8.8", "eth0"),
        ] {
            assert_eq!(world.way(from, to).as_deref(), Some(by), "{from:?} {to} {interfaces:?}");
        }
        assert!(!world.scene.pod.links.contains_key(&name("veth0")));
    }
}

/// C00005, C00006, C00020: the default route is on the chosen interface.
#[test]
fn c00005_c00006_c00020_the_chosen_default_route() {
    for world in [World::overlay(Stack::Dual), World::underlay(Stack::Dual)] {
        let choice = Configuration { default_route_nic: Some(name("net1")), ..configuration() };
        let world = attached(world, &[1, 2], &choice);
        for to in ["8.8.8.8", "2001:db8::1"] {
            assert_eq!(world.way(None, to).as_deref(), Some("net1"), "{to}");
        }
        assert_eq!(world.way(Some("10.2.0.5"), "8.8.8.8").as_deref(), Some("net2"));
    }
}

/// C00008: the hardware address is the prefix and the first address.
#[test]
fn c00008_hardware_addresses_have_the_prefix() {
    let mac_prefix = Some(MacPrefix::try_from("0a-1b").unwrap());
    let configuration = Configuration { mac_prefix, ..configuration() };
    for (stack, mac) in [
        (Stack::V4, "0a:1b:ac:64:00:d2"),
        (Stack::Dual, "0a:1b:ac:64:00:d2"),
        (Stack::V6, "0a:1b:00:00:02:10"),
    ] {
        let world = attached(World::underlay(stack), &[], &configuration);
        let link = &world.scene.pod.links[&name("eth0")];
        assert_eq!(link.mac.as_ref().unwrap().to_string(), mac, "{stack:?}");
    }
}

/// C00010: what a pod that is gone left for the address is gone; what is not ours stays.
#[test]
fn c00010_leftovers_are_cleaned() {
    let mut world = World::underlay(Stack::Dual);
    let host = &mut world.scene.host;
    let stale = Neighbour::permanent(
        name("docker0"),
        ip("172.100.0.210"),
        HardwareAddress(vec![2, 0, 0, 0, 0, 1]),
    );
    let learned =
        Neighbour { state: NeighbourState::Learned, device: name("eth0"), ..stale.clone() };
    let unmarked = Neighbour {
        device: name("eth0"),
        protocol: RouteProtocol::UNSPECIFIED,
        address: ip("fd00:100::210"),
        ..stale.clone()
    };
    let elses = Neighbour { address: ip("172.100.0.99"), ..stale.clone() };
    host.neighbours.extend([stale.clone(), unmarked.clone(), learned.clone(), elses.clone()]);
    let route = Route::on_link(net("172.100.0.210"), table::HOST, name("docker0"));
    let boot = Route { protocol: RouteProtocol::BOOT, ..route.clone() };
    let kernels = Route { protocol: RouteProtocol::KERNEL, metric: 9, ..route };
    host.routes.extend([boot.clone(), kernels.clone()]);
    let old = Rule {
        to: Some(net("172.100.0.210")),
        protocol: RouteProtocol::UNSPECIFIED,
        ..Rule::new(Family::V4, 999, table::HOST)
    };
    host.rules.insert(old.clone());
    let intended = world.attach("eth0", &configuration());
    assert_eq!(wished(&intended, Reason::Leftover).len(), 4);
    let host = &world.scene.host;
    assert!(!host.neighbours.contains(&stale) && !host.neighbours.contains(&unmarked));
    assert!(host.neighbours.contains(&learned) && host.neighbours.contains(&elses));
    assert!(!host.routes.contains(&boot) && host.routes.contains(&kernels));
    assert!(!host.rules.contains(&old));
}

/// C00011: without a choice the default route stays on `eth0`.
#[test]
fn c00011_the_default_route_stays() {
    for world in [World::overlay(Stack::Dual), World::underlay(Stack::Dual)] {
        let world = attached(world, &[1, 2], &configuration());
        for to in ["8.8.8.8", "2001:db8::1"] {
            assert_eq!(world.way(None, to).as_deref(), Some("eth0"), "{to}");
        }
    }
}

/// C00012: node and services are spoken to from the default interface's IPv4 address.
#[test]
fn c00012_sources_are_the_default_interfaces() {
    for (world, source) in [
        (World::overlay(Stack::Dual), "10.244.1.7"),
        (World::underlay(Stack::Dual), "172.100.0.210"),
    ] {
        let world = attached(world, &[1], &configuration());
        for number in [table::MAIN, 101] {
            let to_node = net("172.100.0.2");
            let route = world
                .scene
                .pod
                .routes
                .iter()
                .find(|route| route.table == number && route.destination == to_node);
            assert_eq!(route.unwrap().source, Some(ip(source)), "table {number}");
        }
        let v6 = world.scene.pod.routes.iter().filter(|route| route.family() == Family::V6);
        assert!(v6.into_iter().all(|route| route.source.is_none()));
    }
}

/// C00013: what comes in by the pair is answered by it.
#[test]
fn c00013_replies_leave_by_the_pair() {
    let world = attached(World::underlay(Stack::Dual), &[1], &configuration());
    let Marking::Present(marks) = &world.scene.pod.marking else { panic!("no marks") };
    assert_eq!((&*marks.input, marks.mark.value, marks.mark.mask), ("veth0", 1, 1));
    let rules = world.scene.pod.rules.iter().filter(|rule| rule.mark == Some(marks.mark));
    assert_eq!(rules.map(|rule| rule.priority).collect::<Vec<_>>(), [1000, 1000]);
    assert_eq!(
        world.routes(100),
        [
            "default via 172.100.0.2 dev veth0 src 172.100.0.210",
            "default via fd00:100::2 dev veth0"
        ]
    );
}

/// C00014: an interface that will never be there cannot be chosen.
#[test]
fn c00014_the_chosen_interface_does_not_exist() {
    let choice = Configuration { default_route_nic: Some(name("net9")), ..configuration() };
    let mut world = World::underlay(Stack::V4);
    world.expected = Some(vec![name("eth0"), name("net1")]);
    let said = world.intend("eth0", &choice).unwrap_err().to_string();
    assert_eq!(
        said,
        "podDefaultRouteNic `net9` doesn't exist in pod: it has, or will have, `eth0`, `net1`; name one of them"
    );
    world.expected = None;
    assert!(world.intend("eth0", &choice).is_ok());
}

/// C00015: interfaces may have any names.
#[test]
fn c00015_names_are_free() {
    let mut world = World::new(Stack::Dual);
    let configuration = Configuration { default_nic: name("front"), ..configuration() };
    world.nic("front", &["172.100.0.210/16", "fd00:100::210/64"], &["172.100.0.1", "fd00:100::1"]);
    world.attach("front", &configuration);
    for (link, address, gateway) in
        [("storage", "10.1.0.5/16", "10.1.0.1"), ("a.7", "10.2.0.5/16", "10.2.0.1")]
    {
        world.nic(link, &[address], &[gateway]);
        world.attach(link, &configuration);
    }
    assert_eq!((world.record("storage").table, world.record("a.7").table), (101, 102));
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("front"));
    assert_eq!(world.way(Some("10.2.0.5"), "8.8.8.8").as_deref(), Some("a.7"));
}

/// C00016: the host's table is the configured one.
#[test]
fn c00016_the_hosts_table_is_chosen() {
    let host_table = HostTable::try_from(777).unwrap();
    let configuration = Configuration { host_table, ..configuration() };
    let world = attached(World::underlay(Stack::Dual), &[], &configuration);
    assert_eq!(crate::world::show_rules(&world.scene, Side::Host), ["1000: lookup 777"; 2]);
    assert_eq!(world.scene.host.routes.iter().filter(|route| route.table == 777).count(), 2);
}

/// C00017: without tuning default routes stay where they are, and no address has a rule.
#[test]
fn c00017_untuned_routes_are_left_alone() {
    for world in [World::overlay(Stack::V4), World::underlay(Stack::V4)] {
        let configuration = Configuration { tunes_routes: false, ..configuration() };
        let world = attached(world, &[1], &configuration);
        assert!(world.rules().iter().all(|rule| !rule.contains("from")));
        let defaults = world.routes(table::MAIN).into_iter().filter(|it| it.starts_with("default"));
        assert_eq!(defaults.count(), 2);
    }
}

/// C00021: three interfaces and a strict filter.
#[test]
fn c00021_three_interfaces_with_a_strict_filter() {
    let rp_filter = Setting::Set(RpFilter::Strict);
    let configuration = Configuration { rp_filter, ..configuration() };
    let world = attached(World::underlay(Stack::V4), &[1, 2], &configuration);
    let filter = |link: &str| Sysctl::link(Family::V4, name(link), SysctlName::ReversePathFilter);
    for (link, value) in [("eth0", 1), ("net1", 1), ("net2", 1), ("veth0", 2)] {
        assert_eq!(pod_sysctl(&world, &filter(link)), Some(value), "{link}");
    }
    let marks = Sysctl::link(Family::V4, name("veth0"), SysctlName::SourceValidMark);
    assert_eq!(pod_sysctl(&world, &marks), Some(1));
    for (from, by) in [("172.100.0.210", "eth0"), ("10.1.0.5", "net1"), ("10.2.0.5", "net2")] {
        assert_eq!(world.way(Some(from), "8.8.8.8").as_deref(), Some(by));
    }
    let notes = world.intend("net2", &configuration).unwrap().notes;
    assert_eq!(notes, [Note::LooseFilter { link: name("veth0") }]);
}

/// C00023: the pair has the configured MTU on both ends, and an invalid one is refused.
#[test]
fn c00023_the_pairs_mtu() {
    let veth_mtu = VethMtu::try_from(8900).unwrap();
    let intended = World::underlay(Stack::Dual)
        .intend("eth0", &Configuration { veth_mtu, ..configuration() })
        .unwrap();
    let wishes = wished(&intended, Reason::Pair);
    let Want::Link(link) = &wishes[0].want else { panic!("{:?}", wishes[0]) };
    let NewKind::Veth(peer) = &link.kind else { panic!("{link:?}") };
    assert_eq!((link.mtu, peer.mtu, &*peer.name), (Some(8900), Some(8900), HOST_END));
    assert!(VethMtu::try_from(0).is_err());
}

/// C00023, C00024 of the code's labels: where policy routes are.
#[test]
fn c00024_policy_routes_and_their_tables() {
    for (world, interface, number) in [
        (World::underlay(Stack::V4), "eth0", table::MAIN),
        (World::overlay(Stack::V4), "net1", 101),
    ] {
        let mut world = world;
        world.net_nic(1);
        let gateway = if interface == "eth0" { "172.100.0.9" } else { "10.1.0.9" };
        let policy_routes = vec![PolicyRoute::new("10.50.0.7", gateway).unwrap()];
        world.attach(interface, &Configuration { policy_routes, ..configuration() });
        let expected = format!("10.50.0.7 via {gateway} dev {interface}");
        assert!(world.routes(number).contains(&expected), "{number}");
    }
}

/// The acceptance list's random modes: whatever is configured alike gives the same.
#[test]
fn auto_is_what_it_would_be_by_name() {
    for (world, mode, interface) in [
        (World::underlay(Stack::Dual), Mode::Underlay, "eth0"),
        (World::overlay(Stack::Dual), Mode::Overlay, "net1"),
    ] {
        let mut world = world;
        world.net_nic(1);
        let auto = world.intend(interface, &configuration()).unwrap();
        let by_name = world.intend(interface, &Configuration { mode, ..configuration() }).unwrap();
        assert_eq!(auto.intent, by_name.intent);
    }
}
