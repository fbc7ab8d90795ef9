//! Projections of endpoints and pools, as JSON.

use super::*;
use crate::cluster::object::EndpointKey;
use crate::cluster::workload::{Identity, Pod, Switches, Workload, lift_pod};
use serde_json::{Value, json};
use spiderpool_core::address::Family;
use spiderpool_core::command::{Allocated, Granted, PlacedRoute};
use spiderpool_core::definition::{Pool, PoolDraft, Route};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::request::Demand;
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use std::collections::BTreeMap;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn pod(uid: &str, controller: Option<(&str, &str)>) -> Pod {
    let owners = controller.map(|(api, kind)| {
        json!([{"apiVersion": api, "kind": kind, "name": "web", "uid": "o", "controller": true}])
    });
    let metadata =
        json!({"namespace": "ns", "name": "web-0", "uid": uid, "ownerReferences": owners});
    lift_pod(&json!({"metadata": metadata})).unwrap()
}

fn granted(interface: &str, net: &str, gateway: Option<&str>) -> Granted {
    let family = if net.contains(':') { Family::V6 } else { Family::V4 };
    Granted {
        demand: Demand { attachment: name(interface), family },
        address: net.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        pool: name(if family == Family::V4 { "blue" } else { "blue-v6" }),
        space: name("default"),
        generation: 1,
        kept: false,
    }
}

fn route(interface: &str, dst: &str, gw: &str) -> PlacedRoute {
    let route = Route { dst: dst.parse().unwrap(), gw: gw.parse().unwrap() };
    PlacedRoute { attachment: name(interface), route }
}

fn allocated(addresses: Vec<Granted>, routes: Vec<PlacedRoute>) -> Allocated {
    Allocated { addresses, routes, unplaced: Vec::new() }
}

fn project(pod: &Pod, allocated: &Allocated, revision: u64, present: Option<&Value>) -> Projection {
    let workload = Workload {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: name("ns"),
        name: name("web"),
        chain: Vec::new(),
    };
    let source = EndpointSource {
        allocated,
        pod,
        identity: &Identity::of(pod, Switches::default()),
        workload: &workload,
        node: &name("worker"),
        macs: &BTreeMap::new(),
        revision,
    };
    endpoint(&source, present)
}

