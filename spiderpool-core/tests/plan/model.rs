//! The model of the kernel, rule by rule: what goes along with an op, and what is refused.

use spiderpool_core::address::Family;
use spiderpool_core::intend::{Intent, Reason, Tenure, Want, Wish};
use spiderpool_core::net::{
    Hop, Link, LinkKind, Macvlan, MacvlanMode, Neighbour, NeighbourState, Route, RouteType, Scene,
    Side, Sysctl, SysctlName, SysctlPlace, Vlan, VlanId, VlanProtocol,
};
use spiderpool_core::plan::kernel::{Errno, perform};
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op, plan};

use crate::build::{
    HOST, POD, act, acts, address, device, disabled, empty, from, link_setting, mac, many, marks,
    name, neighbour, on, on_in, one_nic, plug, routes, set, two_nics, veth, via, via_in,
};

/// A pod with a bare link that is up.
fn bare() -> Scene {
    let mut scene = empty();
    plug(&mut scene, POD, device("eth0", 2));
    act(&mut scene, POD, set("eth0", LinkChange::Up(true)));
    scene
}

fn addresses(scene: &Scene, side: Side, device: &str) -> Vec<String> {
    let own = scene.side(side).addresses.iter().filter(|address| &*address.device == device);
    own.map(|address| address.net.to_string()).collect()
}

fn refused(scene: &mut Scene, side: Side, op: &Op, errno: Errno) {
    let before = scene.clone();
    let refusal = perform(scene, side, op).map_err(|refusal| refusal.errno);
    assert_eq!(refusal, Err(errno), "{op}");
    assert_eq!(*scene, before, "{op} left a trace");
}

const LINK_LOCAL: [&str; 3] = [
    "fe80::/64 dev eth0 table 254 proto kernel metric 256",
    "local fe80::ff:fe00:2/128 dev eth0 table 255 proto kernel",
    "multicast ff00::/8 dev eth0 table 255 proto kernel metric 256",
];

#[test]
fn addresses_make_routes() {
    let mut scene = bare();
    assert_eq!(routes(&scene, POD, "eth0"), LINK_LOCAL);
    act(&mut scene, POD, Op::AddAddress(address("eth0", "10.6.0.10/16")));
    act(&mut scene, POD, Op::AddAddress(address("eth0", "fd00::1/64")));
    let expected = [
        "10.6.0.0/16 dev eth0 table 254 proto kernel scope link src 10.6.0.10",
        "local 10.6.0.10/32 dev eth0 table 255 proto kernel scope host src 10.6.0.10",
        "broadcast 10.6.255.255/32 dev eth0 table 255 proto kernel scope link src 10.6.0.10",
        "fd00::/64 dev eth0 table 254 proto kernel metric 256",
        "local fd00::1/128 dev eth0 table 255 proto kernel",
    ];
    assert_eq!(routes(&scene, POD, "eth0")[..5], expected);
    act(&mut scene, POD, Op::DeleteAddress(address("eth0", "10.6.0.10/16")));
    act(&mut scene, POD, Op::DeleteAddress(address("eth0", "fd00::1/64")));
    assert_eq!(routes(&scene, POD, "eth0"), LINK_LOCAL);
}

#[test]
fn host_addresses_and_bare_ones_make_no_subnet() {
    let mut scene = bare();
    act(&mut scene, POD, Op::AddAddress(address("eth0", "10.6.0.10/32")));
    let mut quiet = address("eth0", "10.7.0.10/16");
    quiet.flags.has_no_prefix_route = true;
    act(&mut scene, POD, Op::AddAddress(quiet));
    let expected = [
        "local 10.6.0.10/32 dev eth0 table 255 proto kernel scope host src 10.6.0.10",
        "local 10.7.0.10/32 dev eth0 table 255 proto kernel scope host src 10.7.0.10",
        "broadcast 10.7.255.255/32 dev eth0 table 255 proto kernel scope link src 10.7.0.10",
    ];
    assert_eq!(routes(&scene, POD, "eth0")[..3], expected);
}

#[test]
fn a_forwarding_link_has_anycast_addresses() {
    let mut scene = bare();
    let forwarding = Sysctl::all(Family::V6, SysctlName::Forwarding);
    act(&mut scene, POD, Op::SetSysctl(forwarding, 1));
    act(&mut scene, POD, Op::AddAddress(address("eth0", "fd00::1/64")));
    let anycast = "anycast fd00::/128 dev eth0 table 255 proto kernel".to_owned();
    assert!(routes(&scene, POD, "eth0").contains(&anycast));
}

