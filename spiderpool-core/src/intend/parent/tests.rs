//! The table of reference section 2.2, its defects mended.

use super::*;
use crate::net::Scene;
use crate::net::{
    Address, BondOption, HardwareAddress, LinkKind, Parent, Route, VlanId, VlanProtocol, table,
};
use crate::plan::{NewKind, kernel, plan};

fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

fn link(called: &str, kind: LinkKind) -> Link {
    Link {
        name: name(called),
        index: 1,
        kind,
        mac: Some(HardwareAddress(vec![2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        is_up: false,
        has_carrier: false,
        is_broadcast: true,
        is_multicast: true,
        tx_queue_length: 1000,
        parent: None,
        controller: None,
        alias: None,
        functions: Vec::new(),
    }
}

fn tag(id: u16) -> Vlan {
    Vlan { id: VlanId::try_from(id).unwrap(), protocol: VlanProtocol::Customer }
}

fn on(called: &str, parent: &str, vlan: Vlan) -> Link {
    let below = Parent { name: Some(name(parent)), index: 1, netns_id: None };
    Link { parent: Some(below), ..link(called, LinkKind::Vlan(vlan)) }
}

fn port(called: &str, controller: &str) -> Link {
    Link { controller: Some(name(controller)), ..link(called, LinkKind::Plain) }
}

fn bonded(called: &str, options: &str) -> Link {
    link(called, LinkKind::Bond(Bond::parse(options).unwrap()))
}

/// A node with three NICs, and `more`.
fn node(more: impl IntoIterator<Item = Link>) -> Observed {
    let nics = ["eth0", "eth1", "eth2"].map(|nic| link(nic, LinkKind::Plain));
    let links = nics.into_iter().chain([link("lo", LinkKind::Plain)]).chain(more);
    Observed { links: links.map(|link| (link.name.clone(), link)).collect(), ..Observed::default() }
}

fn asked(interfaces: &[&str], vlan: Option<u16>, bond: Option<&str>) -> ParentConfiguration {
    ParentConfiguration {
        interfaces: interfaces.iter().map(|interface| name(interface)).collect(),
        bond: bond.map(|options| ParentBond {
            name: name("sp_bond0"),
            options: Bond::parse(options).unwrap(),
        }),
        vlan: vlan.map(tag),
        mtu: None,
        addresses: NodeAddresses::Keep,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what no parent is wished to be")]
fn shown(want: &Want) -> String {
    match want {
        Want::Link(new) => match &new.kind {
            NewKind::Bond(bond) => format!("{} bond [{bond}]", new.name),
            NewKind::Vlan { parent, vlan } => format!("{} vlan {} on {parent}", new.name, vlan.id),
            other => panic!("{other:?}"),
        },
        Want::Setting { link, change } => match change {
            LinkChange::Up(true) => format!("{link} up"),
            LinkChange::Mtu(mtu) => format!("{link} mtu {mtu}"),
            LinkChange::Controller(Some(controller)) => format!("{link} in {controller}"),
            LinkChange::Bond(bond) => format!("{link} [{bond}]"),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn wished(host: &Observed, configuration: &ParentConfiguration) -> String {
    match parents(host, configuration) {
        Ok(parents) => {
            let wishes = parents.intent.wishes.iter().map(|wish| shown(&wish.want));
            wishes.collect::<Vec<_>>().join("; ")
        }
        Err(refusal) => format!("NO: {refusal}"),
    }
}

#[track_caller]
fn check(host: &Observed, configuration: &ParentConfiguration, expected: &str) {
    assert_eq!(wished(host, configuration), expected);
}

#[track_caller]
fn refused(host: &Observed, configuration: &ParentConfiguration, reason: &str) {
    let told = wished(host, configuration);
    assert!(told.starts_with("NO: ") && told.contains(reason), "{told}");
}

#[test]
fn the_table_of_the_reference() {
    let node = node([]);
    check(&node, &asked(&["eth1"], None, None), "eth1 up");
    check(&node, &asked(&["eth1"], None, Some("mode=1")), "eth1 up");
    check(
        &node,
        &asked(&["eth1"], Some(100), None),
        "eth1 up; eth1.100 vlan 100 on eth1; eth1.100 up",
    );
    let bond = "sp_bond0 bond [mode active-backup]; eth1 in sp_bond0; eth1 up; eth2 in sp_bond0; eth2 up; sp_bond0 up";
    check(&node, &asked(&["eth1", "eth2"], None, Some("mode=1")), bond);
    let vlan = format!("{bond}; sp_bond0.7 vlan 7 on sp_bond0; sp_bond0.7 up");
    check(&node, &asked(&["eth1", "eth2"], Some(7), Some("mode=1")), &vlan);
    let top = |configuration| parents(&node, &configuration).unwrap().top.to_string();
    assert_eq!(top(asked(&["eth1", "eth2"], Some(7), Some("mode=1"))), "sp_bond0.7");
    assert_eq!(top(asked(&["eth1"], None, None)), "eth1");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let node = node([]);
    refused(&node, &asked(&[], None, None), "no interface is given");
    refused(&node, &asked(&["eth1", "eth1"], None, Some("mode=1")), "`eth1` is given twice");
    refused(&node, &asked(&["eth1", "eth2"], Some(5), None), "eth1, eth2 are several");
    refused(&node, &asked(&["eth9"], None, None), "no interface `eth9`; it has eth0, eth1");
    refused(&node, &asked(&["eth1", "lo"], None, Some("mode=1")), "`lo` cannot be a bond's port");
    refused(&node, &asked(&["eth1", "sp_bond0"], None, Some("")), "cannot be its own port");
    let bad = asked(&["eth1", "eth2"], None, Some("mode=1;lacp_rate=1"));
    assert!(matches!(parents(&node, &bad), Err(ParentRefusal::BadBond(_))));
    let stranger = asked(&["eth1", "eth2"], None, Some("mode=1;primary=eth0"));
    refused(
        &node,
        &stranger,
        "`primary` is `eth0`, which is no port of the bond: choose one of eth1",
    );
}

#[test]
fn vlan_numbers_may_repeat_on_other_parents() {
    let node = node([on("eth0.100", "eth0", tag(100)), on("other", "eth2", tag(100))]);
    check(
        &node,
        &asked(&["eth1"], Some(100), None),
        "eth1 up; eth1.100 vlan 100 on eth1; eth1.100 up",
    );
}

#[test]
fn a_number_under_another_name_is_refused() {
    let other = node([on("vlan100", "eth1", tag(100))]);
    refused(
        &other,
        &asked(&["eth1"], Some(100), None),
        "VLAN 100 is on `eth1` already, as `vlan100`",
    );
    // The provider's tags count apart from the customers'.
    let provider = Vlan { protocol: VlanProtocol::Provider, ..tag(100) };
    let outer = ParentConfiguration { vlan: Some(provider), ..asked(&["eth1"], None, None) };
    check(&other, &outer, "eth1 up; eth1.100 vlan 100 on eth1; eth1.100 up");
}

#[test]
fn a_vlan_that_is_there_is_verified() {
    let asked = asked(&["eth1"], Some(100), None);
    let expected = "eth1 up; eth1.100 vlan 100 on eth1; eth1.100 up";
    check(&node([on("eth1.100", "eth1", tag(100))]), &asked, expected);
    let told = "`eth1.100` is VLAN 100 on eth2, and VLAN 100 on eth1 is wanted";
    refused(&node([on("eth1.100", "eth2", tag(100))]), &asked, told);
    let told = "`eth1.100` is VLAN 7 on eth1, and VLAN 100 on eth1 is wanted";
    refused(&node([on("eth1.100", "eth1", tag(7))]), &asked, told);
    refused(&node([link("eth1.100", LinkKind::Dummy)]), &asked, "is a link of kind dummy");
}

#[test]
fn names_that_no_link_can_have_are_refused_with_advice() {
    let node = node([link("enp0s31f6np0", LinkKind::Plain)]);
    refused(
        &node,
        &asked(&["enp0s31f6np0"], Some(4094), None),
        "`enp0s31f6np0.4094` is too long for a link's name: rename `enp0s31f6np0`",
    );
    refused(&node, &asked(&["enp0s31f6np0"], Some(4094), None), "with 10 bytes or fewer");
    assert!(!wished(&node, &asked(&["enp0s31f6np0"], Some(10), None)).starts_with("NO"));
}

#[test]
fn a_half_built_bond_is_completed() {
    let both = asked(&["eth1", "eth2"], None, Some("mode=1;miimon=100;active_slave=eth2"));
    let ports = "eth1 in sp_bond0; eth1 up; eth2 in sp_bond0; eth2 up";
    let options = "sp_bond0 bond []; sp_bond0 [mode active-backup miimon 100]";
    // As it is after an ADD that was killed: some ports, not all; the wrong mode and none.
    let half = node([bonded("sp_bond0", "mode=1;miimon=0"), port("eth1", "sp_bond0")]);
    let first = format!("{options}; {ports}; sp_bond0 [active_slave eth2]; sp_bond0 up");
    check(&half, &both, &first);
    check(&node([bonded("sp_bond0", "mode=0")]), &both, &first);
    let seen = bonded("sp_bond0", "mode=1;miimon=100;active_slave=eth1");
    let whole = node([seen, port("eth1", "sp_bond0"), port("eth2", "sp_bond0")]);
    check(&whole, &both, &format!("{options}; {ports}; sp_bond0 up"));
}

#[test]
fn a_port_that_counts_most_is_chosen_after_the_ports() {
    let primary = asked(&["eth1", "eth2"], None, Some("mode=1;primary=eth1"));
    check(
        &node([]),
        &primary,
        "sp_bond0 bond [mode active-backup]; eth1 in sp_bond0; eth1 up; eth2 in sp_bond0; eth2 up; sp_bond0 [primary eth1]; sp_bond0 up",
    );
}

#[test]
fn somebody_elses_bond_is_refused() {
    let both = asked(&["eth1", "eth2"], None, Some("mode=1"));
    let foreign = node([bonded("sp_bond0", "mode=1"), port("eth0", "sp_bond0")]);
    refused(&foreign, &both, "has the port `eth0`, and only eth1, eth2 are configured");
    refused(
        &node([link("sp_bond0", LinkKind::Bridge)]),
        &both,
        "is a link of kind bridge, and a bond",
    );
    refused(&node([port("eth1", "br0")]), &both, "`eth1` is a port of `br0`");
    let works = node([bonded("sp_bond0", "mode=4"), port("eth1", "sp_bond0")]);
    refused(&works, &both, "has mode 802.3ad, and mode active-backup is wanted");
}

#[test]
fn what_the_node_lives_on_is_not_enslaved() {
    let both = asked(&["eth1", "eth2"], None, Some("mode=1"));
    let with = |device: &str, net: &str, more: Vec<Link>| {
        let mut node = node(more);
        node.addresses.insert(Address::new(name(device), net.parse().unwrap()));
        node
    };
    refused(
        &with("eth1", "10.0.0.5/24", vec![]),
        &both,
        "the node's address 10.0.0.5/24 on `eth1`",
    );
    let above = vec![on("eth2.5", "eth2", tag(5)), on("eth2.5.6", "eth2.5", tag(6))];
    refused(&with("eth2.5.6", "fd00::5/64", above), &both, "fd00::5/64 on `eth2.5.6`");
    assert!(!wished(&with("eth1", "fe80::1/64", vec![]), &both).starts_with("NO"));
    assert!(!wished(&with("eth0", "10.0.0.5/24", vec![]), &both).starts_with("NO"));
    // On one interface nothing is taken from it.
    assert_eq!(
        wished(&with("eth1", "10.0.0.5/24", vec![]), &asked(&["eth1"], None, None)),
        "eth1 up"
    );

    let mut routed = node([]);
    let gateway = "fe80::1".parse().unwrap();
    let default = Route::via("::/0".parse().unwrap(), table::MAIN, gateway, name("eth2"));
    routed.routes.insert(default);
    refused(&routed, &both, "`eth2` carries the node's default route to ::/0");

    let given_up = ParentConfiguration { addresses: NodeAddresses::GiveUp, ..both.clone() };
    assert!(!wished(&with("eth1", "10.0.0.5/24", vec![]), &given_up).starts_with("NO"));
    // A port keeps what it has while it is one.
    let enslaved = vec![bonded("sp_bond0", "mode=1"), port("eth1", "sp_bond0")];
    assert!(!wished(&with("eth1", "10.0.0.5/24", enslaved), &both).starts_with("NO"));
}

#[test]
fn the_mtu_is_that_of_what_pods_rest_on() {
    let with = |mtu: u32, configuration| ParentConfiguration { mtu: Some(mtu), ..configuration };
    let vlan = with(1400, asked(&["eth1"], Some(5), None));
    let made = parents(&node([]), &vlan).unwrap();
    let new = made
        .intent
        .wishes
        .iter()
        .find_map(|wish| if let Want::Link(new) = &wish.want { Some(new.mtu) } else { None });
    assert_eq!(new, Some(Some(1400)));
    let there = node([on("eth1.5", "eth1", tag(5))]);
    check(&there, &vlan, "eth1 up; eth1.5 vlan 5 on eth1; eth1.5 mtu 1400; eth1.5 up");
    refused(
        &there,
        &with(9000, asked(&["eth1"], Some(5), None)),
        "more than `eth1` carries: give 1500",
    );
    refused(&there, &with(9000, asked(&["eth1"], None, None)), "more than `eth1` carries");
    // A bond is for pods, and its ports follow it.
    let jumbo = with(9000, asked(&["eth1", "eth2"], Some(5), Some("mode=1")));
    assert!(wished(&node([bonded("sp_bond0", "mode=1")]), &jumbo).contains("sp_bond0 mtu 9000"));
    assert!(!wished(&node([]), &jumbo).starts_with("NO"));
    let small = with(1400, asked(&["eth1", "eth2"], Some(5), Some("mode=1")));
    assert!(!wished(&node([bonded("sp_bond0", "mode=1")]), &small).contains("sp_bond0 mtu"));
}

#[test]
fn every_wish_is_the_nodes() {
    let all = asked(&["eth1", "eth2"], Some(5), Some("mode=1;primary=eth1"));
    let parents = parents(&node([]), &all).unwrap();
    for wish in &parents.intent.wishes {
        let kept = (Side::Host, Tenure::Node, Reason::ParentInterface);
        assert_eq!((wish.side, wish.tenure, wish.reason), kept);
    }
    let links: Vec<_> = parents.links.iter().map(LinkName::as_str).collect();
    assert_eq!(links, ["eth1", "eth2", "sp_bond0", "sp_bond0.5"]);
    assert_eq!(BondOption::named("primary"), Some(BondOption::Primary));
}

/// Plans for a host, performs them on the model of the kernel, and looks again; gives the commands.
#[track_caller]
fn arrives(host: &Observed, configuration: &ParentConfiguration) -> Vec<String> {
    let mut scene = Scene { host: host.clone(), pod: Observed::default() };
    let intent = parents(&scene.host, configuration).unwrap().intent;
    let steps = plan(&scene, &intent).unwrap().steps;
    for step in &steps {
        assert_eq!(step.undo, [], "what is the node's is not undone");
        kernel::perform(&mut scene, step.side, &step.op).unwrap();
    }
    let again = parents(&scene.host, configuration).unwrap().intent;
    assert!(plan(&scene, &again).unwrap().is_empty(), "it rests");
    steps.iter().map(|step| step.op.to_string()).collect()
}

#[test]
fn plans_for_parents_arrive_and_rest() {
    let both = asked(&["eth1", "eth2"], Some(7), Some("mode=1;miimon=100;primary=eth2"));
    let mut up = node([]);
    for link in up.links.values_mut() {
        link.is_up = true;
    }
    let commands = arrives(&up, &both).join("\n");
    for part in [
        "ip link add name sp_bond0 type bond mode active-backup miimon 100",
        "ip link set eth1 down\nip link set eth1 master sp_bond0",
        "type bond primary eth2",
        "type vlan",
    ] {
        assert!(commands.contains(part), "{part} in\n{commands}");
    }
    arrives(&node([]), &asked(&["eth1"], Some(7), None));
    arrives(&node([on("eth1.7", "eth1", tag(7))]), &asked(&["eth1"], Some(7), None));
}

#[test]
fn a_bond_goes_down_for_what_needs_it() {
    let fast = asked(&["eth1", "eth2"], None, Some("mode=4;miimon=100;lacp_rate=fast"));
    let bond = Link { is_up: true, ..bonded("sp_bond0", "mode=4;miimon=50;lacp_rate=slow") };
    let ports = ["eth1", "eth2"].map(|nic| Link { is_up: true, ..port(nic, "sp_bond0") });
    let commands = arrives(&node(ports.into_iter().chain([bond.clone()])), &fast);
    let expected = [
        "ip link set sp_bond0 down",
        "ip link set sp_bond0 type bond miimon 100 lacp_rate fast",
        "ip link set sp_bond0 up",
    ];
    assert_eq!(commands, expected);
    // Without ports the mode is mended, too.
    let other = asked(&["eth1", "eth2"], None, Some("mode=1"));
    let commands = arrives(&node([bond]), &other);
    assert_eq!(
        commands[..2],
        ["ip link set sp_bond0 down", "ip link set sp_bond0 type bond mode active-backup"]
    );
}
