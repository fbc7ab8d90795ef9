//! List E: addresses for pods of every workload, in either family and in both.

use crate::pod::{Pod, addresses, pools};
use crate::room::{admin, create, eventually};
use crate::seen::{endpoint, event, slots_in, slots_of};
use crate::stage::{IPPOOL, IPPOOLS, Pool, Stage};
use serde_json::{Value, json};
use spiderpool_agent_api::message::IpamAddResponse;

/// Which families pods ask for.
const FAMILIES: [(&str, bool, bool); 3] =
    [("four", true, false), ("six", false, true), ("both", true, true)];

/// The annotation of a case.
fn wanted(four: &Pool, six: &Pool, (_, v4, v6): (&str, bool, bool)) -> String {
    let mut wanted = json!({});
    for (key, pool, asked) in [("ipv4", four, v4), ("ipv6", six, v6)] {
        if asked {
            wanted[key] = json!([pool.name]);
        }
    }
    wanted.to_string()
}

/// The pools that a case's pods have addresses of.
fn expected(four: &Pool, six: &Pool, (_, v4, v6): (&str, bool, bool)) -> Vec<String> {
    let both = [(four, v4), (six, v6)];
    both.iter().filter(|(_, asked)| *asked).map(|(pool, _)| pool.name.clone()).collect()
}

fn case_of(pod: &Pod) -> (&'static str, bool, bool) {
    FAMILIES.into_iter().find(|(name, ..)| pod.name.starts_with(name)).unwrap()
}

/// Workloads of a kind for each case, of which each pod has what was asked for, shown and held.
fn for_workloads(id: &str, plural: &str, each: usize, kind: &str) {
    let mut stage = Stage::open(id);
    let (four, six) = (stage.pool("four", 20), stage.pool_v6("six", 20));
    for case in FAMILIES {
        let notes = [(IPPOOL, wanted(&four, &six, case))];
        let count = u8::try_from(each).unwrap();
        stage.workload(plural, case.0, count, &notes);
    }
    stage.settle("every pod", FAMILIES.len() * each, |pod, replies| {
        pools(&replies[0], "eth0") == expected(&four, &six, case_of(pod))
    });
    for (pod, replies) in stage.running() {
        verify(pod, &replies[0], (&four, &six), (kind, case_of(pod).0));
    }
    let held = |pool: &Pool| slots_in(&pool.name).len();
    assert_eq!((held(&four), held(&six)), (2 * each, 2 * each), "each address once");
    let background = json!({"propagationPolicy": "Background"});
    for (name, ..) in FAMILIES {
        let path = format!("{}/{name}", stage.workloads(plural));
        admin().call("DELETE", &path, Some(&background)).unwrap();
    }
    stage.settle("nobody is left", 0, |_, _| true);
    // A replica's addresses end with its identity, which is the controller's to say.
    let left = if plural == "statefulsets" { 2 * each } else { 0 };
    assert_eq!((held(&four), held(&six)), (left, left));
}

/// The addresses that an endpoint shows for its first interface, sorted.
fn shown(endpoint: &Value) -> Vec<String> {
    let shown = &endpoint["status"]["current"]["ips"][0];
    let shown = [&shown["ipv4"], &shown["ipv6"]].into_iter().filter_map(Value::as_str);
    let mut shown: Vec<_> = shown.map(str::to_owned).collect();
    shown.sort();
    shown
}

