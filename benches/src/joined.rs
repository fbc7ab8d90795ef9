//! A node and a pod to plan for: two namespaces with as many routes as is asked, and one underlay
//! interface of both families that is to be joined.
//!
//! Scenes are made by the core's own model of the kernel (`a_joined_pod_holds_its_intent`).

use spiderpool_core::address::Family;
use spiderpool_core::intend::{Configuration, Intended, Refusal, Topology, intend};
use spiderpool_core::net::{
    Address, BadLinkName, HardwareAddress, Link, LinkKind, LinkName, Observed, Parent, Route,
    RouteProtocol, Rule, Scene, Side, table,
};
use spiderpool_core::plan::kernel::{KernelRefusal, perform};
use spiderpool_core::plan::{LinkChange, Op, Plan, PlanRefusal, plan};
use std::collections::BTreeMap;
use std::net::{AddrParseError, IpAddr, Ipv4Addr};
use thiserror::Error;

/// A scene could not be built.
#[derive(Debug, Error)]
pub enum Unjoined {
    /// A name is no link's.
    #[error("{0}")]
    Name(#[from] BadLinkName),
    /// A prefix is not well formed.
    #[error("{0}")]
    Prefix(#[from] ipnet::AddrParseError),
    /// An address is not well formed.
    #[error("{0}")]
    Address(#[from] AddrParseError),
    /// The model of the kernel refused what the scene is made of.
    #[error("{0}")]
    Kernel(#[from] KernelRefusal),
    /// There is no intent.
    #[error("{0}")]
    Intent(#[from] Refusal),
    /// There is no plan.
    #[error("{0}")]
    Plan(#[from] PlanRefusal),
}

/// Where the routes are that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In the node's table of ways to its pods: a thousand pods are there.
    HostTable,
    /// In the pod's main table.
    PodMain,
}

/// The topology of a pod whose `eth0` is to be joined, with so many routes there already, and its
/// configuration.
///
/// # Errors
/// [`Unjoined`] when the scene cannot be built.
pub fn topology(place: Where, routes: u32) -> Result<(Topology, Configuration), Unjoined> {
    let mut scene = Scene { host: bare()?, pod: bare()? };
    furnish(&mut scene, Side::Host, "ens3", "10.6.0.2/16", "fd00:6::2/64")?;
    furnish(&mut scene, Side::Pod, "eth0", "10.6.1.7/16", "fd00:6::1:7/64")?;
    let (side, device, number) = match place {
        Where::HostTable => (Side::Host, "ens3", table::HOST),
        Where::PodMain => (Side::Pod, "eth0", table::MAIN),
    };
    let first = Ipv4Addr::new(10, 64, 0, 0).to_bits();
    for at in 0..routes {
        let net = IpAddr::from(Ipv4Addr::from_bits(first.wrapping_add(at))).into();
        let route = Route::on_link(net, number, LinkName::new(device)?);
        perform(&mut scene, side, &Op::AddRoute(route))?;
    }
    let toward = [("10.6.1.7", "10.6.0.2"), ("fd00:6::1:7", "fd00:6::2")];
    let toward = toward.into_iter().map(|(pod, node)| Ok((pod.parse()?, node.parse()?)));
    let topology = Topology {
        scene,
        container: "0123456789abcdef".repeat(4),
        interface: LinkName::new("eth0")?,
        attachments: Vec::new(),
        expected: None,
        toward: toward.collect::<Result<BTreeMap<IpAddr, IpAddr>, AddrParseError>>()?,
    };
    let configuration = Configuration {
        service_prefixes: vec!["10.96.0.0/12".parse()?, "fd00:96::/108".parse()?],
        hijack_prefixes: vec!["169.254.0.0/16".parse()?],
        ..Configuration::new(LinkName::new("eth0")?)
    };
    Ok((topology, configuration))
}

/// What is intended and the way there.
///
/// # Errors
/// [`Unjoined`] when either is refused.
pub fn way(
    topology: &Topology,
    configuration: &Configuration,
) -> Result<(Intended, Plan), Unjoined> {
    let intended = intend(topology, configuration)?;
    let planned = plan(&topology.scene, &intended.intent)?;
    Ok((intended, planned))
}

/// The scene after a plan.
///
/// # Errors
/// [`Unjoined::Kernel`] when a step is refused.
pub fn after(scene: &Scene, planned: &Plan) -> Result<Scene, Unjoined> {
    let mut scene = scene.clone();
    for step in &planned.steps {
        perform(&mut scene, step.side, &step.op)?;
    }
    Ok(scene)
}

/// Loopback, and the rules that the kernel makes.
fn bare() -> Result<Observed, Unjoined> {
    let mut observed = Observed::default();
    for family in Family::BOTH {
        for (priority, number) in [(0, table::LOCAL), (32_766, table::MAIN), (32_767, 253)] {
            let rule = Rule::new(family, priority, number);
            observed.rules.insert(Rule { protocol: RouteProtocol::KERNEL, ..rule });
        }
    }
    let lo = Link { kind: LinkKind::Plain, parent: None, ..link("lo", 1)? };
    observed.links.insert(lo.name.clone(), lo);
    Ok(observed)
}

fn link(name: &str, index: u32) -> Result<Link, Unjoined> {
    let [.., last] = index.to_be_bytes();
    Ok(Link {
        name: LinkName::new(name)?,
        index,
        kind: LinkKind::Veth,
        mac: Some(HardwareAddress(vec![2, 0, 0, 0, 0, last])),
        mtu: 1500,
        is_up: false,
        has_carrier: false,
        is_broadcast: true,
        is_multicast: true,
        tx_queue_length: 1000,
        parent: Some(Parent { name: None, index: 900, netns_id: Some(7) }),
        controller: None,
        alias: None,
        functions: Vec::new(),
    })
}

/// Adds a link that is up, with an address of each family and default routes.
fn furnish(scene: &mut Scene, side: Side, name: &str, v4: &str, v6: &str) -> Result<(), Unjoined> {
    let added = link(name, 2)?;
    let device = added.name.clone();
    scene.side_mut(side).links.insert(device.clone(), added);
    let via = |net: &str, router: &str| -> Result<Op, Unjoined> {
        let route = Route::via(net.parse()?, table::MAIN, router.parse()?, device.clone());
        Ok(Op::AddRoute(Route { protocol: RouteProtocol::BOOT, ..route }))
    };
    let ops = [
        Op::SetLink { name: device.clone(), change: LinkChange::Up(true) },
        Op::AddAddress(Address::new(device.clone(), v4.parse()?)),
        Op::AddAddress(Address::new(device.clone(), v6.parse()?)),
        via("0.0.0.0/0", "10.6.0.1")?,
        via("::/0", "fd00:6::1")?,
    ];
    for op in ops {
        perform(scene, side, &op)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_pod_holds_its_intent() {
        for place in [Where::HostTable, Where::PodMain] {
            let (topology, configuration) = topology(place, 20).unwrap();
            let (intended, planned) = way(&topology, &configuration).unwrap();
            assert!(planned.steps.len() > 10, "{planned}");
            let reached = after(&topology.scene, &planned).unwrap();
            assert_eq!(plan(&reached, &intended.intent), Ok(Plan::default()));
        }
    }
}
