//! DEL: whatever is left of the attachment, and however often it comes.

use crate::lab::Lab;
use crate::talk::Talk;
use serde_json::json;

#[test]
fn a_second_del_is_as_good_as_the_first() {
    let mut talk = Talk::new("del-twice", Lab::new());
    let add = talk.lab.add("c1").pod("web-0", "u-1");
    talk.say(&add).ok();
    for _ in 0..2 {
        let del = talk.lab.del("c1");
        assert_eq!(talk.say(&del).ok().stdout, "");
    }
    talk.lab.is_as_new();
}

#[test]
fn what_was_never_there_is_gone() {
    let mut talk = Talk::new("del-unknown", Lab::new());
    let del = talk.lab.del("c404").netns("/run/netns/nowhere").version("0.3.0");
    talk.say(&del).ok();
    talk.lab.is_as_new();
}

#[test]
fn container_and_interface_suffice() {
    let mut talk = Talk::new("del-bare", Lab::new());
    let add = talk.lab.add("c1").pools(&["blue"], &["blue6"]).pod("web-0", "u-1");
    talk.say(&add).ok();
    // Neither CNI_NETNS nor CNI_ARGS nor a previous result, as a restarted runtime sends it.
    let del = talk.lab.del("c1").netns("").pools(&[], &[]);
    talk.say(&del).ok();
    talk.lab.is_as_new();
}

#[test]
fn only_the_interface_that_goes_is_freed() {
    let mut talk = Talk::new("del-one-interface", Lab::new());
    for nic in ["eth0", "net1"] {
        let add = talk.lab.add("c1").nic(nic);
        talk.say(&add).ok();
    }
    let del = talk.lab.del("c1").nic("net1");
    talk.say(&del).ok();
    assert_eq!(talk.held(), 1);
}

#[test]
fn a_broken_previous_result_is_passed_over() {
    let mut talk = Talk::new("del-broken-result", Lab::new());
    for broken in
        [json!("x"), json!({"cniVersion": "9.9.9"}), json!({"ips": [{"address": 1}]}), json!(null)]
    {
        let add = talk.lab.add("c1");
        talk.say(&add).ok();
        let del = talk.lab.del("c1").set("prevResult", broken);
        talk.say(&del).ok();
        assert_eq!(talk.held(), 0);
    }
}

#[test]
fn bad_wishes_do_not_keep_a_container() {
    let mut talk = Talk::new("del-bad-wishes", Lab::new());
    let add = talk.lab.add("c1").annotation("ipam.spidernet.io/ippool", &json!(5));
    talk.say(&add).expect(7);
    let mut del = add.clone().env("CNI_COMMAND", "DEL").set("runtimeConfig", json!({"ips": [1]}));
    talk.say(&del).ok();
    del = del.set("args", json!({"cni": {"ips": "x"}}));
    talk.say(&del).ok();
    talk.lab.is_as_new();
}

#[test]
fn a_configuration_gone_bad_does_not_keep_a_container() {
    let mut talk = Talk::new("del-bad-configuration", Lab::new());
    let add = talk.lab.add("c1");
    talk.say(&add).ok();
    talk.say(&talk.lab.add("c2").ipam("owner", "uid")).expect(6);
    let del = talk.lab.del("c1").ipam("owner", "uid");
    talk.say(&del).ok();
    assert_eq!(talk.held(), 0);
}

#[test]
fn a_failed_add_is_followed_by_del() {
    let mut talk = Talk::new("del-after-failed-add", Lab::new());
    let add = talk.lab.add("c1").netns("/run/netns/sp-nowhere");
    talk.say(&add).expect(8);
    let del = talk.lab.del("c1").netns("/run/netns/sp-nowhere");
    talk.say(&del).ok();
    talk.lab.is_as_new();
}

#[test]
fn a_late_del_of_the_old_container_frees_nothing() {
    let mut talk = Talk::new("del-late", Lab::new());
    let old = talk.lab.add("c1").pod("web-0", "u-1");
    let new = talk.lab.add("c2").pod("web-0", "u-1");
    let address = talk.say(&old).ok().address();
    // The sandbox of the pod was made again before the old one was torn down.
    assert_eq!(talk.say(&new).ok().address(), address);
    let late = talk.lab.del("c1");
    talk.say(&late).ok();
    assert_eq!(talk.held(), 1);
    let del = talk.lab.del("c2");
    talk.say(&del).ok();
    assert_eq!(talk.held(), 0);
}

#[test]
fn what_was_given_back_is_given_again() {
    let mut talk = Talk::new("del-then-reuse", Lab::new());
    let first = talk.lab.add("c1");
    let address = talk.say(&first).ok().address();
    let del = talk.lab.del("c1");
    talk.say(&del).ok();
    let second = talk.lab.add("c2");
    assert_eq!(talk.say(&second).ok().address(), address);
}

#[test]
fn the_same_container_may_come_again() {
    let mut talk = Talk::new("del-then-add", Lab::new());
    for _ in 0..2 {
        let add = talk.lab.add("c1");
        talk.say(&add).ok();
        let del = talk.lab.del("c1");
        talk.say(&del).ok();
    }
    talk.lab.is_as_new();
}
