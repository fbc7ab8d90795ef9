//! Pools, subnets and reservations: what is accepted, what is refused and what is said.

use crate::{Trial, merged, path, send};
use serde_json::{Value, json};

fn pool(name: &str) -> Trial {
    let base = json!({
        "apiVersion": crate::VERSION, "kind": "SpiderIPPool", "metadata": {"name": name},
        "spec": {"subnet": "10.6.0.0/16"},
    });
    Trial { plural: "spiderippools", base }
}

fn subnet(name: &str) -> Trial {
    let base = merged(&pool(name).base, &json!({"kind": "SpiderSubnet"}));
    Trial { plural: "spidersubnets", base }
}

fn reservation(name: &str) -> Trial {
    let base = json!({
        "apiVersion": crate::VERSION, "kind": "SpiderReservedIP", "metadata": {"name": name},
        "spec": {"ips": ["10.6.0.1"]},
    });
    Trial { plural: "spiderreservedips", base }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn every_field_of_a_pool_is_taken() {
    let trial = pool("full");
    trial.accepts(&json!({
        "ipVersion": 4,
        "ips": ["10.6.0.9", "10.6.0.10-10.6.0.99", "10.6.1.0/24"],
        "excludeIPs": ["10.6.0.50"],
        "gateway": "10.6.0.1",
        "routes": [{"dst": "172.16.0.0/12", "gw": "10.6.0.2"}, {"dst": "10.9.0.0/16", "gw": "10.6.0.2"}],
        "podAffinity": {"matchLabels": {"app": "web"}},
        "namespaceAffinity": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]},
        "namespaceName": ["default"],
        "nodeAffinity": {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]},
        "nodeName": ["worker-1", "worker-2.example"],
        "multusName": ["macvlan", "kube-system/ipvlan"],
        "default": true, "disable": false, "policy": "rotate", "coolDownSeconds": 90, "space": "red-vrf",
    }));
    trial.accepts(&json!({
        "ipVersion": 6, "subnet": "fd00:6::/64",
        "ips": ["fd00:6::10-fd00:6::ff", "fd00:6::1:0/112", "fd00:6::9"],
        "gateway": "fd00:6::1", "routes": [{"dst": "fd00:7::/64", "gw": "fd00:6::2"}],
    }));
    trial.accepts(&json!({"ips": [], "routes": [], "nodeName": []}));
    let reply = trial.try_spec(&json!({}));
    let spec = reply.json().get("spec").cloned().unwrap();
    assert_eq!(spec, json!({"subnet": "10.6.0.0/16", "default": false, "disable": false}));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn the_largest_pool_is_taken() {
    let ips: Vec<_> = (0..4_096).map(|at| format!("10.6.{}.{}", at / 200, at % 200)).collect();
    pool("large").accepts(&json!({ "ips": ips }));
    let long = |at| {
        format!("fd00:6:1111:2222:3333:4444:{at:04x}:5555-fd00:6:1111:2222:3333:4444:{at:04x}:6666")
    };
    let ips: Vec<_> = (0x1000..0x2000).map(long).collect();
    pool("large").accepts(&json!({"subnet": "fd00:6::/32", "ips": ips}));
    let ips: Vec<_> = (0..4_097).map(|at| format!("10.6.{}.{}", at / 200, at % 200)).collect();
    pool("large").refuses(&json!({ "ips": ips }), "must have at most 4096 items");
}

