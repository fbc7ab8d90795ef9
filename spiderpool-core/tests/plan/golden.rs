//! Each op as the command that it equals.

use std::collections::BTreeMap;

use spiderpool_core::address::Family;
use spiderpool_core::intend::{Reason, Tenure};
use spiderpool_core::net::{
    AddressFlags, Bond, BondOption, BondValue, Hop, Ipvlan, IpvlanMode, Macvlan, MacvlanMode, Mark,
    Neighbour, NeighbourState, Object, Route, RoutePreference, RouteProtocol, RouteType, Rule,
    RuleAction, Scope, Sysctl, SysctlName, Vlan, VlanId, VlanProtocol,
};
use spiderpool_core::plan::{LinkChange, Loss, LossCause, NewKind, NewLink, Op, Plan, Step};

use crate::build::{
    HOST, POD, address, from, mac, many, marked, marks, name, neighbour, on_in, set, theirs, veth,
    via, via_in,
};

#[expect(clippy::needless_pass_by_value, reason = "callers build the op in place")]
fn check(op: Op, expected: &str) {
    assert_eq!(op.to_string(), expected);
}

fn create(kind: NewKind) -> Op {
    Op::CreateLink(NewLink { name: name("new0"), kind, mtu: None, mac: None, alias: None })
}

#[test]
fn links_print_as_ip_link() {
    check(
        Op::CreateLink(veth("veth0", "vethc0ffee")),
        "ip link add name veth0 mtu 1500 address 02:00:00:00:00:aa alias 'spiderpool c0ffee' \
         type veth peer name vethc0ffee mtu 1500 address 02:00:00:00:00:bb \
         alias 'spiderpool c0ffee' netns OTHER",
    );
    let parent = || name("ens3");
    let id = VlanId::try_from(100).unwrap();
    let vlan = |protocol| NewKind::Vlan { parent: parent(), vlan: Vlan { id, protocol } };
    check(create(vlan(VlanProtocol::Customer)), "ip link add link ens3 name new0 type vlan id 100");
    check(
        create(vlan(VlanProtocol::Provider)),
        "ip link add link ens3 name new0 type vlan protocol 802.1ad id 100",
    );
    let macvlan = Macvlan { mode: MacvlanMode::Bridge };
    check(
        create(NewKind::Macvlan { parent: parent(), macvlan }),
        "ip link add link ens3 name new0 type macvlan mode bridge",
    );
    let ipvlan = Ipvlan { mode: IpvlanMode::L3S };
    check(
        create(NewKind::Ipvlan { parent: parent(), ipvlan }),
        "ip link add link ens3 name new0 type ipvlan mode l3s",
    );
    check(create(NewKind::Bridge), "ip link add name new0 type bridge");
    check(create(NewKind::Dummy), "ip link add name new0 type dummy");
    check(create(NewKind::Vrf(7)), "ip link add name new0 type vrf table 7");
    check(
        create(NewKind::Bond(bond())),
        "ip link add name new0 type bond mode active-backup miimon 100",
    );
    check(Op::DeleteLink(name("new0")), "ip link delete new0");
    let (name, target) = (name("ens3"), name("eth0"));
    check(Op::MoveLink { name, target }, "ip link set ens3 netns OTHER name eth0");
}

fn bond() -> Bond {
    let options =
        [(BondOption::Mode, BondValue::Number(1)), (BondOption::Miimon, BondValue::Number(100))];
    Bond { options: BTreeMap::from(options) }
}

#[test]
fn settings_print_as_ip_link_set() {
    let check = |change, expected: &str| check(set("eth0", change), expected);
    check(LinkChange::Up(true), "ip link set eth0 up");
    check(LinkChange::Up(false), "ip link set eth0 down");
    check(LinkChange::Mtu(1400), "ip link set eth0 mtu 1400");
    check(LinkChange::Mac(mac(9)), "ip link set eth0 address 02:00:00:00:00:09");
    check(LinkChange::Name(name("net1")), "ip link set eth0 name net1");
    check(LinkChange::Controller(Some(name("bond0"))), "ip link set eth0 master bond0");
    check(LinkChange::Controller(None), "ip link set eth0 nomaster");
    check(LinkChange::TxQueueLength(500), "ip link set eth0 txqueuelen 500");
    check(LinkChange::Alias(Some("it's".into())), r"ip link set eth0 alias 'it'\''s'");
    check(LinkChange::Alias(None), "ip link set eth0 alias ''");
    check(LinkChange::Bond(bond()), "ip link set eth0 type bond mode active-backup miimon 100");
}

