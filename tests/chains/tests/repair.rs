//! Pods are mended: looked at, compared with what is recorded, and made so, also after their node has
//! changed; what belongs to others is never touched.

#![cfg(test)]

use spiderpool_chains::lab::{MANAGEMENT, NETS};
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::tap::nft;
use spiderpool_chains::{Lab, Pod, Room, promise};
use spiderpool_host::attachment::{Records, repair};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The node's addresses that come late, IPv4 first.
const LATE: u32 = 77;

/// Mends a pod from its node, as an agent would; gives how many steps that took.
#[track_caller]
fn mend(lab: &Lab, pod: &Pod<'_>) -> usize {
    let records = Records::at(lab.path("state"));
    let until = Instant::now() + Duration::from_secs(30);
    let container = &pod.container;
    let renewed = lab.node.inside(|| repair(&records, container, None, until)).unwrap();
    renewed.iter().map(|one| one.plan.steps.len()).sum()
}

/// A pod with two interfaces, and all of its addresses.
fn attached(lab: &Lab) -> (Pod<'_>, Vec<IpAddr>) {
    let pod = lab.pod();
    let attach = |(net, nic)| pod.attach(nic, &lab.underlay(net).in_cluster().without("tuning"));
    let addresses = ["eth0", "net1"].into_iter().enumerate().flat_map(attach).collect();
    (pod, addresses)
}

/// CHECK of both interfaces finds nothing, and there is nothing left to mend.
#[track_caller]
fn is_whole(lab: &Lab, pod: &Pod<'_>) {
    assert_eq!(mend(lab, pod), 0);
    for nic in ["eth0", "net1"] {
        let checked = pod.check(nic);
        assert!(checked.is_ok(), "{nic}: {checked:?}");
    }
}

