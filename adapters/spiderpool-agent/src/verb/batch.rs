//! `DELETE /ipam/ips`: an ADD has failed after it was granted addresses, which go back although the pod
//! lives.
//!
//! The guards are on this side, whatever the plugin says: a static identity keeps its address (522), and
//! where giving back conflicting addresses is switched off, that is refused (521).

use super::{ask, del, freed, key, pod};
use crate::agent::Agent;
use crate::failure::Failure;
use crate::lift::switches;
use crate::metrics::Outcome;
use del::Released;
use serde_json::{Value, json};
use spiderpool_agent_api::message::IpamBatchDelArgs;
use spiderpool_agent_api::{ApiVersion, reason, status};
use spiderpool_core::command::{Command, Release};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::workload::Identity;
use std::time::{Duration, Instant};

pub(crate) async fn run(agent: &Agent, args: IpamBatchDelArgs) -> Result<Value, Failure> {
    let begun = Instant::now();
    let mut waited = Duration::ZERO;
    let answer = serve(agent, &args, &mut waited).await;
    let outcome = answer.as_ref().map_or_else(|failure| failure.outcome, |_| Outcome::Done);
    agent.metrics.released(outcome, waited, begun.elapsed());
    del::log("giving back after a failed ADD", &args.who, &answer);
    answer.map(|_| json!({}))
}

async fn serve(
    agent: &Agent,
    args: &IpamBatchDelArgs,
    waited: &mut Duration,
) -> Result<Released, Failure> {
    let who = &args.who;
    let session = agent.session(&who.container_id, who.deadline_ms).await?;
    *waited = session.waited;
    if args.is_release_conflict_ips && !agent.site.releases_conflicts {
        return Err(forbidden(
            status::FORBIDDEN_STATELESS,
            "forbid releasing IPs for stateless workload: SPIDERPOOL_ENABLED_RELEASE_CONFLICT_IPS is false",
        ));
    }
    let pod = match key(&who.pod_namespace, &who.pod_name)? {
        Some(key) => pod(agent, &key, &who.pod_uid).await?,
        None => None,
    };
    let same = pod.filter(|pod| who.pod_uid.is_empty() || pod.is(&who.pod_uid));
    if let Some(pod) = same
        && Identity::of(&pod, switches(&agent.conf())).kind.is_some()
    {
        return Err(forbidden(
            status::FORBIDDEN_STATEFUL,
            "forbid releasing IPs for stateful workload: a static identity keeps its addresses",
        ));
    }
    // The reference gives back all of the pod's; from version 2 on, only what is named.
    let all = who.api_version == ApiVersion::FIRST;
    let attachment = if all { None } else { Some(Name::new(&who.if_name)?) };
    let container = Name::new(&who.container_id)?;
    let release = Release { container, attachment, ticket: session.turn.ticket };
    let answer = ask(agent, &session, Command::Release(release), None).await?;
    freed(answer).map(Released::Freed)
}

fn forbidden(status: u16, message: &str) -> Failure {
    Failure::new(reason::FORBIDDEN, 101, message).with_status(status)
}
