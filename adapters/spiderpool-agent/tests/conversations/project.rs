//! What is shown of the node's pods.

use crate::room::{Room, add, room};
use crate::world::{annotated, pod};
use serde_json::json;
use spiderpool_agent::duty::project::Scribe;
use spiderpool_core::name::Name;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

fn scribe(room: &Room) -> Scribe {
    Scribe {
        node: Name::new("worker-1").unwrap(),
        facts: Arc::clone(&room.world) as _,
        store: Arc::clone(&room.ledger) as _,
        endpoints: Arc::clone(&room.world) as _,
        outbox: Arc::clone(&room.outbox),
        conf: room.watched.present(),
    }
}

/// A moment that is so many seconds from now.
fn later(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap() + seconds * 1_000
}

#[tokio::test]
async fn an_endpoint_follows_its_pod() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10");
    room.ledger.pool("green", "10.7.0.0/24", "10.7.0.10");
    let pools =
        r#"[{"interface": "eth0", "ipv4": ["blue"]}, {"interface": "net1", "ipv4": ["green"]}]"#;
    let mut json = annotated(pod("web", "u1"), &[("ipam.spidernet.io/ippools", pools)]);
    json["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": "web-1", "uid": "r1", "controller": true}]);
    room.world.runs(&json);
    room.world.has_object("ReplicaSet", "web-1", json!({"metadata": {"uid": "r1", "ownerReferences":
        [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d1", "controller": true}]}}));
    let scribe = scribe(&room);
    for nic in ["eth0", "net1"] {
        room.call("POST", "/v1/ipam/ip", &add("web", "u1", "c1", nic)).await.addresses();
    }
    assert_eq!(scribe.round(later(0)).await, 0, "others may come");
    assert_eq!(scribe.round(later(1)).await, 1);
    let (endpoint, writes) = room.world.endpoint_of("web");
    let status = &endpoint.unwrap()["status"];
    assert_eq!(writes, 1);
    assert_eq!(
        (&status["ownerControllerType"], &status["ownerControllerName"]),
        (&json!("Deployment"), &json!("web"))
    );
    let ips = status["current"]["ips"].as_array().unwrap();
    let told: Vec<_> = ips.iter().map(|ip| (ip["interface"].clone(), ip["ipv4"].clone())).collect();
    assert_eq!(
        told,
        [(json!("eth0"), json!("10.6.0.10/24")), (json!("net1"), json!("10.7.0.10/24"))]
    );
    // Asked again, nothing differs, and nothing is written.
    room.call("POST", "/v1/ipam/ip", &add("web", "u1", "c1", "eth0")).await.addresses();
    assert_eq!((scribe.round(later(9)).await, room.world.endpoint_of("web").1), (1, 1));
    room.close().await;
}

#[tokio::test]
async fn a_pod_that_is_gone_has_no_endpoint() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10");
    room.world.runs(&pod("web", "u1"));
    let scribe = scribe(&room);
    room.add("web", "u1", "c1").await.addresses();
    room.world.is_gone("web");
    assert_eq!(scribe.round(later(1)).await, 0);
    assert_eq!(room.world.endpoint_of("web"), (None, 0));
    assert_eq!(scribe.round(later(99)).await, 0, "it is forgotten");
    room.close().await;
}
