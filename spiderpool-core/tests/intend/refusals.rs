//! Refusals: each says what, why, and what to do.

use spiderpool_core::intend::{Configuration, MacPrefix, Mode, PolicyRoute, Refusal};
use spiderpool_core::net::{Ipvlan, IpvlanMode, LinkKind, Side};

use crate::world::{Stack, World, configuration, name};

fn refused(world: &World, interface: &str, configuration: &Configuration) -> String {
    world.intend(interface, configuration).unwrap_err().to_string()
}

fn mode(mode: Mode) -> Configuration {
    Configuration { mode, ..configuration() }
}

#[test]
fn an_interface_that_is_not_there() {
    let said = refused(&World::underlay(Stack::V4), "net7", &configuration());
    assert_eq!(
        said,
        "interface `net7` is not in the pod: put the coordinator after the plugin that makes it"
    );
}

#[test]
fn no_usable_addresses() {
    let mut world = World::new(Stack::Dual);
    world.nic("eth0", &["169.254.7.7/16", "fe80::7/64"], &[]);
    assert!(refused(&world, "eth0", &configuration()).contains("has no usable IP addresses"));
}

#[test]
fn auto_wants_the_coordinator_on_the_first_interface() {
    let mut world = World::underlay(Stack::V4);
    world.net_nic(1);
    for configuration in [mode(Mode::Auto), mode(Mode::Underlay)] {
        let said = refused(&world, "net1", &configuration);
        assert!(said.contains("the coordinator must be enabled on `eth0` as well"), "{said}");
    }
}

#[test]
fn overlay_is_not_for_the_first_interface_nor_beside_a_pair() {
    let mut world = World::underlay(Stack::V4);
    let said = refused(&world, "eth0", &mode(Mode::Overlay));
    assert!(said.contains("it is the pod's first interface; use mode auto or underlay"), "{said}");
    world.attach("eth0", &configuration());
    world.net_nic(1);
    assert!(matches!(world.intend("net1", &mode(Mode::Overlay)), Err(Refusal::TwoStyles { .. })));
    world.records.clear();
    let said = refused(&world, "net1", &mode(Mode::Overlay));
    assert!(said.contains("the pair `veth0` joins the pod to its node already"), "{said}");
}

#[test]
fn overlay_needs_a_way_to_the_node() {
    let mut world = World::underlay(Stack::V4);
    world.net_nic(1);
    let said = refused(&world, "net1", &mode(Mode::Overlay));
    assert!(said.contains("`eth0` does not lead to the node: it is no veth"), "{said}");
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    world.scene.host.links.remove(&name("cali0123"));
    let said = refused(&world, "net1", &configuration());
    assert!(said.contains("its other end is not in the node's namespace"), "{said}");
}

#[test]
fn names_that_others_have() {
    let mut world = World::underlay(Stack::V4);
    world.link(Side::Host, crate::world::HOST_END, LinkKind::Veth, &[]);
    assert!(refused(&world, "eth0", &configuration()).contains("is taken in the host's namespace"));
    let mut world = World::underlay(Stack::V4);
    world.link(Side::Pod, "veth0", LinkKind::Dummy, &[]);
    let said = refused(&world, "eth0", &configuration());
    assert!(said.contains("it is a link of kind `dummy`"), "{said}");
    let mut world = World::new(Stack::V4);
    world.nic("veth0", &["10.9.0.1/24"], &[]);
    assert!(matches!(world.intend("veth0", &configuration()), Err(Refusal::NameReserved { .. })));
}

#[test]
fn a_hardware_address_that_cannot_be_chosen() {
    let prefix = MacPrefix::try_from("0a:1b").unwrap();
    let configuration = Configuration { mac_prefix: Some(prefix), ..configuration() };
    let mut world = World::underlay(Stack::V4);
    let link = world.scene.pod.links.get_mut(&name("eth0")).unwrap();
    link.kind = LinkKind::Ipvlan(Ipvlan { mode: IpvlanMode::L2 });
    let said = refused(&world, "eth0", &configuration);
    assert!(said.contains("an ipvlan has the hardware address of its parent"), "{said}");
    let link = world.scene.pod.links.get_mut(&name("eth0")).unwrap();
    (link.kind, link.mac) = (LinkKind::Plain, None);
    assert!(refused(&world, "eth0", &configuration).contains("it has no Ethernet address"));
}

#[test]
fn ipv6_over_a_small_pair() {
    let veth_mtu = 1000.try_into().unwrap();
    let configuration = Configuration { veth_mtu, ..configuration() };
    assert!(World::underlay(Stack::V4).intend("eth0", &configuration).is_ok());
    let said = refused(&World::underlay(Stack::Dual), "eth0", &configuration);
    assert!(said.contains("vethMTU 1000 is too small"), "{said}");
}

#[test]
fn a_record_of_another_format() {
    let mut world = World::underlay(Stack::V4);
    world.attach("eth0", &configuration());
    world.records[0].format = 9;
    assert!(refused(&world, "eth0", &configuration()).contains("has format 9"));
}

#[test]
fn a_container_whose_id_names_no_link() {
    let world = World::underlay(Stack::V4);
    let mut topology = world.topology("eth0");
    topology.container = "a/b".to_owned();
    let refusal = spiderpool_core::intend::intend(&topology, &configuration()).unwrap_err();
    assert!(matches!(refusal, Refusal::BadContainer { .. }));
}

#[test]
fn disabled_asks_for_nothing() {
    let intended = World::underlay(Stack::Dual).intend("eth0", &mode(Mode::Disabled)).unwrap();
    assert!(intended.intent.wishes.is_empty());
}

#[test]
fn policy_routes_of_two_families_cannot_be_made() {
    let said = PolicyRoute::new("10.0.0.0/8", "fd00::1").unwrap_err().to_string();
    assert!(said.contains("it is not of the family of `dst`"), "{said}");
}
