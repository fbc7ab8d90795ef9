//! What an ADD was granted, whoever granted it, and what is still to be asked on the wire about it.

use crate::detect::Taken;
use spiderpool_cni::{CniError, Dns};
use spiderpool_core::command::{Allocated, Granted};
use spiderpool_netlink::probe::Timing;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A grant that is not answered with yet.
#[derive(Debug)]
pub(crate) struct Offer {
    /// What is granted.
    pub(crate) allocated: Allocated,
    /// What is to be asked about each address; nothing about those that are not listed.
    pub(crate) questions: BTreeMap<IpAddr, Timing>,
    /// The name resolution that comes with it, if any.
    pub(crate) dns: Option<Dns>,
}

/// Whoever keeps the allocations, during one ADD.
pub(crate) trait Grantor {
    /// Asks for the interface's addresses; asked again, for others in place of those that are in
    /// quarantine.
    fn ask(&self) -> Result<Offer, CniError>;

    /// Reports that another host has an address.
    fn report(&self, taken: &Taken<'_>) -> Result<Report, CniError>;

    /// The ADD fails: what it was granted goes back, if it was granted anything. What cannot be given
    /// back is logged.
    fn give_back(&self);
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The address is in quarantine.
    Quarantined,
    /// Somebody had ended the allocation meanwhile, so there was nothing to take away.
    Gone,
    /// The address stays where it is, and no other is given: why.
    Kept(String),
}

impl Offer {
    /// The addresses of an interface that something is to be asked about, by what that is. Those that
    /// may be another host's come first: a gateway is asked only from an address that is free.
    pub(crate) fn questions_of(&self, interface: &str) -> Vec<(Timing, Vec<&Granted>)> {
        let mut groups: Vec<(Timing, Vec<&Granted>)> = Vec::new();
        for granted in &self.allocated.addresses {
            if *granted.demand.attachment != *interface {
                continue;
            }
            let Some(&timing) = self.questions.get(&granted.address.addr()) else { continue };
            match groups.iter_mut().find(|(other, _)| *other == timing) {
                Some((_, group)) => group.push(granted),
                None => groups.push((timing, vec![granted])),
            }
        }
        groups.retain(|(timing, _)| *timing != Timing::default());
        groups.sort_by_key(|(timing, _)| timing.conflict.is_none());
        groups
    }
}
