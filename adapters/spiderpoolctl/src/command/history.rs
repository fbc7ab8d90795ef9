//! `history`: what the journal remembers, and who had an address when.

use crate::clock::{parse_time, show_time};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{DEFAULT_SPACE, parse_place};
use crate::session::Session;
use crate::table::Table;
use clap::Args;
use serde::Serialize;
use spiderpool_core::command::{Answer, Command, Place, Standing};
use spiderpool_core::event::Write;
use spiderpool_store::{Entry, Filter, Store, Tenure};

/// Tell what happened, and who had an address when
///
/// With --address alone, lists who had it; with --at as well, who had it then. Otherwise lists the
/// entries of the journal. Times are in UTC: 2026-01-31T14:05:00Z, 2026-01-31, 14:05 (the last such
/// minute) or `2h ago`. The journal is bounded by age and size, and what is older is not known.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl history --address 10.1.2.3 --at 14:05\n  \
       spiderpoolctl history --address 10.1.2.3\n  \
       spiderpoolctl history --owner container/lab/4f2a --since '2h ago'\n  \
       spiderpoolctl history --since 2026-01-31 -o json"
))]
pub(crate) struct History {
    /// What happened to this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The space of --address
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "NAME")]
    space: String,
    /// What happened to this owner (its whole text)
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// What happened to this container
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Who had the address at that time
    #[arg(long, value_name = "TIME", requires = "address", conflicts_with_all = ["since", "until", "owner", "container"])]
    at: Option<String>,
    /// Not before
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With --address: the entries of the journal, not the holders
    #[arg(long)]
    entries: bool,
}

/// An entry of the journal; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    seq: u64,
    at_ms: u64,
    seed: u64,
    command: &'a Command,
    writes: &'a [Write],
    answer: &'a Answer,
}

impl History {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let now_ms = session.moment().now_ms;
        let time = |text: &Option<String>| {
            let parsed = text.as_deref().map(|text| parse_time(text, now_ms)).transpose();
            parsed.map_err(|bad| Failure::bad("the time cannot be used").because(&bad))
        };
        let place =
            self.address.as_deref().map(|text| parse_place(text, &self.space)).transpose()?;
        let (at, from_ms, to_ms) = (time(&self.at)?, time(&self.since)?, time(&self.until)?);
        session.store_only(
            "a cluster keeps no journal of its addresses",
            "`ip show ADDRESS` for its present holder; the API server's audit log for who wrote its block, and the events of pods and pools",
        )?;
        let store = session.look()?;
        let is_about_holders = self.owner.is_none() && self.container.is_none() && !self.entries;
        if let Some(place) = place.as_ref().filter(|_| is_about_holders) {
            return tenures(session, &store, place, (at, from_ms, to_ms));
        }
        let filter = Filter { place, owner: self.owner, container: self.container, from_ms, to_ms };
        let entries = store.history(&filter)?;
        let lines: Vec<_> = entries.iter().map(line).collect();
        session.show(&lines, || print(&entries))?;
        if entries.is_empty() {
            session.note("the journal has no such entry");
        }
        Ok(Exit::Done)
    }
}

fn line(entry: &Entry) -> Line<'_> {
    Line {
        seq: entry.seq,
        at_ms: entry.moment.now_ms,
        seed: entry.moment.seed,
        command: &entry.command,
        writes: &entry.writes,
        answer: &entry.answer,
    }
}

fn tenures(
    session: &Session,
    store: &Store,
    place: &Place,
    (at, from_ms, to_ms): (Option<u64>, Option<u64>, Option<u64>),
) -> Result<Exit, Failure> {
    let mut tenures = store.tenures(place)?;
    tenures.retain(|tenure| {
        let ends = tenure.until_ms.unwrap_or(u64::MAX);
        at.is_none_or(|at| (tenure.from_ms..ends).contains(&at))
            && from_ms.is_none_or(|from| from <= ends)
            && to_ms.is_none_or(|to| tenure.from_ms <= to)
    });
    session.show(&tenures, || {
        if tenures.is_empty() { String::new() } else { tenure_table(&tenures).print(0) }
    })?;
    if tenures.is_empty() {
        let when = at.map(|at| format!(" at {}", show_time(at))).unwrap_or_default();
        session.note(&format!("nobody is known to have had {}{when}", place.address));
    }
    Ok(Exit::Done)
}

