//! ADD: versions, families, routes, DNS, and asking again.

use crate::lab::{Lab, route, ten};
use crate::talk::Talk;
use serde_json::json;
use spiderpool_core::definition::PoolDraft;

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

#[test]
fn each_version_is_answered_in_itself() {
    let mut talk = Talk::new("add-versions", Lab::new());
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let ask = talk.lab.add(&format!("c{number}")).pools(&["blue"], &["blue6"]).version(version);
        let heard = talk.say(&ask).ok();
        assert_eq!(heard.json()["cniVersion"], version);
        assert_eq!(heard.addresses().len(), 2);
    }
    assert_eq!(talk.held(), 10);
}

#[test]
fn unknown_keys_are_passed_over_in_each_version() {
    let mut talk = Talk::new("add-unknown-keys", Lab::new());
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let ask = talk.lab.add(&format!("c{number}")).version(version).set("mtu", 9000);
        let ask = ask.set("vendor", json!({"x": [1]})).ipam("daemon_socket", "/run/x.sock");
        talk.say(&ask.ipam("future_key", json!({"y": null}))).ok();
    }
}

#[test]
fn an_unsupported_version_is_code_1() {
    let mut talk = Talk::new("add-unsupported-version", Lab::new());
    for version in ["0.2.0", "2.0.0", "1.0"] {
        let ask = talk.lab.add("c1").version(version);
        talk.say(&ask).expect(1);
    }
    assert_eq!(talk.held(), 0);
}

fn with_routes() -> Lab {
    let blue = PoolDraft {
        routes: Some(vec![route("10.100.0.0/16", "10.6.0.2")]),
        ..ten("blue", "10.6.0.", "24")
    };
    let blue6 = PoolDraft {
        routes: Some(vec![route("fd00:100::/32", "fd00:6::2")]),
        ..ten("blue6", "fd00:6::", "64")
    };
    Lab::with([blue, blue6])
}

#[test]
fn routes_come_from_pools_and_annotations() {
    let mut talk = Talk::new("add-routes", with_routes());
    let wish = json!([{"dst": "10.200.0.0/16", "gw": "10.6.0.3"}, {"dst": "10.201.0.0/16", "gw": "10.99.0.1"}]);
    let ask = talk
        .lab
        .add("c1")
        .pools(&["blue"], &["blue6"])
        .annotation("ipam.spidernet.io/routes", &wish);
    let heard = talk.say(&ask).ok();
    let routes = heard.json()["routes"].to_string();
    assert!(routes.contains("10.200.0.0/16") && routes.contains("fd00:100::/32"), "{routes}");
    // Nobody of the pod reaches that next hop: the route is left out, and the log says so.
    assert!(!routes.contains("10.201.0.0/16"), "{routes}");
    assert!(talk.lab.log().contains("10.201.0.0/16"), "{}", talk.lab.log());
}

#[test]
fn a_clean_gateway_leaves_the_default_route_out() {
    let mut talk = Talk::new("add-clean-gateway", with_routes());
    let with = talk.lab.add("c1");
    let without = talk.lab.add("c2").ipam("clean_gateway", true);
    let (with, without) = (talk.say(&with).ok(), talk.say(&without).ok());
    assert!(with.stdout.contains("0.0.0.0/0"), "{with:?}");
    assert!(!without.stdout.contains("0.0.0.0/0"), "{without:?}");
}

#[test]
fn dns_is_the_networks_unless_ipam_has_its_own() {
    let mut talk = Talk::new("add-dns", Lab::new());
    let dns = json!({"nameservers": ["10.1.0.1"], "domain": "net.test", "search": ["a.test"], "options": ["ndots:2"]});
    let of_network = talk.lab.add("c1").set("dns", dns);
    let own = of_network.clone().container("c2").ipam("dns", json!({"nameservers": ["10.1.0.2"]}));
    assert_eq!(talk.say(&of_network).ok().json()["dns"]["domain"], "net.test");
    assert_eq!(talk.say(&own).ok().json()["dns"], json!({"nameservers": ["10.1.0.2"]}));
}

#[test]
fn asking_again_gives_the_same_and_writes_nothing() {
    let mut talk = Talk::new("add-again", Lab::new());
    let ask = talk.lab.add("c1").pools(&["blue"], &["blue6"]).pod("web-0", "u-1");
    let first = talk.say(&ask).ok();
    let before = talk.lab.revision();
    let second = talk.say(&ask).ok();
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(talk.lab.revision(), before);
    assert_eq!(talk.held(), 2);
}

#[test]
fn one_family_is_refused_or_preferred() {
    let lab = Lab::with([
        ten("blue", "10.6.0.", "24"),
        PoolDraft { disabled: true, ..ten("blue6", "fd00:6::", "64") },
    ]);
    let mut talk = Talk::new("add-families", lab);
    let require = talk.lab.add("c1").pools(&["blue"], &["blue6"]);
    let prefer = require.clone().ipam("families", "prefer");
    talk.say(&require).expect(100);
    assert_eq!(talk.held(), 0);
    assert_eq!(talk.say(&prefer).ok().addresses().len(), 1);
}

#[test]
fn without_names_the_default_pools_serve() {
    let default = PoolDraft { is_default: true, ..ten("blue", "10.6.0.", "24") };
    let mut talk =
        Talk::new("add-default-pools", Lab::with([default, ten("green", "10.7.0.", "24")]));
    let ask = talk.lab.add("c1").pools(&[], &[]);
    assert_eq!(talk.say(&ask).ok().address().to_string(), "10.6.0.10");
}
