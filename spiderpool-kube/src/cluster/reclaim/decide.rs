//! The decision about one held slot.

use super::history::{History, Run, Standing};
use super::settings::{self, GcSettings};
use super::sight::NodeState;
use crate::cluster::workload::Pod;
use spiderpool_core::slots::Held;
use std::fmt;

/// An ADD takes less than this, in milliseconds. A slot that changed more recently is no orphan yet, since
/// its ADD may not have written all; and its sandbox may be missing from the runtime's list.
pub(super) const IN_FLIGHT_MS: u64 = 120_000;

/// How old the live observation may be that something is freed on, in milliseconds.
pub(super) const FRESH_MS: u64 = 30_000;

/// One held slot and all that was observed.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The slot.
    pub held: &'a Held,
    /// Since when the slot has been known with this generation, in milliseconds since the Unix epoch:
    /// a slot's own stamp may be from a clock that is ahead.
    pub known_ms: u64,
    /// What was seen of the pod of its incarnation.
    pub pods: &'a History,
    /// That pod, as it was seen last.
    pub pod: Option<&'a Pod>,
    /// Whether the static identity that owns it stands; empty for an ordinary pod.
    pub identity: &'a History,
    /// Whether its endpoint names it; empty where that is not known.
    pub named: &'a History,
    /// The slot that is named in its stead, if the same owner holds it.
    pub rival: Option<Rival>,
    /// Its node, and whether that was seen live just now; `None` when nobody has looked.
    pub node: Option<(NodeState, bool)>,
    /// What the node said of its sandbox, once no ADD could be under way any more.
    pub sandbox: Sandbox,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// The slot that an owner's endpoint names, and the owner holds, for the same interface and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// It is held through the same sandbox, which was told that address and not this one.
    SameSandbox,
    /// It is held through another sandbox.
    OtherSandbox,
}

/// What a node says of the sandbox that a slot is held through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// It was not asked, or too early.
    #[default]
    Unasked,
    /// There is one.
    Left,
    /// There is none.
    None,
}

/// What is to be done about a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep {
        /// Why.
        why: Kept,
    },
    /// Look at something, and decide again.
    Observe {
        /// At what.
        what: Look,
        /// When, in milliseconds since the Unix epoch; not after the present means at once.
        again_at_ms: u64,
        /// Whether only a quorum read will do.
        live: bool,
    },
    /// Ask the node whether a sandbox is left.
    AskNode,
    /// Take it back, at the generation that was judged.
    Free {
        /// Why.
        why: Freed,
    },
}

/// What is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// The pod of the slot's incarnation.
    Pod,
    /// The node.
    Node,
    /// What makes the static identity's pods.
    Identity,
    /// The endpoint.
    Endpoint,
}

/// Why a slot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its pod is alive.
    Alive,
    /// Its static identity is valid.
    Valid,
    /// Its pod is over, but a sandbox of it is left on the node.
    SandboxLeft,
    /// Its pod is over as far as the server knows, but its node cannot be asked.
    NodeNotReady,
    /// Its pod has finished, but no container says when.
    NoFinishTime,
    /// A switch says so.
    SwitchedOff {
        /// Its name.
        switch: &'static str,
    },
}

/// Why a slot is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// Its pod is gone.
    PodAbsent,
    /// Its pod was told to go, and its grace period is over.
    PodOverdue,
    /// All containers of its pod have ended.
    PodFinished,
    /// Its pod shows no address, and has no sandbox.
    PodWithoutAddress,
    /// Nothing makes pods of its identity any more.
    IdentityInvalid,
    /// Its owner's endpoint does not name it.
    Orphan,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { why } => write!(f, "kept: {why}"),
            Self::Observe { what, live, .. } => {
                let how = if *live { "live" } else { "again" };
                write!(f, "undecided: look at the {what} {how}")
            }
            Self::AskNode => f.write_str("undecided: ask its node whether a sandbox is left"),
            Self::Free { why } => write!(f, "reclaimed: {why}"),
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pod => "pod",
            Self::Node => "node",
            Self::Identity => "workload of the static identity",
            Self::Endpoint => "endpoint",
        })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive => f.write_str("its pod is alive"),
            Self::Valid => f.write_str("its static identity is valid"),
            Self::SandboxLeft => f.write_str("a sandbox of its pod is left on the node"),
            Self::NodeNotReady => f.write_str(
                "its node is not ready and cannot be asked; taint it as out of service, or delete it",
            ),
            Self::NoFinishTime => f.write_str("its pod has finished, but shows no time"),
            Self::SwitchedOff { switch } => write!(f, "{switch} is off"),
        }
    }
}

impl fmt::Display for Freed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PodAbsent => "its pod is gone",
            Self::PodOverdue => "its pod was told to go and is overdue",
            Self::PodFinished => "its pod has finished",
            Self::PodWithoutAddress => "its pod shows no address and has no sandbox",
            Self::IdentityInvalid => "nothing makes pods of its identity",
            Self::Orphan => "its owner's endpoint does not name it",
        })
    }
}

