//! `simulate`: many more pods, or an edited pool, on a copy.
//!
//! Nothing is written (`tests/cli/simulate.rs`: `simulate_leaves_the_store_as_it_is`), and what is told is
//! what would happen (`simulated_is_what_happens`).

use crate::clock::show_span;
use crate::command::get::tally;
use crate::copy::{Copy, put};
use crate::definition;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::request::{Imagined, RequestArgs};
use crate::session::Session;
use crate::shortlist;
use crate::table::Table;
use clap::Args;
use serde::Serialize;
use spiderpool_core::command::{Allocated, Answer, Command};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::refusal::{AllocateRefusal, Refusal, Shortlist};
use spiderpool_core::view::View;
use spiderpool_store::Filter;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// The journal of so many milliseconds shows how fast a pool fills up.
const WINDOW_MS: u64 = 24 * 3_600 * 1_000;

/// Try so many more pods, or an edited pool, on a copy
///
/// Tells how many pods fit, which pools they would take from, why the first one that does not fit is
/// refused, and what would help. Nothing is written. Exit code 1 says that not all of them fit.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl simulate --pods 200 --pool blue,green\n  \
       spiderpoolctl simulate --pods 50 --interfaces 2 --edit bigger-pool.yaml --pool blue\n  \
       spiderpoolctl simulate --edit smaller-pool.yaml"
))]
pub(crate) struct Simulate {
    /// How many pods
    #[arg(long, default_value_t = 0, required_unless_present = "edit", value_name = "N")]
    pods: u64,
    /// Interfaces of each pod: --interface, then net1, net2 and so on
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=32))]
    interfaces: u64,
    /// Manifests that are put on the copy first
    #[arg(long, value_name = "FILE")]
    edit: Vec<PathBuf>,
    #[command(flatten)]
    request: RequestArgs,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Simulated {
    /// What was edited on the copy.
    edited: Vec<String>,
    asked: u64,
    fit: u64,
    /// Addresses that each pool would give.
    given: BTreeMap<Name, u64>,
    placements: Vec<Placed>,
    refusal: Option<Refused>,
    left: Vec<Left>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    pod: u64,
    interface: Name,
    address: IpAddr,
    pool: Name,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    pod: u64,
    interface: Name,
    why: String,
    shortlist: Option<Shortlist>,
}

/// What is left of a pool behind the pods that fit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    pool: Name,
    free: u128,
    size: u128,
    /// At the pace of the last day, in milliseconds; absent when the pool did not fill up.
    full_in_ms: Option<u64>,
}

impl Simulate {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut copy = Copy { view: session.view()? };
        let moment = session.moment();
        let mut edited = Vec::new();
        if !self.edit.is_empty() {
            let read = definition::read(&self.edit, "kube-system")?;
            for step in put(&mut copy, read.definitions, moment)? {
                edited.push(format!("{} {}", step.definition, step.change.word()));
            }
        }
        let imagined = self.request.imagine(&copy.view)?;
        imagined.notes.iter().for_each(|note| session.note(note));
        let mut simulated = self.pods(&mut copy, &imagined, moment)?;
        simulated.edited = edited;
        simulated.left = left(&growth(session, moment)?, &copy.view, &simulated)?;
        session.show(&simulated, || print(session, &simulated))?;
        Ok(if simulated.refusal.is_none() { Exit::Done } else { Exit::Refused })
    }

    /// Puts one pod after the other on the copy, until one does not fit: the next would not either.
    fn pods(
        &self,
        copy: &mut Copy,
        imagined: &Imagined,
        moment: Moment,
    ) -> Result<Simulated, Failure> {
        let mut simulated = Simulated {
            edited: Vec::new(),
            asked: self.pods,
            fit: 0,
            given: BTreeMap::new(),
            placements: Vec::new(),
            refusal: None,
            left: Vec::new(),
        };
        for pod in 1..=self.pods {
            let mut placed = BTreeSet::new();
            for interface in 1..=self.interfaces {
                let request = imagined.request(pod, interface)?;
                let attachment = request.attachment.clone();
                match copy.run(&Command::Allocate(request), moment)? {
                    Ok(answer) => placed.extend(placements(answer)),
                    Err(refusal) => {
                        simulated.refusal = Some(refused(pod, attachment, &refusal));
                        return Ok(simulated);
                    }
                }
            }
            simulated.fit = pod;
            for (interface, address, pool) in placed {
                *simulated.given.entry(pool.clone()).or_default() += 1;
                simulated.placements.push(Placed { pod, interface, address, pool });
            }
        }
        Ok(simulated)
    }
}

