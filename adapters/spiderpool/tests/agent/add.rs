//! ADD: what is asked, what is taken of the answer, and what a refusal becomes.

use crate::fake::Said;
use crate::talk::{Talk, ip, reply, well};
use serde_json::json;

#[test]
fn an_add_is_one_exchange() {
    let mut talk = Talk::new("add", |_| {
        let mut reply = reply(&[
            ip("eth0", "10.6.0.10/24", 1),
            ip("eth0", "fd00:6::10/64", 7),
            ip("net1", "10.7.0.10/24", 1),
        ]);
        reply["routes"] = json!([
            {"ifName": "eth0", "dst": "0.0.0.0/0", "gw": "10.6.0.1"},
            {"ifName": "eth0", "dst": "::/0", "gw": "fd00:6::1"},
            {"ifName": "net1", "dst": "10.9.0.0/16", "gw": "10.7.0.1"},
        ]);
        reply["warnings"] = json!(["no interface reaches 10.99.0.1"]);
        well(&reply)
    });
    let ask = talk
        .add()
        .pools(&["blue"], &["blue6"])
        .ipam("clean_gateway", true)
        .ipam("families", "prefer")
        .set("args", json!({"cni": {"ips": ["10.6.0.10/24"]}}));
    let heard = talk.say(&ask).ok();
    // Only this interface's addresses and routes, although the agent lists every NIC of the pod.
    assert_eq!(heard.addresses().len(), 2);
    assert_eq!(heard.json()["routes"].as_array().unwrap().len(), 2);
    assert_eq!(talk.calls(), ["POST /v1/ipam/ip"]);
    let asked = talk.body(0);
    assert_eq!(asked["podUID"], "u-1");
    assert_eq!(asked["cniArgsIP"], json!(["10.6.0.10"]));
    assert!(talk.lab.log().contains("no interface reaches 10.99.0.1"), "{}", talk.lab.log());
}

/// Fields from the future, `null` where a list may be, and a deadline that is handed down.
#[test]
fn a_newer_agent_is_understood() {
    let mut talk = Talk::new("newer", |_| {
        let mut one = ip("eth0", "10.6.0.10/24", 3);
        one["lease"] = json!({"until": "2031-01-01T00:00:00Z"});
        well(&json!({"apiVersion": 9, "ips": [one], "routes": null, "moods": ["calm"],
            "dns": {"nameservers": ["10.96.0.10"], "searchOrder": 1}}))
    });
    let heard = talk.say(&talk.add().ipam("timeout_seconds", 10)).ok();
    assert_eq!(heard.json()["dns"], json!({"nameservers": ["10.96.0.10"]}));
    let left = talk.body(0)["deadlineMs"].as_u64().unwrap();
    assert!((5_000..=8_000).contains(&left), "four fifths of ten seconds: {left}");
}

/// The reference's agent: no version, no generation, an empty `dns`.
#[test]
fn an_older_agent_is_understood() {
    let mut talk = Talk::new("older", |_| {
        let one = json!({"address": "10.6.0.10/24", "enableGatewayDetection": false,
            "enableIPConflictDetection": false, "gateway": "10.6.0.1", "ipPool": "blue", "nic": "eth0",
            "version": 4, "vlan": 0, "mac": ""});
        let route = json!({"dst": "0.0.0.0/0", "gw": "10.6.0.1", "ifName": "eth0"});
        well(&json!({"dns": {}, "ips": [one], "routes": [route]}))
    });
    let heard = talk.say(&talk.add().version("0.3.1")).ok();
    assert_eq!(heard.json()["ips"][0]["version"], "4");
}

#[test]
fn a_refusal_keeps_the_agents_words() {
    let mut talk = Talk::new("refused", |_| {
        let body = json!({"apiVersion": 2, "message": "no pool has an IPv4 address for eth0",
            "code": 100, "reason": "NoAddress", "candidates": [{"pool": "blue", "verdict": "full"}]});
        Said::Json(500, body.to_string())
    });
    let heard = talk.say(&talk.add()).expect(100);
    assert!(heard.stdout.contains(r#"\"verdict\":\"full\""#), "{heard:?}");
    // Nothing was granted, so nothing is given back.
    assert_eq!(talk.calls().len(), 1);
}

#[test]
fn an_older_agents_refusal_is_to_be_tried_again() {
    let mut talk =
        Talk::new("refused-older", |_| Said::Json(500, r#""all IP addresses used out""#.into()));
    let heard = talk.say(&talk.add()).expect(11);
    assert_eq!(heard.json()["msg"], "all IP addresses used out");
    let mut talk = Talk::new("refused-400", |_| Said::Json(400, r#""wrong input""#.into()));
    talk.say(&talk.add()).expect(101);
}

#[test]
fn an_agent_that_is_away_is_named_by_its_path() {
    let mut talk = Talk::alone("away");
    let heard = talk.say(&talk.add()).expect(11);
    let path = talk.lab.path("agent.sock").display().to_string();
    assert!(heard.stdout.contains(&path) && heard.stdout.contains("spiderpool-agent runs"));
}

#[test]
fn a_pod_without_a_name_is_none() {
    let mut talk = Talk::new("nameless", |_| well(&json!({})));
    talk.say(&talk.add().args("IgnoreUnknown=1;K8S_POD_UID=u-1")).expect(4);
    assert_eq!(talk.calls(), Vec::<String>::new());
}

#[test]
fn an_add_without_an_answer_gives_back() {
    let mut asked = 0;
    let mut talk = Talk::new("unanswered", move |_| {
        asked += 1;
        if asked == 1 {
            Said::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())
        } else {
            well(&json!({}))
        }
    });
    talk.say(&talk.add()).expect(11);
    assert_eq!(talk.calls(), ["POST /v1/ipam/ip", "DELETE /v1/ipam/ips"]);
    let body = talk.body(1);
    assert_eq!((&body["containerID"], &body["ifName"]), (&json!("c1"), &json!("eth0")));
    assert_eq!(body.get("isReleaseConflictIPs"), None);
}

/// What is wrong with the rest of the configuration is noticed when the result is made.
#[test]
fn an_add_that_fails_after_its_grant_gives_back() {
    let mut talk = Talk::new("fails-after", |seen| {
        if seen.call.starts_with("POST") {
            well(&reply(&[ip("eth0", "10.6.0.10/24", 1)]))
        } else {
            well(&json!({}))
        }
    });
    talk.say(&talk.add().ipam("dns", json!({"nameservers": 7}))).expect(6);
    assert_eq!(talk.calls(), ["POST /v1/ipam/ip", "DELETE /v1/ipam/ips"]);
}

/// A fault that is cleared away by nobody is at least told.
#[test]
fn what_cannot_be_given_back_is_logged() {
    let mut talk = Talk::new("not-given-back", |seen| match seen.call.as_str() {
        "POST /v1/ipam/ip" => well(&reply(&[ip("net1", "10.6.0.10/24", 1)])),
        _ => Said::Json(522, r#""forbid releasing IPs for stateful workload""#.into()),
    });
    let heard = talk.say(&talk.add()).expect(5);
    assert!(heard.stdout.contains("no address for `eth0`; it has some for [net1]"), "{heard:?}");
    assert!(talk.lab.log().contains("static identity and keeps its addresses"));
}
