//! What agents do all day, request by request: nothing of it may be refused.
//!
//! Two nodes share a block. Every write is a merge patch of what differs, at the revision that was read,
//! as the protocol sends it.

use crate::room::{API, create, held, judge, merge, quarantined, replace, resting, shared};
use serde_json::{Value, json};
use spiderpool_kube_lab::Identity;

/// Reads a block, changes slots and counters, and writes the difference.
fn step(what: &str, who: &Identity, path: &str, events: u64, slots: &Value) -> Value {
    let read = who.call("GET", path, None).unwrap();
    let mut after = read.clone();
    let spec = &mut after["spec"];
    let highest =
        slots.as_object().unwrap().values().filter_map(|slot| slot["generation"].as_u64());
    let highest = highest.chain(spec["generation"].as_u64()).max();
    spec["commits"] = json!(spec["commits"].as_u64().unwrap() + events);
    spec["generation"] = json!(highest);
    for (slot, state) in slots.as_object().unwrap() {
        spec["slots"].as_object_mut().unwrap().remove(slot);
        if !state.is_null() {
            spec["slots"][slot] = state.clone();
        }
    }
    judge(what, &replace(who, path, &read, &after), Ok(()));
    after
}

fn detached(owner: &str, node: &str, generation: u64) -> Value {
    let mut slot = held(node, owner, generation);
    let bare = json!({ "podUID": null, "containerID": null, "network": null, "stage": "Detached" });
    merge(&mut slot, &bare);
    slot
}

/// The shard of the index that lists one block.
fn shard(block: &str) -> Value {
    let entry = json!({ "incarnation": "0123456789abcdef", "full": false });
    let blocks = json!({ block.rsplit('.').next().unwrap(): entry });
    json!({ "metadata": { "name": "default.4.script" }, "spec": {
        "format": 1, "space": "default", "ipVersion": 4, "first": "10.0.0.0", "blocks": blocks,
    } })
}

/// The endpoint of the static identity: it names a slot, and grants nothing.
fn endpoint(address: &str) -> Value {
    let slots = json!([{ "interface": "eth0", "space": "default", "address": address }]);
    json!({
        "metadata": {
            "name": "db-0", "labels": { "ipam.spidernet.io/node": "b" },
            "finalizers": ["spiderpool.spidernet.io"],
        },
        "status": {
            "current": { "uid": "u", "node": "b", "ips": [] }, "slots": slots,
            "ownerControllerType": "StatefulSet", "ownerControllerName": "db",
        },
    })
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_days_work_of_two_agents_is_accepted() {
    let room = shared();
    let (a, b) = (&room.agent_a, &room.agent_b);
    let (name, first) = room.place();
    let path = format!("{API}/spiderblocks/{name}");
    let (db, web) = ("identity/shop/db-0", "pod/0a1b");

    // The first pod of the block, and the index.
    let spec = json!({ "generation": 1, "slots": { "0": held("a", web, 1) } });
    create(a, &format!("{API}/spiderblocks"), &room.block_named(&name, &first, &spec));
    create(a, &format!("{API}/spiderblockindexes"), &shard(&name));

    // The other node comes, with a static identity: its endpoint first, then the block.
    let endpoints = format!("{API}/namespaces/default/spiderendpoints");
    create(b, &endpoints, &endpoint(&first));
    step("b: an identity", b, &path, 1, &json!({ "1": held("b", db, 2) }));

    // Ahead, attached, another sandbox, found in conflict, allocated elsewhere.
    let mut ahead = held("a", web, 3);
    merge(&mut ahead, &json!({ "stage": "Ahead", "network": null, "interface": "net1" }));
    step("a: ahead", a, &path, 1, &json!({ "2": ahead }));
    let mut attached = held("a", web, 3);
    attached["interface"] = json!("net1");
    step("a: attached", a, &path, 1, &json!({ "2": attached }));
    step(
        "a: another sandbox",
        a,
        &path,
        2,
        &json!({ "0": held("a", web, 4), "2": held("a", web, 5) }),
    );
    step("a: conflict", a, &path, 1, &json!({ "2": quarantined() }));
    step(
        "a: released, another pod comes",
        a,
        &path,
        2,
        &json!({ "0": null, "3": held("a", "pod/2", 6) }),
    );
    step("a: released to rest", a, &path, 1, &json!({ "3": resting() }));
    step("b: after the rest", b, &path, 1, &json!({ "3": held("b", "pod/3", 7) }));
    let mut tried = held("b", "pod/4", 8);
    tried["pastQuarantines"] = json!(1);
    step("b: after the quarantine", b, &path, 1, &json!({ "2": tried }));

    // The identity's pod ends on b and begins on a, then in another pool.
    step("b: the pod ends", b, &path, 1, &json!({ "1": detached(db, "b", 9) }));
    step("a: the identity comes", a, &path, 1, &json!({ "1": held("a", db, 10) }));
    let to_a = json!({
        "metadata": { "labels": { "ipam.spidernet.io/node": "a" } },
        "status": { "current": { "node": "a" } },
    });
    let path_of_db = format!("{endpoints}/db-0");
    judge("a: its endpoint", &a.send("PATCH", &path_of_db, Some(&to_a)).unwrap(), Ok(()));
    step("b: hold the new", b, &path, 1, &json!({ "4": held("b", db, 11) }));
    let repoint = json!({ "status": { "slots": [] } });
    judge("b: repoint", &b.send("PATCH", &path_of_db, Some(&repoint)).unwrap(), Ok(()));
    let after = step(
        "b: free the old, give it out again",
        b,
        &path,
        2,
        &json!({ "1": held("b", "pod/5", 12) }),
    );

    let read = a.call("GET", &path, None).unwrap();
    assert_eq!(read["spec"], after["spec"], "all of it is there");
    assert_eq!(read["spec"]["commits"], json!(17));
}
