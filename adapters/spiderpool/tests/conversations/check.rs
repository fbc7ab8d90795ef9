//! CHECK: store, previous result and namespace agree, or the first difference is named.

use crate::lab::{Ask, HERE, Lab, range};
use crate::talk::Talk;
use serde_json::{Value, json};

/// Every namespace has one interface with one address that a test need not set.
fn loopback() -> Lab {
    Lab::with(
        [range("loop", "127.0.0.", "8", "1", "1")]
            .map(|draft| spiderpool_core::definition::PoolDraft { gateway: None, ..draft }),
    )
}

fn attached(talk: &mut Talk) -> (Ask, Value) {
    let add = talk.lab.add("c1").nic("lo").pools(&["loop"], &[]);
    let result = talk.say(&add).ok().json();
    (talk.lab.ask("CHECK", "c1").netns(HERE).nic("lo").pools(&["loop"], &[]), result)
}

#[test]
fn all_three_agree() {
    let mut talk = Talk::new("check-well", loopback());
    let (check, result) = attached(&mut talk);
    assert_eq!(talk.say(&check.clone().set("prevResult", result)).ok().stdout, "");
    talk.say(&check).ok();
}

#[test]
fn the_store_has_nothing() {
    let mut talk = Talk::new("check-not-held", loopback());
    let (check, result) = attached(&mut talk);
    talk.say(&talk.lab.del("c1").nic("lo")).ok();
    talk.say(&check.set("prevResult", result)).expect(104);
}

#[test]
fn the_previous_result_lists_another_address() {
    let mut talk = Talk::new("check-other-result", loopback());
    let (check, mut result) = attached(&mut talk);
    result["ips"][0]["address"] = json!("127.0.0.2/8");
    talk.say(&check.clone().set("prevResult", result)).expect(104);
    talk.say(&check.set("prevResult", json!({"cniVersion": "1.0.0", "ips": "x"}))).expect(6);
}

#[test]
fn the_interface_lacks_the_address() {
    let mut talk = Talk::new("check-not-on-interface", Lab::new());
    let add = talk.lab.add("c1");
    let result = talk.say(&add).ok().json();
    let check = talk.lab.ask("CHECK", "c1").netns(HERE).set("prevResult", result);
    talk.say(&check).expect(104);
}

#[test]
fn the_namespace_is_gone() {
    let mut talk = Talk::new("check-no-namespace", Lab::new());
    let add = talk.lab.add("c1");
    talk.say(&add).ok();
    let check = talk.lab.ask("CHECK", "c1").netns("/run/netns/sp-nowhere");
    talk.say(&check).expect(8);
}

#[test]
fn there_is_no_check_before_0_4_0() {
    let mut talk = Talk::new("check-too-old", Lab::new());
    let check = talk.lab.ask("CHECK", "c1").netns(HERE).version("0.3.1");
    talk.say(&check).expect(1);
}
