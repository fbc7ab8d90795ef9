//! `reclaim` on a cluster: by the decision that the controller and the agents take.
//!
//! The command line has no word of a node about its sandboxes. So what it takes back is what the
//! decision frees without one: slots whose pod is gone and whose node is gone, or was said to be off, or
//! is not ready. What lies on a node that is ready is left to that node's agent, and slots of static
//! identities to the controller.
//!
//! Invariant: nothing is taken back on one observation (`tests/kube`: `reclaim_looks_twice`).

use super::Cluster;
use super::api::kind_path;
use super::release::freed;
use super::state::{Extent, State};
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::table::{Table, counted};
use serde::Serialize;
use serde_json::Value;
use spiderpool_core::command::{Claim, Command, Place, Reclaim, Standing};
use spiderpool_core::event::Ending;
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use spiderpool_kube::cluster::reclaim::{
    Ask, Coverage, EndpointsSeen, GcSettings, IdentitySeen, NodesSeen, PodsSeen, Round, Scope,
    Sweep, Verdict, lift_endpoint,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So often is everything looked at, at most.
const LOOKS_MAX: u32 = 4;

/// For so long is waited for time to tell, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

/// One slot in doubt; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    address: std::net::IpAddr,
    owner: String,
    node: String,
    pool: String,
    generation: u64,
    goes: bool,
    why: String,
}

/// Takes back what nobody holds any more.
pub(crate) fn reclaim(
    session: &Session,
    cluster: &Cluster,
    (dry_run, yes): (bool, bool),
) -> Result<Exit, Failure> {
    let mut eyes = Eyes::new(session, cluster);
    let (mut round, mut state) = eyes.look()?;
    for _ in 1..LOOKS_MAX {
        let now_ms = eyes.now_ms();
        let wait_ms = match round.again_at_ms {
            Some(at_ms) if at_ms.saturating_sub(now_ms) <= PATIENCE_MS => {
                at_ms.saturating_sub(now_ms)
            }
            Some(_) | None => break,
        };
        session.note(&format!(
            "{} in doubt; looking again in {} s",
            counted(round.verdicts.len(), "address"),
            wait_ms.div_ceil(1_000)
        ));
        std::thread::sleep(Duration::from_millis(wait_ms.saturating_add(20)));
        (round, state) = eyes.look()?;
    }
    let judged = judged(&round, &state);
    session.show(&judged, || print(&judged))?;
    let going = round.ordinary.len();
    if dry_run || going == 0 {
        return Ok(Exit::Done);
    }
    session.confirm(&format!("give {} back?", counted(going, "address")), yes)?;
    let taken = take(session, cluster, &round.ordinary)?;
    session.note(&format!("{} reclaimed", counted(taken.len(), "address")));
    Ok(Exit::Done)
}

/// Frees claims, those of one block together. A block that somebody changed keeps no other from going.
fn take(session: &Session, cluster: &Cluster, claims: &[Claim]) -> Result<Vec<Standing>, Failure> {
    let mut blocks: BTreeMap<BlockKey, Vec<Claim>> = BTreeMap::new();
    for claim in claims {
        let Place { space, address } = &claim.place;
        let key = BlockKey::of(space, *address, BlockSize::default());
        blocks.entry(key).or_default().push(claim.clone());
    }
    let command = |claims| {
        let ending = Ending::Reclaimed;
        (Command::Reclaim(Reclaim { claims, statics: false, ending }), None)
    };
    let commands = blocks.into_values().map(command).collect();
    let mut taken = Vec::new();
    let mut flaws = Vec::new();
    for answer in cluster.carry_out_all(session, commands)? {
        match answer {
            Ok(answer) => taken.extend(freed(answer)),
            Err(failure) => flaws.push(failure.in_one_line()),
        }
    }
    if flaws.is_empty() {
        return Ok(taken);
    }
    let what = format!("{} reclaimed, and not all of them", counted(taken.len(), "address"));
    Err(Failure::refused(what).with_flaws(flaws))
}

/// What looks at the cluster, and remembers what it saw.
struct Eyes<'a> {
    session: &'a Session,
    cluster: &'a Cluster,
    sweep: Sweep,
    began: (u64, Instant),
}

impl<'a> Eyes<'a> {
    fn new(session: &'a Session, cluster: &'a Cluster) -> Self {
        let sweep = Sweep::new(Scope::Cluster, GcSettings::default());
        Self { session, cluster, sweep, began: (session.moment().now_ms, Instant::now()) }
    }

