//! `plan`, `diff` and `explain`.

use crate::room::Node;
use serde_json::Value;
use std::fs;

/// The commands of a list of steps.
fn commands(steps: &Value) -> Vec<String> {
    let steps = steps.as_array().unwrap();
    steps.iter().map(|step| step["command"].as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn the_plan_is_what_add_does() {
    let node = Node::new();
    let plan = node.net("plan --netns POD --container ID --config CONFIG -o json");
    assert_eq!(plan.code, 0, "{plan:?}");
    let plan = plan.json();
    let attached = node.attach();
    let done: Vec<_> = attached.plan.steps.iter().map(|step| step.op.to_string()).collect();
    assert!(done.len() > 10, "{done:?}");
    assert_eq!(commands(&plan["steps"]), done);
    assert_eq!(plan["network"], "blue");
    // The settings of a link that is made here go with it; all else that ends has an undo of its own.
    for step in plan["steps"].as_array().unwrap().iter().filter(|step| step["serves"] != "node") {
        let is_setting = step["command"].as_str().unwrap().starts_with("sysctl ");
        assert!(is_setting || step["undo"] != Value::Array(vec![]), "{step}");
    }
    let again = node.net("plan --netns POD --container ID --config CONFIG");
    assert!(again.text.contains(": 0 steps\nnothing to do\n"), "{again:?}");
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn looking_changes_nothing() {
    let node = Node::new();
    let before = node.snapshot();
    let plan = node.net("plan --netns POD --container ID --config CONFIG");
    assert!(plan.text.contains("undo") && plan.text.contains("# so that"), "{plan:?}");
    let diff = node.net("diff --netns POD --container ID --config CONFIG");
    assert_eq!(diff.code, 1, "{diff:?}");
    let explain = node.net("explain --netns POD --container ID --config CONFIG --to 10.96.0.1");
    assert_eq!(explain.code, 0, "{explain:?}");
    // The pair is not there yet, and is what a service would be reached by.
    assert!(explain.text.contains("it leaves by veth0"), "{}", explain.text);
    assert_eq!(node.snapshot(), before);
    assert!(!node.state().exists(), "a look made a directory");
    node.attach();
    node.settled();
    node.pod.ip("rule del pref 1000");
    let before = node.snapshot();
    for look in ["diff", "explain --container ID", "repair --container ID --dry-run"] {
        let said = node.net(look);
        assert!(said.complaint.is_empty(), "{look}: {said:?}");
    }
    assert_eq!(node.snapshot(), before);
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn drift_is_told_by_the_exit_code() {
    let node = Node::new();
    node.attach();
    for diff in ["diff", "diff --container ID", "diff --netns POD --container ID --config CONFIG"] {
        let held = node.net(diff);
        assert_eq!(held.code, 0, "{diff}: {held:?}");
        assert!(held.text.ends_with("interface eth0: held\n"), "{diff}: {held:?}");
    }
    node.pod.forget_marks();
    node.host.ip("route flush table 500");
    for diff in ["diff", "diff --netns POD --container ID --config CONFIG"] {
        let drifted = node.net(&format!("{diff} -o json"));
        assert_eq!(drifted.code, 1, "{diff}: {drifted:?}");
        let drifted = drifted.json();
        assert_eq!(drifted[0]["state"], "drifted");
        let told = commands(&drifted[0]["steps"]);
        assert!(told.iter().any(|command| command.starts_with("nft ")), "{told:?}");
        assert!(told.iter().any(|command| command.contains("table 500")), "{told:?}");
    }
    let other = node.net("diff --container ID --ifname net1");
    assert_eq!(other.code, 2, "{other:?}");
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn what_cannot_be_held_is_told_apart() {
    let node = Node::new();
    node.attach();
    let whole = fs::read(node.record()).unwrap();
    fs::write(node.record(), "{").unwrap();
    let state = |code| {
        let said = node.net("diff -o json");
        assert_eq!(said.code, code, "{said:?}");
        said.json()[0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(1), "unreadable");
    fs::write(node.record(), whole).unwrap();
    assert_eq!(state(0), "held");
    // No step makes the interface anew: that is another plugin's.
    node.pod.ip("link del eth0");
    assert_eq!(state(1), "blocked");
    node.host.ip(&format!("netns delete {}", node.pod.name));
    assert_eq!(state(1), "gone");
    let repair = node.net("repair --container ID");
    assert!(repair.text.contains("the pod's namespace is gone"), "{repair:?}");
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn each_wish_is_explained() {
    let node = Node::new();
    node.attach();
    node.pod.forget_marks();
    let said = node.net("explain --container ID -o json");
    assert_eq!(said.code, 0, "{said:?}");
    let said = said.json();
    let groups = said["attachments"][0]["groups"].as_array().unwrap();
    let reasons: Vec<_> = groups.iter().map(|group| group["soThat"].as_str().unwrap()).collect();
    for reason in ["the node reaches the pod", "the pod reaches its node"] {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
    let wishes = groups.iter().flat_map(|group| group["wishes"].as_array().unwrap());
    let wishes: Vec<_> = wishes.collect();
    let missing: Vec<_> = wishes.iter().filter(|wish| wish["isHeld"] == false).collect();
    assert!(!missing.is_empty() && missing.len() < wishes.len(), "{missing:?}");
    for wish in missing {
        assert!(wish["wish"].as_str().unwrap().starts_with("nft "), "{wish}");
    }
    assert!(wishes.iter().any(|wish| wish["serves"] == "node"), "{wishes:?}");
    let text = node.net("explain --container ID").text;
    assert!(text.contains("so that the node reaches the pod\n"), "{text}");
}