#[test]
fn a_primary_takes_its_secondaries() {
    let mut scene = bare();
    let add = |net| Op::AddAddress(address("eth0", net));
    acts(&mut scene, POD, [add("10.6.0.10/16"), add("10.6.0.11/16"), add("10.6.0.12/24")]);
    act(&mut scene, POD, Op::AddRoute(via("10.9.0.0/16", "10.6.0.1", "eth0")));
    act(&mut scene, POD, Op::DeleteAddress(address("eth0", "10.6.0.10/16")));
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.12/24", "fe80::ff:fe00:2/64"]);
    let far = "10.9.0.0/16 via 10.6.0.1 dev eth0 table 254 proto 137".to_owned();
    assert!(routes(&scene, POD, "eth0").contains(&far), "a route without a source stays");
}

#[test]
fn the_last_v4_address_takes_every_v4_route_and_neighbour() {
    let mut scene = bare();
    act(&mut scene, POD, Op::AddAddress(address("eth0", "10.6.0.10/16")));
    act(&mut scene, POD, Op::AddRoute(via_in(101, "10.9.0.0/16", "10.6.0.1", "eth0")));
    act(&mut scene, POD, Op::SetNeighbour(neighbour("eth0", "10.6.0.1", 1)));
    act(&mut scene, POD, Op::SetNeighbour(neighbour("eth0", "fd00::9", 1)));
    act(&mut scene, POD, Op::DeleteAddress(address("eth0", "10.6.0.10/16")));
    assert_eq!(routes(&scene, POD, "eth0"), LINK_LOCAL);
    let left: Vec<_> = scene.pod.neighbours.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(left, ["fd00::9"]);
}

#[test]
fn a_source_goes_with_its_address() {
    let mut scene = two_nics();
    let sourced = |route: Route, source: &str| {
        Op::AddRoute(Route { source: Some(source.parse().unwrap()), ..route })
    };
    act(&mut scene, POD, Op::AddAddress(address("eth0", "10.8.0.1/32")));
    act(&mut scene, POD, sourced(on("10.9.0.0/16", "net1"), "10.8.0.1"));
    act(&mut scene, POD, sourced(on_in(101, "10.10.0.0/16", "net1"), "10.8.0.1"));
    act(&mut scene, POD, sourced(on("fd00:9::/64", "eth0"), "fd00:6::10"));
    act(&mut scene, POD, Op::DeleteAddress(address("eth0", "10.8.0.1/32")));
    act(&mut scene, POD, Op::DeleteAddress(address("eth0", "fd00:6::10/64")));
    let shown = routes(&scene, POD, "net1");
    assert!(!shown.iter().any(|route| route.starts_with("10.9")), "{shown:?}");
    assert!(shown.iter().any(|route| route.starts_with("10.10")), "other tables keep theirs");
    let kept = "fd00:9::/64 dev eth0 table 254 proto 137 metric 1024".to_owned();
    assert!(routes(&scene, POD, "eth0").contains(&kept), "IPv6 loses the source alone");
}

#[test]
fn down_takes_along() {
    let mut scene = two_nics();
    act(
        &mut scene,
        POD,
        Op::AddRoute(many("10.9.0.0/16", &[("10.6.0.1", "eth0"), ("10.7.0.1", "net1")])),
    );
    act(&mut scene, POD, Op::SetNeighbour(neighbour("eth0", "10.6.0.9", 9)));
    act(&mut scene, POD, set("eth0", LinkChange::Up(false)));
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.10/16"]);
    let left = routes(&scene, POD, "eth0");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("local 10.6.0.10/32"), "{left:?}");
    assert!(left[1].starts_with("10.9.0.0/16 table 254"), "it has another way: {left:?}");
    assert!(scene.pod.neighbours.is_empty());
    act(&mut scene, POD, set("net1", LinkChange::Up(false)));
    assert_eq!(routes(&scene, POD, "eth0").len(), 1, "no way is left");
    act(&mut scene, POD, set("eth0", LinkChange::Up(true)));
    let back = routes(&scene, POD, "eth0");
    assert!(back[0].starts_with("10.6.0.0/16 dev eth0 table 254 proto kernel"), "{back:?}");
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.10/16", "fe80::ff:fe00:2/64"]);
}

