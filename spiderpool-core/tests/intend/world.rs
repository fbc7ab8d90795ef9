//! A node and a pod to attach interfaces in: how tests are set up is told here once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{
    Configuration, Intended, Reason, Record, Refusal, Tenure, Topology, Want, Wish, intend, renew,
    withdraw,
};
use spiderpool_core::net::{
    Address, Hop, LinkKind, LinkName, Macvlan, MacvlanMode, Parent, Route, RouteProtocol, Rule,
    RuleAction, Scene, Side, Sysctl, SysctlName, table,
};

use crate::model::{add_settings, append_default, apply, delete_link, next_index, plain};

pub(crate) const CONTAINER: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const HOST_END: &str = "veth0123456789a";

/// Which families the interfaces of a pod have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    V4,
    V6,
    Dual,
}

impl Stack {
    pub(crate) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Dual];

    fn takes(self, text: &str) -> bool {
        match self {
            Self::V4 => !text.contains(':'),
            Self::V6 => text.contains(':'),
            Self::Dual => true,
        }
    }
}

pub(crate) fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn net(text: &str) -> IpNet {
    match text {
        "default" => net("0.0.0.0/0"),
        "default6" => net("::/0"),
        _ => text.parse().unwrap_or_else(|_| IpNet::from(ip(text))),
    }
}

/// The defaults, with a service prefix and link-local addresses to reach through the node.
pub(crate) fn configuration() -> Configuration {
    Configuration {
        service_prefixes: vec![net("10.96.0.0/12"), net("fd00:96::/108")],
        hijack_prefixes: vec![net("169.254.0.0/16")],
        ..Configuration::new(name("eth0"))
    }
}

/// A node and a pod, and what is recorded of it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) stack: Stack,
    pub(crate) records: Vec<Record>,
    pub(crate) expected: Option<Vec<LinkName>>,
    pub(crate) toward: BTreeMap<IpAddr, IpAddr>,
}

impl World {
    /// A node with addresses on `eth0` and a bridge that is not the node's; a pod with `lo` alone.
    pub(crate) fn new(stack: Stack) -> Self {
        let scene = Scene::default();
        let (records, toward) = (Vec::new(), BTreeMap::new());
        let mut world = Self { scene, stack, records, expected: None, toward };
        for side in [Side::Host, Side::Pod] {
            world.link(side, "lo", LinkKind::Plain, &["127.0.0.1/8", "::1/128"]);
            world.rule(side, "0: lookup 255");
            world.rule(side, "32766: lookup 254");
            let filter = Sysctl::all(Family::V4, SysctlName::ReversePathFilter);
            world.scene.side_mut(side).sysctls.insert(filter, 1);
            let disabled = Sysctl::all(Family::V6, SysctlName::DisableIpv6);
            world.scene.side_mut(side).sysctls.insert(disabled, 0);
        }
        world.link(Side::Host, "eth0", LinkKind::Plain, &["172.100.0.2/16", "fd00:100::2/64"]);
        world.link(Side::Host, "docker0", LinkKind::Bridge, &["172.17.0.1/16"]);
        world.link(Side::Host, "cilium_host", LinkKind::Dummy, &["10.0.0.77/32"]);
        world
    }

    /// An underlay pod whose `eth0` is a macvlan.
    pub(crate) fn underlay(stack: Stack) -> Self {
        let mut world = Self::new(stack);
        let addresses = ["172.100.0.210/16", "fd00:100::210/64"];
        world.nic("eth0", &addresses, &["172.100.0.1", "fd00:100::1"]);
        world
    }

    /// An overlay pod whose `eth0` is a veth, with a gateway on the link as one plugin has it.
    pub(crate) fn overlay(stack: Stack) -> Self {
        let mut world = Self::new(stack);
        world.link(Side::Pod, "eth0", LinkKind::Veth, &["10.244.1.7/32", "fd00:244::7/128"]);
        world.link(Side::Host, "cali0123", LinkKind::Veth, &[]);
        let index = |side: Side, link: &str| world.scene.side(side).links[&name(link)].index;
        let (near, far) = (index(Side::Pod, "eth0"), index(Side::Host, "cali0123"));
        for (side, link, index) in [(Side::Pod, "eth0", far), (Side::Host, "cali0123", near)] {
            let link = world.scene.side_mut(side).links.get_mut(&name(link)).unwrap();
            link.parent = Some(Parent { name: None, index, netns_id: Some(0) });
        }
        for (on_link, everything) in [("169.254.1.1", "default"), ("fe80::1", "default6")] {
            if stack.takes(on_link) {
                let gateway = ip(on_link);
                world.pod_route(Route {
                    protocol: RouteProtocol::BOOT,
                    ..Route::on_link(net(on_link), table::MAIN, name("eth0"))
                });
                world.pod_route(Route {
                    protocol: RouteProtocol::BOOT,
                    ..Route::via(net(everything), table::MAIN, gateway, name("eth0"))
                });
            }
        }
        world
    }

