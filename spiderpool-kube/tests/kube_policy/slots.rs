//! What an agent may do to slots.

use crate::room::{
    API, Expected, Room, create, difference, held, judge, merge, post, quarantined, replace,
    resting, shared,
};
use serde_json::{Value, json};
use spiderpool_kube_lab::Identity;

/// What stands before each write: the generation is 6, and there were 9 commits.
fn before() -> Value {
    let mut detached = held("a", "identity/shop/db-1", 6);
    merge(&mut detached, &json!({ "stage": "Detached", "containerID": null, "podUID": null }));
    json!({ "commits": 9, "generation": 6, "slots": {
        "0": held("a", "pod/mine", 3), "1": held("b", "pod/theirs", 4), "2": resting(),
        "3": quarantined(), "4": held("b", "identity/shop/db-0", 5), "5": detached,
    } })
}

/// What is written: slots as they are to be (`null` is free), and a commit and a generation more.
fn write(slots: &Value) -> Value {
    json!({ "commits": 10, "generation": 7, "slots": slots })
}

fn with(mut slot: Value, patch: &Value) -> Value {
    merge(&mut slot, patch);
    slot
}

/// A slot of `before` with something else in it.
fn other(slot: &str, patch: &Value) -> Value {
    with(before()["slots"][slot].clone(), patch)
}

