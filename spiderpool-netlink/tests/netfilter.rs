//! Marks and connections against the host's own kernel: needs root and iproute2; `nft`, where it is
//! installed, is the second opinion.

#![cfg(test)]

mod lab;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use lab::{Room, declined};
use spiderpool_core::net::{LinkName, Mark, Marking, Marks};
use spiderpool_netlink::netfilter::{
    NetfilterSocket, add_marks, delete_marks, flush_connections, observe_marks,
};
use spiderpool_netlink::{Errno, NetlinkFault, RunError};

/// How long a datagram or a connection that comes at all may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_secs(1);

/// Where the kernel prints what it tracks; the thread's own, because only it is in the namespace.
const ENTRIES: &str = "/proc/thread-self/net/nf_conntrack";

fn marks(value: u32, mask: u32) -> Marks {
    Marks { input: LinkName::new("veth0").unwrap(), mark: Mark { value, mask } }
}

fn within<T: Send>(
    room: &Room,
    work: impl FnOnce(&mut NetfilterSocket) -> Result<T, NetlinkFault> + Send,
) -> Result<T, NetlinkFault> {
    let done = room.namespace().run(|_| work(&mut NetfilterSocket::here()?));
    match done {
        Ok(value) => Ok(value),
        Err(RunError::Within { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

fn observed(room: &Room) -> Marking {
    within(room, observe_marks).unwrap()
}

fn add(room: &Room, marks: &Marks) -> Result<(), NetlinkFault> {
    within(room, |socket| add_marks(socket, marks))
}

/// Whether `nft` is there; says so if not, because a skipped check is not a passed one.
fn has_nft() -> bool {
    let is_there = Command::new("nft").arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: nft is not installed, the table is seen with our own eyes only");
    }
    is_there
}

/// Whether the kernel prints what it tracks (`CONFIG_NF_CONNTRACK_PROCFS`).
fn has_entries() -> bool {
    let is_there = std::path::Path::new(ENTRIES).exists();
    if !is_there {
        eprintln!("SKIPPED: this kernel has no {ENTRIES} to compare with");
    }
    is_there
}

/// Runs `nft` inside and gives what it printed.
fn nft(room: &Room, command: &str) -> String {
    let inside = ["netns", "exec", &room.name, "nft", command];
    let output = Command::new("ip").args(inside).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {command}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn marks_are_observed_as_they_were_added_and_go_again() {
    if declined() {
        return;
    }
    let pod = Room::new();
    assert_eq!(observed(&pod), Marking::Absent);
    for marks in [marks(1, 1), marks(0x100, 0xff00), marks(u32::MAX, u32::MAX)] {
        add(&pod, &marks).unwrap();
        assert_eq!(observed(&pod), Marking::Present(marks));
        within(&pod, delete_marks).unwrap();
        assert_eq!(observed(&pod), Marking::Absent);
    }
    let gone = within(&pod, delete_marks).unwrap_err();
    assert_eq!(gone.errno(), Some(Errno::ENOENT), "{gone}");
    assert!(gone.to_string().starts_with("cannot delete table `inet spiderpool`: "), "{gone}");
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_second_table_is_refused_and_the_first_stays() {
    if declined() {
        return;
    }
    let pod = Room::new();
    add(&pod, &marks(1, 1)).unwrap();
    let refusal = add(&pod, &marks(2, 2)).unwrap_err();
    assert_eq!(refusal.errno(), Some(Errno::EEXIST), "{refusal}");
    assert!(refusal.to_string().starts_with("cannot add table `inet spiderpool`: "), "{refusal}");
    assert_eq!(observed(&pod), Marking::Present(marks(1, 1)));
    // The same socket goes on after a refusal.
    let both = within(&pod, |socket| {
        let refused = add_marks(socket, &marks(2, 2)).unwrap_err();
        delete_marks(socket)?;
        add_marks(socket, &marks(2, 2))?;
        Ok((refused.errno(), observe_marks(socket)?))
    });
    assert_eq!(both, Ok((Some(Errno::EEXIST), Marking::Present(marks(2, 2)))));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_mark_that_tells_nothing_apart_is_refused() {
    if declined() {
        return;
    }
    let pod = Room::new();
    let refusal = add(&pod, &marks(2, 1)).unwrap_err();
    assert_eq!(refusal, NetlinkFault::BadMark { value: 2, mask: 1 });
    assert_eq!(observed(&pod), Marking::Absent);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn nft_prints_the_table_as_it_is_documented() {
    if declined() || !has_nft() {
        return;
    }
    let pod = Room::new();
    add(&pod, &marks(0x100, 0xff00)).unwrap();
    let printed = nft(&pod, "list table inet spiderpool");
    let lines: Vec<_> = printed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let expected = [
        "table inet spiderpool {",
        "comment \"made by spiderpool: replies leave by the link of their request\"",
        "chain output {",
        "type route hook output priority mangle; policy accept;",
        "ct mark & 0x0000ff00 == 0x00000100 meta mark set meta mark & 0xffff01ff | 0x00000100",
        "}",
        "chain prerouting {",
        "type filter hook prerouting priority mangle; policy accept;",
        "iifname \"veth0\" ct state new meta mark set meta mark & 0xffff01ff | 0x00000100 \
         ct mark set ct mark & 0xffff01ff | 0x00000100",
        "iifname \"veth0\" ct mark & 0x0000ff00 == 0x00000100 \
         meta mark set meta mark & 0xffff01ff | 0x00000100",
        "}",
        "}",
    ];
    assert_eq!(lines, expected);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_table_that_somebody_touched_is_damaged() {
    if declined() || !has_nft() {
        return;
    }
    let pod = Room::new();
    for command in [
        "flush table inet spiderpool",
        "flush chain inet spiderpool output",
        "flush chain inet spiderpool output; delete chain inet spiderpool output",
        "add rule inet spiderpool output counter",
        "insert rule inet spiderpool prerouting accept",
        "add chain inet spiderpool more",
        "add set inet spiderpool more { type ipv4_addr; }",
        "add chain inet spiderpool output { policy drop; }",
        "add table inet spiderpool { flags dormant; }",
        "flush chain inet spiderpool output; add rule inet spiderpool output \
         ct mark and 2 == 2 meta mark set meta mark and 0xfffffffd or 2",
    ] {
        add(&pod, &marks(1, 1)).unwrap();
        assert_eq!(observed(&pod), Marking::Present(marks(1, 1)));
        nft(&pod, command);
        assert_eq!(observed(&pod), Marking::Damaged, "{command}");
        within(&pod, delete_marks).unwrap();
    }
    nft(&pod, "add table inet spiderpool");
    assert_eq!(observed(&pod), Marking::Damaged, "an empty table");
    nft(&pod, "flush ruleset");
    assert_eq!(observed(&pod), Marking::Absent);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_table_that_nft_made_alike_is_present() {
    if declined() || !has_nft() {
        return;
    }
    let pod = Room::new();
    nft(
        &pod,
        "table inet spiderpool { \
           chain prerouting { type filter hook prerouting priority mangle; \
             iifname veth0 ct state new meta mark set meta mark and 0xfffffffe or 1 \
               ct mark set ct mark and 0xfffffffe or 1 comment \"anybody's\"; \
             iifname veth0 ct mark and 1 == 1 meta mark set meta mark and 0xfffffffe or 1; }; \
           chain output { type route hook output priority mangle; \
             ct mark and 1 == 1 meta mark set meta mark and 0xfffffffe or 1; }; }",
    );
    assert_eq!(observed(&pod), Marking::Present(marks(1, 1)));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn tables_of_others_are_left_alone() {
    if declined() || !has_nft() {
        return;
    }
    let pod = Room::new();
    // The same name in another family, and another name with chains and rules named as ours.
    nft(&pod, "table ip spiderpool { chain prerouting { counter; }; }");
    nft(
        &pod,
        "table inet other { chain output { type route hook output priority mangle; accept; }; }",
    );
    let before = nft(&pod, "list ruleset");
    assert_eq!(observed(&pod), Marking::Absent);
    add(&pod, &marks(1, 1)).unwrap();
    assert_eq!(observed(&pod), Marking::Present(marks(1, 1)));
    within(&pod, delete_marks).unwrap();
    assert_eq!(nft(&pod, "list ruleset"), before);
}

/// A pod between two links: requests of `node` come in by `veth0`, the default route leads out by
/// `eth0` to a `fabric` that answers nothing.
struct Street {
    pod: Room,
    node: Room,
    _fabric: Room,
}

/// Ends of the conversation, by family.
const POD: [&str; 2] = ["10.6.0.10", "fd00:6::10"];
const NODE: [&str; 2] = ["10.9.0.1", "fd00:9::1"];

impl Street {
    fn new() -> Self {
        let (pod, node, fabric) = (Room::new(), Room::new(), Room::new());
        let veth = |name: &str, mac: &str, other: &Room, peer: &str, peer_mac: &str| {
            pod.ip(&format!(
                "link add {name} address {mac} type veth peer name {peer} address {peer_mac} netns {}",
                other.name
            ));
            loosen(&pod, name);
            loosen(other, peer);
            pod.ip(&format!("link set {name} up"));
            other.ip(&format!("link set {peer} up"));
        };
        veth("eth0", "02:00:00:00:00:01", &fabric, "port", "02:00:00:00:00:02");
        veth("veth0", "02:00:00:00:00:03", &node, "pod", "02:00:00:00:00:04");
        let street = Self { pod, node, _fabric: fabric };
        street.route("", "10.6.0.10/24", "10.6.0.1", POD[0], NODE[0], "32");
        street.route("-6", "fd00:6::10/64", "fd00:6::1", POD[1], NODE[1], "128");
        street
    }

    #[expect(clippy::too_many_arguments, reason = "one family's addresses, each used once")]
    fn route(&self, family: &str, net: &str, gateway: &str, pod: &str, node: &str, whole: &str) {
        let nodad = if family.is_empty() { "" } else { "nodad" };
        let in_pod = |command: String| self.pod.ip(&format!("{family} {command}"));
        let in_node = |command: String| self.node.ip(&format!("{family} {command}"));
        in_pod(format!("address add {net} dev eth0 {nodad}"));
        in_pod(format!("route add default via {gateway} dev eth0"));
        in_pod(format!("neighbour add {gateway} lladdr 02:00:00:00:00:02 dev eth0"));
        in_pod(format!("neighbour add {node} lladdr 02:00:00:00:00:04 dev veth0"));
        in_pod(format!("route add default via {node} dev veth0 onlink table 100"));
        in_pod("rule add pref 1000 fwmark 0x1/0x1 lookup 100".into());
        in_node(format!("address add {node}/{whole} dev pod {nodad}"));
        in_node(format!("route add {pod}/{whole} dev pod"));
        in_node(format!("neighbour add {pod} lladdr 02:00:00:00:00:03 dev pod"));
    }

    /// Whether the pod's answer to a datagram reaches the node.
    fn udp_answers(&self, family: usize) -> bool {
        let server = bound(&self.pod, || UdpSocket::bind((any(family), 0)));
        let port = server.local_addr().unwrap().port();
        let client = bound(&self.node, || UdpSocket::bind((ip(NODE[family]), 0)));
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"request", (ip(POD[family]), port)).unwrap();
        let (_, from) = server.recv_from(&mut [0; 16]).expect("the request must come in");
        server.send_to(b"reply", from).unwrap();
        client.set_read_timeout(Some(SILENCE)).unwrap();
        let mut reply = [0; 16];
        client.recv_from(&mut reply).is_ok_and(|(length, _)| reply[..length] == *b"reply")
    }

    /// Whether the node can connect to the pod, and gets an answer.
    fn tcp_answers(&self, family: usize) -> bool {
        let listener = bound(&self.pod, || TcpListener::bind((any(family), 0)));
        let target = SocketAddr::new(ip(POD[family]), listener.local_addr().unwrap().port());
        let tried = self.node.namespace().run(|_| TcpStream::connect_timeout(&target, SILENCE));
        let Ok(mut client) = tried else { return false };
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"request").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = [0; 7];
        server.read_exact(&mut text).unwrap();
        server.write_all(&text).unwrap();
        client.read_exact(&mut text).is_ok() && text == *b"request"
    }

    /// Whether the node is told that nobody listens, of a datagram (by ICMP) and of a connection.
    fn refuses(&self, family: usize) -> [bool; 2] {
        let client = bound(&self.node, || UdpSocket::bind((ip(NODE[family]), 0)));
        let closed = SocketAddr::new(ip(POD[family]), 7009);
        client.connect(closed).unwrap();
        client.set_read_timeout(Some(SILENCE)).unwrap();
        client.send(b"request").unwrap();
        let by_icmp = client.recv(&mut [0; 16]).unwrap_err();
        let by_reset = bound(&self.node, || Ok(TcpStream::connect_timeout(&closed, SILENCE)));
        [by_icmp, by_reset.unwrap_err()].map(|error| error.kind() == ErrorKind::ConnectionRefused)
    }

    /// Sends a datagram from one room to an address that the other has.
    fn send(from: &Room, source: &str, target: &str) {
        let socket = bound(from, || UdpSocket::bind((ip(source), 7000)));
        socket.send_to(b"request", (ip(target), 7001)).unwrap();
    }

    /// The entries of connection tracking in the pod, a line each.
    fn entries(&self) -> Vec<String> {
        let text = self.pod.namespace().run(|_| std::fs::read_to_string(ENTRIES)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn entry_of(&self, address: &str) -> Option<String> {
        let long = match ip(address) {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => v6.segments().map(|part| format!("{part:04x}")).join(":"),
        };
        self.entries().into_iter().find(|line| line.contains(&format!("={long} ")))
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn any(family: usize) -> IpAddr {
    ip(["0.0.0.0", "::"][family])
}

/// A socket of a room's namespace; it stays one wherever it is used.
fn bound<T: Send>(room: &Room, open: impl FnOnce() -> std::io::Result<T> + Send) -> T {
    room.namespace().run(|_| open()).unwrap()
}

/// Lets packets in whose sender another link leads to.
fn loosen(room: &Room, link: &str) {
    let write =
        |name: &str| std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0");
    room.namespace().run(|_| write("all").and_then(|()| write(link))).unwrap();
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn replies_leave_by_the_link_of_their_request() {
    if declined() {
        return;
    }
    let street = Street::new();
    for family in [0, 1] {
        assert!(!street.udp_answers(family), "family {family}: the default route must lead astray");
        assert!(!street.tcp_answers(family), "family {family}: the default route must lead astray");
    }
    add(&street.pod, &marks(1, 1)).unwrap();
    for family in [0, 1] {
        assert!(street.udp_answers(family), "family {family}, UDP");
        assert!(street.tcp_answers(family), "family {family}, TCP");
    }
    within(&street.pod, delete_marks).unwrap();
    assert!(!street.udp_answers(0), "without the table, astray again");
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn refusals_leave_by_the_link_of_their_request() {
    if declined() {
        return;
    }
    let street = Street::new();
    assert_eq!(street.refuses(0), [false, false]);
    add(&street.pod, &marks(1, 1)).unwrap();
    for family in [0, 1] {
        assert_eq!(street.refuses(family), [true, true], "family {family}: UDP, TCP");
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn only_the_marks_own_bits_are_touched() {
    if declined() || !has_nft() || !has_entries() {
        return;
    }
    let street = Street::new();
    nft(
        &street.pod,
        "table inet other { chain prerouting { type filter hook prerouting priority -160; \
         meta mark set 0x32; ct mark set 0x26; }; }",
    );
    nft(
        &street.pod,
        "table inet counted { chain input { type filter hook input priority 0; \
         meta mark 0x33 ct mark 0x27 counter; meta mark != 0x33 counter; }; }",
    );
    // The bit of 0x04 is under the mask and not in the value: it must go; all others must stay.
    add(&street.pod, &marks(0x01, 0x05)).unwrap();
    Street::send(&street.node, NODE[0], POD[0]);
    Street::send(&street.node, NODE[1], POD[1]);
    for family in [0, 1] {
        let entry = street.entry_of(POD[family]).unwrap();
        assert!(entry.contains("mark=35 "), "0x26 & ~5 | 1: {entry}");
    }
    let packets = nft(&street.pod, "list table inet counted");
    assert!(packets.contains("meta mark != 0x00000033 counter packets 0 "), "{packets}");
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn connections_that_the_pod_begins_are_not_marked() {
    if declined() || !has_entries() {
        return;
    }
    let street = Street::new();
    add(&street.pod, &marks(1, 1)).unwrap();
    for family in [0, 1] {
        let whole = ["32", "128"][family];
        let command = format!("route add {}/{whole} dev veth0", NODE[family]);
        street.pod.ip(&if family == 0 { command } else { format!("-6 {command}") });
        let server = bound(&street.node, || UdpSocket::bind((ip(NODE[family]), 7001)));
        let client = bound(&street.pod, || UdpSocket::bind((ip(POD[family]), 7000)));
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        client.send_to(b"request", (ip(NODE[family]), 7001)).unwrap();
        let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"reply", from).unwrap();
        client.recv_from(&mut [0; 16]).expect("the reply comes in by veth0");
        let entry = street.entry_of(NODE[family]).unwrap();
        assert!(entry.contains("mark=0 "), "{entry}");
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn the_connections_of_an_address_are_forgotten_and_no_others() {
    if declined() || !has_entries() {
        return;
    }
    let street = Street::new();
    let flush = |address: &str| {
        let address = ip(address);
        within(&street.pod, |socket| flush_connections(socket, address))
    };
    assert_eq!(flush(NODE[0]), Ok(0), "nothing is tracked yet");
    street.node.ip("address add 10.9.0.2/32 dev pod");
    add(&street.pod, &marks(1, 1)).unwrap();
    for (source, target) in [(NODE[0], POD[0]), ("10.9.0.2", POD[0]), (NODE[1], POD[1])] {
        Street::send(&street.node, source, target);
        assert!(street.entry_of(source).is_some(), "{:?}", street.entries());
    }
    assert_eq!(flush("10.9.0.3"), Ok(0));
    assert_eq!(flush(NODE[0]), Ok(1));
    assert_eq!(street.entry_of(NODE[0]), None);
    assert!(street.entry_of("10.9.0.2").is_some());
    assert_eq!(flush(POD[1]), Ok(1), "as the target, in IPv6");
    assert_eq!(flush(POD[0]), Ok(1), "what is left of it");
    assert_eq!(flush(POD[0]), Ok(0));
}
