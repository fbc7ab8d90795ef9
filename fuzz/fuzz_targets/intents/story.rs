//! A pod's life in small numbers: what it is, which interfaces it gets, what each is configured with,
//! and in which order they go. Scenes are made by the core's model of the kernel.

use arbitrary::Arbitrary;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{
    Configuration, HostTable, MacPrefix, Mode, PolicyRoute, RpFilter, Setting, VethMtu,
};
use spiderpool_core::net::{
    HardwareAddress, Hop, LinkName, Route, RouteProtocol, Scene, Side, Sysctl, SysctlName, table,
};
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op, VethPeer};
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::build::{HOST, POD, acts, address, device, empty, name, on, plug, set, via};

/// The node's own addresses.
const NODE: [&str; 2] = ["10.1.0.2", "fd00:1::2"];

#[derive(Debug, Clone, Arbitrary)]
pub struct Story {
    pub is_overlay: bool,
    pub families: u8,
    pub nics: Vec<Nic>,
    pub knows_all: bool,
    pub order: u64,
}

/// One interface.
#[derive(Debug, Clone, Arbitrary)]
pub struct Nic {
    has_default: bool,
    mode: u8,
    default_route_nic: u8,
    flags: u8,
    rp_filter: u8,
    prefixes: u8,
    policy: u8,
    tuning: u8,
}

impl Story {
    /// The families that the pod has; never none.
    fn families(&self) -> Vec<Family> {
        match self.families % 3 {
            0 => vec![Family::V4],
            1 => vec![Family::V6],
            _ => Family::BOTH.to_vec(),
        }
    }

    /// Up to three interfaces, `eth0` first.
    pub fn nics(&self) -> &[Nic] {
        &self.nics[..self.nics.len().min(3)]
    }

    /// The interface of a number.
    pub fn interface(number: usize) -> LinkName {
        if number == 0 { name("eth0") } else { name(&format!("net{number}")) }
    }

    /// The node with its addresses, and the pod with `eth0`.
    pub fn start(&self) -> Scene {
        let mut scene = empty();
        plug(&mut scene, HOST, device("ens3", 3));
        acts(
            &mut scene,
            HOST,
            [
                set("ens3", LinkChange::Up(true)),
                Op::AddAddress(address("ens3", &format!("{}/16", NODE[0]))),
                Op::AddAddress(address("ens3", &format!("{}/64", NODE[1]))),
                Op::AddRoute(foreign(via("0.0.0.0/0", "10.1.0.1", "ens3"))),
                Op::AddRoute(foreign(via("::/0", "fd00:1::1", "ens3"))),
            ],
        );
        for side in [HOST, POD] {
            for (family, setting, value) in SETTINGS {
                let all = Sysctl::all(family, setting);
                scene.side_mut(side).sysctls.insert(all, value);
            }
        }
        if self.is_overlay {
            self.overlay(&mut scene);
            observe(&mut scene, "eth0");
        } else {
            self.plug(&mut scene, 0);
        }
        scene
    }

    /// `eth0` as an overlay's plugin makes it: a pair, and a gateway that is nowhere.
    fn overlay(&self, scene: &mut Scene) {
        let mac = |last| Some(HardwareAddress(vec![2, 0, 0, 0, 1, last]));
        let peer = VethPeer { name: name("cali0123"), mtu: Some(1450), mac: mac(1), alias: None };
        let kind = NewKind::Veth(peer);
        let new = NewLink { name: name("eth0"), kind, mtu: Some(1450), mac: mac(2), alias: None };
        acts(scene, POD, [Op::CreateLink(new), set("eth0", LinkChange::Up(true))]);
        acts(scene, HOST, [set("cali0123", LinkChange::Up(true))]);
        for family in self.families() {
            let (own, router, all) = match family {
                Family::V4 => ("10.244.1.7/32", "169.254.1.1", "0.0.0.0/0"),
                Family::V6 => ("fd00:244::7/128", "fd00:fe::1", "::/0"),
            };
            let host = format!("{router}/{}", if family == Family::V4 { 32 } else { 128 });
            let ops = [
                Op::AddAddress(address("eth0", own)),
                Op::AddRoute(foreign(on(&host, "eth0"))),
                Op::AddRoute(foreign(via(all, router, "eth0"))),
            ];
            acts(scene, POD, ops);
        }
    }

    /// Adds an interface as a main plugin leaves it.
    pub fn plug(&self, scene: &mut Scene, number: usize) {
        let link = Self::interface(number);
        plug(scene, POD, device(&link, u32::try_from(10 + number).unwrap()));
        observe(scene, &link);
        acts(scene, POD, [set(&link, LinkChange::Up(true))]);
        for family in self.families() {
            let (own, router) = own(family, number);
            acts(scene, POD, [Op::AddAddress(address(&link, &own))]);
            // Not held yet, see the README: IPv6 makes one route of the defaults of three.
            let is_many = family == Family::V6 && number > 1;
            if self.nics()[number].has_default && !is_many || number == 0 {
                append_default(scene, family, &router, &link);
            }
        }
    }

    /// For each address of the pod the node's address that is nearest.
    pub fn toward(&self, scene: &Scene) -> BTreeMap<IpAddr, IpAddr> {
        let pod = scene.pod.addresses.iter().filter(|address| address.is_usable());
        let node = |ip: &IpAddr| NODE[usize::from(ip.is_ipv6())].parse().unwrap();
        pod.map(|address| address.net.addr()).map(|ip| (ip, node(&ip))).collect()
    }

