//! Properties of the encoding, over arbitrary bodies and arbitrary damage.

use super::*;
use crate::cluster::object::{
    BlockBody, EndpointFacts, EndpointKey, Index, Ledger, Pointer, Recovery,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use spiderpool_core::address::Family;
use spiderpool_core::command::Place;
use spiderpool_core::definition::{
    Policy, Pool, PoolDraft, Reservation, ReservationDraft, RouteDraft, Subnet, SubnetDraft,
};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use std::sync::Arc;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn names() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9-]{0,12}[a-z0-9]".prop_map(|text| name(&text))
}

fn numbers() -> impl Strategy<Value = u64> {
    0..1_u64 << 62
}

fn keys() -> impl Strategy<Value = BlockKey> {
    (names(), any::<bool>(), any::<u128>()).prop_map(|(space, v4, first)| {
        let family = if v4 { Family::V4 } else { Family::V6 };
        BlockKey { space, family, first: first & family.last() & !63 }
    })
}

fn held() -> impl Strategy<Value = Held> {
    let owner = prop_oneof![
        names().prop_map(|uid| Owner::pod(&uid).unwrap()),
        (names(), names()).prop_map(|(a, b)| Owner::identity(&name(&format!("{a}/{b}"))).unwrap()),
    ];
    let holder = (owner, option::of(names()), option::of(names()), names());
    let placement = (names(), names(), option::of(names()));
    let stage = prop::sample::select(vec![Stage::Ahead, Stage::Attached, Stage::Detached]);
    (holder, placement, stage, 0..1_000_u64, numbers(), any::<u8>()).prop_map(
        |(holder, placement, stage, generation, since_ms, past_quarantines)| {
            let (owner, pod_uid, container, node) = holder;
            let (pool, attachment, network) = placement;
            let holder = Holder { owner, pod_uid, container, node };
            let placement = Placement { pool, attachment, network };
            Held { holder, placement, stage, generation, since_ms, past_quarantines }
        },
    )
}

fn slots() -> impl Strategy<Value = Slot> {
    let quarantined = (any::<[u8; 6]>(), numbers(), numbers(), any::<u8>());
    prop_oneof![
        3 => held().prop_map(|held| Slot::Allocated(Box::new(held))),
        1 => numbers().prop_map(|since_ms| Slot::Resting { since_ms }),
        1 => quarantined.prop_map(|(mac, since_ms, until_ms, rounds)| {
            Slot::Quarantined { mac, since_ms, until_ms, rounds }
        }),
    ]
}

fn blocks() -> impl Strategy<Value = Body> {
    let size = prop::sample::select(vec![16_u8, 32, 64]);
    let rest = (any::<u64>(), numbers(), 1_000..1_u64 << 62, any::<bool>());
    (size, rest, btree_map(0..64_u8, slots(), 0..6)).prop_map(|(size, rest, mut slots)| {
        let (incarnation, commits, generation, listed) = rest;
        slots.retain(|slot, _| *slot < size);
        let size = BlockSize::try_from(size).unwrap();
        let sheet = Sheet { size, incarnation, commits, generation, slots };
        Body::Block(BlockBody { sheet, listed })
    })
}

fn listings() -> impl Strategy<Value = Listing> {
    (any::<u64>(), any::<bool>()).prop_map(|(incarnation, full)| Listing { incarnation, full })
}

fn indexes(first: u128) -> impl Strategy<Value = Body> {
    btree_map(0..256_u128, listings(), 0..5).prop_map(move |blocks| {
        let blocks = blocks.into_iter().map(|(at, listing)| (first + at * 64, listing));
        Body::Index(Index { blocks: blocks.collect() })
    })
}

fn ledgers() -> impl Strategy<Value = Body> {
    let recovery = (numbers(), ".{0,20}", btree_set(names(), 0..4), btree_set(keys(), 0..4));
    let recovery = recovery.prop_map(|(since_ms, why, asserted, lost)| Recovery {
        since_ms,
        why,
        asserted,
        lost,
    });
    (numbers(), option::of(recovery))
        .prop_map(|(epoch, recovery)| Body::Ledger(Ledger { epoch, recovery }))
}

fn endpoints(key: EndpointKey) -> impl Strategy<Value = Body> {
    let pointer = (names(), names(), any::<std::net::IpAddr>()).prop_map(|(at, space, address)| {
        Pointer { attachment: at, place: Place { space, address } }
    });
    ("[a-f0-9-]{0,12}", names(), names(), names(), vec(pointer, 0..3)).prop_map(
        move |(pod_uid, node, kind, owner, slots)| {
            let (node, owner_kind, owner_name) =
                (node.to_string(), kind.to_string(), owner.to_string());
            let facts = EndpointFacts { key: key.clone(), pod_uid, node, owner_kind, owner_name };
            Body::Endpoint(Endpoint { facts, slots })
        },
    )
}

