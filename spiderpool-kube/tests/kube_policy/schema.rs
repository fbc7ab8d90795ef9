//! What the policies hold fast where the schemas of the definitions do not: both do, and the schema is
//! asked first.

use crate::room::{API, Room, create, eventually, judge, merge};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Takes the rules about changes out of a definition.
fn loosen(room: &Room, plural: &str) {
    let admin = room.cluster.admin();
    let path = format!("{DEFINITIONS}/{plural}.spiderpool.spidernet.io");
    let mut versions = admin.call("GET", &path, None).unwrap()["spec"]["versions"].clone();
    for version in versions.as_array_mut().unwrap() {
        let spec = version.pointer_mut("/schema/openAPIV3Schema/properties/spec").unwrap();
        spec.as_object_mut().unwrap().remove("x-kubernetes-validations");
    }
    admin.call("PATCH", &path, Some(&json!({ "spec": { "versions": versions } }))).unwrap();
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_is_held_where_the_schema_is_not() {
    let room = Room::open();
    ["spiderblocks", "spiderblockindexes"].into_iter().for_each(|plural| loosen(&room, plural));
    let fixed = "incarnation of a block cannot change; read the block again";
    let blocks = [
        json!({ "first": "10.9.9.0" }),
        json!({ "size": 32 }),
        json!({ "space": "red" }),
        json!({ "ipVersion": 6 }),
    ];
    for mut spec in blocks {
        merge(&mut spec, &json!({ "commits": 2 }));
        let patch = json!({ "spec": spec });
        // The schema goes with a delay; until then it is the one who refuses.
        eventually("the policy refuses", || {
            let (path, _) = room.stand(&json!({}));
            let reply = room.agent_a.send("PATCH", &path, Some(&patch)).unwrap();
            if reply.text.contains(fixed) { Ok(()) } else { Err(reply.text) }
        });
    }
    let (path, _) = room.stand(&json!({ "generation": 5 }));
    let falling = json!({ "spec": { "generation": 4, "commits": 9 } });
    let reply = room.agent_a.send("PATCH", &path, Some(&falling)).unwrap();
    judge("a falling generation", &reply, Err("generation never falls"));
    let entry = json!({ "incarnation": "0123456789abcdef", "full": false });
    let shards = format!("{API}/spiderblockindexes");
    let shard = json!({ "metadata": { "name": "default.4.0a000000" }, "spec": {
        "format": 1, "space": "default", "ipVersion": 4, "first": "10.0.0.0",
        "blocks": { "0a000000": entry, "0a000040": entry },
    } });
    create(&room.agent_a, &shards, &shard);
    let path = format!("{shards}/default.4.0a000000");
    let write =
        |spec: &Value| room.agent_a.send("PATCH", &path, Some(&json!({ "spec": spec }))).unwrap();
    eventually("the policy refuses", || {
        let reply = write(&json!({ "space": "red" }));
        let is_ours = reply.text.contains("first of an index cannot change");
        if is_ours { Ok(()) } else { Err(reply.text) }
    });
    let kept = Err("entries of the index are never taken out: keep 0a000000");
    judge("an entry", &write(&json!({ "blocks": { "0a000000": null } })), kept);
    judge("a later format", &write(&json!({ "format": 2 })), Err("format 1 only"));
    judge("nothing", &write(&json!({ "blocks": { "0a000040": { "full": true } } })), Ok(()));
}
