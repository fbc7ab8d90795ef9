//! Random ops over a small world, in which things are often in each other's way.

use proptest::prelude::*;
use proptest::sample::select;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{Intent, Want};
use spiderpool_core::net::{
    Macvlan, MacvlanMode, Neighbour, NeighbourState, Route, RouteProtocol, RouteType, Rule, Scene,
    Side, Sysctl, SysctlName, SysctlPlace, Vlan, VlanId, VlanProtocol, table,
};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op, plan};

use crate::build::{
    address, disabled, from, intent, link_setting, mac, many, marked, marks, name, neighbour,
    on_in, one_nic, set, two_nics, veth, via_in,
};

const LINKS: [&str; 9] = ["eth0", "eth0", "net1", "net1", "ens3", "veth0", "vethc0", "mv0", "br0"];

fn device() -> impl Strategy<Value = &'static str> {
    select(&LINKS[..])
}

fn ip() -> impl Strategy<Value = String> {
    (select(vec!["10.6.0.", "10.7.0.", "fd00:6::", "fd00:7::"]), select(vec!["10", "11", "12"]))
        .prop_map(|(subnet, host)| format!("{subnet}{host}"))
}

fn host(ip: &str) -> String {
    format!("{ip}/{}", if ip.contains(':') { 128 } else { 32 })
}

fn an_address() -> impl Strategy<Value = Op> {
    (device(), ip(), any::<bool>(), any::<bool>()).prop_map(|(device, ip, is_wide, is_bare)| {
        let length = if ip.contains(':') { 64 } else { 16 };
        let net = if is_wide { format!("{ip}/{length}") } else { host(&ip) };
        let mut address = address(device, &net);
        address.flags.has_no_prefix_route = is_bare;
        Op::AddAddress(address)
    })
}

fn destination() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["0.0.0.0/0", "::/0", "10.9.0.0/16", "fd00:9::/64"]).prop_map(str::to_owned),
        ip().prop_map(|ip| host(&ip)),
    ]
}

fn a_table() -> impl Strategy<Value = u32> {
    select(vec![table::MAIN, table::MAIN, 100, 101, 500])
}

fn a_route() -> impl Strategy<Value = Op> {
    let way = (device(), any::<bool>(), select(vec![6, 7]));
    (destination(), a_table(), way, select(vec![0, 50]), any::<bool>(), any::<bool>()).prop_map(
        |(destination, table, (device, is_far, subnet), metric, is_ours, has_source)| {
            let (gateway, source) = if destination.contains(':') {
                (format!("fd00:{subnet}::1"), format!("fd00:{subnet}::10"))
            } else {
                (format!("10.{subnet}.0.1"), format!("10.{subnet}.0.10"))
            };
            let mut route = if is_far {
                via_in(table, &destination, &gateway, device)
            } else {
                on_in(table, &destination, device)
            };
            route.metric += metric;
            route.source = has_source.then(|| source.parse().unwrap());
            route.protocol = protocol(is_ours);
            Op::AddRoute(route)
        },
    )
}

fn protocol(is_ours: bool) -> RouteProtocol {
    if is_ours { RouteProtocol::OURS } else { RouteProtocol::STATIC }
}

fn an_odd_route() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(many("10.10.0.0/16", &[("10.6.0.1", "eth0"), ("10.7.0.1", "net1")])),
        Just(many("fd00:10::/64", &[("fd00:7::1", "net1"), ("fd00:6::1", "eth0")])),
        (destination(), a_table()).prop_map(|(destination, table)| Route {
            kind: RouteType::Unreachable,
            ..Route::new(destination.parse().unwrap(), table)
        }),
    ]
    .prop_map(Op::AddRoute)
}

fn a_rule() -> impl Strategy<Value = Op> {
    (ip(), select(vec![999, 1000, 1001]), select(vec![100, 101, 500]), any::<bool>()).prop_map(
        |(ip, priority, table, is_ours)| {
            let rule = if priority == 1000 {
                marked(if ip.contains(':') { Family::V6 } else { Family::V4 }, priority, table)
            } else {
                from(&host(&ip), priority, table)
            };
            Op::AddRule(Rule { protocol: protocol(is_ours), ..rule })
        },
    )
}

