//! A stand-in for kube-proxy: services as nftables rules in the node's namespace.
//!
//! As kube-proxy does it, a packet to a service is given another destination before it is routed, and
//! one that does not come from the overlay's pods another source as well, unless the service keeps its
//! clients' addresses (`externalTrafficPolicy: Local`). A service goes with its value.

use crate::lab::{Lab, OVERLAY, SERVICES};
use crate::tap::nft;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

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

/// A service that leads to one pod.
#[derive(Debug)]
pub struct Service<'a> {
    lab: &'a Lab,
    table: String,
    /// Its own number: its port, and the end of its address.
    pub number: u16,
    is_v4: bool,
}

impl<'a> Service<'a> {
    /// An address and port that lead to a pod, from other pods and from the node itself.
    #[must_use]
    pub fn cluster_ip(lab: &'a Lab, pod: SocketAddr, clients: Clients) -> Self {
        let service = Self::numbered(lab, pod);
        let SocketAddrParts { ip, address } = parts(service.address());
        let matches = format!("{ip} daddr {address} tcp dport {}", service.number);
        service.lead(&matches, pod, clients);
        service
    }

    /// A port of every address of the node that leads to a pod.
    #[must_use]
    pub fn node_port(lab: &'a Lab, pod: SocketAddr, clients: Clients) -> Self {
        let service = Self::numbered(lab, pod);
        let family = if service.is_v4 { "ipv4" } else { "ipv6" };
        let port = service.number;
        let matches = format!("meta nfproto {family} fib daddr type local tcp dport {port}");
        service.lead(&matches, pod, clients);
        service
    }

    fn numbered(lab: &'a Lab, pod: SocketAddr) -> Self {
        static COUNT: AtomicU16 = AtomicU16::new(30_001);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { lab, table: format!("service{number}"), number, is_v4: pod.is_ipv4() }
    }

    /// Its address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let last = u32::from(self.number % 200) + 10;
        SocketAddr::new(SERVICES.address(self.is_v4, last), self.number)
    }

    /// Its port at an address of the node.
    #[must_use]
    pub const fn at(&self, node: IpAddr) -> SocketAddr {
        SocketAddr::new(node, self.number)
    }

    fn lead(&self, matches: &str, pod: SocketAddr, clients: Clients) {
        let SocketAddrParts { ip, .. } = parts(pod);
        let overlay = OVERLAY.prefix(pod.is_ipv4());
        let hide = match clients {
            Clients::Hidden => format!(
                "{matches} {ip} saddr != {overlay} meta mark set meta mark or {MASQUERADE};"
            ),
            Clients::Kept => String::new(),
        };
        let chain = |hook: &str, priority: &str| {
            format!(
                "chain {hook} {{ type nat hook {hook} priority {priority}; {hide} \
                 {matches} dnat {ip} to {pod}; }}"
            )
        };
        let (input, output) = (chain("prerouting", "dstnat"), chain("output", "-100"));
        let table = &self.table;
        nft(
            &self.lab.node,
            &format!(
                "table inet {table} {{ {input} {output} chain post {{ type nat hook postrouting \
                 priority srcnat; meta mark and {MASQUERADE} == {MASQUERADE} masquerade; }} }}"
            ),
        );
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        drop(self.lab.node.run("nft", &["delete", "table", "inet", &self.table]));
    }
}

struct SocketAddrParts {
    ip: &'static str,
    address: IpAddr,
}

const fn parts(address: SocketAddr) -> SocketAddrParts {
    let ip = if address.is_ipv4() { "ip" } else { "ip6" };
    SocketAddrParts { ip, address: address.ip() }
}