/// What pools, subnets and reservations have in common.
fn grounds() -> impl Strategy<Value = (u8, Vec<String>, Vec<String>, bool, bool)> {
    let ranges = btree_map(0..10_u8, 0..18_u8, 1..5).prop_map(|ranges| {
        ranges.into_iter().map(|(at, more)| (at * 20 + 2, at * 20 + 2 + more)).collect::<Vec<_>>()
    });
    let ranges = ranges.boxed();
    (any::<u8>(), ranges.clone(), ranges, any::<bool>(), any::<bool>()).prop_map(
        |(net, ips, out, gateway, routes)| {
            let text = |ranges: Vec<(u8, u8)>| -> Vec<String> {
                ranges.iter().map(|(a, b)| format!("10.6.{net}.{a}-10.6.{net}.{b}")).collect()
            };
            (net, text(ips), text(out), gateway, routes)
        },
    )
}

fn pools(key: Name) -> impl Strategy<Value = Body> {
    let policy = prop::sample::select(vec![Policy::Sequential, Policy::Spread, Policy::Rotate]);
    let choices = (policy, 0..10_000_u64, any::<bool>(), option::of(names()), names());
    (grounds(), choices).prop_map(move |((net, ranges, excluded, gateway, routes), choices)| {
        let (policy, seconds, disabled, subnet, space) = choices;
        let route = RouteDraft { dst: "172.16.0.0/12".into(), gw: format!("10.6.{net}.1") };
        let draft = PoolDraft {
            name: key.to_string(),
            space: space.to_string(),
            prefix: format!("10.6.{net}.0/24"),
            ranges,
            excluded,
            gateway: gateway.then(|| format!("10.6.{net}.1")),
            routes: routes.then(|| vec![route]),
            disabled,
            policy,
            cool_down_ms: seconds * 1_000,
            subnet: subnet.map(String::from),
            ..PoolDraft::default()
        };
        Body::Pool(Arc::new(Pool::try_from(draft).unwrap()))
    })
}

fn subnets(key: Name) -> impl Strategy<Value = Body> {
    grounds().prop_map(move |(net, ranges, excluded, gateway, _)| {
        let draft = SubnetDraft {
            name: key.to_string(),
            prefix: format!("10.6.{net}.0/24"),
            ranges,
            excluded,
            gateway: gateway.then(|| format!("10.6.{net}.1")),
            ..SubnetDraft::default()
        };
        Body::Subnet(Arc::new(Subnet::try_from(draft).unwrap()))
    })
}

fn reservations(key: Name) -> impl Strategy<Value = Body> {
    grounds().prop_map(move |(_, ranges, ..)| {
        let draft =
            ReservationDraft { name: key.to_string(), ranges, ..ReservationDraft::default() };
        Body::Reservation(Arc::new(Reservation::try_from(draft).unwrap()))
    })
}

/// A key with two bodies that can stand under it.
fn objects() -> impl Strategy<Value = (Key, Body, Body)> {
    fn two<S: Strategy<Value = Body> + 'static>(
        key: Key,
        body: impl Fn() -> S,
    ) -> BoxedStrategy<(Key, Body, Body)> {
        (body(), body()).prop_map(move |(was, now)| (key.clone(), was, now)).boxed()
    }
    (keys(), names(), 0..7_u8).prop_flat_map(|(block, label, which)| {
        let index = IndexKey::of(&block);
        let endpoint = EndpointKey { namespace: block.space.clone(), name: label.clone() };
        match which {
            0 => two(Key::Pool(label.clone()), || pools(label.clone())),
            1 => two(Key::Subnet(label.clone()), || subnets(label.clone())),
            2 => two(Key::Reservation(label.clone()), || reservations(label.clone())),
            3 => two(Key::Index(index.clone()), || indexes(index.first)),
            4 => two(Key::Ledger, ledgers),
            5 => two(Key::Endpoint(endpoint.clone()), || endpoints(endpoint.clone())),
            _ => two(Key::Block(block), blocks),
        }
    })
}

/// RFC 7386, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        let target = target.as_object_mut().unwrap();
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// An object as the server would hold it.
fn stored(key: &Key, body: &Body) -> Value {
    let mut json = create(key, body);
    merge(&mut json, &json!({"metadata": {"resourceVersion": "41", "generation": 3, "uid": "u"}}));
    json
}

