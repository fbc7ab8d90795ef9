//! Bugs that the reference shipped (`coordination` chapters 1 and 8 of its notes), by the number of their
//! thread: those that planning can show.

use spiderpool_core::address::Family;
use spiderpool_core::intend::{Configuration, POD_END, RpFilter, Setting, Want, host_end};
use spiderpool_core::net::{
    Address, AddressFlags, LinkKind, Route, RouteProtocol, Side, Sysctl, SysctlName, table,
};
use spiderpool_core::plan::{LinkChange, NewKind};

use crate::model::missing;
use crate::world::{CONTAINER, HOST_END, Stack, World, configuration, ip, name, net};

/// #5682: nothing of an underlay interface's leaks into main but its connected routes, and table 100 is
/// only where something looks in it.
#[test]
fn bug_5682_default_routes_do_not_leak_into_main() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    world.attach("net1", &configuration());
    let by_net1: Vec<String> =
        world.routes(table::MAIN).into_iter().filter(|route| route.contains("net1")).collect();
    assert_eq!(by_net1, ["10.1.0.0/16 dev net1 src 10.1.0.5"]);
    let mut untuned = World::overlay(Stack::V4);
    untuned.net_nic(1);
    untuned.attach("net1", &Configuration { tunes_routes: false, ..configuration() });
    assert!(untuned.routes(100).is_empty());
}

/// #3953, #3954, #3877: a bridge, a tap or a link that is down moves nobody's table.
#[test]
fn bug_3953_other_links_do_not_shift_tables() {
    let mut world = World::overlay(Stack::V4);
    for (link, kind) in [("br0", LinkKind::Bridge), ("tap0", LinkKind::Other("tun".into()))] {
        world.link(Side::Pod, link, kind, &[]);
    }
    world.scene.pod.links.get_mut(&name("tap0")).unwrap().is_up = false;
    for number in [1, 2, 3] {
        world.net_nic(number);
        let interface = format!("net{number}");
        world.attach(&interface, &configuration());
        assert_eq!(world.record(&interface).table, 100 + u32::from(number));
    }
}

/// #2655, #2491, #2176: connected and static routes stay in main; only the default route moves.
#[test]
fn bug_2655_connected_routes_stay_in_main() {
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    let theirs = Route {
        protocol: RouteProtocol::STATIC,
        ..Route::via(net("10.77.0.0/16"), table::MAIN, ip("10.1.0.7"), name("net1"))
    };
    world.pod_route(theirs.clone());
    world.attach("net1", &configuration());
    assert!(world.scene.pod.routes.contains(&theirs));
    for route in ["10.1.0.0/16 dev net1 src 10.1.0.5", "10.77.0.0/16 via 10.1.0.7 dev net1"] {
        for number in [table::MAIN, 101] {
            assert!(world.routes(number).contains(&route.to_owned()), "{route} in {number}");
        }
    }
}

/// #3725, #3683: a reply of the overlay's interface does not leave by another that took the default route.
#[test]
fn bug_3725_replies_of_eth0_leave_by_eth0() {
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    world.attach("net1", &configuration());
    world.net_nic(2);
    let default_route_nic = Some(name("net2"));
    world.attach("net2", &Configuration { default_route_nic, ..configuration() });
    assert_eq!(world.way(Some("10.244.1.7"), "8.8.8.8").as_deref(), Some("eth0"));
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("net2"));
}

/// #2464, #2303: both ends have their hardware addresses from the start, and always the same ones.
#[test]
fn bug_2464_hardware_addresses_are_given_and_stable() {
    let pair = |world: &World| {
        let intended = world.intend("eth0", &configuration()).unwrap();
        let links = intended.intent.wishes.iter().filter_map(|wish| match &wish.want {
            Want::Link(link) => Some(link.clone()),
            _ => None,
        });
        links.collect::<Vec<_>>()
    };
    let mut world = World::underlay(Stack::V4);
    let first = pair(&world);
    let [link] = first.as_slice() else { panic!("{first:?}") };
    let NewKind::Veth(peer) = &link.kind else { panic!("{link:?}") };
    for mac in [&link.mac, &peer.mac] {
        let mac = mac.as_ref().unwrap();
        assert!(mac.is_station() && mac.0[0] & 2 == 2, "{mac}");
    }
    assert_ne!(link.mac, peer.mac);
    world.attach("eth0", &configuration());
    let meddled = world.scene.host.links.get_mut(&name(HOST_END)).unwrap();
    meddled.mac = Some(spiderpool_core::net::HardwareAddress(vec![2, 9, 9, 9, 9, 9]));
    assert_eq!(pair(&world), first);
}

