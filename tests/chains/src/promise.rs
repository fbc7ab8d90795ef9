//! What pods are promised, each promise kept by packets.
//!
//! The suites call these for every shape of pod: underlay and overlay, one to three interfaces, either
//! family or both. Each fails the test with who did not reach whom.

use crate::lab::{CLIENT, Lab, MANAGEMENT, NETS, OUTSIDE, Subnet};
use crate::pod::Pod;
use crate::proxy::{Clients, Service};
use crate::talk::{Server, seen_from, send};
use std::net::{IpAddr, SocketAddr};

/// Bytes that fill many packets: what is lost to a small link on the way shows.
const LARGE: usize = 40_000;

/// Pods reach each other's addresses, and see each other's own address.
#[track_caller]
pub fn pods_meet(one: &Pod<'_>, other: &Pod<'_>, addresses: &[IpAddr]) {
    for address in addresses {
        one.room.reaches(*address);
        let server = Server::tcp(&other.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        let seen = seen_from(&one.room, target);
        assert!(one.has(seen), "{address} sees {seen}, which is none of the other pod's");
        send(&one.room, target, LARGE).unwrap();
    }
}

/// The pod reaches every address of its node, and the node sees an address of the pod.
#[track_caller]
pub fn pod_to_node(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    for is_v4 in families(addresses) {
        for subnet in [MANAGEMENT, NETS[0], NETS[1], NETS[2]] {
            pod.room.reaches(subnet.address(is_v4, 2));
        }
        let node = MANAGEMENT.address(is_v4, 2);
        let server = Server::tcp(&lab.node, node, 0);
        let target = SocketAddr::new(node, server.port());
        let seen = seen_from(&pod.room, target);
        assert!(pod.has(seen), "the node sees {seen}, which is none of the pod's");
        send(&pod.room, target, LARGE).unwrap();
    }
}

/// The node reaches each of the pod's addresses, as a health probe does, and is seen as itself.
#[track_caller]
pub fn node_to_pod(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    for address in addresses {
        lab.node.reaches(*address);
        let server = Server::tcp(&pod.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        let seen = seen_from(&lab.node, target);
        assert!(lab.is_node(seen), "the pod sees {seen}, which is none of the node's");
        send(&lab.node, target, LARGE).unwrap();
    }
}

/// Each address answers the external client and a neighbour on the interface that was asked: by any
/// other the router would lose the answer.
#[track_caller]
pub fn answers_outside(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    for address in addresses {
        lab.client.reaches(*address);
        let server = Server::tcp(&pod.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        assert_eq!(seen_from(&lab.client, target), OUTSIDE.address(address.is_ipv4(), CLIENT));
        send(&lab.client, target, LARGE).unwrap();
        if let Some(net) = NETS.into_iter().find(|net| net.contains(*address)) {
            assert_eq!(seen_from(&lab.peer, target), net.address(address.is_ipv4(), 3));
        }
    }
}

/// The pod reaches what is beyond the router.
#[track_caller]
pub fn reaches_outside(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    for is_v4 in families(addresses) {
        let client = OUTSIDE.address(is_v4, CLIENT);
        pod.room.reaches(client);
        let server = Server::tcp(&lab.client, client, 0);
        send(&pod.room, SocketAddr::new(client, server.port()), LARGE).unwrap();
    }
}

/// The pod reaches a service whose pod is `backend` at one of these addresses, whether clients are hidden
/// or not; so does the node.
#[track_caller]
pub fn serves(lab: &Lab, pod: &Pod<'_>, backend: &Pod<'_>, addresses: &[IpAddr]) {
    for address in addresses {
        let server = Server::tcp(&backend.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        for clients in [Clients::Kept, Clients::Hidden] {
            let service = Service::cluster_ip(lab, target, clients);
            let seen = seen_from(&pod.room, service.address());
            let is_told = pod.has(seen) || (clients == Clients::Hidden && lab.is_node(seen));
            assert!(is_told, "the service's pod sees {seen}");
            send(&pod.room, service.address(), LARGE).unwrap();
            assert!(lab.is_node(seen_from(&lab.node, service.address())));
        }
    }
}

/// The pod reaches a service whose pod is on another node.
#[track_caller]
pub fn serves_from_afar(lab: &Lab, pod: &Pod<'_>, net: Subnet, addresses: &[IpAddr]) {
    for is_v4 in families(addresses) {
        let peer = net.address(is_v4, 3);
        let server = Server::tcp(&lab.peer, peer, 0);
        let target = SocketAddr::new(peer, server.port());
        let service = Service::cluster_ip(lab, target, Clients::Hidden);
        let seen = seen_from(&pod.room, service.address());
        assert!(lab.is_node(seen), "the service's pod sees {seen}");
    }
}

/// A node port leads the external client to the pod, which sees the client's address, and the reply takes
/// the same path back: from the pod itself the client would not take it.
#[track_caller]
pub fn node_port_keeps_clients(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    for address in addresses {
        let is_v4 = address.is_ipv4();
        let server = Server::tcp(&pod.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        let service = Service::node_port(lab, target, Clients::Kept);
        let at_node = service.at(MANAGEMENT.address(is_v4, 2));
        assert_eq!(seen_from(&lab.client, at_node), OUTSIDE.address(is_v4, CLIENT));
        send(&lab.client, at_node, LARGE).unwrap();
    }
}

/// The same with clients hidden behind the node.
#[track_caller]
pub fn node_port_hides_clients(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    for address in addresses {
        let server = Server::tcp(&pod.room, *address, 0);
        let target = SocketAddr::new(*address, server.port());
        let service = Service::node_port(lab, target, Clients::Hidden);
        let at_node = service.at(MANAGEMENT.address(address.is_ipv4(), 2));
        let seen = seen_from(&lab.client, at_node);
        assert!(lab.is_node(seen), "the pod sees {seen}");
    }
}

/// All that a pod in an underlay is promised, on each of its addresses.
#[track_caller]
pub fn all(lab: &Lab, pod: &Pod<'_>, addresses: &[IpAddr]) {
    pod_to_node(lab, pod, addresses);
    node_to_pod(lab, pod, addresses);
    answers_outside(lab, pod, addresses);
    reaches_outside(lab, pod, addresses);
    node_port_keeps_clients(lab, pod, addresses);
    node_port_hides_clients(lab, pod, addresses);
}

/// The least of all that: two pods of a node, the node, and a service of the other pod. For a kernel on
/// which each packet is dear; what is beyond it does not depend on what makes the interface.
#[track_caller]
pub fn core(lab: &Lab, (pod, own): (&Pod<'_>, &[IpAddr]), (other, others): (&Pod<'_>, &[IpAddr])) {
    pods_meet(pod, other, others);
    pod_to_node(lab, pod, own);
    node_to_pod(lab, pod, own);
    answers_outside(lab, pod, own);
    serves(lab, pod, other, others.get(..2).unwrap_or(others));
}

/// The families of addresses: whether IPv4, for each.
fn families(addresses: &[IpAddr]) -> Vec<bool> {
    [true, false]
        .into_iter()
        .filter(|is_v4| addresses.iter().any(|address| address.is_ipv4() == *is_v4))
        .collect()
}

impl Lab {
    /// Whether an address is one of the node's.
    #[must_use]
    pub fn is_node(&self, address: IpAddr) -> bool {
        let own = [MANAGEMENT, NETS[0], NETS[1], NETS[2]];
        own.iter().any(|net| net.address(address.is_ipv4(), 2) == address)
            || self.node.ip("-o addr").contains(&format!(" {address}/"))
    }
}
