//! An interface is attached and detached over and over, and nothing is left of it: no link, route, rule,
//! neighbour, connection, nftables object, file, lock or mount by the plugin's processes, and no thread
//! or descriptor in a process that does the same without ending.

#![cfg(test)]

use serde_json::Value;
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, Network, Pod, Room, eventually};
use spiderpool_core::intend::Configuration;
use spiderpool_core::net::LinkName;
use spiderpool_host::attachment::{Records, Subject, Wanted, Withdrawal, attach, detach};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Cycles by processes, over all pods.
const CYCLES: usize = 1000;

/// Pods that come and go beside each other.
const PODS: usize = 2;

/// Cycles inside this process.
const INSIDE: usize = 300;

/// One test at a time: threads and descriptors are the whole process's.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a [`Snapshot`] leaves out because packets make it: neighbours of every state, but for those by
/// their link-local addresses, which routers and switches make known at any time, and the connections.
fn learnt(room: &Room) -> BTreeSet<String> {
    let connections = room.sysctl_value("net/netfilter/nf_conntrack_count");
    let neighbours = room.ip("neigh show") + &room.ip("neigh show proxy");
    // How long ago it was confirmed is not what is held.
    let who = |line: &str| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let neighbours = neighbours.lines().filter(|line| !line.starts_with("fe80:"));
    let neighbours = neighbours.map(|line| format!("neighbour {}", who(line)));
    neighbours.chain([format!("{connections} connections")]).collect()
}

/// The files below a directory, without logs.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path).into_iter().chain([path]).collect::<Vec<_>>(),
        false => vec![path],
    };
    entries.flat_map(below).filter(|path| path.extension().is_none_or(|end| end != "log")).collect()
}

/// Everything that could be left behind.
#[derive(Debug, PartialEq)]
struct Traces {
    rooms: Vec<(Snapshot, BTreeSet<String>)>,
    files: BTreeSet<PathBuf>,
    namespaces: BTreeSet<String>,
    mounts: usize,
    locks: usize,
}

impl Traces {
    fn of(lab: &Lab, pods: &[(Pod<'_>, Value)]) -> Self {
        let pods = pods.iter().map(|(pod, _)| &pod.room);
        let rooms = pods.chain([&lab.node]).map(|room| (Snapshot::of(room), learnt(room)));
        let records = lab.path("state");
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let of_ours = |line: &&str| {
            let inode = line.split_whitespace().nth(5).and_then(|id| id.split(':').next_back());
            inode.is_some_and(|inode| inodes(&records).contains(inode))
        };
        Self {
            rooms: rooms.collect(),
            files: files(&records),
            namespaces: Lab::namespaces().into_iter().collect(),
            mounts: std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
            locks: locks.lines().filter(of_ours).count(),
        }
    }
}

/// The numbers of the files below a directory.
fn inodes(directory: &Path) -> BTreeSet<String> {
    use std::os::unix::fs::MetadataExt;
    let paths = files(directory).into_iter();
    paths.map(|path| std::fs::metadata(path).unwrap().ino().to_string()).collect()
}

/// A pod with a data interface that no plugin of ours has touched; gives the main plugin's result.
fn wired<'a>(lab: &'a Lab, network: &Network) -> (Pod<'a>, Value) {
    let pod = lab.pod();
    pod.attach("eth0", &network.clone().without("coordinator"));
    let result = pod.result("eth0");
    (pod, result)
}

/// Attaches and detaches by processes, so many times.
fn cycle(lab: &Lab, (pod, result): &(Pod<'_>, Value), network: &Network, times: usize) {
    for number in 0..times {
        for verb in ["ADD", "DEL"] {
            let call = pod.request(verb, "eth0", (network, "coordinator"), Some(result));
            let heard = call.send(&lab.node);
            assert!(heard.is_well(), "{verb} number {number}: {heard:?}");
        }
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_thousand_cycles_leave_nothing_behind() {
    let _turn = turn();
    let lab = Lab::new();
    let network = lab.underlay(0).in_cluster().without("tuning");
    let pods: Vec<_> = (0..PODS).map(|_| wired(&lab, &network)).collect();
    // Once beforehand: the node's rule, and the files of locks, are for good.
    pods.iter().for_each(|pod| cycle(&lab, pod, &network, 1));
    let before = Traces::of(&lab, &pods);
    let (lab, network) = (&lab, &network);
    let pods: Vec<_> = std::thread::scope(|scope| {
        let cycled = |pod| {
            cycle(lab, &pod, network, CYCLES / PODS);
            pod
        };
        let threads: Vec<_> =
            pods.into_iter().map(|pod| scope.spawn(move || cycled(pod))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(lab.records(), [""; 0]);
    for (room, (snapshot, others)) in
        pods.iter().map(|(pod, _)| &pod.room).chain([&lab.node]).zip(&before.rooms)
    {
        snapshot.comes_back_in(room);
        assert_eq!(learnt(room), *others, "{}", room.name());
    }
    assert_eq!(Traces::of(lab, &pods), before);
}

/// Threads and descriptors of this process.
fn held() -> (usize, usize) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    (count("task"), count("fd"))
}

/// Attaches and detaches in this process, on a thread that is in the node's namespace.
fn cycle_inside(
    records: &Records,
    (container, path): (&str, &Path),
    configuration: &Configuration,
    times: usize,
) {
    for _ in 0..times {
        let until = Instant::now() + Duration::from_secs(30);
        let interface = &configuration.default_nic;
        let subject = Subject { container, interface, until };
        let wanted =
            Wanted { subject, network: "net0", netns: path, configuration, expected: None };
        let attached = attach(records, &wanted).unwrap();
        assert!(attached.plan.steps.len() > 8, "{attached:?}");
        let detached = detach(records, &Withdrawal { subject, netns: Some(path) }).unwrap();
        assert!(!detached.plan.steps.is_empty(), "{detached:?}");
    }
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_process_that_stays_keeps_no_thread_and_no_descriptor() {
    let _turn = turn();
    let lab = Lab::new();
    let (pod, _) = wired(&lab, &lab.underlay(0));
    let records = Records::at(lab.path("state"));
    let path = PathBuf::from(pod.room.path());
    let who = (pod.container.as_str(), path.as_path());
    let mut configuration = Configuration::new(LinkName::new("eth0").unwrap());
    configuration.service_prefixes = vec!["10.96.0.0/16".parse().unwrap()];
    lab.node.inside(|| cycle_inside(&records, who, &configuration, 1));
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let at_first = held();
    lab.node.inside(|| cycle_inside(&records, who, &configuration, INSIDE));
    // The kernel lists a thread that was waited for a moment longer.
    eventually(&format!("{at_first:?} threads and descriptors"), || held() == at_first);
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
    assert_eq!(records.all().unwrap().len(), 0);
}