/// Every wrong subnet, address and range, with what is said of it: for pools and subnets alike.
fn grounds() -> Vec<(Value, &'static str)> {
    let routes = |dst: &str, gw: &str| json!({"routes": [{"dst": dst, "gw": gw}]});
    vec![
        (json!({"subnet": null}), "spec.subnet: Required value"),
        (json!({"subnet": ""}), "spec.subnet: Invalid value"),
        (json!({"subnet": "10.6.0.0"}), "is not a prefix; write an address and a length"),
        (json!({"subnet": "10.6.0.1/16"}), "has bits set behind its length"),
        (json!({"subnet": "10.6.0.0/33"}), "is not a prefix"),
        (json!({"subnet": "fd00::1/64"}), "has bits set behind its length"),
        (json!({"ipVersion": 5}), "spec.ipVersion: Unsupported value: 5"),
        (json!({"ipVersion": 6}), "is not the version of `subnet`; write 4 for an IPv4 subnet"),
        (json!({"ips": ["10.6.0"]}), "is not an address, a range or a prefix; write `10.6.0.9`"),
        (json!({"ips": ["10.6.0.1", "x"]}), "spec.ips[1]"),
        (json!({"ips": [""]}), "is not an address, a range or a prefix"),
        (json!({"ips": ["10.6.0.1-10.6.0.2-10.6.0.3"]}), "is not an address, a range or a prefix"),
        (json!({"ips": ["10.6.0.1 - 10.6.0.9"]}), "is not an address, a range or a prefix"),
        (json!({"ips": ["10.6.0.1-"]}), "is not an address, a range or a prefix"),
        (json!({"ips": ["10.6.0.1/24"]}), "is not an address, a range or a prefix"),
        (json!({"ips": ["10.6.0.9-10.6.0.2"]}), "runs backwards; write the lower address first"),
        (json!({"ips": ["10.6.1.0-10.6.0.255"]}), "runs backwards"),
        (json!({"ips": ["10.7.0.1"]}), "has an address outside of `subnet`"),
        (json!({"ips": ["10.6.0.1-10.7.0.1"]}), "has an address outside of `subnet`"),
        (json!({"ips": ["10.0.0.0/8"]}), "has an address outside of `subnet`"),
        (json!({"ips": ["fd00::1"]}), "has an address outside of `subnet`"),
        (json!({"excludeIPs": ["10.7.0.1"]}), "spec.excludeIPs"),
        (json!({"excludeIPs": ["10.6.0.9-10.6.0.2"]}), "spec.excludeIPs[0]"),
        (json!({"gateway": "10.7.0.1"}), "is not within `subnet`; write the address of the router"),
        (json!({"gateway": "10.6.0.1/16"}), "is not an IP address"),
        (json!({"gateway": "fd00::1"}), "is not within `subnet`"),
        (json!({"gateway": ""}), "is not an IP address"),
        (json!({"routes": [{"dst": "10.9.0.0/16"}]}), "spec.routes[0].gw: Required value"),
        (json!({"routes": [{"gw": "10.6.0.1"}]}), "spec.routes[0].dst: Required value"),
        (routes("10.9.0.1", "10.6.0.1"), "spec.routes[0].dst"),
        (routes("10.9.0.1/16", "10.6.0.1"), "has bits set behind its length"),
        (
            routes("0.0.0.0/0", "10.6.0.1"),
            "is a default route; name the default router in `gateway`",
        ),
        (routes("fd00::/64", "10.6.0.1"), "is not of the version of `dst`"),
        (routes("10.9.0.0/16", "10.7.0.1"), "has a next hop outside of `subnet`"),
        (routes("10.9.0.0/16", "router"), "spec.routes[0].gw"),
        (
            json!({"routes": [{"dst": "10.9.0.0/16", "gw": "10.6.0.1"}, {"dst": "10.9.0.0/16", "gw": "10.6.0.2"}]}),
            "has a destination twice",
        ),
        (json!({"space": "Red"}), "is not the name of a space"),
        (json!({"space": ""}), "spec.space"),
        (json!({"spelled": 1}), "unknown field \"spec.spelled\""),
    ]
}