fn created(projection: Projection) -> Value {
    match projection {
        Projection::Create(object) => object,
        other @ (Projection::Patch(_) | Projection::Current | Projection::Newer { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn patched(projection: Projection) -> Value {
    match projection {
        Projection::Patch(patch) => patch,
        other @ (Projection::Create(_) | Projection::Current | Projection::Newer { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn dual() -> Allocated {
    let addresses = vec![
        granted("eth0", "10.6.0.2/16", Some("10.6.0.1")),
        granted("eth0", "fd00::2/64", Some("fd00::1")),
    ];
    let routes = vec![
        route("eth0", "10.9.0.0/16", "10.6.0.9"),
        route("eth0", "0.0.0.0/0", "10.6.0.1"),
        route("eth0", "::/0", "fd00::1"),
    ];
    allocated(addresses, routes)
}

#[test]
fn the_endpoint_of_an_ordinary_pod() {
    let object = created(project(&pod("u1", None), &dual(), 7, None));
    let expected = json!({
        "apiVersion": "spiderpool.spidernet.io/v2beta1",
        "kind": "SpiderEndpoint",
        "metadata": {
            "namespace": "ns",
            "name": "web-0",
            "labels": {"ipam.spidernet.io/node": "worker"},
            "annotations": {"ipam.spidernet.io/projected-from": "7"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "u1"}],
        },
        "status": {
            "current": {"uid": "u1", "node": "worker", "ips": [{
                "interface": "eth0",
                "ipv4": "10.6.0.2/16",
                "ipv4Pool": "blue",
                "ipv4Gateway": "10.6.0.1",
                "ipv6": "fd00::2/64",
                "ipv6Pool": "blue-v6",
                "ipv6Gateway": "fd00::1",
                "vlan": 0,
                "cleanGateway": false,
                "routes": [{"dst": "10.9.0.0/16", "gw": "10.6.0.9"}],
            }]},
            "ownerControllerType": "Deployment",
            "ownerControllerName": "web",
        },
    });
    assert_eq!(object, expected);
}

#[test]
fn the_endpoint_of_a_static_identity_has_a_finalizer_and_no_owner() {
    let replica = pod("u1", Some(("apps/v1", "StatefulSet")));
    let object = created(project(&replica, &dual(), 7, None));
    assert_eq!(object["metadata"]["finalizers"], json!(["spiderpool.spidernet.io"]));
    assert!(object["metadata"].get("ownerReferences").is_none());
    let slot = json!({"interface": "eth0", "space": "default", "address": "10.6.0.2"});
    assert_eq!(object["status"]["slots"][0], slot);
    // The pointers of an endpoint that exists are the protocol's.
    let mut moved = object;
    moved["status"]["slots"][0]["address"] = json!("10.6.0.3");
    let again = project(&pod("u2", Some(("apps/v1", "StatefulSet"))), &dual(), 8, Some(&moved));
    let patch = patched(again);
    assert_eq!(patch["status"], json!({"current": {"uid": "u2"}}));
    let machine = pod("u1", Some(("kubevirt.io/v1", "VirtualMachineInstance")));
    assert_eq!(created(project(&machine, &dual(), 7, None))["metadata"]["name"], "web");
}

#[test]
fn a_gateway_without_a_default_route_is_a_clean_one() {
    let item = |gateway: Option<&str>, routes: Vec<PlacedRoute>| {
        let told = allocated(vec![granted("eth0", "10.6.0.2/16", gateway)], routes);
        created(project(&pod("u", None), &told, 1, None))["status"]["current"]["ips"][0].clone()
    };
    assert_eq!(item(Some("10.6.0.1"), vec![])["cleanGateway"], true);
    assert_eq!(item(None, vec![])["cleanGateway"], false);
    let other = item(Some("10.6.0.1"), vec![route("eth0", "0.0.0.0/0", "10.6.0.7")]);
    assert_eq!(other["cleanGateway"], false);
    assert_eq!(other["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.6.0.7"}]));
}

#[test]
fn interfaces_of_other_requests_stay() {
    let first = created(project(&pod("u1", None), &dual(), 7, None));
    let net1 = allocated(vec![granted("net1", "10.7.0.2/16", None)], Vec::new());
    let ips = |projection| {
        let patch = patched(projection);
        let ips = patch["status"]["current"]["ips"].as_array().unwrap().clone();
        ips.iter().map(|item| item["interface"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ips(project(&pod("u1", None), &net1, 8, Some(&first))), ["eth0", "net1"]);
    // Another pod of the same name begins anew, and is the owner.
    let other = project(&pod("u2", None), &net1, 8, Some(&first));
    assert_eq!(patched(other.clone())["metadata"]["ownerReferences"][0]["uid"], "u2");
    assert_eq!(ips(other), ["net1"]);
}

#[test]
fn an_imported_finalizer_goes_with_its_reason() {
    let mut object = created(project(&pod("u1", None), &dual(), 7, None));
    object["metadata"]["finalizers"] = json!(["other/one", "spiderpool.spidernet.io"]);
    let patch = patched(project(&pod("u1", None), &dual(), 8, Some(&object)));
    assert_eq!(patch["metadata"]["finalizers"], json!(["other/one"]));
    assert_eq!(finalizers(&["other/one"], true), ["other/one", FINALIZER]);
    assert!(finalizers(&[FINALIZER], false).is_empty());
}

fn blocks(count: u8, owner: impl Fn(u8) -> String) -> Vec<(BlockKey, Sheet)> {
    let size = BlockSize::DEFAULT;
    let key = BlockKey { space: name("default"), family: Family::V4, first: 0x0a06_0000 };
    let slot = |slot: u8| {
        let owner = Owner::parse(&owner(slot)).unwrap();
        let pod_uid = Some(name(&format!("u{slot}")));
        let holder = Holder { owner, pod_uid, container: None, node: name("worker") };
        let placement = Placement { pool: name("blue"), attachment: name("eth0"), network: None };
        let stage = Stage::Attached;
        let held =
            Held { holder, placement, stage, generation: 1, since_ms: 1, past_quarantines: 0 };
        (slot, Slot::Allocated(Box::new(held)))
    };
    let mut slots: BTreeMap<_, _> = (0..count).map(slot).collect();
    slots.insert(60, Slot::Resting { since_ms: 1 });
    vec![(key, Sheet { size, incarnation: 1, commits: 1, generation: 1, slots })]
}

fn pool(prefix: &str, range: &str) -> Pool {
    let (prefix, ranges) = (prefix.into(), vec![range.into()]);
    Pool::try_from(PoolDraft { name: "blue".into(), prefix, ranges, ..PoolDraft::default() })
        .unwrap()
}

fn status(pool: &Pool, blocks: &[(BlockKey, Sheet)], revision: u64, present: &Value) -> Projection {
    let key = EndpointKey { namespace: name("ns"), name: name("web-0") };
    let pods = BTreeMap::from([(name("u0"), key)]);
    let source = PoolSource { pool, generation: 3, blocks, pods: &pods, conditions: &[], revision };
    pool_status(&source, present, 5_000)
}

#[test]
fn the_status_of_a_pool() {
    let blue = pool("10.6.0.0/16", "10.6.0.0-10.6.0.9");
    let owner =
        |slot| if slot == 1 { "identity/ns/db-0".to_owned() } else { format!("pod/u{slot}") };
    let empty = json!({"metadata": {"resourceVersion": "11"}});
    let patch = patched(status(&blue, &blocks(3, owner), 7, &empty));
    let listed = patch["status"]["allocatedIPs"].as_str().unwrap();
    let expected = r#"{"10.6.0.0":{"pod":"ns/web-0","podUid":"u0"},"10.6.0.1":{"pod":"ns/db-0","podUid":"u1"},"10.6.0.2":{"pod":"","podUid":"u2"}}"#;
    assert_eq!(listed, expected);
    assert_eq!(patch["metadata"], json!({"resourceVersion": "11"}));
    let counts = ["totalIPCount", "allocatedIPCount", "observedGeneration"]
        .map(|f| patch["status"][f].clone());
    assert_eq!(counts, [json!(10), json!(3), json!(3)]);
    let condition = &patch["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("AllocationsTruncated"), &json!("False"))
    );
    assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:05Z");
    // Allocations granted through another pool are not its own.
    let green =
        PoolDraft { name: "green".into(), prefix: "10.6.0.0/16".into(), ..PoolDraft::default() };
    let patch = patched(status(&Pool::try_from(green).unwrap(), &blocks(3, owner), 7, &empty));
    assert_eq!(patch["status"]["allocatedIPCount"], 0);
    assert!(patch["status"].get("allocatedIPs").is_none());
    let was = json!({"status": {"allocatedIPs": "{}", "conditions": [{"type": "Other", "status": "True"}]}});
    let patch = patched(status(&blue, &blocks(0, owner), 7, &was));
    assert_eq!(patch["status"]["allocatedIPs"], Value::Null);
    assert_eq!(patch["status"]["conditions"][1]["type"], "Other");
}

#[test]
fn long_lists_are_left_out_and_counts_saturate() {
    let owner = |slot| format!("pod/u{slot}");
    let mut many = Vec::new();
    for block in 0..16 {
        let (mut key, sheet) = blocks(60, owner).remove(0);
        key.first += block * 64;
        many.push((key, sheet));
    }
    let huge = pool("fd00::/32", "fd00::-fd00:0:ffff:ffff:ffff:ffff:ffff:ffff");
    let empty = json!({});
    let patch = patched(status(&huge, &many, 7, &empty));
    assert_eq!(patch["status"]["totalIPCount"], i64::MAX);
    assert_eq!(patch["status"]["allocatedIPCount"], 960);
    assert!(patch["status"]["allocatedIPs"].is_string());
    let more = blocks(41, owner).remove(0);
    many.push((BlockKey { first: 0x0a07_0000, ..more.0 }, more.1));
    let patch = patched(status(&huge, &many, 7, &empty));
    assert!(patch["status"].get("allocatedIPs").is_none());
    let condition = &patch["status"]["conditions"][0];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("TooMany")));
}

/// What a server makes of a merge patch.
fn applied(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    object.remove(key);
                } else {
                    applied(object.entry(key.clone()).or_insert(json!({})), value);
                }
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

#[test]
fn what_does_not_differ_is_not_written() {
    let object = created(project(&pod("u1", None), &dual(), 7, None));
    assert_eq!(project(&pod("u1", None), &dual(), 7, Some(&object)), Projection::Current);
    let newer = json!({"metadata": {"annotations": {PROJECTED_FROM: "9"}}});
    assert_eq!(patched(project(&pod("u1", None), &dual(), 9, Some(&object))), newer);
    let blue = pool("10.6.0.0/16", "10.6.0.0-10.6.0.9");
    let owner = |slot| format!("pod/u{slot}");
    let mut present =
        json!({"metadata": {"resourceVersion": "1"}, "spec": {"subnet": "10.6.0.0/16"}});
    let patch = patched(status(&blue, &blocks(3, owner), 7, &present));
    applied(&mut present, &patch);
    assert_eq!(status(&blue, &blocks(3, owner), 7, &present), Projection::Current);
    let patch = patched(status(&blue, &blocks(4, owner), 9, &present));
    let fields: Vec<_> = patch["status"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["allocatedIPCount", "allocatedIPs", "projectedFrom"]);
}

#[test]
fn projections_never_go_back() {
    let object = created(project(&pod("u1", None), &dual(), 7, None));
    assert_eq!(projected_from(&object), Some(7));
    let older = project(&pod("u0", None), &dual(), 6, Some(&object));
    assert_eq!(older, Projection::Newer { than: 7 });
    let blue = pool("10.6.0.0/16", "10.6.0.0-10.6.0.9");
    let owner = |slot| format!("pod/u{slot}");
    let mut present = json!({"metadata": {}});
    applied(&mut present, &patched(status(&blue, &blocks(3, owner), 7, &json!({}))));
    assert_eq!(projected_from(&present), Some(7));
    assert_eq!(status(&blue, &blocks(2, owner), 6, &present), Projection::Newer { than: 7 });
    assert!(matches!(status(&blue, &blocks(2, owner), 7, &present), Projection::Patch(_)));
}
