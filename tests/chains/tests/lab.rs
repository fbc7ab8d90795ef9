//! The laboratory itself: it must show what goes wrong, or the suites show nothing.

#![cfg(test)]

use spiderpool_chains::lab::{MANAGEMENT, NETS};
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::tap::Tap;
use spiderpool_chains::{Lab, Room};

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_room_goes_with_its_value() {
    let room = Room::new("own");
    let name = room.name().to_owned();
    assert!(Lab::namespaces().contains(&name));
    drop(room);
    assert!(!Lab::namespaces().contains(&name));
    let panicked = std::panic::catch_unwind(|| {
        let room = Room::new("own");
        let name = room.name().to_owned();
        std::panic::panic_any(name);
    });
    let name = *panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(!Lab::namespaces().contains(&name));
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn packets_of_another_subnet_are_lost() {
    let lab = Lab::new();
    for is_v4 in [true, false] {
        let peer = NETS[0].address(is_v4, 3);
        lab.client.reaches(peer);
        lab.client.reaches(MANAGEMENT.address(is_v4, 2));
        let strays = Tap::new(
            &lab.far,
            &format!("iifname up1 {} saddr {peer}", if is_v4 { "ip" } else { "ip6" }),
        );
        let replace = if is_v4 { "route replace" } else { "-6 route replace" };
        lab.peer.ip(&format!("{replace} default via {}", NETS[1].address(is_v4, 1)));
        lab.client.does_not_reach(peer);
        assert!(strays.count() > 0);
    }
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_macvlan_pod_does_not_reach_its_node_by_itself() {
    let lab = Lab::new();
    let pod = lab.pod();
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let bare = lab.underlay(0).without("coordinator");
    let addresses = pod.attach("eth0", &bare);
    assert_eq!(addresses.len(), 2);
    for (is_v4, address) in [(true, addresses[0]), (false, addresses[1])] {
        pod.room.reaches(NETS[0].address(is_v4, 1));
        lab.client.reaches(address);
        pod.room.does_not_reach(NETS[0].address(is_v4, 2));
        lab.node.does_not_reach(address);
    }
    assert_eq!(lab.allocated().len(), 2);
    pod.detach("eth0");
    assert_eq!(lab.allocated().len(), 0);
    before[0].holds_in(&lab.node);
}
