//! What a runtime hears, byte for byte: bad input, the verbs that change nothing, and real plugins
//! behind this one.

#![cfg(test)]

#[expect(dead_code, reason = "the VM tier's tests use more of it")]
mod lab;

use lab::{Heard, Node, start, start_program};
use serde_json::{Value, json};

fn heard(verb: &str, keys: &Value) -> Heard {
    // Nothing here gets as far as the lock, and a path that cannot be made would say if it did.
    let mut conf = json!({"cniVersion": "1.1.0", "name": "lan", "type": "ifacer", "lockPath": "/proc/none/lock"});
    for (key, value) in keys.as_object().unwrap() {
        conf[key] = value.clone();
    }
    Heard::of(start(verb, &conf, &[]))
}

/// A refusal, whole: one line of JSON, exit code 1, and nothing on standard error.
#[track_caller]
fn refused(verb: &str, keys: &Value, code: u32, msg: &str) {
    let heard = heard(verb, keys);
    let answer = heard.json();
    let told = (heard.exit, answer["code"].as_u64(), answer["msg"].as_str());
    assert_eq!(told, (Some(1), Some(code.into()), Some(msg)));
    assert_eq!((answer["cniVersion"].as_str(), heard.stderr.as_str()), (Some("1.1.0"), ""));
    assert_eq!(heard.stdout.lines().count(), 1);
}

#[test]
fn bad_input_is_refused_in_each_verb_that_reads_it() {
    let table = [
        (json!({"interfaces": "eth1"}), 6, "the configuration of network `lan` cannot be read"),
        (
            json!({"interfaces": ["eth1"], "vlanID": 4095}),
            7,
            "`vlanID` is 4095: give 1 to 4094, or 0 for no VLAN",
        ),
        (
            json!({"interfaces": ["a b"]}),
            7,
            "`interfaces`: `a b` can be no link's name: it holds a blank; use 1 to 15 bytes without `/`, `:` or blanks",
        ),
        (
            json!({"interfaces": ["eth1", "eth2"], "bond": {"mode": 1, "options": "miimon"}}),
            7,
            "`bond.options`: `miimon` is no option of a bond: write KEY=VALUE, pairs apart by `;`",
        ),
        (
            json!({"interfaces": ["eth1", "eth2"], "bond": {"mode": 9}}),
            7,
            "`bond.mode`: the bond option `mode` cannot be `9`: give one of balance-rr (0), active-backup (1), balance-xor (2), broadcast (3), 802.3ad (4), balance-tlb (5), balance-alb (6)",
        ),
        (
            json!({"interfaces": ["eth1", "eth2"], "bond": {"options": "miimon=100;arp_interval=100"}}),
            7,
            "`bond.options`: a bond watches its ports by `miimon` or by `arp_interval`, not by both: give one of them, or 0",
        ),
    ];
    for (keys, code, msg) in table {
        refused("ADD", &keys, code, msg);
        refused("CHECK", &keys, code, msg);
        refused("STATUS", &keys, 50, msg);
    }
}

#[test]
fn what_contradicts_itself_is_refused_before_anything_is_changed() {
    let table = [
        (json!({}), 7, "no interface is given: name at least one in `interfaces`"),
        (
            json!({"interfaces": ["sp-eth1", "sp-eth1"], "bond": {}}),
            7,
            "the interface `sp-eth1` is given twice: give it once",
        ),
        (
            json!({"interfaces": ["sp-eth1", "sp-eth2"]}),
            7,
            "sp-eth1, sp-eth2 are several interfaces: give `bond` to make one of them, or name just one",
        ),
    ];
    for (keys, code, msg) in table {
        refused("CHECK", &keys, code, msg);
        refused("STATUS", &keys, 50, msg);
    }
}

#[test]
fn verbs_that_change_nothing_say_nothing() {
    for verb in ["DEL", "GC"] {
        // A DEL that failed over a mistake in the configuration would be repeated for ever.
        for keys in [json!({"interfaces": ["eth1"]}), json!({"interfaces": "x", "vlanID": 9999})] {
            let heard = heard(verb, &keys);
            let seen = (heard.exit, heard.stdout.as_str(), heard.stderr.as_str());
            assert_eq!(seen, (Some(0), "", ""), "{verb}");
        }
    }
    let versions = heard("VERSION", &json!({})).json();
    assert_eq!(versions["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}

#[test]
fn a_lock_that_cannot_be_made_is_said() {
    let heard = heard("ADD", &json!({"interfaces": ["sp-eth1"]}));
    assert_eq!(heard.json()["code"], 5, "{heard:?}");
    assert!(heard.json()["msg"].as_str().unwrap().contains("`/proc/none/lock` cannot be taken"));
}

fn declined() -> bool {
    let declined = std::env::var_os("SPIDERPOOL_SKIP_HOST_TIER").is_some_and(|value| value == "1");
    if declined {
        eprintln!("SKIPPED: SPIDERPOOL_SKIP_HOST_TIER=1");
    }
    declined
}

#[test]
#[ignore = "host tier: needs root"]
fn an_interface_that_is_down_is_set_up() {
    if declined() {
        return;
    }
    Node::within(|node| {
        node.nics(&["eth1"]);
        let keys = json!({"interfaces": ["eth1"]});
        assert!(!node.link("eth1").is_up);
        assert_eq!(node.ask("CHECK", &keys).json()["details"], "ip link set eth1 up");
        assert_eq!(node.add(&keys), ["ip link set eth1 up"]);
        node.rests(&keys);
        let (code, told) = node.refused(&json!({"interfaces": ["eth9"]}));
        assert!(code == 100 && told.contains("no interface `eth9`; it has eth1"), "{told}");
    });
}

/// The result is what macvlan accepts from the plugin before it, in each version that it speaks.
#[test]
#[ignore = "host tier: needs root and the CNI plugins in /usr/lib/cni"]
fn macvlan_takes_what_this_plugin_gives() {
    if declined() {
        return;
    }
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        Node::within(|node| {
            node.nics(&["eth1"]);
            let keys = json!({"cniVersion": version, "interfaces": ["eth1"]});
            let first = node.ask("ADD", &keys);
            assert_eq!(first.exit, Some(0), "{first:?}");
            assert_eq!(first.json()["interfaces"][0]["name"], "eth1");
            let conf = json!({
                "cniVersion": version, "name": "lan", "type": "macvlan", "master": "eth1",
                "mode": "bridge", "prevResult": first.json(),
            });
            let pod = node.wire();
            let env = [("CNI_NETNS", pod.to_str().unwrap()), ("CNI_IFNAME", "net1")];
            let second = Heard::of(start_program("/usr/lib/cni/macvlan", "ADD", &conf, &env));
            assert_eq!(second.exit, Some(0), "{second:?}");
            let listed = second.json();
            let names: Vec<_> =
                listed["interfaces"].as_array().unwrap().iter().map(|i| &i["name"]).collect();
            assert_eq!(names, ["net1"], "the node's link does not stay in the pod's result");
        });
    }
}
