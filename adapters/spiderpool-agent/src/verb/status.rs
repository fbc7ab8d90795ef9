//! STATUS: could an ADD be served?

use crate::agent::Agent;
use crate::failure::Failure;
use spiderpool_agent_api::message::{IpamStatus, IpamStatusQuery};
use spiderpool_agent_api::{ApiVersion, reason};

/// CNI spec 1.1.0, STATUS: "the plugin is not available (i.e. cannot service ADD requests)".
const NOT_AVAILABLE: u32 = 50;

pub(crate) async fn run(agent: &Agent, query: &IpamStatusQuery) -> Result<IpamStatus, Failure> {
    let ready = agent.health.ready();
    ready.map_err(|why| Failure::new(reason::NOT_READY, NOT_AVAILABLE, why))?;
    let mut missing_pools = Vec::new();
    for pool in &query.pools {
        if !agent.facts.has_pool(pool).await? {
            missing_pools.push(pool.clone());
        }
    }
    Ok(IpamStatus { missing_pools, api_version: ApiVersion::CURRENT })
}
