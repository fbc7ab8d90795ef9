//! Verbs that find nothing to work on.

use crate::lab::HERE;
use crate::talk::Talk;
use serde_json::json;

#[test]
#[ignore = "host tier: looks into its own namespace, needs root"]
fn a_del_of_nothing_succeeds() {
    let mut talk = Talk::new("del-nothing");
    let del = talk.lab.ask("DEL", "sp-none-0f0f");
    talk.say(&del).ok();
    talk.say(&del).ok();
    talk.say(&del.clone().netns("")).ok();
    talk.say(&del.clone().netns("/run/netns/sp-none")).ok();
    talk.say(&del.set("prevResult", json!({"ips": "broken"}))).ok();
    assert_eq!(talk.lab.records(), Vec::<String>::new());
}

#[test]
#[ignore = "host tier: looks into its own namespace, needs root"]
fn a_bad_configuration_is_no_reason_to_refuse_a_del() {
    let mut talk = Talk::new("del-bad-configuration");
    let del = talk.lab.ask("DEL", "sp-none-0f0f");
    talk.say(&del.set("mode", "?").set("vethMTU", -1).set("policyRoutes", json!(["x"]))).ok();
    let log = talk.lab.log();
    assert!(log.contains("the configuration is passed over"), "{log}");
}

#[test]
#[ignore = "host tier: looks into its own namespace, needs root"]
fn a_del_works_where_nothing_can_be_written() {
    let mut talk = Talk::new("del-no-state");
    std::fs::write(talk.lab.path("state"), "no directory").unwrap();
    talk.say(&talk.lab.ask("DEL", "sp-none-0f0f")).ok();
}

#[test]
fn status_says_what_is_in_the_way() {
    let mut talk = Talk::new("status");
    let status = talk.lab.ask("STATUS", "c1").set("cniVersion", "1.1.0");
    talk.say(&status.clone().set("vethMTU", 0)).expect(50);
    std::fs::write(talk.lab.path("state"), "no directory").unwrap();
    talk.say(&status).expect(50);
}

#[test]
fn a_collection_of_nothing_succeeds() {
    let mut talk = Talk::new("gc-nothing");
    let gc = talk.lab.ask("GC", "c1").set("cniVersion", "1.1.0");
    talk.say(&gc).ok();
    talk.say(&gc.set("cni.dev/valid-attachments", json!([]))).ok();
}

#[test]
#[ignore = "host tier: looks into its own namespace, needs root"]
fn a_check_without_a_record_has_nothing_to_hold_against() {
    let mut talk = Talk::new("check-unrecorded");
    let previous = json!({"cniVersion": "1.0.0", "interfaces": []});
    let check = talk.lab.ask("CHECK", "c1").netns(HERE).set("prevResult", previous);
    talk.say(&check.nic("lo")).ok();
    let log = talk.lab.log();
    assert!(log.contains("another program attached it"), "{log}");
}
