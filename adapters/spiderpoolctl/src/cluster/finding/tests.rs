//! Each finding from a scene of plain values that has nothing else wrong.

use super::*;
use serde_json::json;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::BlockSize;
use spiderpool_kube::cluster::object::{Body, Key, Object};
use spiderpool_kube::cluster::wire;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn place(address: &str) -> Place {
    Place { space: name("default"), address: address.parse().unwrap() }
}

fn endpoint_key(text: &str) -> EndpointKey {
    let (namespace, pod) = text.split_once('/').unwrap();
    EndpointKey { namespace: name(namespace), name: name(pod) }
}

/// One pool, one block that is listed, and in it what each test puts there.
struct World {
    view: View,
    sheet: Sheet,
    key: BlockKey,
    says_listed: bool,
    listing: Option<Listing>,
    engine: Engine,
    deleting: bool,
    endpoints: BTreeMap<EndpointKey, EndpointSeen>,
    pods: BTreeMap<Name, PodSeen>,
    recovery: Option<Recovery>,
    unreadable: BTreeMap<String, String>,
    gone: bool,
}

fn world() -> World {
    let mut view = View::complete();
    let objects = [
        (Key::Reservation(name("hosts")), json!({"ips": ["10.6.0.12"]})),
        (Key::Pool(name("blue")), json!({"subnet": "10.6.0.0/24", "ips": ["10.6.0.10-10.6.0.19"]})),
    ];
    for (key, spec) in objects {
        let at = wire::path(&key);
        let json = json!({"metadata": {"name": at.name, "resourceVersion": "3"}, "spec": spec});
        let Object { body, meta, .. } = wire::lift(&key, &json, "kube-system");
        if let Body::Pool(pool) = &body {
            view.load_pool(pool, meta.revision);
        } else if let Body::Reservation(reservation) = &body {
            view.load_reservation(reservation, meta.revision);
        } else {
            panic!("{body:?}");
        }
    }
    let key = BlockKey::of(&name("default"), place("10.6.0.10").address, BlockSize::default());
    let sheet = Sheet {
        size: BlockSize::default(),
        incarnation: 7,
        commits: 1,
        generation: 1,
        slots: BTreeMap::new(),
    };
    World {
        view,
        sheet,
        key,
        says_listed: true,
        listing: Some(Listing { incarnation: 7, full: false }),
        engine: Engine::Blocks,
        deleting: false,
        endpoints: BTreeMap::new(),
        pods: BTreeMap::new(),
        recovery: None,
        unreadable: BTreeMap::new(),
        gone: false,
    }
}

impl World {
    fn hold(mut self, address: &str, owner: &str, uid: Option<&str>) -> Self {
        let held = Held {
            holder: Holder {
                owner: Owner::parse(owner).unwrap(),
                pod_uid: uid.map(name),
                container: Some(name("box")),
                node: name("n1"),
            },
            placement: Placement { pool: name("blue"), attachment: name("eth0"), network: None },
            stage: Stage::Attached,
            generation: 1,
            since_ms: 5,
            past_quarantines: 0,
        };
        let slot = self.key.slot(spiderpool_core::address::bits(place(address).address));
        self.sheet.slots.insert(slot, Slot::Allocated(Box::new(held)));
        self
    }

    fn pod(mut self, uid: &str, key: &str, alive: bool) -> Self {
        self.pods.insert(name(uid), PodSeen { key: endpoint_key(key), alive });
        self
    }

