//! What a new owner of an address finds on the host: nothing of the old one's connections.

#![cfg(test)]

mod lab;

use lab::room::Room;
use lab::{Lab, PLUGIN};
use spiderpool_core::net::{LinkName, Mark, Marks};
use spiderpool_netlink::RunError;
use spiderpool_netlink::netfilter::{NetfilterSocket, add_marks};
use std::net::{IpAddr, UdpSocket};

/// Whether the host's kernel prints an address among its tracked connections.
fn is_tracked(host: &Room, address: &str) -> bool {
    let printed = host.run("cat", &["/proc/net/nf_conntrack"]);
    assert!(printed.status.success(), "this kernel does not print what it tracks: {printed:?}");
    let shown = match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:04x}")).join(":"),
    };
    String::from_utf8(printed.stdout).unwrap().contains(&format!("src={shown} "))
}

/// Sends a datagram from an address of the host, to itself, so that it is tracked.
fn speak(host: &Room, address: &str) {
    host.ip(&format!("address add {address}/32 dev lo"));
    let said: Result<usize, RunError<std::io::Error>> = host.namespace().run(|_| {
        let socket = UdpSocket::bind((address, 7000))?;
        socket.send_to(b"old", (address, 7001))
    });
    said.unwrap();
    host.ip(&format!("address del {address}/32 dev lo"));
    assert!(is_tracked(host, address), "{address} is not tracked");
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_new_owner_has_no_old_connections() {
    let (lab, host, pod) = (Lab::new(), Room::new(), Room::new());
    // Connections are tracked only where a rule looks at them.
    let marks = Marks { input: LinkName::new("lo").unwrap(), mark: Mark { value: 1, mask: 1 } };
    host.namespace().run(|_| add_marks(&mut NetfilterSocket::here()?, &marks)).unwrap();
    for address in ["10.6.0.10", "10.6.0.11", "fd00:6::10"] {
        speak(&host, address);
    }
    let ask = lab.add("c1").pools(&["blue"], &["blue6"]).netns(pod.path());
    ask.send_as(host.command(PLUGIN)).ok();
    assert!(!is_tracked(&host, "10.6.0.10"));
    assert!(!is_tracked(&host, "fd00:6::10"));
    assert!(is_tracked(&host, "10.6.0.11"), "it has no new owner");
    assert!(lab.log().contains("old connections of 10.6.0.10"), "{}", lab.log());
    // Asked again, the pod keeps its address and its own connections.
    speak(&host, "10.6.0.10");
    ask.send_as(host.command(PLUGIN)).ok();
    assert!(is_tracked(&host, "10.6.0.10"));
}