    /// A macvlan of the pod, with addresses, connected routes and default routes, as an IPAM leaves it.
    pub(crate) fn nic(&mut self, link: &str, addresses: &[&str], gateways: &[&str]) {
        let kind = LinkKind::Macvlan(Macvlan { mode: MacvlanMode::Bridge });
        self.link(Side::Pod, link, kind, addresses);
        for text in addresses.iter().filter(|text| self.stack.takes(text)) {
            let address = net(text);
            let source = matches!(address, IpNet::V4(_)).then_some(address.addr());
            let metric = if source.is_some() { 0 } else { 256 };
            let route = Route {
                source,
                metric,
                protocol: RouteProtocol::KERNEL,
                ..Route::on_link(address.trunc(), table::MAIN, name(link))
            };
            self.scene.pod.routes.insert(route);
        }
        for gateway in gateways.iter().filter(|text| self.stack.takes(text)) {
            let everything = if gateway.contains(':') { "default6" } else { "default" };
            let route = Route {
                protocol: RouteProtocol::BOOT,
                ..Route::via(net(everything), table::MAIN, ip(gateway), name(link))
            };
            append_default(&mut self.scene, Side::Pod, route);
        }
    }

    /// `netN` in networks of its own.
    pub(crate) fn net_nic(&mut self, number: u8) {
        let addresses = [format!("10.{number}.0.5/16"), format!("fd00:{number}::5/64")];
        let gateways = [format!("10.{number}.0.1"), format!("fd00:{number}::1")];
        let texts = |texts: &[String; 2]| texts.clone();
        let (addresses, gateways) = (texts(&addresses), texts(&gateways));
        self.nic(
            &format!("net{number}"),
            &[&addresses[0], &addresses[1]],
            &[&gateways[0], &gateways[1]],
        );
    }

    pub(crate) fn link(&mut self, side: Side, link: &str, kind: LinkKind, addresses: &[&str]) {
        let index = next_index(&self.scene, side);
        let stack = if side == Side::Host { Stack::Dual } else { self.stack };
        let observed = self.scene.side_mut(side);
        observed.links.insert(name(link), plain(name(link), index, kind));
        add_settings(&mut self.scene, side, &name(link));
        let observed = self.scene.side_mut(side);
        for text in addresses.iter().filter(|text| stack.takes(text) || link == "lo") {
            observed.addresses.insert(Address::new(name(link), net(text)));
            if side == Side::Pod {
                let node = if text.contains(':') { "fd00:100::2" } else { "172.100.0.2" };
                self.toward.insert(net(text).addr(), ip(node));
            }
        }
    }

    pub(crate) fn pod_route(&mut self, route: Route) {
        self.scene.pod.routes.insert(route);
    }

    /// A rule of the kernel's or of a stranger's, as `PRIORITY: lookup TABLE`.
    pub(crate) fn rule(&mut self, side: Side, text: &str) {
        let (priority, table) = text.split_once(": lookup ").unwrap();
        let (priority, table) = (priority.parse().unwrap(), table.parse().unwrap());
        for family in Family::BOTH {
            let protocol = RouteProtocol::KERNEL;
            let rule = Rule { protocol, ..Rule::new(family, priority, table) };
            self.scene.side_mut(side).rules.insert(rule);
        }
    }

    pub(crate) fn topology(&self, interface: &str) -> Topology {
        Topology {
            scene: self.scene.clone(),
            container: CONTAINER.to_owned(),
            interface: name(interface),
            attachments: self.records.clone(),
            expected: self.expected.clone(),
            toward: self.toward.clone(),
        }
    }

    pub(crate) fn intend(
        &self,
        interface: &str,
        configuration: &Configuration,
    ) -> Result<Intended, Refusal> {
        intend(&self.topology(interface), configuration)
    }

    /// Attaches an interface, has everything so, and keeps the record.
    pub(crate) fn attach(&mut self, interface: &str, configuration: &Configuration) -> Intended {
        let intended = self.intend(interface, configuration).unwrap();
        self.take(&intended);
        intended
    }

    pub(crate) fn renew(&mut self, interface: &str) -> Intended {
        self.renew_in(&self.topology(interface), interface)
    }

    /// Renews an attachment while another's interface is on its way out.
    pub(crate) fn renew_while_leaving(&mut self, interface: &str, leaving: &str) -> Intended {
        self.renew_in(&self.topology(interface).leaving(&name(leaving)), interface)
    }

    fn renew_in(&mut self, topology: &Topology, interface: &str) -> Intended {
        let record = self.record(interface).clone();
        let intended = renew(topology, &record).unwrap();
        self.take(&intended);
        intended
    }

