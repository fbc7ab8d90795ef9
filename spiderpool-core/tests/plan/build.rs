//! Scenes and objects in few words, made by the model itself: as a kernel would have come to hold them.

use spiderpool_core::address::Family;
use spiderpool_core::intend::{Intent, Reason, Tenure, Want, Wish};
use spiderpool_core::net::{
    Address, HardwareAddress, Hop, Link, LinkKind, LinkName, Mark, Marks, Neighbour, Observed,
    Parent, Route, RouteProtocol, Rule, Scene, Scope, Side, Sysctl, SysctlName, table,
};
use spiderpool_core::plan::kernel::{Change, perform};
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op, VethPeer};

pub(crate) const HOST: Side = Side::Host;
pub(crate) const POD: Side = Side::Pod;

pub(crate) fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

pub(crate) fn mac(last: u8) -> HardwareAddress {
    HardwareAddress(vec![2, 0, 0, 0, 0, last])
}

pub(crate) fn address(device: &str, net: &str) -> Address {
    let net = net.parse().unwrap();
    let mut address = Address::new(name(device), net);
    if net.to_string().starts_with("fe80") {
        address.scope = Scope::Link;
    }
    address
}

pub(crate) fn via(destination: &str, gateway: &str, device: &str) -> Route {
    via_in(table::MAIN, destination, gateway, device)
}

pub(crate) fn via_in(table: u32, destination: &str, gateway: &str, device: &str) -> Route {
    Route::via(destination.parse().unwrap(), table, gateway.parse().unwrap(), name(device))
}

pub(crate) fn on(destination: &str, device: &str) -> Route {
    on_in(table::MAIN, destination, device)
}

pub(crate) fn on_in(table: u32, destination: &str, device: &str) -> Route {
    Route::on_link(destination.parse().unwrap(), table, name(device))
}

pub(crate) fn theirs(route: Route) -> Route {
    Route { protocol: RouteProtocol::STATIC, ..route }
}

pub(crate) fn many(destination: &str, ways: &[(&str, &str)]) -> Route {
    let hop = |(gateway, device): &(&str, &str)| Hop {
        gateway: Some(gateway.parse().unwrap()),
        ..Hop::on(name(device))
    };
    let hops = ways.iter().map(hop).collect();
    Route { hops, ..Route::new(destination.parse().unwrap(), table::MAIN) }
}

pub(crate) fn neighbour(device: &str, ip: &str, last: u8) -> Neighbour {
    Neighbour::permanent(name(device), ip.parse().unwrap(), mac(last))
}

pub(crate) fn from(ip: &str, priority: u32, table: u32) -> Rule {
    let net: ipnet::IpNet = ip.parse().unwrap();
    let family = Family::of(net.addr());
    Rule { from: Some(net), ..Rule::new(family, priority, table) }
}

pub(crate) fn marked(family: Family, priority: u32, table: u32) -> Rule {
    Rule { mark: Some(Mark { value: 1, mask: 1 }), ..Rule::new(family, priority, table) }
}

pub(crate) fn marks(input: &str) -> Marks {
    Marks { input: name(input), mark: Mark { value: 1, mask: 1 } }
}

pub(crate) fn veth(near: &str, far: &str) -> NewLink {
    let peer = VethPeer {
        name: name(far),
        mtu: Some(1500),
        mac: Some(mac(0xbb)),
        alias: Some("spiderpool c0ffee".into()),
    };
    NewLink {
        name: name(near),
        kind: NewKind::Veth(peer),
        mtu: Some(1500),
        mac: Some(mac(0xaa)),
        alias: Some("spiderpool c0ffee".into()),
    }
}

pub(crate) fn set(device: &str, change: LinkChange) -> Op {
    Op::SetLink { name: name(device), change }
}

pub(crate) fn link_setting(family: Family, device: &str, setting: SysctlName) -> Sysctl {
    Sysctl::link(family, name(device), setting)
}

pub(crate) fn disabled(device: &str) -> Sysctl {
    link_setting(Family::V6, device, SysctlName::DisableIpv6)
}

