//! What cannot be used: whose fault it is, and which code says so.

use crate::lab::{HERE, Lab};
use crate::talk::Talk;
use serde_json::{Value, json};

fn previous() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "macvlan0", "mac": "02:00:00:00:00:01"},
            {"name": "eth0", "sandbox": "/run/netns/x", "mac": "02:00:00:00:00:02", "queue": 4},
        ],
        "ips": [{"address": "10.6.0.10/24", "gateway": "10.6.0.1", "interface": 1}],
        "vendor": {"a": [1]},
    })
}

fn add(lab: &Lab) -> crate::lab::Ask {
    lab.ask("ADD", "c1").netns(HERE).set("prevResult", previous())
}

#[test]
fn a_bad_value_is_code_7() {
    let mut talk = Talk::new("text-bad-values");
    for (key, value) in [
        ("mode", json!("on")),
        ("mode", json!(1)),
        ("podDefaultCniNic", json!("a/b")),
        ("vethLinkAddress", json!("10.0.0.1/24")),
        ("vethMTU", json!(0)),
        ("vethMTU", json!("1500")),
        ("podMACPrefix", json!("01:00")),
        ("podMACPrefix", json!("0a,1b")),
        ("overlayPodCIDR", json!("10.244.0.0/16")),
        ("serviceCIDR", json!(["10.96.0.0/33"])),
        ("hijackCIDR", json!([7])),
        ("policyRoutes", json!([{"dst": "10.0.0.0/8"}])),
        ("policyRoutes", json!([{"dst": "10.0.0.0/8", "gw": "fd00::1"}])),
        ("tunePodRoutes", json!("yes")),
        ("hostRuleTable", json!(254)),
        ("podRPFilter", json!(3)),
        ("txQueueLen", json!(-1)),
        ("logOptions", json!({"logLevel": "loud"})),
        ("podNics", json!("eth0")),
        ("stateDir", json!("here")),
        ("timeoutSeconds", json!(0)),
    ] {
        let heard = talk.say(&add(&talk.lab).set(key, value)).expect(7);
        let told = heard.told();
        assert!(told.contains(key) && told.contains("; use "), "{told}");
    }
    assert_eq!(talk.lab.records(), Vec::<String>::new());
}

#[test]
fn a_chain_must_give_a_result() {
    let mut talk = Talk::new("text-previous");
    talk.say(&add(&talk.lab).without("prevResult")).expect(7);
    talk.say(&add(&talk.lab).set("prevResult", json!({"ips": [{"address": "x"}]}))).expect(6);
    talk.say(&add(&talk.lab).set("prevResult", json!({"cniVersion": "9.0.0"}))).expect(1);
    talk.say(&add(&talk.lab).verb("CHECK").without("prevResult")).expect(7);
}

#[test]
fn the_environment_is_code_4() {
    let mut talk = Talk::new("text-environment");
    let add = add(&talk.lab);
    for ask in [
        add.clone().verb("add"),
        add.clone().container(""),
        add.clone().container("a/b"),
        add.clone().nic("an-interface-name-of-many-bytes"),
        add.clone().netns(""),
    ] {
        talk.say(&ask).expect(4);
    }
}

#[test]
fn what_is_no_configuration_is_code_6() {
    let mut talk = Talk::new("text-no-configuration");
    for bytes in ["", "{", "[]", r#"{"cniVersion": 1}"#] {
        talk.say(&add(&talk.lab).bytes(bytes)).expect(6);
    }
}

#[test]
fn what_is_no_namespace_is_code_8() {
    let mut talk = Talk::new("text-no-namespace");
    for path in ["/run/netns/sp-none", "/dev/null", "/proc/self/ns/mnt"] {
        talk.say(&add(&talk.lab).netns(path)).expect(8);
    }
    assert_eq!(talk.lab.records(), Vec::<String>::new());
}

#[test]
fn verbs_need_their_versions() {
    let mut talk = Talk::new("text-versions");
    talk.say(&talk.lab.ask("VERSION", "c1")).ok();
    talk.say(&talk.lab.ask("VERSION", "c1").bytes("")).ok();
    talk.say(&add(&talk.lab).set("cniVersion", "0.2.0")).expect(1);
    for verb in ["STATUS", "GC"] {
        talk.say(&talk.lab.ask(verb, "c1")).expect(1);
    }
}

#[test]
fn a_disabled_coordinator_hands_the_result_on() {
    let mut talk = Talk::new("text-disabled");
    for mode in ["disabled", "disable"] {
        let heard = talk.say(&add(&talk.lab).set("mode", mode)).ok();
        assert_eq!(heard.json(), previous(), "keys of others included");
    }
    let old = talk.say(&add(&talk.lab).set("mode", "disabled").set("cniVersion", "0.4.0")).ok();
    assert_eq!(old.json()["cniVersion"], "0.4.0");
    assert_eq!(old.json()["ips"][0]["version"], "4");
    assert_eq!(talk.lab.records(), Vec::<String>::new());
}

#[test]
fn unknown_keys_are_logged() {
    let mut talk = Talk::new("text-unknown-keys");
    let ask = add(&talk.lab).set("mode", "disabled").set("detectGateway", true).set("podMtu", 1);
    talk.say(&ask).ok();
    let log = talk.lab.log();
    assert!(log.contains("`detectGateway` means nothing to this plugin"), "{log}");
    assert!(log.contains("`podMtu` is no key of this plugin"), "{log}");
}
