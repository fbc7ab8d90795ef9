//! The fault tier: every change that the shipping coordinator asks of the kernel fails once, or is the
//! last one before the process is killed.
//!
//! The chain is macvlan with our IPAM, then the coordinator, in both families, for a pod with two
//! interfaces. After each fault the runtime's DEL has to leave both namespaces as they were before the
//! ADD (all but the node's rule for its pods' table, which is the node's for good), and the next ADD has
//! to succeed. The changes are counted until a run has no fault left, so that none is left out.

#![cfg(test)]

use serde_json::Value;
use spiderpool_chains::call::Heard;
use spiderpool_chains::lab::MANAGEMENT;
use spiderpool_chains::pod::Memory;
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, Network, Pod};
use std::net::IpAddr;

/// More changes than any verb asks for: a loop that gets here does not end.
const MANY: usize = 80;

/// What happens to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It is refused.
    Error,
    /// The process is killed right after it.
    Kill,
    /// The process is killed right before it.
    KillBefore,
}

impl How {
    fn at(self, number: usize) -> String {
        let what = match self {
            Self::Error => "error",
            Self::Kill => "kill",
            Self::KillBefore => "kill-before",
        };
        format!("{what}:{number}")
    }
}

/// A node with one pod, and the networks of its two interfaces.
struct Trial<'a> {
    lab: &'a Lab,
    pod: Pod<'a>,
    how: How,
    before: [Snapshot; 2],
    holds: (usize, usize),
}

fn network(lab: &Lab, nic: &str) -> Network {
    lab.underlay(usize::from(nic == "net1")).in_cluster().without("tuning")
}

impl<'a> Trial<'a> {
    /// A pod that has these interfaces already.
    fn new(lab: &'a Lab, how: How, nics: &[&str]) -> Self {
        let pod = lab.pod();
        for nic in nics {
            pod.attach(nic, &network(lab, nic));
        }
        let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
        let holds = (lab.allocated().len(), lab.records().len());
        Self { lab, pod, how, before, holds }
    }

    /// Calls the coordinator with the fault at this change.
    fn coordinator(&self, verb: &str, nic: &str, number: usize, previous: &Value) -> Heard {
        let network = network(self.lab, nic);
        let call = self.pod.request(verb, nic, (&network, "coordinator"), Some(previous));
        let call = call.env("SPIDERPOOL_TESTING", "1");
        call.env("SPIDERPOOL_FAULT", &self.how.at(number)).send(&self.lab.node)
    }

    /// An ADD whose coordinator meets the fault; says whether it did.
    #[track_caller]
    fn add(&self, nic: &str, number: usize) -> bool {
        let made = self.pod.plugin("ADD", nic, &network(self.lab, nic), "macvlan");
        assert!(made.is_well(), "{made:?}");
        let heard = self.coordinator("ADD", nic, number, &made.json());
        match (self.how, heard.exit) {
            (_, Some(0)) => false,
            (How::Error, Some(_)) => {
                assert!(heard.error().1.contains("SPIDERPOOL_FAULT"), "{heard:?}");
                true
            }
            (How::Kill | How::KillBefore, exit) => {
                assert_eq!(exit, None, "{heard:?}");
                true
            }
            (How::Error, None) => panic!("{heard:?}"),
        }
    }

    /// A coordinator's DEL that meets the fault; says whether it did. One refusal keeps a DEL from
    /// nothing, and is in the log alone.
    #[track_caller]
    fn delete(&self, nic: &str, number: usize) -> bool {
        let told = || self.lab.log().matches("SPIDERPOOL_FAULT").count();
        let before = told();
        let heard = self.coordinator("DEL", nic, number, &self.pod.result(nic));
        let expected = if self.how == How::Error { Some(0) } else { None };
        let was_met = told() > before || heard.exit.is_none();
        assert_eq!(heard.exit, if was_met { expected } else { Some(0) }, "{heard:?}");
        was_met
    }

    /// Both namespaces, the records and the addresses are as they were in the beginning.
    #[track_caller]
    fn is_as_before(&self, after: &str) {
        eprintln!("{after}");
        self.before[0].comes_back_in(&self.lab.node);
        self.before[1].comes_back_in(&self.pod.room);
        assert_eq!((self.lab.allocated().len(), self.lab.records().len()), self.holds, "{after}");
    }