#[test]
fn a_small_mtu_ends_ipv6() {
    let mut scene = one_nic();
    scene.pod.sysctls.insert(link_setting(Family::V6, "eth0", SysctlName::AcceptDad), 0);
    act(&mut scene, POD, set("eth0", LinkChange::Mtu(1279)));
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.10/16"]);
    assert!(scene.pod.sysctls.is_empty());
    assert!(routes(&scene, POD, "eth0").iter().all(|route| !route.contains("::")));
    let op = Op::AddAddress(address("eth0", "fd00::1/64"));
    refused(&mut scene, POD, &op, Errno::Invalid);
    act(&mut scene, POD, set("eth0", LinkChange::Mtu(1280)));
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.10/16", "fe80::ff:fe00:2/64"]);
}

#[test]
fn disabling_ipv6_takes_along() {
    let mut scene = two_nics();
    act(&mut scene, POD, Op::SetNeighbour(neighbour("eth0", "fd00:6::9", 9)));
    act(&mut scene, POD, Op::SetSysctl(disabled("eth0"), 1));
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.10/16"]);
    assert!(scene.pod.neighbours.is_empty());
    let op = Op::AddAddress(address("eth0", "fd00::1/64"));
    refused(&mut scene, POD, &op, Errno::NoAccess);
    refused(&mut scene, POD, &Op::AddRoute(on("fd00:9::/64", "eth0")), Errno::NoAccess);
    let known = neighbour("eth0", "fd00:6::9", 9);
    refused(&mut scene, POD, &Op::SetNeighbour(known.clone()), Errno::Invalid);
    let proxy = Neighbour { mac: None, state: NeighbourState::Proxy, ..known };
    act(&mut scene, POD, Op::SetNeighbour(proxy));
    assert!(addresses(&scene, POD, "net1").contains(&"fd00:7::10/64".to_owned()));
    let all = |value| Op::SetSysctl(Sysctl::all(Family::V6, SysctlName::DisableIpv6), value);
    act(&mut scene, POD, all(1));
    assert_eq!(addresses(&scene, POD, "net1"), ["10.7.0.10/16"]);
    act(&mut scene, POD, all(0));
    assert_eq!(addresses(&scene, POD, "eth0"), ["10.6.0.10/16", "fe80::ff:fe00:2/64"]);
    let later = Sysctl { place: SysctlPlace::Default, ..disabled("eth0") };
    assert_eq!(scene.pod.sysctls.get(&later), Some(&0));
}

#[test]
fn a_new_mac_takes_neighbours() {
    let mut scene = bare();
    let proxy =
        Neighbour { mac: None, state: NeighbourState::Proxy, ..neighbour("eth0", "10.6.0.8", 0) };
    act(&mut scene, POD, Op::SetNeighbour(proxy.clone()));
    act(&mut scene, POD, Op::SetNeighbour(neighbour("eth0", "10.6.0.9", 9)));
    act(&mut scene, POD, set("eth0", LinkChange::Mac(mac(0x42))));
    assert_eq!(scene.pod.neighbours.iter().collect::<Vec<_>>(), [&proxy]);
    assert_eq!(addresses(&scene, POD, "eth0"), ["fe80::ff:fe00:2/64"], "it stays");
    act(&mut scene, POD, set("eth0", LinkChange::Up(false)));
    act(&mut scene, POD, set("eth0", LinkChange::Up(true)));
    assert_eq!(addresses(&scene, POD, "eth0"), ["fe80::ff:fe00:42/64"]);
    let multicast = spiderpool_core::net::HardwareAddress(vec![1, 0, 0, 0, 0, 1]);
    refused(&mut scene, POD, &set("eth0", LinkChange::Mac(multicast)), Errno::AddressNotAvailable);
}

#[test]
fn a_pair_carries_when_both_ends_are_up() {
    let mut scene = empty();
    act(&mut scene, POD, Op::CreateLink(veth("veth0", "vethc0")));
    act(&mut scene, POD, set("veth0", LinkChange::Up(true)));
    act(&mut scene, POD, Op::AddAddress(address("veth0", "fd00::1/64")));
    assert_eq!(
        routes(&scene, POD, "veth0"),
        [
            "fd00::/64 dev veth0 table 254 proto kernel metric 256",
            "local fd00::1/128 dev veth0 table 255 proto kernel",
        ],
        "up without a carrier: no link-local address, no groups"
    );
    act(&mut scene, HOST, set("vethc0", LinkChange::Up(true)));
    assert_eq!(addresses(&scene, POD, "veth0"), ["fd00::1/64", "fe80::ff:fe00:aa/64"]);
    assert_eq!(addresses(&scene, HOST, "vethc0"), ["fe80::ff:fe00:bb/64"]);
    refused(&mut scene, HOST, &Op::CreateLink(veth("x", "veth0")), Errno::Exists);
}

