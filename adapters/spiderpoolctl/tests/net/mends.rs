//! `repair`.

use crate::room::Node;
use serde_json::Value;

fn steps(answer: &Value) -> Vec<Value> {
    answer["attachments"][0]["steps"].as_array().unwrap().clone()
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn a_dry_run_tells_what_is_done() {
    let node = Node::new();
    node.attach();
    node.pod.forget_marks();
    node.pod.ip("rule del pref 1000");
    node.host.ip("route flush table 500");
    let told = node.net("repair --container ID --dry-run -o json").json();
    let done = node.net("repair --container ID -o json");
    assert_eq!(done.code, 0, "{done:?}");
    let done = done.json();
    assert_eq!((&told["isDone"], &done["isDone"]), (&Value::Bool(false), &Value::Bool(true)));
    assert!(steps(&done).len() >= 3, "{done}");
    assert_eq!(steps(&told), steps(&done));
    assert_eq!(node.net("diff").code, 0);
    let again = node.net("repair --container ID");
    assert!(again.text.ends_with("interface eth0: as it should be\n"), "{again:?}");
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn new_addresses_of_the_node_are_followed() {
    let node = Node::new();
    node.attach();
    node.host.ip("addr add 172.40.0.77/24 dev up0");
    let dry = node.net("repair --container ID --dry-run");
    assert!(dry.text.contains("172.40.0.77"), "{dry:?}");
    assert!(!node.pod.ip("route show").contains("172.40.0.77"));
    let done = node.net("repair --container ID");
    assert!(done.text.contains("172.40.0.77"), "{done:?}");
    assert!(node.pod.ip("route show").contains("172.40.0.77"));
    assert_eq!(node.net("diff").code, 0);
}
