//! The core's model of the kernel against the host's own kernel, op by op over random ops: needs root and
//! iproute2.
//!
//! Before each op both are in the same state, since the model starts from what is observed. Kinds of links
//! that this kernel may lack are left to the VM tier, and what the model's documentation says is not
//! modelled is left out.

#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

#[expect(dead_code, reason = "the core's tests use the rest of it")]
#[path = "../../spiderpool-core/tests/plan/build.rs"]
mod build;
mod lab;
#[expect(dead_code, reason = "the core's tests use the rest of it")]
#[path = "../../spiderpool-core/tests/plan/random.rs"]
mod random;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lab::{Room, declined};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{Reason, Tenure};
use spiderpool_core::net::{Object, Observed, Scene, Side, Sysctl, SysctlName, SysctlPlace};
use spiderpool_core::plan::kernel::{normal, perform};
use spiderpool_core::plan::{NewKind, Op, Plan, Step};
use spiderpool_netlink::{Focus, NetlinkFault, Session, Stage, Wanted};

/// How long the kernel may take for what it does in the background.
const PATIENCE: Duration = Duration::from_secs(2);

/// A pod with two interfaces on a wire of their own, and its node with one.
struct World {
    stage: Stage,
    _rooms: [Room; 3],
}

impl World {
    fn new() -> Self {
        let rooms = [Room::new(), Room::new(), Room::new()];
        for room in &rooms {
            // Nothing that comes by itself some time later: no probing for addresses.
            let still = |_: &mut Session| {
                let conf = "/proc/sys/net/ipv6/conf";
                let places = ["all", "default"].map(|place| format!("{conf}/{place}/accept_dad"));
                places.iter().try_for_each(|place| std::fs::write(place, "0"))
            };
            room.namespace().run(still).unwrap();
        }
        let [pod, host, wire] = &rooms;
        for (room, link, last) in [(pod, "eth0", 2), (pod, "net1", 4), (host, "ens3", 3)] {
            wire.ip(&format!("link add w{last} type veth peer name {link} netns {}", room.name));
            wire.ip(&format!("link set w{last} up"));
            room.ip(&format!("link set {link} address 02:00:00:00:00:0{last} up"));
            let subnet = [2, 6, 2, 7][last - 1];
            room.ip(&format!("address add 10.{subnet}.0.10/16 dev {link}"));
            room.ip(&format!("-6 address add fd00:{subnet}::10/64 dev {link} nodad"));
        }
        let stage = Stage::open(&host.namespace(), &pod.namespace()).unwrap();
        Self { stage, _rooms: rooms }
    }

    /// What is there when nothing changes any more.
    fn observed(&mut self) -> Scene {
        let mut scene = self.stage.observe(&focus()).unwrap();
        loop {
            std::thread::sleep(Duration::from_millis(4));
            let again = self.stage.observe(&focus()).unwrap();
            if again == scene {
                return scene;
            }
            scene = again;
        }
    }

