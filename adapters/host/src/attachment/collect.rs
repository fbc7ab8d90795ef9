//! Taking back what nobody lists any more.

use super::{AttachmentFault, Entry, Kept, RecordFault, Records, Subject, Withdrawal, detach};
use spiderpool_core::net::LinkName;
use spiderpool_netlink::Verdict;
use std::collections::BTreeSet;
use std::time::Instant;

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub struct Collection<'a> {
    /// The network whose attachments are listed.
    pub network: &'a str,
    /// The attachments of it that are valid, by container and interface; without a list none is known
    /// not to be.
    pub keep: Option<&'a BTreeSet<(String, LinkName)>>,
    /// When the work must have ended.
    pub until: Instant,
}

/// What a collection came to.
#[derive(Debug, Default)]
pub struct Collected {
    /// The attachments that were withdrawn.
    pub withdrawn: Vec<(String, LinkName)>,
    /// What was passed over, and why.
    pub remarks: Vec<String>,
    /// What could not be taken back.
    pub faults: Vec<AttachmentFault>,
}

/// Withdraws the network's attachments that are not listed, and those of any network whose namespace is
/// gone. One that cannot be withdrawn hinders no other.
///
/// # Errors
/// [`RecordFault`] when the records cannot be read.
pub fn collect(records: &Records, collection: &Collection<'_>) -> Result<Collected, RecordFault> {
    let mut collected = Collected::default();
    for entry in records.all()? {
        let kept = match &entry {
            Entry::Kept(kept) => kept,
            Entry::Unreadable { container, interface, why } => {
                let told =
                    format!("the record of `{interface}` of container {container} stays: {why}");
                collected.remarks.push(told);
                continue;
            }
        };
        if !is_over(kept, collection) {
            continue;
        }
        let (container, interface) = (&kept.record.container, &kept.record.interface);
        let subject = Subject { container, interface, until: collection.until };
        match detach(records, &Withdrawal { subject, netns: None }) {
            Ok(detached) => {
                collected.remarks.extend(detached.remarks);
                collected.withdrawn.push((container.clone(), interface.clone()));
            }
            Err(fault) => collected.faults.push(fault),
        }
    }
    Ok(collected)
}

fn is_over(kept: &Kept, collection: &Collection<'_>) -> bool {
    let key = (kept.record.container.clone(), kept.record.interface.clone());
    let is_unlisted = collection.keep.is_some_and(|keep| !keep.contains(&key));
    if kept.network == collection.network && is_unlisted {
        return true;
    }
    let verdict = kept.witness.as_ref().map(spiderpool_netlink::Witness::judge);
    matches!(verdict, Some(Verdict::Gone { .. }))
}