    /// What an interface is configured with.
    pub fn configuration(&self, number: usize) -> Configuration {
        let nic = &self.nics()[number];
        let net = |text: &str| text.parse().unwrap();
        let is = |bit: u8| nic.flags & 1 << bit != 0;
        let only = |bit: u8, nets: [&str; 2]| match is(bit) {
            true => nets.into_iter().map(net).collect(),
            false => Vec::new(),
        };
        let host_table = HostTable::try_from(if is(5) { 600 } else { 500 }).unwrap();
        Configuration {
            mode: [Mode::Auto, Mode::Auto, Mode::Underlay, Mode::Overlay, Mode::Disabled]
                [usize::from(nic.mode) % 5],
            veth_link_address: is(0).then(|| "169.254.200.1".parse().unwrap()),
            veth_mtu: VethMtu::try_from([1280, 1400, 1500, 9000][usize::from(nic.tuning) % 4])
                .unwrap(),
            mac_prefix: is(1).then(|| MacPrefix::try_from("0a:1b").unwrap()),
            pod_prefixes: only(2, ["10.244.0.0/16", "fd00:244::/56"]),
            service_prefixes: only(3, ["10.96.0.0/12", "fd00:96::/108"]),
            hijack_prefixes: self.hijacked(nic.prefixes),
            policy_routes: self.policy(nic.policy, number),
            tunes_routes: !is(4),
            default_route_nic: match nic.default_route_nic % 5 {
                at @ 0..=2 => Some(Self::interface(at.into())),
                _ => None,
            },
            host_table,
            // Not held yet, see the README: several interfaces with different filters.
            rp_filter: Setting::<RpFilter>::try_from(i64::from(self.nics()[0].rp_filter % 4) - 1)
                .unwrap(),
            tx_queue_length: if is(6) { Setting::Set(500) } else { Setting::Leave },
            ..Configuration::new(name("eth0"))
        }
    }

    fn hijacked(&self, prefixes: u8) -> Vec<ipnet::IpNet> {
        // Some of them are the pod's own subnets, the node's own address, or everything.
        let all = [
            "169.254.0.0/16",
            "10.20.0.0/16",
            "10.1.0.2/32",
            "fd00:21::/64",
            "10.96.0.0/12",
            "fd00:1::2/128",
            "0.0.0.0/0",
            "::/0",
        ];
        let is_in = |at: usize| prefixes & 1 << at != 0;
        (0..all.len()).filter(|at| is_in(*at)).map(|at| all[at].parse().unwrap()).collect()
    }

    fn policy(&self, policy: u8, number: usize) -> Vec<PolicyRoute> {
        let mut routes = Vec::new();
        // Not held yet, see the README: what several interfaces' policy routes are to each other.
        if self.nics().len() > 1 {
            return routes;
        }
        for (bit, family, to) in [
            (0, Family::V4, "10.99.0.0/16"),
            (1, Family::V6, "fd00:99::/64"),
            (2, Family::V4, "10.96.0.0/12"),
            (3, Family::V4, "10.1.0.2"),
        ] {
            if policy & 1 << bit != 0 && !(self.is_overlay && number == 0) {
                routes.push(PolicyRoute::new(to, &own(family, number).1).unwrap());
            }
        }
        routes
    }
}

/// The settings that coordination looks at, as kernels have them.
const SETTINGS: [(Family, SysctlName, i64); 4] = [
    (Family::V4, SysctlName::ReversePathFilter, 1),
    (Family::V4, SysctlName::SourceValidMark, 0),
    (Family::V6, SysctlName::DisableIpv6, 0),
    (Family::V6, SysctlName::AcceptRouterAdvertisements, 1),
];

/// Looks at the settings of a link of the pod.
fn observe(scene: &mut Scene, link: &str) {
    for (family, setting, value) in SETTINGS {
        scene.pod.sysctls.insert(Sysctl::link(family, name(link), setting), value);
    }
}

/// The address of an interface and its router.
fn own(family: Family, number: usize) -> (String, String) {
    match family {
        Family::V4 => (format!("10.2{number}.0.7/16"), format!("10.2{number}.0.1")),
        Family::V6 => (format!("fd00:2{number}::7/64"), format!("fd00:2{number}::1")),
    }
}

fn foreign(route: Route) -> Route {
    Route { protocol: RouteProtocol::BOOT, ..route }
}

/// A default route as main plugins add it: without NLM_F_EXCL, beside those that are there. IPv6 makes
/// one route of both.
fn append_default(scene: &mut Scene, family: Family, router: &str, link: &str) {
    let everything = if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
    let route = foreign(via(everything, router, link));
    let routes = &mut scene.side_mut(Side::Pod).routes;
    let is_sibling = |other: &&Route| {
        family == Family::V6
            && other.destination == route.destination
            && (other.table, other.metric) == (table::MAIN, route.metric)
    };
    let Some(sibling) = routes.iter().find(is_sibling).cloned() else {
        routes.insert(route);
        return;
    };
    routes.remove(&sibling);
    let hops: Vec<Hop> = sibling.hops.iter().cloned().chain(route.hops).collect();
    routes.insert(Route { hops, ..sibling });
}
