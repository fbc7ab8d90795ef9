//! Probes and announcements on the host's own kernel, between namespaces: needs root and iproute2.

#![cfg(test)]

mod lab;

use lab::{Room, declined};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, socket};
use spiderpool_netlink::probe::{
    AnnounceTiming, Announcement, ConflictTiming, Evidence, Finding, GatewayTiming, Inquiry,
    NotOwn, Occupancy, ProbeFault, Reach, Target, Timing, ask, tell,
};
use spiderpool_netlink::{RunError, Session};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// The MAC of the pod's neighbour.
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 7];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(text: &str, gateway: &str) -> Target {
    Target::new(address(text), Some(address(gateway))).unwrap()
}

fn both() -> Timing {
    Timing { conflict: Some(ConflictTiming::default()), gateway: Some(GatewayTiming::default()) }
}

/// A pod with `eth0`, and a neighbour with `eth0` on the other end of the cable.
struct Cable {
    pod: Room,
    other: Room,
}

impl Cable {
    fn new() -> Self {
        let (pod, other) = (Room::new(), Room::new());
        pod.ip(&format!(
            "link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address \
             02:00:00:00:00:07 netns {}",
            other.name
        ));
        pod.ip("link set eth0 up");
        other.ip("link set eth0 up");
        Self { pod, other }
    }

    fn neighbour_has(&self, net: &str) {
        self.other.ip(&format!("address add {net} dev eth0 nodad"));
    }
}

fn inquiry(targets: &[Target]) -> Inquiry<'_> {
    Inquiry {
        link: "eth0",
        targets,
        timing: both(),
        seed: 7,
        carrier: Duration::from_secs(5),
        deadline: Instant::now() + Duration::from_secs(20),
    }
}