    /// What is there once the kernel has done what it does in the background; at the latest after a while.
    fn settled(&mut self, expected: impl Fn(&Scene) -> bool) -> Scene {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let scene = self.stage.observe(&focus()).unwrap();
            if expected(&scene) || Instant::now() > deadline {
                return scene;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn focus() -> Focus {
    let links = ["lo", "eth0", "net1", "ens3", "veth0", "vethc0", "mv0", "br0"];
    let places = links.map(|link| SysctlPlace::Link(build::name(link)));
    let settings = [
        (Family::V4, SysctlName::ReversePathFilter),
        (Family::V6, SysctlName::DisableIpv6),
        (Family::V6, SysctlName::Forwarding),
    ];
    let places = places.into_iter().chain([SysctlPlace::All, SysctlPlace::Default]);
    let sysctls: BTreeSet<_> = places
        .flat_map(|place| {
            settings.map(|(family, name)| Sysctl { family, place: place.clone(), name })
        })
        .collect();
    let wanted = Wanted { sysctls, ..Wanted::everything() };
    Focus { host: wanted.clone(), pod: wanted }
}

fn objects(observed: &Observed) -> BTreeSet<Object> {
    let Observed { links, addresses, routes, rules, neighbours, sysctls, marking: _ } = observed;
    let links = links.values().cloned().map(Object::Link);
    links
        .chain(addresses.iter().cloned().map(Object::Address))
        .chain(routes.iter().cloned().map(Object::Route))
        .chain(rules.iter().cloned().map(Object::Rule))
        .chain(neighbours.iter().cloned().map(Object::Neighbour))
        .chain(sysctls.iter().map(|(name, value)| Object::Sysctl(name.clone(), *value)))
        .collect()
}

/// What the kernel and the model do not have in common.
fn difference(expected: &Scene, found: &Scene) -> Vec<String> {
    let (expected, found) = (normal(expected), normal(found));
    let mut told = Vec::new();
    for side in [Side::Host, Side::Pod] {
        let (model, kernel) = (objects(expected.side(side)), objects(found.side(side)));
        let tell =
            |who: &str, object: &Object| format!("{side}: {who} alone has {object} {object:?}");
        told.extend(model.difference(&kernel).map(|object| tell("the model", object)));
        told.extend(kernel.difference(&model).map(|object| tell("the kernel", object)));
        if expected.side(side).marking != found.side(side).marking {
            told.push(format!("{side}: {:?}", found.side(side).marking));
        }
    }
    told
}

fn plan_of(side: Side, op: &Op) -> Plan {
    let (tenure, reason) = (Tenure::Attachment, Reason::Interface);
    let (undo, collateral, losses) = (Vec::new(), Vec::new(), Vec::new());
    Plan { steps: vec![Step { side, op: op.clone(), tenure, reason, undo, collateral, losses }] }
}

/// An op as it can be compared: without probing for the address.
fn comparable((side, op): (Side, Op)) -> Option<(Side, Op)> {
    match op {
        Op::CreateLink(new) if matches!(new.kind, NewKind::Vlan { .. } | NewKind::Bridge) => None,
        Op::AddAddress(mut address) => {
            address.flags.has_no_dad = address.family() == Family::V6;
            Some((side, Op::AddAddress(address)))
        }
        op => Some((side, op)),
    }
}

/// Whether an op is none to compare: the applier does not write a setting that is so already, and the
/// kernel does half of a move to a name that is taken.
fn is_left_out(scene: &Scene, side: Side, op: &Op) -> bool {
    match op {
        Op::SetSysctl(name, value) => scene.side(side).sysctls.get(name) == Some(value),
        Op::MoveLink { target, .. } => scene.side(side.other()).links.contains_key(target),
        _ => false,
    }
}

/// Does an op in both, and says where they part.
fn compare(world: &mut World, side: Side, op: &Op) -> Vec<String> {
    let mut expected = world.observed();
    if is_left_out(&expected, side, op) {
        return Vec::new();
    }
    let foretold = perform(&mut expected, side, op).map_err(|refusal| refusal.errno.number());
    let done = world.stage.apply(&plan_of(side, op)).map_err(|failed| *failed.fault);
    match (&foretold, &done) {
        // The applier keeps the kernel from doing something else.
        (_, Err(NetlinkFault::Unasked { .. } | NetlinkFault::NoLink { .. })) => return Vec::new(),
        (Ok(_), Err(fault)) => return vec![format!("the kernel refuses: {fault:?}")],
        (Err(errno), Ok(_)) => return vec![format!("the model alone refuses: {errno}")],
        (Err(errno), Err(NetlinkFault::Refused { errno: found, text, .. }))
            if found.0 != *errno =>
        {
            return vec![format!("the model says {errno}, the kernel {found:?} {text:?}")];
        }
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
    }
    let found = world.settled(|scene| difference(&expected, scene).is_empty());
    difference(&expected, &found)
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn the_model_does_what_the_kernel_does() {
    if declined() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let (mut parted, mut done) = (Vec::new(), 0);
    let worlds = std::env::var("SPIDERPOOL_MODEL_WORLDS").ok().and_then(|count| count.parse().ok());
    for number in 0..worlds.unwrap_or(12) {
        let mut world = World::new();
        let ops = proptest::collection::vec(random::an_op(), 30);
        let ops = ops.new_tree(&mut runner).unwrap().current();
        for (side, op) in ops.into_iter().filter_map(comparable) {
            let differences = compare(&mut world, side, &op);
            done += 1;
            if !differences.is_empty() {
                parted
                    .push(format!("world {number}, {side}: {op}\n  {}", differences.join("\n  ")));
            }
        }
    }
    let all = parted.join("\n");
    assert!(parted.is_empty(), "{} of {done} ops:\n{all}", parted.len());
}