/// #3568: the pod's end can have an address; IPv6 alone has no use for it.
#[test]
fn bug_3568_the_pods_end_has_an_address() {
    for (stack, count) in [(Stack::V4, 1), (Stack::Dual, 1), (Stack::V6, 0)] {
        let mut world = World::underlay(stack);
        let veth_link_address = Some("169.254.100.1".parse().unwrap());
        world.attach("eth0", &Configuration { veth_link_address, ..configuration() });
        let on_pair = world.scene.pod.addresses.iter().filter(|it| &*it.device == POD_END);
        assert_eq!(
            on_pair.map(|it| it.net.to_string()).filter(|it| it == "169.254.100.1/32").count(),
            count
        );
    }
}

/// #5618: addresses that the kernel made of a router's advertisement count.
#[test]
fn bug_5618_autoconfigured_addresses_count() {
    let mut world = World::new(Stack::V6);
    world.link(Side::Pod, "eth0", LinkKind::Dummy, &[]);
    let flags = AddressFlags { is_managed: true, ..AddressFlags::default() };
    let address = Address { flags, ..Address::new(name("eth0"), net("2001:db8:7::a/64")) };
    world.scene.pod.addresses.insert(address);
    world.attach("eth0", &configuration());
    let mut routes = world.scene.host.routes.iter();
    assert!(routes.any(|route| route.destination == net("2001:db8:7::a")));
}

/// #3296: a default route among several hops is found.
#[test]
fn bug_3296_a_multipath_default_has_a_keeper() {
    let mut world = World::underlay(Stack::V6);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    world.attach("net1", &configuration());
    assert_eq!(world.record("net1").keeper, Some(name("eth0")));
    assert_eq!(world.way(Some("fd00:1::5"), "2001:db8::1").as_deref(), Some("net1"));
}

/// cni-plugins #178: node-local DNS is reached from underlay pods.
#[test]
fn bug_178_the_nodes_link_local_services_are_reached() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    assert_eq!(world.way(None, "169.254.20.10").as_deref(), Some("veth0"));
}

/// Step 16: the queue's length is the pod's interface's, never that of the node's of the same name.
#[test]
fn the_queue_is_the_pods() {
    let world = World::underlay(Stack::V4);
    let tx_queue_length = Setting::Set(1234);
    let intended =
        world.intend("eth0", &Configuration { tx_queue_length, ..configuration() }).unwrap();
    let sides = intended.intent.wishes.iter().filter_map(|wish| match &wish.want {
        Want::Setting { change: LinkChange::TxQueueLength(1234), .. } => Some(wish.side),
        _ => None,
    });
    assert_eq!(sides.collect::<Vec<_>>(), [Side::Pod]);
}

/// Step 18: the higher of all and link counts, so off must be said of each link.
#[test]
fn a_filter_that_is_off_is_off_on_each_link() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    let at = |sysctl| world.scene.pod.sysctls[&sysctl];
    let filter = SysctlName::ReversePathFilter;
    assert_eq!(at(Sysctl::all(Family::V4, filter)), 0);
    for link in ["eth0", "veth0"] {
        assert_eq!(at(Sysctl::link(Family::V4, name(link), filter)), 0);
    }
    let left = Configuration { rp_filter: Setting::<RpFilter>::Leave, ..configuration() };
    let intended = World::underlay(Stack::V4).intend("eth0", &left).unwrap();
    let mut wishes = intended.intent.wishes.iter();
    assert!(!wishes.any(|wish| matches!(&wish.want, Want::Sysctl(it, _) if it.name == filter)));
}

/// 1.13: IPv6 is switched on for the interface and the pair as well as for all; it is not switched off again,
/// which would take every address of the pod along.
#[test]
fn ipv6_is_switched_on_for_each_link() {
    let mut world = World::underlay(Stack::Dual);
    let disabled = Sysctl::all(Family::V6, SysctlName::DisableIpv6);
    world.scene.pod.sysctls.insert(disabled.clone(), 1);
    world.attach("eth0", &configuration());
    let of = |link| Sysctl::link(Family::V6, name(link), SysctlName::DisableIpv6);
    for sysctl in [disabled.clone(), of("eth0"), of("veth0")] {
        assert_eq!(world.scene.pod.sysctls[&sysctl], 0, "{sysctl}");
    }
    world.withdraw("eth0");
    assert_eq!(world.scene.pod.sysctls[&disabled], 0);
    let v4 = World::underlay(Stack::V4).intend("eth0", &configuration()).unwrap();
    assert!(!v4.intent.wishes.iter().any(
        |wish| matches!(&wish.want, Want::Sysctl(it, _) if it.name == SysctlName::DisableIpv6)
    ));
}

