//! List T: pods and workloads that objects of other projects control.

use crate::pod::{Pod, addresses, pools, routes};
use crate::room::{NODES, create, eventually};
use crate::seen::{GROUP, endpoint, slots_in};
use crate::stage::{IPPOOL, Pool, Stage, v4};
use serde_json::{Value, json};

/// A kind of another project's, whose objects make pods.
pub(crate) fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "databases.lists.example"},
        "spec": {
            "group": "lists.example", "scope": "Namespaced",
            "names": {"plural": "databases", "singular": "database", "kind": "Database"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// An object of that kind, and the reference of what it controls.
fn database(stage: &Stage) -> Value {
    let path = format!("/apis/lists.example/v1/namespaces/{}/databases", stage.namespace);
    let object = json!({
        "apiVersion": "lists.example/v1", "kind": "Database", "metadata": {"name": "redis"},
    });
    let made = create(&path, &object);
    json!([{
        "apiVersion": "lists.example/v1", "kind": "Database", "name": "redis", "controller": true,
        "uid": made["metadata"]["uid"],
    }])
}

fn owned(stage: &Stage, name: &str, pool: &Pool) -> Pod {
    let notes = [(IPPOOL, v4(&[pool]).to_string())];
    stage.pod_with(name, NODES[0], &notes, &json!({"ownerReferences": database(stage)}))
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn t00001_a_pod_of_a_custom_resource() {
    let stage = Stage::open("t00001");
    let pool = stage.pool("blue", 4);
    let pod = owned(&stage, "redis-a", &pool);
    assert_eq!(pools(&pod.add("eth0"), "eth0"), std::slice::from_ref(&pool.name));
    let status = endpoint(&pod)["status"].clone();
    assert_eq!(
        (&status["ownerControllerType"], &status["ownerControllerName"]),
        (&json!("Database"), &json!("redis"))
    );
    stage.end(&pod);
    assert!(slots_in(&pool.name).is_empty(), "an ordinary pod's address ends with it");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn t00002_a_pod_of_a_custom_resource_in_a_subnet() {
    let stage = Stage::open("t00002");
    let pool = stage.prefix("blue", 4);
    let gateway = format!("{}1", pool.base);
    let subnet = json!({
        "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderSubnet",
        "metadata": {"name": "t00002"},
        "spec": {"subnet": pool.subnet, "ips": [format!("{0}10-{0}99", pool.base)], "gateway": gateway},
    });
    create(&format!("{GROUP}/spidersubnets"), &subnet);
    let pool = stage.fill(pool, 2, &json!({}));
    let pod = owned(&stage, "redis-a", &pool);
    eventually("the gateway of the subnet", || {
        (routes(&pod.add("eth0"), "eth0") == [format!("0.0.0.0/0 via {gateway}")]).then_some(())
    });
    // A pool that the application would have for its own is refused.
    let notes = [("ipam.spidernet.io/subnet", json!({"ipv4": ["t00002"]}).to_string())];
    let other = stage.pod("redis-b", &notes);
    other.refused("eth0", "pools made for an application come later");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn t00003_a_stateful_set_of_a_custom_resource() {
    let mut stage = Stage::open("t00003");
    let pool = stage.pool("blue", 4);
    let owners = database(&stage);
    stage.workload("statefulsets", "db", 1, &[(IPPOOL, v4(&[&pool]).to_string())]);
    let path = format!("{}/db", stage.workloads("statefulsets"));
    crate::room::patch(&path, &json!({"metadata": {"ownerReferences": owners}}));
    stage.settle("a replica", 1, |_, _| true);
    let (pod, replies) = stage.named("db-0").clone();
    let status = endpoint(&pod)["status"].clone();
    assert_eq!(
        (&status["ownerControllerType"], &status["ownerControllerName"]),
        (&json!("StatefulSet"), &json!("db"))
    );
    assert_eq!(slots_in(&pool.name)[0].owner, "identity/t00003/db-0");
    stage.end(&pod);
    stage.settle("it is made again", 1, |again, _| again.uid != pod.uid);
    assert_eq!(addresses(&stage.named("db-0").1[0], "eth0"), addresses(&replies[0], "eth0"));
}
