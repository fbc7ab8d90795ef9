//! Attaching: from a configuration to what is held, and recorded.

use super::site::{Site, pod_at};
use super::view::focus;
use super::{AttachmentFault, Entry, Kept, Records, Subject, chain};
use spiderpool_core::intend::{Configuration, Intended, Note, Record, Topology, intend, withdraw};
use spiderpool_core::net::{HardwareAddress, LinkName, Observed};
use spiderpool_core::plan::{LinkChange, Op, Plan};
use spiderpool_netlink::probe::{AnnounceTiming, Announcement, tell};
use spiderpool_netlink::{Namespace, Witness};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

/// What is to be attached.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Which attachment.
    pub subject: Subject<'a>,
    /// The network's name.
    pub network: &'a str,
    /// The path of the pod's namespace.
    pub netns: &'a Path,
    /// What it is configured with.
    pub configuration: &'a Configuration,
    /// The interfaces that the pod will have in the end, where somebody knows.
    pub expected: Option<Vec<LinkName>>,
}

/// What an attachment came to.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The steps that were done; none when all was so already.
    pub plan: Plan,
    /// What was left out or done otherwise than asked.
    pub notes: Vec<Note>,
    /// The hardware address that the interface has.
    pub mac: Option<HardwareAddress>,
    /// How many questions and changes the kernel was sent.
    pub round_trips: u32,
    /// What else should be known: records that cannot be read, an announcement that was not made.
    pub remarks: Vec<String>,
}

/// Records what an interface needs, and makes it so.
///
/// # Errors
/// [`AttachmentFault`]; both namespaces and the records are then as they were, unless the fault itself
/// says what could not be undone. In that case the record stays, so that [`detach`](super::detach()) knows
/// what to take back.
pub fn attach(records: &Records, wanted: &Wanted<'_>) -> Result<Attached, AttachmentFault> {
    let Subject { container, interface, until } = wanted.subject;
    let _turn = records.lock(container, until)?;
    let pod = pod_at(wanted.netns)?;
    let mut remarks = Vec::new();
    let entries = records.of_container(container)?;
    let focus = focus(container, &entries, Some((interface, wanted.configuration)));
    let mut site = Site::of_pod(&pod, focus)?;
    let attachments = usable(&entries, &mut remarks);
    let scene = site.observe()?;
    let topology = Topology {
        toward: site.toward(&scene)?,
        scene,
        container: container.to_owned(),
        interface: interface.clone(),
        attachments,
        expected: wanted.expected.clone(),
    };
    let Intended { intent, record, notes } = intend(&topology, wanted.configuration)?;
    let plan = site.way(interface, &topology.scene, &intent)?;
    let witness = Witness::of(&wanted.netns.to_string_lossy()).ok();
    let kept = Kept { network: wanted.network.to_owned(), witness, record };
    records.write(&kept)?;
    if let Err(fault) = site.realise(interface, &intent, &plan) {
        give_up(records, &mut site, (&entries, &kept.record), &fault);
        return Err(fault);
    }
    let mac_in = |pod: &Observed| pod.links.get(interface).and_then(|link| link.mac.clone());
    let mut mac = mac_in(&topology.scene.pod);
    if changes_mac(&plan, interface) {
        let held = site.observe()?.pod;
        mac = mac_in(&held);
        remarks.extend(announce(&pod, wanted.subject, &held).err());
    }
    Ok(Attached { plan, notes, mac, round_trips: site.round_trips(), remarks })
}

fn changes_mac(plan: &Plan, interface: &LinkName) -> bool {
    let is_so = |op: &Op| matches!(op, Op::SetLink { name, change: LinkChange::Mac(_) } if name == interface);
    plan.steps.iter().any(|step| is_so(&step.op))
}

/// Tells the link that the interface's addresses have another hardware address: its neighbours would
/// speak to the old one for minutes. Nobody waits for an answer, and none is an error.
fn announce(pod: &Namespace, subject: Subject<'_>, held: &Observed) -> Result<(), String> {
    let link: &str = subject.interface;
    let own = held.addresses.iter().filter(|address| address.device.as_str() == link);
    let own: BTreeSet<IpAddr> = own
        .filter(|address| address.is_usable() && !address.flags.is_tentative)
        .map(|address| address.net.addr())
        .collect();
    let addresses: Vec<IpAddr> = own.iter().copied().collect();
    let announcement = Announcement {
        link,
        addresses: &addresses,
        own: &own,
        timing: AnnounceTiming::default(),
        deadline: subject.until,
    };
    let told = pod.run(|_| tell(&announcement));
    told.map_err(|fault| format!("the new hardware address is not announced: {}", chain(&fault)))
}

/// The records that can be used.
pub(super) fn usable(entries: &[Entry], remarks: &mut Vec<String>) -> Vec<Record> {
    remarks.extend(entries.iter().filter_map(|entry| match entry {
        Entry::Kept(_) => None,
        Entry::Unreadable { interface, why, .. } => {
            Some(format!("the record of interface `{interface}` is passed over: {why}"))
        }
    }));
    entries.iter().filter_map(Entry::kept).map(|kept| kept.record.clone()).collect()
}

/// After a failure: takes back what was done although the steps were not all undone, and puts the record
/// back to what it was, if nothing is left that it would be needed for.
fn give_up(
    records: &Records,
    site: &mut Site,
    (entries, record): (&[Entry], &Record),
    fault: &AttachmentFault,
) {
    let is_undone = matches!(fault, AttachmentFault::Failed { source, .. } if source.left_behind().next().is_none());
    let before = entries.iter().find(|entry| *entry.interface() == record.interface);
    let is_undone = is_undone || (before.is_none() && take_back(site, entries, record).is_ok());
    if !is_undone {
        return;
    }
    // A record that stays is read by the DEL that follows: too much is better there than too little.
    drop(match before {
        Some(Entry::Kept(kept)) => records.write(kept),
        Some(Entry::Unreadable { .. }) => Ok(()),
        None => records.remove(&record.container, &record.interface).map(drop),
    });
}

fn take_back(site: &mut Site, entries: &[Entry], record: &Record) -> Result<(), AttachmentFault> {
    let others: Vec<Record> =
        entries.iter().filter_map(Entry::kept).map(|kept| kept.record.clone()).collect();
    let scene = site.observe()?;
    let intent = withdraw(record, &others, &scene);
    let plan = site.way(&record.interface, &scene, &intent)?;
    site.realise(&record.interface, &intent, &plan)
}
