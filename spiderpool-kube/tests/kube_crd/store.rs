//! The objects of the cluster store, as `cluster::wire` writes them.

use crate::{Trial, cluster, send};
use serde_json::{Value, json};
use spiderpool_core::address::Family;
use spiderpool_core::command::Place;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use spiderpool_kube::cluster::object::{
    BlockBody, Body, Endpoint, EndpointFacts, EndpointKey, Index, IndexKey, Key, Ledger, Listing,
    Object, Pointer, Recovery,
};
use spiderpool_kube::cluster::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Once;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Where the objects of a key's kind are.
fn folder(key: &Key) -> String {
    crate::path(wire::path(key).plural)
}

fn place(key: &Key) -> String {
    format!("{}/{}", folder(key), wire::path(key).name)
}

#[track_caller]
fn make(key: &Key, body: &Body) -> Object {
    let sent = wire::create(key, body);
    let reply = send("POST", &format!("{}?fieldValidation=Strict", folder(key)), &sent);
    assert_eq!(reply.status, 201, "{}", reply.text);
    wire::lift(key, &reply.json(), "kube-system")
}

fn read(key: &Key) -> Object {
    wire::lift(key, &cluster().admin().call("GET", &place(key), None).unwrap(), "kube-system")
}

#[track_caller]
fn replace(key: &Key, seen: &Object, body: &Body) -> u16 {
    let sent = wire::patch(key, seen.meta.revision, &seen.body, body);
    send("PATCH", &format!("{}?fieldValidation=Strict", place(key)), &sent).status
}

fn block_key(third: u8) -> BlockKey {
    let first = u128::from(u32::from_be_bytes([10, 6, third, 64]));
    BlockKey { space: name("default"), family: Family::V4, first }
}

fn held(owner: &str) -> Slot {
    let uid = name(owner);
    Slot::Allocated(Box::new(Held {
        holder: Holder {
            owner: Owner::pod(&uid).unwrap(),
            pod_uid: Some(uid),
            container: Some(name("c-1")),
            node: name("worker-1"),
        },
        placement: Placement {
            pool: name("blue"),
            attachment: name("eth0"),
            network: Some(name("kube-system/macvlan")),
        },
        stage: Stage::Attached,
        generation: 7,
        since_ms: 1_790_000_000_000,
        past_quarantines: 1,
    }))
}

fn block(slots: impl IntoIterator<Item = (u8, Slot)>) -> BlockBody {
    let sheet = Sheet {
        size: BlockSize::DEFAULT,
        incarnation: 0xfeed_face_dead_beef,
        commits: 3,
        generation: 9,
        slots: slots.into_iter().collect(),
    };
    BlockBody { sheet, listed: false }
}

fn resting() -> Slot {
    Slot::Resting { since_ms: 5 }
}

