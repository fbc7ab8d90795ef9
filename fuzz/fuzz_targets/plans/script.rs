//! A small language of ops over a few names and subnets, in which things are often in each other's way.

use arbitrary::Arbitrary;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{Intent, Want};
use spiderpool_core::net::{
    Macvlan, MacvlanMode, Neighbour, NeighbourState, Route, RouteProtocol, RouteType, Rule, Scene,
    Side, Sysctl, SysctlName, SysctlPlace, Vlan, VlanId, VlanProtocol,
};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op};

use crate::build::{
    address, disabled, from, intent, link_setting, mac, many, marked, marks, name, neighbour,
    on_in, one_nic, set, two_nics, veth, via_in,
};

const LINKS: [&str; 7] = ["eth0", "net1", "ens3", "veth0", "vethc0", "mv0", "br0"];
const HOSTS: [&str; 12] = [
    "10.6.0.10",
    "10.6.0.11",
    "10.6.0.12",
    "10.7.0.10",
    "10.7.0.11",
    "10.7.0.12",
    "fd00:6::10",
    "fd00:6::11",
    "fd00:6::12",
    "fd00:7::10",
    "fd00:7::11",
    "fd00:7::12",
];
const NETS: [&str; 4] = ["0.0.0.0/0", "::/0", "10.9.0.0/16", "fd00:9::/64"];
const TABLES: [u32; 5] = [254, 254, 100, 101, 500];

/// One op on one side, with small numbers for everything that has a name.
#[derive(Debug, Clone, Arbitrary)]
pub struct Act {
    is_host: bool,
    deed: Deed,
}

#[derive(Debug, Clone, Arbitrary)]
enum Deed {
    Address {
        link: u8,
        host: u8,
        is_wide: bool,
        is_bare: bool,
    },
    Route {
        to: u8,
        table: u8,
        link: u8,
        gateway: Option<bool>,
        metric: bool,
        ours: bool,
        source: bool,
    },
    ManyHops(bool),
    Unreachable {
        to: u8,
        table: u8,
    },
    Rule {
        host: u8,
        priority: u8,
        table: u8,
        ours: bool,
    },
    Neighbour {
        link: u8,
        host: u8,
        kind: u8,
        ours: bool,
    },
    Setting {
        link: u8,
        kind: u8,
        value: bool,
    },
    Up {
        link: u8,
        is_up: bool,
    },
    Change {
        link: u8,
        change: Change,
    },
    Link {
        kind: u8,
        parent: u8,
    },
    Delete(u8),
    Move {
        link: u8,
        target: u8,
    },
    Marks(bool),
    NoMarks,
}

#[derive(Debug, Clone, Arbitrary)]
enum Change {
    Mtu(u8),
    Mac(u8),
    Name(u8),
    Controller(bool),
    Queue(bool),
    Alias(bool),
}

fn pick<T: Copy>(all: &[T], at: u8) -> T {
    all[usize::from(at) % all.len()]
}

fn host(at: u8) -> String {
    let ip = pick(&HOSTS, at);
    format!("{ip}/{}", if ip.contains(':') { 128 } else { 32 })
}

fn destination(at: u8) -> String {
    if at % 2 == 0 { pick(&NETS, at / 2).to_owned() } else { host(at / 2) }
}

fn protocol(is_ours: bool) -> RouteProtocol {
    if is_ours { RouteProtocol::OURS } else { RouteProtocol::STATIC }
}

impl Act {
    /// The side and the op.
    pub fn op(&self) -> (Side, Op) {
        let side = if self.is_host { Side::Host } else { Side::Pod };
        (side, self.deed.op())
    }

    /// The wish for what the op makes, or for its absence.
    pub fn want(&self, is_absent: bool) -> Option<(Side, Want)> {
        let (side, op) = self.op();
        want(op, is_absent).map(|want| (side, want))
    }
}

impl Deed {
    fn op(&self) -> Op {
        match *self {
            Self::Address { link, host: at, is_wide, is_bare } => {
                let ip = pick(&HOSTS, at);
                let length = if ip.contains(':') { 64 } else { 16 };
                let net = if is_wide { format!("{ip}/{length}") } else { host(at) };
                let mut address = address(pick(&LINKS, link), &net);
                address.flags.has_no_prefix_route = is_bare;
                Op::AddAddress(address)
            }
            Self::Route { .. } => self.route(),
            Self::ManyHops(true) => {
                Op::AddRoute(many("10.10.0.0/16", &[("10.6.0.1", "eth0"), ("10.7.0.1", "net1")]))
            }
            Self::ManyHops(false) => {
                Op::AddRoute(many("fd00:10::/64", &[("fd00:7::1", "net1"), ("fd00:6::1", "eth0")]))
            }
            Self::Unreachable { to, table } => {
                let route = Route::new(destination(to).parse().unwrap(), pick(&TABLES, table));
                Op::AddRoute(Route { kind: RouteType::Unreachable, ..route })
            }
            Self::Rule { host: at, priority, table, ours } => {
                let (priority, table) = (999 + u32::from(priority % 3), pick(&TABLES[2..], table));
                let rule = if priority == 1000 {
                    let is_v6 = pick(&HOSTS, at).contains(':');
                    marked(if is_v6 { Family::V6 } else { Family::V4 }, priority, table)
                } else {
                    from(&host(at), priority, table)
                };
                Op::AddRule(Rule { protocol: protocol(ours), ..rule })
            }
            Self::Neighbour { link, host: at, kind, ours } => {
                let (state, mac) = match kind % 3 {
                    0 => (NeighbourState::Proxy, None),
                    last => (NeighbourState::Permanent, Some(mac(last))),
                };
                let told = neighbour(pick(&LINKS, link), pick(&HOSTS, at), 0);
                Op::SetNeighbour(Neighbour { state, mac, protocol: protocol(ours), ..told })
            }
            Self::Setting { link, kind, value } => {
                Op::SetSysctl(setting(pick(&LINKS, link), kind), i64::from(value))
            }
            Self::Up { link, is_up } => set(pick(&LINKS, link), LinkChange::Up(is_up)),
            Self::Change { link, ref change } => set(pick(&LINKS, link), change.change()),
            Self::Link { kind, parent } => Op::CreateLink(new_link(kind, pick(&LINKS, parent))),
            Self::Delete(link) => Op::DeleteLink(name(pick(&LINKS, link))),
            Self::Move { link, target } => {
                Op::MoveLink { name: name(pick(&LINKS, link)), target: name(pick(&LINKS, target)) }
            }
            Self::Marks(is_pair) => Op::AddMarks(marks(if is_pair { "veth0" } else { "eth0" })),
            Self::NoMarks => Op::DeleteMarks,
        }
    }

