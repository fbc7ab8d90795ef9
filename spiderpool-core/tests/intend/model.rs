//! What wishes come to: the planner's steps on its model of the kernel, and the little that others do.

use std::collections::BTreeSet;

use spiderpool_core::address::Family;
use spiderpool_core::intend::Intent;
use spiderpool_core::net::{
    HardwareAddress, Link, LinkKind, LinkName, Route, RouteProtocol, Scene, Side, Sysctl,
    SysctlName,
};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{Op, plan};

/// Has every wish so, by the planner on its model of the kernel; nothing is left to do then.
pub(crate) fn apply(scene: &mut Scene, intent: &Intent) {
    let steps = plan(scene, intent).unwrap().steps;
    for step in steps {
        perform(scene, step.side, &step.op).unwrap();
    }
    assert_eq!(missing(scene, intent), Vec::<String>::new());
}

/// The steps that are still to be done.
pub(crate) fn missing(scene: &Scene, intent: &Intent) -> Vec<String> {
    plan(scene, intent).unwrap().steps.iter().map(ToString::to_string).collect()
}

/// The settings that a link has from the start.
pub(crate) fn add_settings(scene: &mut Scene, side: Side, link: &LinkName) {
    for (family, setting, value) in [
        (Family::V4, SysctlName::ReversePathFilter, 1),
        (Family::V4, SysctlName::SourceValidMark, 0),
        (Family::V6, SysctlName::DisableIpv6, 0),
        (Family::V6, SysctlName::AcceptRouterAdvertisements, 1),
    ] {
        let sysctl = Sysctl::link(family, link.clone(), setting);
        scene.side_mut(side).sysctls.insert(sysctl, value);
    }
}

/// What two scenes do not have in common, as text.
pub(crate) fn differences(one: &Scene, other: &Scene) -> Vec<String> {
    let all = |scene: &Scene| {
        let mut all = BTreeSet::new();
        for side in [Side::Host, Side::Pod] {
            let of = scene.side(side);
            all.extend(of.links.values().map(|it| format!("{side} {it:?}")));
            all.extend(of.addresses.iter().map(|it| format!("{side} {it:?}")));
            all.extend(of.routes.iter().map(|it| format!("{side} {it:?}")));
            all.extend(of.rules.iter().map(|it| format!("{side} {it:?}")));
            all.extend(of.neighbours.iter().map(|it| format!("{side} {it:?}")));
            all.extend(of.sysctls.iter().map(|it| format!("{side} {it:?}")));
            all.insert(format!("{side} {:?}", of.marking));
        }
        all
    };
    let (one, other) = (all(one), all(other));
    let gone = one.difference(&other).map(|it| format!("- {it}"));
    gone.chain(other.difference(&one).map(|it| format!("+ {it}"))).collect()
}

pub(crate) fn next_index(scene: &Scene, side: Side) -> u32 {
    scene.side(side).links.values().map(|link| link.index).max().unwrap_or(0) + 1
}

pub(crate) fn plain(name: LinkName, index: u32, kind: LinkKind) -> Link {
    let tail = name.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    Link {
        name,
        index,
        kind,
        mac: Some(HardwareAddress(vec![0x0a, 0, 0, 0, u8::try_from(index).unwrap(), tail])),
        mtu: 1500,
        is_up: true,
        has_carrier: true,
        is_broadcast: true,
        is_multicast: true,
        tx_queue_length: 1000,
        parent: None,
        controller: None,
        alias: None,
        functions: Vec::new(),
    }
}

/// A link goes, with all that goes along.
pub(crate) fn delete_link(scene: &mut Scene, side: Side, name: &LinkName) {
    perform(scene, side, &Op::DeleteLink(name.clone())).unwrap();
}

/// A default route as an IPAM adds it: beside those that are there. IPv6 makes one route of both.
pub(crate) fn append_default(scene: &mut Scene, side: Side, route: Route) {
    let observed = scene.side_mut(side);
    let is_sibling = |other: &&Route| {
        other.is_default()
            && matches!(other.destination, ipnet::IpNet::V6(_))
            && Route { hops: route.hops.clone(), ..(*other).clone() } == route
    };
    let Some(sibling) = observed.routes.iter().find(is_sibling).cloned() else {
        observed.routes.insert(route);
        return;
    };
    observed.routes.remove(&sibling);
    let hops = [sibling.hops.clone(), route.hops].concat();
    observed.routes.insert(Route { hops, protocol: RouteProtocol::BOOT, ..sibling });
}
