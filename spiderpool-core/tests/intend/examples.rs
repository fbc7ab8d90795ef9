//! The states that users of the reference know, literally, but for two things that are decided otherwise:
//! priorities are explicit (1000 and up), and `eth0` alone has no table of its own in underlay mode.

use spiderpool_core::net::{Marking, NeighbourState, Observed, Side, table};

use crate::world::{HOST_END, Stack, World, configuration, net, show, show_rules};

fn permanent(observed: &Observed) -> Vec<String> {
    let known = observed.neighbours.iter().filter(|other| other.state == NeighbourState::Permanent);
    known.map(|other| format!("{} dev {}", other.address, other.device)).collect()
}

fn host_table(world: &World) -> Vec<String> {
    let routes = world.scene.host.routes.iter().filter(|route| route.table == table::HOST);
    routes.map(show).collect()
}

#[test]
fn underlay_with_one_interface() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    assert_eq!(world.rules(), ["1000: fwmark 0x1/0x1 lookup 100"]);
    assert_eq!(
        world.routes(table::MAIN),
        [
            "default via 172.100.0.1 dev eth0",
            "10.96.0.0/12 via 172.100.0.2 dev veth0 src 172.100.0.210",
            "169.254.0.0/16 via 172.100.0.2 dev veth0 src 172.100.0.210",
            "172.100.0.0/16 dev eth0 src 172.100.0.210",
            "172.100.0.2 dev veth0 src 172.100.0.210",
        ]
    );
    assert_eq!(world.routes(100), ["default via 172.100.0.2 dev veth0 src 172.100.0.210"]);
    assert_eq!(world.routes(101), [""; 0]);
    assert_eq!(permanent(&world.scene.pod), ["172.100.0.2 dev veth0"]);
    assert!(matches!(world.scene.pod.marking, Marking::Present(_)));
    assert_eq!(show_rules(&world.scene, Side::Host), ["1000: lookup 500"]);
    assert_eq!(host_table(&world), [format!("172.100.0.210 dev {HOST_END}")]);
    assert_eq!(permanent(&world.scene.host), [format!("172.100.0.210 dev {HOST_END}")]);
}

#[test]
fn underlay_with_a_second_interface() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    world.attach("net1", &configuration());
    assert_eq!(
        world.rules(),
        ["1000: fwmark 0x1/0x1 lookup 100", "1001: from 10.1.0.5 lookup 101"]
    );
    assert_eq!(
        world.routes(101),
        [
            "default via 10.1.0.1 dev net1",
            "10.1.0.0/16 dev net1 src 10.1.0.5",
            "10.96.0.0/12 via 172.100.0.2 dev veth0 src 172.100.0.210",
            "169.254.0.0/16 via 172.100.0.2 dev veth0 src 172.100.0.210",
            "172.100.0.2 dev veth0 src 172.100.0.210",
        ]
    );
    assert_eq!(
        host_table(&world),
        [format!("10.1.0.5 dev {HOST_END}"), format!("172.100.0.210 dev {HOST_END}")]
    );
    assert_eq!(permanent(&world.scene.host).len(), 2);
}

#[test]
fn overlay_with_a_second_interface() {
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    world.attach("net1", &configuration());
    assert_eq!(
        world.rules(),
        ["1000: from 10.244.1.7 lookup 100", "1001: from 10.1.0.5 lookup 101"]
    );
    assert_eq!(
        world.routes(table::MAIN),
        [
            "default via 169.254.1.1 dev eth0",
            "10.1.0.0/16 dev net1 src 10.1.0.5",
            "10.96.0.0/12 via 172.100.0.2 dev eth0 src 10.244.1.7",
            "169.254.0.0/16 via 172.100.0.2 dev eth0 src 10.244.1.7",
            "169.254.1.1 dev eth0",
            "172.100.0.2 dev eth0 src 10.244.1.7",
        ]
    );
    assert_eq!(world.routes(100), ["default via 169.254.1.1 dev eth0"]);
    // The prefixes are in the table of the first as in those of later ones, which the reference leaves
    // out: what a pod of the overlay asks net1 through a service must be answered through the node.
    assert_eq!(
        world.routes(101),
        [
            "default via 10.1.0.1 dev net1",
            "10.1.0.0/16 dev net1 src 10.1.0.5",
            "10.96.0.0/12 via 172.100.0.2 dev eth0 src 10.244.1.7",
            "169.254.0.0/16 via 172.100.0.2 dev eth0 src 10.244.1.7",
            "172.100.0.2 dev eth0 src 10.244.1.7",
        ]
    );
    assert_eq!(host_table(&world), ["10.1.0.5 dev cali0123"]);
    assert_eq!(permanent(&world.scene.host), ["10.1.0.5 dev cali0123"]);
    let eth0 = world.scene.pod.links.values().find(|link| &*link.name == "eth0").unwrap();
    assert_eq!(world.scene.host.neighbours.iter().next().unwrap().mac, eth0.mac);
}

#[test]
fn overlay_with_a_third_interface() {
    let mut world = World::overlay(Stack::V4);
    for number in [1, 2] {
        world.net_nic(number);
        world.attach(&format!("net{number}"), &configuration());
    }
    assert_eq!(
        world.routes(102),
        [
            "default via 10.2.0.1 dev net2",
            "10.2.0.0/16 dev net2 src 10.2.0.5",
            "10.96.0.0/12 via 172.100.0.2 dev eth0 src 10.244.1.7",
            "169.254.0.0/16 via 172.100.0.2 dev eth0 src 10.244.1.7",
            "172.100.0.2 dev eth0 src 10.244.1.7",
        ]
    );
    assert!(world.rules().contains(&"1002: from 10.2.0.5 lookup 102".to_owned()));
}

#[test]
fn ipv6_alone_has_the_same_shape_without_sources() {
    let mut world = World::underlay(Stack::V6);
    world.attach("eth0", &configuration());
    assert_eq!(world.rules(), ["1000: fwmark 0x1/0x1 lookup 100"]);
    assert_eq!(world.routes(100), ["default via fd00:100::2 dev veth0"]);
    assert_eq!(
        world.routes(table::MAIN),
        [
            "default via fd00:100::1 dev eth0",
            "fd00:96::/108 via fd00:100::2 dev veth0",
            "fd00:100::/64 dev eth0",
            "fd00:100::2 dev veth0",
        ]
    );
    assert_eq!(host_table(&world), [format!("fd00:100::210 dev {HOST_END}")]);
}

#[test]
fn the_service_prefix_is_written_once() {
    let mut world = World::underlay(Stack::V4);
    let mut configuration = configuration();
    configuration.hijack_prefixes.extend([net("10.96.0.0/12"), net("172.100.0.2/32")]);
    world.attach("eth0", &configuration);
    let to = |text: &str| {
        world.routes(table::MAIN).iter().filter(|route| route.starts_with(text)).count()
    };
    assert_eq!((to("10.96.0.0/12"), to("172.100.0.2 ")), (1, 1));
}
