//! Looking at a container: what both namespaces hold, and how far each of its attachments is from that.
//!
//! Called by whoever shows what is recorded (`spiderpoolctl net`). Nothing is changed.

use super::site::{Site, pod_if_there};
use super::view::focus;
use super::{AttachmentFault, Entry, Records};
use spiderpool_core::net::Scene;
use spiderpool_core::plan::Plan;
use std::path::Path;
use std::time::Instant;

/// What there is of a container.
#[derive(Debug)]
pub struct Sight {
    /// What both namespaces hold; the pod's is empty if it is gone.
    pub scene: Scene,
    /// Why the pod's namespace counts as gone, if it does.
    pub gone: Option<String>,
    /// Each of its records.
    pub seen: Vec<Seen>,
}

/// One record, held against what is there.
#[derive(Debug)]
pub struct Seen {
    /// The record.
    pub entry: Entry,
    /// The steps that would mend the attachment; none when all is as recorded. Of a pod that is gone,
    /// only the node's side counts.
    pub drift: Result<Plan, AttachmentFault>,
}

/// Looks at a container. Its namespace is the one at `netns`, or without that the one that was recorded.
///
/// # Errors
/// [`AttachmentFault`] when records cannot be read or namespaces cannot be looked at. What is wrong with
/// one attachment is said beside it.
pub fn look(
    records: &Records,
    container: &str,
    netns: Option<&Path>,
    until: Instant,
) -> Result<Sight, AttachmentFault> {
    let _turn = records.lock_to_look(container, until)?;
    let entries = records.of_container(container)?;
    let witness = entries.iter().filter_map(Entry::kept).find_map(|kept| kept.witness.as_ref());
    let focus = focus(container, &entries, None);
    let (mut site, gone) = match pod_if_there(netns, witness) {
        Ok(Some(pod)) => (Site::of_pod(&pod, focus)?, None),
        Ok(None) => (Site::of_host(focus)?, Some("the pod's namespace is gone".to_owned())),
        Err(why) => (Site::of_host(focus)?, Some(why)),
    };
    let scene = site.observe()?;
    let judged = entries.into_iter().map(|entry| {
        let drift = judge(&site, &scene, &entry);
        Seen { entry, drift }
    });
    Ok(Sight { seen: judged.collect(), gone, scene })
}

fn judge(site: &Site, scene: &Scene, entry: &Entry) -> Result<Plan, AttachmentFault> {
    match entry {
        Entry::Kept(kept) => site.way(&kept.record.interface, scene, &kept.record.intent),
        Entry::Unreadable { interface, why, .. } => Err(AttachmentFault::RecordUnreadable {
            interface: interface.to_string(),
            why: why.clone(),
        }),
    }
}