fn a_neighbour() -> impl Strategy<Value = Op> {
    (device(), ip(), 0_u8..3, any::<bool>()).prop_map(|(device, ip, kind, is_ours)| {
        let (state, mac) = match kind {
            0 => (NeighbourState::Proxy, None),
            last => (NeighbourState::Permanent, Some(mac(last))),
        };
        let protocol = protocol(is_ours);
        Op::SetNeighbour(Neighbour { state, mac, protocol, ..neighbour(device, &ip, 0) })
    })
}

fn a_setting() -> impl Strategy<Value = Op> {
    let value = select(vec![0_i64, 1]);
    (device(), 0_u8..6, value).prop_map(|(device, kind, value)| {
        let (family, all) = (Family::V6, SysctlPlace::All);
        let setting = match kind {
            0 => disabled(device),
            1 => Sysctl { family, place: all, name: SysctlName::DisableIpv6 },
            2 => Sysctl { family, place: SysctlPlace::Default, name: SysctlName::DisableIpv6 },
            3 => Sysctl::all(Family::V6, SysctlName::Forwarding),
            4 => link_setting(Family::V4, device, SysctlName::ReversePathFilter),
            _ => Sysctl::all(Family::V4, SysctlName::ReversePathFilter),
        };
        Op::SetSysctl(setting, value)
    })
}

fn a_change() -> impl Strategy<Value = Op> {
    let change = prop_oneof![
        3 => Just(LinkChange::Up(true)),
        1 => Just(LinkChange::Up(false)),
        1 => select(vec![1200, 1400, 1500]).prop_map(LinkChange::Mtu),
        1 => (1_u8..9).prop_map(|last| LinkChange::Mac(mac(last))),
        1 => device().prop_map(|target| LinkChange::Name(name(target))),
        1 => Just(LinkChange::Controller(Some(name("br0")))),
        1 => Just(LinkChange::Controller(None)),
        1 => select(vec![100, 1000]).prop_map(LinkChange::TxQueueLength),
        1 => Just(LinkChange::Alias(Some("mine".into()))),
    ];
    (device(), change).prop_map(|(device, change)| set(device, change))
}

fn a_link() -> impl Strategy<Value = Op> {
    let plain = |text: &'static str, kind| NewLink {
        name: name(text),
        kind,
        mtu: None,
        mac: Some(mac(0x77)),
        alias: None,
    };
    (0_u8..5, device()).prop_map(move |(kind, parent)| {
        let parent = name(parent);
        Op::CreateLink(match kind {
            0 | 1 => veth("veth0", "vethc0"),
            2 => {
                let macvlan = Macvlan { mode: MacvlanMode::Bridge };
                plain("mv0", NewKind::Macvlan { parent, macvlan })
            }
            3 => {
                let id = VlanId::try_from(100).unwrap();
                let vlan = Vlan { id, protocol: VlanProtocol::Customer };
                plain("net1", NewKind::Vlan { parent, vlan })
            }
            _ => plain("br0", NewKind::Bridge),
        })
    })
}

fn a_removal() -> impl Strategy<Value = Op> {
    prop_oneof![
        device().prop_map(|device| Op::DeleteLink(name(device))),
        (device(), device())
            .prop_map(|(one, two)| Op::MoveLink { name: name(one), target: name(two) }),
        Just(Op::DeleteMarks),
    ]
}

/// An op on one of the two namespaces, seldom on the host.
pub(crate) fn an_op() -> impl Strategy<Value = (Side, Op)> {
    let op = prop_oneof![
        4 => an_address(),
        4 => a_route(),
        1 => an_odd_route(),
        2 => a_rule(),
        2 => a_neighbour(),
        2 => a_setting(),
        3 => a_change(),
        2 => a_link(),
        1 => a_removal(),
        1 => Just(Op::AddMarks(marks("veth0"))),
    ];
    (select(vec![Side::Pod, Side::Pod, Side::Host]), op)
}

