//! Which endpoints an agent may write.

use crate::room::{API, Expected, create, judge, merge, post, shared};
use serde_json::{Value, json};
use spiderpool_kube_lab::Identity;
use std::sync::atomic::{AtomicU32, Ordering};

const ENDPOINTS: &str = "/namespaces/default/spiderendpoints";

/// An endpoint of a node: of an ordinary pod, or of a static identity.
fn endpoint(node: &str, is_static: bool) -> Value {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("pod-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": "0a1b" }]);
    let mut endpoint = json!({
        "metadata": {
            "name": name, "finalizers": ["spiderpool.spidernet.io"],
            "labels": { "ipam.spidernet.io/node": node }, "ownerReferences": owner,
        },
        "status": {
            "current": { "uid": "0a1b", "node": node, "ips": [] },
            "ownerControllerType": "Pod", "ownerControllerName": name,
        },
    });
    if is_static {
        let slots = json!([{ "interface": "eth0", "space": "default", "address": "10.6.0.1" }]);
        let identity = json!({
            "metadata": { "ownerReferences": null },
            "status": { "slots": slots, "ownerControllerType": "StatefulSet" },
        });
        merge(&mut endpoint, &identity);
    }
    endpoint
}

/// Puts an endpoint there as the administrator, and gives its path.
fn stand(endpoint: &Value) -> String {
    create(shared().cluster.admin(), &format!("{API}{ENDPOINTS}"), endpoint);
    format!("{API}{ENDPOINTS}/{}", endpoint["metadata"]["name"].as_str().unwrap())
}

fn node(name: &str) -> Value {
    json!({
        "metadata": { "labels": { "ipam.spidernet.io/node": name } },
        "status": { "current": { "node": name } },
    })
}

const ELSEWHERE: &str = "this endpoint is of node b, not of a; the agent of its node changes it";
const NAMELESS: &str = "names the agent's node: set the label `ipam.spidernet.io/node`";

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_makes_endpoints_of_its_own_node() {
    let room = shared();
    let half = json!({ "metadata": { "labels": null } });
    let other = json!({ "status": { "current": { "node": "b" } } });
    let with = |mut endpoint: Value, patch: &Value| {
        merge(&mut endpoint, patch);
        endpoint
    };
    let nowhere = "does not say which node it is for";
    let cases = [
        ("of a pod", &room.agent_a, endpoint("a", false), Ok(())),
        ("of an identity", &room.agent_a, endpoint("a", true), Ok(())),
        ("of another node", &room.agent_a, endpoint("b", false), Err(NAMELESS)),
        ("without label", &room.agent_a, with(endpoint("a", false), &half), Err(NAMELESS)),
        (
            "with another node in it",
            &room.agent_a,
            with(endpoint("a", false), &other),
            Err(NAMELESS),
        ),
        ("by a credential without node", &room.agent_nowhere, endpoint("a", false), Err(nowhere)),
        ("by the controller", &room.controller, endpoint("b", false), Ok(())),
    ];
    for (what, who, body, expected) in cases {
        let path = format!("{API}{ENDPOINTS}");
        judge(what, &post(who, &path, &body), expected);
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_changes_its_own_endpoints_and_takes_identities_over() {
    let room = shared();
    let slots = json!([{ "interface": "eth0", "space": "default", "address": "10.6.0.9" }]);
    let repoint = json!({ "status": { "slots": slots } });
    let ips = json!({ "status": { "current": { "ips": [{ "interface": "eth0" }] } } });
    let free = json!({ "metadata": { "finalizers": null } });
    let label = json!({ "metadata": { "labels": { "ipam.spidernet.io/node": "a" } } });
    let mut robbed = node("a");
    robbed["metadata"]["finalizers"] = Value::Null;
    let last = "the finalizer of an endpoint is taken off by the agent of its node";
    let cases = [
        ("what a pod here has", endpoint("a", false), &ips, Ok(())),
        ("a pod here lets go", endpoint("a", false), &free, Ok(())),
        ("an identity here", endpoint("a", true), &repoint, Ok(())),
        ("a pod here goes elsewhere", endpoint("a", false), &node("b"), Err(NAMELESS)),
        ("a pod elsewhere", endpoint("b", false), &ips, Err(ELSEWHERE)),
        ("a pod elsewhere is taken", endpoint("b", false), &node("a"), Err(ELSEWHERE)),
        ("a pod elsewhere is let go", endpoint("b", false), &free, Err(ELSEWHERE)),
        ("an identity comes here", endpoint("b", true), &node("a"), Ok(())),
        ("an identity is repointed", endpoint("b", true), &repoint, Ok(())),
        ("an identity elsewhere has", endpoint("b", true), &ips, Err(NAMELESS)),
        ("an identity is half taken", endpoint("b", true), &label, Err(NAMELESS)),
        ("an identity goes further", endpoint("b", true), &node("c"), Err(NAMELESS)),
        ("an identity is let go", endpoint("b", true), &free, Err(last)),
        ("an identity is taken and let go", endpoint("b", true), &robbed, Err(last)),
    ];
    for (what, before, patch, expected) in cases {
        let path = stand(&before);
        judge(what, &room.agent_a.send("PATCH", &path, Some(patch)).unwrap(), expected);
    }
    // As the reference left it: no label, only the status says which node.
    let mut unlabelled = endpoint("b", true);
    merge(&mut unlabelled, &json!({ "metadata": { "labels": null }, "status": { "slots": null } }));
    let path = stand(&unlabelled);
    let take = node("a");
    judge("imported", &room.agent_a.send("PATCH", &path, Some(&take)).unwrap(), Ok(()));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_agent_deletes_endpoints_of_its_own_node() {
    let room = shared();
    let cases: [(&str, &Identity, Value, Expected); 5] = [
        ("a pod here", &room.agent_a, endpoint("a", false), Ok(())),
        ("an identity here", &room.agent_a, endpoint("a", true), Ok(())),
        ("a pod elsewhere", &room.agent_a, endpoint("b", false), Err(ELSEWHERE)),
        ("an identity elsewhere", &room.agent_a, endpoint("b", true), Err(ELSEWHERE)),
        ("by the controller", &room.controller, endpoint("b", false), Ok(())),
    ];
    for (what, who, before, expected) in cases {
        let path = stand(&before);
        judge(what, &who.send("DELETE", &path, None).unwrap(), expected);
    }
}