fn body_of(key: &Key, json: &Value) -> Body {
    lift(key, json, "kube-system").body
}

proptest! {
    #[test]
    fn what_is_made_reads_back((key, body, _) in objects()) {
        let json = stored(&key, &body);
        let read = lift(&key, &json, "kube-system");
        prop_assert_eq!(&read.body, &body, "{}", json);
        prop_assert_eq!(read.meta, Meta { revision: 41, generation: 3, deleting: false });
        // So it does in a list, whose items tell no kind.
        let mut item = json;
        merge(&mut item, &json!({"kind": null, "apiVersion": null}));
        prop_assert_eq!(body_of(&key, &item), body);
    }

    #[test]
    fn a_patch_arrives((key, was, now) in objects()) {
        let mut json = stored(&key, &was);
        merge(&mut json, &json!({"status": {"projected": 7}, "spec": {"later": {"x": 1}}}));
        let sent = patch(&key, 41, &was, &now);
        prop_assert_eq!(&sent["metadata"]["resourceVersion"], "41");
        merge(&mut json, &sent);
        prop_assert_eq!(body_of(&key, &json), now, "{}", sent);
        // What others wrote stays.
        prop_assert_eq!(&json["status"]["projected"], 7);
        prop_assert_eq!(&json["spec"]["later"]["x"], 1);
    }

    #[test]
    fn nothing_to_change_changes_nothing((key, was, _) in objects()) {
        let sent = patch(&key, 9, &was, &was);
        prop_assert_eq!(sent, json!({"metadata": {"resourceVersion": "9"}}));
    }

    #[test]
    fn a_listing_arrives((key, body, _) in objects(), at in 0..256_u128, listing in listings()) {
        if let (Key::Index(index), Body::Index(mut shard)) = (&key, body.clone()) {
            let mut json = stored(&key, &body);
            merge(&mut json, &list_patch(index, index.first + at * 64, &listing));
            shard.blocks.insert(index.first + at * 64, listing);
            prop_assert_eq!(body_of(&key, &json), Body::Index(shard));
        }
    }

    #[test]
    fn no_json_makes_it_panic(
        (key, body, _) in objects(),
        cut in any::<prop::sample::Index>(),
        graft in prop::sample::select(vec![json!(null), json!(""), json!(-1), json!(1e300), json!([]), json!({}), json!({"x": {}}), json!("10.6.0.0")]),
    ) {
        let mut json = stored(&key, &body);
        let mut pointers = Vec::new();
        walk(&json, String::new(), &mut pointers);
        let at: &String = cut.get(&pointers);
        *json.pointer_mut(at).unwrap() = graft;
        // Either it reads, and what was read can be written again, or it says why not.
        let read = body_of(&key, &json);
        if let Body::Unreadable { why } = &read {
            prop_assert!(why.len() > 10, "{}", why);
        } else {
            prop_assert_eq!(body_of(&key, &stored(&key, &read)), read);
        }
    }
}

fn walk(value: &Value, at: String, pointers: &mut Vec<String>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let key = key.replace('~', "~0").replace('/', "~1");
        walk(inner, format!("{at}/{key}"), pointers);
    }
    for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
        walk(inner, format!("{at}/{number}"), pointers);
    }
    pointers.push(at);
}

/// A block with slot 3 allocated, slot 4 resting and slot 5 in quarantine.
fn sample() -> (Key, Value) {
    let json = json!({
        "apiVersion": API_VERSION, "kind": "SpiderBlock",
        "metadata": {
            "name": "default.4.0a060040", "resourceVersion": "41", "generation": 3,
            "finalizers": ["spiderpool.spidernet.io"],
        },
        "spec": {
            "format": 1, "space": "default", "ipVersion": 4, "first": "10.6.0.64", "size": 64,
            "incarnation": "00000000000000ff", "commits": 9, "generation": 7, "listed": true,
            "slots": {
                "3": {
                    "state": "Allocated", "owner": "pod/u-1", "podUID": "u-1",
                    "containerID": "c-1", "node": "worker-1", "pool": "blue",
                    "interface": "eth0", "network": "macvlan", "stage": "Attached",
                    "generation": 7, "since": 1_000,
                },
                "4": {"state": "Resting", "since": 2_000},
                "5": {
                    "state": "Quarantined", "mac": "02:00:00:00:00:0a", "since": 1, "until": 2,
                    "rounds": 3,
                },
            },
        },
    });
    let block = parse_block_name("default.4.0a060040").unwrap();
    (Key::Block(block), json)
}

