//! Configurations and annotations that cannot be used: whose fault it is, and which code says so.

use crate::lab::{Ask, HERE, Lab};
use crate::talk::Talk;
use serde_json::json;

#[test]
fn the_environment_is_code_4() {
    let mut talk = Talk::new("text-environment", Lab::new());
    let add = talk.lab.add("c1");
    for ask in [
        add.clone().env("CNI_COMMAND", "add"),
        add.clone().env("CNI_CONTAINERID", ""),
        add.clone().container("a/b"),
        add.clone().nic("an-interface-name-of-many-bytes"),
        add.clone().netns(""),
        add.clone().args("K8S_POD_NAME"),
        add.clone().args("A=1;A=2"),
    ] {
        talk.say(&ask).expect(4);
    }
    assert_eq!(talk.held(), 0);
}

#[test]
fn what_is_no_configuration_is_code_6() {
    let mut talk = Talk::new("text-no-configuration", Lab::new());
    let add = talk.lab.add("c1");
    for bytes in ["", "{", "[]", "null", "\u{feff}{}", r#"{"cniVersion": 1}"#] {
        talk.say(&add.clone().bytes(bytes)).expect(6);
    }
    let nameless = Ask::new("ADD", json!({"cniVersion": "1.0.0"})).container("c1").netns(HERE);
    talk.say(&nameless).expect(7);
    assert_eq!(talk.held(), 0);
}

#[test]
fn a_bad_ipam_object_is_code_6() {
    let mut talk = Talk::new("text-bad-ipam", Lab::new());
    let add = talk.lab.add("c1");
    for (key, value) in [
        ("default_ipv4_ippool", json!("blue")),
        ("owner", json!("uid")),
        ("families", json!("both")),
        ("timeout_seconds", json!("90")),
        ("log_level", json!("loud")),
    ] {
        talk.say(&add.clone().ipam(key, value)).expect(6);
    }
    talk.say(&add.clone().set("ipam", json!([]))).expect(6);
    assert_eq!(talk.held(), 0);
}

#[test]
fn a_bad_timeout_is_code_7() {
    let mut talk = Talk::new("text-bad-timeout", Lab::new());
    for seconds in [0, 101] {
        let ask = talk.lab.add("c1").ipam("timeout_seconds", seconds);
        talk.say(&ask).expect(7);
    }
}

#[test]
fn a_bad_annotation_is_code_7() {
    let mut talk = Talk::new("text-bad-annotation", Lab::new());
    let add = talk.lab.add("c1");
    for (key, value) in [
        ("ipam.spidernet.io/ippool", json!("blue")),
        ("ipam.spidernet.io/ippools", json!([])),
        ("ipam.spidernet.io/routes", json!([{"dst": "10.0.0.0", "gw": "x"}])),
        ("ipam.spidernet.io/subnet", json!({"ipv4": "s"})),
    ] {
        talk.say(&add.clone().annotation(key, &value)).expect(7);
    }
    assert_eq!(talk.held(), 0);
}

#[test]
fn a_list_without_this_interface_is_code_101() {
    let mut talk = Talk::new("text-not-listed", Lab::new());
    let nics = json!([{"interface": "net1", "ipv4": ["blue"]}]);
    let ask = talk.lab.add("c1").annotation("ipam.spidernet.io/ippools", &nics);
    talk.say(&ask).expect(101);
}

#[test]
fn a_master_that_is_not_there_is_code_7() {
    let mut talk = Talk::new("text-no-master", Lab::new());
    let ask = talk.lab.add("c1").ipam("match_master_subnet", true);
    talk.say(&ask).expect(7);
    talk.say(&ask.set("master", "sp-no-such-nic")).expect(7);
}

#[test]
fn a_log_that_cannot_be_written_hinders_nobody() {
    let mut talk = Talk::new("text-no-log", Lab::new());
    let ask = talk.lab.add("c1").ipam("log_file_path", "/proc/none/log");
    talk.say(&ask).ok();
}