    fn route(&self) -> Op {
        let Self::Route { to, table, link, gateway, metric, ours, source } = *self else {
            unreachable!("only for routes");
        };
        let (destination, device) = (destination(to), pick(&LINKS, link));
        let subnet = if gateway.unwrap_or_default() { 7 } else { 6 };
        let (router, own) = if destination.contains(':') {
            (format!("fd00:{subnet}::1"), format!("fd00:{subnet}::10"))
        } else {
            (format!("10.{subnet}.0.1"), format!("10.{subnet}.0.10"))
        };
        let mut route = if gateway.is_some() {
            via_in(pick(&TABLES, table), &destination, &router, device)
        } else {
            on_in(pick(&TABLES, table), &destination, device)
        };
        route.metric += if metric { 50 } else { 0 };
        route.source = source.then(|| own.parse().unwrap());
        route.protocol = protocol(ours);
        Op::AddRoute(route)
    }
}

impl Change {
    fn change(&self) -> LinkChange {
        match *self {
            Self::Mtu(at) => LinkChange::Mtu(pick(&[1200, 1400, 1500], at)),
            Self::Mac(last) => LinkChange::Mac(mac(last.max(1))),
            Self::Name(at) => LinkChange::Name(name(pick(&LINKS, at))),
            Self::Controller(is_port) => LinkChange::Controller(is_port.then(|| name("br0"))),
            Self::Queue(is_long) => LinkChange::TxQueueLength(if is_long { 1000 } else { 100 }),
            Self::Alias(is_set) => LinkChange::Alias(is_set.then(|| "mine".into())),
        }
    }
}

fn setting(device: &str, kind: u8) -> Sysctl {
    let (family, all) = (Family::V6, SysctlPlace::All);
    match kind % 6 {
        0 => disabled(device),
        1 => Sysctl { family, place: all, name: SysctlName::DisableIpv6 },
        2 => Sysctl { family, place: SysctlPlace::Default, name: SysctlName::DisableIpv6 },
        3 => Sysctl::all(Family::V6, SysctlName::Forwarding),
        4 => link_setting(Family::V4, device, SysctlName::ReversePathFilter),
        _ => Sysctl::all(Family::V4, SysctlName::ReversePathFilter),
    }
}

fn new_link(kind: u8, parent: &str) -> NewLink {
    let parent = name(parent);
    let plain = |text: &str, kind| NewLink {
        name: name(text),
        kind,
        mtu: None,
        mac: Some(mac(0x77)),
        alias: None,
    };
    match kind % 5 {
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
    }
}

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

/// A scene that a kernel could have come to hold.
pub fn scene(is_double: bool, acts: &[Act]) -> Scene {
    let mut scene = if is_double { two_nics() } else { one_nic() };
    for act in acts {
        let (side, op) = act.op();
        let before = scene.clone();
        // What the kernel refuses did not happen.
        if perform(&mut scene, side, &op).is_err() {
            assert_eq!(scene, before, "{side}: {op} was refused and left a trace");
        }
    }
    scene
}

/// Wishes for what is there not to be there, by their position. Nobody wishes away the routes that the
/// kernel keeps along with its addresses.
pub fn removals(scene: &Scene, picks: &[u8]) -> Intent {
    let pod = scene.side(Side::Pod);
    let routes = pod.routes.iter().filter(|route| route.protocol != RouteProtocol::KERNEL);
    let mut wants: Vec<Want> = routes.cloned().map(Want::NoRoute).collect();
    wants.extend(pod.addresses.iter().cloned().map(Want::NoAddress));
    wants.extend(pod.rules.iter().cloned().map(Want::NoRule));
    wants.extend(pod.neighbours.iter().cloned().map(Want::NoNeighbour));
    wants.extend(pod.links.keys().filter(|link| &***link != "lo").cloned().map(Want::NoLink));
    let picked = picks.iter().filter_map(|pick| wants.get(usize::from(*pick) % wants.len().max(1)));
    intent(picked.map(|want| (Side::Pod, want.clone())))
}
