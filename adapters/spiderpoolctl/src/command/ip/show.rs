//! `ip show`: all that is known of one address.

use crate::clock::show_time;
use crate::command::history::tenure_table;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{DEFAULT_SPACE, Row, parse_place, row_of};
use crate::session::Session;
use clap::Args;
use serde::Serialize;
use spiderpool_store::{Store, Tenure};

/// Show one address: its state, its holder, its witness and who had it before
#[derive(Debug, Args)]
#[command(
    long_about = "Show one address: its state, its holder, its witness and who had it before.\n\nThe witness is what the plugin noted of the pod's network namespace; `reclaim` judges it. On a cluster, its block, its pod and its endpoint are shown in their stead.",
    after_long_help = after!(
        "  spiderpoolctl ip show 10.1.2.3\n  \
           spiderpoolctl ip show fd00::7 -o json"
    )
)]
pub(crate) struct Show {
    /// The address
    address: String,
    /// Its address space
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "NAME")]
    space: String,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(rename = "address")]
    row: Row,
    /// As the plugin wrote it.
    witness: Option<String>,
    history: Vec<Tenure>,
    #[cfg(feature = "cluster")]
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    cluster: Option<crate::cluster::Facts>,
}

impl Show {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let place = parse_place(&self.address, &self.space)?;
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            let (row, facts) = crate::cluster::facts(session, &cluster, &place)?;
            let shown = Shown { row, witness: None, history: Vec::new(), cluster: Some(facts) };
            session.show(&shown, || print(&shown) + &print_facts(&shown))?;
            return Ok(Exit::Done);
        }
        let store = session.look()?;
        let row = row_of(&store.load_all()?, &place)?;
        let witness = witness(&store, &row)?;
        let history = store.tenures(&place)?;
        let shown = Shown {
            row,
            witness,
            history,
            #[cfg(feature = "cluster")]
            cluster: None,
        };
        session.show(&shown, || print(&shown))?;
        Ok(Exit::Done)
    }
}

fn witness(store: &Store, row: &Row) -> Result<Option<String>, Failure> {
    let all = store.witnesses()?;
    let ours = all.into_iter().find(|witness| {
        *witness.container == *row.container && *witness.attachment == *row.attachment
    });
    Ok(ours.map(|witness| witness.body))
}

/// What only a cluster knows.
#[cfg(feature = "cluster")]
fn print_facts(shown: &Shown) -> String {
    let Some(crate::cluster::Facts { block, pod, endpoint }) = &shown.cluster else {
        return String::new();
    };
    let gone = (!shown.row.pod_uid.is_empty()).then(|| "gone".to_owned());
    let lines = [
        ("block", Some(block.clone())),
        ("pod", pod.clone().or(gone)),
        ("endpoint", endpoint.clone()),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    lines.map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}

fn print(shown: &Shown) -> String {
    let Shown { row, witness, history, .. } = shown;
    let time = |at: Option<u64>| at.map(show_time).unwrap_or_default();
    let lines = [
        ("address", row.address.to_string()),
        ("state", row.state.word().to_owned()),
        ("space", row.space.to_string()),
        ("pool", row.pool.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("owner", row.owner.clone()),
        ("pod uid", row.pod_uid.clone()),
        ("container", row.container.clone()),
        ("interface", row.attachment.clone()),
        ("network", row.network.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("node", row.node.clone()),
        ("stage", row.stage.map(|stage| format!("{stage:?}").to_lowercase()).unwrap_or_default()),
        ("generation", row.generation.map(|number| number.to_string()).unwrap_or_default()),
        ("since", time(row.since_ms)),
        ("until", time(row.until_ms)),
        ("answered by", row.mac.clone().unwrap_or_default()),
        ("witness", witness.clone().unwrap_or_default()),
    ];
    let shown = lines.iter().filter(|(_, value)| !value.is_empty());
    let mut text: String = shown.map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    if !history.is_empty() {
        text.push_str("history\n");
        text.push_str(&tenure_table(history).print(2));
    }
    text
}