/// How a pod was found: `None` means that there is no pod of the incarnation.
#[must_use]
pub fn classify(pod: Option<&Pod>, settings: &GcSettings) -> Standing {
    let Some(pod) = pod else { return Standing::Absent };
    let shares_host = pod.status.as_ref().is_some_and(|status| status.host_network);
    let without = settings.running_without_addresses && shows_no_address(pod) && !is_pending(pod);
    let ends = pod.deletion.is_some() || pod.is_finished() || without;
    if ends && !shares_host { Standing::Ends } else { Standing::Stands }
}

/// Whether the DEL of an ordinary pod's sandbox keeps its addresses: the pod is alive by a live read,
/// and will have another sandbox. Those of a static identity are kept by any DEL.
#[must_use]
pub fn keeps_on_del(uid: Option<&str>, live: Option<&Pod>) -> bool {
    live.is_some_and(|pod| uid.is_none_or(|uid| pod.is(uid)) && pod.is_alive())
}

/// What is to be done about a held slot.
#[must_use]
pub fn decide(case: &Case<'_>, settings: &GcSettings) -> Verdict {
    if !settings.enabled {
        return switched_off(settings::ENABLED);
    }
    let judged = match orphan(case, settings) {
        Some(judged) => judged,
        None if case.held.holder.owner.is_static() => identity(case, settings),
        None => pod(case, settings),
    };
    match judged {
        Ok(why) => Verdict::Free { why },
        Err(verdict) => verdict,
    }
}

type Judged = Result<Freed, Verdict>;

/// A slot that its owner's endpoint does not name; `None` when that is not how it is.
fn orphan(case: &Case<'_>, settings: &GcSettings) -> Option<Judged> {
    let run = case.named.run_after(case.floor_ms())?;
    if case.rival.is_none() && !case.held.holder.owner.is_static() {
        return None;
    }
    if case.now_ms < case.settled_ms() {
        return Some(Err(observe(Look::Endpoint, case.settled_ms())));
    }
    let alone = case.rival.is_none() && case.has_pod();
    let alive = case.pods.last_after(case.floor_ms());
    let checked = match alive {
        None if alone => Err(observe(Look::Pod, case.now_ms)),
        Some(seen) if alone && seen.standing == Standing::Stands => keep(Kept::Alive),
        _ if case.rival == Some(Rival::SameSandbox) => Ok(()),
        _ => node(case, settings, Proof::Word),
    };
    let confirmed = checked.and_then(|()| confirm(case, Look::Endpoint, Some(run), settings));
    Some(confirmed.map(|()| Freed::Orphan))
}

/// A slot of a static identity: it goes only when the identity is invalid and no pod has it.
fn identity(case: &Case<'_>, settings: &GcSettings) -> Judged {
    let floor_ms = case.floor_ms();
    if case.has_pod() {
        let seen = case.pods.last_after(floor_ms);
        let seen = seen.ok_or_else(|| observe(Look::Pod, case.now_ms))?;
        if seen.standing == Standing::Stands {
            return Err(Verdict::Keep { why: Kept::Alive });
        }
    }
    let seen = case.identity.last_after(floor_ms);
    let seen = seen.ok_or_else(|| observe(Look::Identity, case.now_ms))?;
    if seen.standing == Standing::Stands {
        let stale = seen.at_ms.saturating_add(settings.scan_every_ms / 2) < case.now_ms;
        let valid = Verdict::Keep { why: Kept::Valid };
        return Err(if stale { observe(Look::Identity, case.now_ms) } else { valid });
    }
    if case.has_pod() {
        pod(case, settings)?;
    }
    confirm(case, Look::Identity, case.identity.run_after(floor_ms), settings)?;
    Ok(Freed::IdentityInvalid)
}

/// A slot by the pod that it is held through.
fn pod(case: &Case<'_>, settings: &GcSettings) -> Judged {
    let seen = case.pods.last_after(case.floor_ms());
    if seen.is_none() {
        let look = Verdict::Observe { what: Look::Pod, again_at_ms: case.now_ms, live: false };
        return Err(look);
    }
    let Some(run) = case.pods.run_after(case.floor_ms()) else {
        return Err(Verdict::Keep { why: Kept::Alive });
    };
    let (why, due_ms, proof) = match (run.absent_ms, case.pod) {
        (Some(since_ms), _) => {
            (Freed::PodAbsent, since_ms.saturating_add(settings.delay_ms), Proof::Absent)
        }
        (None, Some(pod)) => ending(pod, case.now_ms, settings)?,
        (None, None) => return Err(observe(Look::Pod, case.now_ms)),
    };
    if case.now_ms < due_ms {
        return Err(observe(Look::Pod, due_ms));
    }
    node(case, settings, proof)?;
    confirm(case, Look::Pod, Some(run), settings)?;
    Ok(why)
}

