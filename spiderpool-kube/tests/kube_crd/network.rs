//! Networks and the coordinator: what is accepted, what is refused and what is said.

use crate::{Trial, merged};
use serde_json::{Value, json};

fn network(spec: &Value) -> Trial {
    let base = json!({
        "apiVersion": crate::VERSION, "kind": "SpiderMultusConfig",
        "metadata": {"name": "net", "namespace": "default"}, "spec": spec,
    });
    Trial { plural: "spidermultusconfigs", base }
}

fn coordinator() -> Trial {
    let base = json!({
        "apiVersion": crate::VERSION, "kind": "SpiderCoordinator", "metadata": {"name": "trial"},
        "spec": {"podCIDRType": "auto"},
    });
    Trial { plural: "spidercoordinators", base }
}

/// Each type with its block and every field of it.
fn full() -> Vec<(&'static str, &'static str, Value)> {
    let pools = json!({"ipv4": ["blue", "green-*"], "ipv6": ["red"], "matchMasterSubnet": false});
    let bond = json!({"name": "bond0", "mode": 1, "options": "primary=eth1;miimon=100"});
    let child = json!({
        "master": ["eth0", "eth1"], "mtu": 9000, "vlanID": 4094, "bond": bond,
        "rdmaResourceName": "spidernet.io/shared", "ippools": pools,
    });
    let vlan = merged(&child, &json!({"vlanMode": "manual"}));
    let sriov = json!({
        "resourceName": "spidernet.io/sriov", "vlanID": 100, "mtu": 0, "minTxRateMbps": 10,
        "maxTxRateMbps": 100, "rdmaIsolation": true,
        "ippools": {"ipv4": ["blue"], "matchMasterSubnet": true},
    });
    let ibsriov = json!({
        "resourceName": "spidernet.io/ib", "pkey": "0x8001", "linkState": "auto",
        "rdmaIsolation": false, "enableIbKubernetes": true, "ippools": pools,
    });
    let ovs = json!({
        "bridge": "br-ovs", "vlan": 100, "deviceID": "0000:00:1f.6", "ippools": pools,
        "trunk": [{"id": 5}, {"minID": 10, "maxID": 20}],
    });
    vec![
        ("macvlan", "macvlan", child.clone()),
        ("ipvlan", "ipvlan", child),
        ("vlan", "vlan", vlan),
        ("sriov", "sriov", sriov),
        ("ib-sriov", "ibsriov", ibsriov),
        ("ipoib", "ipoib", json!({"master": "ib0", "ippools": pools})),
        ("ovs", "ovs", ovs),
    ]
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn every_field_of_a_network_is_taken() {
    for (kind, block, content) in full() {
        let coordinator = json!({"mode": "underlay", "podRPFilter": -1});
        let spec = json!({
            "cniType": kind, block: content, "enableCoordinator": true, "disableIPAM": false,
            "coordinator": coordinator, "chainCNIJsonData": ["{\"type\": \"tuning\"}"],
        });
        network(&spec).accepts(&json!({}));
    }
    network(&json!({"cniType": "custom", "customCNI": "{}"})).accepts(&json!({}));
    let reply = network(&json!({"coordinator": {}})).try_spec(&json!({}));
    let expected = json!({
        "cniType": "custom", "enableCoordinator": true, "disableIPAM": false,
        "coordinator": {"mode": "auto", "tunePodRoutes": true, "hostRuleTable": 500, "podRPFilter": 0, "txQueueLen": 0},
    });
    assert_eq!(reply.json().get("spec"), Some(&expected));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_network_has_the_block_of_its_type() {
    let own = "has to be there for its own `cniType`, and for no other";
    for (kind, block, content) in full() {
        network(&json!({"cniType": kind})).refuses(&json!({}), own);
        network(&json!({"cniType": "custom", block: content})).refuses(&json!({}), own);
        let custom = json!({"cniType": kind, block: content, "customCNI": "{}"});
        network(&custom).refuses(&json!({}), "is only for `cniType: custom`");
    }
    network(&json!({"cniType": "bridge"}))
        .refuses(&json!({}), "spec.cniType: Unsupported value: \"bridge\"");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn wrong_blocks_are_refused() {
    let sriov_only = "is only for `cniType: sriov`";
    for (kind, block, content) in full() {
        let trial = network(&json!({"cniType": kind, block: content}));
        let check = |edit: Value, expected: &str| trial.refuses(&json!({ block: edit }), expected);
        if kind != "sriov" {
            check(json!({"ippools": {"matchMasterSubnet": true}}), sriov_only);
        }
        check(json!({"ippools": {"ipv4": ["a b"]}}), "is not a name; write one without blanks");
        if ["macvlan", "ipvlan", "vlan"].contains(&kind) {
            check(json!({"master": []}), "master");
            check(json!({"master": null}), "master: Required value");
            check(json!({"master": ["a-name-that-is-too-long"]}), "master[0]: Too long");
            check(json!({"master": ["et h"]}), "is not the name of an interface");
            check(json!({"bond": null}), "is missing; several masters are joined to a bond");
            check(json!({"bond": {"name": null}}), "bond.name: Required value");
            check(json!({"bond": {"mode": 7}}), "should be less than or equal to 6");
            check(json!({"mtu": -1}), "should be greater than or equal to 0");
            check(json!({"vlanID": 4095}), "should be less than or equal to 4094");
            trial.accepts(&json!({ block: {"master": ["eth0"], "bond": null} }));
        }
    }
    let check = |at: usize, edit: Value, expected: &str| {
        let (kind, block, content) = full().remove(at);
        network(&json!({"cniType": kind, block: content}))
            .refuses(&json!({ block: edit }), expected);
    };
    check(2, json!({"vlanMode": "auto"}), "cannot be stated with `vlanMode: auto`");
    check(2, json!({"vlanMode": "other"}), "Unsupported value: \"other\"");
    check(3, json!({"resourceName": ""}), "resourceName");
    check(3, json!({"resourceName": null}), "resourceName: Required value");
    check(3, json!({"minTxRateMbps": 101}), "is above `maxTxRateMbps`; write a lower one");
    check(3, json!({"vlanID": -1}), "should be greater than or equal to 0");
    check(4, json!({"linkState": "up"}), "supported values: \"auto\", \"enable\", \"disable\"");
    check(4, json!({"resourceName": null}), "resourceName: Required value");
    check(5, json!({"master": null}), "master: Required value");
    check(6, json!({"bridge": null}), "bridge: Required value");
    check(6, json!({"vlan": 4095}), "should be less than or equal to 4094");
    check(6, json!({"trunk": [{"minID": 5}]}), "has one end of a range");
    check(
        6,
        json!({"trunk": [{"minID": 5, "maxID": 4}]}),
        "runs backwards; `minID` is the lower one",
    );
    check(6, json!({"trunk": [{}]}), "names no VLAN");
    check(6, json!({"trunk": [{"id": 4096}]}), "should be less than or equal to 4094");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_coordinator_is_checked() {
    let trial = coordinator();
    trial.accepts(&json!({
        "mode": "disabled", "podCIDRType": "none", "hijackCIDR": ["10.96.0.0/12", "169.254.20.10", "fd00::/64"],
        "policyRoutes": [{"dst": "10.9.0.0/16", "gw": "10.6.0.1"}, {"dst": "fd00::1", "gw": "fd00::2"}],
        "podMACPrefix": "0a:1B", "tunePodRoutes": false, "podDefaultRouteNIC": "net1", "hostRuleTable": 600,
        "podRPFilter": -1, "txQueueLen": 1000, "vethLinkAddress": "169.254.100.1", "vethMTU": 1450,
    }));
    trial.accepts(&json!({"podMACPrefix": "", "podDefaultRouteNIC": "", "vethLinkAddress": ""}));
    for (spec, expected) in [
        (json!({"podCIDRType": null}), "spec.podCIDRType: Required value"),
        (json!({"podCIDRType": "flannel"}), "Unsupported value: \"flannel\""),
        (
            json!({"mode": "disable"}),
            "supported values: \"auto\", \"underlay\", \"overlay\", \"disabled\"",
        ),
        (json!({"hijackCIDR": ["10.96"]}), "is neither a prefix nor an address"),
        (json!({"policyRoutes": [{"dst": "10.9.0.0/16"}]}), "policyRoutes[0].gw: Required value"),
        (
            json!({"policyRoutes": [{"dst": "10.9.0.0/16", "gw": "fd00::1"}]}),
            "is not of the version of `dst`",
        ),
        (
            json!({"policyRoutes": [{"dst": "x", "gw": "10.6.0.1"}]}),
            "is neither a prefix nor an address",
        ),
        (json!({"podMACPrefix": "01:00"}), "is not the beginning of a hardware address"),
        (json!({"podMACPrefix": "0a-00"}), "of which the first is even"),
        (json!({"podDefaultRouteNIC": "a b"}), "is not the name of an interface"),
        (json!({"hostRuleTable": -1}), "should be greater than or equal to 0"),
        (json!({"podRPFilter": 3}), "should be less than or equal to 2"),
        (json!({"txQueueLen": -1}), "should be greater than or equal to 0"),
        (json!({"vethLinkAddress": "169.254.100.1/32"}), "without a prefix length"),
        (json!({"vethMTU": 0}), "should be greater than or equal to 1"),
        (json!({"tunePodRoutes": "yes"}), "must be of type boolean"),
    ] {
        trial.refuses(&spec, expected);
    }
    // The same holds within a network, where podCIDRType may be left out.
    let trial = network(&json!({"coordinator": {"hijackCIDR": ["10.96.0.0/12"]}}));
    trial.accepts(&json!({}));
    trial.refuses(
        &json!({"coordinator": {"podMACPrefix": "01:00"}}),
        "spec.coordinator.podMACPrefix",
    );
}
