//! A sweep over held slots: snapshots in, commands and questions out.
//!
//! Snapshots are handed in as they come; then [`Sweep::blocks`] judges every held slot of the blocks it
//! is given. Only slots that are in doubt are remembered between rounds, so that memory grows with what
//! is wrong, beside the index of pods. Two addresses for one interface and family are told apart when
//! both blocks come in one call.
//!
//! A slot has no field for the first observed absence of its pod, so it is remembered here.
//! [`Sweep::absences`] says what is worth keeping over a restart, [`Sweep::resume`] takes it back; a
//! sweep that lost it counts the age anew, which only frees later.

use super::decide::{Case, FRESH_MS, Freed, Kept, Look, Rival, Sandbox, Verdict, decide};
use super::history::{Sighting, Standing};
use super::index::{Endpoints, Nodes, Pods, When, identity_key};
use super::settings::GcSettings;
use super::sight::{EndpointsSeen, IdentitySeen, NodesSeen, PodsSeen, SandboxesSeen, Told};
use super::suspect::Suspect;
use crate::cluster::object::EndpointKey;
use crate::cluster::workload::IdentityKind;
use spiderpool_core::address::{Family, bits};
use spiderpool_core::command::{Claim, Place, Reclaim};
use spiderpool_core::event::Ending;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Holder;
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// Whose slots a sweep judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of the whole cluster.
    Cluster,
    /// Those of one node.
    Node(Name),
}

/// What a sweep asks for; the answer is a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// Read this pod.
    Pod(EndpointKey),
    /// List the pods of this node: the name of the pod in question is not known.
    PodsOf(Name),
    /// Read this node.
    Node(Name),
    /// Ask this node which sandboxes it has.
    Sandboxes(Name),
    /// Find out by live reads whether this identity stands.
    Identity(EndpointKey, Option<IdentityKind>),
    /// Read this endpoint.
    Endpoint(EndpointKey),
}

/// What a round comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Slots of ordinary pods to take back.
    pub ordinary: Vec<Claim>,
    /// Slots of static identities to take back.
    pub statics: Vec<Claim>,
    /// Endpoints of identities that are no more: they have to be gone before `statics` are claimed,
    /// for what is freed must not be told any more.
    pub forget: BTreeSet<EndpointKey>,
    /// What to look at, each with the moment from which on that makes sense (milliseconds since the
    /// Unix epoch) and whether it has to be a quorum read.
    pub asks: BTreeMap<Ask, (u64, bool)>,
    /// When the next round makes sense at the latest, in milliseconds since the Unix epoch; `None` when
    /// nothing is in doubt that time alone would settle.
    pub again_at_ms: Option<u64>,
    /// Each slot that is in doubt, with its verdict, in the order of addresses.
    pub verdicts: Vec<(Place, Verdict)>,
}

impl Round {
    /// The commands that take the slots back: of ordinary pods first.
    #[must_use]
    pub fn commands(&self) -> Vec<Reclaim> {
        let command = |claims: &Vec<Claim>, statics| Reclaim {
            claims: claims.clone(),
            statics,
            ending: Ending::Reclaimed,
        };
        let both = [(&self.ordinary, false), (&self.statics, true)];
        let some = both.into_iter().filter(|(claims, _)| !claims.is_empty());
        some.map(|(claims, statics)| command(claims, statics)).collect()
    }

    /// Asks at the earlier of two moments, and live if either asks for that.
    fn ask(&mut self, ask: Ask, at_ms: u64, live: bool) {
        let entry = self.asks.entry(ask).or_insert((at_ms, live));
        *entry = (entry.0.min(at_ms), entry.1 || live);
    }

    fn wake(&mut self, at_ms: u64) {
        self.again_at_ms = Some(self.again_at_ms.map_or(at_ms, |before| before.min(at_ms)));
    }
}