#[test]
fn addresses_print_as_ip_address() {
    check(Op::AddAddress(address("eth0", "10.6.0.10/16")), "ip address add 10.6.0.10/16 dev eth0");
    let mut peer = address("eth0", "10.6.0.10/32");
    peer.peer = Some("10.6.0.1".parse().unwrap());
    check(Op::AddAddress(peer), "ip address add 10.6.0.10 peer 10.6.0.1/32 dev eth0");
    let mut full = address("eth0", "169.254.0.1/16");
    full.broadcast = Some("169.254.255.255".parse().unwrap());
    full.scope = Scope::Link;
    check(
        Op::AddAddress(full.clone()),
        "ip address add 169.254.0.1/16 broadcast 169.254.255.255 scope link dev eth0",
    );
    check(Op::DeleteAddress(full), "ip address delete 169.254.0.1/16 dev eth0");
    let mut v6 = address("eth0", "fd00::1/64");
    v6.flags = AddressFlags {
        has_no_dad: true,
        has_no_prefix_route: true,
        is_managed: true,
        ..AddressFlags::default()
    };
    check(
        Op::AddAddress(v6),
        "ip -6 address add fd00::1/64 dev eth0 nodad noprefixroute mngtmpaddr",
    );
}

#[test]
fn routes_print_as_ip_route() {
    check(
        Op::AddRoute(via("0.0.0.0/0", "10.6.0.1", "eth0")),
        "ip route add default via 10.6.0.1 dev eth0 table 254 proto 137",
    );
    check(
        Op::AddRoute(on_in(500, "10.6.0.10/32", "vethc0ffee")),
        "ip route add 10.6.0.10/32 dev vethc0ffee table 500 proto 137 scope link",
    );
    check(
        Op::DeleteRoute(theirs(via_in(101, "::/0", "fe80::1", "net1"))),
        "ip -6 route delete default via fe80::1 dev net1 table 101 proto static metric 1024",
    );
    let mut full = via("10.0.0.0/8", "169.254.1.1", "eth0");
    full.hops[0].is_onlink = true;
    full.tos = 0x10;
    full.metric = 100;
    full.source = Some("10.6.0.10".parse().unwrap());
    full.metrics = BTreeMap::from([(Route::MTU, 1400), (8, 1360)]);
    check(
        Op::AddRoute(full),
        "ip route add 10.0.0.0/8 tos 0x10 via 169.254.1.1 dev eth0 onlink table 254 proto 137 \
         src 10.6.0.10 metric 100 mtu 1400 advmss 1360",
    );
    let v6 = via("10.0.0.0/8", "fe80::1", "eth0");
    check(
        Op::AddRoute(v6),
        "ip route add 10.0.0.0/8 via inet6 fe80::1 dev eth0 table 254 proto 137",
    );
}

#[test]
fn multipath_and_dropping_routes_print_as_ip_route() {
    let mut ways = many("::/0", &[("fe80::1", "eth0"), ("fe80::2", "net1")]);
    ways.hops[1].weight = 3;
    ways.preference = RoutePreference::High;
    check(
        Op::AddRoute(ways),
        "ip -6 route add default table 254 proto 137 metric 1024 pref high \
         nexthop via fe80::1 dev eth0 weight 1 nexthop via fe80::2 dev net1 weight 3",
    );
    let drop = Route {
        kind: RouteType::Unreachable,
        metric: 4096,
        ..Route::new("10.9.0.0/16".parse().unwrap(), 7)
    };
    check(
        Op::AddRoute(drop.clone()),
        "ip route add unreachable 10.9.0.0/16 table 7 proto 137 metric 4096",
    );
    let shared = Route { nexthop_id: Some(5), kind: RouteType::Unicast, ..drop };
    check(Op::AddRoute(shared), "ip route add 10.9.0.0/16 nhid 5 table 7 proto 137 metric 4096");
    let mut host = Route::new("10.9.0.1/32".parse().unwrap(), 255);
    host.hops = vec![Hop::on(name("eth0"))];
    host.kind = RouteType::Local;
    host.scope = Scope::Host;
    check(
        Op::AddRoute(host),
        "ip route add local 10.9.0.1/32 dev eth0 table 255 proto 137 scope host",
    );
}

