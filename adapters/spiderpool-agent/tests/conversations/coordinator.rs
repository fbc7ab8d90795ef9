//! What the coordinator and the VLAN plugin ask.

use crate::room::room;
use crate::world::{annotated, pod};
use serde_json::{Value, json};

#[tokio::test]
async fn the_cluster_is_told_in_body_or_query() {
    let room = room();
    room.world.has_coordinator(json!({
        "metadata": {"name": "default"}, "spec": {"mode": "auto", "hostRuleTable": 500},
        "status": {"phase": "Synced", "overlayPodCIDR": ["10.244.0.0/16"]},
    }));
    room.world
        .runs(&annotated(pod("web", "u1"), &[("ipam.spidernet.io/default-route-nic", "net1")]));
    let body = json!({"podNamespace": "default", "podName": "web"});
    let in_body = room.call("GET", "/v1/coordinator/config", &body).await;
    assert_eq!(in_body.body["podDefaultRouteNIC"], "net1");
    assert_eq!(in_body.body["serviceCIDR"], json!([]), "never null");
    let target = "/v1/coordinator/config?podNamespace=default&podName=web";
    assert_eq!(room.call("GET", target, &Value::Null).await, in_body);
    let nobody = json!({"podNamespace": "default", "podName": "none"});
    assert_eq!(room.call("GET", "/v1/coordinator/config", &nobody).await.status, 500);
    assert_eq!(room.call("GET", "/v1/coordinator/config", &Value::Null).await.status, 400);
    room.close().await;
}

#[tokio::test]
async fn an_endpoint_is_told() {
    let room = room();
    room.world.has_endpoint(
        "web",
        json!({"status": {"current": {"ips": [{"interface": "eth0", "ipv4": "10.6.0.1/24", "vlan": 0}]}}}),
    );
    let told = room
        .call("GET", "/v1/workloadendpoint?podNamespace=default&podName=web", &Value::Null)
        .await;
    assert_eq!(told.body["interfaces"], json!([{"interface": "eth0", "ipv4": "10.6.0.1/24"}]));
    let none = "/v1/workloadendpoint?podNamespace=default&podName=none";
    assert_eq!(room.call("GET", none, &Value::Null).await.status, 404);
    assert_eq!(room.call("GET", "/v1/workloadendpoint", &Value::Null).await.status, 400);
    room.close().await;
}