    fn endpoint(mut self, key: &str, uid: &str, named: &[&str], told: &[&str]) -> Self {
        let pointer = |address: &&str| Pointer { attachment: name("eth0"), place: place(address) };
        let told = told.iter().map(|ip| ("eth0".to_owned(), ip.parse().unwrap()));
        let seen = EndpointSeen {
            pod_uid: uid.to_owned(),
            slots: named.iter().map(pointer).collect(),
            ips: told.collect(),
        };
        self.endpoints.insert(endpoint_key(key), seen);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn told(&self) -> Vec<String> {
        let blue = name("blue");
        let block = (!self.gone).then_some((&self.key, (&self.sheet, self.says_listed)));
        let scene = Scene {
            view: &self.view,
            blocks: block.into_iter().collect(),
            listed: self.listing.iter().map(|listing| (self.key.clone(), *listing)).collect(),
            pools: BTreeMap::from([(&blue, (&self.engine, self.deleting))]),
            endpoints: self.endpoints.clone(),
            pods: self.pods.clone(),
            recovery: self.recovery.as_ref(),
            ready: BTreeSet::from([name("n1"), name("n2")]),
            unreadable: &self.unreadable,
        };
        let found = findings(&scene);
        found.iter().map(|found| format!("{:?}: {found}", found.weight())).collect()
    }
}

/// Exactly one thing is found.
fn check(world: &World, expected: &str) {
    assert_eq!(world.told(), [expected]);
}

fn served() -> World {
    world().hold("10.6.0.10", "pod/u", Some("u")).pod("u", "default/web", true)
}

fn replica() -> World {
    world().hold("10.6.0.11", "identity/default/web-0", None)
}

#[test]
fn what_is_well_is_not_found() {
    assert_eq!(world().told(), [""; 0]);
    assert_eq!(served().endpoint("default/web", "u", &[], &["10.6.0.10"]).told(), [""; 0]);
    assert_eq!(replica().endpoint("default/web-0", "", &["10.6.0.11"], &[]).told(), [""; 0]);
    // A pod that has no address of ours may have one of another network.
    let other = world().pod("u", "default/web", true);
    assert_eq!(other.endpoint("default/web", "u", &[], &["192.168.0.4"]).told(), [""; 0]);
}

#[test]
fn slots_are_held_by_pods_that_live() {
    check(
        &world().hold("10.6.0.10", "pod/u", Some("u")),
        "Leak: 10.6.0.10 is held by pod/u on node n1, and there is no such pod",
    );
    check(
        &world().hold("10.6.0.10", "pod/u", Some("u")).pod("u", "default/web", false),
        "Leak: 10.6.0.10 is held by pod default/web, which has finished",
    );
}

#[test]
fn endpoints_and_slots_agree() {
    check(
        &replica(),
        "Leak: 10.6.0.11 is held by identity/default/web-0, and no endpoint names it",
    );
    check(
        &world().endpoint("default/web-0", "", &["10.6.0.13"], &[]),
        "Leak: endpoint default/web-0 names 10.6.0.13 of eth0, which nobody holds",
    );
    check(
        &served().endpoint("default/web-0", "", &["10.6.0.10"], &[]),
        "Broken: endpoint default/web-0 names 10.6.0.10 of eth0, which pod/u holds",
    );
    check(
        &served().pod("v", "default/other", true).endpoint(
            "default/other",
            "v",
            &[],
            &["10.6.0.10"],
        ),
        "Broken: endpoint default/other tells 10.6.0.10 of eth0 for a pod that lives, and pod/u holds it",
    );
    check(
        &world().pod("v", "default/other", true).endpoint(
            "default/other",
            "v",
            &[],
            &["10.6.0.14"],
        ),
        "Broken: endpoint default/other tells 10.6.0.14 of eth0 for a pod that lives, and nobody holds it",
    );
}

#[test]
fn blocks_and_index_agree() {
    let block = "default/10.6.0.0";
    check(
        &world().with(|world| world.listing = None),
        &format!(
            "Broken: block {block} is not in the index, though it says so: were it deleted, nobody would notice"
        ),
    );
    let fresh = world().with(|world| (world.listing, world.says_listed) = (None, false));
    check(
        &fresh,
        &format!("Note: block {block} is not in the index yet; nobody was told an address of it"),
    );
    check(
        &world().with(|world| world.gone = true),
        &format!(
            "Broken: block {block} is listed and gone; its addresses are not given out until it is rebuilt"
        ),
    );
    let other = world().with(|world| world.sheet.incarnation = 9);
    check(
        &other,
        &format!(
            "Broken: block {block} has incarnation 0000000000000009, and 0000000000000007 is listed: it was deleted and made again by hand"
        ),
    );
    let hint = |full| Some(Listing { incarnation: 7, full });
    check(
        &world().with(|world| world.listing = hint(true)),
        &format!(
            "Leak: the index says that block {block} is full, and 64 of its addresses are not held"
        ),
    );
    let unreadable = world().with(|world| {
        world.gone = true;
        world.unreadable.insert("SpiderBlock default.4.0a060000".into(), "it has format 2".into());
    });
    check(&unreadable, "Broken: SpiderBlock default.4.0a060000 cannot be read: it has format 2");
}

#[test]
fn allocations_lie_within_pools() {
    let living = |address| world().hold(address, "pod/u", Some("u")).pod("u", "default/web", true);
    check(
        &living("10.6.0.20"),
        "Leak: 10.6.0.20 is held by pod/u through pool blue, which does not have it any more",
    );
    check(
        &living("10.6.0.12"),
        "Leak: 10.6.0.12 is held by pod/u, and reservation hosts keeps it back",
    );
}

#[test]
fn pools_say_what_becomes_of_them() {
    check(
        &served().with(|world| world.deleting = true),
        "Note: pool blue is being deleted and waits for 1 of its addresses",
    );
    check(
        &world().with(|world| world.engine = Engine::Status),
        "Note: pool blue belongs to the reference's engine; nothing is given out of it here",
    );
    let both = served().with(|world| world.engine = Engine::Status).told();
    assert_eq!(both.len(), 2);
    assert!(both[0].starts_with("Broken: 10.6.0.10 is held by pod/u through pool blue, which belongs to the reference's engine"));
}

#[test]
fn a_recovery_says_how_far_it_is() {
    let recovery = Recovery {
        since_ms: 5,
        why: "the store went back".into(),
        asserted: BTreeSet::from([name("n1"), name("away")]),
        lost: BTreeSet::from([world().key]),
    };
    check(
        &world().with(|world| world.recovery = Some(recovery)),
        "Broken: a recovery is under way (the store went back): no address is given out; 1 of 2 ready nodes have written back what they hold; lost blocks: default/10.6.0.0",
    );
}

#[test]
fn findings_are_sorted() {
    let told = replica()
        .hold("10.6.0.10", "pod/u", Some("u"))
        .with(|world| (world.deleting, world.sheet.incarnation) = (true, 9))
        .told();
    let weights: Vec<_> = told.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(weights, ["Broken", "Leak", "Leak", "Note"]);
}
