//! The host's own kernel against what this crate says of it: needs root and iproute2.

#![cfg(test)]

mod lab;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use lab::{Room, declined, ip};
use spiderpool_core::net::{
    Address, AddressFlags, HardwareAddress, Hop, Link, LinkKind, LinkName, Parent, Route,
    RoutePreference, RouteProtocol, RouteType, Scope,
};
use spiderpool_netlink::change::DuplicateDetection;
use spiderpool_netlink::{
    BadNamespace, Errno, Namespace, NetlinkFault, RunError, Session, Verdict, Witness,
};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn link(name: &str) -> LinkName {
    LinkName::new(name).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A pair of rooms with a veth between them, both ends up, `eth0` with addresses of both families.
fn pair() -> (Room, Room) {
    let (pod, host) = (Room::new(), Room::new());
    pod.ip(&format!(
        "link add eth0 mtu 1400 address 02:00:00:00:00:01 type veth peer name veth-pod netns {}",
        host.name
    ));
    pod.ip("link set eth0 alias pod-side up");
    host.ip("link set veth-pod up");
    pod.ip("address add 10.6.0.10/24 brd + dev eth0");
    pod.ip("address add 10.7.0.1 peer 10.7.0.2/32 dev eth0 scope link");
    pod.ip("-6 address add fd00:6::10/64 dev eth0 nodad noprefixroute");
    (pod, host)
}

fn unmake(room: &Room) {
    ip(&format!("netns delete {}", room.name));
}

fn index_of(room: &Room, link: &str) -> u32 {
    let shown = room.ip(&format!("-o link show {link}"));
    shown.split(':').next().unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_link_is_observed_as_it_was_set() {
    if declined() {
        return;
    }
    let (pod, host) = pair();
    let links = pod.namespace().run(Session::links).unwrap();
    let parent = Parent { name: None, index: index_of(&host, "veth-pod"), netns_id: Some(0) };
    let expected = Link {
        index: index_of(&pod, "eth0"),
        name: link("eth0"),
        kind: LinkKind::Veth,
        mac: Some(HardwareAddress(vec![2, 0, 0, 0, 0, 1])),
        mtu: 1400,
        is_up: true,
        has_carrier: true,
        is_broadcast: true,
        is_multicast: true,
        tx_queue_length: 1000,
        parent: Some(parent),
        controller: None,
        alias: Some("pod-side".into()),
        functions: Vec::new(),
    };
    assert_eq!(links[&link("eth0")], expected);
    assert_eq!(links.len(), pod.ip("-o link show").lines().count());
    let lo = &links[&link("lo")];
    assert_eq!((lo.index, &lo.kind, &lo.parent), (1, &LinkKind::Plain, &None));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn addresses_are_observed_as_they_were_set() {
    if declined() {
        return;
    }
    let (pod, _host) = pair();
    let observed = pod.namespace().run(Session::addresses).unwrap();
    let permanent = AddressFlags { is_permanent: true, ..AddressFlags::default() };
    let plain = |text: &str| Address {
        device: link("eth0"),
        net: net(text),
        peer: None,
        broadcast: None,
        scope: Scope::Universe,
        flags: permanent,
    };
    let broadcast = Some("10.6.0.255".parse().unwrap());
    let chosen = AddressFlags { has_no_dad: true, has_no_prefix_route: true, ..permanent };
    let expected = [
        Address { broadcast, ..plain("10.6.0.10/24") },
        Address { peer: Some(address("10.7.0.2")), scope: Scope::Link, ..plain("10.7.0.1/32") },
        Address { flags: chosen, ..plain("fd00:6::10/64") },
    ];
    let link_local = |found: &&Address| found.net.to_string().starts_with("fe80:");
    let on_eth0: Vec<_> = observed.iter().filter(|found| &*found.device == "eth0").collect();
    let ours: Vec<_> = on_eth0.iter().copied().filter(|found| !link_local(found)).collect();
    assert_eq!(ours, expected.iter().collect::<Vec<_>>());
    assert_eq!(on_eth0.iter().filter(|found| link_local(found)).count(), 1);
    let everything = pod.ip("-o address show");
    assert_eq!(observed.len(), everything.lines().count(), "{everything}");
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn an_address_that_another_holds_has_failed() {
    if declined() {
        return;
    }
    let (pod, host) = pair();
    host.ip("-6 address add fd00:6::99/64 dev veth-pod nodad");
    let namespace = pod.namespace();
    let add = |session: &mut Session| {
        session.add_address("eth0", net("fd00:6::99/64"), DuplicateDetection::AsConfigured)?;
        session.addresses()
    };
    let flags_in = |list: &BTreeSet<Address>| {
        list.iter().find(|found| found.net == net("fd00:6::99/64")).unwrap().flags
    };
    assert!(flags_in(&namespace.run(add).unwrap()).is_tentative);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !flags_in(&namespace.run(Session::addresses).unwrap()).has_dad_failed {
        assert!(Instant::now() < deadline, "{}", pod.ip("address show eth0"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn routes_are_observed_as_they_were_set() {
    if declined() {
        return;
    }
    let (pod, _host) = pair();
    pod.ip("route add default via 10.6.0.1 dev eth0 proto 77 metric 50");
    pod.ip("route add 10.9.0.0/16 via 192.0.2.1 dev eth0 onlink table 100100 src 10.6.0.10");
    pod.ip("route add blackhole 10.8.0.0/16");
    pod.ip("route add 10.10.0.0/16 nexthop via 10.6.0.2 weight 3 nexthop via 10.6.0.3");
    pod.ip("-6 route add fd00:9::/64 via fe80::1 dev eth0 proto static");
    let observed = pod.namespace().run(Session::routes).unwrap();
    let hop = |gateway: Option<&str>| Hop {
        device: Some(link("eth0")),
        gateway: gateway.map(address),
        weight: 1,
        is_onlink: false,
    };
    let plain = |destination: &str, hops: Vec<Hop>| Route {
        destination: net(destination),
        table: 254,
        metric: 0,
        kind: RouteType::Unicast,
        hops,
        source: None,
        protocol: RouteProtocol::BOOT,
        scope: Scope::Universe,
        tos: 0,
        preference: RoutePreference::Medium,
        metrics: BTreeMap::new(),
        nexthop_id: None,
        has_more: false,
    };
    let default = plain("0.0.0.0/0", vec![hop(Some("10.6.0.1"))]);
    let onlink = Hop { is_onlink: true, ..hop(Some("192.0.2.1")) };
    let source = Some(address("10.6.0.10"));
    let static_v6 = plain("fd00:9::/64", vec![hop(Some("fe80::1"))]);
    let connected = plain("10.6.0.0/24", vec![hop(None)]);
    let two = vec![Hop { weight: 3, ..hop(Some("10.6.0.2")) }, hop(Some("10.6.0.3"))];
    for expected in [
        Route { protocol: RouteProtocol(77), metric: 50, ..default },
        Route { table: 100_100, source, ..plain("10.9.0.0/16", vec![onlink]) },
        Route { kind: RouteType::Blackhole, ..plain("10.8.0.0/16", Vec::new()) },
        plain("10.10.0.0/16", two),
        Route { protocol: RouteProtocol::STATIC, metric: 1024, ..static_v6 },
        Route { protocol: RouteProtocol::KERNEL, scope: Scope::Link, source, ..connected },
    ] {
        assert!(observed.contains(&expected), "{expected:#?} is not in {observed:#?}");
    }
    let listed = |family| pod.ip(&format!("{family} -o route show table all")).lines().count();
    assert_eq!(observed.len(), listed("-4") + listed("-6"));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn long_lists_come_whole() {
    if declined() {
        return;
    }
    let (pod, _host) = pair();
    let batch: String = (0..3000)
        .map(|n| format!("route add 10.{}.{}.0/24 dev eth0\n", 128 + n / 256, n % 256))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), batch).unwrap();
    pod.ip(&format!("-batch {}", file.path().display()));
    let routes = pod.namespace().run(Session::routes).unwrap();
    assert_eq!(routes.iter().filter(|route| route.protocol == RouteProtocol::BOOT).count(), 3000);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn lists_taken_amid_changes_are_whole_or_errors() {
    if declined() {
        return;
    }
    let room = Room::new();
    let namespace = room.namespace();
    for number in 0..120 {
        room.ip(&format!("link add br{number} type bridge"));
    }
    let change = |session: &mut Session| {
        for _ in 0..60 {
            session.create_bridge("coming")?;
            session.delete_link("coming")?;
        }
        Ok::<_, NetlinkFault>(())
    };
    std::thread::scope(|scope| {
        let changer = scope.spawn(|| namespace.run(change));
        let mut read = 0;
        while !changer.is_finished() {
            match namespace.run(Session::links) {
                Ok(links) => {
                    read += 1;
                    let lasting = links.keys().filter(|name| name.starts_with("br")).count();
                    assert_eq!(lasting, 120);
                }
                Err(RunError::Within { source: NetlinkFault::Unsettled { .. }, .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        changer.join().unwrap().unwrap();
        assert!(read > 0);
    });
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn what_we_set_iproute2_sees() {
    if declined() {
        return;
    }
    let (pod, host) = (Room::new(), Room::new());
    let inside = pod.namespace();
    let set = |session: &mut Session| {
        session.create_bridge("br0")?;
        session.create_veth("veth-pod", "eth0", &inside)?;
        session.set_controller("veth-pod", "br0")?;
        session.set_up("br0")?;
        session.set_up("veth-pod")
    };
    host.namespace().run(set).unwrap();
    let set = |session: &mut Session| {
        session.set_up("eth0")?;
        session.add_address("eth0", net("10.6.0.10/24"), DuplicateDetection::AsConfigured)?;
        session.add_address("eth0", net("fd00:6::10/64"), DuplicateDetection::Skip)
    };
    inside.run(set).unwrap();

    let port = host.ip("-o link show veth-pod");
    assert!(port.contains("master br0") && port.contains(",UP,"), "{port}");
    let v4 = pod.ip("-o -4 address show eth0");
    assert!(v4.contains("10.6.0.10/24 brd 10.6.0.255 scope global eth0"), "{v4}");
    let v6 = pod.ip("-o -6 address show eth0");
    assert!(v6.contains("fd00:6::10/64 scope global nodad"), "{v6}");
    host.namespace().run(|session| session.delete_link("veth-pod")).unwrap();
    assert!(!pod.ip("-o link show").contains("eth0"));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn refusals_carry_the_kernels_words() {
    if declined() {
        return;
    }
    let (pod, _host) = pair();
    let refused = |work: fn(&mut Session) -> Result<(), NetlinkFault>| {
        let error = pod.namespace().run(work).unwrap_err();
        let RunError::Within { source: NetlinkFault::Refused { errno, text, .. }, .. } = error
        else {
            panic!("{error:?}");
        };
        (errno, text.unwrap_or_default())
    };
    let again = refused(|session| {
        session.add_address("eth0", net("10.6.0.10/24"), DuplicateDetection::AsConfigured)
    });
    assert_eq!(again, (Errno::EEXIST, "ipv4: Address already assigned".into()));
    assert_eq!(refused(|session| session.create_bridge("eth0")).0, Errno::EEXIST);
    assert_eq!(refused(|session| session.delete_link("missing")).0, Errno::ENODEV);
    assert_eq!(refused(|session| session.set_controller("eth0", "missing")).0, Errno::ENODEV);
    // A refusal leaves the socket usable.
    let both = |session: &mut Session| {
        session.delete_link("missing").unwrap_err();
        session.links()
    };
    assert!(!pod.namespace().run(both).unwrap().is_empty());
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn running_leaves_the_caller_where_it_was() {
    if declined() {
        return;
    }
    let room = Room::new();
    let before = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let inside = room
        .namespace()
        .run(|_| Ok::<_, NetlinkFault>(std::fs::read_link("/proc/thread-self/ns/net").unwrap()))
        .unwrap();
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), before);
    assert_ne!(inside, before);
    assert_eq!(
        inside.display().to_string(),
        format!("net:[{}]", room.namespace().identity().inode)
    );
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_panic_inside_is_an_error_outside() {
    if declined() {
        return;
    }
    let room = Room::new();
    let outcome = room.namespace().run(|_| -> Result<(), NetlinkFault> { panic!("on purpose") });
    assert_eq!(
        outcome.unwrap_err(),
        RunError::Panicked { namespace: room.path(), message: "on purpose".into() }
    );
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_mounted_namespace_of_another_kind_is_refused() {
    if declined() {
        return;
    }
    let room = Room::new();
    let directory = tempfile::tempdir().unwrap();
    let given = directory.path().join("uts").display().to_string();
    std::fs::write(&given, "").unwrap();
    // In a mount namespace of its own the mount goes with the process.
    let script = format!("mount --bind /proc/self/ns/uts {given} && exec sleep 30");
    let mut child =
        std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]).spawn().unwrap();
    let seen = format!("/proc/{}/root{given}", child.id());
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let refused = Namespace::by_path(&seen).unwrap_err();
        if let BadNamespace::OtherKind { kind, .. } = refused {
            break kind;
        }
        assert!(Instant::now() < deadline, "{refused}");
        std::thread::sleep(Duration::from_millis(20));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(["unknown", "uts"].contains(&refused.as_str()), "{refused}");
    assert!(Namespace::by_path(room.path()).is_ok());
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_deleted_namespace_is_gone() {
    if declined() {
        return;
    }
    let room = Room::new();
    let witness = Witness::of(&room.path()).unwrap();
    assert_eq!(witness.judge(), Verdict::Alive);
    unmake(&room);
    assert_eq!(witness.judge(), Verdict::Gone { why: "nothing is at its path".into() });
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_namespace_of_the_same_name_is_not_the_same() {
    if declined() {
        return;
    }
    let room = Room::new();
    let witness = Witness::of(&room.path()).unwrap();
    unmake(&room);
    // Long enough for the kernel to free the inode number, which the next namespace then gets.
    std::thread::sleep(Duration::from_millis(300));
    room.make();
    assert!(matches!(witness.judge(), Verdict::Gone { .. }), "{witness:?}");

    // Whether or not the number was given again above, it is so here.
    let same_number = Witness::of(&room.path()).unwrap();
    let earlier = Witness { cookie: same_number.cookie.map(|cookie| cookie - 1), ..same_number };
    let why = "another namespace is there, with the same inode number".into();
    assert_eq!(earlier.judge(), Verdict::Gone { why });
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_file_that_outlived_its_mount_is_unknown() {
    if declined() {
        return;
    }
    let room = Room::new();
    let witness = Witness::of(&room.path()).unwrap();
    let unmounted = std::process::Command::new("umount").arg(room.path()).status().unwrap();
    assert!(unmounted.success());
    assert!(matches!(witness.judge(), Verdict::Unknown { .. }));
    std::fs::remove_file(room.path()).unwrap();
    assert!(!ip("netns list").contains(&room.name));
}