    /// An ADD without a fault connects the interface, and its DEL leaves nothing.
    #[track_caller]
    fn comes_and_goes(&self, nic: &str, after: &str) {
        let addresses = self.pod.attach(nic, &network(self.lab, nic));
        self.pod.check(nic).unwrap();
        self.is_connected(nic, &addresses);
        self.pod.detach(nic);
        self.is_as_before(after);
    }

    /// The coordinator finds nothing wrong, and packets get from the node to the pod and from the pod to
    /// the node.
    #[track_caller]
    fn is_connected(&self, nic: &str, addresses: &[IpAddr]) {
        let checked = self.pod.plugin("CHECK", nic, &network(self.lab, nic), "coordinator");
        assert!(checked.is_well(), "{checked:?}");
        for address in addresses {
            self.lab.node.reaches(*address);
            self.pod.room.reaches(MANAGEMENT.address(address.is_ipv4(), 2));
        }
    }
}

/// Runs a trial for each change, until one meets no fault.
#[track_caller]
fn for_each_change(mut meets: impl FnMut(usize) -> bool) {
    let most = (1..MANY).take_while(|number| meets(*number)).count();
    eprintln!("{most} changes");
    assert!((8..MANY - 1).contains(&most), "{most} changes");
}

/// Fails each change of the first and of the second interface's ADD.
#[track_caller]
fn adds(how: How) {
    for (there, nic) in [(&[][..], "eth0"), (&["eth0"][..], "net1")] {
        let lab = Lab::new();
        let trial = Trial::new(&lab, how, there);
        for_each_change(|number| {
            let after = format!("ADD of {nic}, {}", how.at(number));
            let was_met = trial.add(nic, number);
            trial.pod.delete(nic, &network(&lab, nic), None, Memory::Whole);
            trial.is_as_before(&after);
            if was_met {
                there.iter().for_each(|nic| trial.pod.check(nic).unwrap());
                trial.comes_and_goes(nic, &after);
            }
            was_met
        });
    }
}

/// Fails each change of the DEL of the second interface.
#[track_caller]
fn deletes(how: How) {
    let lab = Lab::new();
    let trial = Trial::new(&lab, how, &["eth0"]);
    for_each_change(|number| {
        let after = format!("DEL of net1, {}", how.at(number));
        trial.pod.attach("net1", &network(&lab, "net1"));
        let was_met = trial.delete("net1", number);
        trial.pod.detach("net1");
        trial.is_as_before(&after);
        trial.pod.check("eth0").unwrap();
        was_met
    });
}

/// Fails each change of the DEL of the interface that came first, on whose address rests what the pod's
/// interfaces share: the second one has to be connected after it. (Debian's macvlan, asked by CHECK, would
/// miss a default route in the main table: that was the first interface's.)
#[track_caller]
fn founders_delete(how: How) {
    let lab = Lab::new();
    let trial = Trial::new(&lab, how, &[]);
    for_each_change(|number| {
        let after = format!("DEL of eth0, {}", how.at(number));
        trial.pod.attach("eth0", &network(&lab, "eth0"));
        let addresses = trial.pod.attach("net1", &network(&lab, "net1"));
        let was_met = trial.delete("eth0", number);
        trial.pod.detach("eth0");
        eprintln!("{after}");
        trial.is_connected("net1", &addresses);
        trial.pod.detach("net1");
        trial.is_as_before(&after);
        was_met
    });
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_add_that_is_refused_anywhere_leaves_nothing() {
    adds(How::Error);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_add_that_is_killed_after_any_change_leaves_nothing() {
    adds(How::Kill);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_add_that_is_killed_before_any_change_leaves_nothing() {
    adds(How::KillBefore);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_del_that_is_refused_anywhere_is_finished() {
    deletes(How::Error);
    founders_delete(How::Error);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_del_that_is_killed_after_any_change_is_finished_by_the_next() {
    deletes(How::Kill);
    founders_delete(How::Kill);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_del_that_is_killed_before_any_change_is_finished_by_the_next() {
    deletes(How::KillBefore);
    founders_delete(How::KillBefore);
}

/// The namespace goes before the runtime, which was restarted, sends its DEL.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_killed_add_whose_pod_is_gone_leaves_nothing_on_the_node() {
    let lab = Lab::new();
    for_each_change(|number| {
        let trial = Trial::new(&lab, How::Kill, &[]);
        let was_met = trial.add("eth0", number);
        trial.pod.room.delete();
        trial.pod.delete("eth0", &network(&lab, "eth0"), None, Memory::None);
        trial.before[0].comes_back_in(&lab.node);
        assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0), "kill:{number}");
        was_met
    });
}