fn placements(answer: Answer) -> Vec<(Name, IpAddr, Name)> {
    match answer {
        Answer::Allocated(Allocated { addresses, .. }) => addresses
            .into_iter()
            .map(|one| (one.demand.attachment, one.address.addr(), one.pool))
            .collect(),
        Answer::Defined { .. }
        | Answer::Freed(_)
        | Answer::Quarantined { .. }
        | Answer::Spared(_)
        | Answer::Done => Vec::new(),
    }
}

fn refused(pod: u64, interface: Name, refusal: &Refusal) -> Refused {
    let shortlist = match refusal {
        Refusal::Allocate(AllocateRefusal::Unsatisfied(shortlist)) => Some((**shortlist).clone()),
        Refusal::Allocate(_) | Refusal::Define(_) | Refusal::Change(_) => None,
    };
    Refused { pod, interface, why: crate::copy::told(refusal), shortlist }
}

/// The room of every pool that was taken from or weighed.
fn left(
    growth: &BTreeMap<Name, i64>,
    view: &View,
    simulated: &Simulated,
) -> Result<Vec<Left>, Failure> {
    let mut pools: BTreeSet<Name> = simulated.given.keys().cloned().collect();
    let weighed = simulated.refusal.iter().filter_map(|refused| refused.shortlist.as_ref());
    let candidates = weighed.flat_map(|list| &list.demands).flat_map(|demand| &demand.candidates);
    pools.extend(candidates.filter_map(|candidate| Name::new(&candidate.pool).ok()));
    let mut rows = Vec::new();
    for pool in pools {
        if !matches!(view.pool(&pool), Ok(Some(_))) {
            continue;
        }
        let tally = tally(view, &pool)?;
        let pace = growth.get(&pool).copied().and_then(|grown| u128::try_from(grown).ok());
        let full_in = pace.filter(|pace| *pace > 0).map(|pace| {
            u64::try_from(tally.free.saturating_mul(WINDOW_MS.into()) / pace).unwrap_or(u64::MAX)
        });
        rows.push(Left { free: tally.free, size: tally.size, full_in_ms: full_in, pool });
    }
    Ok(rows)
}

/// By how many allocations each pool grew in the window before now; of a cluster, which keeps no
/// journal, nothing is known.
fn growth(session: &Session, moment: Moment) -> Result<BTreeMap<Name, i64>, Failure> {
    if !session.is_on_store() {
        return Ok(BTreeMap::new());
    }
    let store = session.look()?;
    let from_ms = Some(moment.now_ms.saturating_sub(WINDOW_MS));
    let mut growth = BTreeMap::new();
    for entry in store.history(&Filter { from_ms, ..Filter::default() })? {
        match entry.answer {
            Answer::Allocated(granted) => {
                for one in granted.addresses.iter().filter(|one| !one.kept) {
                    *growth.entry(one.pool.clone()).or_default() += 1;
                }
            }
            Answer::Freed(freed) => {
                freed.iter().for_each(|held| *growth.entry(held.pool.clone()).or_default() -= 1);
            }
            Answer::Defined { .. }
            | Answer::Quarantined { .. }
            | Answer::Spared(_)
            | Answer::Done => {}
        }
    }
    Ok(growth)
}

fn print(session: &Session, simulated: &Simulated) -> String {
    let Simulated { edited, asked, fit, given, refusal, left, .. } = simulated;
    let mut text: String = edited.iter().map(|edit| format!("on the copy: {edit}\n")).collect();
    if *asked > 0 {
        text.push_str(&format!("{fit} of {asked} pods fit; nothing was written\n"));
    } else {
        text.push_str("the edit is possible; nothing was written\n");
    }
    if !left.is_empty() {
        let mut table = Table::new(&["POOL", "GIVES", "THEN-FREE", "TOTAL", "THEN-FULL-IN"]);
        for Left { pool, free, size, full_in_ms } in left {
            let gives = given.get(pool).copied().unwrap_or_default().to_string();
            let full = full_in_ms.map(show_span).unwrap_or_default();
            table.row([pool.to_string(), gives, free.to_string(), size.to_string(), full]);
        }
        text.push_str(&table.print(0));
    }
    if let Some(Refused { pod, interface, why, shortlist }) = refusal {
        text.push_str(&format!("pod {pod} is refused at {interface}:\n"));
        match shortlist {
            Some(shortlist) => text.push_str(&shortlist::print(session, shortlist)),
            None => text.push_str(&format!("  {why}\n")),
        }
    }
    text
}