    fn take(&mut self, intended: &Intended) {
        apply(&mut self.scene, &intended.intent);
        let interface = intended.record.interface.clone();
        self.records.retain(|record| record.interface != interface);
        self.records.push(intended.record.clone());
    }

    pub(crate) fn record(&self, interface: &str) -> &Record {
        self.records.iter().find(|record| &*record.interface == interface).unwrap()
    }

    /// Takes an attachment back; the interface stays.
    pub(crate) fn withdraw(&mut self, interface: &str) {
        let record = self.record(interface).clone();
        self.records.retain(|record| &*record.interface != interface);
        let intent = withdraw(&record, &self.records, &self.scene);
        apply(&mut self.scene, &intent);
    }

    /// Takes an attachment back, and then the interface, as a chain of plugins does.
    pub(crate) fn detach(&mut self, interface: &str) {
        self.withdraw(interface);
        delete_link(&mut self.scene, Side::Pod, &name(interface));
    }

    /// The pod's routes of a table, as text; not what the kernel makes for the pair by itself.
    pub(crate) fn routes(&self, number: u32) -> Vec<String> {
        let routes = self.scene.pod.routes.iter().filter(|route| route.table == number);
        routes.map(show).filter(|route| route != "fe80::/64 dev veth0").collect()
    }

    /// The pod's rules that are not the kernel's, as text.
    pub(crate) fn rules(&self) -> Vec<String> {
        show_rules(&self.scene, Side::Pod)
    }

    /// Where the pod would send a packet: the link that the rules and tables lead to.
    pub(crate) fn way(&self, from: Option<&str>, to: &str) -> Option<String> {
        let to = ip(to);
        let mut rules: Vec<&Rule> = self.scene.pod.rules.iter().collect();
        rules.sort_by_key(|rule| rule.priority);
        for rule in rules {
            let is_from =
                rule.from.is_none_or(|net| from.is_some_and(|from| net.contains(&ip(from))));
            let is_family = rule.family == Family::of(to);
            let RuleAction::Lookup(number) = rule.action else { continue };
            if rule.mark.is_some() || !is_from || !is_family {
                continue;
            }
            let fitting = self
                .scene
                .pod
                .routes
                .iter()
                .filter(|route| route.table == number && route.destination.contains(&to));
            let best = fitting.max_by_key(|route| route.destination.prefix_len());
            if let Some(route) = best {
                return route.hops[0].device.as_ref().map(ToString::to_string);
            }
        }
        None
    }
}

pub(crate) fn show_rules(scene: &Scene, side: Side) -> Vec<String> {
    let rules = scene.side(side).rules.iter().filter(|rule| rule.protocol == RouteProtocol::OURS);
    let mut shown: Vec<(u32, String)> =
        rules.map(|rule| (rule.priority, show_rule(rule))).collect();
    shown.sort();
    shown.into_iter().map(|(_, text)| text).collect()
}

fn show_rule(rule: &Rule) -> String {
    let mut text = format!("{}:", rule.priority);
    if let Some(from) = rule.from {
        text += &format!(" from {}", short(from));
    }
    if let Some(mark) = rule.mark {
        text += &format!(" fwmark {:#x}/{:#x}", mark.value, mark.mask);
    }
    match rule.action {
        RuleAction::Lookup(number) => text + &format!(" lookup {number}"),
        other => text + &format!(" {other:?}"),
    }
}

/// A route as people write it.
pub(crate) fn show(route: &Route) -> String {
    let mut text = short(route.destination);
    for hop in &route.hops {
        text += &show_hop(hop);
    }
    if let Some(source) = route.source {
        text += &format!(" src {source}");
    }
    text
}

fn show_hop(hop: &Hop) -> String {
    let gateway = hop.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    format!("{gateway} dev {}", hop.device.as_ref().unwrap())
}

fn short(net: IpNet) -> String {
    match net.prefix_len() {
        0 => "default".to_owned(),
        length if length == net.max_prefix_len() => net.addr().to_string(),
        _ => net.to_string(),
    }
}

/// The wishes of an intent for a reason.
pub(crate) fn wished(intended: &Intended, reason: Reason) -> Vec<&Wish> {
    intended.intent.wishes.iter().filter(|wish| wish.reason == reason).collect()
}

/// A scene without what is the node's for good.
pub(crate) fn without_node(scene: &Scene, records: &[Record]) -> Scene {
    let mut scene = scene.clone();
    let wishes = records.iter().flat_map(|record| &record.intent.wishes);
    for wish in wishes.filter(|wish| wish.tenure == Tenure::Node) {
        if let Want::Rule(rule) = &wish.want {
            scene.side_mut(wish.side).rules.remove(rule);
        }
    }
    scene
}