#[test]
fn a_block_stands_as_the_format_says() {
    let (key, json) = sample();
    let Body::Block(body) = body_of(&key, &json) else { panic!("unreadable") };
    let mut made = create(&key, &Body::Block(body));
    merge(&mut made, &json!({"metadata": {"resourceVersion": "41", "generation": 3}}));
    assert_eq!(made, json);
}

#[test]
fn a_patch_is_small() {
    let (key, json) = sample();
    let was = body_of(&key, &json);
    let Body::Block(mut body) = was.clone() else { panic!("unreadable") };
    body.sheet.commits = 11;
    body.sheet.slots.insert(3, Slot::Resting { since_ms: 9 });
    body.sheet.slots.remove(&4);
    let expected = json!({
        "metadata": {"resourceVersion": "41"},
        "spec": {"commits": 11, "slots": {
            "3": {
                "state": "Resting", "since": 9, "owner": null, "podUID": null,
                "containerID": null, "node": null, "pool": null, "interface": null,
                "network": null, "stage": null, "generation": null,
            },
            "4": null,
        }},
    });
    assert_eq!(patch(&key, 41, &was, &Body::Block(body)), expected);
}

#[test]
fn damage_is_unreadable() {
    let check = |pointer: &str, graft: Value, expected: &str| {
        let (key, mut json) = sample();
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[last] = graft;
        let Body::Unreadable { why } = body_of(&key, &json) else {
            panic!("{pointer} was taken");
        };
        assert!(why.contains(expected), "{pointer}: {why}");
    };
    check("/spec/format", json!(2), "it has format 2, and this version reads format 1");
    check("/spec/format", json!("1"), "`spec.format` cannot be read");
    check("/kind", json!("SpiderLedger"), "it is a SpiderLedger of");
    check("/apiVersion", json!("v1"), "it is a SpiderBlock of `v1`; expected a SpiderBlock");
    check("/metadata/name", json!("default.4.0a060080"), "its name is `default.4.0a060080`");
    check("/metadata/namespace", json!("x"), "its name is `x/default.4.0a060040`");
    check("/metadata/resourceVersion", json!("1a"), "its resourceVersion is \"1a\"");
    check("/metadata/resourceVersion", json!(41), "its resourceVersion is 41");
    check("/spec/space", json!("red"), "`spec.space` does not agree with its name");
    check("/spec/ipVersion", json!(6), "`spec.ipVersion` does not agree");
    check("/spec/first", json!("10.6.0.65"), "`spec.first` does not agree");
    check("/spec/first", json!("10.6.0"), "`spec` cannot be read: invalid IP address");
    check("/spec/size", json!(48), "choose 16, 32 or 64");
    check("/spec/incarnation", json!("ff"), "no incarnation of 16 hexadecimal digits");
    check("/spec/commits", json!(-1), "`spec` cannot be read");
    check("/spec/commits", json!(u64::MAX), "a counter is beyond");
    check("/spec/generation", json!(6), "a generation is from the future");
    check("/spec/slots", json!([]), "`spec.slots` cannot be read: it is no mapping");
    check("/spec/slots/64", json!({"state": "Resting", "since": 1}), "a slot is outside of it");
    check("/spec/slots/07", json!({"state": "Resting", "since": 1}), "write `7`");
    check("/spec/slots/x", json!({}), "`spec.slots.x` cannot be read: it is no number of a slot");
    check("/spec/slots/3/state", json!("Asleep"), "`spec.slots.3` cannot be read: unknown variant");
    check("/spec/slots/3/stage", json!("attached"), "unknown variant `attached`");
    check("/spec/slots/3/owner", json!(""), "`spec.slots.3` cannot be read: a name is missing");
    check("/spec/slots/5/mac", json!("02:00"), "no hardware address");
}

#[test]
fn a_block_that_is_not_aligned_is_unreadable() {
    let (_, mut json) = sample();
    let key = Key::Block(parse_block_name("default.4.0a060050").unwrap());
    merge(
        &mut json,
        &json!({
            "metadata": {"name": "default.4.0a060050"}, "spec": {"first": "10.6.0.80"},
        }),
    );
    let Body::Unreadable { why } = body_of(&key, &json) else { panic!("taken") };
    assert!(why.contains("`spec.size` does not agree with its name"), "{why}");
}

#[test]
fn metadata_alone_is_enough_for_meta() {
    let json = json!({"metadata": {
        "name": "x", "resourceVersion": "12", "generation": 4,
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    }});
    assert_eq!(lift_meta(&json), Ok(Meta { revision: 12, generation: 4, deleting: true }));
    assert!(lift_meta(&json!({})).is_err());
    assert!(lift_meta(&json!({"metadata": {"resourceVersion": "+1"}})).is_err());
}