/// What it takes of a node to believe that nothing of a pod is left on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The pod is absent: the node's word, or the switch for a node that is not ready.
    Absent,
    /// The pod has ended and is still shown: likewise, and the switch for a ready node.
    Ended,
    /// Nothing but the node's word.
    Word,
}

/// When a pod that is still shown counts as gone, and on what proof.
fn ending(pod: &Pod, now_ms: u64, settings: &GcSettings) -> Result<(Freed, u64, Proof), Verdict> {
    if let Some(deletion) = pod.deletion {
        let due_ms = sum([deletion.at_ms, deletion.grace_ms, settings.delay_ms]);
        if now_ms < due_ms && shows_no_address(pod) {
            return Ok((Freed::PodWithoutAddress, now_ms, Proof::Word));
        }
        return Ok((Freed::PodOverdue, due_ms, Proof::Ended));
    }
    if !pod.is_finished() {
        return Ok((Freed::PodWithoutAddress, now_ms, Proof::Word));
    }
    let status = pod.status.as_ref();
    let finished = status.and_then(|status| Some((status.finished_ms?, status.grace_ms)));
    let Some((finished_ms, grace_ms)) = finished else {
        return Err(Verdict::Keep { why: Kept::NoFinishTime });
    };
    // A kubelet may start such a pod again, so that the server's word is not enough.
    let proof = if pod.is_alive() { Proof::Word } else { Proof::Ended };
    Ok((Freed::PodFinished, sum([finished_ms, grace_ms, settings.delay_ms]), proof))
}

/// Whether the node gives the proof that is asked for.
fn node(case: &Case<'_>, settings: &GcSettings, proof: Proof) -> Result<(), Verdict> {
    if case.held.holder.container.is_none() {
        return Ok(());
    }
    match case.node {
        None => Err(observe(Look::Node, case.now_ms)),
        Some((NodeState::Ready, _)) if proof == Proof::Ended && !settings.ended_on_ready_node => {
            Err(switched_off(settings::READY))
        }
        Some((NodeState::Ready, _)) => sandbox(case),
        Some((NodeState::NotReady, _)) if sandbox(case) == Ok(()) => Ok(()),
        Some((NodeState::NotReady, _)) if proof == Proof::Word => keep(Kept::NodeNotReady),
        Some((NodeState::NotReady, _)) if !settings.ended_on_unready_node => {
            Err(switched_off(settings::UNREADY))
        }
        // Nobody is asked any more: that takes a live read.
        Some((_, false)) => Err(observe(Look::Node, case.now_ms)),
        Some((NodeState::Gone | NodeState::OutOfService | NodeState::NotReady, true)) => Ok(()),
    }
}

/// What the node's word comes to. A sandbox whose ADD may still be under way need not be in its list.
fn sandbox(case: &Case<'_>) -> Result<(), Verdict> {
    match case.sandbox {
        Sandbox::Left => keep(Kept::SandboxLeft),
        _ if case.now_ms < case.settled_ms() => Err(observe(Look::Pod, case.settled_ms())),
        Sandbox::Unasked => Err(Verdict::AskNode),
        Sandbox::None => Ok(()),
    }
}

/// Whether enough observations agree: two of them apart, and the last one live and fresh.
fn confirm(
    case: &Case<'_>,
    what: Look,
    run: Option<Run>,
    settings: &GcSettings,
) -> Result<(), Verdict> {
    let Some(run) = run else { return Err(observe(what, case.now_ms)) };
    let again_at_ms = run.first_ms.saturating_add(settings.gap_ms);
    if run.times < 2 || run.last.at_ms < again_at_ms {
        return Err(observe(what, again_at_ms));
    }
    let fresh = run.last.at_ms.saturating_add(FRESH_MS) >= case.now_ms;
    if run.last.live && fresh { Ok(()) } else { Err(observe(what, case.now_ms)) }
}

impl Case<'_> {
    /// What was observed up to here says nothing of the slot as it is.
    fn floor_ms(&self) -> u64 {
        self.held.since_ms.min(self.known_ms)
    }

    /// From here on no ADD that wrote the slot can be under way.
    pub(super) fn settled_ms(&self) -> u64 {
        self.floor_ms().saturating_add(IN_FLIGHT_MS)
    }

    fn has_pod(&self) -> bool {
        self.held.holder.pod_uid.is_some() || self.held.holder.container.is_some()
    }
}

fn shows_no_address(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.ips.is_empty())
}

fn is_pending(pod: &Pod) -> bool {
    use crate::cluster::workload::Phase;
    pod.status.as_ref().is_some_and(|status| status.phase == Phase::Pending)
}

const fn observe(what: Look, again_at_ms: u64) -> Verdict {
    Verdict::Observe { what, again_at_ms, live: true }
}

const fn keep(why: Kept) -> Result<(), Verdict> {
    Err(Verdict::Keep { why })
}

const fn switched_off(switch: &'static str) -> Verdict {
    Verdict::Keep { why: Kept::SwitchedOff { switch } }
}

fn sum(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}