    fn now_ms(&self) -> u64 {
        let (now_ms, began) = self.began;
        now_ms.saturating_add(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads blocks, then everything that they are judged by, and answers what the sweep asks.
    fn look(&mut self) -> Result<(Round, State), Failure> {
        let state = self.cluster.state(self.session, Extent::Addresses)?;
        state.warn(self.session);
        let at_ms = self.now_ms();
        self.endpoints(at_ms)?;
        let nodes = self.cluster.nodes(self.session)?;
        self.sweep.nodes(NodesSeen { at_ms, live: true, complete: true, nodes });
        let pods = self.cluster.pods(self.session, "")?;
        self.sweep.pods(PodsSeen { coverage: Coverage::All, at_ms, live: true, pods });
        let blocks: Vec<(BlockKey, Sheet)> =
            state.blocks.iter().map(|(key, (body, _))| (key.clone(), body.sheet.clone())).collect();
        let now_ms = self.now_ms();
        let mut round = self.sweep.blocks(&blocks, now_ms);
        if self.identities(&round)? {
            let now_ms = self.now_ms();
            round = self.sweep.blocks(&blocks, now_ms);
        }
        Ok((round, state))
    }

    fn endpoints(&mut self, at_ms: u64) -> Result<(), Failure> {
        let path = kind_path(spiderpool_kube::manifest::API_VERSION, None, "spiderendpoints");
        let mut progress = super::api::Progress::of(self.session, "endpoints");
        let mut endpoints = Vec::new();
        self.cluster
            .each(&path, ("", ""), &mut progress, |json: Value| {
                endpoints.extend(lift_endpoint(&json))
            })
            .map_err(|fault| fault.tell("cannot list spiderendpoints"))?;
        let seen = EndpointsSeen { coverage: Coverage::All, at_ms, live: true, endpoints };
        self.sweep.endpoints(seen);
        Ok(())
    }

    /// Finds out which identities stand; whether any was asked for.
    fn identities(&mut self, round: &Round) -> Result<bool, Failure> {
        let mut any = false;
        for ask in round.asks.keys() {
            if let Ask::Identity(key, _) = ask {
                let at_ms = self.now_ms();
                let valid = self.cluster.stands(key)?;
                self.sweep.identity(&IdentitySeen { key: key.clone(), at_ms, valid });
                any = true;
            }
        }
        Ok(any)
    }
}

fn judged(round: &Round, state: &State) -> Vec<Judged> {
    let rows = round.verdicts.iter().filter_map(|(place, verdict)| {
        let held = held_at(state, place)?;
        let claim = Claim { place: place.clone(), generation: held.generation };
        let goes = round.ordinary.contains(&claim);
        let why = match verdict {
            Verdict::AskNode => {
                format!("left to the agent of node {}: a sandbox may be left", held.holder.node)
            }
            Verdict::Free { why } if goes => why.to_string(),
            Verdict::Free { why } => {
                format!(
                    "{why}; left to the controller, since it is static (or `ip release --static`)"
                )
            }
            Verdict::Keep { .. } | Verdict::Observe { .. } => verdict.to_string(),
        };
        Some(Judged {
            address: place.address,
            owner: held.holder.owner.to_string(),
            node: held.holder.node.to_string(),
            pool: held.placement.pool.to_string(),
            generation: held.generation,
            goes,
            why,
        })
    });
    rows.collect()
}

fn held_at<'s>(state: &'s State, place: &Place) -> Option<&'s Held> {
    let key = BlockKey::of(&place.space, place.address, BlockSize::default());
    let (body, _) = state.blocks.get(&key)?;
    let slot = key.slot(spiderpool_core::address::bits(place.address));
    match body.sheet.slots.get(&slot)? {
        Slot::Allocated(held) => Some(held),
        Slot::Resting { .. } | Slot::Quarantined { .. } => None,
    }
}

fn print(judged: &[Judged]) -> String {
    let mut table = Table::new(&["ADDRESS", "OWNER", "NODE", "POOL", "GOES", "WHY"]);
    for Judged { address, owner, node, pool, goes, why, .. } in judged {
        table.row([
            address.to_string(),
            owner.clone(),
            node.clone(),
            pool.clone(),
            if *goes { "yes" } else { "no" }.to_owned(),
            why.clone(),
        ]);
    }
    let mut text = if table.is_empty() { String::new() } else { table.print(0) };
    let going = judged.iter().filter(|judged| judged.goes).count();
    let stays = judged.len().saturating_sub(going);
    text.push_str(&format!("left behind: {going}; in doubt and staying: {stays}\n"));
    text
}
