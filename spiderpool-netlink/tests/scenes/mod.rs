//! A node's namespace and a pod's for tests, and scenes that can be compared.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{Reason, Tenure};
use spiderpool_core::net::{Address, Link, LinkName, NeighbourState, Observed, Rule, Scene, Side};
use spiderpool_core::plan::{Op, Plan, Step};
use spiderpool_netlink::{Focus, Session, Stage, Wanted};

use crate::lab::Room;

/// Two rooms with a veth between them, both ends up, `eth0` with addresses of both families.
pub(crate) struct Pair {
    pub(crate) pod: Room,
    pub(crate) host: Room,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (pod, host) = (Room::new(), Room::new());
        // Nothing that comes by itself some time later: no probing for addresses.
        for room in [&pod, &host] {
            let still =
                |_: &mut Session| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
            room.namespace().run(still).unwrap();
        }
        pod.ip(&format!(
            "link add eth0 mtu 1400 address 02:00:00:00:00:01 type veth peer name veth-pod netns {}",
            host.name
        ));
        pod.ip("link set eth0 alias pod-side up");
        host.ip("link set veth-pod up");
        pod.ip("address add 10.6.0.10/24 brd + dev eth0");
        pod.ip("-6 address add fd00:6::10/64 dev eth0 nodad");
        let pair = Self { pod, host };
        // Either end gets its link-local address when it finds that the other one is up.
        await_until(|| {
            let scene = observed(&mut pair.stage());
            let both = [(&scene.pod, "eth0"), (&scene.host, "veth-pod")];
            both.iter().all(|(side, device)| {
                let is_link_local = |address: &&Address| {
                    &*address.device == *device && address.net.to_string().starts_with("fe80:")
                };
                side.addresses.iter().any(|address| is_link_local(&address))
            })
        });
        pair
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::open(&self.host.namespace(), &self.pod.namespace()).unwrap()
    }
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

pub(crate) fn rule(priority: u32, table: u32) -> Rule {
    Rule::new(Family::V4, priority, table)
}

pub(crate) fn everything() -> Focus {
    let mut pod = Wanted::everything();
    let filter = spiderpool_core::net::SysctlName::ReversePathFilter;
    pod.sysctls = [spiderpool_core::net::Sysctl::link(Family::V4, name("eth0"), filter)].into();
    Focus { host: Wanted::everything(), pod }
}

pub(crate) fn tables(numbers: &[u32]) -> Focus {
    let wanted = Wanted::tables(numbers.iter().copied());
    Focus { host: wanted.clone(), pod: wanted }
}

/// Everything, once the kernel has settled new IPv6 addresses, which it does in the background.
pub(crate) fn observed(stage: &mut Stage) -> Scene {
    let mut scene = Scene::default();
    await_until(|| {
        scene = stage.observe(&everything()).unwrap();
        let mut addresses = scene.host.addresses.iter().chain(&scene.pod.addresses);
        !addresses.any(|address| address.flags.is_tentative)
    });
    scene
}

fn await_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "the kernel does not settle");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn link(room: &Room, text: &str) -> Option<Link> {
    room.namespace().run(Session::links).unwrap().remove(&name(text))
}

/// A scene without what the kernel counts, learns or finds out by itself.
pub(crate) fn settled(scene: &Scene) -> Scene {
    Scene { host: of_one(&scene.host), pod: of_one(&scene.pod) }
}

fn of_one(observed: &Observed) -> Observed {
    let mut settled = observed.clone();
    settled.neighbours.retain(|neighbour| neighbour.state != NeighbourState::Learned);
    for link in settled.links.values_mut() {
        link.index = 0;
        link.has_carrier = false;
        if let Some(parent) = &mut link.parent {
            (parent.index, parent.netns_id) = (0, None);
        }
    }
    settled
}

/// A step on the pod's side, for one attachment.
pub(crate) fn step(op: Op, undo: &[Op]) -> Step {
    Step {
        side: Side::Pod,
        op,
        tenure: Tenure::Attachment,
        reason: Reason::Interface,
        undo: undo.iter().map(|op| (Side::Pod, op.clone())).collect(),
        collateral: Vec::new(),
        losses: Vec::new(),
    }
}

pub(crate) fn plan_of(steps: impl IntoIterator<Item = Step>) -> Plan {
    Plan { steps: steps.into_iter().collect() }
}
