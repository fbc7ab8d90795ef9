//! GC, STATUS and VERSION.

use crate::lab::{Ask, Lab, range};
use crate::talk::Talk;
use serde_json::{Value, json};

const VALID: &str = "cni.dev/valid-attachments";

fn two_networks(name: &str) -> Talk {
    let mut talk = Talk::new(name, Lab::new());
    for (id, network) in [("c1", "net"), ("c2", "net"), ("c3", "other")] {
        let add = talk.lab.add(id).set("name", network);
        talk.say(&add).ok();
    }
    talk
}

fn gc(talk: &Talk, list: Option<Value>) -> Ask {
    let gc = Ask::new("GC", talk.lab.conf(&["blue"], &[])).version("1.1.0");
    match list {
        Some(list) => gc.set(VALID, list),
        None => gc,
    }
}

#[test]
fn without_a_list_nothing_is_freed() {
    let mut talk = two_networks("gc-no-list");
    for list in [None, Some(Value::Null)] {
        let gc = gc(&talk, list);
        talk.say(&gc).ok();
    }
    assert_eq!(talk.held(), 3);
}

#[test]
fn an_empty_list_frees_the_network() {
    let mut talk = two_networks("gc-empty-list");
    let gc = gc(&talk, Some(json!([])));
    talk.say(&gc).ok();
    assert_eq!(talk.held(), 1);
}

#[test]
fn what_is_listed_stays() {
    let mut talk = two_networks("gc-list");
    let gc = gc(
        &talk,
        Some(
            json!([{"containerID": "c2", "ifname": "eth0"}, {"containerID": "c1", "ifname": "net9"}]),
        ),
    );
    talk.say(&gc).ok();
    assert_eq!(talk.held(), 2);
    // An attachment that was collected may come again.
    let again = talk.lab.add("c1");
    talk.say(&again).ok();
    assert_eq!(talk.held(), 3);
}

#[test]
fn a_list_that_cannot_be_read_frees_nothing() {
    let mut talk = two_networks("gc-bad-list");
    for bad in [json!({}), json!([{"containerID": "c2"}]), json!("x")] {
        let gc = gc(&talk, Some(bad));
        talk.say(&gc).expect(6);
    }
    assert_eq!(talk.held(), 3);
}

#[test]
fn a_full_pool_is_a_node_that_is_ready() {
    let mut talk =
        Talk::new("status-full", Lab::with([range("blue", "10.6.0.", "24", "10", "10")]));
    let add = talk.lab.add("c1");
    talk.say(&add).ok();
    let status = Ask::new("STATUS", talk.lab.conf(&["blue"], &[])).version("1.1.0");
    assert_eq!(talk.say(&status).ok().stdout, "");
}

#[test]
fn a_configuration_without_its_pools_is_not_ready() {
    let mut talk = Talk::new("status-no-pool", Lab::new());
    let missing =
        Ask::new("STATUS", talk.lab.conf(&["blue", "bleu"], &["rack-*"])).version("1.1.0");
    talk.say(&missing).expect(50);
    let broken = missing.ipam("timeout_seconds", "soon");
    talk.say(&broken).expect(50);
}

#[test]
fn verbs_of_1_1_0_need_it() {
    let mut talk = Talk::new("verbs-too-old", Lab::new());
    for verb in ["STATUS", "GC"] {
        let ask = Ask::new(verb, talk.lab.conf(&["blue"], &[])).version("1.0.0");
        talk.say(&ask).expect(1);
    }
}

#[test]
fn version_is_always_answered() {
    let mut talk = Talk::new("version", Lab::bare());
    let ask = Ask::new("VERSION", json!({"cniVersion": "0.4.0"}));
    for bytes in [r#"{"cniVersion": "0.4.0"}"#, r#"{"cniVersion": "9.9.9"}"#, "{", ""] {
        let heard = talk.say(&ask.clone().bytes(bytes)).ok();
        assert_eq!(heard.json()["supportedVersions"].as_array().unwrap().len(), 5);
    }
}