fn pool_of(edit: &Value) -> Body {
    let mut json = json!({
        "metadata": {"name": "blue", "resourceVersion": "1", "generation": 1},
        "spec": {"subnet": "10.6.0.0/24", "ips": ["10.6.0.10-10.6.0.20"]},
    });
    merge(&mut json, edit);
    body_of(&Key::Pool(name("blue")), &json)
}

#[test]
fn a_pool_of_another_engine_is_disabled() {
    let check = |edit: Value, expected: bool| {
        let Body::Pool(pool) = pool_of(&edit) else { panic!("unreadable") };
        assert_eq!(pool.is_disabled(), expected, "for {edit}");
    };
    let mark = |mark: &str, record: &str| {
        json!({"metadata": {"annotations": {ENGINE_ANNOTATION: mark}},
               "status": {"allocatedIPs": record}})
    };
    let record = r#"{"10.6.0.10":{"pod":"default/web-0","podUid":"u"}}"#;
    check(json!({}), false);
    check(json!({"status": {"allocatedIPs": "{}", "totalIPCount": 11}}), false);
    check(json!({"status": {"allocatedIPs": record}}), true);
    check(json!({"status": {"allocatedIPs": "damaged"}}), true);
    check(mark("blocks", record), false);
    check(mark("status", "{}"), true);
    check(mark("elsewhere", "{}"), true);
    check(json!({"spec": {"disable": true}}), true);
}

#[test]
fn pools_take_what_the_server_adds() {
    let edit = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let Body::Pool(pool) = pool_of(&edit) else { panic!("unreadable") };
    assert!(pool.is_deleting() && pool.policy() == Policy::Spread);
    let Body::Unreadable { why } = pool_of(&json!({"spec": {"gateway": "10.7.0.1"}})) else {
        panic!("taken");
    };
    assert!(why.contains("10.7.0.1"), "{why}");
}

#[test]
fn pools_inherit_from_their_subnet_alone() {
    let draft = SubnetDraft {
        name: "mother".into(),
        prefix: "10.6.0.0/24".into(),
        gateway: Some("10.6.0.1".into()),
        routes: Some(vec![RouteDraft { dst: "10.9.0.0/16".into(), gw: "10.6.0.2".into() }]),
        ..SubnetDraft::default()
    };
    let subnet = |draft: &SubnetDraft| Subnet::try_from(draft.clone()).unwrap();
    let Body::Pool(pool) = pool_of(&json!({"spec": {"routes": []}})) else { panic!("unreadable") };
    let inherited = inherit(&pool, &subnet(&draft)).unwrap();
    assert_eq!(inherited.gateway(), Some("10.6.0.1".parse().unwrap()));
    assert_eq!((inherited.routes().len(), inherited.subnet()), (0, Some(&name("mother"))));
    let other = SubnetDraft { space: "red".into(), ..draft.clone() };
    assert_eq!(inherit(&pool, &subnet(&other)).unwrap(), *pool);
    let clash = SubnetDraft { gateway: Some("10.6.0.10".into()), ..draft };
    assert!(inherit(&pool, &subnet(&clash)).is_err());
}

#[test]
fn endpoints_stay_or_go_with_their_pod() {
    let key = EndpointKey { namespace: name("default"), name: name("web-0") };
    let facts = EndpointFacts {
        key: key.clone(),
        pod_uid: "u-1".into(),
        node: "worker-1".into(),
        owner_kind: "Pod".into(),
        owner_name: "web-0".into(),
    };
    let key = Key::Endpoint(key);
    let ordinary = Body::Endpoint(Endpoint { facts: facts.clone(), slots: Vec::new() });
    let made = create(&key, &ordinary);
    assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u-1");
    assert!(made["metadata"].get("finalizers").is_none());
    assert_eq!(made["metadata"]["labels"][NODE_LABEL], "worker-1");
    assert_eq!(made["status"]["current"]["ips"], json!([]));
    let place = Place { space: name("default"), address: "10.6.0.9".parse().unwrap() };
    let slots = vec![Pointer { attachment: name("eth0"), place }];
    let fixed = Body::Endpoint(Endpoint { facts, slots });
    let made = create(&key, &fixed);
    assert_eq!(made["metadata"]["finalizers"], json!([FINALIZER]));
    assert!(made["metadata"].get("ownerReferences").is_none());
    let expected = json!({
        "metadata": {"resourceVersion": "2", "finalizers": [FINALIZER], "ownerReferences": null},
        "status": {"slots": [{"interface": "eth0", "space": "default", "address": "10.6.0.9"}]},
    });
    assert_eq!(patch(&key, 2, &ordinary, &fixed), expected);
}
