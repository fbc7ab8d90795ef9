//! Foreseeing: what an attachment, or mending a pod, would do; nothing is changed.
//!
//! Called by whoever shows a plan before it is applied (`spiderpoolctl net`). The steps of several
//! attachments follow each other on the core's model of the kernel, as they would on the kernel itself.

use super::attach::usable;
use super::site::{Site, pod_at, pod_if_there};
use super::view::focus;
use super::{AttachmentFault, Entry, Records, Subject, Wanted};
use spiderpool_core::intend::{Intended, Intent, Note, Topology, intend, renew};
use spiderpool_core::net::{LinkName, Scene};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{Plan, PlanRefusal};
use std::path::Path;
use std::time::Instant;

/// What work on one attachment would come to.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// The interface.
    pub interface: LinkName,
    /// What both namespaces hold before.
    pub before: Scene,
    /// What they would hold after, by the core's model of the kernel.
    pub after: Scene,
    /// What should be so.
    pub intent: Intent,
    /// The steps; none when all is so already.
    pub plan: Plan,
    /// What would be left out or done otherwise than asked.
    pub notes: Vec<Note>,
    /// What else should be known: records that cannot be read.
    pub remarks: Vec<String>,
}

/// What [`attach`](super::attach()) would do.
///
/// # Errors
/// [`AttachmentFault`], as an attachment would have it before its first step.
pub fn foresee(records: &Records, wanted: &Wanted<'_>) -> Result<Foreseen, AttachmentFault> {
    let Subject { container, interface, until } = wanted.subject;
    let _turn = records.lock_to_look(container, until)?;
    let pod = pod_at(wanted.netns)?;
    let mut remarks = Vec::new();
    let entries = records.of_container(container)?;
    let focus = focus(container, &entries, Some((interface, wanted.configuration)));
    let mut site = Site::of_pod(&pod, focus)?;
    let scene = site.observe()?;
    let topology = Topology {
        toward: site.toward(&scene)?,
        scene,
        container: container.to_owned(),
        interface: interface.clone(),
        attachments: usable(&entries, &mut remarks),
        expected: wanted.expected.clone(),
    };
    let Intended { intent, notes, .. } = intend(&topology, wanted.configuration)?;
    let before = site.observe_for(&intent)?;
    let plan = site.way(interface, &before, &intent)?;
    let after = performed(interface, &before, &plan)?;
    Ok(Foreseen { interface: interface.clone(), before, after, intent, plan, notes, remarks })
}

/// What [`repair`](super::repair()) would do; nothing where the pod's namespace is gone.
///
/// # Errors
/// [`AttachmentFault`], for the first attachment that could not be mended.
pub fn foresee_repair(
    records: &Records,
    container: &str,
    netns: Option<&Path>,
    until: Instant,
) -> Result<Vec<Foreseen>, AttachmentFault> {
    let _turn = records.lock_to_look(container, until)?;
    let entries = records.of_container(container)?;
    let witness = entries.iter().filter_map(Entry::kept).find_map(|kept| kept.witness.as_ref());
    let Ok(Some(pod)) = pod_if_there(netns, witness) else { return Ok(Vec::new()) };
    let mut site = Site::of_pod(&pod, focus(container, &entries, None))?;
    let mut scene = site.observe()?;
    let toward = site.toward(&scene)?;
    let mut remarks = Vec::new();
    let mut attachments = usable(&entries, &mut remarks);
    let mut foreseen = Vec::new();
    for own in attachments.clone() {
        let interface = own.interface.clone();
        let topology = Topology {
            toward: toward.clone(),
            scene: scene.clone(),
            container: container.to_owned(),
            interface: interface.clone(),
            attachments: attachments.clone(),
            expected: None,
        };
        let Intended { intent, record, notes } = renew(&topology, &own)?;
        let plan = site.way(&interface, &scene, &intent)?;
        let after = performed(&interface, &scene, &plan)?;
        // The attachments that follow are mended beside what this one is by then.
        attachments.iter_mut().filter(|one| one.interface == interface).for_each(|one| {
            one.clone_from(&record);
        });
        let before = std::mem::replace(&mut scene, after.clone());
        let remarks = std::mem::take(&mut remarks);
        foreseen.push(Foreseen { interface, before, after, intent, plan, notes, remarks });
    }
    Ok(foreseen)
}

/// The scene after a plan.
fn performed(interface: &LinkName, scene: &Scene, plan: &Plan) -> Result<Scene, AttachmentFault> {
    let mut after = scene.clone();
    for step in &plan.steps {
        perform(&mut after, step.side, &step.op).map_err(|source| AttachmentFault::NoPlan {
            interface: interface.to_string(),
            source: PlanRefusal::Kernel { side: step.side, op: Box::new(step.op.clone()), source },
        })?;
    }
    Ok(after)
}
