//! The testing aid that makes the K-th change fail: run as a process of its own for each trial.

#![cfg(test)]

mod lab;
#[expect(dead_code, reason = "the tests of stages use more of it")]
mod scenes;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use lab::{Room, declined};
use scenes::{Pair, net, observed, plan_of, rule, settled, step};
use spiderpool_core::address::Family;
use spiderpool_core::net::{Mark, Marks, Rule, Sysctl, SysctlName};
use spiderpool_core::plan::{Op, Plan};
use spiderpool_netlink::{Namespace, Stage};

/// Where the child finds its namespaces.
const PLACES: &str = "SPIDERPOOL_TRIAL_PLACES";

/// Four changes: two rules, a sysctl that is set already, one that is not, a table of marks.
fn plan() -> Plan {
    let from = Rule { from: Some(net("10.6.0.10/32")), ..rule(1001, 101) };
    let sysctl = |name, value| Op::SetSysctl(Sysctl::all(Family::V4, name), value);
    let marks = Marks { input: scenes::name("eth0"), mark: Mark { value: 1, mask: 1 } };
    plan_of([
        step(Op::AddRule(rule(1000, 100)), &[Op::DeleteRule(rule(1000, 100))]),
        step(sysctl(SysctlName::ArpNotify, 0), &[sysctl(SysctlName::ArpNotify, 0)]),
        step(Op::AddRule(from.clone()), &[Op::DeleteRule(from)]),
        step(sysctl(SysctlName::ArpNotify, 1), &[sysctl(SysctlName::ArpNotify, 0)]),
        step(Op::AddMarks(marks), &[Op::DeleteMarks]),
    ])
}

/// Not a test by itself: what the child does.
#[test]
#[ignore = "host tier: needs root and iproute2"]
fn child() {
    let Ok(places) = std::env::var(PLACES) else { return };
    let (host, pod) = places.split_once(' ').unwrap();
    let [host, pod] = [host, pod].map(|name| Namespace::by_name(name).unwrap());
    let outcome = Stage::open(&host, &pod).unwrap().apply(&plan());
    std::process::exit(match outcome {
        Ok(_) => 10,
        Err(failed) if failed.left_behind().count() == 0 => 20,
        Err(failed) => panic!("{failed}"),
    });
}

fn run(pair: &Pair, fault: &str, testing: &str) -> ExitStatus {
    let places = format!("{} {}", pair.host.name, pair.pod.name);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(PLACES, places)
        .env("SPIDERPOOL_FAULT", fault)
        .env("SPIDERPOOL_TESTING", testing)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap()
}

/// How many of the four changes are there.
fn changes(pod: &Room) -> usize {
    let rules = pod.ip("rule show").lines().filter(|line| line.contains("proto 137")).count();
    let read = |_: &mut spiderpool_netlink::Session| {
        std::fs::read_to_string("/proc/sys/net/ipv4/conf/all/arp_notify")
    };
    let notifies = pod.namespace().run(read).unwrap().trim() == "1";
    let marking = scenes::everything();
    let mut stage = Stage::of_host(&pod.namespace()).unwrap();
    let is_marking = stage.observe(&marking).unwrap().host.marking != Default::default();
    rules + usize::from(notifies) + usize::from(is_marking)
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn an_error_is_met_at_each_change_and_undone() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let before = observed(&mut pair.stage());
    for k in 1..=4 {
        assert_eq!(run(&pair, &format!("error:{k}"), "1").code(), Some(20), "{k}");
        assert_eq!(settled(&observed(&mut pair.stage())), settled(&before));
    }
    assert_eq!(run(&pair, "error:5", "1").code(), Some(10));
    assert_eq!(changes(&pair.pod), 4);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_kill_comes_right_before_or_after_a_change() {
    if declined() {
        return;
    }
    for (fault, done) in [("kill:1", 1), ("kill:3", 3), ("kill:4", 4), ("kill-before:4", 3)] {
        let pair = Pair::new();
        assert_eq!(run(&pair, fault, "1").signal(), Some(9), "{fault}");
        assert_eq!(changes(&pair.pod), done, "{fault}");
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn without_testing_there_is_no_trial() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    assert_eq!(run(&pair, "kill:1", "").code(), Some(10));
}
