//! Ordinary pods: what they are given, keep, and give back.

use crate::room::{add, room, room_with};
use crate::world::{annotated, pod};
use serde_json::{Value, json};
use spiderpool_core::command::Command;
use spiderpool_core::definition::PoolDraft;
use std::time::Duration;

#[tokio::test]
async fn asking_twice_changes_nothing() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    let first = room.add("web", "u1", "c1").await;
    assert_eq!(first.addresses().len(), 1);
    assert_eq!(first.body["ips"][0]["kept"], Value::Null);
    let held = room.ledger.allocations();
    let again = room.add("web", "u1", "c1").await;
    assert_eq!(again.addresses(), first.addresses());
    assert_eq!((&again.body["ips"][0]["kept"], room.ledger.allocations()), (&json!(true), held));
    assert_eq!(room.measured("allocation_counts_total"), 2.0);
    assert_eq!(room.world.live_reads(), 0, "the watch knows the pod");
    room.close().await;
}

#[tokio::test]
async fn two_interfaces_at_once() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.ledger.pool("green", "10.7.0.0/24", "10.7.0.10-10.7.0.20");
    let pools =
        r#"[{"interface": "eth0", "ipv4": ["blue"]}, {"interface": "net1", "ipv4": ["green"]}]"#;
    room.world.runs(&annotated(pod("web", "u1"), &[("ipam.spidernet.io/ippools", pools)]));
    let first = room.add("web", "u1", "c1").await;
    assert_eq!(first.addresses().len(), 2, "all interfaces are granted at once");
    // Both of the pod's own ADDs come at the same moment.
    let (eth0, net1) = (add("web", "u1", "c1", "eth0"), add("web", "u1", "c1", "net1"));
    let (one, other) = tokio::join!(
        room.call("POST", "/v1/ipam/ip", &eth0),
        room.call("POST", "/v1/ipam/ip", &net1)
    );
    assert_eq!(one.addresses(), first.addresses());
    assert_eq!(other.addresses(), first.addresses());
    assert_eq!(room.ledger.allocations().len(), 2);
    let tickets: Vec<u64> = room
        .ledger
        .seen()
        .iter()
        .filter_map(|ask| {
            let Command::Allocate(request) = &ask.command else { return None };
            Some(request.ticket)
        })
        .collect();
    assert!(tickets.is_sorted_by(|a, b| a < b), "{tickets:?}");
    room.close().await;
}

