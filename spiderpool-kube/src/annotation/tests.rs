//! Tables for each annotation, and the property that no text makes a reader panic.

use super::*;
use proptest::prelude::*;

fn pod(pairs: &[(&str, &str)]) -> Result<PodAnnotations, String> {
    let annotations = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
    PodAnnotations::read(&annotations.collect()).map_err(|flaws| flaws.to_string())
}

fn refused(key: &str, text: &str, expected: &str) {
    let told = pod(&[(key, text)]).unwrap_err();
    assert_eq!(told, format!("annotation `{key}`: {expected}"), "for {text}");
}

fn names(v4: &[&str], v6: &[&str]) -> PoolNames {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    PoolNames { v4: own(v4), v6: own(v6) }
}

#[test]
fn a_pod_without_annotations_asks_for_nothing() {
    assert_eq!(pod(&[]).unwrap(), PodAnnotations::default());
    assert_eq!(pod(&[("example.com/other", "{")]).unwrap(), PodAnnotations::default());
}

#[test]
fn pools_of_every_nic() {
    let read = |text| pod(&[(IPPOOL, text)]).unwrap().ippool.unwrap();
    assert_eq!(read(r#"{"ipv4": ["a", "b*"], "ipv6": ["c"]}"#), names(&["a", "b*"], &["c"]));
    assert_eq!(read(r#"{"ipv6": ["c"], "ipv4": null}"#), names(&[], &["c"]));
    refused(IPPOOL, "{}", "item 0 names no pool; list some under `ipv4`, `ipv6` or both");
    refused(
        IPPOOL,
        r#"{"ipv4": ["a", ""]}"#,
        "item 0 has an empty name under `ipv4`; leave it out or write a pool's name",
    );
}

#[test]
fn malformed_json_has_a_place() {
    let example = r#"write it like `{"ipv4": ["pool-a"], "ipv6": ["pool-b"]}`"#;
    refused(IPPOOL, "", &format!("line 1 column 1: EOF while parsing a value; {example}"));
    refused(
        IPPOOL,
        "{\n \"ipv4\": \"a\"}",
        &format!("line 2 column 12: invalid type: string \"a\", expected a sequence; {example}"),
    );
    refused(
        IPPOOL,
        "{\"ipv4\": [\"a\"],}",
        &format!("line 1 column 16: trailing comma; {example}"),
    );
    refused(
        IPPOOL,
        "{\"ipv4\": [1]}",
        &format!("line 1 column 11: invalid type: integer `1`, expected a string; {example}"),
    );
    let told = pod(&[(ROUTES, r#"[{"dst": "10.0.0.0/8"}]"#)]).unwrap_err();
    assert!(
        told.contains("line 1 column 22: missing field `gw`; write it like `[{\"dst\":"),
        "{told}"
    );
}

#[test]
fn pools_of_each_nic() {
    let read = |text| pod(&[(IPPOOLS, text)]).unwrap().ippools.unwrap();
    let both = read(
        r#"[{"interface": "eth0", "ipv4": ["a"], "cleangateway": true},
                        {"interface": "net1", "ipv6": ["b"], "cleanGateway": false}]"#,
    );
    assert_eq!(
        both,
        [
            NicPools {
                interface: Some("eth0".into()),
                pools: names(&["a"], &[]),
                clean_gateway: Some(true)
            },
            NicPools {
                interface: Some("net1".into()),
                pools: names(&[], &["b"]),
                clean_gateway: Some(false)
            },
        ]
    );
    let unnamed = read(r#"[{"ipv4": ["a"]}, {"interface": "", "ipv4": ["b"]}]"#);
    assert!(unnamed.iter().all(|item| item.interface.is_none() && item.clean_gateway.is_none()));
}

#[test]
fn nics_are_named_all_or_none() {
    refused(
        IPPOOLS,
        "[]",
        "the list is empty; write an item for each NIC or remove the annotation",
    );
    refused(
        IPPOOLS,
        r#"[{"ipv4": ["a"], "interface": "eth0"}, {"ipv4": ["b"]}]"#,
        "item 1 has no `interface`, but others have; name it in all items or in none",
    );
    refused(
        IPPOOLS,
        r#"[{"ipv4": ["a"]}, {"ipv4": ["b"], "interface": "eth0"}]"#,
        "item 0 has no `interface`, but others have; name it in all items or in none",
    );
    refused(
        IPPOOLS,
        r#"[{"ipv4": ["a"], "interface": "eth0"}, {"ipv4": ["b"], "interface": "net1"}, {"ipv4": ["c"], "interface": "eth0"}]"#,
        "item 2 is for the interface `eth0`, as item 0 is; merge them",
    );
    refused(
        IPPOOLS,
        r#"[{"interface": "eth0"}]"#,
        "item 0 names no pool; list some under `ipv4`, `ipv6` or both",
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let read = pod(&[
        (IPPOOL, r#"{"ipv4": ["a"], "colour": 1}"#),
        (IPPOOLS, r#"[{"ipv4": ["a"], "colour": {}}]"#),
        (ROUTES, r#"[{"dst": "10.0.0.0/8", "gw": "10.6.0.1", "metric": 5}]"#),
    ]);
    let read = read.unwrap();
    assert_eq!(read.ippool, Some(names(&["a"], &[])));
    assert_eq!(read.routes.len(), 1);
}

#[test]
fn routes_may_be_default_routes() {
    let text = r#"[{"dst": "0.0.0.0/0", "gw": "10.6.0.1"}, {"dst": "fd01::/64", "gw": "fd00::1"}]"#;
    let routes = pod(&[(ROUTES, text)]).unwrap().routes;
    let routes: Vec<_> = routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["0.0.0.0/0 via 10.6.0.1", "fd01::/64 via fd00::1"]);
    refused(
        ROUTES,
        r#"[{"dst": "10.0.0.0/8", "gw": "10.6.0.1"}, {"dst": "10.0.0.0/8", "gw": "fd00::1"}]"#,
        "route 1: `10.0.0.0/8` cannot be reached through fd00::1, which is of the other family",
    );
    refused(
        ROUTES,
        r#"[{"dst": "10.0.0.0", "gw": "10.6.0.1"}]"#,
        "route 0: dst `10.0.0.0` is not a prefix; write it as `10.1.0.0/16`",
    );
}

#[test]
fn application_pools_are_refused() {
    for key in [SUBNET, SUBNETS] {
        refused(
            key,
            "{}",
            "pools made for an application come later; name pools with `ipam.spidernet.io/ippool`",
        );
    }
}

#[test]
fn every_flaw_is_told() {
    let told = pod(&[(IPPOOL, "{"), (SUBNET, "{}"), (NETWORKS, "a b")]).unwrap_err();
    assert_eq!(told.matches("annotation `").count(), 3, "{told}");
}

fn networks(text: &str, expected: &str) {
    let read = pod(&[(NETWORKS, text)]).unwrap().networks;
    let read: Vec<_> = read.iter().map(ToString::to_string).collect();
    assert_eq!(read.join(" "), expected, "for {text}");
}

#[test]
fn networks_read_in_all_forms() {
    networks("", "");
    networks(" \n ", "");
    networks("a", "a");
    networks("a, ns/b ,ns/c@eth1,d@eth2", "a ns/b ns/c@eth1 d@eth2");
    networks("ns/a\n,\nb", "ns/a b");
    networks(r#"[{"name": "a"}]"#, "a");
    networks("[]", "");
    networks(
        "[\n  {\n    \"name\": \"a\",\n    \"namespace\": \"ns\",\n    \"interface\": \"eth1\", \"ips\": [\"10.0.0.1\"]\n  },\n  {\"name\": \"b\", \"interface\": \"\"}\n]\n",
        "ns/a@eth1 b",
    );
    let read = pod(&[(NETWORKS, "ns/c@eth1")]).unwrap().networks;
    let expected = NetworkRef {
        namespace: Some("ns".into()),
        name: "c".into(),
        interface: Some("eth1".into()),
    };
    assert_eq!(read, [expected]);
}

#[test]
fn networks_that_are_none() {
    let form = "is not a network; write `name`, `namespace/name` or `namespace/name@interface`";
    for (text, entry) in [
        ("a,", "entry 1 ``"),
        ("a,b/c/d", "entry 1 `b/c/d`"),
        ("a@", "entry 0 `a@`"),
        ("/a", "entry 0 `/a`"),
        ("a@b@c", "entry 0 `a@b@c`"),
        ("a@b/c", "entry 0 `a@b/c`"),
    ] {
        refused(NETWORKS, text, &format!("{entry} {form}"));
    }
    refused(NETWORKS, r#"[{"name": "a/b"}]"#, &format!("entry 0 `a/b` {form}"));
    refused(NETWORKS, r#"[{"name": ""}]"#, &format!("entry 0 `` {form}"));
    let told = pod(&[(NETWORKS, r#"{"name": "a"}"#)]).unwrap_err();
    assert!(told.contains("expected a sequence; write it like `[{\"name\": \"macvlan\""), "{told}");
}

#[test]
fn the_first_network_is_one() {
    let read = |text| {
        pod(&[(DEFAULT_NETWORK, text)]).map(|read| read.default_network.map(|n| n.to_string()))
    };
    assert_eq!(read("kube-system/a@eth0").unwrap().as_deref(), Some("kube-system/a@eth0"));
    assert_eq!(read(r#"[{"name": "a"}]"#).unwrap().as_deref(), Some("a"));
    assert_eq!(read("").unwrap(), None);
    refused(DEFAULT_NETWORK, "a,b", "names 2 networks; name exactly one");
    refused(DEFAULT_NETWORK, "[]", "names 0 networks; name exactly one");
}

#[test]
fn namespaces_name_pools_by_family() {
    let read = |pairs: &[(&str, &str)]| {
        let annotations = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        NamespaceAnnotations::read(&annotations.collect())
            .map(|read| read.default_pools)
            .map_err(|e| e.to_string())
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[(DEFAULT_V4, "[]")]), Ok(None));
    assert_eq!(read(&[(DEFAULT_V4, r#"["a", "b"]"#)]), Ok(Some(names(&["a", "b"], &[]))));
    assert_eq!(
        read(&[(DEFAULT_V4, r#"["a"]"#), (DEFAULT_V6, r#"["b?"]"#)]),
        Ok(Some(names(&["a"], &["b?"])))
    );
    let told = read(&[(DEFAULT_V6, "blue")]).unwrap_err();
    assert_eq!(
        told,
        format!(
            "annotation `{DEFAULT_V6}`: line 1 column 1: expected value; write it like `[\"pool-a\", \"pool-b\"]`"
        )
    );
    let told = read(&[(DEFAULT_V6, r#"["a", ""]"#)]).unwrap_err();
    assert_eq!(
        told,
        format!(
            "annotation `{DEFAULT_V6}`: item 1 is an empty name; leave it out or write a pool's name"
        )
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "[\\[\\]{}\":,@/a-z0-9. \\n]{0,40}|\\PC{0,40}") {
        for key in [IPPOOL, IPPOOLS, ROUTES, NETWORKS, DEFAULT_NETWORK] {
            if let Err(told) = pod(&[(key, &text)]) {
                let expected = format!("annotation `{key}`: ");
                prop_assert!(told.starts_with(&expected));
            }
        }
    }

    #[test]
    fn networks_read_back(namespace in prop::option::of("[a-z]{1,5}"), name in "[a-z][a-z0-9.-]{0,8}", interface in prop::option::of("[a-z0-9]{1,15}")) {
        let network = NetworkRef { namespace, name, interface };
        prop_assert_eq!(pod(&[(NETWORKS, &network.to_string())]).unwrap().networks, [network]);
    }
}
