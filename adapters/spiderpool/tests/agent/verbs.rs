//! DEL, CHECK, GC and STATUS.

use crate::fake::Said;
use crate::lab::HERE;
use crate::talk::{Talk, ip, well};
use serde_json::json;

#[test]
fn a_release_says_container_and_interface() {
    let mut talk = Talk::new("del", |_| Said::Raw(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()));
    let del = talk.ask("DEL");
    // As runtimes repeat it: nothing but container and interface, in an older version.
    for ask in [del.clone().netns(HERE), del.clone().netns("").args("").version("0.3.1")] {
        assert_eq!(talk.say(&ask).ok().stdout, "");
    }
    assert_eq!(talk.calls(), ["DELETE /v1/ipam/ip"; 2]);
    let bare = talk.body(1);
    assert_eq!((&bare["containerID"], &bare["ifName"]), (&json!("c1"), &json!("eth0")));
    assert_eq!((&bare["podName"], bare.get("netNamespace")), (&json!(""), None));
}

#[test]
fn a_release_with_a_bad_configuration_reaches_the_agent() {
    let mut talk = Talk::new("del-bad-configuration", |_| well(&json!({})));
    let del = talk.ask("DEL").ipam("log_level", 7).ipam("families", "both");
    talk.say(&del).ok();
    assert_eq!(talk.calls(), ["DELETE /v1/ipam/ip"]);
}

#[test]
fn a_socket_goes_before_a_store() {
    let mut talk = Talk::new("both", |_| well(&json!({})));
    let store = talk.lab.path("store").display().to_string();
    let status = talk.ask("STATUS").ipam("store_path", store);
    talk.say(&status).ok();
    assert_eq!(talk.calls(), ["GET /v1/ipam/status?apiVersion=2"]);
    assert!(talk.lab.log().contains("leave one of them out"), "{}", talk.lab.log());
}

#[test]
fn a_release_that_reaches_nobody_is_asked_again() {
    let mut talk = Talk::alone("del-away");
    talk.say(&talk.ask("DEL")).expect(11);
    let mut talk = Talk::new("del-torn", |_| Said::Raw(b"HTTP/1.1 2".to_vec()));
    talk.say(&talk.ask("DEL")).expect(11);
}

#[test]
fn a_release_that_is_refused_is_left_to_the_collector() {
    let mut talk = Talk::new("del-refused", |_| Said::Json(500, r#""no such luck""#.into()));
    talk.say(&talk.ask("DEL")).ok();
    assert!(talk.lab.log().contains("no such luck; what is left behind is collected later"));
}

#[test]
fn a_check_compares_three() {
    let mut talk = Talk::new("check", |_| {
        well(
            &json!({"apiVersion": 2, "ips": [ip("eth0", "10.6.0.10/24", 1), ip("net1", "10.7.0.9/24", 1)]}),
        )
    });
    let check = talk.ask("CHECK").netns(HERE);
    let other = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.6.0.99/24"}]});
    let heard = talk.say(&check.clone().set("prevResult", other)).expect(104);
    assert!(
        heard.stdout.contains("the agent has 10.6.0.10/24, but the previous result lists only")
    );
    let same = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.6.0.10/24"}]});
    let heard = talk.say(&check.set("prevResult", same)).expect(104);
    assert!(heard.stdout.contains("the interface does not carry it"), "{heard:?}");
}

#[test]
fn a_check_of_what_is_not_held_fails() {
    let mut talk = Talk::new("check-nothing", |_| well(&json!({"apiVersion": 2, "ips": null})));
    let heard = talk.say(&talk.ask("CHECK").netns(HERE)).expect(104);
    assert!(heard.stdout.contains("the agent has no address for `eth0`"), "{heard:?}");
}

#[test]
fn an_agent_that_lacks_the_newer_verbs_is_no_error() {
    let mut talk = Talk::new("older-verbs", |seen| match seen.call.as_str() {
        "GET /v1/ipam/healthy" => {
            Said::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
        _ => Said::Json(404, r#"{"code":404,"message":"path was not found"}"#.into()),
    });
    talk.say(&talk.ask("CHECK").netns(HERE)).ok();
    talk.say(&talk.ask("GC").set("cni.dev/valid-attachments", json!([]))).ok();
    talk.say(&talk.ask("STATUS")).ok();
    assert_eq!(
        talk.calls(),
        [
            "POST /v1/ipam/check",
            "POST /v1/ipam/gc",
            "GET /v1/ipam/status?apiVersion=2",
            "GET /v1/ipam/healthy"
        ]
    );
}

#[test]
fn a_collection_hands_the_list_on() {
    let mut talk = Talk::new("gc", |_| {
        let freed = json!({"address": "10.6.0.10", "owner": "pod/u-9", "containerID": "c9"});
        well(&json!({"apiVersion": 2, "freed": [freed]}))
    });
    let gc = talk.ask("GC");
    let listed = json!([{"containerID": "c1", "ifname": "eth0"}]);
    talk.say(&gc.clone().set("cni.dev/valid-attachments", listed)).ok();
    assert_eq!(talk.body(0)["validAttachments"], json!([{"containerID": "c1", "ifName": "eth0"}]));
    assert!(talk.lab.log().contains("collected 10.6.0.10 of pod/u-9"));
    // Without a list nothing is known, and nobody is asked.
    talk.say(&gc.clone().set("cni.dev/valid-attachments", json!(null))).ok();
    assert_eq!(talk.calls().len(), 1);
    talk.say(&gc.set("cni.dev/valid-attachments", json!([]))).ok();
    assert_eq!(talk.body(1)["validAttachments"], json!([]));
}

#[test]
fn a_collection_that_fails_says_so() {
    let mut talk = Talk::new("gc-refused", |_| {
        Said::Json(500, r#"{"apiVersion": 2, "message": "starting", "code": 11}"#.into())
    });
    talk.say(&talk.ask("GC").set("cni.dev/valid-attachments", json!([]))).expect(11);
}

#[test]
fn a_node_is_ready_when_its_agent_is() {
    let mut talk = Talk::new("status", |seen| {
        assert!(seen.call.ends_with("?apiVersion=2&pool=blue&pool=lost"), "{seen:?}");
        well(&json!({"apiVersion": 2, "missingPools": ["lost"]}))
    });
    let status = talk.ask("STATUS").pools(&["blue", "green*"], &["lost"]);
    let heard = talk.say(&status).expect(50);
    assert!(heard.stdout.contains("names pools that do not exist: lost"), "{heard:?}");
    let mut talk = Talk::new("status-well", |_| well(&json!({"apiVersion": 2})));
    talk.say(&talk.ask("STATUS")).ok();
}

#[test]
fn a_node_is_not_ready_without_its_agent() {
    let mut talk = Talk::alone("status-away");
    talk.say(&talk.ask("STATUS")).expect(50);
    for (name, code, expected) in [("status-starting", 11, 50), ("status-limited", 51, 51)] {
        let mut talk = Talk::new(name, move |_| {
            let body = json!({"apiVersion": 2, "message": "not yet", "code": code});
            Said::Json(500, body.to_string())
        });
        talk.say(&talk.ask("STATUS")).expect(expected);
    }
}
