//! Plans of known intents: their steps, their order, and what they refuse.

use spiderpool_core::address::Family;
use spiderpool_core::intend::{Intent, Tenure, Want};
use spiderpool_core::net::{
    Bond, BondOption, BondValue, LinkKind, Marking, Object, Route, RouteProtocol, Rule, Scene,
    Side, Sysctl, SysctlName,
};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{LinkChange, LossCause, NewKind, NewLink, Op, Plan, PlanRefusal, plan};

use crate::build::{
    HOST, POD, act, address, device, disabled, from, intent, link_setting, mac, marked, marks,
    name, neighbour, on_in, one_nic, plug, set, theirs, two_nics, veth, via, via_in,
};

fn planned(scene: &Scene, intent: &Intent) -> Plan {
    plan(scene, intent).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn lines(planned: &Plan) -> Vec<String> {
    planned.steps.iter().map(|step| format!("{} {}", step.side, step.op)).collect()
}

fn undo(planned: &Plan) -> Vec<String> {
    let undo = planned.steps.iter().rev().flat_map(|step| &step.undo);
    undo.map(|(side, op)| format!("{side} {op}")).collect()
}

fn check(scene: &Scene, wants: Vec<(Side, Want)>, expected: &[&str]) -> Plan {
    let planned = planned(scene, &intent(wants));
    assert_eq!(lines(&planned), expected);
    planned
}

fn held(scene: &Scene, want: Want) {
    let planned = planned(scene, &intent([(POD, want)]));
    assert!(planned.is_empty(), "{planned}");
}

/// The wishes for the second interface of a pod, in the order in which people would read them.
fn second_interface() -> Vec<(Side, Want)> {
    let setting = |link, change| Want::Setting { link: name(link), change };
    vec![
        (POD, Want::NoRoute(theirs(via("0.0.0.0/0", "10.6.0.1", "eth0")))),
        (POD, Want::Marks(marks("veth0"))),
        (POD, Want::Rule(marked(Family::V4, 1000, 100))),
        (POD, Want::Rule(from("10.7.0.10/32", 1001, 101))),
        (POD, Want::Route(via_in(254, "10.9.0.0/16", "10.8.0.1", "net1"))),
        (POD, Want::Route(via_in(100, "0.0.0.0/0", "10.2.0.10", "veth0"))),
        (POD, Want::Route(via_in(254, "10.8.0.1/32", "10.7.0.1", "net1"))),
        (POD, Want::Route(on_in(100, "10.2.0.10/32", "veth0"))),
        (POD, Want::Route(via("0.0.0.0/0", "10.7.0.1", "net1"))),
        (POD, Want::Neighbour(neighbour("veth0", "10.2.0.10", 0xbb))),
        (POD, setting("veth0", LinkChange::Up(true))),
        (HOST, setting("vethc0", LinkChange::Up(true))),
        (
            HOST,
            Want::Sysctl(
                link_setting(Family::V6, "vethc0", SysctlName::AcceptRouterAdvertisements),
                0,
            ),
        ),
        (POD, Want::Link(veth("veth0", "vethc0"))),
        (POD, setting("net1", LinkChange::Mac(mac(0x42)))),
        (POD, Want::Sysctl(Sysctl::all(Family::V6, SysctlName::DisableIpv6), 0)),
    ]
}

#[test]
fn steps_go_from_the_ground_up() {
    let mut scene = two_nics();
    scene.pod.sysctls.insert(Sysctl::all(Family::V6, SysctlName::DisableIpv6), 1);
    let mut wants = second_interface();
    wants.retain(|(_, want)| !matches!(want, Want::Route(route) if route.destination.addr().to_string() == "10.9.0.0"));
    wants.retain(|(_, want)| !matches!(want, Want::Route(route) if route.destination.addr().to_string() == "10.8.0.1"));
    let planned = check(
        &scene,
        wants,
        &[
            "pod sysctl -w net/ipv6/conf/all/disable_ipv6=0",
            "pod ip link add name veth0 mtu 1500 address 02:00:00:00:00:aa alias 'spiderpool c0ffee' \
             type veth peer name vethc0 mtu 1500 address 02:00:00:00:00:bb \
             alias 'spiderpool c0ffee' netns OTHER",
            "host sysctl -w net/ipv6/conf/vethc0/accept_ra=0",
            "pod ip link set net1 address 02:00:00:00:00:42",
            "pod ip link set veth0 up",
            "host ip link set vethc0 up",
            "pod ip neighbour replace 10.2.0.10 lladdr 02:00:00:00:00:bb nud permanent dev veth0 \
             protocol 137",
            "pod ip route add 10.2.0.10/32 dev veth0 table 100 proto 137 scope link",
            "pod ip route add default via 10.2.0.10 dev veth0 table 100 proto 137",
            "pod ip route delete default via 10.6.0.1 dev eth0 table 254 proto static",
            "pod ip route add default via 10.7.0.1 dev net1 table 254 proto 137",
            "pod ip rule add priority 1000 from all fwmark 0x1/0x1 lookup 100 protocol 137",
            "pod ip rule add priority 1001 from 10.7.0.10/32 lookup 101 protocol 137",
            &format!("pod {}", Op::AddMarks(marks("veth0"))),
        ],
    );
    assert_eq!(planned.losses().count(), 0);
    assert_eq!(
        undo(&planned)[3..8],
        [
            "pod ip route delete default via 10.7.0.1 dev net1 table 254 proto 137",
            "pod ip route add default via 10.6.0.1 dev eth0 table 254 proto static",
            "pod ip route delete default via 10.2.0.10 dev veth0 table 100 proto 137",
            "pod ip route delete 10.2.0.10/32 dev veth0 table 100 proto 137 scope link",
            "pod ip neighbour delete 10.2.0.10 dev veth0",
        ]
    );
}

#[test]
fn a_gateway_waits_for_the_route_to_it() {
    let wants = vec![
        (POD, Want::Route(via_in(101, "0.0.0.0/0", "169.254.1.1", "eth0"))),
        (POD, Want::Route(on_in(101, "169.254.1.1/32", "eth0"))),
    ];
    check(
        &one_nic(),
        wants,
        &[
            "pod ip route add 169.254.1.1/32 dev eth0 table 101 proto 137 scope link",
            "pod ip route add default via 169.254.1.1 dev eth0 table 101 proto 137",
        ],
    );
    let far = vec![(POD, Want::Route(via("10.9.0.0/16", "10.99.0.1", "eth0")))];
    let refusal = plan(&one_nic(), &intent(far)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the pod side would refuse `ip route add 10.9.0.0/16 via 10.99.0.1 dev eth0 table 254 proto 137`"
    );
    let cause = std::error::Error::source(&refusal).unwrap().to_string();
    assert_eq!(cause, "ENETUNREACH: its gateway is not on a connected subnet");
}

#[test]
fn what_somebody_else_made_serves_as_well() {
    let mut scene = two_nics();
    let rule = from("10.7.0.10/32", 1001, 101);
    act(&mut scene, POD, Op::AddRule(Rule { protocol: RouteProtocol::BOOT, ..rule.clone() }));
    let known = neighbour("eth0", "10.6.0.9", 9);
    let foreign =
        spiderpool_core::net::Neighbour { protocol: RouteProtocol::UNSPECIFIED, ..known.clone() };
    act(&mut scene, POD, Op::SetNeighbour(foreign));
    scene.pod.sysctls.insert(disabled("eth0"), 0);
    held(&scene, Want::Route(via("0.0.0.0/0", "10.6.0.1", "eth0")));
    held(&scene, Want::Route(via("::/0", "fd00:6::1", "eth0")));
    held(&scene, Want::Rule(rule.clone()));
    held(&scene, Want::Neighbour(known.clone()));
    held(&scene, Want::Address(address("eth0", "10.6.0.10/16")));
    held(&scene, Want::Sysctl(disabled("eth0"), 0));
    held(&scene, Want::Setting { link: name("eth0"), change: LinkChange::Mtu(1500) });
    held(&scene, Want::NoLink(name("veth0")));
    // What is ours is to go; what is theirs is not.
    held(&scene, Want::NoRoute(via("0.0.0.0/0", "10.6.0.1", "eth0")));
    held(&scene, Want::NoRule(rule));
    held(&scene, Want::NoNeighbour(known));
}

#[test]
fn what_is_not_ours_is_not_replaced() {
    let mut scene = two_nics();
    let known = neighbour("eth0", "10.6.0.9", 9);
    let foreign =
        spiderpool_core::net::Neighbour { protocol: RouteProtocol::STATIC, ..known.clone() };
    act(&mut scene, POD, Op::SetNeighbour(foreign));
    let wants = [
        Want::Route(via("0.0.0.0/0", "10.7.0.1", "net1")),
        Want::Route(via("::/0", "fd00:7::1", "net1")),
        Want::Neighbour(neighbour("eth0", "10.6.0.9", 8)),
        Want::Address(address("eth0", "fd00:6::10/80")),
    ];
    for want in wants {
        let refusal = plan(&scene, &intent([(POD, want.clone())])).unwrap_err();
        assert!(matches!(refusal, PlanRefusal::Foreign { .. }), "{want}: {refusal}");
    }
    let refusal = plan(&scene, &intent([(POD, Want::Route(via("0.0.0.0/0", "10.7.0.1", "net1")))]));
    assert_eq!(
        refusal.unwrap_err().to_string(),
        "the pod side holds route default via 10.6.0.1 dev eth0 table 254 proto static, which is not \
         ours, where route default via 10.7.0.1 dev net1 table 254 proto 137 should be; remove it, or \
         choose another table, metric or priority"
    );
}

#[test]
fn what_is_ours_is_replaced_and_comes_back() {
    let mut scene = two_nics();
    act(&mut scene, POD, Op::AddRoute(via_in(101, "0.0.0.0/0", "10.6.0.1", "eth0")));
    let planned = check(
        &scene,
        vec![(POD, Want::Route(via_in(101, "0.0.0.0/0", "10.7.0.1", "net1")))],
        &[
            "pod ip route delete default via 10.6.0.1 dev eth0 table 101 proto 137",
            "pod ip route add default via 10.7.0.1 dev net1 table 101 proto 137",
        ],
    );
    assert_eq!(
        undo(&planned),
        [
            "pod ip route delete default via 10.7.0.1 dev net1 table 101 proto 137",
            "pod ip route add default via 10.6.0.1 dev eth0 table 101 proto 137",
        ]
    );
}

#[test]
fn half_a_pair_is_made_anew_and_others_links_are_not() {
    let mut scene = one_nic();
    plug(&mut scene, HOST, device("vethc0", 7));
    let pair = || vec![(POD, Want::Link(veth("veth0", "vethc0")))];
    let remade = planned(&scene, &intent(pair()));
    assert_eq!(lines(&remade)[0], "host ip link delete vethc0");
    assert_eq!(remade.steps.len(), 2);
    assert_eq!(remade.losses().next().unwrap().cause, LossCause::Unmakeable);
    scene.host.links.get_mut(&name("vethc0")).unwrap().kind = LinkKind::Bridge;
    let refusal = plan(&scene, &intent(pair())).unwrap_err();
    assert!(
        refusal.to_string().starts_with(
            "the host side has a link `vethc0` already, bridge, but `ip link add name veth0"
        ),
        "{refusal}"
    );
}

#[test]
fn a_pair_that_is_there_is_mended() {
    let mut scene = one_nic();
    act(&mut scene, POD, Op::CreateLink(veth("veth0", "vethc0")));
    let pair = vec![(POD, Want::Link(veth("veth0", "vethc0")))];
    assert!(planned(&scene, &intent(pair.clone())).is_empty());
    act(&mut scene, HOST, set("vethc0", LinkChange::Mtu(1400)));
    check(&scene, pair, &["host ip link set vethc0 mtu 1500"]);
}

#[test]
fn a_bonds_mode_changes_by_itself_while_it_is_down() {
    let mut scene = one_nic();
    let options = |pairs: &[(BondOption, u32)]| Bond {
        options: pairs.iter().map(|(option, value)| (*option, BondValue::Number(*value))).collect(),
    };
    let bond = |bond| NewLink {
        name: name("bond0"),
        kind: NewKind::Bond(bond),
        mtu: None,
        mac: None,
        alias: None,
    };
    act(&mut scene, HOST, Op::CreateLink(bond(Bond::default())));
    act(&mut scene, HOST, set("bond0", LinkChange::Up(true)));
    let wanted = options(&[(BondOption::Mode, 1), (BondOption::Miimon, 100)]);
    check(
        &scene,
        vec![
            (HOST, Want::Link(bond(wanted))),
            (
                HOST,
                Want::Setting {
                    link: name("ens3"),
                    change: LinkChange::Controller(Some(name("bond0"))),
                },
            ),
        ],
        &[
            "host ip link set bond0 down",
            "host ip link set bond0 type bond mode active-backup",
            "host ip link set bond0 type bond miimon 100",
            "host ip link set bond0 up",
            "host ip link set ens3 down",
            "host ip link set ens3 master bond0",
        ],
    );
}

#[test]
fn losses_come_last_and_are_announced() {
    let mut scene = two_nics();
    let expiring =
        Route { has_more: true, ..theirs(via_in(101, "fd00:99::/64", "fd00:6::1", "eth0")) };
    act(&mut scene, POD, Op::AddRoute(expiring.clone()));
    let planned = check(
        &scene,
        vec![
            (POD, Want::NoRoute(expiring.clone())),
            (POD, Want::NoAddress(address("net1", "10.7.0.10/16"))),
            (POD, Want::Rule(from("10.7.0.10/32", 1001, 101))),
        ],
        &[
            "pod ip rule add priority 1001 from 10.7.0.10/32 lookup 101 protocol 137",
            "pod ip address delete 10.7.0.10/16 dev net1",
            "pod ip -6 route delete fd00:99::/64 via fd00:6::1 dev eth0 table 101 proto static metric 1024",
        ],
    );
    let losses: Vec<_> = planned.losses().cloned().collect();
    assert_eq!(losses.len(), 1);
    assert_eq!(losses[0].object, Some(Object::Route(expiring)));
    assert!(planned.to_string().starts_with("cannot be undone: route fd00:99::/64"));
}

#[test]
fn collateral_is_announced_and_comes_back() {
    let mut scene = one_nic();
    act(&mut scene, POD, Op::SetNeighbour(neighbour("eth0", "10.6.0.9", 9)));
    let change = LinkChange::Mtu(1000);
    let planned = planned(&scene, &intent([(POD, Want::Setting { link: name("eth0"), change })]));
    let gone: Vec<_> = planned.steps[0].collateral.iter().map(|(_, it)| it.to_string()).collect();
    assert_eq!(
        gone,
        [
            "address fd00:6::10/64 dev eth0",
            "address fe80::ff:fe00:2/64 scope link dev eth0",
            "route default via fd00:6::1 dev eth0 table 254 proto static metric 1024",
            "route fd00:6::/64 dev eth0 table 254 proto kernel metric 256",
            "route fe80::/64 dev eth0 table 254 proto kernel metric 256",
        ]
    );
    assert_eq!(
        undo(&planned),
        [
            "pod ip link set eth0 mtu 1500",
            "pod ip -6 address add fd00:6::10/64 dev eth0",
            "pod ip -6 route add default via fd00:6::1 dev eth0 table 254 proto static metric 1024",
        ],
        "the kernel makes the rest again"
    );
}

#[test]
fn a_child_comes_back_from_its_parents_namespace() {
    let mut scene = one_nic();
    let macvlan = spiderpool_core::net::Macvlan { mode: spiderpool_core::net::MacvlanMode::Bridge };
    let kind = NewKind::Macvlan { parent: name("ens3"), macvlan };
    let new = NewLink { name: name("net1"), kind, mtu: None, mac: Some(mac(0x77)), alias: None };
    act(&mut scene, HOST, Op::CreateLink(new));
    act(&mut scene, HOST, Op::MoveLink { name: name("net1"), target: name("net1") });
    act(&mut scene, POD, set("net1", LinkChange::Up(true)));
    let planned = planned(&scene, &intent([(POD, Want::NoLink(name("net1")))]));
    assert_eq!(planned.losses().count(), 0, "{planned}");
    assert_eq!(
        undo(&planned),
        [
            "host ip link add link ens3 name net1 mtu 1500 address 02:00:00:00:00:77 \
             type macvlan mode bridge",
            "host ip link set net1 netns OTHER name net1",
            "pod ip link set net1 up",
        ]
    );
}

#[test]
fn the_nodes_own_comes_first_and_is_not_undone() {
    let mut intent = intent([
        (HOST, Want::Route(on_in(500, "10.6.0.10/32", "ens3"))),
        (HOST, Want::Rule(Rule::new(Family::V4, 1000, 500))),
    ]);
    intent.wishes[1].tenure = Tenure::Node;
    let planned = planned(&one_nic(), &intent);
    assert_eq!(
        lines(&planned),
        [
            "host ip rule add priority 1000 from all lookup 500 protocol 137",
            "host ip route add 10.6.0.10/32 dev ens3 table 500 proto 137 scope link",
        ]
    );
    assert_eq!(undo(&planned).len(), 1);
}

#[test]
fn wishes_that_exclude_each_other_are_refused() {
    let scene = two_nics();
    let route =
        |gateway: &str, device: &str| Want::Route(via_in(101, "0.0.0.0/0", gateway, device));
    let both = intent([(POD, route("10.6.0.1", "eth0")), (POD, route("10.7.0.1", "net1"))]);
    let refusal = plan(&scene, &both).unwrap_err();
    assert!(matches!(refusal, PlanRefusal::Contradiction { .. }), "{refusal}");
    let missing = Want::Setting { link: name("net9"), change: LinkChange::Up(true) };
    let refusal = plan(&scene, &intent([(POD, missing)])).unwrap_err();
    assert_eq!(refusal, PlanRefusal::NoLink { side: POD, name: name("net9") });
}

#[test]
fn a_damaged_table_of_marks_is_made_anew() {
    let mut scene = one_nic();
    scene.pod.marking = Marking::Damaged;
    let planned = planned(&scene, &intent([(POD, Want::Marks(marks("eth0")))]));
    assert_eq!(lines(&planned)[0], "pod nft delete table inet spiderpool");
    assert_eq!(planned.losses().next().unwrap().object, None);
    let mut reached = scene.clone();
    for step in &planned.steps {
        perform(&mut reached, step.side, &step.op).unwrap();
    }
    assert_eq!(reached.pod.marking, Marking::Present(marks("eth0")));
}

#[test]
fn policy_routes_follow_the_routes_that_they_need() {
    let mut scene = two_nics();
    let mut wants = second_interface();
    scene.pod.sysctls.insert(Sysctl::all(Family::V6, SysctlName::DisableIpv6), 0);
    // 10.8.0.1 is behind a gateway: no kernel takes it for one itself.
    let refusal = plan(&scene, &intent(wants.clone())).map(|plan| lines(&plan));
    assert!(matches!(refusal, Err(PlanRefusal::Kernel { .. })), "{refusal:?}");
    wants.retain(|(_, want)| {
        !matches!(want, Want::Route(route) if route.destination.addr().to_string() == "10.8.0.1")
    });
    wants.push((POD, Want::Route(on_in(254, "10.8.0.1/32", "net1"))));
    let lines = lines(&planned(&scene, &intent(wants)));
    let at = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
    assert!(at("pod ip route add 10.8.0.1/32 dev") < at("pod ip route add 10.9.0.0/16 via"));
}