/// An absence that is worth keeping over a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Absence {
    /// The slot, at its generation.
    pub claim: Claim,
    /// When its pod was first found absent, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// The state of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    scope: Scope,
    settings: GcSettings,
    pods: Pods,
    nodes: Nodes,
    endpoints: Endpoints,
    sandboxes: BTreeMap<Name, SandboxesSeen>,
    told: BTreeMap<Name, Vec<Told>>,
    suspects: BTreeMap<Claim, Suspect>,
}

impl Sweep {
    /// A sweep that has seen nothing.
    #[must_use]
    pub fn new(scope: Scope, settings: GcSettings) -> Self {
        Self {
            scope,
            settings,
            pods: Pods::default(),
            nodes: Nodes::default(),
            endpoints: Endpoints::default(),
            sandboxes: BTreeMap::new(),
            told: BTreeMap::new(),
            suspects: BTreeMap::new(),
        }
    }

    /// Takes in what was seen of pods.
    pub fn pods(&mut self, seen: PodsSeen) {
        let when = When { at_ms: seen.at_ms, live: seen.live };
        let covered = |suspect: &&mut Suspect| suspect.is_covered(&seen.coverage);
        let by_uid: BTreeMap<_, _> = seen.pods.iter().map(|pod| (pod.uid_on_node(), pod)).collect();
        for suspect in self.suspects.values_mut().filter(covered) {
            let pod = suspect.uid().and_then(|uid| by_uid.get(uid)).copied();
            suspect.note_pod(pod, when, &self.settings);
        }
        self.pods.take(seen);
    }

    /// Takes in what was seen of nodes.
    pub fn nodes(&mut self, seen: NodesSeen) {
        self.nodes.take(seen);
    }

    /// Takes in what was seen of endpoints.
    pub fn endpoints(&mut self, seen: EndpointsSeen) {
        self.endpoints.take(seen);
    }

    /// Takes in what a node says of its sandboxes.
    pub fn sandboxes(&mut self, seen: SandboxesSeen) {
        let before = self.sandboxes.get(&seen.node);
        if before.is_none_or(|before| before.at_ms <= seen.at_ms) {
            self.sandboxes.insert(seen.node.clone(), seen);
        }
    }

    /// Takes in whether an identity stands.
    pub fn identity(&mut self, seen: &IdentitySeen) {
        let standing = if seen.valid { Standing::Stands } else { Standing::Absent };
        let sighting = Sighting { at_ms: seen.at_ms, standing, live: true };
        let suspects = self.suspects.values_mut().filter(|suspect| suspect.is_of(&seen.key));
        suspects.for_each(|suspect| suspect.identity.note(sighting));
    }

    /// Takes in what a container was told, by the node's local record; nothing makes it forgotten.
    pub fn told(&mut self, container: Name, told: Vec<Told>) {
        if told.is_empty() {
            self.told.remove(&container);
        } else {
            self.told.insert(container, told);
        }
    }

    /// The absences that are worth keeping over a restart.
    pub fn absences(&self) -> impl Iterator<Item = Absence> {
        self.suspects.iter().filter_map(|(claim, suspect)| {
            let since_ms = suspect.pods.absent_since_ms()?;
            Some(Absence { claim: claim.clone(), since_ms })
        })
    }

    /// Takes back what [`Sweep::absences`] said before a restart.
    pub fn resume(&mut self, absences: impl IntoIterator<Item = Absence>) {
        let suspects =
            absences.into_iter().map(|it| (it.claim, Suspect::absent_since(it.since_ms)));
        self.suspects.extend(suspects);
    }

