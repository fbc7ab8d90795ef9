//! Everything below `deploy/` as a whole: it applies without a warning, says what it means to the
//! server's type checker, and fails closed.

use crate::room::{API, Room, eventually, held, is_oldest, judge, path, post, says, shared};
use serde_json::{Value, json};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn everything_applies_without_a_warning() {
    let cluster = &shared().cluster;
    for directory in ["deploy/rbac", "deploy/policy"] {
        let directory = path(directory);
        let file = directory.to_str().unwrap();
        let strict = ["apply", "--server-side", "--validate=strict", "--warnings-as-errors"];
        let said = cluster.kubectl(&[&strict[..], &["--recursive", "--filename", file]].concat());
        let said = said.unwrap();
        // One line for each object of each file.
        let files = std::fs::read_dir(&directory).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let objects: usize = texts.map(|text| text.matches("\nkind: ").count()).sum();
        assert_eq!(said.lines().count(), objects, "{said}");
    }
}

/// The newest server checks expressions against the CRDs; the oldest is run without the controller that
/// does so, and has nothing to say.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn every_expression_fits_the_definitions() {
    let admin = shared().cluster.admin();
    let list = || admin.call("GET", POLICIES, None).unwrap()["items"].as_array().unwrap().clone();
    let names: Vec<_> = list().iter().map(|policy| policy["metadata"]["name"].clone()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    if is_oldest() {
        return;
    }
    let is_checked =
        |policy: &Value| policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
    eventually("the type checker's report", || {
        let late = list().into_iter().find(|policy| !is_checked(policy));
        late.map_or(Ok(()), |policy| Err(policy.to_string()))
    });
    for policy in list() {
        assert_eq!(policy["status"]["typeChecking"], json!({}), "{}", policy["metadata"]["name"]);
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    }
}

/// A cluster of its own: its policies lose what tells them who is who.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn nothing_is_written_while_nobody_says_who_is_who() {
    let room = Room::open();
    let admin = room.cluster.admin();
    let names = "/api/v1/namespaces/spiderpool/configmaps/spiderpool-policy";
    let write = || {
        let (name, first) = room.place();
        let spec = json!({ "generation": 1, "slots": { "0": held("a", "pod/1", 1) } });
        let block = room.block_named(&name, &first, &spec);
        post(&room.agent_a, &format!("{API}/spiderblocks"), &block)
    };
    judge("with all names", &write(), Ok(()));
    let nameless = json!({ "data": { "agent": null } });
    let kept = admin.call("PATCH", names, Some(&nameless)).unwrap();
    eventually("a policy without the agent's name refuses", || {
        says(&write(), "no such key: agent")
    });

    admin.call("DELETE", names, None).unwrap();
    eventually("policies without names refuse", || says(&write(), "no params found"));
    // Who must not be locked out: whoever can put the names back.
    let mut restored = json!({ "metadata": { "name": "spiderpool-policy" }, "data": kept["data"] });
    restored["data"]["agent"] = json!(room.agent_a.user);
    admin.call("POST", "/api/v1/namespaces/spiderpool/configmaps", Some(&restored)).unwrap();
    eventually("all is well again", || {
        let reply = write();
        if reply.is_well() { Ok(()) } else { Err(reply.text) }
    });
}