/// CHECK of one interface at least tells a difference that speaks of this.
#[track_caller]
fn is_told(pod: &Pod<'_>, what: &str) {
    let told = ["eth0", "net1"].map(|nic| pod.check(nic));
    let told: Vec<_> = told.iter().filter_map(|checked| checked.as_ref().err()).collect();
    assert!(!told.is_empty(), "nothing is told");
    for failed in &told {
        assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 104), "{failed:?}");
    }
    assert!(told.iter().any(|failed| failed.told.contains(what)), "no {what} in {told:?}");
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_address_that_the_node_gets_is_reached_and_one_that_it_loses_is_forgotten() {
    let lab = Lab::new();
    let (pod, addresses) = attached(&lab);
    // In the pod's own net: without help it asks for it on its link, where its node is not heard.
    let late = NETS[0].both(LATE);
    let [v4, v6] = late;
    lab.node.ip_batch(&format!("addr add {v4}/24 dev up0\naddr add {v6}/64 dev up0 nodad"));
    late.into_iter().for_each(|address| pod.room.does_not_reach(address));
    assert!(mend(&lab, &pod) > 0);
    late.into_iter().for_each(|address| pod.room.reaches(address));
    promise::all(&lab, &pod, &addresses);
    is_whole(&lab, &pod);
    lab.node.ip_batch(&format!("addr del {v4}/24 dev up0\naddr del {v6}/64 dev up0"));
    assert!(mend(&lab, &pod) > 0);
    is_whole(&lab, &pod);
    for family in ["-4", "-6"] {
        let routes = pod.room.ip(&format!("{family} route show table all"));
        let is_there = late.iter().any(|address| routes.contains(&format!("{address} ")));
        assert!(!is_there, "{routes}");
    }
    // Whoever has the address next is reached on the link, as any neighbour is.
    lab.peer.ip_batch(&format!("addr add {v4}/24 dev up0\naddr add {v6}/64 dev up0 nodad"));
    late.into_iter().for_each(|address| {
        let text = address.to_string();
        assert_eq!(pod.room.link_toward(&text), "eth0");
        pod.room.reaches(address);
    });
    lab.peer.ip_batch(&format!("addr del {v4}/24 dev up0\naddr del {v6}/64 dev up0"));
    promise::all(&lab, &pod, &addresses);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_renumbered_node_is_followed() {
    let lab = Lab::new();
    let (pod, addresses) = attached(&lab);
    let [old, new] = [NETS[0].both(2), NETS[0].both(LATE)];
    // What was the pod's way to its node is no longer the node's.
    lab.node.ip_batch(&format!(
        "addr add {0}/24 dev up0\naddr add {1}/64 dev up0 nodad\n\
         addr del {2}/24 dev up0\naddr del {3}/64 dev up0\n\
         addr replace {0}/24 dev up0",
        new[0], new[1], old[0], old[1]
    ));
    mend(&lab, &pod);
    is_whole(&lab, &pod);
    for (is_v4, address) in [(true, new[0]), (false, new[1])] {
        pod.room.reaches(address);
        pod.room.reaches(MANAGEMENT.address(is_v4, 2));
    }
    promise::node_to_pod(&lab, &pod, &addresses);
    promise::answers_outside(&lab, &pod, &addresses);
    let routes = pod.room.ip("route show table all") + &pod.room.ip("-6 route show table all");
    for address in old {
        assert!(!routes.contains(&format!("{address} ")), "{address} stays in\n{routes}");
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn flushed_marks_are_told_and_restored() {
    let lab = Lab::new();
    let (pod, addresses) = attached(&lab);
    let before = Snapshot::of(&pod.room);
    pod.room.sh("nft flush ruleset");
    assert_ne!(Snapshot::of(&pod.room), before, "there were marks");
    is_told(&pod, "nft");
    assert!(mend(&lab, &pod) > 0);
    before.holds_in(&pod.room);
    is_whole(&lab, &pod);
    promise::all(&lab, &pod, &addresses);
}

/// Breaks one thing at a time; each is told by CHECK and mended.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn whatever_goes_is_told_and_restored() {
    let lab = Lab::new();
    let (pod, addresses) = attached(&lab);
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let end = pod.host_end();
    let breaks: [(&Room, String, &str); 9] = [
        (&pod.room, "ip rule del pref 1000".into(), "rule"),
        (&pod.room, "ip -6 rule del pref 1000".into(), "rule"),
        (&pod.room, "ip route flush table 100".into(), "route"),
        (&pod.room, "ip -6 route flush table 101".into(), "route"),
        (&pod.room, "ip neigh flush nud permanent dev veth0".into(), "neigh"),
        (&pod.room, "sysctl -qw net.ipv4.conf.all.rp_filter=1".into(), "rp_filter"),
        (&lab.node, "ip route flush table 500".into(), "route"),
        (&lab.node, format!("ip neigh flush nud permanent dev {end}"), "neigh"),
        (&lab.node, format!("ip link delete {end}"), "link"),
    ];
    for (room, command, what) in breaks {
        room.sh(&command);
        is_told(&pod, what);
        assert!(mend(&lab, &pod) > 0, "{command}");
        before[0].comes_back_in(&lab.node);
        before[1].comes_back_in(&pod.room);
        is_whole(&lab, &pod);
    }
    promise::all(&lab, &pod, &addresses);
}

/// What others have in a namespace, at the priorities, in the tables and under the hooks of ours.
fn of_others(room: &Room, link: &str) {
    let mut lines = format!("route add 192.0.2.0/24 dev {link} table 77\n");
    for family in ["-4", "-6"] {
        let (some, all) = if family == "-4" {
            ("192.0.2.0/24", "0.0.0.0/0")
        } else {
            ("2001:db8:77::/64", "::/0")
        };
        for rule in [
            format!("pref 1000 from {some} lookup 77"),
            format!("pref 1000 from {all} fwmark 0x7 lookup 77"),
            format!("pref 1001 to {some} lookup 77"),
        ] {
            room.ip(&format!("{family} rule add {rule}"));
        }
    }
    lines.push_str(&format!("-6 route add 2001:db8:77::/64 dev {link} table 77\n"));
    lines.push_str(&format!("route add 203.0.113.0/24 dev {link} table 100 proto static\n"));
    lines.lines().for_each(|line| drop(room.ip(line)));
    nft(
        room,
        "table inet others { chain pre { type filter hook prerouting priority mangle; \
         ip saddr 192.0.2.1 counter; } chain out { type route hook output priority mangle; \
         ip daddr 192.0.2.1 meta mark set 0x7; } }",
    );
    nft(room, "table ip others { set some { type ipv4_addr; elements = { 192.0.2.9 } ; } }");
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn what_belongs_to_others_is_never_touched() {
    let lab = Lab::new();
    let pod = lab.pod();
    // The pod gets its own link for what is others', so that no main plugin's DEL takes that along.
    pod.room.ip_batch(
        "link add other0 type veth peer name other1\nlink set other1 up\nlink set other0 up",
    );
    of_others(&lab.node, "up2");
    of_others(&pod.room, "other0");
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let mut addresses = Vec::new();
    for (net, nic) in ["eth0", "net1"].into_iter().enumerate() {
        addresses.extend(pod.attach(nic, &lab.underlay(net).in_cluster().without("tuning")));
    }
    let stays = |when: &str| {
        for (room, before) in [&lab.node, &pod.room].into_iter().zip(&before) {
            let changes = before.changes(&Snapshot::of(room));
            let gone: Vec<_> = changes.iter().filter(|line| line.starts_with('-')).collect();
            let gone: Vec<_> = gone.into_iter().filter(|line| !line.contains("sysctl")).collect();
            assert!(gone.is_empty(), "{when}: {} lost {gone:?}", room.name());
        }
    };
    stays("after ADD");
    promise::all(&lab, &pod, &addresses);
    is_whole(&lab, &pod);
    pod.room.ip("rule del pref 1000 proto 137");
    pod.room.ip("route flush table 101");
    assert!(mend(&lab, &pod) > 0);
    stays("after mending");
    is_whole(&lab, &pod);
    ["net1", "eth0"].iter().for_each(|nic| pod.detach(nic));
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
}