/// A device that carries, as another plugin left it in its namespace.
pub(crate) fn device(text: &str, index: u32) -> Link {
    Link {
        name: name(text),
        index,
        kind: LinkKind::Veth,
        mac: Some(mac(u8::try_from(index).unwrap())),
        mtu: 1500,
        is_up: false,
        has_carrier: false,
        is_broadcast: true,
        is_multicast: true,
        tx_queue_length: 1000,
        parent: Some(Parent { name: None, index: 900 + index, netns_id: Some(7) }),
        controller: None,
        alias: None,
        functions: Vec::new(),
    }
}

/// Adds a link to a scene as it is.
pub(crate) fn plug(scene: &mut Scene, side: Side, link: Link) {
    scene.side_mut(side).links.insert(link.name.clone(), link);
}

/// Loopback, and the rules that the kernel makes.
fn bare() -> Observed {
    let mut observed = Observed::default();
    for family in Family::BOTH {
        for (priority, table) in [(0, 255), (32766, 254), (32767, 253)] {
            let rule = Rule::new(family, priority, table);
            observed.rules.insert(Rule { protocol: RouteProtocol::KERNEL, ..rule });
        }
    }
    let lo = Link { kind: LinkKind::Plain, parent: None, ..device("lo", 1) };
    observed.links.insert(lo.name.clone(), lo);
    observed
}

/// Two namespaces with loopback only.
pub(crate) fn empty() -> Scene {
    Scene { host: bare(), pod: bare() }
}

/// Performs an op that must be taken.
#[expect(clippy::needless_pass_by_value, reason = "callers build the op in place")]
pub(crate) fn act(scene: &mut Scene, side: Side, op: Op) -> Vec<Change> {
    perform(scene, side, &op).unwrap_or_else(|refusal| panic!("{side}: {op}: {refusal}"))
}

pub(crate) fn acts(scene: &mut Scene, side: Side, ops: impl IntoIterator<Item = Op>) {
    for op in ops {
        act(scene, side, op);
    }
}

/// A pod with one interface of both families and a default route over it; its node likewise.
pub(crate) fn one_nic() -> Scene {
    let mut scene = empty();
    plug(&mut scene, POD, device("eth0", 2));
    plug(&mut scene, HOST, device("ens3", 3));
    furnish(&mut scene, POD, "eth0", 6);
    furnish(&mut scene, HOST, "ens3", 2);
    scene
}

/// The same, with a second interface on other subnets.
pub(crate) fn two_nics() -> Scene {
    let mut scene = one_nic();
    plug(&mut scene, POD, device("net1", 4));
    acts(
        &mut scene,
        POD,
        [
            set("net1", LinkChange::Up(true)),
            Op::AddAddress(address("net1", "10.7.0.10/16")),
            Op::AddAddress(address("net1", "fd00:7::10/64")),
        ],
    );
    scene
}

fn furnish(scene: &mut Scene, side: Side, link: &str, subnet: u8) {
    let v4 = |host: u8| format!("10.{subnet}.0.{host}");
    let v6 = |host: u8| format!("fd00:{subnet}::{host}");
    let default = |gateway: String, destination: &str| theirs(via(destination, &gateway, link));
    acts(
        scene,
        side,
        [
            set(link, LinkChange::Up(true)),
            Op::AddAddress(address(link, &format!("{}/16", v4(10)))),
            Op::AddAddress(address(link, &format!("{}/64", v6(10)))),
            Op::AddRoute(default(v4(1), "0.0.0.0/0")),
            Op::AddRoute(default(v6(1), "::/0")),
        ],
    );
}

pub(crate) fn wish(side: Side, want: Want) -> Wish {
    Wish { side, want, tenure: Tenure::Attachment, reason: Reason::Interface }
}

pub(crate) fn intent(wishes: impl IntoIterator<Item = (Side, Want)>) -> Intent {
    Intent { wishes: wishes.into_iter().map(|(side, want)| wish(side, want)).collect() }
}

/// The routes of a side that satisfy something, as lines.
pub(crate) fn routes(scene: &Scene, side: Side, device: &str) -> Vec<String> {
    let observed = scene.side(side);
    let leaves = observed.routes.iter().filter(|route| route.leaves_by(device));
    leaves
        .map(|route| {
            let text = spiderpool_core::net::Object::Route(route.clone()).to_string();
            text.trim_start_matches("route ").to_owned()
        })
        .collect()
}