    /// Judges every held slot of these blocks, each block given once.
    pub fn blocks(&mut self, blocks: &[(BlockKey, Sheet)], now_ms: u64) -> Round {
        let blocks: BTreeMap<&BlockKey, &Sheet> = blocks.iter().map(|(k, s)| (k, s)).collect();
        let mut round = Round::default();
        let mut stays = BTreeSet::new();
        for (key, sheet) in &blocks {
            for (slot, state) in &sheet.slots {
                let Slot::Allocated(held) = state else { continue };
                if !self.is_in_scope(&held.holder) {
                    continue;
                }
                let place = Place { space: key.space.clone(), address: key.address(*slot) };
                let claim = Claim { place, generation: held.generation };
                let rival = |told: &Told| rival(&blocks, (key, sheet.size), told, held);
                let verdict = self.judge(&claim, held, rival, now_ms);
                if verdict != (Verdict::Keep { why: Kept::Alive }) {
                    self.tell(&mut round, &claim, &held.holder, &verdict);
                    stays.insert(claim);
                } else if self.knows_more(&claim, &held.holder) {
                    stays.insert(claim);
                }
            }
        }
        self.suspects.retain(|claim, _| stays.contains(claim) || !is_covered(&blocks, claim));
        round
    }

    fn is_in_scope(&self, holder: &Holder) -> bool {
        match &self.scope {
            Scope::Cluster => true,
            Scope::Node(node) => holder.node == *node,
        }
    }

    /// Whether a slot's own history is newer than the snapshot that the next round would begin with.
    fn knows_more(&self, claim: &Claim, holder: &Holder) -> bool {
        let own = self.suspects.get(claim).and_then(|suspect| suspect.pods.last_ms());
        let common = self.pods.find(holder).map(|(_, when)| when.at_ms);
        own > common
    }

    fn judge(
        &mut self,
        claim: &Claim,
        held: &Held,
        rival: impl Fn(&Told) -> Option<Rival>,
        now_ms: u64,
    ) -> Verdict {
        let holder = &held.holder;
        let mut suspect = self.suspects.remove(claim).unwrap_or_default();
        suspect.introduce(held, now_ms);
        if let Some((pod, when)) = self.pods.find(holder) {
            suspect.note_pod(pod, when, &self.settings);
        }
        if suspect.pod_key.is_none() {
            let seen = holder.pod_uid.as_ref().and_then(|uid| self.pods.name_of(uid));
            suspect.pod_key = seen.or_else(|| self.endpoints.pod_name(holder)).cloned();
        }
        let rival = self.naming((&mut suspect, now_ms), &claim.place, held, rival);
        let case = Case {
            held,
            known_ms: suspect.known_ms.unwrap_or(now_ms),
            pods: &suspect.pods,
            pod: suspect.pod.as_ref(),
            identity: &suspect.identity,
            named: &suspect.named,
            rival,
            node: self.nodes.find(&holder.node, now_ms),
            sandbox: Sandbox::default(),
            now_ms,
        };
        let sandbox = self.sandbox(holder, case.settled_ms(), now_ms);
        let verdict = decide(&Case { sandbox, ..case }, &self.settings);
        self.suspects.insert(claim.clone(), suspect);
        verdict
    }

    /// What the node said: that there is a sandbox counts for a while, that there is none counts if no
    /// ADD could be under way at the time.
    fn sandbox(&self, holder: &Holder, settled_ms: u64, now_ms: u64) -> Sandbox {
        let Some(container) = &holder.container else { return Sandbox::None };
        match self.sandboxes.get(&holder.node) {
            Some(seen) if seen.containers.contains(container) => {
                let fresh = seen.at_ms.saturating_add(FRESH_MS) >= now_ms;
                if fresh { Sandbox::Left } else { Sandbox::Unasked }
            }
            Some(seen) if seen.at_ms >= settled_ms => Sandbox::None,
            Some(_) | None => Sandbox::Unasked,
        }
    }

