//! CHECK: what a container holds on an interface.

use crate::agent::Agent;
use crate::failure::Failure;
use crate::store::Held;
use spiderpool_agent_api::ApiVersion;
use spiderpool_agent_api::message::{IpConfig, IpamCheckArgs, IpamCheckResponse};
use spiderpool_core::name::Name;

pub(crate) async fn run(agent: &Agent, args: IpamCheckArgs) -> Result<IpamCheckResponse, Failure> {
    let container = Name::new(&args.container_id)?;
    let _session = agent.session(&args.container_id, args.deadline_ms).await?;
    let held = agent.store.held(&container).await?;
    let own = held.into_iter().filter(|held| *held.attachment == *args.if_name);
    Ok(IpamCheckResponse {
        ips: own.map(|held| lower(&held)).collect(),
        api_version: ApiVersion::CURRENT,
    })
}

fn lower(held: &Held) -> IpConfig {
    IpConfig {
        version: if held.address.addr().is_ipv4() { 4 } else { 6 },
        address: held.address.to_string(),
        nic: held.attachment.to_string(),
        ip_pool: Some(held.pool.to_string()),
        gateway: held.gateway.map(|gateway| gateway.to_string()),
        space: Some(held.space.to_string()),
        generation: Some(held.generation),
        kept: true,
        ..IpConfig::default()
    }
}
