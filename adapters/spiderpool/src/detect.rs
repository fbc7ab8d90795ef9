//! Detection: whether another host has an address that was just allocated, and whether its gateway
//! answers, asked on the pod's own interface.
//!
//! Called by ADD between allocating and answering. The interface is there already with plugins that
//! make it before they call us (macvlan, vlan, SR-IOV, host-device, bridge), down and without an
//! address. With those that make it later (ptp) nothing can be asked; that is logged, and so is a
//! kind of interface that could not hear the answers. Invariants:
//!
//! 1. Nothing is found to be well that was not asked to the end
//!    (`an_interface_without_carrier_gets_no_address_and_leaves_none`).
//! 2. An address that the interface carries already is its own and is not asked about
//!    (`an_address_on_the_interface_is_its_own`).
//! 3. What was found well is announced: the interface was set up before it had an address, so the
//!    kernel announces nothing by itself (`neighbours_learn_of_a_reused_address`). The address is the
//!    interface's own by grant, although it does not carry it yet.

use crate::failure::{self, CONFLICT, NO_GATEWAY};
use crate::session::{Session, moment};
use spiderpool_cni::{Call, CniError, code};
use spiderpool_core::command::Granted;
use spiderpool_core::net::Link;
use spiderpool_netlink::probe::{
    AnnounceTiming, Announcement, Evidence, Finding, Inquiry, Mac, Occupancy, ProbeFault, Reach,
    Target, Timing, ask, tell,
};
use spiderpool_netlink::{Errno, Namespace, NetlinkFault, RunError};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// So long a carrier is waited for: a physical NIC that was just set up takes seconds.
const CARRIER: Duration = Duration::from_secs(5);

/// An allocated address that another host has.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) granted: &'a Granted,
    pub(crate) mac: Mac,
    pub(crate) evidence: Evidence,
}

impl Taken<'_> {
    /// What the runtime is told of it.
    pub(crate) fn told(&self) -> String {
        let address = self.granted.address.addr();
        match self.evidence {
            Evidence::Used => {
                format!("conflicting IP {address}: {address} is located at {}", self.mac)
            }
            Evidence::Probed => {
                format!("conflicting IP {address}: {} is about to take {address} too", self.mac)
            }
        }
    }
}

/// What came of an inquiry inside the pod's namespace.
enum Outcome {
    Asked(Vec<Finding>),
    Skipped(String),
}

/// Asks what `timing` says about addresses that were granted to the interface, and gives those that
/// others have. What is well is announced.
///
/// # Errors
/// Code 106 when a gateway does not answer, 11 when the interface could not carry the questions or
/// the time was over, 8 when the namespace cannot be used.
pub(crate) fn detect<'a>(
    session: &Session,
    call: &Call<PathBuf>,
    timing: Timing,
    granted: &[&'a Granted],
) -> Result<Vec<Taken<'a>>, CniError> {
    let bad_namespace =
        |error: &(dyn std::error::Error + 'static)| failure::told(code::BAD_NETNS, error);
    let pod = Namespace::by_path(&call.netns).map_err(|error| bad_namespace(&error))?;
    let mut targets = Vec::with_capacity(granted.len());
    for one in granted {
        let target = Target::new(one.address.addr(), one.gateway);
        targets.push(target.map_err(|error| failure::told(failure::BAD_REQUEST, &error))?);
    }
    let inquiry = Inquiry {
        link: &call.ifname,
        targets: &targets,
        timing,
        seed: moment()?.seed,
        carrier: CARRIER,
        deadline: session.probe_until,
    };
    let findings = match pod.run(|netlink| inquire(netlink, inquiry)) {
        Ok(Outcome::Asked(findings)) => findings,
        Ok(Outcome::Skipped(why)) => {
            session.log.warn(format!("no detection on `{}`: {why}", call.ifname));
            return Ok(Vec::new());
        }
        Err(RunError::Within { source, .. }) => return Err(of_probe(&source)),
        Err(error) => return Err(bad_namespace(&error)),
    };
    let taken = taken(granted, &findings);
    if taken.is_empty() {
        judge(&findings)?;
        announce(session, (&pod, &call.ifname), &findings);
    }
    Ok(taken)
}

