//! What an agent may say in the index and in the ledger.

use crate::room::{API, Expected, create, judge, merge, replace, shared};
use serde_json::{Value, json};
use spiderpool_kube_lab::Identity;
use std::sync::{Mutex, PoisonError};

const HERE: &str = "0123456789abcdef";

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_index_only_grows() {
    let room = shared();
    let entry = |incarnation: &str, full: bool| json!({ "incarnation": incarnation, "full": full });
    let shards = format!("{API}/spiderblockindexes");
    let shard = |name: &str| {
        json!({ "metadata": { "name": name }, "spec": {
            "format": 1, "space": "default", "ipVersion": 4, "first": "10.0.0.0",
            "blocks": { "0a000000": entry(HERE, false), "0a000040": entry(HERE, false) },
        } })
    };
    let patches = [
        ("a block is listed", json!({ "blocks": { "0a000080": entry(HERE, false) } }), Ok(())),
        ("a block is full", json!({ "blocks": { "0a000000": { "full": true } } }), Ok(())),
        ("rebuilt", json!({ "blocks": { "0a000000": entry("00000000000000ff", false) } }), Ok(())),
    ];
    for (at, (what, patch, expected)) in patches.into_iter().enumerate() {
        let name = format!("default.4.0a0{at}0000");
        create(&room.agent_a, &shards, &shard(&name));
        let patch = json!({ "spec": patch });
        let reply = room.agent_b.send("PATCH", &format!("{shards}/{name}"), Some(&patch)).unwrap();
        judge(what, &reply, expected);
    }
    // The schema refuses some of these to everybody; what counts is that an agent is refused.
    create(&room.agent_a, &shards, &shard("default.4.0b000000"));
    let path = format!("{shards}/default.4.0b000000");
    let refused = [
        json!({ "blocks": { "0a000000": null } }),
        json!({ "blocks": null }),
        json!({ "format": 2 }),
        json!({ "first": "10.1.0.0" }),
        json!({ "space": "red" }),
    ];
    for spec in refused {
        let reply = room.agent_a.send("PATCH", &path, Some(&json!({ "spec": spec }))).unwrap();
        assert!([403, 422].contains(&reply.status), "{spec}: {}", reply.text);
    }
}

/// A recovery of epoch 4 in which node `b` has taken part.
fn recovering() -> Value {
    json!({ "epoch": 4, "recovery": {
        "since": 7, "why": "restored", "asserted": { "b": true },
        "lost": { "default.4.0a000000": true },
    } })
}

/// Puts the ledger in a state, and judges one write of it.
fn check(what: &str, who: &Identity, before: &Value, patch: &Value, expected: Expected) {
    static ONE: Mutex<()> = Mutex::new(());
    // There is one ledger; a test that failed with it leaves it to the next.
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let admin = shared().cluster.admin();
    let path = format!("{API}/spiderledgers/cluster");
    drop(admin.send("DELETE", &path, None).unwrap());
    let mut ledger =
        json!({ "metadata": { "name": "cluster" }, "spec": { "format": 1, "epoch": 3 } });
    merge(&mut ledger["spec"], before);
    let read = create(admin, &format!("{API}/spiderledgers"), &ledger);
    let mut after = read.clone();
    merge(&mut after["spec"], patch);
    judge(what, &replace(who, &path, &read, &after), expected);
}

/// A recovery that nobody knew of before.
fn begin(epoch: u64, asserted: &Value) -> Value {
    let recovery = json!({ "since": 9, "why": "gone", "asserted": asserted, "lost": {} });
    json!({ "epoch": epoch, "recovery": recovery })
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_recovery_begins_with_a_higher_epoch() {
    let room = shared();
    let (calm, recovering, nobody) = (json!({}), recovering(), json!({}));
    let falls = Err("the epoch never falls");
    let lost = json!({ "default.4.0a000000": true, "default.4.0a000040": true });
    let again = json!({ "epoch": 5, "recovery": { "asserted": { "b": null }, "lost": lost } });
    let anew = Err("a block that was lost begins the recovery anew; raise the epoch");
    let kept = Err("a recovery keeps when and why it began");
    let higher = Err("a recovery begins with a higher epoch");
    let empty = Err("with `asserted` empty");
    let cases = [
        ("begun", &calm, begin(4, &nobody), Ok(())),
        ("begun by one who saw more", &calm, begin(9, &nobody), Ok(())),
        ("begun by the clock", &calm, begin(1_795_000_000_000, &nobody), Ok(())),
        ("begun with the same epoch", &calm, begin(3, &nobody), higher),
        ("begun with somebody in it", &calm, begin(4, &json!({ "a": true })), empty),
        ("an epoch that falls", &calm, json!({ "epoch": 2 }), falls),
        ("an epoch of the end of time", &calm, begin(1 << 43, &nobody), falls),
        ("an epoch for nothing", &calm, json!({ "epoch": 4 }), empty),
        ("begun anew", &recovering, again, Ok(())),
        ("more is lost, quietly", &recovering, json!({ "recovery": { "lost": lost } }), anew),
        ("less is lost", &recovering, json!({ "recovery": { "lost": null } }), kept),
        ("another reason", &recovering, json!({ "recovery": { "why": "x" } }), kept),
        ("a later format", &calm, json!({ "format": 2 }), Err("format 1 only")),
    ];
    for (what, before, patch, expected) in cases {
        check(what, &room.agent_a, before, &patch, expected);
    }
    let nowhere = Err("does not say which node it is for");
    check("without node", &room.agent_nowhere, &calm, &begin(4, &nobody), nowhere);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_speaks_for_itself_in_a_recovery() {
    let room = shared();
    let recovering = recovering();
    let mut joined = recovering.clone();
    merge(&mut joined, &json!({ "recovery": { "asserted": { "a": true } } }));
    let asserted = |patch: Value| json!({ "recovery": { "asserted": patch } });
    let end = json!({ "recovery": null });
    let itself = Err("an agent adds its own node to `asserted` and nothing else; write a only");
    let last = Err("a recovery is ended by a node that took part in it; a first writes back");
    let cases = [
        ("joined", &recovering, asserted(json!({ "a": true })), Ok(())),
        ("joined for another", &recovering, asserted(json!({ "c": true })), itself),
        ("another is taken out", &recovering, asserted(json!({ "b": null })), itself),
        ("ended by one who was not in it", &recovering, end.clone(), last),
        ("ended by one who was", &joined, end.clone(), Ok(())),
    ];
    for (what, before, patch, expected) in cases {
        check(what, &room.agent_a, before, &patch, expected);
    }
    check("by the controller", &room.controller, &recovering, &end, Ok(()));
    let alone = Err("are written by Spiderpool alone");
    check("by somebody", &room.stranger, &recovering, &end, alone);
    let (name, kept) = ("default.4.0c000000", Err("spiderblockindexes are not deleted"));
    let shards = format!("{API}/spiderblockindexes");
    let shard = json!({ "metadata": { "name": name }, "spec": {
        "format": 1, "space": "default", "ipVersion": 4, "first": "12.0.0.0", "blocks": {},
    } });
    create(&room.agent_a, &shards, &shard);
    let deleted = room.stranger.send("DELETE", &format!("{shards}/{name}"), None).unwrap();
    judge("deleted", &deleted, kept);
}
