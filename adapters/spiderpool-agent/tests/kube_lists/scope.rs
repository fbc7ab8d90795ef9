//! List D, second half: networks, nodes and namespaces that a pool names.

use crate::pod::pools;
use crate::room::NODES;
use crate::seen::slots_in;
use crate::stage::{IPPOOL, Stage, v4};
use serde_json::json;

const FIRST: &str = "v1.multus-cni.io/default-network";
const OTHERS: &str = "k8s.v1.cni.cncf.io/networks";

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00009_a_network_that_matches() {
    let stage = Stage::open("d00009");
    // A bare name lies in the namespace of the agents.
    let tied = json!({"multusName": ["d00009/macvlan", "ipvlan"]});
    let pool = stage.pool_with("tied", 8, &tied);
    let mine = v4(&[&pool]).to_string();
    let cases = [
        ("eth0", FIRST, "d00009/macvlan"),
        ("eth0", FIRST, "ipvlan"),
        ("net1", OTHERS, "macvlan"),
        ("net2", OTHERS, "d00009/other, spiderpool/ipvlan"),
        ("mine", OTHERS, r#"[{"name": "macvlan", "interface": "mine"}]"#),
    ];
    for (number, (nic, key, networks)) in cases.into_iter().enumerate() {
        let notes = [(IPPOOL, mine.clone()), (key, networks.to_owned())];
        let reply = stage.pod(&format!("p{number}"), &notes).add(nic);
        assert_eq!(pools(&reply, nic), std::slice::from_ref(&pool.name), "{networks}");
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00010_a_network_that_does_not_match() {
    let stage = Stage::open("d00010");
    let pool = stage.pool_with("tied", 2, &json!({"multusName": ["d00010/macvlan"]}));
    let free = stage.pool("free", 2);
    let mine = v4(&[&pool]).to_string();
    let other = stage.pod("other", &[(IPPOOL, mine.clone()), (FIRST, "d00010/ipvlan".to_owned())]);
    other.refused("eth0", "it is tied to networks other than d00010/ipvlan");
    let unknown = stage.pod("unknown", &[(IPPOOL, mine)]);
    unknown.refused("eth0", "it is tied to networks, and the attachment's network is not known");
    assert!(slots_in(&pool.name).is_empty());
    // A pool that is tied to none asks for no network.
    assert_eq!(pools(&stage.pod_of("free", &[&free]).add("eth0"), "eth0"), [free.name]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00011_a_node_that_is_named() {
    let stage = Stage::open("d00011");
    let pool = stage.pool_with("east", 2, &json!({"nodeName": [NODES[0]]}));
    assert_eq!(pools(&stage.pod_of("web", &[&pool]).add("eth0"), "eth0"), [pool.name]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00012_a_node_that_is_not_named() {
    let stage = Stage::open("d00012");
    let pool = stage.pool_with("west", 2, &json!({"nodeName": [NODES[1]]}));
    let pod = stage.pod_of("web", &[&pool]);
    pod.refused("eth0", "its node names leave out node east");
    assert!(slots_in(&pool.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00013_node_names_before_node_affinity() {
    let stage = Stage::open("d00013");
    let zone = json!({"matchLabels": {"topology.kubernetes.io/zone": NODES[1]}});
    let pool = stage.pool_with("both", 4, &json!({"nodeName": [NODES[0]], "nodeAffinity": zone}));
    assert_eq!(
        pools(&stage.pod_of("web", &[&pool]).add("eth0"), "eth0"),
        std::slice::from_ref(&pool.name)
    );
    let notes = [(IPPOOL, v4(&[&pool]).to_string())];
    let other = stage.pod_with("other", NODES[1], &notes, &json!({}));
    other.refused("eth0", "its node names leave out node west");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00014_a_namespace_that_is_named() {
    let stage = Stage::open("d00014");
    let pool = stage.pool_with("own", 2, &json!({"namespaceName": ["d00014", "other"]}));
    assert_eq!(pools(&stage.pod_of("web", &[&pool]).add("eth0"), "eth0"), [pool.name]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00015_a_namespace_that_is_not_named() {
    let stage = Stage::open("d00015");
    let pool = stage.pool_with("other", 2, &json!({"namespaceName": ["other"]}));
    stage.pod_of("web", &[&pool]).refused("eth0", "its namespace names leave out namespace d00015");
    assert!(slots_in(&pool.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00016_namespace_names_before_namespace_affinity() {
    let stage = Stage::open("d00016");
    let other = Stage::annotated("d00016-b", &[("team", "d00016".to_owned())], &[]);
    let team = json!({"matchLabels": {"team": "d00016"}});
    let scope = json!({"namespaceName": ["d00016"], "namespaceAffinity": team});
    let pool = stage.pool_with("both", 4, &scope);
    assert_eq!(
        pools(&stage.pod_of("web", &[&pool]).add("eth0"), "eth0"),
        std::slice::from_ref(&pool.name)
    );
    let told = "its namespace names leave out namespace d00016-b";
    other.pod_of("web", &[&pool]).refused("eth0", told);
}
