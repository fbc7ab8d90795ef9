//! Static identities: replicas of a `StatefulSet`, and virtual machines.

use crate::room::{add, room, room_with};
use crate::world::{annotated, pod, replica};
use serde_json::json;

const POOL: &str = "10.6.0.10-10.6.0.20";

#[tokio::test]
async fn a_replica_made_again_has_its_address() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", POOL);
    room.world.runs(&replica(pod("db-0", "u1"), "db"));
    let first = room.add("db-0", "u1", "c1").await.addresses();
    let asked = room.ledger.seen();
    let endpoint = asked[0].endpoint.as_ref().unwrap();
    assert_eq!(
        (endpoint.key.to_string().as_str(), endpoint.owner_kind.as_str()),
        ("default/db-0", "StatefulSet")
    );
    // The pod is deleted, and another of its name comes.
    room.world.vanishes("db-0");
    assert_eq!(room.del("db-0", "u1", "c1").await.status, 200);
    assert_eq!(room.ledger.allocations().len(), 1, "the identity keeps its address");
    room.world.runs(&replica(pod("db-0", "u2"), "db"));
    assert_eq!(room.add("db-0", "u2", "c2").await.addresses(), first);
    // A late DEL of the first sandbox changes nothing.
    assert_eq!(room.del("db-0", "u1", "c1").await.status, 200);
    let held = room.ledger.allocations();
    assert!(held[0].starts_with("identity/default/db-0 eth0 c2"), "{held:?}");
    room.close().await;
}

#[tokio::test]
async fn a_replica_is_ordinary_when_that_is_switched_off() {
    let room = room_with("enableStatefulSet: false\n");
    room.ledger.pool("blue", "10.6.0.0/24", POOL);
    room.world.runs(&replica(pod("db-0", "u1"), "db"));
    room.add("db-0", "u1", "c1").await.addresses();
    assert!(room.ledger.allocations()[0].starts_with("pod/u1"));
    assert!(room.ledger.seen()[0].endpoint.is_none());
    room.close().await;
}

#[tokio::test]
async fn a_static_identity_keeps_a_conflicting_address() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", POOL);
    room.world.runs(&replica(pod("db-0", "u1"), "db"));
    let first = room.add("db-0", "u1", "c1").await;
    let ip = &first.body["ips"][0];
    let report = json!({
        "containerID": "c1", "ifName": "eth0", "space": ip["space"], "generation": ip["generation"],
        "address": ip["address"].as_str().unwrap().split('/').next(), "mac": "02:00:00:00:00:07",
        "podNamespace": "default", "podName": "db-0", "podUID": "u1", "apiVersion": 2,
    });
    let told = room.call("POST", "/v1/ipam/conflict", &report).await;
    assert_eq!(told.body["outcome"], "Static", "{}", told.body);
    // Whatever the plugin says, the guard is on this side.
    for flag in [false, true] {
        let mut args = add("db-0", "u1", "c1", "eth0");
        args["isReleaseConflictIPs"] = json!(flag);
        let told = room.call("DELETE", "/v1/ipam/ips", &args).await;
        assert_eq!((told.status, &told.body["reason"]), (522, &json!("Forbidden")));
        assert!(told.message().contains("forbid releasing IPs for stateful workload"));
    }
    assert_eq!(room.ledger.allocations().len(), 1);
    room.close().await;
}

#[tokio::test]
async fn a_machine_that_moves_is_not_probed_for() {
    let room = room_with("enableIPConflictDetection: true\n");
    room.ledger.pool("blue", "10.6.0.0/24", POOL);
    let machine = |name: &str, uid: &str| {
        let mut pod = pod(name, uid);
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance", "name": "vm", "uid": "v", "controller": true}]);
        pod
    };
    room.world.runs(&machine("launcher-a", "u1"));
    let first = room.add("launcher-a", "u1", "c1").await;
    assert_eq!(first.body["ips"][0]["enableIPConflictDetection"], true);
    let moved = annotated(machine("launcher-b", "u2"), &[("kubevirt.io/migrationJobName", "job")]);
    room.world.runs(&moved);
    room.world.has_object("VirtualMachineInstanceMigration", "job", json!({}));
    let target = room.add("launcher-b", "u2", "c2").await;
    assert_eq!(target.addresses(), first.addresses(), "the machine keeps its address");
    assert_eq!(target.body["ips"][0]["enableIPConflictDetection"], json!(null));
    room.close().await;
}
