//! What the agent says of the cluster, by a peer on a real socket in its place.

use crate::fake::{Fake, Said};
use crate::lab::{Ask, HERE, Lab, Node};
use crate::talk::Talk;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn previous() -> Value {
    json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x"}]})
}

fn add(lab: &Lab) -> Ask {
    let ask = lab.ask("ADD", "c1").netns(HERE).set("prevResult", previous());
    let ask = ask.env("CNI_ARGS", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;IgnoreUnknown=1");
    with_socket(ask, lab)
}

fn with_socket(ask: Ask, lab: &Lab) -> Ask {
    ask.set("ipam_unix_socket_path", lab.path("agent.sock").display().to_string())
}

fn agent(lab: &Lab, said: Said) -> Fake {
    Fake::new(&lab.path("agent.sock"), move |_| said.clone())
}

fn well(body: &Value) -> Said {
    Said::Json(200, body.to_string())
}

#[test]
fn the_cluster_is_asked_about_the_pod() {
    let mut talk = Talk::new("cluster-asked");
    let config = json!({"mode": "disabled", "overlayPodCIDR": [], "serviceCIDR": null,
        "tunePodRoutes": true, "hostRuleTable": 500, "future": [1]});
    let agent = agent(&talk.lab, well(&config));
    // The cluster wants nothing done, and is the only one to say so.
    talk.say(&add(&talk.lab)).ok();
    let seen = agent.seen();
    assert_eq!(agent.calls(), ["GET /v1/coordinator/config"]);
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body, json!({"podNamespace": "default", "podName": "web-0", "apiVersion": 2}));
}

#[test]
fn a_configuration_that_wants_nothing_done_asks_nobody() {
    let mut talk = Talk::new("cluster-not-asked");
    let agent = agent(&talk.lab, Said::Json(500, r#""no""#.into()));
    talk.say(&add(&talk.lab).set("mode", "disabled")).ok();
    talk.say(&add(&talk.lab).verb("DEL").without("prevResult")).ok();
    assert_eq!(agent.calls(), Vec::<String>::new());
}

#[test]
fn a_cluster_that_does_not_say_is_code_11() {
    let mut talk = Talk::new("cluster-silent");
    let heard = talk.say(&add(&talk.lab)).expect(11);
    assert!(heard.told().contains("spiderpool-agent runs on this node"), "{heard:?}");
    for said in [
        Said::Json(500, r#""spidercoordinator: default no ready""#.into()),
        Said::Json(500, r#"{"apiVersion": 2, "message": "the pod is not known yet"}"#.into()),
        Said::Raw(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Said::Raw(b"SSH-2.0\r\n".to_vec()),
        well(&json!({"mode": "on"})),
        well(&json!({"mode": "auto", "serviceCIDR": ["x"]})),
        well(&json!({"mode": "auto", "hostRuleTable": "500"})),
        well(&json!({})),
    ] {
        let _agent = agent(&talk.lab, said);
        let heard = talk.say(&add(&talk.lab)).expect(11);
        assert!(heard.told().contains("about pod `default/web-0`"), "{heard:?}");
    }
    assert_eq!(talk.lab.records(), Vec::<String>::new());
}

#[test]
fn silence_ends_at_the_deadline() {
    let slowly = Said::Slowly(b"HTTP/1.1 200 OK".to_vec(), Duration::from_millis(200));
    for said in [Said::Open(b"HTTP/1.1 200 OK\r\n".to_vec()), slowly] {
        let lab = Lab::new();
        let _agent = agent(&lab, said);
        let begun = Instant::now();
        add(&lab).set("timeoutSeconds", 1).send_as(crate::lab::plain()).expect(11);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[test]
#[ignore = "host tier: asks the kernel about nftables, needs root"]
fn a_node_is_ready_when_its_agent_is() {
    let lab = Lab::new();
    let status = || with_socket(lab.ask("STATUS", "c1"), &lab).set("cniVersion", "1.1.0");
    status().send_as(crate::lab::plain()).expect(50);
    let ready = agent(&lab, well(&json!({})));
    status().send_as(crate::lab::plain()).ok();
    assert_eq!(ready.calls(), ["GET /v1/ipam/healthy"]);
    drop(ready);
    let _starting = agent(&lab, Said::Json(500, r#""starting""#.into()));
    status().send_as(crate::lab::plain()).expect(50);
}

/// The configuration's word goes before the cluster's, and the cluster's before the default; what ADD wrote
/// down is all that CHECK and DEL go by.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_pod_is_attached_by_the_clusters_facts() {
    let node = Node::new();
    let pod = node.pod();
    let previous = pod.wire("eth0", 0);
    let config = json!({"mode": "auto", "overlayPodCIDR": ["10.244.0.0/16"], "serviceCIDR": ["10.96.0.0/12"],
        "tunePodRoutes": true, "hijackCIDR": ["10.77.0.0/16"], "hostRuleTable": 600, "vethMTU": 1400});
    let agent = agent(&node.lab, well(&config));
    let ask = with_socket(pod.ask("ADD", "eth0", &previous), &node.lab).set("vethMTU", 1450);
    pod.send(&ask).ok();
    let routes = pod.room.ip("route show");
    for reached in ["10.244.0.0/16", "10.96.0.0/12", "10.77.0.0/16"] {
        assert!(routes.contains(reached), "{reached} in {routes}");
    }
    assert!(!routes.contains("169.254.0.0/16"), "the cluster names what is hijacked: {routes}");
    assert!(pod.room.ip("link show veth0").contains("mtu 1450"));
    assert!(!node.host.ip("route show table 600").is_empty());
    drop(agent);
    pod.send(&ask.clone().verb("CHECK")).ok();
    pod.send(&ask.clone().verb("DEL")).ok();
    assert!(node.host.ip("route show table 600").is_empty());
    assert_eq!(node.lab.records(), Vec::<String>::new());
}