#[test]
fn deleting_takes_along() {
    let mut scene = one_nic();
    act(&mut scene, POD, Op::CreateLink(veth("veth0", "vethc0")));
    act(&mut scene, HOST, set("vethc0", LinkChange::Up(true)));
    act(&mut scene, HOST, Op::AddRoute(on_in(500, "10.6.0.10/32", "vethc0")));
    act(&mut scene, HOST, Op::SetNeighbour(neighbour("vethc0", "10.6.0.10", 2)));
    act(&mut scene, HOST, Op::CreateLink(vlan("vethc0", "vlan7", 7)));
    act(&mut scene, HOST, Op::AddRule(from("10.1.0.0/16", 5, 500)));
    act(&mut scene, POD, Op::DeleteLink(name("veth0")));
    assert_eq!(scene.host.links.keys().map(|it| &**it).collect::<Vec<_>>(), ["ens3", "lo"]);
    assert!(scene.host.neighbours.is_empty());
    assert!(routes(&scene, HOST, "vethc0").is_empty());
    assert!(scene.host.rules.contains(&from("10.1.0.0/16", 5, 500)));
    refused(&mut scene, HOST, &Op::DeleteLink(name("lo")), Errno::NotSupported);
    refused(&mut scene, HOST, &Op::DeleteLink(name("vethc0")), Errno::NoDevice);
}

fn vlan(parent: &str, text: &str, id: u16) -> NewLink {
    let (id, protocol) = (VlanId::try_from(id).unwrap(), VlanProtocol::Customer);
    let kind = NewKind::Vlan { parent: name(parent), vlan: Vlan { id, protocol } };
    NewLink { name: name(text), kind, mtu: None, mac: None, alias: None }
}

fn macvlan(parent: &str, text: &str) -> NewLink {
    let macvlan = Macvlan { mode: MacvlanMode::Bridge };
    let kind = NewKind::Macvlan { parent: name(parent), macvlan };
    NewLink { name: name(text), kind, mtu: None, mac: Some(mac(0x77)), alias: None }
}

#[test]
fn moving_takes_along() {
    let mut scene = one_nic();
    act(&mut scene, HOST, Op::CreateLink(macvlan("ens3", "mv0")));
    act(&mut scene, HOST, set("mv0", LinkChange::Up(true)));
    act(&mut scene, HOST, Op::AddAddress(address("mv0", "10.2.0.11/16")));
    let (mv0, eth0, net1) = (name("mv0"), name("eth0"), name("net1"));
    let onto = Op::MoveLink { name: mv0.clone(), target: eth0 };
    refused(&mut scene, HOST, &onto, Errno::Exists);
    act(&mut scene, HOST, Op::MoveLink { name: mv0, target: net1 });
    let moved: &Link = &scene.pod.links[&name("net1")];
    assert!(!moved.is_up && matches!(moved.kind, LinkKind::Macvlan(_)));
    assert_eq!(moved.parent.as_ref().unwrap().name, None);
    assert!(addresses(&scene, HOST, "mv0").is_empty() && addresses(&scene, POD, "net1").is_empty());
    act(&mut scene, POD, set("net1", LinkChange::Up(true)));
    assert_eq!(addresses(&scene, POD, "net1"), ["fe80::ff:fe00:77/64"]);
    act(&mut scene, HOST, Op::DeleteLink(name("ens3")));
    assert!(!scene.pod.links.contains_key(&name("net1")), "its parent is gone");
}

