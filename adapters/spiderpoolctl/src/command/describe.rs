//! `describe`: everything that is known of one definition.

use crate::clock::{show_span, show_time};
use crate::command::get::{carved, find, tally};
use crate::definition::{Definition, Kind};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{Row, State, rows};
use crate::session::{Session, Sight};
use crate::table::Table;
use clap::Args;
use serde::Serialize;
use spiderpool_core::definition::Pool;
use spiderpool_core::view::{Tally, View};
use spiderpool_kube::manifest::write_manifest;

/// Show one pool, subnet or reservation with its counts, its conditions and who holds what
///
/// Conditions say what keeps a pool from giving addresses, and what is out of order in it.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl describe pool blue\n  \
       spiderpoolctl describe subnet lab -o json"
))]
pub(crate) struct Describe {
    /// What to show: pool, subnet or reservation
    kind: Kind,
    /// Its name
    name: String,
    /// At most so many holders (0 for all)
    #[arg(long, default_value_t = 20, value_name = "N")]
    holders: usize,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    manifest: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Tally>,
    /// Addresses of a subnet that its pools have.
    #[serde(skip_serializing_if = "Option::is_none")]
    carved: Option<u128>,
    conditions: Vec<String>,
    holders: Vec<Row>,
    /// How many holders are left out.
    more: usize,
    #[serde(skip)]
    yaml: String,
}

impl Describe {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let sight = session.sight()?;
        let definition = find(&sight.view, self.kind, &self.name)?;
        let now_ms = session.moment().now_ms;
        let mut description = describe(&sight, &definition, now_ms)?;
        if self.holders > 0 {
            description.more = description.holders.len().saturating_sub(self.holders);
            description.holders.truncate(self.holders);
        }
        session.show(&description, || print(&description, &definition, now_ms))?;
        Ok(Exit::Done)
    }
}

fn describe(sight: &Sight, definition: &Definition, now_ms: u64) -> Result<Description, Failure> {
    let (view, manifest) = (&sight.view, sight.manifest(definition));
    let fault =
        |error: &dyn std::error::Error| Failure::world("cannot write a manifest").because(error);
    let mut description = Description {
        manifest: manifest.to_json().map_err(|error| fault(&error))?,
        yaml: write_manifest(&manifest).map_err(|error| fault(&error))?,
        counts: None,
        carved: None,
        conditions: Vec::new(),
        holders: Vec::new(),
        more: 0,
    };
    let rows = rows(view)?;
    match definition {
        Definition::Pool(pool) => {
            let tally = tally(view, pool.name())?;
            let here = rows.into_iter().filter(|row| row.pool.as_ref() == Some(pool.name()));
            description.holders = here.collect();
            description.conditions = conditions(view, pool, &tally, &description.holders);
            description.counts = Some(tally);
        }
        Definition::Subnet(subnet) => {
            description.carved = Some(carved(view, subnet.name()));
            let pools = view.pools().into_iter().flatten();
            let children = pools.filter(|entry| entry.pool.subnet() == Some(subnet.name()));
            description.conditions = children
                .map(|entry| format!("pool {} has {}", entry.pool.name(), entry.pool.usable()))
                .collect();
        }
        Definition::Reservation(reservation) => {
            let held = rows.into_iter().filter(|row| {
                row.state == State::Allocated
                    && row.space == *reservation.space()
                    && reservation.addresses().contains(row.address)
            });
            description.holders = held.collect();
            description.conditions =
                description.holders.iter().map(|row| standing(row, now_ms)).collect();
        }
    }
    Ok(description)
}

fn standing(row: &Row, now_ms: u64) -> String {
    let span =
        row.since_ms.map(|since| show_span(now_ms.saturating_sub(since))).unwrap_or_default();
    format!(
        "{} was allocated before it was reserved ({span}), and stays with {}",
        row.address, row.owner
    )
}

/// What keeps a pool from giving addresses, and what is out of order in it.
fn conditions(view: &View, pool: &Pool, tally: &Tally, rows: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |is_so: bool, what: String| found.extend(is_so.then_some(what));
    note(
        pool.is_deleting(),
        "Deleting: it gives out nothing, and goes when it is empty".to_owned(),
    );
    note(pool.is_disabled(), "Disabled: it gives out nothing until `disable` is false".to_owned());
    note(tally.size == 0, "Empty: it has no addresses; add some to `ips`".to_owned());
    let is_full = tally.free == 0 && tally.size > 0;
    note(is_full, "Full: no address is free".to_owned());
    let quarantined = tally.quarantined;
    note(quarantined > 0, format!("Conflicts: {quarantined} addresses were seen in use by others"));
    let entry = view.pool(pool.name()).ok().flatten();
    let outside = rows.iter().filter(|row| {
        row.state == State::Allocated
            && !entry.is_some_and(|entry| entry.usable.contains(row.address))
    });
    let outside = outside.count();
    note(outside > 0, format!("Standing: {outside} allocations lie outside of what it gives out"));
    if found.is_empty() {
        found.push("Ready: it gives out addresses".to_owned());
    }
    found
}

fn print(description: &Description, definition: &Definition, now_ms: u64) -> String {
    let mut text = description.yaml.clone();
    if let Some(counts) = &description.counts {
        text.push_str(&format!("counts: {counts}\n"));
    }
    if let Some(carved) = description.carved {
        text.push_str(&format!("counts: {carved} addresses are in its pools\n"));
    }
    if !description.conditions.is_empty() {
        let title = if definition.kind() == Kind::Subnet { "pools:\n" } else { "conditions:\n" };
        text.push_str(title);
        for condition in &description.conditions {
            text.push_str(&format!("  {condition}\n"));
        }
    }
    if !description.holders.is_empty() {
        text.push_str("addresses:\n");
        text.push_str(&holders(&description.holders, now_ms).print(2));
    }
    if description.more > 0 {
        let (more, name) = (description.more, definition.name());
        text.push_str(&format!(
            "  and {more} more: spiderpoolctl ip list --pool {name} --state all\n"
        ));
    }
    text
}

fn holders(rows: &[Row], now_ms: u64) -> Table {
    let mut table = Table::new(&["ADDRESS", "STATE", "OWNER", "INTERFACE", "SINCE", "AGE"]);
    for row in rows {
        table.row([
            row.address.to_string(),
            row.state.word().to_owned(),
            row.owner.clone(),
            row.attachment.clone(),
            row.since_ms.map(show_time).unwrap_or_default(),
            row.since_ms.map(|since| show_span(now_ms.saturating_sub(since))).unwrap_or_default(),
        ]);
    }
    table
}