fn inquire(pod: &Room, inquiry: &Inquiry<'_>) -> Result<Vec<Finding>, ProbeFault> {
    match pod.namespace().run(|session| ask(session, inquiry)) {
        Ok(findings) => Ok(findings),
        Err(RunError::Within { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

#[track_caller]
fn verdicts(pod: &Room, targets: &[Target]) -> Vec<(Occupancy, Option<[u8; 6]>)> {
    let findings = inquire(pod, &inquiry(targets)).unwrap();
    let reach = |finding: &Finding| match finding.gateway {
        Reach::Reachable { mac } => Some(mac.0),
        Reach::NotAsked | Reach::Unsettled | Reach::Unreachable => None,
    };
    findings.iter().map(|finding| (finding.occupancy, reach(finding))).collect()
}

fn taken_by(mac: [u8; 6]) -> Occupancy {
    let mac = spiderpool_netlink::probe::Mac(mac);
    Occupancy::Taken { mac, evidence: Evidence::Used }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn an_address_that_a_neighbour_has_is_taken() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    cable.neighbour_has("10.6.0.10/24");
    cable.neighbour_has("fd00:6::10/64");
    let targets = [target("10.6.0.10", "10.6.0.1"), target("fd00:6::10", "fd00:6::1")];
    assert_eq!(verdicts(&cable.pod, &targets), [(taken_by(OTHER), None); 2]);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn free_addresses_are_free_and_their_gateways_answer() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    for net in ["10.6.0.1/24", "10.7.0.1/24", "fd00:6::1/64", "fd00:7::1/64"] {
        cable.neighbour_has(net);
    }
    let targets = [
        target("10.6.0.10", "10.6.0.1"),
        target("10.7.0.10", "10.7.0.1"),
        target("fd00:6::10", "fd00:6::1"),
        target("fd00:7::10", "fd00:7::1"),
    ];
    let start = Instant::now();
    assert_eq!(verdicts(&cable.pod, &targets), [(Occupancy::Free, Some(OTHER)); 4]);
    assert!(start.elapsed() < both().longest(), "{:?}", start.elapsed());
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_gateway_that_nobody_has_is_unreachable() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    let targets = [target("10.6.0.10", "10.6.0.1"), target("fd00:6::10", "fd00:6::1")];
    let findings = inquire(&cable.pod, &inquiry(&targets)).unwrap();
    for finding in findings {
        assert_eq!((finding.occupancy, finding.gateway), (Occupancy::Free, Reach::Unreachable));
    }
}

/// #4475: whoever is in conflict has not told the gateway its MAC.
#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_conflict_does_not_reach_the_gateways_cache() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    for net in ["10.6.0.1/24", "10.6.0.10/24", "fd00:6::1/64", "fd00:6::10/64"] {
        cable.neighbour_has(net);
    }
    let targets = [target("10.6.0.10", "10.6.0.1"), target("fd00:6::10", "fd00:6::1")];
    assert_eq!(verdicts(&cable.pod, &targets), [(taken_by(OTHER), None); 2]);
    let cached = cable.other.ip("neighbour show dev eth0");
    assert!(!cached.contains("10.6.0.10") && !cached.contains("fd00:6::10"), "{cached}");
}

/// Two pods on macvlan links of one parent, which passes multicast on only to who has joined: each
/// has to have joined the group that the other's question goes to.
#[test]
#[ignore = "host tier: needs root, iproute2 and macvlan"]
fn pods_on_one_parent_hear_each_other() {
    if declined() {
        return;
    }
    let (node, a, b) = (Room::new(), Room::new(), Room::new());
    node.ip("link add m0 type veth peer name m1");
    node.ip("link set m0 up");
    node.ip("link set m1 up");
    for (name, pod) in [("a0", &a), ("b0", &b)] {
        node.ip(&format!("link add {name} link m0 type macvlan mode bridge"));
        node.ip(&format!("link set {name} netns {} name eth0", pod.name));
        pod.ip("link set eth0 up");
    }
    b.ip("address add 10.6.0.10/24 dev eth0");
    b.ip("address add fd00:6::10/64 dev eth0 nodad");
    let mac = mac_of(&b);
    let targets = [target("10.6.0.10", "10.6.0.1"), target("fd00:6::10", "fd00:6::1")];
    assert_eq!(verdicts(&a, &targets), [(taken_by(mac), None); 2]);

    // Both probe for what neither has: whoever hears the other's probe first gives way, which may
    // be before it has sent one of its own; never do both think that the address is free.
    let targets = [target("10.6.0.20", "10.6.0.1"), target("fd00:6::20", "fd00:6::1")];
    let [by_a, by_b] = std::thread::scope(|scope| {
        let both = [(1, &a), (2, &b)].map(|(seed, pod)| {
            scope.spawn(move || inquire(pod, &Inquiry { seed, ..inquiry(&targets) }).unwrap())
        });
        both.map(|asked| asked.join().unwrap())
    });
    for (in_a, in_b) in by_a.iter().zip(&by_b) {
        let probed = |mac: [u8; 6]| Occupancy::Taken {
            mac: spiderpool_netlink::probe::Mac(mac),
            evidence: Evidence::Probed,
        };
        let a_gave_way = in_a.occupancy == probed(mac_of(&b));
        let b_gave_way = in_b.occupancy == probed(mac_of(&a));
        assert!(a_gave_way || b_gave_way, "{in_a:?} {in_b:?}");
    }
}

fn mac_of(pod: &Room) -> [u8; 6] {
    let links = pod.namespace().run(Session::links).unwrap();
    let mac = links.into_values().find(|link| &*link.name == "eth0").unwrap().mac.unwrap();
    mac.0.try_into().unwrap()
}

/// #4975: the reference gives up at the first signal.
#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_storm_of_signals_changes_nothing() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    cable.neighbour_has("10.6.0.1/24");
    cable.neighbour_has("fd00:6::1/64");
    cable.neighbour_has("fd00:6::20/64");
    let targets = [
        target("10.6.0.10", "10.6.0.1"),
        target("fd00:6::10", "fd00:6::1"),
        target("fd00:6::20", "fd00:6::1"),
    ];
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&seen)).unwrap();
    let (say, hear) = mpsc::channel::<Pthread>();
    let (stop, stopped) = mpsc::channel::<()>();
    let storm = std::thread::spawn(move || {
        let victim = hear.recv().unwrap();
        let mut sent = 0_u32;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            pthread_kill(victim, Signal::SIGUSR1).unwrap();
            sent += 1;
            std::thread::sleep(Duration::from_micros(200));
        }
        sent
    });
    let inquiry = inquiry(&targets);
    let findings = cable.pod.namespace().run(|session| {
        say.send(pthread_self()).unwrap();
        let findings = ask(session, &inquiry);
        stop.send(()).unwrap();
        // The thread is there until no more signals come.
        std::thread::sleep(Duration::from_millis(20));
        findings
    });
    assert!(storm.join().unwrap() > 100 && seen.load(Ordering::Relaxed));
    let found: Vec<_> = findings.unwrap().into_iter().map(|finding| finding.occupancy).collect();
    assert_eq!(found, [Occupancy::Free, Occupancy::Free, taken_by(OTHER)]);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_link_that_goes_down_or_away_is_a_fault() {
    if declined() {
        return;
    }
    let meanwhile = |what: &str| {
        let cable = Cable::new();
        let targets = [target("10.6.0.10", "10.6.0.1")];
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| inquire(&cable.pod, &inquiry(&targets)));
            std::thread::sleep(Duration::from_millis(150));
            cable.pod.ip(what);
            asked.join().unwrap().unwrap_err()
        })
    };
    let link = || "eth0".to_owned();
    assert_eq!(meanwhile("link set eth0 down"), ProbeFault::LinkDown { link: link() });
    let gone = meanwhile("link delete eth0");
    let (down, away) = (ProbeFault::LinkDown { link: link() }, ProbeFault::NoLink { link: link() });
    assert!(gone == down || gone == away, "{gone}");
    let cable = Cable::new();
    cable.pod.ip("link set eth0 down");
    let down = inquire(&cable.pod, &inquiry(&[target("10.6.0.10", "10.6.0.1")]));
    assert_eq!(down, Err(ProbeFault::LinkDown { link: link() }));
    let targets = [target("10.6.0.10", "10.6.0.1")];
    let other = Inquiry { link: "net9", ..inquiry(&targets) };
    assert_eq!(inquire(&cable.pod, &other), Err(ProbeFault::NoLink { link: "net9".into() }));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_link_without_carrier_is_waited_for_until_the_deadline() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    cable.other.ip("link set eth0 down");
    let targets = [target("10.6.0.10", "10.6.0.1")];
    let wait = |carrier: u64, deadline: u64| {
        let (carrier, deadline) = (Duration::from_millis(carrier), Duration::from_millis(deadline));
        let start = Instant::now();
        let inquiry = Inquiry { carrier, deadline: start + deadline, ..inquiry(&targets) };
        let fault = inquire(&cable.pod, &inquiry).unwrap_err();
        assert!(matches!(fault, ProbeFault::NoCarrier { .. }), "{fault}");
        start.elapsed()
    };
    let by_carrier = wait(200, 20_000);
    assert!((200..2000).contains(&by_carrier.as_millis()), "{by_carrier:?}");
    let by_deadline = wait(20_000, 200);
    assert!((200..2000).contains(&by_deadline.as_millis()), "{by_deadline:?}");
    // It comes up meanwhile.
    let found = std::thread::scope(|scope| {
        let asked = scope.spawn(|| inquire(&cable.pod, &inquiry(&targets)));
        std::thread::sleep(Duration::from_millis(150));
        cable.other.ip("link set eth0 up");
        asked.join().unwrap().unwrap()
    });
    assert_eq!(found[0].occupancy, Occupancy::Free);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_carrier_that_is_lost_meanwhile_is_no_free_address() {
    if declined() {
        return;
    }
    let targets = [target("10.6.0.10", "10.6.0.1")];
    for after in [100, 600] {
        let cable = Cable::new();
        let mut inquiry = inquiry(&targets);
        inquiry.deadline = Instant::now() + Duration::from_millis(1500);
        let wait = Duration::from_millis(500);
        inquiry.timing.conflict =
            inquiry.timing.conflict.map(|pace| ConflictTiming { wait, ..pace });
        let found = std::thread::scope(|scope| {
            let asked = scope.spawn(|| inquire(&cable.pod, &inquiry));
            std::thread::sleep(Duration::from_millis(after));
            cable.other.ip("link set eth0 down");
            asked.join().unwrap()
        });
        match found {
            Ok(found) => assert_eq!(found[0].occupancy, Occupancy::Unsettled),
            Err(fault) => assert!(matches!(fault, ProbeFault::NoCarrier { .. }), "{fault}"),
        }
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_tagged_answer_is_another_networks() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    let targets = [target("10.6.0.10", "10.6.0.1")];
    // The neighbour says that it has the address: on VLAN 100, then with a tag that carries a
    // priority and no VLAN, then without a tag.
    let check = |tag: &[u8], occupancy: Occupancy| {
        let found = std::thread::scope(|scope| {
            let asked = scope.spawn(|| inquire(&cable.pod, &inquiry(&targets)));
            while !asked.is_finished() {
                send(&cable.other, &[&CLAIM[..12], tag, &CLAIM[12..]].concat());
                std::thread::sleep(Duration::from_millis(10));
            }
            asked.join().unwrap().unwrap()
        });
        assert_eq!(found[0].occupancy, occupancy);
    };
    check(&[0x81, 0, 0, 100], Occupancy::Free);
    check(&[0x81, 0, 0xe0, 100], Occupancy::Free);
    check(&[0x81, 0, 0xe0, 0], taken_by(OTHER));
    check(&[], taken_by(OTHER));
}

/// An ARP request of the neighbour's, which has the address 10.6.0.10 by it.
#[rustfmt::skip]
const CLAIM: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 0x08, 0x06,
    0, 1, 0x08, 0, 6, 4, 0, 1,
    2, 0, 0, 0, 0, 7, 10, 6, 0, 10,
    0, 0, 0, 0, 0, 0, 10, 6, 0, 99,
];