/// Sees to it that the settings of all links are known.
fn observe_settings(scene: &mut Scene) {
    for side in [Side::Host, Side::Pod] {
        let observed = scene.side_mut(side);
        let links = observed.links.keys().cloned().map(SysctlPlace::Link);
        let places: Vec<_> = links.chain([SysctlPlace::All, SysctlPlace::Default]).collect();
        for place in places {
            for (family, name) in [
                (Family::V4, SysctlName::ReversePathFilter),
                (Family::V6, SysctlName::DisableIpv6),
                (Family::V6, SysctlName::Forwarding),
            ] {
                observed.sysctls.insert(Sysctl { family, place: place.clone(), name }, 0);
            }
        }
    }
}

/// A scene that a kernel could have come to hold.
pub(crate) fn a_scene() -> impl Strategy<Value = Scene> {
    (any::<bool>(), proptest::collection::vec(an_op(), 0..30)).prop_map(|(is_double, ops)| {
        let mut scene = if is_double { two_nics() } else { one_nic() };
        observe_settings(&mut scene);
        for (side, op) in ops {
            // What the kernel refuses did not happen.
            let _refused = perform(&mut scene, side, &op);
        }
        scene
    })
}

/// Those of an intent's wishes that can come true together.
pub(crate) fn fitting(scene: &Scene, intent: Intent) -> Intent {
    let mut fitting = Intent::default();
    for wish in intent.wishes {
        fitting.wishes.push(wish);
        if plan(scene, &fitting).is_err() {
            fitting.wishes.pop();
        }
    }
    fitting
}

/// An intent that may contradict itself, or the scene.
pub(crate) fn an_intent() -> impl Strategy<Value = Intent> {
    proptest::collection::vec((an_op(), prop::bool::weighted(0.25)), 1..14).prop_map(|wishes| {
        intent(
            wishes
                .into_iter()
                .filter_map(|((side, op), is_absent)| Some((side, want(op, is_absent)?))),
        )
    })
}

/// An intent that often speaks of what is there.
pub(crate) fn a_removing_intent(scene: &Scene, picks: &[usize]) -> Intent {
    let pod = scene.side(Side::Pod);
    let mut wants: Vec<Want> = pod.routes.iter().cloned().map(Want::NoRoute).collect();
    wants.extend(pod.addresses.iter().cloned().map(Want::NoAddress));
    wants.extend(pod.rules.iter().cloned().map(Want::NoRule));
    wants.extend(pod.neighbours.iter().cloned().map(Want::NoNeighbour));
    wants.extend(pod.links.keys().filter(|link| &***link != "lo").cloned().map(Want::NoLink));
    intent(picks.iter().filter_map(|pick| {
        wants.get(pick % wants.len().max(1)).map(|want| (Side::Pod, want.clone()))
    }))
}

/// The wish for what an op makes, or for its absence.
fn want(op: Op, is_absent: bool) -> Option<Want> {
    Some(match op {
        Op::CreateLink(new) if is_absent => Want::NoLink(new.name),
        Op::CreateLink(new) => Want::Link(new),
        Op::DeleteLink(name) => Want::NoLink(name),
        Op::SetLink { name, change } => Want::Setting { link: name, change },
        Op::AddAddress(it) if is_absent => Want::NoAddress(it),
        Op::AddAddress(it) => Want::Address(it),
        Op::SetNeighbour(it) if is_absent => Want::NoNeighbour(it),
        Op::SetNeighbour(it) => Want::Neighbour(it),
        Op::AddRoute(it) if is_absent => Want::NoRoute(it),
        Op::AddRoute(it) => Want::Route(it),
        Op::AddRule(it) if is_absent => Want::NoRule(it),
        Op::AddRule(it) => Want::Rule(it),
        Op::SetSysctl(name, value) => Want::Sysctl(name, value),
        Op::AddMarks(it) => Want::Marks(it),
        Op::DeleteMarks => Want::NoMarks,
        _ => return None,
    })
}
