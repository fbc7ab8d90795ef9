//! A stand-in for kube-proxy: services as nftables rules in the node's namespace.
//!
//! As kube-proxy does it, a packet to a service is given another destination before it is routed, and
//! one that does not come from the overlay's pods another source as well, unless the service keeps its
//! clients' addresses (`externalTrafficPolicy: Local`).

use crate::lab::{Lab, OVERLAY};
use crate::tap::nft;
use std::net::{IpAddr, SocketAddr};

/// Marks what is to have another source; kube-proxy's own bit.
const MASQUERADE: &str = "0x4000";

/// Whether a service hides its clients from its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Clients from beyond the overlay are hidden behind the node's address.
    Hidden,
    /// The pod sees its clients' addresses.
    Kept,
}

/// Has a service's address lead to a pod, from other pods and from the node itself.
pub fn cluster_ip(lab: &Lab, service: SocketAddr, pod: SocketAddr, clients: Clients) {
    let ip = family(service.ip());
    let matches = format!("{ip} daddr {} tcp dport {}", service.ip(), service.port());
    lead(lab, &format!("cluster{}", service.port()), &matches, pod, clients);
}

/// Has a port of every address of the node lead to a pod.
pub fn node_port(lab: &Lab, port: u16, pod: SocketAddr, clients: Clients) {
    let ip = family(pod.ip());
    let proto = if pod.is_ipv4() { "ipv4" } else { "ipv6" };
    let matches = format!("meta nfproto {proto} fib daddr type local tcp dport {port}");
    lead(lab, &format!("port{ip}{port}"), &matches, pod, clients);
}

fn lead(lab: &Lab, name: &str, matches: &str, pod: SocketAddr, clients: Clients) {
    let ip = family(pod.ip());
    let overlay = OVERLAY.prefix(pod.is_ipv4());
    let hide = match clients {
        Clients::Hidden => {
            format!("{matches} {ip} saddr != {overlay} meta mark set meta mark or {MASQUERADE};")
        }
        Clients::Kept => String::new(),
    };
    let chain = |hook: &str, priority: &str| {
        format!(
            "chain {hook} {{ type nat hook {hook} priority {priority}; {hide} \
             {matches} dnat {ip} to {pod}; }}"
        )
    };
    let (input, output) = (chain("prerouting", "dstnat"), chain("output", "-100"));
    nft(
        &lab.node,
        &format!(
            "table inet {name} {{ {input}\n {output}\n chain post {{ type nat hook postrouting \
             priority srcnat; meta mark and {MASQUERADE} == {MASQUERADE} masquerade; }} }}"
        ),
    );
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    }
}