    /// Notes whether the owner's endpoint names a place, and gives the place's rival if it does not. Of
    /// an ordinary pod the node's own record goes before the endpoint, which comes late.
    fn naming(
        &self,
        (suspect, now_ms): (&mut Suspect, u64),
        place: &Place,
        held: &Held,
        rival: impl Fn(&Told) -> Option<Rival>,
    ) -> Option<Rival> {
        let holder = &held.holder;
        let is_static = holder.owner.is_static();
        let record = holder.container.as_ref().and_then(|container| self.told.get(container));
        let (told, When { at_ms, live }) = match record {
            Some(told) if !is_static => (told.clone(), When { at_ms: now_ms, live: true }),
            Some(_) | None => self.endpoints.told(holder)?,
        };
        let family = Family::of(place.address);
        let mine = |told: &&Told| {
            *told.attachment == *held.placement.attachment && Family::of(told.address) == family
        };
        let is_here = told.iter().filter(mine).any(|told| told.is(place));
        let rival = told.iter().filter(mine).find_map(rival).filter(|_| !is_here);
        if is_here || is_static || rival.is_some() {
            let standing = if is_here { Standing::Stands } else { Standing::Absent };
            suspect.named.note(Sighting { at_ms, standing, live });
        }
        rival
    }

    /// Puts a verdict into the round.
    fn tell(&self, round: &mut Round, claim: &Claim, holder: &Holder, verdict: &Verdict) {
        match verdict {
            Verdict::Keep { .. } => {}
            Verdict::AskNode => round.ask(Ask::Sandboxes(holder.node.clone()), 0, true),
            Verdict::Observe { what, again_at_ms, live } => {
                round.wake(*again_at_ms);
                if let Some(ask) = self.ask(*what, claim, holder) {
                    round.ask(ask, *again_at_ms, *live);
                }
            }
            Verdict::Free { why } => {
                let key = identity_key(&holder.owner);
                match &key {
                    Some(_) => round.statics.push(claim.clone()),
                    None => round.ordinary.push(claim.clone()),
                }
                round.forget.extend(key.filter(|_| *why == Freed::IdentityInvalid));
            }
        }
        round.verdicts.push((claim.place.clone(), verdict.clone()));
    }

    fn ask(&self, what: Look, claim: &Claim, holder: &Holder) -> Option<Ask> {
        let endpoint = self.endpoints.find(holder);
        match what {
            Look::Pod => {
                let key = self.suspects.get(claim)?.pod_key.clone();
                Some(key.map_or_else(|| Ask::PodsOf(holder.node.clone()), Ask::Pod))
            }
            Look::Node => Some(Ask::Node(holder.node.clone())),
            Look::Identity => {
                let kind = endpoint.and_then(|seen| IdentityKind::of_owner(&seen.owner_kind));
                Some(Ask::Identity(identity_key(&holder.owner)?, kind))
            }
            Look::Endpoint => {
                let key = identity_key(&holder.owner);
                key.or_else(|| endpoint.map(|seen| seen.key.clone())).map(Ask::Endpoint)
            }
        }
    }
}

/// Whether the block of a claim is among these.
fn is_covered(blocks: &BTreeMap<&BlockKey, &Sheet>, claim: &Claim) -> bool {
    let Place { space, address } = &claim.place;
    let sizes = [16, 32, 64].into_iter().filter_map(|size| BlockSize::try_from(size).ok());
    let mut keys = sizes.map(|size| (size, BlockKey::of(space, *address, size)));
    keys.any(|(size, key)| blocks.get(&key).is_some_and(|sheet| sheet.size == size))
}

/// How the same owner holds the place that is named in a slot's stead, if it does.
fn rival(
    blocks: &BTreeMap<&BlockKey, &Sheet>,
    (key, size): (&BlockKey, BlockSize),
    told: &Told,
    held: &Held,
) -> Option<Rival> {
    let space = told.space.as_ref().unwrap_or(&key.space);
    let other = BlockKey::of(space, told.address, size);
    let slot = blocks.get(&other)?.slots.get(&other.slot(bits(told.address)))?;
    let Slot::Allocated(rival) = slot else { return None };
    let same = rival.holder.owner == held.holder.owner
        && rival.placement.attachment == held.placement.attachment;
    let sandbox = match rival.holder.container == held.holder.container {
        true => Rival::SameSandbox,
        false => Rival::OtherSandbox,
    };
    same.then_some(sandbox)
}