/// Writes to a block of its own: `spec` holds whole slots.
fn check(room: &Room, what: &str, who: &Identity, spec: &Value, expected: Expected) {
    let (path, read) = room.stand(&before());
    let mut after = read.clone();
    for (key, value) in spec.as_object().unwrap() {
        let slots = value.as_object().filter(|_| key == "slots");
        for (slot, state) in slots.into_iter().flatten() {
            let slots = after["spec"]["slots"].as_object_mut().unwrap();
            slots.remove(slot);
            if !state.is_null() {
                slots.insert(slot.clone(), state.clone());
            }
        }
        if slots.is_none() {
            after["spec"][key] = value.clone();
        }
    }
    judge(what, &replace(who, &path, &read, &after), expected);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_allocates_and_gives_back_for_its_own_node() {
    let room = shared();
    let detach =
        json!({ "stage": "Detached", "generation": 7, "containerID": null, "podUID": null });
    let ahead = json!({ "stage": "Ahead", "network": null });
    let accepted = [
        ("a free slot", json!({ "6": held("a", "pod/new", 7) })),
        ("a slot that rested", json!({ "2": held("a", "pod/new", 7) })),
        (
            "a slot after quarantine",
            json!({ "3": with(held("a", "pod/new", 7), &json!({ "pastQuarantines": 1 })) }),
        ),
        ("ahead of its ADD", json!({ "6": with(held("a", "pod/new", 7), &ahead) })),
        ("released", json!({ "0": null })),
        ("released to rest", json!({ "0": resting() })),
        ("found in conflict", json!({ "0": quarantined() })),
        ("another sandbox of the same pod", json!({ "0": held("a", "pod/mine", 7) })),
        ("another stage", json!({ "0": other("0", &json!({ "stage": "Ahead", "since": 5 })) })),
        ("given to another pod at once", json!({ "0": held("a", "pod/next", 7) })),
        ("an identity comes here", json!({ "4": held("a", "identity/shop/db-0", 7) })),
        (
            "an identity comes here without pod",
            json!({ "4": with(held("a", "identity/shop/db-0", 7), &detach) }),
        ),
        ("an identity moved to another pool", json!({ "4": null })),
        ("an identity moved, and its address rests", json!({ "4": resting() })),
        ("an identity loses its pod", json!({ "5": other("5", &json!({ "generation": 7 })) })),
    ];
    for (what, slots) in accepted {
        check(room, what, &room.agent_a, &write(&slots), Ok(()));
    }
    let both = json!({ "0": null, "6": held("a", "pod/new", 7), "7": held("a", "pod/newer", 8) });
    let both = with(write(&both), &json!({ "commits": 12, "generation": 8 }));
    check(room, "several at once", &room.agent_a, &both, Ok(()));
    let listed = with(write(&json!({ "0": null })), &json!({ "listed": true }));
    check(room, "the index lists it", &room.agent_a, &listed, Ok(()));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_leaves_other_nodes_slots_alone() {
    let room = shared();
    let theirs = "slot 1 belongs to pods of another node than a; that node gives it back";
    let refused = [
        ("another node's pod is freed", json!({ "1": null }), theirs),
        ("another node's pod is put to rest", json!({ "1": resting() }), theirs),
        ("another node's pod is quarantined", json!({ "1": quarantined() }), theirs),
        ("another node's pod is robbed", json!({ "1": held("a", "pod/mine", 7) }), theirs),
        (
            "another node's pod is restaged",
            json!({ "1": other("1", &json!({ "stage": "Ahead" })) }),
            theirs,
        ),
        ("and that among others", json!({ "0": null, "1": null }), theirs),
        (
            "for another node",
            json!({ "6": held("b", "pod/new", 7) }),
            "slot 6 cannot be allocated to another node than a",
        ),
        (
            "its own to another node",
            json!({ "0": held("b", "pod/mine", 7) }),
            "slot 0 cannot be allocated",
        ),
        (
            "an identity elsewhere",
            json!({ "4": held("c", "identity/shop/db-0", 7) }),
            "slot 4 cannot be allocated",
        ),
        (
            "an identity is restaged there",
            json!({ "4": other("4", &json!({ "stage": "Ahead" })) }),
            "slot 4 cannot",
        ),
        (
            "an identity's address is quarantined",
            json!({ "4": quarantined() }),
            "slot 4 belongs to a static identity",
        ),
    ];
    for (what, slots, words) in refused {
        check(room, what, &room.agent_a, &write(&slots), Err(words));
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_grants_at_a_new_generation_and_ends_no_rest() {
    let room = shared();
    let stale = "needs a generation above 6";
    let idle = "is not allocated: an agent ends a rest or a quarantine by allocating";
    let refused = [
        ("a rest is cut short", json!({ "2": null }), idle),
        ("a quarantine is cut short", json!({ "3": null }), idle),
        ("a rest begins anew", json!({ "2": with(resting(), &json!({ "since": 5 })) }), idle),
        ("a free slot is quarantined", json!({ "6": quarantined() }), idle),
        ("a grant of the past", json!({ "6": held("a", "pod/new", 6) }), stale),
        ("a grant of the future", json!({ "6": held("a", "pod/new", 8) }), stale),
        (
            "another container, the same grant",
            json!({ "0": other("0", &json!({ "containerID": "x" })) }),
            stale,
        ),
        (
            "another owner, the same grant",
            json!({ "0": other("0", &json!({ "owner": "pod/x" })) }),
            stale,
        ),
        (
            "another pool, the same grant",
            json!({ "0": other("0", &json!({ "pool": "red" })) }),
            stale,
        ),
    ];
    for (what, slots, words) in refused {
        check(room, what, &room.agent_a, &write(&slots), Err(words));
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_is_of_the_node_that_its_token_names() {
    let room = shared();
    let new = json!({ "6": held("a", "pod/new", 7) });
    let nowhere =
        "does not say which node it is for; run the agent with the token that the kubelet";
    check(room, "a credential without node", &room.agent_nowhere, &write(&new), Err(nowhere));
    check(room, "of the other node", &room.agent_b, &write(&new), Err("than b"));
    check(room, "by that node", &room.agent_b, &write(&json!({ "1": null })), Ok(()));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_keeps_what_a_block_is() {
    let room = shared();
    let far = 1_u64 << 41;
    let fixed = "incarnation of a block cannot change";
    let refused = [
        ("another incarnation", json!({ "incarnation": "00000000000000ff" }), fixed),
        ("no new commit", json!({ "commits": 9 }), "commits grows with every write"),
        (
            "a commit of the end of time",
            json!({ "commits": far }),
            "commits grows with every write",
        ),
        ("a generation of the end of time", json!({ "generation": far }), "generation never falls"),
        ("a later format", json!({ "format": 2 }), "format 1 only"),
    ];
    for (what, patch, words) in refused {
        let spec = with(write(&json!({ "0": null })), &patch);
        check(room, what, &room.agent_a, &spec, Err(words));
    }
    let (path, _) = room.stand(&json!({ "format": 2, "commits": 9 }));
    let later = json!({ "spec": { "commits": 10 } });
    let reply = room.agent_a.send("PATCH", &path, Some(&later)).unwrap();
    judge(
        "a block of a later format",
        &reply,
        Err("use the version of Spiderpool that wrote this block"),
    );
    // What the schema itself holds fast, for everybody.
    for patch in [json!({ "first": "10.9.9.0" }), json!({ "size": 32 }), json!({ "space": "red" })]
    {
        let (path, _) = room.stand(&json!({}));
        let patch = json!({ "spec": with(patch, &json!({ "commits": 2 })) });
        let reply = room.agent_a.send("PATCH", &path, Some(&patch)).unwrap();
        assert!([403, 422].contains(&reply.status), "{}", reply.text);
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_makes_blocks_of_its_own_slots() {
    let room = shared();
    let own = json!({ "generation": 1, "slots": { "9": held("a", "pod/mine", 1) } });
    let both = json!({ "generation": 2, "slots": {
        "8": held("b", "pod/theirs", 2), "9": held("a", "pod/mine", 1),
    } });
    let ahead = json!({ "generation": 1, "slots": { "9": held("a", "pod/mine", 2) } });
    let rests = json!({ "slots": { "9": resting() } });
    let cases = [
        ("its own slot", &own, Ok(())),
        ("no slot, to rebuild it", &json!({ "commits": 0 }), Ok(())),
        ("somebody else's too", &both, Err("slot 8 cannot be allocated to another node than a")),
        ("a grant above the block's", &ahead, Err("slot 9 needs a generation above 0")),
        ("a slot that rests", &rests, Err("slot 9 is not allocated")),
        ("a later format", &json!({ "format": 2 }), Err("format 1 only")),
    ];
    for (what, spec, expected) in cases {
        let (name, first) = room.place();
        let block = room.block_named(&name, &first, spec);
        let reply = post(&room.agent_a, &format!("{API}/spiderblocks"), &block);
        judge(what, &reply, expected);
    }
}

/// Sixty-four slots with the longest names that the schema lets in, all changed by one write: what a
/// policy may cost is bounded by the API server, and this is the most there is.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn the_fullest_block_is_within_the_budget() {
    let room = shared();
    let long = |letter: &str, length: usize| letter.repeat(length);
    let full = |node: &str, generation: u64| {
        let slot = |at: u64| {
            let owner = format!("identity/{}", long("o", 246));
            let mut slot = held(node, &owner, generation + at);
            for part in ["podUID", "containerID", "pool", "interface", "network"] {
                slot[part] = json!(long("n", 255));
            }
            (at.to_string(), slot)
        };
        let slots: serde_json::Map<_, _> = (0..64).map(slot).collect();
        json!({ "commits": generation + 64, "generation": generation + 64, "slots": slots })
    };
    let (name, first) = room.place();
    let block = room.block_named(&name, &first, &full("a", 1));
    let read = create(&room.agent_a, &format!("{API}/spiderblocks"), &block);
    let path = format!("{API}/spiderblocks/{name}");
    let mut after = read.clone();
    merge(&mut after["spec"], &full("b", 66));
    judge("all taken over", &replace(&room.agent_b, &path, &read, &after), Ok(()));
    let read = room.agent_a.call("GET", &path, None).unwrap();
    assert_eq!(difference(&read["spec"], &after["spec"]), json!({}), "what was written is there");
    let mut after = read.clone();
    after["spec"]["slots"] = json!({});
    after["spec"]["commits"] = json!(1_000);
    judge("all freed", &replace(&room.agent_b, &path, &read, &after), Ok(()));
}