#[track_caller]
fn refuse(trial: &Trial, spec: &Value, expected: &str) {
    if expected.starts_with("unknown field") {
        let reply = trial.try_spec(spec);
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert!(crate::said(&reply).contains(expected), "{}", reply.text);
    } else {
        trial.refuses(spec, expected);
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn wrong_grounds_are_refused() {
    for (spec, expected) in grounds() {
        refuse(&pool("wrong"), &spec, expected);
        refuse(&subnet("wrong"), &spec, expected);
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn wrong_scopes_of_a_pool_are_refused() {
    let trial = pool("wrong");
    for field in ["podAffinity", "namespaceAffinity", "nodeAffinity"] {
        for empty in [json!({}), json!({"matchLabels": {}}), json!({"matchExpressions": []})] {
            trial.refuses(
                &json!({ field: empty }),
                "asks for nothing, and so would match everything",
            );
        }
        let with = |key: &str, operator: &str, values: &[&str]| {
            let expression = json!({"key": key, "operator": operator, "values": values});
            json!({ field: {"matchExpressions": [expression]} })
        };
        trial.refuses(
            &with("a", "Near", &[]),
            "matchExpressions[0].operator: Unsupported value: \"Near\"",
        );
        trial.refuses(&with("a", "In", &[]), "take at least one value");
        trial.refuses(&with("a", "Exists", &["b"]), "take none");
        trial.refuses(&with("", "Exists", &[]), "matchExpressions[0].key");
        trial.accepts(&with("a", "NotIn", &["b"]));
        trial.refuses(&json!({ field: {"matchLabels": {"a": 1}} }), "must be of type string");
    }
    for (spec, expected) in [
        (json!({"namespaceName": ["two words"]}), "spec.namespaceName[0]"),
        (json!({"nodeName": [""]}), "spec.nodeName[0]"),
        (json!({"nodeName": ["a/b"]}), "is not a name; write one without blanks and slashes"),
        (json!({"multusName": ["a/b/c"]}), "does not name a network; write `namespace/name`"),
        (json!({"multusName": ["/a"]}), "does not name a network"),
        (json!({"default": "yes"}), "spec.default: Invalid value"),
        (json!({"disable": 1}), "spec.disable: Invalid value"),
        (json!({"policy": "random"}), "supported values: \"sequential\", \"spread\", \"rotate\""),
        (json!({"coolDownSeconds": -1}), "should be greater than or equal to 0"),
        (json!({"coolDownSeconds": 31_536_001}), "should be less than or equal to 31536000"),
    ] {
        trial.refuses(&spec, expected);
    }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn reservations_have_one_version() {
    let trial = reservation("wrong");
    trial.accepts(
        &json!({"ips": ["10.6.0.1-10.6.0.9", "10.7.0.0/24"], "ipVersion": 4, "space": "red"}),
    );
    trial.accepts(&json!({"ips": ["fd00::1-fd00::9", "fd00::1:0/112"], "ipVersion": 6}));
    trial.accepts(&json!({"ips": ["fd00::1"]}));
    trial.refuses(
        &json!({"ips": ["10.6.0.1"], "ipVersion": 6}),
        "has an address of the other version",
    );
    trial.refuses(&json!({"ips": ["10.6.0.1", "fd00::1"]}), "mixes IPv4 and IPv6");
    trial.refuses(&json!({"ips": ["10.6.0.9-10.6.0.1"]}), "runs backwards");
    trial.refuses(&json!({"ips": ["10.6"]}), "spec.ips[0]");
    trial.refuses(&json!({"ips": null}), "is missing; list the addresses that nobody may be given");
    trial.refuses(&json!({"ipVersion": 5}), "Unsupported value: 5");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn what_addresses_hang_on_never_changes() {
    for trial in [pool("fixed"), subnet("fixed")] {
        trial.make();
        trial.refuses_change(
            &json!({"subnet": "10.7.0.0/16"}),
            "cannot be changed, because addresses of it",
        );
        trial.refuses_change(
            &json!({"space": "red"}),
            "cannot be changed; make another object in the other space",
        );
        trial.accepts_change(&json!({"space": "default", "ipVersion": 4, "ips": ["10.6.0.9"]}));
        trial.refuses_change(&json!({"ips": ["10.7.0.9"]}), "has an address outside of `subnet`");
    }
    let trial = reservation("fixed");
    trial.make();
    trial.accepts_change(&json!({"ipVersion": 4, "ips": ["10.6.0.9"]}));
    trial.refuses_change(&json!({"space": "red"}), "cannot be changed");
    let versioned = |trial: &Trial, ips: &[&str]| {
        let body = json!({"spec": {"ipVersion": 4, "ips": ips}});
        let reply = send("PATCH", &format!("{}/fixed", path(trial.plural)), &body);
        assert_eq!(reply.status, 200, "{}", reply.text);
    };
    versioned(&trial, &["10.6.0.9"]);
    trial.refuses_change(
        &json!({"ipVersion": 6, "ips": ["fd00::1"]}),
        "cannot be changed; make another object for the other version",
    );
    versioned(&pool(""), &["10.6.0.9"]);
    pool("fixed")
        .refuses_change(&json!({"ipVersion": 6}), "cannot be changed; make another object");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn the_status_is_written_apart() {
    let trial = pool("status");
    trial.make();
    let at = format!("{}/status", path("spiderippools"));
    let whole = json!({"spec": {"disable": true}, "status": {"totalIPCount": 1}});
    let reply = send("PATCH", &at, &whole);
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.json().get("status").is_none(), "{}", reply.text);
    let status = |status: &Value| {
        send("PATCH", &format!("{at}/status?dryRun=All"), &json!({ "status": status }))
    };
    let condition = |status: &str| {
        json!({
            "type": "AllocationsTruncated", "status": status, "reason": "TooMany",
            "message": "more than 1000", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let good = json!({
        "allocatedIPs": "{}", "totalIPCount": 9_223_372_036_854_775_807_i64, "allocatedIPCount": 1,
        "observedGeneration": 1, "conditions": [condition("True")],
    });
    assert_eq!(status(&good).status, 200, "{}", status(&good).text);
    assert_eq!(status(&json!({"totalIPCount": -1})).status, 422);
    assert_eq!(status(&json!({"conditions": [condition("Perhaps")]})).status, 422);
    let twice = json!({"conditions": [condition("True"), condition("False")]});
    assert_eq!(status(&twice).status, 422, "a condition is there once");
}
