//! The two namespaces of an attachment: opened, looked at, and changed.
//!
//! A pod whose namespace is gone has an empty one here: nothing is observed of it, and nothing of a plan
//! is done in it.

use super::view;
use super::{AttachmentFault, NotReady, Records, SiteFault};
use spiderpool_core::intend::Intent;
use spiderpool_core::net::{LinkName, Scene, Side};
use spiderpool_core::plan::{Plan, plan};
use spiderpool_netlink::{BadNamespace, Focus, Namespace, Stage, Verdict, Wanted, Witness};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

/// An opened pair of namespaces.
#[derive(Debug)]
pub(super) struct Site {
    stage: Stage,
    focus: Focus,
    has_pod: bool,
}

/// Shows that records can be written, and that the kernel answers for all that is observed: links,
/// addresses, routes, rules, neighbours, sysctls, and nftables objects.
///
/// # Errors
/// [`NotReady`] with what is in the way.
pub fn try_out(records: &Records) -> Result<(), NotReady> {
    records.try_out()?;
    // The node's own routes of all tables and its marks are of no use later, and show that the kernel
    // tells them.
    let everything = Focus { host: Wanted::everything(), pod: Wanted::default() };
    Site::of_host(everything)?.observe()?;
    Ok(())
}

impl Site {
    /// The node's namespace, which is this process's own, and a pod's.
    pub(super) fn of_pod(pod: &Namespace, focus: Focus) -> Result<Self, SiteFault> {
        let host = Namespace::here().map_err(SiteFault::Host)?;
        let stage = Stage::open(&host, pod).map_err(SiteFault::Observe)?;
        Ok(Self { stage, focus, has_pod: true })
    }

    /// The node's namespace alone.
    pub(super) fn of_host(focus: Focus) -> Result<Self, SiteFault> {
        let host = Namespace::here().map_err(SiteFault::Host)?;
        let stage = Stage::of_host(&host).map_err(SiteFault::Observe)?;
        Ok(Self { stage, focus, has_pod: false })
    }

    /// Whether the pod's namespace is there.
    pub(super) const fn has_pod(&self) -> bool {
        self.has_pod
    }

    /// How many questions and changes the kernel was sent.
    pub(super) fn round_trips(&self) -> u32 {
        self.stage.round_trips()
    }

    /// What both namespaces hold.
    pub(super) fn observe(&mut self) -> Result<Scene, SiteFault> {
        self.stage.observe(&self.focus).map_err(SiteFault::Observe)
    }

    /// The same, with every setting that an intent speaks of.
    pub(super) fn observe_for(&mut self, intent: &Intent) -> Result<Scene, SiteFault> {
        view::look_at(&mut self.focus, intent);
        self.observe()
    }

    /// The steps from what is to what an intent wants, as far as there are namespaces for it.
    pub(super) fn way(
        &self,
        interface: &LinkName,
        scene: &Scene,
        intent: &Intent,
    ) -> Result<Plan, AttachmentFault> {
        let reachable = |side: Side| self.has_pod || side == Side::Host;
        let wishes = intent.wishes.iter().filter(|wish| reachable(wish.side)).cloned().collect();
        plan(scene, &Intent { wishes })
            .map_err(|source| AttachmentFault::NoPlan { interface: interface.to_string(), source })
    }

    /// Does the steps of a plan, or none.
    pub(super) fn apply(
        &mut self,
        interface: &LinkName,
        plan: &Plan,
    ) -> Result<(), AttachmentFault> {
        if plan.is_empty() {
            return Ok(());
        }
        self.stage.apply(plan).map(drop).map_err(|failed| AttachmentFault::Failed {
            interface: interface.to_string(),
            source: Box::new(failed),
        })
    }

    /// Does the steps of a plan, looks again, and fails unless the intent is held.
    pub(super) fn realise(
        &mut self,
        interface: &LinkName,
        intent: &Intent,
        plan: &Plan,
    ) -> Result<(), AttachmentFault> {
        self.apply(interface, plan)?;
        let scene = self.observe_for(intent)?;
        let rest = self.way(interface, &scene, intent)?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(AttachmentFault::NotHeld { interface: interface.to_string(), plan: Box::new(rest) })
    }

    /// For each address of the pod that can be used beyond its link, the node's own address from which
    /// the node would reach it. An address that it does not reach is left out.
    pub(super) fn toward(&mut self, scene: &Scene) -> Result<BTreeMap<IpAddr, IpAddr>, SiteFault> {
        let usable = scene.pod.addresses.iter().filter(|address| address.is_usable());
        let targets: BTreeSet<IpAddr> = usable.map(|address| address.net.addr()).collect();
        let mut toward = BTreeMap::new();
        for target in targets {
            let source = self.stage.source_toward(target).map_err(SiteFault::Observe)?;
            toward.extend(source.map(|source| (target, source)));
        }
        Ok(toward)
    }
}

/// Opens a pod's namespace for something that needs it.
pub(super) fn pod_at(path: &Path) -> Result<Namespace, SiteFault> {
    Namespace::by_path(path).map_err(SiteFault::Pod)
}

/// The pod's namespace if it is still there: at the path that the runtime gives, or without one where it
/// was seen. `Err` says why it counts as gone although there is one.
pub(super) fn pod_if_there(
    path: Option<&Path>,
    witness: Option<&Witness>,
) -> Result<Option<Namespace>, String> {
    let alive = |witness: &&Witness| witness.judge() == Verdict::Alive;
    let seen = || witness.filter(alive).map(|witness| Path::new(&witness.path));
    let Some(path) = path.or_else(seen) else { return Ok(None) };
    let namespace = match Namespace::by_path(path) {
        Ok(namespace) => namespace,
        Err(BadNamespace::Missing { .. }) => return Ok(None),
        // After a namespace was unmounted an empty file may stay at its path.
        Err(BadNamespace::NotANamespace { .. }) => return Ok(None),
        Err(bad) => return Err(format!("the pod's namespace counts as gone: {bad}")),
    };
    match witness {
        Some(witness) if !is_same(witness, &namespace) => Err(format!(
            "the pod's namespace counts as gone: `{}` is another by now",
            path.display()
        )),
        _ => Ok(Some(namespace)),
    }
}

fn is_same(witness: &Witness, namespace: &Namespace) -> bool {
    let identity = namespace.identity();
    let is_same_file = (witness.device, witness.inode) == (identity.device, identity.inode);
    let cookie = namespace.cookie().ok();
    is_same_file && witness.cookie.zip(cookie).is_none_or(|(before, now)| before == now)
}
