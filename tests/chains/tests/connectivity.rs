//! Every way that packets are promised to go, for every shape of pod.
//!
//! Subnets are distinct and the router takes from each link only what belongs there, so a reply that goes
//! another way than the request came is lost, and the test with it.

#![cfg(test)]

use serde_json::json;
use spiderpool_chains::lab::{CLIENT, MANAGEMENT, NETS, OUTSIDE};
use spiderpool_chains::network::{Families, Network};
use spiderpool_chains::talk::{Server, ask, ask_udp, seen_from};
use spiderpool_chains::tap::Tap;
use spiderpool_chains::{Lab, Pod, promise};
use std::net::{IpAddr, SocketAddr};

/// A pod with so many underlay interfaces, `eth0`, `net1`, …, each network changed in the same way.
fn underlay(
    lab: &Lab,
    count: usize,
    change: impl Fn(Network) -> Network,
) -> (Pod<'_>, Vec<Vec<IpAddr>>) {
    let pod = lab.pod();
    let nics = ["eth0", "net1", "net2"].into_iter().take(count).enumerate();
    let attach = |(net, nic)| pod.attach(nic, &change(lab.underlay(net).in_cluster()));
    let addresses = nics.map(attach).collect();
    (pod, addresses)
}

/// A pod with an overlay's `eth0` and so many underlay interfaces, `net1`, …
fn overlay<'a>(
    lab: &'a Lab,
    kind: &str,
    count: usize,
    change: impl Fn(Network) -> Network,
) -> (Pod<'a>, Vec<Vec<IpAddr>>) {
    let pod = lab.pod();
    let mut addresses = vec![pod.attach("eth0", &change(lab.overlay(kind)))];
    for net in 0..count {
        let network = change(lab.underlay(net).in_cluster());
        addresses.push(pod.attach(&format!("net{}", net + 1), &network));
    }
    (pod, addresses)
}

/// All that is promised of an underlay pod, and what two of them can do with each other.
fn underlay_works(count: usize, change: impl Fn(Network) -> Network) {
    let lab = Lab::new();
    let (one, mine) = underlay(&lab, count, &change);
    let (other, others) = underlay(&lab, count, &change);
    promise::all(&lab, &one, &mine.concat());
    promise::pods_meet(&one, &other, &others.concat());
    promise::serves(&lab, &one, &other, &others[0]);
    promise::serves_from_afar(&lab, &one, NETS[2], &mine[0]);
}