/// Sends a raw frame from a room's `eth0`.
fn send(room: &Room, frame: &[u8]) {
    let sent = room.namespace().run(|_| -> Result<_, nix::Error> {
        let link = nix::ifaddrs::getifaddrs()?
            .filter(|entry| entry.interface_name == "eth0")
            .find_map(|entry| entry.address?.as_link_addr().copied());
        let link = link.unwrap();
        let (flags, all) = (SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll);
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, all)?;
        bind(socket.as_raw_fd(), &link)?;
        nix::sys::socket::send(socket.as_raw_fd(), frame, MsgFlags::empty())
    });
    assert_eq!(sent.unwrap(), frame.len());
}

/// #4650: a neighbour that cached another MAC has ours after the announcement.
#[test]
#[ignore = "host tier: needs root and iproute2"]
fn an_announcement_replaces_what_neighbours_have_cached() {
    if declined() {
        return;
    }
    let cable = Cable::new();
    cable.neighbour_has("10.6.0.1/24");
    cable.neighbour_has("fd00:6::1/64");
    let own = BTreeSet::from([address("10.6.0.10"), address("fd00:6::10")]);
    for one in &own {
        cable
            .other
            .ip(&format!("neighbour replace {one} lladdr 02:99:99:99:99:99 dev eth0 nud stale"));
    }
    let addresses: Vec<_> = own.iter().copied().collect();
    let announcement = Announcement {
        link: "eth0",
        addresses: &addresses,
        own: &own,
        timing: AnnounceTiming::default(),
        deadline: Instant::now() + Duration::from_secs(5),
    };
    cable.pod.namespace().run(|_| tell(&announcement)).unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let cached = cable.other.ip("neighbour show dev eth0");
        if cached.matches("02:00:00:00:00:01").count() == 2 {
            break;
        }
        assert!(Instant::now() < end, "{cached}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let others = [address("10.6.0.1")];
    let announcement = Announcement { addresses: &others, ..announcement };
    let refused = cable.pod.namespace().run(|_| tell(&announcement)).unwrap_err();
    let RunError::Within { source, .. } = refused else { panic!("{refused}") };
    assert_eq!(source, ProbeFault::NotOwn(NotOwn { address: others[0] }));
}
