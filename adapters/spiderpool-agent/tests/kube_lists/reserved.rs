//! List S: addresses that nobody is given.

use crate::pod::{Pod, addresses};
use crate::room::{admin, create, eventually, patch};
use crate::seen::{GROUP, slots_in};
use crate::stage::Stage;
use serde_json::json;
use spiderpool_agent_api::AgentFault;

/// Waits until a pool has nothing for a pod: a reservation reaches an agent a moment after it was made.
fn in_force(pod: &Pod) {
    eventually("the reservation is in force", || match pod.ask(&pod.request("eth0")) {
        Err(AgentFault::Refused { body, .. }) => {
            body.message.contains("all its addresses are taken").then_some(())
        }
        Err(_) => None,
        Ok(_) => {
            pod.give_back("eth0");
            None
        }
    });
}

fn sorted(had: &[Vec<String>; 2]) -> Vec<String> {
    let mut all = had.concat();
    all.sort();
    all
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn s00001_a_reserved_address_is_not_given() {
    let stage = Stage::open("s00001");
    let pool = stage.prefix("blue", 4);
    let reserved = json!({
        "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderReservedIP",
        "metadata": {"name": "s00001"}, "spec": {"ips": [format!("{0}11-{0}12", pool.base)]},
    });
    create(&format!("{GROUP}/spiderreservedips"), &reserved);
    let both = json!({"ips": [format!("{0}11-{0}12", pool.base)]});
    let pool = stage.fill(pool, 2, &both);
    in_force(&stage.pod_of("early", &[&pool]));
    patch(&pool.path(), &json!({"spec": {"ips": [format!("{0}10-{0}13", pool.base)]}}));
    let [first, second] = ["a", "b"].map(|name| stage.pod_of(name, &[&pool]));
    let had = [&first, &second].map(|pod| addresses(&pod.add("eth0"), "eth0"));
    assert_eq!(sorted(&had), [pool.at("10"), pool.at("13")]);
    let third = stage.pod_of("c", &[&pool]);
    third.refused("eth0", "all its addresses are taken");
    admin().call("DELETE", &format!("{GROUP}/spiderreservedips/s00001"), None).unwrap();
    third.add("eth0");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn s00002_an_excluded_address_is_not_given() {
    let stage = Stage::open("s00002");
    let pool = stage.prefix("blue", 4);
    let excluded = json!({"excludeIPs": [format!("{0}11-{0}12", pool.base)]});
    let pool = stage.fill(pool, 4, &excluded);
    let [first, second, third] = ["a", "b", "c"].map(|name| stage.pod_of(name, &[&pool]));
    let had = [&first, &second].map(|pod| addresses(&pod.add("eth0"), "eth0"));
    assert_eq!(sorted(&had), [pool.at("10"), pool.at("13")]);
    third.refused("eth0", "all its addresses are taken");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn s00003_a_pod_keeps_an_address_that_is_excluded() {
    let stage = Stage::open("s00003");
    let pool = stage.pool("blue", 1);
    let pod = stage.pod_of("web", &[&pool]);
    let had = addresses(&pod.add("eth0"), "eth0");
    patch(&pool.path(), &json!({"spec": {"excludeIPs": [format!("{}10", pool.base)]}}));
    assert_eq!(addresses(&pod.again().add("eth0"), "eth0"), had);
    assert_eq!(slots_in(&pool.name).len(), 1);
    stage.end(&pod.again());
    assert!(slots_in(&pool.name).is_empty());
    stage.pod_of("late", &[&pool]).refused("eth0", "all its addresses are taken");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn s00004_exclusions_are_changed_by_hand() {
    let stage = Stage::open("s00004");
    let pool = stage.pool("blue", 2);
    patch(&pool.path(), &json!({"spec": {"excludeIPs": [format!("{}10", pool.base)]}}));
    let [first, second] = ["a", "b"].map(|name| stage.pod_of(name, &[&pool]));
    assert_eq!(addresses(&first.add("eth0"), "eth0"), [pool.at("11")]);
    second.refused("eth0", "all its addresses are taken");
    patch(&pool.path(), &json!({"spec": {"excludeIPs": []}}));
    assert_eq!(addresses(&second.add("eth0"), "eth0"), [pool.at("10")]);
}