/// All that is promised of a pod with an overlay's interface.
fn overlay_works(kind: &str, count: usize, change: impl Fn(Network) -> Network) {
    let lab = Lab::new();
    let (one, mine) = overlay(&lab, kind, count, &change);
    let (other, others) = overlay(&lab, kind, count, &change);
    let (eth0, nets) = (&mine[0], mine[1..].concat());
    promise::pod_to_node(&lab, &one, eth0);
    promise::node_to_pod(&lab, &one, &mine.concat());
    promise::answers_outside(&lab, &one, &nets);
    promise::reaches_outside(&lab, &one, eth0);
    promise::node_port_keeps_clients(&lab, &one, eth0);
    promise::node_port_hides_clients(&lab, &one, &mine.concat());
    promise::pods_meet(&one, &other, &others.concat());
    promise::serves(&lab, &one, &other, &others.concat());
    promise::serves_from_afar(&lab, &one, NETS[2], eth0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_underlay_interface_under_a_loose_filter() {
    underlay_works(1, |network| network.with("podRPFilter", 2));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn two_underlay_interfaces_without_a_filter() {
    underlay_works(2, |network| network.with("podRPFilter", 0));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn two_underlay_interfaces_under_a_strict_filter() {
    underlay_works(2, |network| network.with("podRPFilter", 1));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn three_underlay_interfaces_without_a_filter() {
    underlay_works(3, |network| network);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn three_underlay_interfaces_under_a_loose_filter() {
    underlay_works(3, |network| network.with("podRPFilter", 2));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn two_underlay_interfaces_of_ipv4_alone() {
    underlay_works(2, |network| network.families(Families::V4));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn two_underlay_interfaces_of_ipv6_alone() {
    underlay_works(2, |network| network.families(Families::V6));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_overlay_by_a_bridge_and_one_underlay_interface() {
    overlay_works("bridge", 1, |network| network);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_overlay_and_two_underlay_interfaces_under_a_strict_filter() {
    overlay_works("ptp", 2, |network| network.with("podRPFilter", 1));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_overlay_and_two_underlay_interfaces_under_a_loose_filter() {
    overlay_works("ptp", 2, |network| network.with("podRPFilter", 2));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_overlay_and_one_underlay_interface_of_ipv4_alone() {
    overlay_works("ptp", 1, |network| network.families(Families::V4));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn one_overlay_and_one_underlay_interface_of_ipv6_alone() {
    overlay_works("ptp", 1, |network| network.families(Families::V6));
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn interfaces_of_different_families() {
    let lab = Lab::new();
    let pod = lab.pod();
    let v4 = pod.attach("eth0", &lab.underlay(0).in_cluster().families(Families::V4));
    let v6 = pod.attach("net1", &lab.underlay(1).in_cluster().families(Families::V6));
    promise::all(&lab, &pod, &[v4, v6].concat());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_strict_filter_on_net1_with_the_default_route() {
    let lab = Lab::new();
    let change =
        |network: Network| network.with("podRPFilter", 1).with("podDefaultRouteNic", "net1");
    let (pod, addresses) = underlay(&lab, 3, change);
    let way = pod.room.link_toward(&OUTSIDE.address(true, CLIENT).to_string());
    assert_eq!(way, "net1");
    promise::all(&lab, &pod, &addresses.concat());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_cache_of_names_on_the_node_answers() {
    // nodelocaldns listens on a link-local address of a link of its own.
    let lab = Lab::new();
    lab.node.ip_batch(
        "link add nodelocaldns type veth peer name nodelocal-x\n\
         link set nodelocaldns up\naddr add 169.254.20.10/32 dev nodelocaldns",
    );
    let target: SocketAddr = "169.254.20.10:53".parse().unwrap();
    let _cache = Server::udp(&lab.node, target);
    let hijacked = |network: Network| network.with("hijackCIDR", json!(["169.254.0.0/16"]));
    let (pod, addresses) = underlay(&lab, 2, hijacked);
    assert_eq!(pod.room.link_toward("169.254.20.10"), "veth0");
    assert_eq!(ask_udp(&pod.room, target).unwrap(), addresses[0][0]);
    let (pod, addresses) = overlay(&lab, "ptp", 1, hijacked);
    assert_eq!(pod.room.link_toward("169.254.20.10"), "eth0");
    assert_eq!(ask_udp(&pod.room, target).unwrap(), addresses[0][0]);
    // It is reached without being told, and not where other prefixes are named.
    let (usual, _) = underlay(&lab, 1, |network| network);
    assert!(ask_udp(&usual.room, target).is_ok());
    let other = |network: Network| network.with("hijackCIDR", json!(["192.0.2.0/24"]));
    let (bare, _) = underlay(&lab, 1, other);
    assert!(ask_udp(&bare.room, target).is_err());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn hijacked_prefixes_go_through_the_node() {
    let lab = Lab::new();
    let hijacked =
        |network: Network| network.with("hijackCIDR", json!(["198.51.100.0/24", "2001:db8:51::7"]));
    let (pod, addresses) = underlay(&lab, 1, hijacked);
    for (address, source) in OUTSIDE.both(CLIENT).into_iter().zip(&addresses[0]) {
        assert_eq!(pod.room.link_toward(&address.to_string()), "veth0");
        let ip = if address.is_ipv4() { "ip" } else { "ip6" };
        let tap = Tap::new(
            &lab.node,
            &format!("iifname {} {ip} saddr {source} {ip} daddr {address}", pod.host_end()),
        );
        // To the router it comes from the node's subnet with a pod's source, so there is no answer.
        pod.room.does_not_reach(address);
        assert!(tap.count() > 0, "the node forwards what the pod sends to {address}");
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_probe_of_the_node_reaches_whichever_interface_it_asks() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, 3, |network| network);
    for address in addresses.concat() {
        let server = Server::tcp(&pod.room, address, 0);
        let seen = seen_from(&lab.node, SocketAddr::new(address, server.port()));
        assert!(lab.is_node(seen));
        let ip = if address.is_ipv4() { "ip" } else { "ip6" };
        let tap = Tap::new(&lab.node, &format!("iifname {} {ip} saddr {address}", pod.host_end()));
        assert!(lab.node.pings(address));
        assert!(tap.count() > 0, "the reply of {address} comes by the pair");
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn each_interface_sends_what_bears_its_address() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, 3, |network| network);
    for (net, of_nic) in addresses.iter().enumerate() {
        for source in of_nic {
            let target = OUTSIDE.address(source.is_ipv4(), CLIENT);
            let ip = if source.is_ipv4() { "ip" } else { "ip6" };
            let tap = Tap::new(&lab.far, &format!("iifname up{net} {ip} saddr {source}"));
            assert!(pod.room.pings_with(target, &["-I", &source.to_string()]), "from {source}");
            assert!(tap.count() > 0, "what bears {source} leaves by up{net}");
        }
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_reaches_itself_through_its_service() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, 1, |network| network);
    for address in &addresses[0] {
        let server = Server::tcp(&pod.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        let clients = spiderpool_chains::proxy::Clients::Hidden;
        let service = spiderpool_chains::proxy::Service::cluster_ip(&lab, target, clients);
        assert!(lab.is_node(seen_from(&pod.room, service.address())));
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn underlay_and_overlay_pods_of_one_node_meet() {
    let lab = Lab::new();
    let (under, addresses) = underlay(&lab, 1, |network| network);
    let over = lab.pod();
    let eth0 = over.attach("eth0", &lab.overlay("ptp"));
    promise::pods_meet(&under, &over, &eth0);
    promise::pods_meet(&over, &under, &addresses[0]);
    promise::serves(&lab, &under, &over, &eth0);
    promise::serves(&lab, &over, &under, &addresses[0]);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn the_pair_may_have_an_address() {
    let lab = Lab::new();
    let (pod, addresses) =
        underlay(&lab, 1, |network| network.with("vethLinkAddress", "169.254.100.1"));
    assert!(pod.room.ip("-o addr show veth0").contains("169.254.100.1/32"));
    promise::all(&lab, &pod, &addresses[0]);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_with_a_disabled_coordinator_has_what_its_plugin_gave() {
    let lab = Lab::new();
    let pods =
        ["disable", "disabled"].map(|word| underlay(&lab, 1, |network| network.with("mode", word)));
    for (pod, addresses) in &pods {
        assert!(!pod.room.ip("-o link").contains("veth0"));
        promise::answers_outside(&lab, pod, &addresses[0]);
        lab.node.does_not_reach(addresses[0][0]);
        pod.check("eth0").unwrap();
        pod.detach("eth0");
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_node_port_at_an_underlay_address_of_the_node() {
    // The client is in the pod's own subnet: a reply past the node would reach it, and be refused.
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, 2, |network| network);
    for address in addresses.concat() {
        let is_v4 = address.is_ipv4();
        let server = Server::tcp(&pod.room, address, 0);
        let target = SocketAddr::new(address, server.port());
        let clients = spiderpool_chains::proxy::Clients::Kept;
        let service = spiderpool_chains::proxy::Service::node_port(&lab, target, clients);
        for net in &NETS[..2] {
            let at_node = service.at(net.address(is_v4, 2));
            assert_eq!(seen_from(&lab.peer, at_node), net.address(is_v4, 3), "{address}");
        }
        assert!(ask(&lab.client, service.at(MANAGEMENT.address(is_v4, 2))).is_ok());
    }
}
