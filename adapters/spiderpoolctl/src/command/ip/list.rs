//! `ip list`: every address that is not simply free.

use crate::clock::{show_span, show_time};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{Row, State, rows};
use crate::session::Session;
use crate::table::Table;
use clap::{Args, ValueEnum};

/// List addresses that are allocated, resting or in quarantine
#[derive(Debug, Args)]
#[command(
    long_about = "List addresses that are allocated, resting or in quarantine.\n\nEvery argument narrows the list; -o wide shows container, network, generation and stage.",
    after_long_help = after!(
        "  spiderpoolctl ip list --pool blue\n  \
           spiderpoolctl ip list --owner container/lab --state all\n  \
           spiderpoolctl ip list -o json"
    )
)]
pub(crate) struct List {
    /// Only of this pool
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Only of owners whose text contains this
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Only of this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only of this space
    #[arg(long, value_name = "NAME")]
    space: Option<String>,
    /// Only in this state
    #[arg(long, value_enum, default_value_t, value_name = "STATE")]
    state: Wanted,
}

/// The states that can be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Wanted {
    #[default]
    Allocated,
    Cooling,
    Quarantined,
    All,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let view = session.view()?;
        let mut rows = rows(&view)?;
        rows.retain(|row| self.admits(row));
        let now_ms = session.moment().now_ms;
        session.show(&rows, || print(&rows, session.is_wide(), now_ms))?;
        if rows.is_empty() && !is_for_programs(session) {
            session.note("there is no such address");
        }
        Ok(Exit::Done)
    }

    fn admits(&self, row: &Row) -> bool {
        let state = match self.state {
            Wanted::All => true,
            Wanted::Allocated => row.state == State::Allocated,
            Wanted::Cooling => row.state == State::Cooling,
            Wanted::Quarantined => row.state == State::Quarantined,
        };
        state
            && self.pool.as_ref().is_none_or(|pool| row.pool.as_deref() == Some(pool))
            && self.owner.as_ref().is_none_or(|owner| row.owner.contains(owner))
            && self.node.as_ref().is_none_or(|node| row.node == *node)
            && self.space.as_ref().is_none_or(|space| *row.space == **space)
    }
}

fn is_for_programs(session: &Session) -> bool {
    use crate::output::Format;
    matches!(session.format, Format::Json | Format::Yaml)
}

fn print(rows: &[Row], is_wide: bool, now_ms: u64) -> String {
    let mut head = vec!["ADDRESS", "STATE", "POOL", "OWNER", "INTERFACE", "NODE", "AGE"];
    if is_wide {
        head.extend([
            "CONTAINER",
            "POD-UID",
            "NETWORK",
            "STAGE",
            "GENERATION",
            "SINCE",
            "UNTIL",
            "MAC",
            "SPACE",
        ]);
    }
    let mut table = Table::new(&head);
    for row in rows {
        let mut cells = vec![
            row.address.to_string(),
            row.state.word().to_owned(),
            row.pool.as_ref().map(ToString::to_string).unwrap_or_default(),
            row.owner.clone(),
            row.attachment.clone(),
            row.node.clone(),
            row.since_ms.map(|since| show_span(now_ms.saturating_sub(since))).unwrap_or_default(),
        ];
        if is_wide {
            cells.extend(further(row));
        }
        table.row(cells);
    }
    if table.is_empty() { String::new() } else { table.print(0) }
}

fn further(row: &Row) -> [String; 9] {
    [
        row.container.clone(),
        row.pod_uid.clone(),
        row.network.as_ref().map(ToString::to_string).unwrap_or_default(),
        row.stage.map(|stage| format!("{stage:?}").to_lowercase()).unwrap_or_default(),
        row.generation.map(|generation| generation.to_string()).unwrap_or_default(),
        row.since_ms.map(show_time).unwrap_or_default(),
        row.until_ms.map(show_time).unwrap_or_default(),
        row.mac.clone().unwrap_or_default(),
        row.space.to_string(),
    ]
}
