//! Who writes blocks, the index and the ledger at all.

use crate::room::{API, Expected, judge, post, shared};
use serde_json::{Value, json};

const ALONE: &str = "are written by Spiderpool alone, not by mallory; use spiderpoolctl";

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn only_spiderpool_and_operators_write_blocks() {
    let room = shared();
    let blocks = format!("{API}/spiderblocks");
    let more = json!({ "spec": { "commits": 2 } });
    let writers = [
        ("an agent", &room.agent_a, Ok(())),
        ("the controller", &room.controller, Ok(())),
        ("an operator", &room.operator, Ok(())),
        ("the administrator", room.cluster.admin(), Ok(())),
        ("somebody else", &room.stranger, Err(ALONE)),
    ];
    for (what, who, expected) in writers {
        let (name, first) = room.place();
        let block = room.block_named(&name, &first, &json!({}));
        judge(what, &post(who, &blocks, &block), expected);
        let (path, _) = room.stand(&json!({}));
        judge(what, &who.send("PATCH", &path, Some(&more)).unwrap(), expected);
    }
    // What changes no content is open to whoever has the right: storage migration, a label.
    let (path, _) = room.stand(&json!({}));
    let label = json!({ "metadata": { "labels": { "seen": "yes" } } });
    judge("a label", &room.stranger.send("PATCH", &path, Some(&label)).unwrap(), Ok(()));
    let same = room.operator.call("GET", &path, None).unwrap();
    judge("the same", &room.stranger.send("PUT", &path, Some(&same)).unwrap(), Ok(()));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn only_the_controller_and_operators_delete_blocks() {
    let room = shared();
    let kept = "spiderblocks are not deleted: pods that hold an address of it would lose it";
    let deleters = [
        ("the controller", &room.controller, Ok(())),
        ("an operator", &room.operator, Ok(())),
        ("somebody else", &room.stranger, Err(kept)),
    ];
    for (what, who, expected) in deleters {
        let (path, _) = room.stand(&json!({}));
        judge(what, &who.send("DELETE", &path, None).unwrap(), expected);
    }
    // An agent's role has no such verb: it is refused before any policy is asked.
    let (path, _) = room.stand(&json!({}));
    let reply = room.agent_a.send("DELETE", &path, None).unwrap();
    assert!(reply.status == 403 && reply.text.contains("cannot delete resource"), "{}", reply.text);
    // Nor can it take its finalizer off, which is all that keeps a block that was deleted.
    room.operator.call("DELETE", &path, None).unwrap();
    let off = json!({ "metadata": { "finalizers": null }, "spec": { "commits": 2 } });
    let last = Err("a finalizer goes last and is taken off by the controller");
    judge("an agent", &room.agent_a.send("PATCH", &path, Some(&off)).unwrap(), last);
    let off = json!({ "metadata": { "finalizers": null } });
    judge("somebody", &room.stranger.send("PATCH", &path, Some(&off)).unwrap(), last);
    judge("the controller", &room.controller.send("PATCH", &path, Some(&off)).unwrap(), Ok(()));
    assert_eq!(room.operator.send("GET", &path, None).unwrap().status, 404, "and then it is gone");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_block_goes_with_nobody_else() {
    let room = shared();
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": "a", "uid": "0a1b" }]);
    let (name, first) = room.place();
    let block = room.block_named(&name, &first, &json!({}));
    let blocks = format!("{API}/spiderblocks");
    let make = |what: &str, metadata: Value, expected: Expected| {
        let mut block = block.clone();
        crate::room::merge(&mut block["metadata"], &metadata);
        judge(what, &post(&room.agent_a, &blocks, &block), expected);
    };
    let bare = "made with the finalizer `spiderpool.spidernet.io`";
    make("without finalizer", json!({ "finalizers": null }), Err(bare));
    let alone = "it belongs to no other object";
    make("with an owner", json!({ "ownerReferences": owner }), Err(alone));
    let (path, _) = room.stand(&json!({}));
    let give = json!({ "metadata": { "ownerReferences": owner }, "spec": { "commits": 2 } });
    judge("an owner later", &room.agent_a.send("PATCH", &path, Some(&give)).unwrap(), Err(alone));
}
