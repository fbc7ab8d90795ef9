//! List A, first half: what pods and namespaces say, and what goes before what.

use crate::pod::{addresses, pools, routes};
use crate::room::{create, eventually, patch, room};
use crate::seen::{GROUP, endpoint_nic, event, slots_in, slots_of};
use crate::stage::{IPPOOL, IPPOOLS, Stage, names, v4};
use serde_json::json;
use spiderpool_agent_api::message::{IpamAddArgs, PodQuery};

const OF_NAMESPACE: &str = "ipam.spidernet.io/default-ipv4-ippool";
const ROUTES: &str = "ipam.spidernet.io/routes";

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00002_unknown_fields_are_passed_over() {
    let stage = Stage::open("a00002");
    let pool = stage.prefix("blue", 4);
    let gateway = format!("{}1", pool.base);
    let pool = stage.fill(pool, 2, &json!({"gateway": gateway}));
    let pools = json!({"ipv4": [pool.name], "colour": "red"}).to_string();
    let extra = json!([{"dst": "172.20.0.0/16", "gw": gateway, "metric": 7}]).to_string();
    let notes =
        [(IPPOOL, pools), (ROUTES, extra), ("ipam.spidernet.io/unheard-of", "{".to_owned())];
    let pod = stage.pod("web", &notes);
    let reply = pod.add("eth0");
    let expected = [format!("0.0.0.0/0 via {gateway}"), format!("172.20.0.0/16 via {gateway}")];
    assert_eq!(routes(&reply, "eth0"), expected);
    let shown = endpoint_nic(&pod, "eth0");
    assert_eq!(shown["routes"], json!([{"dst": "172.20.0.0/16", "gw": gateway}]));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00003_a_malformed_annotation_is_told() {
    let stage = Stage::open("a00003");
    let texts = [r#"{"ipv4": ["a"]"#, r#"{"ipv4": "a"}"#, "{}"];
    for (name, text) in ["a", "b", "c"].into_iter().zip(texts) {
        let pod = stage.pod(name, &[(IPPOOL, text.to_owned())]);
        let told = pod.refused("eth0", "annotation `ipam.spidernet.io/ippool`: ");
        assert!(told.message.contains("wrong input: "), "{}", told.message);
        assert_eq!(told.code, Some(7));
        event(&pod, "AddressNotAssigned", "annotation `ipam.spidernet.io/ippool`: ");
        assert!(slots_of(&pod).is_empty());
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00004_pod_before_namespace_before_network() {
    let plain = Stage::open("a00004");
    let [of_pod, of_namespace, of_network] = ["p", "n", "c"].map(|name| plain.pool(name, 2));
    let note = (OF_NAMESPACE, json!(names(&[&of_namespace])).to_string());
    let annotated = Stage::annotated("a00004-n", &[], &[note]);
    let pool_of = |stage: &Stage, name: &str, named: bool| {
        let notes = [(IPPOOL, v4(&[&of_pod]).to_string())];
        let pod = stage.pod(name, if named { &notes } else { &[] });
        let default_ipv4_ippool = names(&[&of_network]);
        let request = IpamAddArgs { default_ipv4_ippool, ..pod.request("eth0") };
        pools(&pod.add_with(&request), "eth0")
    };
    assert_eq!(pool_of(&annotated, "all", true), std::slice::from_ref(&of_pod.name));
    assert_eq!(pool_of(&annotated, "two", false), std::slice::from_ref(&of_namespace.name));
    assert_eq!(pool_of(&plain, "one", false), std::slice::from_ref(&of_network.name));
    assert_eq!(pool_of(&plain, "named", true), std::slice::from_ref(&of_pod.name));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00005_ippools_before_ippool() {
    let stage = Stage::open("a00005");
    let (one, many) = (stage.pool("one", 2), stage.pool("many", 2));
    let each = json!([{"interface": "eth0", "ipv4": [many.name]}]).to_string();
    let pod = stage.pod("web", &[(IPPOOL, v4(&[&one]).to_string()), (IPPOOLS, each)]);
    assert_eq!(pools(&pod.add("eth0"), "eth0"), [many.name]);
    assert!(slots_in(&one.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00006_namespace_before_cluster_default() {
    let plain = Stage::open("a00006");
    let default = json!({"default": true, "namespaceName": ["a00006", "a00006-n"]});
    let (default, own) = (plain.pool_with("default", 2, &default), plain.pool("own", 2));
    let note = (OF_NAMESPACE, json!(names(&[&own])).to_string());
    let annotated = Stage::annotated("a00006-n", &[], &[note]);
    let named = annotated.pod("web", &[]).add("eth0");
    assert_eq!(pools(&named, "eth0"), [own.name]);
    let unnamed = plain.pod("web", &[]).add("eth0");
    assert_eq!(pools(&unnamed, "eth0"), [default.name]);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00007_patterns_of_a_namespace() {
    let note = (OF_NAMESPACE, json!(["a00007-b*", "a00007-[xy]"]).to_string());
    let stage = Stage::annotated("a00007", &[], &[note]);
    let [blue, brown, y, _red] = ["blue", "brown", "y", "red"].map(|name| stage.pool(name, 1));
    let mut had = Vec::new();
    for name in ["a", "b", "c"] {
        had.extend(pools(&stage.pod(name, &[]).add("eth0"), "eth0"));
    }
    assert_eq!(had, [blue.name, brown.name, y.name]);
    stage.pod("d", &[]).refused("eth0", "all its addresses are taken");
    // A pattern that matches nothing is told, and no family that vanishes.
    let note = (OF_NAMESPACE, json!(["a00007-none-*"]).to_string());
    let other = Stage::annotated("a00007-n", &[], &[note]);
    other.pod("a", &[]).refused("eth0", "the pattern matches no pool of this family");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00008_several_containers_are_one_pod() {
    let stage = Stage::open("a00008");
    let pool = stage.pool("blue", 4);
    let containers = ["a", "b", "c"].map(|name| json!({"name": name, "image": "none"}));
    let object = json!({
        "metadata": {"name": "web", "annotations": {IPPOOL: v4(&[&pool]).to_string()}},
        "spec": {"nodeName": "east", "containers": containers},
    });
    let made = create("/api/v1/namespaces/a00008/pods", &object);
    let pod = crate::pod::Pod::of(&made);
    let first = pod.add("eth0");
    assert_eq!(addresses(&first, "eth0"), addresses(&pod.add("eth0"), "eth0"));
    assert_eq!(slots_in(&pool.name).len(), 1);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00009_pods_move_to_another_pool() {
    let mut stage = Stage::open("a00009");
    let (before, after) = (stage.pool("before", 8), stage.pool("after", 8));
    let notes = [(IPPOOL, v4(&[&before]).to_string())];
    stage.workload("deployments", "web", 2, &notes);
    stage.workload("statefulsets", "db", 2, &notes);
    let all_of = |name: String| {
        move |_: &crate::pod::Pod, replies: &[spiderpool_agent_api::message::IpamAddResponse]| {
            pools(&replies[0], "eth0") == [name.clone()]
        }
    };
    stage.settle("all have the first pool", 4, all_of(before.name.clone()));
    let notes = [(IPPOOL, v4(&[&after]).to_string())];
    stage.annotate("deployments", "web", &notes);
    stage.annotate("statefulsets", "db", &notes);
    stage.settle("all have the second pool", 4, all_of(after.name.clone()));
    assert_eq!(slots_in(&before.name), []);
    assert_eq!(slots_in(&after.name).len(), 4);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a00012_the_default_route_nic_is_told() {
    let stage = Stage::open("a00012");
    let coordinators = format!("{GROUP}/spidercoordinators");
    create(
        &coordinators,
        &json!({
            "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderCoordinator",
            "metadata": {"name": "default"}, "spec": {"mode": "underlay", "podCIDRType": "none", "podDefaultRouteNIC": "eth0"},
        }),
    );
    let status = json!({"status": {
        "phase": "Synced", "overlayPodCIDR": ["10.244.0.0/16"], "serviceCIDR": ["10.96.0.0/16"],
    }});
    patch(&format!("{coordinators}/default/status"), &status);
    let told = |name: &str, nic: Option<&str>| {
        let note = nic.map(|nic| ("ipam.spidernet.io/default-route-nic", nic.to_owned()));
        let pod = stage.pod(name, note.as_slice());
        let query = PodQuery::of(&pod.namespace, &pod.name);
        eventually("the coordinator's configuration", || {
            room().client(&pod.node).coordinator_config(&query).ok()
        })
    };
    assert_eq!(told("plain", None).pod_default_route_nic.as_deref(), Some("eth0"));
    let chosen = told("chosen", Some("net1"));
    assert_eq!(chosen.pod_default_route_nic.as_deref(), Some("net1"));
    assert_eq!(
        (chosen.mode.as_str(), chosen.service_cidr),
        ("underlay", vec!["10.96.0.0/16".to_owned()])
    );
}
