//! Plugins that are older than the agent: the reference's, which name no version.

use crate::room::room;
use crate::world::{pod, replica};
use serde_json::{Value, json};

fn args(pod: &str, uid: &str, container: &str) -> Value {
    json!({
        "containerID": container, "ifName": "eth0", "netNamespace": "/run/netns/x",
        "podNamespace": "default", "podName": pod, "podUID": uid,
        "defaultIPv4IPPool": ["blue"], "defaultIPv6IPPool": null, "cleanGateway": false,
    })
}

#[tokio::test]
async fn an_older_plugin_is_understood() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10");
    room.world.runs(&pod("web", "u1"));
    room.world.runs(&pod("web2", "u2"));
    assert_eq!(room.call("GET", "/v1/ipam/healthy", &Value::Null).await.status, 200);
    let told = room.call("POST", "/v1/ipam/ip", &args("web", "u1", "c1")).await;
    assert_eq!(told.addresses(), ["eth0 10.6.0.10/24"]);
    assert_eq!(told.body["ips"][0]["version"], 4);
    // Its errors are JSON strings.
    let refused = room.call("POST", "/v1/ipam/ip", &args("web2", "u2", "c2")).await;
    assert_eq!(refused.status, 500);
    assert!(refused.body.as_str().unwrap().contains("all its addresses are taken"));
    assert_eq!(room.call("POST", "/v1/ipam/ips", &Value::Null).await.status, 200);
    // It gives back everything of the pod, whatever the interface.
    let mut batch = args("web", "u1", "c1");
    batch["ifName"] = json!("net9");
    assert_eq!(room.call("DELETE", "/v1/ipam/ips", &batch).await.status, 200);
    assert_eq!(room.ledger.allocations(), [""; 0]);
    room.close().await;
}

#[tokio::test]
async fn an_older_plugin_takes_no_address_from_a_static_identity() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10");
    room.world.runs(&replica(pod("db-0", "u1"), "db"));
    room.call("POST", "/v1/ipam/ip", &args("db-0", "u1", "c1")).await.addresses();
    let told = room.call("DELETE", "/v1/ipam/ips", &args("db-0", "u1", "c1")).await;
    assert_eq!(told.status, 522);
    assert!(told.body.as_str().unwrap().contains("forbid releasing IPs for stateful workload"));
    room.close().await;
}
