//! `get`: lists definitions, as tables with their counts or as manifests.

use crate::copy::incomplete;
use crate::definition::{Definition, Kind};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::output::Format;
use crate::session::{Session, Sight};
use crate::table::Table;
use clap::Args;
use serde_json::{Value, json};
use spiderpool_core::definition::Pool;
use spiderpool_core::view::{Tally, View};
use spiderpool_kube::manifest::write_manifest;

/// List pools, subnets or reservations
///
/// Tables show the columns of the custom resources, and `-o wide` further ones. `-o yaml` and `-o json`
/// give the manifests themselves, which `apply` takes back.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl get pools\n  \
       spiderpoolctl get pools -o wide\n  \
       spiderpoolctl get pool blue -o yaml"
))]
pub(crate) struct Get {
    /// What to list: pools, subnets or reservations
    kind: Kind,
    /// Only these
    names: Vec<String>,
}

impl Get {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let sight = session.sight()?;
        let definitions = self.select(&sight.view)?;
        let text = match session.format {
            Format::Yaml => yaml(&sight, &definitions)?,
            Format::Json => json(&sight, &definitions, self.names.len() == 1)?,
            Format::Table | Format::Wide => table(session, &sight.view, self.kind, &definitions)?,
        };
        session.print(&text)?;
        Ok(Exit::Done)
    }

    fn select(&self, view: &View) -> Result<Vec<Definition>, Failure> {
        if self.names.is_empty() {
            return Ok(Definition::all(view, self.kind));
        }
        self.names.iter().map(|name| find(view, self.kind, name)).collect()
    }
}

/// The definition of that name, or a failure that lists the names there are.
pub(crate) fn find(view: &View, kind: Kind, name: &str) -> Result<Definition, Failure> {
    Definition::find(view, kind, name).ok_or_else(|| {
        let names: Vec<_> =
            Definition::all(view, kind).iter().map(|known| known.name().to_string()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Failure::bad(format!("there is no {kind} `{name}`")).try_this(format!("one of: {known}"))
    })
}

/// The manifests, divided as YAML divides documents.
pub(crate) fn yaml(sight: &Sight, definitions: &[Definition]) -> Result<String, Failure> {
    let texts = definitions.iter().map(|definition| {
        write_manifest(&sight.manifest(definition))
            .map_err(|error| Failure::world("cannot write a manifest").because(&error))
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("---\n"))
}

fn json(sight: &Sight, definitions: &[Definition], single: bool) -> Result<String, Failure> {
    let fault =
        |error: serde_json::Error| Failure::world("cannot write a manifest").because(&error);
    let items: Result<Vec<Value>, _> =
        definitions.iter().map(|definition| sight.manifest(definition).to_json()).collect();
    let mut items = items.map_err(fault)?;
    let value = match items.pop() {
        Some(item) if single => item,
        last => {
            items.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "items": items})
        }
    };
    serde_json::to_string_pretty(&value).map(|text| text + "\n").map_err(fault)
}

fn table(
    session: &Session,
    view: &View,
    kind: Kind,
    definitions: &[Definition],
) -> Result<String, Failure> {
    if definitions.is_empty() {
        session.note(&format!("there are no {kind}s"));
        return Ok(String::new());
    }
    let mut head = match kind {
        Kind::Pool => {
            vec!["NAME", "VERSION", "SUBNET", "ALLOCATED-IP-COUNT", "TOTAL-IP-COUNT", "DEFAULT"]
        }
        Kind::Subnet => vec!["NAME", "VERSION", "SUBNET", "ALLOCATED-IP-COUNT", "TOTAL-IP-COUNT"],
        Kind::Reservation => vec!["NAME", "VERSION", "TOTAL-IP-COUNT"],
    };
    if session.is_wide() {
        head.extend_from_slice(match kind {
            Kind::Pool => &[
                "DISABLE",
                "NODENAME",
                "MULTUSNAME",
                "FREE",
                "RESERVED",
                "COOLING",
                "QUARANTINED",
                "GATEWAY",
                "POLICY",
                "SPACE",
            ],
            Kind::Subnet => &["IPS", "SPACE"],
            Kind::Reservation => &["IPS", "SPACE"],
        });
    }
    let mut table = Table::new(&head);
    for definition in definitions {
        let (mut cells, wide) = row(view, definition)?;
        if session.is_wide() {
            cells.extend(wide);
        }
        table.row(cells);
    }
    Ok(table.print(0))
}

fn row(view: &View, definition: &Definition) -> Result<(Vec<String>, Vec<String>), Failure> {
    let name = definition.name().to_string();
    Ok(match definition {
        Definition::Pool(pool) => pool_row(pool, &tally(view, &name)?),
        Definition::Subnet(subnet) => {
            let family = subnet.family().version().to_string();
            let (prefix, usable) = (subnet.prefix().to_string(), subnet.usable());
            let carved = carved(view, &name).to_string();
            let cells = vec![name, family, prefix, carved, usable.count().to_string()];
            (cells, vec![usable.to_string(), subnet.space().to_string()])
        }
        Definition::Reservation(reservation) => {
            let addresses = reservation.addresses();
            let family = addresses.family().version().to_string();
            let cells = vec![name, family, addresses.count().to_string()];
            (cells, vec![addresses.to_string(), reservation.space().to_string()])
        }
    })
}

fn pool_row(pool: &Pool, tally: &Tally) -> (Vec<String>, Vec<String>) {
    let cells = vec![
        pool.name().to_string(),
        pool.family().version().to_string(),
        pool.prefix().to_string(),
        tally.allocated.to_string(),
        tally.size.to_string(),
        pool.is_default().to_string(),
    ];
    let wide = vec![
        pool.is_disabled().to_string(),
        pool.scope().node_names.join(","),
        pool.scope().networks.join(","),
        tally.free.to_string(),
        tally.reserved.to_string(),
        tally.cooling.to_string(),
        tally.quarantined.to_string(),
        pool.gateway().map(|gateway| gateway.to_string()).unwrap_or_default(),
        format!("{:?}", pool.policy()).to_lowercase(),
        pool.space().to_string(),
    ];
    (cells, wide)
}

/// The counts of a pool that exists.
pub(crate) fn tally(view: &View, pool: &str) -> Result<Tally, Failure> {
    let entry = view.pool(pool).map_err(|need| incomplete(&need))?;
    let tally = entry.map(|entry| view.tally(entry)).transpose();
    Ok(tally.map_err(|need| incomplete(&need))?.unwrap_or_default())
}

/// How many addresses of a subnet its pools have.
pub(crate) fn carved(view: &View, subnet: &str) -> u128 {
    let pools = view.pools().into_iter().flatten();
    let children = pools.filter(|entry| entry.pool.subnet().is_some_and(|name| **name == *subnet));
    children.map(|entry| entry.pool.usable().count()).sum()
}