/// What a pod was told is what its block and its endpoint say.
fn verify(pod: &Pod, reply: &IpamAddResponse, pools: (&Pool, &Pool), owner: (&str, &str)) {
    let mut told = addresses(reply, "eth0");
    let fits = |address: &String| pools.0.has(address) || pools.1.has(address);
    assert!(told.iter().all(fits), "{told:?}");
    let mut held: Vec<_> = slots_of(pod).iter().map(|slot| slot.address.to_string()).collect();
    [&mut told, &mut held].into_iter().for_each(|list| list.sort());
    // A replica's endpoint is made with the grant, to name its slots; what is shown follows.
    let endpoint = eventually("all addresses in the endpoint", || {
        let endpoint = endpoint(pod);
        (shown(&endpoint) == told).then_some(endpoint)
    });
    let bare: Vec<_> = told.iter().map(|text| text.split('/').next().unwrap()).collect();
    assert_eq!(held, bare);
    let status = &endpoint["status"];
    assert_eq!(
        (&status["ownerControllerType"], &status["ownerControllerName"]),
        (&json!(owner.0), &json!(owner.1))
    );
    assert_eq!(status["current"]["node"], *pod.node);
    let is_static = owner.0 == "StatefulSet";
    assert_eq!(endpoint["metadata"]["ownerReferences"].is_array(), !is_static, "{endpoint}");
    assert_eq!(endpoint["metadata"]["finalizers"].is_array(), is_static, "{endpoint}");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00001_pods() {
    let stage = Stage::open("e00001");
    let (four, six) = (stage.pool("four", 20), stage.pool_v6("six", 20));
    for case in FAMILIES {
        let pod = stage.pod(case.0, &[(IPPOOL, wanted(&four, &six, case))]);
        let reply = pod.add("eth0");
        assert_eq!(pools(&reply, "eth0"), expected(&four, &six, case));
        verify(&pod, &reply, (&four, &six), ("Pod", case.0));
        // Another sandbox of the pod has the same; the end of the first one changes nothing.
        let again = pod.again();
        assert_eq!(addresses(&again.add("eth0"), "eth0"), addresses(&reply, "eth0"));
        pod.del("eth0");
        assert!(slots_of(&pod).iter().all(|slot| slot.container == again.container));
        stage.end(&again);
        assert!(slots_of(&pod).is_empty());
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00002_deployments() {
    for_workloads("e00002", "deployments", 2, "Deployment");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00003_stateful_sets() {
    for_workloads("e00003", "statefulsets", 2, "StatefulSet");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00004_daemon_sets() {
    for_workloads("e00004", "daemonsets", 2, "DaemonSet");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00005_jobs() {
    for_workloads("e00005", "jobs", 2, "Job");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00006_replica_sets() {
    for_workloads("e00006", "replicasets", 2, "ReplicaSet");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00007_a_pod_with_a_very_long_manifest() {
    let stage = Stage::open("e00007");
    let pool = stage.pool("blue", 2);
    let variable = |at: u32| json!({"name": format!("VARIABLE_{at}"), "value": "x".repeat(400)});
    let variables: Vec<_> = (0..1_500).map(variable).collect();
    let object = json!({
        "metadata": {
            "name": "long", "labels": {"app": "long"},
            "annotations": {IPPOOL: json!({"ipv4": [pool.name]}).to_string(), "long": "y".repeat(200_000)},
        },
        "spec": {"nodeName": "east", "containers": [{"name": "a", "image": "none", "env": variables}]},
    });
    let pod = Pod::of(&create("/api/v1/namespaces/e00007/pods", &object));
    assert_eq!(pools(&pod.add("eth0"), "eth0"), std::slice::from_ref(&pool.name));
    assert_eq!(endpoint(&pod)["status"]["current"]["ips"][0]["ipv4Pool"], *pool.name);
    stage.end(&pod);
    assert!(slots_in(&pool.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00008_a_full_pool_and_room_again() {
    let stage = Stage::open("e00008");
    let pool = stage.pool("narrow", 2);
    let [first, second, third] = ["a", "b", "c"].map(|name| stage.pod_of(name, &[&pool]));
    first.add("eth0");
    second.add("eth0");
    let told = third.refused("eth0", "all its addresses are taken");
    assert_eq!((told.code, told.reason.as_deref()), (Some(100), Some("NoAddress")));
    assert!(told.message.contains("it would succeed after this: "), "{}", told.message);
    let text = event(&third, "NoAddress", "all its addresses are taken");
    assert!(text.starts_with("interface eth0: "), "{text}");
    let freed = slots_of(&first)[0].address;
    stage.end(&first);
    third.add("eth0");
    assert_eq!(slots_of(&third)[0].address, freed);
    assert_eq!(slots_in(&pool.name).len(), 2);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00009_one_family_is_asked_for() {
    let stage = Stage::open("e00009");
    let (four, six) = (stage.pool("four", 4), stage.pool_v6("six", 4));
    for (name, key, pool) in [("a", "ipv4", &four), ("b", "ipv6", &six)] {
        let each = json!([{"interface": "eth0", key: [pool.name]}]).to_string();
        let reply = stage.pod(name, &[(IPPOOLS, each)]).add("eth0");
        assert_eq!(pools(&reply, "eth0"), std::slice::from_ref(&pool.name));
        assert_eq!(slots_in(&pool.name).len(), 1);
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn e00010_pools_for_an_application_are_refused() {
    let stage = Stage::open("e00010");
    let subnet = json!({"interface": "eth0", "ipv4": ["some"]}).to_string();
    let pod = stage.pod("web", &[("ipam.spidernet.io/subnet", subnet)]);
    let told = pod.refused("eth0", "pools made for an application come later");
    assert_eq!(told.code, Some(7));
    event(&pod, "AddressNotAssigned", "name pools with `ipam.spidernet.io/ippool`");
}