#[test]
fn children_follow_their_parent() {
    let mut scene = one_nic();
    act(&mut scene, HOST, Op::CreateLink(vlan("ens3", "vlan7", 7)));
    act(&mut scene, HOST, Op::CreateLink(macvlan("ens3", "mv0")));
    refused(&mut scene, HOST, &Op::CreateLink(vlan("ens3", "other", 7)), Errno::Exists);
    refused(&mut scene, HOST, &set("vlan7", LinkChange::Mtu(1501)), Errno::OutOfRange);
    refused(&mut scene, HOST, &set("mv0", LinkChange::Mtu(1501)), Errno::Invalid);
    acts(&mut scene, HOST, ["vlan7", "mv0"].map(|link| set(link, LinkChange::Up(true))));
    act(&mut scene, HOST, set("ens3", LinkChange::Mtu(1400)));
    act(&mut scene, HOST, set("ens3", LinkChange::Up(false)));
    let state = |scene: &Scene, text: &str| {
        let link = &scene.host.links[&name(text)];
        (link.mtu, link.is_up, link.has_carrier)
    };
    assert_eq!(state(&scene, "vlan7"), (1400, false, false));
    assert_eq!(state(&scene, "mv0"), (1400, true, false));
    refused(&mut scene, HOST, &set("vlan7", LinkChange::Up(true)), Errno::NetworkDown);
    act(&mut scene, HOST, set("ens3", LinkChange::Up(true)));
    assert_eq!(state(&scene, "vlan7"), (1400, true, true));
    assert_eq!(state(&scene, "mv0"), (1400, true, true));
}

#[test]
fn renaming_keeps_all_but_rules() {
    let mut scene = one_nic();
    let mut rule = from("10.1.0.0/16", 5, 500);
    rule.input = Some(name("eth0"));
    act(&mut scene, POD, Op::AddRule(rule.clone()));
    let before = routes(&scene, POD, "eth0").len();
    act(&mut scene, POD, set("eth0", LinkChange::Name(name("net9"))));
    assert_eq!(routes(&scene, POD, "net9").len(), before);
    assert_eq!(addresses(&scene, POD, "net9").len(), 3);
    assert!(scene.pod.rules.contains(&rule));
    refused(&mut scene, POD, &set("net9", LinkChange::Name(name("lo"))), Errno::Exists);
}

#[test]
fn routes_are_refused_as_by_the_kernel() {
    let mut scene = two_nics();
    let mut check = |route: Route, errno| refused(&mut scene, POD, &Op::AddRoute(route), errno);
    check(via("10.9.0.0/16", "10.99.0.1", "eth0"), Errno::NetworkUnreachable);
    check(via("10.9.0.0/16", "10.7.0.1", "eth0"), Errno::NetworkUnreachable);
    check(via("0.0.0.0/0", "10.6.0.2", "eth0"), Errno::Exists);
    check(via("::/0", "fd00:7::1", "net1"), Errno::Exists);
    check(via("fd00:9::/64", "fd00:99::1", "eth0"), Errno::HostUnreachable);
    check(via("fd00:9::/64", "fd00:6::10", "eth0"), Errno::Invalid);
    check(on("10.9.0.0/16", "nope"), Errno::NoDevice);
    check(on("10.9.0.1/16", "eth0"), Errno::Invalid);
    let source = Some("10.99.0.1".parse().unwrap());
    check(Route { source, ..on("10.9.0.0/16", "eth0") }, Errno::Invalid);
    refused(&mut scene, POD, &Op::DeleteRoute(on("10.9.0.0/16", "eth0")), Errno::NoSuchRoute);
    act(&mut scene, POD, set("net1", LinkChange::Up(false)));
    refused(&mut scene, POD, &Op::AddRoute(on("10.9.0.0/16", "net1")), Errno::NetworkDown);
    refused(&mut scene, POD, &Op::AddRoute(on("fd00:9::/64", "net1")), Errno::NetworkDown);
}

/// Plugins append a second default route beside that of another interface, and it must come back.
#[test]
fn a_second_route_of_the_same_key_is_appended_and_comes_back() {
    let mut scene = two_nics();
    let second = via("0.0.0.0/0", "10.7.0.1", "net1");
    let append = Op::AppendRoute(second.clone());
    act(&mut scene, POD, append.clone());
    refused(&mut scene, POD, &append, Errno::Exists);
    refused(&mut scene, POD, &Op::AppendRoute(via("::/0", "fd00:7::1", "net1")), Errno::Invalid);
    let (want, reason) = (Want::NoRoute(second), Reason::DefaultRoute);
    let wish = Wish { side: POD, want, tenure: Tenure::Attachment, reason };
    let planned = plan(&scene, &Intent { wishes: vec![wish] }).unwrap();
    assert_eq!(planned.steps[0].undo, [(POD, append)]);
    assert_eq!(planned.losses().count(), 0);
}