fn quarantined() -> Slot {
    Slot::Quarantined { mac: [2, 0, 0, 0, 0, 1], since_ms: 1, until_ms: 2, rounds: 3 }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_block_is_written_as_the_wire_says() {
    let key = Key::Block(block_key(0));
    let full: BTreeMap<_, _> = (0..64).map(|slot| (slot, held(&format!("u-{slot}")))).collect();
    let body = block(full);
    let made = make(&key, &Body::Block(body.clone()));
    assert_eq!(made.body, Body::Block(body.clone()));
    assert_eq!(read(&key), made);
    // A change of a few slots arrives, and is a small request.
    let mut next = body;
    next.sheet.commits += 3;
    next.listed = true;
    next.sheet.slots.insert(0, resting());
    next.sheet.slots.insert(1, quarantined());
    next.sheet.slots.remove(&2);
    let next = Body::Block(next);
    assert!(wire::patch(&key, made.meta.revision, &made.body, &next).to_string().len() < 700);
    assert_eq!(replace(&key, &made, &next), 200);
    assert_eq!(read(&key).body, next);
    // The same change once more comes too late.
    assert_eq!(replace(&key, &made, &next), 409);
    assert_eq!(send("POST", &folder(&key), &wire::create(&key, &next)).status, 409);
    assert_eq!(replace(&Key::Block(block_key(9)), &made, &next), 404);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_block_is_held_to_its_format() {
    let key = Key::Block(block_key(1));
    let body = Body::Block(block([(3, held("u-3")), (4, resting()), (5, quarantined())]));
    make(&key, &body);
    let trial = Trial { plural: "spiderblocks", base: wire::create(&key, &body) };
    trial.accepts_change(&json!({"commits": 4, "slots": {"6": {"state": "Resting", "since": 1}}}));
    trial.accepts_change(&json!({"format": 2}));
    for other in [
        json!({"space": "red"}),
        json!({"ipVersion": 6}),
        json!({"first": "10.6.1.0"}),
        json!({"size": 32}),
    ] {
        trial.refuses_change(&other, "cannot be changed; a block of other addresses");
    }
    trial.refuses_change(&json!({"commits": 2}), "cannot go back; read the block again");
    trial.accepts_change(&json!({"commits": 2, "incarnation": "0000000000000001"}));
    for (spec, expected) in [
        (json!({"size": 48}), "Unsupported value: 48"),
        (json!({"incarnation": "beef"}), "spec.incarnation"),
        (json!({"format": 0}), "spec.format"),
        (json!({"listed": null}), "spec.listed: Required value"),
        (json!({"slots": {"7": {"state": "Asleep", "since": 1}}}), "Unsupported value: \"Asleep\""),
        (json!({"slots": {"7": {"state": "Resting"}}}), "since: Required value"),
        (json!({"slots": {"5": {"mac": "02:00"}}}), "mac"),
        (json!({"slots": {"3": {"stage": "attached"}}}), "Unsupported value: \"attached\""),
    ] {
        trial.refuses(&spec, expected);
    }
    let reply = send("PATCH", &place(&key), &json!({"spec": {"format": 2}}));
    assert_eq!(reply.status, 200, "{}", reply.text);
    let Body::Unreadable { why } = read(&key).body else { unreachable!("format 2 was read") };
    assert!(why.contains("it has format 2"), "{why}");
    trial
        .refuses_change(&json!({"format": 1}), "cannot go back; a later version wrote this object");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn listings_merge_and_stay() {
    let first = block_key(0).first + (1 << 24);
    let block = BlockKey { first, ..block_key(0) };
    let index = IndexKey::of(&block);
    let key = Key::Index(index.clone());
    let listing = |incarnation| Listing { incarnation, full: false };
    let list = |first: u128, listing: &Listing| {
        send("PATCH", &place(&key), &wire::list_patch(&index, first, listing)).status
    };
    assert_eq!(list(first, &listing(1)), 404);
    let one = Index { blocks: BTreeMap::from([(first, listing(1))]) };
    assert_eq!(make(&key, &Body::Index(one.clone())).body, Body::Index(one.clone()));
    let full = Listing { incarnation: 1, full: true };
    assert_eq!((list(first + 64, &listing(2)), list(first, &full)), (200, 200));
    let both = Index { blocks: BTreeMap::from([(first, full), (first + 64, listing(2))]) };
    let seen = read(&key);
    assert_eq!(seen.body, Body::Index(both));
    assert_eq!(replace(&key, &seen, &Body::Index(one)), 422, "an entry never goes");
    let reply = send("PATCH", &place(&key), &json!({"spec": {"format": 2}}));
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(list(first, &full), 422, "a shard of a later format is left alone");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn the_ledger_is_written_as_the_wire_says() {
    // The one ledger serves another test, too.
    make_one_of_each();
    let seen = read(&Key::Ledger);
    let recovery = Recovery {
        since_ms: 5,
        why: "the store went back".into(),
        asserted: BTreeSet::from([name("worker-1")]),
        lost: BTreeSet::from([block_key(7)]),
    };
    let next = Body::Ledger(Ledger { epoch: 2, recovery: Some(recovery) });
    assert_eq!(replace(&Key::Ledger, &seen, &next), 200);
    let during = read(&Key::Ledger);
    assert_eq!(during.body, next);
    let after = Body::Ledger(Ledger { epoch: 2, recovery: None });
    assert_eq!(replace(&Key::Ledger, &seen, &after), 409);
    assert_eq!(replace(&Key::Ledger, &during, &after), 200);
    assert_eq!(read(&Key::Ledger).body, after);
}

fn endpoint(label: &str, slots: Vec<Pointer>) -> (Key, Body) {
    let key = EndpointKey { namespace: name("default"), name: name(label) };
    let facts = EndpointFacts {
        key: key.clone(),
        pod_uid: "u-1".into(),
        node: "worker-1".into(),
        owner_kind: "StatefulSet".into(),
        owner_name: "web".into(),
    };
    (Key::Endpoint(key), Body::Endpoint(Endpoint { facts, slots }))
}

fn pointer(address: &str) -> Pointer {
    let place = Place { space: name("default"), address: address.parse().unwrap() };
    Pointer { attachment: name("eth0"), place }
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_endpoint_is_written_as_the_wire_says() {
    for slots in [Vec::new(), vec![pointer("10.6.0.9"), pointer("fd00::9")]] {
        let (key, body) = endpoint(&format!("web-{}", slots.len()), slots);
        let made = make(&key, &body);
        assert_eq!((&made.body, read(&key)), (&body, made.clone()));
        // What others project stays.
        let ips = json!([{"interface": "eth0", "ipv4": "10.6.0.9/16", "ipv4Pool": "blue"}]);
        let reply = send("PATCH", &place(&key), &json!({"status": {"current": {"ips": ips}}}));
        assert_eq!(reply.status, 200, "{}", reply.text);
        let (_, next) = endpoint(&wire::path(&key).name, vec![pointer("10.6.0.10")]);
        assert_eq!(replace(&key, &made, &next), 409);
        assert_eq!(replace(&key, &read(&key), &next), 200);
        let json = cluster().admin().call("GET", &place(&key), None).unwrap();
        assert_eq!(wire::lift(&key, &json, "kube-system").body, next);
        assert_eq!(json.pointer("/status/current/ips/0/vlan"), Some(&json!(0)), "{json}");
        assert_eq!(json.pointer("/metadata/finalizers"), Some(&json!([wire::FINALIZER])));
        let labelled = format!("{}?labelSelector={}=worker-1", folder(&key), wire::NODE_LABEL);
        let list = cluster().admin().call("GET", &labelled, None).unwrap();
        let items = list.get("items").and_then(Value::as_array).unwrap();
        let found = items.iter().any(|item| wire::lift(&key, item, "kube-system").body == next);
        assert!(found, "{list}");
    }
}

/// One object of each kind, so that kubectl has something to show.
pub(crate) fn make_one_of_each() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let block = BlockKey { first: 0x0a0a_0000, ..block_key(0) };
        let index = IndexKey::of(&block);
        make(&Key::Index(index), &Body::Index(Index::default()));
        make(&Key::Block(block), &Body::Block(self::block([])));
        make(&Key::Ledger, &Body::Ledger(Ledger { epoch: 1, recovery: None }));
        let (key, body) = endpoint("shown", vec![pointer("10.10.0.9")]);
        make(&key, &body);
        for (kind, plural, spec) in [
            ("SpiderIPPool", "spiderippools", json!({"subnet": "10.10.0.0/16"})),
            ("SpiderSubnet", "spidersubnets", json!({"subnet": "10.10.0.0/16"})),
            ("SpiderReservedIP", "spiderreservedips", json!({"ips": ["10.10.0.1"]})),
            ("SpiderCoordinator", "spidercoordinators", json!({"podCIDRType": "auto"})),
            ("SpiderMultusConfig", "spidermultusconfigs", json!({"customCNI": ""})),
        ] {
            let object = json!({
                "apiVersion": crate::VERSION, "kind": kind, "metadata": {"name": "shown"}, "spec": spec,
            });
            Trial { plural, base: object }.make();
        }
    });
}