#[test]
fn rules_print_as_ip_rule() {
    check(
        Op::AddRule(from("10.7.0.10/32", 1001, 101)),
        "ip rule add priority 1001 from 10.7.0.10/32 lookup 101 protocol 137",
    );
    check(
        Op::AddRule(marked(Family::V6, 1000, 100)),
        "ip -6 rule add priority 1000 from all fwmark 0x1/0x1 lookup 100 protocol 137",
    );
    let full = Rule {
        is_inverted: true,
        to: Some("10.0.0.0/8".parse().unwrap()),
        input: Some(name("eth0")),
        output: Some(name("net1")),
        mark: Some(Mark { value: 2, mask: 0xff }),
        action: RuleAction::Other(7),
        protocol: RouteProtocol::UNSPECIFIED,
        ..Rule::new(Family::V4, 5, 0)
    };
    check(
        Op::DeleteRule(full),
        "ip rule delete priority 5 not from all to 10.0.0.0/8 iif eth0 oif net1 fwmark 0x2/0xff \
         type unreachable",
    );
}

#[test]
fn neighbours_settings_and_marks_print_as_their_commands() {
    check(
        Op::SetNeighbour(neighbour("veth0", "10.2.0.10", 0xbb)),
        "ip neighbour replace 10.2.0.10 lladdr 02:00:00:00:00:bb nud permanent dev veth0 \
         protocol 137",
    );
    let proxy =
        Neighbour { mac: None, state: NeighbourState::Proxy, ..neighbour("veth0", "fd00::1", 0) };
    check(
        Op::SetNeighbour(proxy.clone()),
        "ip -6 neighbour replace proxy fd00::1 dev veth0 protocol 137",
    );
    check(Op::DeleteNeighbour(proxy), "ip -6 neighbour delete proxy fd00::1 dev veth0");
    check(
        Op::DeleteNeighbour(neighbour("veth0", "10.2.0.10", 0)),
        "ip neighbour delete 10.2.0.10 dev veth0",
    );
    check(
        Op::SetSysctl(Sysctl::all(Family::V4, SysctlName::ReversePathFilter), 0),
        "sysctl -w net/ipv4/conf/all/rp_filter=0",
    );
    check(Op::DeleteMarks, "nft delete table inet spiderpool");
    check(
        Op::AddMarks(marks("veth0")),
        "nft 'create table inet spiderpool; create chain inet spiderpool prerouting \
         { type filter hook prerouting priority mangle; }; add rule inet spiderpool prerouting \
         iifname \"veth0\" ct state new meta mark set meta mark & 0xfffffffe | 0x1 \
         ct mark set ct mark & 0xfffffffe | 0x1; add rule inet spiderpool prerouting \
         iifname \"veth0\" ct mark & 0x1 == 0x1 meta mark set meta mark & 0xfffffffe | 0x1; \
         create chain inet spiderpool output { type route hook output priority mangle; }; \
         add rule inet spiderpool output ct mark & 0x1 == 0x1 \
         meta mark set meta mark & 0xfffffffe | 0x1'",
    );
}

#[test]
fn plans_print_for_people() {
    assert_eq!(Plan::default().to_string(), "nothing to do\n");
    let route = via("0.0.0.0/0", "10.6.0.1", "eth0");
    let gone = Object::Address(address("eth0", "fd00::1/64"));
    let step = Step {
        side: POD,
        op: Op::DeleteRoute(route.clone()),
        tenure: Tenure::Attachment,
        reason: Reason::DefaultRoute,
        undo: vec![(POD, Op::AddRoute(route))],
        collateral: vec![(HOST, gone.clone())],
        losses: vec![Loss { side: HOST, object: Some(gone), cause: LossCause::Unobserved }],
    };
    assert_eq!(
        Plan { steps: vec![step] }.to_string(),
        "cannot be undone: address fd00::1/64 dev eth0 (host): parts of it are not observed
  1. pod   ip route delete default via 10.6.0.1 dev eth0 table 254 proto 137  \
# so that the default route is on the chosen interface
       also  host  address fd00::1/64 dev eth0
       undo  pod   ip route add default via 10.6.0.1 dev eth0 table 254 proto 137
"
    );
}