/// Who had an address, one holder on a line.
pub(crate) fn tenure_table(tenures: &[Tenure]) -> Table {
    let head = ["FROM", "UNTIL", "OWNER", "INTERFACE", "POOL", "NODE", "GENERATION", "ENDED"];
    let mut table = Table::new(&head);
    for tenure in tenures {
        table.row([
            show_time(tenure.from_ms),
            tenure.until_ms.map_or_else(|| "present".to_owned(), show_time),
            tenure.owner.clone(),
            tenure.attachment.clone(),
            tenure.pool.clone(),
            tenure.node.clone(),
            tenure.generation.to_string(),
            tenure.ending.map(|ending| format!("{ending:?}").to_lowercase()).unwrap_or_default(),
        ]);
    }
    table
}

fn print(entries: &[Entry]) -> String {
    let mut table = Table::new(&["ENTRY", "TIME", "COMMAND", "OUTCOME"]);
    for entry in entries {
        table.row([
            entry.seq.to_string(),
            show_time(entry.moment.now_ms),
            asked(&entry.command),
            answered(&entry.answer),
        ]);
    }
    if table.is_empty() { String::new() } else { table.print(0) }
}

fn asked(command: &Command) -> String {
    match command {
        Command::DefineSpace(space) => format!("define space {}", space.name),
        Command::DefineSubnet(subnet) => format!("define subnet {}", subnet.name()),
        Command::RemoveSubnet(name) => format!("remove subnet {name}"),
        Command::DefineReservation(reservation) => {
            format!("define reservation {}", reservation.name())
        }
        Command::RemoveReservation(name) => format!("remove reservation {name}"),
        Command::DefinePool(pool) => format!("define pool {}", pool.name()),
        Command::RemovePool(name) => format!("remove pool {name}"),
        Command::Allocate(request) => {
            format!("allocate {} of {}", request.attachment, request.holder.owner)
        }
        Command::Release(release) => match &release.attachment {
            Some(attachment) => format!("release {attachment} of container {}", release.container),
            None => format!("release container {}", release.container),
        },
        Command::Reclaim(reclaim) => format!("reclaim {} allocations", reclaim.claims.len()),
        Command::Collect(collect) => {
            format!("collect network {}, {} stay", collect.network, collect.keep.len())
        }
        Command::Hold(hold) => format!("hold {} for {}", hold.place.address, hold.owner),
        Command::Conflict(conflict) => format!("conflict at {}", conflict.claim.place.address),
        Command::Clear(place) => format!("clear {}", place.address),
        Command::Tidy { before_ms } => format!("tidy up to {}", show_time(*before_ms)),
    }
}

fn answered(answer: &Answer) -> String {
    let addresses = |freed: &[Standing]| {
        freed.iter().map(|held| held.place.address.to_string()).collect::<Vec<_>>().join(", ")
    };
    match answer {
        Answer::Defined { .. } | Answer::Done => "done".to_owned(),
        Answer::Allocated(granted) => {
            let given = granted
                .addresses
                .iter()
                .map(|one| format!("{} of {}", one.address.addr(), one.pool));
            given.collect::<Vec<_>>().join(", ")
        }
        Answer::Freed(freed) if freed.is_empty() => "nothing to free".to_owned(),
        Answer::Freed(freed) => format!("freed {}", addresses(freed)),
        Answer::Quarantined { until_ms } => format!("quarantined until {}", show_time(*until_ms)),
        Answer::Spared(_) => "spared".to_owned(),
    }
}