#[tokio::test]
async fn patterns_name_pools() {
    let room = room();
    room.ledger.pool("blue-1", "10.6.0.0/24", "10.6.0.10");
    room.ledger.pool("blue-2", "10.6.1.0/24", "10.6.1.10");
    room.world.runs(&annotated(
        pod("web", "u1"),
        &[("ipam.spidernet.io/ippool", r#"{"ipv4": ["blue-*"]}"#)],
    ));
    room.world.runs(&annotated(
        pod("web2", "u2"),
        &[("ipam.spidernet.io/ippool", r#"{"ipv4": ["blue-[0-9]"]}"#)],
    ));
    assert_eq!(room.add("web", "u1", "c1").await.addresses(), ["eth0 10.6.0.10/24"]);
    assert_eq!(room.add("web2", "u2", "c2").await.addresses(), ["eth0 10.6.1.10/24"]);
    room.close().await;
}

#[tokio::test]
async fn sources_are_handed_on_as_they_are() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.ledger.pool("space", "10.8.0.0/24", "10.8.0.10-10.8.0.20");
    room.ledger.pool("own", "10.9.0.0/24", "10.9.0.10-10.9.0.20");
    room.world.annotate_namespace(&[("ipam.spidernet.io/default-ipv4-ippool", r#"["space"]"#)]);
    room.world.runs(&pod("a", "u1"));
    let own = [("ipam.spidernet.io/ippool", r#"{"ipv4": ["own"]}"#)];
    room.world.runs(&annotated(pod("b", "u2"), &own));
    assert_eq!(room.add("a", "u1", "c1").await.body["ips"][0]["ipPool"], "space");
    assert_eq!(room.add("b", "u2", "c2").await.body["ips"][0]["ipPool"], "own");
    room.close().await;
}

#[tokio::test]
async fn a_family_that_is_off_is_not_asked_for() {
    let room = room_with("enableIPv6: false\n");
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.ledger.pool("six", "fd00::/64", "fd00::10-fd00::20");
    let both = [("ipam.spidernet.io/ippool", r#"{"ipv4": ["blue"], "ipv6": ["six"]}"#)];
    room.world.runs(&annotated(pod("web", "u1"), &both));
    let told = room.add("web", "u1", "c1").await;
    assert_eq!(told.addresses().len(), 1);
    assert_eq!(told.body["ips"][0]["version"], 4);
    let six = [("ipam.spidernet.io/ippool", r#"{"ipv6": ["six"]}"#)];
    room.world.runs(&annotated(pod("alone", "u2"), &six));
    let told = room.add("alone", "u2", "c2").await;
    assert_eq!(told.body["code"], 100);
    let expected = "no address for IPv6 of eth0 among the pod's pools: \
                    six: the configuration switches IPv6 off";
    assert!(told.message().contains(expected), "{}", told.message());
    room.close().await;
}

#[tokio::test]
async fn default_pools_of_a_family_that_is_off_are_passed_over() {
    let room = room_with("enableIPv4: false\n");
    for (name, prefix, range) in
        [("four", "10.6.0.0/24", "10.6.0.10-10.6.0.20"), ("six", "fd00::/64", "fd00::10-fd00::20")]
    {
        let ranges = vec![range.into()];
        let (name, prefix) = (name.into(), prefix.into());
        room.ledger.define(PoolDraft {
            name,
            prefix,
            ranges,
            is_default: true,
            ..PoolDraft::default()
        });
    }
    room.world.runs(&pod("web", "u1"));
    let mut ask = add("web", "u1", "c1", "eth0");
    ask["defaultIPv4IPPool"] = json!([]);
    let told = room.call("POST", "/v1/ipam/ip", &ask).await;
    assert_eq!(told.addresses(), ["eth0 fd00::10/64"]);
    room.close().await;
}

#[tokio::test]
async fn a_sandbox_made_again_keeps_the_address() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    let first = room.add("web", "u1", "c1").await.addresses();
    // The sandbox dies; the pod lives on.
    assert_eq!(room.del("web", "u1", "c1").await.status, 200);
    assert_eq!(room.ledger.allocations().len(), 1, "kept");
    assert_eq!(room.add("web", "u1", "c2").await.addresses(), first);
    // Runtimes repeat the DEL of the dead one.
    room.world.vanishes("web");
    assert_eq!(room.del("web", "u1", "c1").await.status, 200);
    assert_eq!(room.ledger.allocations().len(), 1, "a late DEL frees nothing that lives");
    assert_eq!(room.del("web", "u1", "c2").await.status, 200);
    assert_eq!(room.ledger.allocations(), [""; 0]);
    room.close().await;
}

#[tokio::test]
async fn a_pod_that_goes_gives_back() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    for (name, change) in [
        ("told-to-go", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        ("finished", json!({"status": {"phase": "Succeeded"}})),
        ("evicted", json!({"status": {"phase": "Failed", "reason": "Evicted"}})),
    ] {
        let mut json = pod(name, name);
        room.world.runs(&json);
        room.add(name, name, name).await.addresses();
        for (part, fields) in change.as_object().unwrap() {
            for (field, value) in fields.as_object().unwrap() {
                json[part][field] = value.clone();
            }
        }
        room.world.runs_unheard(&json);
        assert_eq!(room.del(name, name, name).await.status, 200);
        assert_eq!(room.ledger.allocations(), [""; 0], "{name}");
    }
    room.close().await;
}

#[tokio::test]
async fn a_pod_of_the_same_name_is_another() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    room.add("web", "u1", "c1").await.addresses();
    // Deleted and made again, and the watch is late.
    room.world.runs_unheard(&pod("web", "u2"));
    let told = room.add("web", "u2", "c2").await;
    assert_eq!(
        (told.addresses().len(), room.world.live_reads()),
        (1, 1),
        "one more look, at the server"
    );
    let owners: Vec<_> = room.ledger.allocations();
    assert!(owners[0].starts_with("pod/u1") && owners[1].starts_with("pod/u2"), "{owners:?}");
    // The watch has caught up, and an ADD for the one that is gone comes late.
    room.world.runs(&pod("web", "u2"));
    let late = room.add("web", "u1", "c3").await;
    assert_eq!(late.status, 500);
    assert!(late.message().contains("is another one"), "{}", late.message());
    // The DEL of the first sandbox finds another pod alive, and frees its own.
    assert_eq!(room.del("web", "u1", "c1").await.status, 200);
    assert_eq!(room.ledger.allocations().len(), 1);
    room.close().await;
}

#[tokio::test]
async fn who_must_not_have_an_address_gets_none() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    let nobody = room.add("none", "u0", "c0").await;
    assert!(nobody.message().contains("there is no pod default/none"), "{}", nobody.message());
    let mut elsewhere = pod("far", "u1");
    elsewhere["spec"]["nodeName"] = json!("worker-2");
    room.world.runs(&elsewhere);
    let far = room.add("far", "u1", "c1").await;
    assert!(far.message().contains("belongs to node worker-2"), "{}", far.message());
    let mut done = pod("done", "u2");
    done["status"]["phase"] = json!("Failed");
    done["spec"]["restartPolicy"] = json!("Never");
    room.world.runs(&done);
    let done = room.add("done", "u2", "c2").await;
    assert!(done.message().contains("has finished"), "{}", done.message());
    assert_eq!(done.body["reason"], "Refused");
    assert_eq!(room.ledger.allocations(), [""; 0]);
    room.close().await;
}

#[tokio::test]
async fn a_refusal_shows_its_work() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10");
    room.world.runs(&pod("a", "u1"));
    room.world.runs(&pod("b", "u2"));
    room.add("a", "u1", "c1").await.addresses();
    let told = room.add("b", "u2", "c2").await;
    assert_eq!((told.status, &told.body["code"]), (500, &json!(100)));
    assert_eq!(told.body["reason"], "NoAddress");
    assert!(told.message().contains("blue: all its addresses are taken"), "{}", told.message());
    assert_eq!(told.body["candidates"]["demands"][0]["candidates"][0]["pool"], "blue");
    let events = room.events().await;
    assert_eq!((events.len(), events[0].0.as_str()), (1, "NoAddress"));
    assert!(events[0].1.contains("interface eth0") && events[0].1.contains("blue"), "{events:?}");
    assert_eq!(room.measured("allocation_err_ip_used_out_counts_total"), 1.0);
    room.close().await;
}

#[tokio::test]
async fn a_conflict_leads_to_another_address() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.40");
    room.world.runs(&pod("web", "u1"));
    let first = room.add("web", "u1", "c1").await;
    let ip = &first.body["ips"][0];
    let address = ip["address"].as_str().unwrap().split('/').next().unwrap();
    let report = json!({
        "containerID": "c1", "ifName": "eth0", "podNamespace": "default", "podName": "web",
        "podUID": "u1", "space": ip["space"], "address": address, "generation": ip["generation"],
        "mac": "02:00:00:00:00:07", "apiVersion": 2,
    });
    let told = room.call("POST", "/v1/ipam/conflict", &report).await;
    assert_eq!((told.status, &told.body["outcome"]), (200, &json!("Quarantined")));
    let again = room.call("POST", "/v1/ipam/conflict", &report).await;
    assert_eq!(again.body["outcome"], "Gone");
    let second = room.add("web", "u1", "c1").await;
    assert_ne!(second.addresses(), first.addresses());
    let events = room.events().await;
    assert!(events[0].1.contains("ip conflict: ") && events[0].1.contains("02:00:00:00:00:07"));
    room.close().await;
}

#[tokio::test]
async fn a_failed_add_gives_back_although_the_pod_lives() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    room.add("web", "u1", "c1").await.addresses();
    let told = room.call("DELETE", "/v1/ipam/ips", &add("web", "u1", "c1", "eth0")).await;
    assert_eq!((told.status, room.ledger.allocations().len()), (200, 0));
    // The runtime tries again with the same sandbox.
    assert_eq!(room.add("web", "u1", "c1").await.addresses().len(), 1);
    room.close().await;
}

#[tokio::test]
async fn check_and_gc_see_what_is_held() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    for at in ["1", "2"] {
        room.world.runs(&pod(&format!("web{at}"), &format!("u{at}")));
        room.add(&format!("web{at}"), &format!("u{at}"), &format!("c{at}")).await.addresses();
    }
    let check = json!({"containerID": "c1", "ifName": "eth0", "apiVersion": 2});
    let told = room.call("POST", "/v1/ipam/check", &check).await;
    assert_eq!(told.addresses().len(), 1);
    let other = json!({"containerID": "c1", "ifName": "net1", "apiVersion": 2});
    assert_eq!(room.call("POST", "/v1/ipam/check", &other).await.addresses(), [""; 0]);
    let gc = json!({"networkName": "blue-net", "apiVersion": 2,
        "validAttachments": [{"containerID": "c2", "ifName": "eth0"}]});
    let told = room.call("POST", "/v1/ipam/gc", &gc).await;
    assert_eq!(told.body["freed"][0]["owner"], "pod/u1");
    assert_eq!(room.ledger.allocations().len(), 1);
    room.close().await;
}

#[tokio::test]
async fn status_says_what_lacks() {
    let room = room();
    room.world.knows_pool("blue");
    let told =
        room.call("GET", "/v1/ipam/status?apiVersion=2&pool=blue&pool=red", &Value::Null).await;
    assert_eq!((told.status, &told.body["missingPools"]), (200, &json!(["red"])));
    assert_eq!(room.call("GET", "/v1/ipam/healthy", &Value::Null).await.status, 200);
    room.health.set(spiderpool_agent::health::Part::Server, Err("connection refused".to_owned()));
    let told = room.call("GET", "/v1/ipam/status?apiVersion=2", &Value::Null).await;
    assert_eq!((told.status, &told.body["code"]), (500, &json!(50)));
    assert!(told.message().contains("the API server: connection refused"));
    assert_eq!(room.call("GET", "/v1/ipam/healthy", &Value::Null).await.status, 500);
    room.close().await;
}

#[tokio::test]
async fn a_cluster_that_is_away_is_told() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    room.add("web", "u1", "c1").await.addresses();
    room.world.set_away(true);
    let told = room.del("web", "u1", "c1").await;
    assert_eq!((told.status, &told.body["code"]), (500, &json!(11)));
    assert_eq!(room.ledger.allocations().len(), 1, "nothing is given away unseen");
    room.close().await;
}

#[tokio::test]
async fn a_change_of_the_configuration_is_in_force() {
    let mut room = room_with("enableIPConflictDetection: false\n");
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    let before = room.add("web", "u1", "c1").await;
    assert_eq!(before.body["ips"][0]["enableIPConflictDetection"], Value::Null);
    std::fs::write(&room.conf, "enableIPConflictDetection: true\nenableGatewayDetection: true\n")
        .unwrap();
    room.watched.look();
    let after = room.add("web", "u1", "c1").await;
    let ip = &after.body["ips"][0];
    assert_eq!(ip["enableIPConflictDetection"], true);
    assert_eq!(ip["enableGatewayDetection"], true);
    room.close().await;
}

#[tokio::test]
async fn requests_under_way_are_answered_at_the_end() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    room.ledger.slow_down(Duration::from_millis(300));
    let asked = room.add("web", "u1", "c1");
    let closing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        room.begin_to_close();
    };
    let (told, ()) = tokio::join!(asked, closing);
    assert_eq!(told.addresses().len(), 1);
    room.close().await;
}

#[tokio::test]
async fn a_verb_waits_no_longer_than_its_plugin() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    room.ledger.slow_down(Duration::from_secs(2));
    let mut hasty = add("web", "u1", "c1", "eth0");
    hasty["deadlineMs"] = json!(500);
    let asked = add("web", "u1", "c1", "eth0");
    let first = room.call("POST", "/v1/ipam/ip", &asked);
    let second = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        room.call("POST", "/v1/ipam/ip", &hasty).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.addresses().len(), 1);
    assert_eq!(second.body["reason"], "TooLate");
    room.close().await;
}
