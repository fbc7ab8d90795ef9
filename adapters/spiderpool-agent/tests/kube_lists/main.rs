//! The reference's lists of end-to-end cases, against a real API server and real agents: L (affinity), A
//! (annotations), E (assignment), D (pools), S (reserved addresses) and T (third-party controllers).
//!
//! `room` starts one cluster with two agents for all tests, with the roles and policies of `deploy/` in
//! force; `stage` gives each test a namespace, pools and a kubelet; `pod` asks as a plugin does; `seen`
//! reads what the server holds. A test's name begins with the case that it keeps. What needs a network
//! namespace is shown elsewhere: here are decisions, and what is written of them.
//!
//! | case | kept by |
//! |---|---|
//! | L00001 to L00009 | a test each |
//! | A00001 | nothing: pools have had no VLAN since long before the reference's present version |
//! | A00002 to A00018 | a test each. A00007: a pattern that matches nothing is refused; A00013: the interface that is not listed is refused, the other one stays; A00016: nothing at all is kept of an ADD that fails; A00018: replicas whose list has no interfaces move with it too, and stay when only its order changes |
//! | E00001 to E00009 | a test each |
//! | E00010 | the refusal: no pools are made for applications |
//! | D00001 | pools may share addresses, and each address is given once; that such a pool is told is the controller's part |
//! | D00002, D00003, D00005 to D00016 | a test each |
//! | D00004 | what the agent does with a pool that is going; that it stays is the finalizer's, which the controller adds and takes off |
//! | D00017 | addresses out of 2^64; the count in a pool's status is the controller's part |
//! | S00001, S00002, S00004 | a test each |
//! | S00003 | an address in use can be excluded: the pod keeps it, and nobody else is given it |
//! | T00001 | a test |
//! | T00002 | what a pool takes from its subnet, and the refusal of pools for an application |
//! | T00003 | the replica's identity; that it ends with the `StatefulSet` is the controller's part |
//! | T00004, T00005 | nothing: no pools are made for applications |
//!
//! Invariant: nothing is granted here that an agent's own credential does not allow
//! (`the_agents_act_for_their_own_node`).

#![cfg(test)]

mod affinity;
mod annotation;
mod assign;
mod pod;
mod pool;
mod reserved;
mod room;
mod scope;
mod seen;
mod several;
mod stage;
mod third_party;

use room::{AGENTS, NODES, room};
use seen::GROUP;
use serde_json::json;

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn the_agents_act_for_their_own_node() {
    let stage = stage::Stage::open("own-node");
    let pool = stage.pool("blue", 2);
    stage.pod_of("web", &[&pool]).add("eth0");
    let block = room::list(&format!("{GROUP}/spiderblocks")).into_iter().find(|block| {
        let slots = block["spec"]["slots"].as_object().into_iter().flatten();
        slots.into_iter().any(|(_, slot)| slot["pool"] == *pool.name)
    });
    let block = block.unwrap();
    let path = format!("{GROUP}/spiderblocks/{}", block["metadata"]["name"].as_str().unwrap());
    // Whose the tokens are, the server knows.
    let who = NODES.map(|node| room().identity(node));
    let told = who.each_ref().map(|agent| {
        let asked = agent.call(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            Some(&json!({})),
        );
        let user = asked.unwrap()["status"]["userInfo"].clone();
        (
            user["username"].clone(),
            user["extra"]["authentication.kubernetes.io/node-name"][0].clone(),
        )
    });
    let account = format!("system:serviceaccount:{AGENTS}:spiderpool-agent");
    assert_eq!(told, NODES.map(|node| (json!(account), json!(node))));
    // And to the other one it refuses what this one's pod has.
    let (number, _) = block["spec"]["slots"].as_object().unwrap().iter().next().unwrap();
    let commits = block["spec"]["commits"].as_i64().unwrap();
    let steal = json!({"spec": {"commits": commits + 1, "slots": {number: null}}});
    let refused = who[1].send("PATCH", &path, Some(&steal)).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("belongs to pods of another node than west"), "{}", refused.text);
    assert_eq!(who[0].send("DELETE", &path, None).unwrap().status, 403);
}
