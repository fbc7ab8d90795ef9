//! Which engine a pool belongs to, and what the other one may still do.

use crate::room::{API, Expected, create, judge, shared};
use serde_json::json;
use spiderpool_kube_lab::Identity;
use std::sync::atomic::{AtomicU32, Ordering};

const ENGINE: &str = "ipam.spidernet.io/engine";

/// Puts a pool there that belongs to an engine, and gives its path.
fn stand(engine: Option<&str>) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let pool = json!({
        "metadata": {
            "name": format!("pool-{count}"), "annotations": { ENGINE: engine },
            "finalizers": ["spiderpool.spidernet.io"],
        },
        "spec": { "ipVersion": 4, "subnet": format!("10.{count}.0.0/16") },
    });
    create(shared().cluster.admin(), &format!("{API}/spiderippools"), &pool);
    format!("{API}/spiderippools/pool-{count}")
}

const OURS: Option<&str> = Some("spiderpool-rs");

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_pool_that_was_taken_over_is_closed_to_the_reference() {
    let room = shared();
    let counts = json!({ "status": { "allocatedIPCount": 1 } });
    let disable = json!({ "spec": { "disable": true } });
    let free = json!({ "metadata": { "finalizers": null } });
    let sly = json!({ "metadata": { "annotations": { ENGINE: null } }, "status": { "allocatedIPCount": 1 } });
    let taken = "this pool was taken over: its addresses are in SpiderBlocks";
    let cases = [
        ("its own pool", &room.reference, None, "/status", &counts, Ok(())),
        ("its own pool by name", &room.reference, Some("spiderpool"), "/status", &counts, Ok(())),
        ("its own pool's spec", &room.reference, None, "", &disable, Ok(())),
        ("a status", &room.reference, OURS, "/status", &counts, Err(taken)),
        ("a status, annotation and all", &room.reference, OURS, "/status", &sly, Err(taken)),
        ("a spec", &room.reference, OURS, "", &disable, Err(taken)),
        ("a finalizer", &room.reference, OURS, "", &free, Err(taken)),
        ("by the controller", &room.controller, OURS, "/status", &counts, Ok(())),
        ("by an operator", &room.operator, OURS, "", &disable, Ok(())),
        ("a user's spec", &room.stranger, OURS, "", &disable, Ok(())),
    ];
    for (what, who, engine, subresource, patch, expected) in cases {
        let path = format!("{}{subresource}", stand(engine));
        judge(what, &who.send("PATCH", &path, Some(patch)).unwrap(), expected);
    }
    let deleted = |engine| room.reference.send("DELETE", &stand(engine), None).unwrap();
    judge("its own goes", &deleted(None), Ok(()));
    judge("ours goes", &deleted(OURS), Err(taken));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_pool_changes_hands_by_the_controller_or_an_operator() {
    let room = shared();
    let to = |engine: Option<&str>| json!({ "metadata": { "annotations": { ENGINE: engine } } });
    let refused = Err("changes in a take-over, after the pool's allocations were copied");
    let cases: [(&str, &Identity, Expected); 4] = [
        ("the controller", &room.controller, Ok(())),
        ("an operator", &room.operator, Ok(())),
        ("somebody", &room.stranger, refused),
        ("the reference", &room.reference, refused),
    ];
    for (what, who, expected) in cases {
        judge(what, &who.send("PATCH", &stand(None), Some(&to(OURS))).unwrap(), expected);
    }
    for (what, who, expected) in [cases[0], cases[1], cases[2]] {
        judge(what, &who.send("PATCH", &stand(OURS), Some(&to(None))).unwrap(), expected);
    }
}
