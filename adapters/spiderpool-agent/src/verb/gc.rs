//! GC: what a network's attachments hold goes back unless they are listed.

use super::{ask, freed};
use crate::agent::{Agent, Session};
use crate::failure::Failure;
use spiderpool_agent_api::ApiVersion;
use spiderpool_agent_api::message::{Freed, IpamGcArgs, IpamGcResponse};
use spiderpool_core::command::{Collect, Command, Standing};
use spiderpool_core::name::Name;
use std::collections::BTreeSet;

/// The turn of collections, which are of no container: no container's id begins so.
const TURN: &str = "-gc-";

pub(crate) async fn run(agent: &Agent, args: IpamGcArgs) -> Result<IpamGcResponse, Failure> {
    let network = Name::new(&args.network_name)?;
    let mut keep = BTreeSet::new();
    for attachment in args.valid_attachments.unwrap_or_default() {
        keep.insert((Name::new(&attachment.container_id)?, Name::new(&attachment.if_name)?));
    }
    let session: Session<'_> = agent.session(TURN, args.deadline_ms).await?;
    let command = Command::Collect(Collect { network, keep });
    let freed = freed(ask(agent, &session, command, None).await?)?;
    tracing::info!(network = args.network_name, count = freed.len(), "GC");
    let freed = freed.into_iter().map(lower).collect();
    Ok(IpamGcResponse { freed, api_version: ApiVersion::CURRENT })
}

fn lower(standing: Standing) -> Freed {
    Freed {
        address: standing.place.address.to_string(),
        owner: standing.owner,
        container_id: standing.container,
    }
}
