//! Threads and file descriptors after many runs. Alone in its file: other tests of the same process
//! would be counted too.

#![cfg(test)]

mod lab;

use lab::{Room, declined};
use spiderpool_netlink::{NetlinkFault, Session};

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn two_hundred_runs_leave_nothing() {
    if declined() {
        return;
    }
    let room = Room::new();
    // A first round lets the process open what it keeps.
    round(&room);
    let before = (entries("/proc/self/task"), entries("/proc/self/fd"));
    for _ in 0..200 {
        round(&room);
    }
    assert_eq!((entries("/proc/self/task"), entries("/proc/self/fd")), before);
}

fn round(room: &Room) {
    let namespace = room.namespace();
    assert_eq!(namespace.run(Session::links).unwrap().len(), links(room));
    namespace.run(|session| session.delete_link("missing")).unwrap_err();
    namespace
        .run(|_| Err::<(), _>(NetlinkFault::Silent { subject: String::new(), waited_ms: 0 }))
        .unwrap_err();
    assert!(namespace.cookie().unwrap() > 0);
}

fn links(room: &Room) -> usize {
    room.ip("-o link show").lines().count()
}
