//! Holding a pod against its records, and mending it.

use super::attach::usable;
use super::site::{Site, pod_at, pod_if_there};
use super::view::focus;
use super::{AttachmentFault, Entry, Kept, Records, Subject};
use spiderpool_core::intend::{Intended, Note, Topology, renew};
use spiderpool_core::net::{LinkName, Observed, RouteProtocol};
use spiderpool_core::plan::Plan;
use std::path::Path;
use std::time::Instant;

/// How far a pod is from its record.
#[derive(Clone, Debug)]
pub enum Drift {
    /// There is no record, and nothing in the pod that this program made.
    Unrecorded,
    /// The steps that would mend it; none when all is as recorded.
    Drifted(Plan),
}

/// What was mended of one attachment.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The interface.
    pub interface: LinkName,
    /// The steps that were done; none when all was as it should be.
    pub plan: Plan,
    /// What was left out or done otherwise than asked.
    pub notes: Vec<Note>,
}

/// The difference between what is recorded of an attachment and what the namespaces hold. Nothing is
/// changed.
///
/// # Errors
/// [`AttachmentFault::RecordLost`] and [`AttachmentFault::RecordUnreadable`]; others when the namespaces
/// cannot be looked at, or hold something in the way.
pub fn drift(
    records: &Records,
    subject: &Subject<'_>,
    netns: &Path,
) -> Result<Drift, AttachmentFault> {
    let Subject { container, interface, until } = *subject;
    let _turn = records.lock(container, until)?;
    let pod = pod_at(netns)?;
    let entries = records.of_container(container)?;
    let mut site = Site::of_pod(&pod, focus(container, &entries, None))?;
    let scene = site.observe()?;
    match entries.iter().find(|entry| entry.interface() == interface) {
        None if is_marked_ours(&scene.pod, interface) => {
            Err(AttachmentFault::RecordLost { interface: interface.to_string() })
        }
        None => Ok(Drift::Unrecorded),
        Some(Entry::Unreadable { why, .. }) => {
            let (interface, why) = (interface.to_string(), why.clone());
            Err(AttachmentFault::RecordUnreadable { interface, why })
        }
        Some(Entry::Kept(kept)) => {
            Ok(Drift::Drifted(site.way(interface, &scene, &kept.record.intent)?))
        }
    }
}

/// Whether the pod has routes or rules of ours that speak of an interface or of its addresses.
fn is_marked_ours(pod: &Observed, interface: &LinkName) -> bool {
    let addresses = pod.addresses.iter().filter(|address| address.device == *interface);
    let addresses: Vec<_> = addresses.map(|address| address.net.addr()).collect();
    let has_route = pod.routes.iter().any(|route| {
        route.protocol == RouteProtocol::OURS
            && (route.leaves_by(interface)
                || route.source.is_some_and(|source| addresses.contains(&source)))
    });
    let has_rule = pod.rules.iter().any(|rule| {
        rule.protocol == RouteProtocol::OURS
            && rule.from.is_some_and(|from| addresses.contains(&from.addr()))
    });
    has_route || has_rule
}

/// Mends a pod: each of its attachments is intended anew with the configuration it was recorded with,
/// against what the node and the pod hold at present, and made so. Addresses of the node that came or
/// went since are followed, and the records with them.
///
/// # Errors
/// [`AttachmentFault`], for the first attachment that cannot be mended; those before it are.
pub fn repair(
    records: &Records,
    container: &str,
    netns: Option<&Path>,
    until: Instant,
) -> Result<Vec<Renewed>, AttachmentFault> {
    let _turn = records.lock(container, until)?;
    let entries = records.of_container(container)?;
    let mut renewed = Vec::new();
    let witness = entries.iter().filter_map(Entry::kept).find_map(|kept| kept.witness.as_ref());
    let Ok(Some(pod)) = pod_if_there(netns, witness) else { return Ok(renewed) };
    let mut site = Site::of_pod(&pod, focus(container, &entries, None))?;
    for interface in entries.iter().filter_map(Entry::kept).map(|kept| &kept.record.interface) {
        renewed.push(mend(records, &mut site, (container, interface), None)?);
    }
    Ok(renewed)
}

/// Mends one attachment, as it should be without another one's interface if that is on its way out.
pub(super) fn mend(
    records: &Records,
    site: &mut Site,
    (container, interface): (&str, &LinkName),
    leaving: Option<&LinkName>,
) -> Result<Renewed, AttachmentFault> {
    // What was mended of the attachments before is in their records.
    let entries = records.of_container(container)?;
    let own =
        entries.iter().filter_map(Entry::kept).find(|kept| kept.record.interface == *interface);
    let Some(own) = own else {
        return Err(AttachmentFault::RecordLost { interface: interface.to_string() });
    };
    let scene = site.observe()?;
    let topology = Topology {
        toward: site.toward(&scene)?,
        scene,
        container: container.to_owned(),
        interface: interface.clone(),
        attachments: usable(&entries, &mut Vec::new()),
        expected: None,
    };
    let scene = topology.scene.clone();
    let topology = match leaving {
        Some(leaving) => topology.leaving(leaving),
        None => topology,
    };
    let Intended { intent, record, notes } = renew(&topology, &own.record)?;
    let plan = site.way(interface, &scene, &intent)?;
    if record != own.record {
        records.write(&Kept { record, ..own.clone() })?;
    }
    site.realise(interface, &intent, &plan)?;
    Ok(Renewed { interface: interface.clone(), plan, notes })
}