#[test]
fn gateways_are_reached_by_their_table_or_by_rules() {
    let mut scene = bare();
    let default = |table| Op::AddRoute(via_in(table, "0.0.0.0/0", "169.254.1.1", "eth0"));
    act(&mut scene, POD, Op::AddAddress(address("eth0", "10.6.0.10/32")));
    act(&mut scene, POD, Op::AddRoute(on_in(101, "169.254.1.1/32", "eth0")));
    act(&mut scene, POD, default(101));
    refused(&mut scene, POD, &default(102), Errno::NetworkUnreachable);
    let all = spiderpool_core::net::Rule::new(Family::V4, 999, 101);
    act(&mut scene, POD, Op::AddRule(all));
    act(&mut scene, POD, default(102));
    let mut onlink = via_in(103, "0.0.0.0/0", "10.99.0.1", "eth0");
    onlink.hops[0].is_onlink = true;
    act(&mut scene, POD, Op::AddRoute(onlink));
    act(&mut scene, POD, Op::AddRoute(via_in(103, "::/0", "fe80::1", "eth0")));
}

#[test]
fn what_ipv6_drops_it_drops_at_loopback() {
    let mut scene = bare();
    let loopback = Hop::on(name("lo"));
    let plain =
        Route { kind: RouteType::Unreachable, ..Route::new("fd00:9::/64".parse().unwrap(), 254) };
    act(&mut scene, POD, Op::AddRoute(Route { hops: vec![loopback], ..plain.clone() }));
    assert!(scene.pod.routes.contains(&plain), "no link is told");
    act(&mut scene, POD, set("lo", LinkChange::Up(true)));
    act(&mut scene, POD, Op::SetSysctl(disabled("lo"), 1));
    assert!(!scene.pod.routes.contains(&plain));
}

#[test]
fn what_is_there_is_not_made_again() {
    let mut scene = one_nic();
    let rule = from("10.6.0.10/32", 1001, 101);
    act(&mut scene, POD, Op::AddRule(rule.clone()));
    refused(&mut scene, POD, &Op::AddRule(rule.clone()), Errno::Exists);
    let other =
        spiderpool_core::net::Rule { protocol: spiderpool_core::net::RouteProtocol::BOOT, ..rule };
    refused(&mut scene, POD, &Op::DeleteRule(other.clone()), Errno::NoEntry);
    act(&mut scene, POD, Op::AddRule(other));
    act(&mut scene, POD, Op::AddMarks(marks("eth0")));
    refused(&mut scene, POD, &Op::AddMarks(marks("eth0")), Errno::Exists);
    refused(&mut scene, POD, &Op::AddAddress(address("eth0", "10.6.0.10/16")), Errno::Exists);
    refused(&mut scene, POD, &Op::AddAddress(address("eth0", "fd00:6::10/80")), Errno::Exists);
    let op = Op::DeleteAddress(address("eth0", "10.6.0.99/16"));
    refused(&mut scene, POD, &op, Errno::AddressNotAvailable);
    refused(
        &mut scene,
        POD,
        &Op::DeleteNeighbour(neighbour("eth0", "10.6.0.9", 1)),
        Errno::NoEntry,
    );
    refused(&mut scene, POD, &Op::SetSysctl(disabled("nope"), 1), Errno::NoEntry);
}

#[test]
fn a_bond_takes_ports_that_are_down_and_their_ipv6() {
    let mut scene = one_nic();
    let bond = NewLink {
        name: name("bond0"),
        kind: NewKind::Bond(spiderpool_core::net::Bond::default()),
        mtu: None,
        mac: None,
        alias: None,
    };
    act(&mut scene, HOST, Op::CreateLink(bond));
    let attach = set("ens3", LinkChange::Controller(Some(name("bond0"))));
    refused(&mut scene, HOST, &attach, Errno::NotPermitted);
    act(&mut scene, HOST, set("ens3", LinkChange::Up(false)));
    act(&mut scene, HOST, attach);
    assert!(scene.host.links[&name("ens3")].is_up);
    assert_eq!(addresses(&scene, HOST, "ens3"), ["10.2.0.10/16"]);
    act(&mut scene, HOST, set("bond0", LinkChange::Up(true)));
    assert_eq!(
        addresses(&scene, HOST, "bond0"),
        ["fe80::ff:fe00:3/64"],
        "the first port's address"
    );
    act(&mut scene, HOST, Op::DeleteLink(name("bond0")));
    assert_eq!(scene.host.links[&name("ens3")].controller, None);
    assert!(!scene.host.links[&name("ens3")].is_up);
}
