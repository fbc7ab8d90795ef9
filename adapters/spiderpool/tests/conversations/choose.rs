//! ADD: which pools and which addresses are asked for, and by whom.

use crate::lab::{Lab, range};
use crate::talk::Talk;
use serde_json::json;

#[test]
fn two_interfaces_share_one_annotation() {
    let mut talk = Talk::new("choose-two-nics", Lab::new());
    let nics = json!([
        {"interface": "eth0", "ipv4": ["blue"], "ipv6": ["blue6"]},
        {"interface": "net1", "ipv4": ["green"], "ipv6": ["green6"]},
    ]);
    let eth0 =
        talk.lab.add("c1").pod("web-0", "u-1").annotation("ipam.spidernet.io/ippools", &nics);
    let net1 = eth0.clone().nic("net1").set("name", "second");
    let first = talk.say(&eth0).ok();
    // The second interface is granted together with the first: it can no longer be refused.
    assert_eq!(talk.held(), 4);
    let second = talk.say(&net1).ok();
    assert_eq!(talk.held(), 4);
    assert_eq!(first.addresses()[0].to_string(), "10.6.0.10");
    assert_eq!(second.addresses()[0].to_string(), "10.7.0.10");
    for nic in ["net1", "eth0"] {
        let del = talk.lab.del("c1").nic(nic);
        talk.say(&del).ok();
    }
    talk.lab.is_as_new();
}

#[test]
fn two_interfaces_on_one_pool_have_two_addresses() {
    let mut talk = Talk::new("choose-one-pool-twice", Lab::new());
    let eth0 = talk.lab.add("c1").pod("web-0", "u-1");
    let net1 = eth0.clone().nic("net1");
    let (first, second) = (talk.say(&eth0).ok().address(), talk.say(&net1).ok().address());
    assert_ne!(first, second);
}

#[test]
fn the_annotation_goes_before_the_configuration() {
    let mut talk = Talk::new("choose-annotation", Lab::new());
    let wish = json!({"ipv4": ["green"]});
    let ask = talk.lab.add("c1").annotation("ipam.spidernet.io/ippool", &wish);
    assert_eq!(talk.say(&ask).ok().address().to_string(), "10.7.0.10");
}

#[test]
fn patterns_name_pools() {
    let pools = ["rack-a", "rack-b", "other"].into_iter().zip(["10.1.0.", "10.2.0.", "10.3.0."]);
    let pools = pools.map(|(name, begin)| range(name, begin, "24", "10", "10"));
    let mut talk = Talk::new("choose-patterns", Lab::with(pools));
    let ask = |talk: &Talk, id: &str| talk.lab.add(id).pools(&["rack-*"], &[]);
    for (id, expected) in [("c1", "10.1.0.10"), ("c2", "10.2.0.10")] {
        let ask = ask(&talk, id);
        assert_eq!(talk.say(&ask).ok().address().to_string(), expected);
    }
    let third = ask(&talk, "c3");
    talk.say(&third).expect(100);
    assert_eq!(talk.held(), 2);
}

#[test]
fn named_addresses_come_by_three_ways() {
    let mut talk = Talk::new("choose-named", Lab::new());
    let argument = talk.lab.add("c1").args("IgnoreUnknown=1;IP=10.6.0.15");
    let capability = talk.lab.add("c2").set("runtimeConfig", json!({"ips": ["10.6.0.16/24"]}));
    let convention = talk.lab.add("c3").set("args", json!({"cni": {"ips": ["10.6.0.17"]}}));
    for (ask, expected) in
        [(argument, "10.6.0.15"), (capability, "10.6.0.16"), (convention, "10.6.0.17")]
    {
        assert_eq!(talk.say(&ask).ok().address().to_string(), expected);
    }
    let taken = talk.lab.add("c4").args("IP=10.6.0.15");
    talk.say(&taken).expect(100);
    let outside = talk.lab.add("c5").args("IP=10.6.0.99");
    talk.say(&outside).expect(100);
    let both = talk.lab.add("c6").pools(&["blue"], &["blue6"]).args("IP=10.6.0.18,fd00:6::18");
    assert_eq!(talk.say(&both).ok().addresses().len(), 2);
    let none = talk.lab.add("c7").args("IP=web-0");
    talk.say(&none).expect(4);
    assert_eq!(talk.held(), 5);
}

#[test]
fn an_exhausted_pool_shows_every_candidate() {
    let lab = Lab::with([
        range("blue", "10.6.0.", "24", "10", "10"),
        range("green", "10.7.0.", "24", "10", "10"),
    ]);
    let mut talk = Talk::new("choose-exhausted", lab);
    for id in ["c1", "c2"] {
        let ask = talk.lab.add(id).pools(&["blue", "green"], &[]);
        talk.say(&ask).ok();
    }
    let third = talk.lab.add("c3").pools(&["blue", "green"], &[]);
    let heard = talk.say(&third).expect(100).json();
    let details: serde_json::Value =
        serde_json::from_str(heard["details"].as_str().unwrap()).unwrap();
    let text = details.to_string();
    assert!(text.contains("blue") && text.contains("green"), "{text}");
    assert_eq!(talk.held(), 2);
}

#[test]
fn an_unknown_pool_is_named() {
    let mut talk = Talk::new("choose-unknown-pool", Lab::new());
    let ask = talk.lab.add("c1").pools(&["bleu"], &[]);
    let heard = talk.say(&ask).expect(100);
    assert!(heard.json()["msg"].as_str().unwrap().contains("bleu"), "{heard:?}");
}

#[test]
fn the_order_of_arguments_means_nothing() {
    let mut talk = Talk::new("choose-argument-order", Lab::new());
    let pairs =
        ["IgnoreUnknown=1", "K8S_POD_NAMESPACE=default", "K8S_POD_NAME=web-0", "K8S_POD_UID=u-1"];
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..pairs.len() {
        let mut turned = pairs;
        turned.rotate_left(turn);
        let ask = talk.lab.add("c1").args(&turned.join(";"));
        seen.insert(talk.say(&ask).ok().stdout);
    }
    assert_eq!(seen.len(), 1);
    assert_eq!(talk.held(), 1);
}

#[test]
fn a_static_identity_outlives_its_pods() {
    let mut talk = Talk::new("choose-static-identity", Lab::new());
    let add = |talk: &Talk, id: &str| talk.lab.add(id).ipam("owner", "name").pod("web-0", id);
    let first = add(&talk, "c1");
    let address = talk.say(&first).ok().address();
    let del = talk.lab.del("c1").ipam("owner", "name");
    talk.say(&del).ok();
    assert_eq!(talk.held(), 1);
    let gc = talk.lab.ask("GC", "c1").version("1.1.0").set("cni.dev/valid-attachments", json!([]));
    talk.say(&gc).ok();
    assert_eq!(talk.held(), 1);
    let stranger = talk.lab.add("c9");
    assert_ne!(talk.say(&stranger).ok().address(), address);
    let again = add(&talk, "c2");
    assert_eq!(talk.say(&again).ok().address(), address);
    let nameless = talk.lab.add("c3").ipam("owner", "name");
    talk.say(&nameless).expect(4);
}
