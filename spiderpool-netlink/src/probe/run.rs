//! The loops that carry out what the prober decides, on a link of the calling thread's namespace.
//!
//! Called by adapters within [`Namespace::run`](crate::Namespace::run). Every wait ends with the
//! deadline; signals cost nothing but the call that they interrupt
//! (`a_storm_of_signals_changes_nothing`).

use super::announce::announcements;
use super::ears::{Ears, Sent};
use super::fault::ProbeFault;
use super::nd;
use super::prober::{Poll, Prober};
use super::target::{Finding, Occupancy, Reach, Target};
use super::timing::{AnnounceTiming, Timing};
use crate::session::Session;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a link is looked at while it has no carrier.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// So many frames are heard before the clock is looked at: a flood does not stop it.
const FRAMES_AT_ONCE: usize = 64;

/// What to ask on a link.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// The link's name.
    pub link: &'a str,
    /// The addresses and their gateways.
    pub targets: &'a [Target],
    /// Which questions, at what pace.
    pub timing: Timing,
    /// Any number; another for every inquiry.
    pub seed: u64,
    /// How long a carrier is waited for: setting a physical NIC up takes seconds.
    pub carrier: Duration,
    /// Nothing goes on beyond this.
    pub deadline: Instant,
}

/// What to announce on a link.
#[derive(Debug, Clone, Copy)]
pub struct Announcement<'a> {
    /// The link's name.
    pub link: &'a str,
    /// What is announced.
    pub addresses: &'a [IpAddr],
    /// What the NIC has: what the kernel says it carries, or what it was granted.
    pub own: &'a BTreeSet<IpAddr>,
    /// How often.
    pub timing: AnnounceTiming,
    /// Nothing goes on beyond this.
    pub deadline: Instant,
}

/// Asks about all addresses at once, on a link that is up; findings come in the order of the
/// targets. What the deadline cut short is unsettled.
///
/// # Errors
///
/// [`ProbeFault`] where the link does not carry the questions: silence means nothing then.
pub fn ask(session: &mut Session, inquiry: &Inquiry<'_>) -> Result<Vec<Finding>, ProbeFault> {
    let mut ears = Ears::open(inquiry.link)?;
    for target in inquiry.targets {
        if let IpAddr::V6(address) = target.address() {
            nd::groups(address).into_iter().try_for_each(|group| ears.join(group))?;
        }
    }
    await_carrier(session, inquiry)?;
    let start = Instant::now();
    let own = (ears.mac(), inquiry.timing);
    let mut prober = Prober::new(inquiry.targets, own, inquiry.seed, Duration::ZERO);
    while Instant::now() < inquiry.deadline {
        if hear(&mut ears, &mut prober)? {
            continue;
        }
        match prober.poll(start.elapsed()) {
            Poll::Over => break,
            Poll::Send { lane, frame } => match ears.send(&frame)? {
                Sent::Taken => prober.sent(lane, start.elapsed()),
                Sent::Refused => prober.unsent(lane, start.elapsed()),
            },
            Poll::Wait { until } => {
                let left = inquiry.deadline.saturating_duration_since(Instant::now());
                ears.wait(until.saturating_sub(start.elapsed()).min(left))?;
            }
        }
    }
    let findings = prober.findings();
    if findings.iter().any(rests_on_silence) {
        require_carrier(session, inquiry.link, start)?;
    }
    Ok(findings)
}

/// Hands in what was heard; says whether there may be more.
fn hear(ears: &mut Ears, prober: &mut Prober) -> Result<bool, ProbeFault> {
    for _ in 0..FRAMES_AT_ONCE {
        match ears.hear()? {
            Some(frame) => prober.receive(frame),
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn rests_on_silence(finding: &Finding) -> bool {
    finding.occupancy == Occupancy::Free || finding.gateway == Reach::Unreachable
}

fn await_carrier(session: &mut Session, inquiry: &Inquiry<'_>) -> Result<(), ProbeFault> {
    let start = Instant::now();
    loop {
        match require_carrier(session, inquiry.link, start) {
            Err(fault @ ProbeFault::NoCarrier { .. }) => {
                let is_over = start.elapsed() >= inquiry.carrier;
                if is_over || Instant::now() >= inquiry.deadline {
                    return Err(fault);
                }
                sleep(LOOK_AGAIN);
            }
            other => return other,
        }
    }
}

fn require_carrier(session: &mut Session, link: &str, since: Instant) -> Result<(), ProbeFault> {
    let link = || link.to_owned();
    let links = session.links().map_err(|source| ProbeFault::Netlink { link: link(), source })?;
    match links.values().find(|one| *one.name == *link()) {
        None => Err(ProbeFault::NoLink { link: link() }),
        Some(found) if !found.is_up => Err(ProbeFault::LinkDown { link: link() }),
        Some(found) if !found.has_carrier => {
            let waited_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            Err(ProbeFault::NoCarrier { link: link(), waited_ms })
        }
        Some(_) => Ok(()),
    }
}

/// Announces addresses of a NIC's own to all its neighbours.
///
/// # Errors
///
/// [`ProbeFault::NotOwn`] before anything is sent, for an address that is another's; others where
/// the link does not take the frames before the deadline.
pub fn tell(announcement: &Announcement<'_>) -> Result<(), ProbeFault> {
    let Announcement { link, addresses, own, timing, deadline } = *announcement;
    let ears = Ears::open(link)?;
    let frames = announcements(ears.mac(), addresses, own)?;
    let start = Instant::now();
    for round in 0..timing.times.get() {
        if round > 0 {
            sleep(timing.spacing.min(deadline.saturating_duration_since(Instant::now())));
        }
        for frame in &frames {
            while ears.send(frame)? == Sent::Refused {
                if Instant::now() >= deadline {
                    let waited_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Err(ProbeFault::NoCarrier { link: link.into(), waited_ms });
                }
                sleep(LOOK_AGAIN);
            }
        }
    }
    Ok(())
}