/// Sets the interface up and asks on it, unless it is not there or would not hear the answers.
fn inquire(
    netlink: &mut spiderpool_netlink::Session,
    inquiry: Inquiry<'_>,
) -> Result<Outcome, ProbeFault> {
    let fault = |source| ProbeFault::Netlink { link: inquiry.link.to_owned(), source };
    let links = netlink.links().map_err(fault)?;
    let link = links.values().find(|link| &*link.name == inquiry.link);
    let link = match link.map_or(Err("it is made only after IPAM"), listening) {
        Ok(link) => link,
        Err(why) => return Ok(Outcome::Skipped(why.to_owned())),
    };
    let carried = netlink.addresses().map_err(fault)?;
    let is_carried = |target: &Target| {
        carried.iter().any(|a| a.device == link.name && a.net.addr() == target.address())
    };
    let targets: Vec<_> =
        inquiry.targets.iter().copied().filter(|target| !is_carried(target)).collect();
    if targets.is_empty() {
        return Ok(Outcome::Skipped("it carries its addresses already".to_owned()));
    }
    if !link.is_up {
        netlink.set_up(inquiry.link).map_err(|source| not_up(inquiry.link, source))?;
    }
    match ask(netlink, &Inquiry { targets: &targets, ..inquiry }) {
        Ok(findings) => Ok(Outcome::Asked(findings)),
        Err(fault @ ProbeFault::NotEthernet { .. }) => Ok(Outcome::Skipped(fault.to_string())),
        Err(fault) => Err(fault),
    }
}

/// A VLAN's interface does not come up while the link that it rests on is down, which is as good as
/// no carrier (`vlan_dev_open` in the kernel's `net/8021q/vlan_dev.c`).
fn not_up(link: &str, source: NetlinkFault) -> ProbeFault {
    let link = link.to_owned();
    if source.errno() == Some(Errno::ENETDOWN) {
        return ProbeFault::NoCarrier { link, waited_ms: 0 };
    }
    ProbeFault::Netlink { link, source }
}

/// The link, if it hears answers. An ipvlan interface is handed only what is sent to an address that
/// it carries, so no answer to a probe reaches it (`ipvlan_addr_lookup` in the kernel's
/// `drivers/net/ipvlan/ipvlan_core.c`).
fn listening(link: &Link) -> Result<&Link, &'static str> {
    match link.kind.name() {
        "ipvlan" => Err("an ipvlan interface hears no answers before it has an address"),
        _ => Ok(link),
    }
}

fn taken<'a>(granted: &[&'a Granted], findings: &[Finding]) -> Vec<Taken<'a>> {
    let of = |finding: &Finding| {
        let Occupancy::Taken { mac, evidence } = finding.occupancy else { return None };
        let address = finding.target.address();
        let granted = granted.iter().find(|one| one.address.addr() == address)?;
        Some(Taken { granted, mac, evidence })
    };
    findings.iter().filter_map(of).collect()
}

/// No address is another's: is the rest well?
fn judge(findings: &[Finding]) -> Result<(), CniError> {
    for finding in findings {
        let (address, gateway) = (finding.target.address(), finding.target.gateway());
        if finding.occupancy == Occupancy::Unsettled || finding.gateway == Reach::Unsettled {
            let told = format!(
                "there was no time to probe for {address} to the end; give a larger `timeout_seconds`, or fewer and faster probes"
            );
            return Err(CniError::new(code::TRY_AGAIN_LATER, told));
        }
        if let (Reach::Unreachable, Some(gateway)) = (finding.gateway, gateway) {
            let told = format!(
                "gateway {gateway} is unreachable from {address}: it was asked on the interface and did not answer"
            );
            return Err(CniError::new(NO_GATEWAY, told));
        }
    }
    Ok(())
}

/// Tells the neighbours; a pod whose announcement failed works all the same once their caches age.
fn announce(session: &Session, (pod, link): (&Namespace, &str), findings: &[Finding]) {
    let addresses: Vec<IpAddr> = findings.iter().map(|found| found.target.address()).collect();
    let own: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let announcement = Announcement {
        link,
        addresses: &addresses,
        own: &own,
        timing: AnnounceTiming::default(),
        deadline: session.probe_until,
    };
    if let Err(error) = pod.run(|_| tell(&announcement)) {
        session.log.warn(format!("the addresses were not announced: {error}"));
    }
}

fn of_probe(fault: &ProbeFault) -> CniError {
    let code = match fault {
        ProbeFault::LinkDown { .. } | ProbeFault::NoCarrier { .. } | ProbeFault::NoLink { .. } => {
            code::TRY_AGAIN_LATER
        }
        ProbeFault::NotEthernet { .. }
        | ProbeFault::Socket { .. }
        | ProbeFault::Netlink { .. }
        | ProbeFault::NotOwn(_) => code::IO_FAILURE,
    };
    failure::told(code, fault)
}

/// The error of an ADD whose address is another's, and why it got no other.
pub(crate) fn conflict(taken: &Taken<'_>, why: &str) -> CniError {
    CniError::new(CONFLICT, format!("{}; {why}", taken.told()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_whose_parent_is_down_is_to_be_tried_again() {
        let code = |errno| {
            let subject = "set link `eth0` up".to_owned();
            let refused = NetlinkFault::Refused { subject, errno, text: None, offset: None };
            of_probe(&not_up("eth0", refused)).code
        };
        assert_eq!(code(Errno::ENETDOWN), code::TRY_AGAIN_LATER);
        assert_eq!(code(Errno::EPERM), code::IO_FAILURE);
    }
}
