//! Detaching: whatever is there of an attachment is taken back, and its record goes last.
//!
//! One thing that cannot be taken back keeps none of the others (`del_survives_one_refusal`).

use super::attach::usable;
use super::drift::mend;
use super::site::{Site, pod_if_there};
use super::view::focus;
use super::{AttachmentFault, Entry, RecordFault, Records, Subject, chain};
use spiderpool_core::intend::{Intent, Record, withdraw, withdraw_unrecorded};
use spiderpool_core::net::{LinkName, Scene};
use spiderpool_core::plan::Plan;
use std::path::Path;

/// What is to be detached.
#[derive(Clone, Debug)]
pub struct Withdrawal<'a> {
    /// Which attachment.
    pub subject: Subject<'a>,
    /// The path of the pod's namespace, where the runtime gives one.
    pub netns: Option<&'a Path>,
}

/// What a detachment came to.
#[derive(Clone, Debug, Default)]
pub struct Detached {
    /// The steps that were done; none when there was nothing.
    pub plan: Plan,
    /// What was in the way and could be worked around.
    pub remarks: Vec<String>,
}

/// Takes back what only this attachment needed, and puts back what it moved. What is gone already is no
/// error.
///
/// # Errors
/// [`AttachmentFault`] when something that is there could not be taken back; its record stays.
pub fn detach(records: &Records, withdrawal: &Withdrawal<'_>) -> Result<Detached, AttachmentFault> {
    let Subject { container, interface, until } = withdrawal.subject;
    let mut remarks = Vec::new();
    // Where no lock file can be made there is nobody to take turns with who could write a record.
    let _turn = match records.lock(container, until) {
        Err(fault @ RecordFault::Io { .. }) => {
            remarks.push(fault.to_string());
            None
        }
        turn => Some(turn?),
    };
    let entries = records.of_container(container)?;
    let own = entries.iter().find(|entry| entry.interface() == interface);
    let kept = own.and_then(Entry::kept);
    let mut site = open(withdrawal, &entries, &mut remarks)?;
    let others = usable(&entries, &mut remarks);
    let scene = site.observe()?;
    let intent = match kept {
        Some(kept) => withdraw(&kept.record, &others, &scene),
        None => withdraw_unrecorded(container, &others, &scene),
    };
    let plan = take_back(&mut site, interface, (&scene, &intent), &mut remarks)?;
    // A record that is there still has a DEL that was cut short mend the others again.
    if let Some(kept) = kept {
        remarks.extend(others_mended(records, &mut site, &kept.record));
    }
    records.remove(container, interface)?;
    Ok(Detached { plan, remarks })
}

/// All that an intent takes back, at once; or, where that does not go, each thing by itself, so that what
/// stands in the way of one keeps none of the others.
fn take_back(
    site: &mut Site,
    interface: &LinkName,
    (scene, intent): (&Scene, &Intent),
    remarks: &mut Vec<String>,
) -> Result<Plan, AttachmentFault> {
    let whole = site.way(interface, scene, intent);
    let fault = match whole.and_then(|plan| site.apply(interface, &plan).map(|()| plan)) {
        Ok(plan) => return Ok(plan),
        Err(fault) => fault,
    };
    remarks.push(format!("it is taken back piece by piece: {}", chain(&fault)));
    let mut done = Plan::default();
    let mut refused = None;
    for wish in &intent.wishes {
        let alone = Intent { wishes: vec![wish.clone()] };
        let scene = site.observe()?;
        let step = site.way(interface, &scene, &alone);
        match step.and_then(|plan| site.apply(interface, &plan).map(|()| plan)) {
            Ok(plan) => done.steps.extend(plan.steps),
            // What others have put in the place of what was there before is theirs.
            Err(fault @ AttachmentFault::NoPlan { .. }) => {
                remarks.push(format!("left as it is: {}", chain(&fault)));
            }
            Err(fault) => refused = refused.or(Some(fault)),
        }
    }
    refused.map_or(Ok(done), Err)
}

/// What attachments share speaks from the default interface's address, and is the first one's otherwise:
/// the others are renewed when either goes, each again if that fails once. All that can be wrong with them
/// is theirs: the detachment is done, and what went wrong is told.
fn others_mended(records: &Records, site: &mut Site, gone: &Record) -> Vec<String> {
    let founder = gone.founder.as_ref();
    let is_shared = founder.is_some_and(|founder| {
        [&founder.interface, &founder.configuration.default_nic].contains(&&gone.interface)
    });
    let Ok(entries) = records.of_container(&gone.container) else { return Vec::new() };
    let all = entries.iter().filter_map(Entry::kept).map(|kept| &kept.record.interface);
    let others =
        all.filter(|interface| site.has_pod() && is_shared && **interface != gone.interface);
    let mut remarks = Vec::new();
    for interface in others.cloned().collect::<Vec<_>>() {
        let who = (gone.container.as_str(), &interface);
        for _ in 0..2 {
            let Err(fault) = mend(records, site, who, Some(&gone.interface)) else { break };
            remarks.push(format!("interface `{interface}` is not renewed: {}", chain(&fault)));
        }
    }
    remarks
}

fn open(
    withdrawal: &Withdrawal<'_>,
    entries: &[Entry],
    remarks: &mut Vec<String>,
) -> Result<Site, AttachmentFault> {
    let Subject { container, interface, .. } = withdrawal.subject;
    let own = entries.iter().filter_map(Entry::kept);
    let own = own.into_iter().find(|kept| kept.record.interface == *interface);
    let pod = pod_if_there(withdrawal.netns, own.and_then(|kept| kept.witness.as_ref()));
    let mut gone = |why: String| remarks.push(why);
    let pod = pod.unwrap_or_else(|why| {
        gone(why);
        None
    });
    let focus = || focus(container, entries, None);
    let Some(pod) = pod else { return Ok(Site::of_host(focus())?) };
    // It may have gone between two looks.
    match Site::of_pod(&pod, focus()) {
        Err(fault) => {
            gone(format!("the pod's namespace counts as gone: {}", chain(&fault)));
            Ok(Site::of_host(focus())?)
        }
        site => Ok(site?),
    }
}