/// 1.7: a node without a source towards the pod gives no route to nowhere; `cilium*` is a prefix.
#[test]
fn node_addresses_are_never_nil() {
    let mut world = World::underlay(Stack::V4);
    world.toward.clear();
    world.toward.insert(ip("172.100.0.210"), ip("0.0.0.0"));
    let record = world.attach("eth0", &configuration()).record;
    assert_eq!(record.gateways.into_values().collect::<Vec<_>>(), [ip("172.100.0.2")]);
    let node: Vec<String> =
        world.scene.pod.neighbours.iter().map(|neighbour| neighbour.address.to_string()).collect();
    assert_eq!(node, ["172.100.0.2"], "neither docker0's nor cilium_host's");
}

/// 1.7: a later interface has the gateway that the first has, whatever the node would answer by then.
#[test]
fn the_gateway_is_the_first_ones() {
    let mut world = World::underlay(Stack::V4);
    world.link(Side::Host, "aaa", LinkKind::Dummy, &["192.168.7.7/24"]);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    for address in world.toward.values_mut() {
        *address = ip("192.168.7.7");
    }
    let record = world.attach("net1", &configuration()).record;
    assert_eq!(record.gateways.into_values().collect::<Vec<_>>(), [ip("172.100.0.2")]);
}

/// 1.7: an address that the node got in between has a route and a neighbour.
#[test]
fn a_nodes_new_address_has_its_neighbour() {
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    world.attach("net1", &configuration());
    world.link(Side::Host, "vip0", LinkKind::Dummy, &["192.168.7.7/32"]);
    world.net_nic(2);
    world.attach("net2", &configuration());
    let has = |address: &str| {
        world.scene.pod.neighbours.iter().any(|neighbour| neighbour.address == ip(address))
    };
    assert!(has("192.168.7.7"));
    assert_eq!(world.way(Some("10.2.0.5"), "192.168.7.7").as_deref(), Some("eth0"));
}

/// 9.2: the node's addresses are no snapshot: what is renewed follows them.
#[test]
fn a_nodes_address_that_moved_away_is_forgotten() {
    let mut world = World::underlay(Stack::Dual);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    world.attach("net1", &configuration());
    let old = net("172.100.0.2/16");
    world.scene.host.addresses.retain(|address| address.net != old);
    let new = Address::new(name("eth0"), net("172.100.0.3/16"));
    world.scene.host.addresses.insert(new);
    for address in world.toward.values_mut().filter(|address| address.is_ipv4()) {
        *address = ip("172.100.0.3");
    }
    for interface in ["net1", "eth0", "net1"] {
        world.renew(interface);
    }
    let all = world.scene.pod.routes.iter().map(crate::world::show).collect::<Vec<_>>();
    assert!(all.iter().all(|route| !route.contains("172.100.0.2 ")), "{all:#?}");
    assert_eq!(world.way(None, "10.96.0.1").as_deref(), Some("veth0"));
    assert!(world.scene.pod.neighbours.iter().all(|it| it.address != ip("172.100.0.2")));
    for record in &world.records {
        assert_eq!(missing(&world.scene, &record.intent), Vec::<String>::new());
    }
}

/// 1.8: a pair that another program made is used as it is.
#[test]
fn a_pair_of_an_older_program_is_used() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    let mac = spiderpool_core::net::HardwareAddress(vec![2, 7, 7, 7, 7, 7]);
    world.scene.pod.links.get_mut(&name(POD_END)).unwrap().mac = Some(mac.clone());
    world.records.clear();
    let before = world.scene.pod.links.clone();
    world.net_nic(1);
    world.attach("net1", &configuration());
    assert_eq!(world.scene.pod.links[&name(POD_END)], before[&name(POD_END)]);
    let mut known = world.scene.host.neighbours.iter();
    let own = known.find(|neighbour| neighbour.address == ip("10.1.0.5")).unwrap();
    assert_eq!(own.mac.as_ref(), Some(&mac));
}

/// 9.3: `eth0` is nowhere written into the rules.
#[test]
fn the_default_interface_is_the_configured_one() {
    let mut world = World::new(Stack::V4);
    let configuration = Configuration { default_nic: name("lan0"), ..configuration() };
    world.nic("lan0", &["172.100.0.210/16"], &["172.100.0.1"]);
    world.attach("lan0", &configuration);
    assert_eq!(world.routes(100), ["default via 172.100.0.2 dev veth0 src 172.100.0.210"]);
}

/// 9.4: the node's end is named after the container, however short its id.
#[test]
fn names_of_ends_follow_from_the_container() {
    assert_eq!(&*host_end(CONTAINER).unwrap(), HOST_END);
    assert_eq!(&*host_end("abc").unwrap(), "vethabc");
}
