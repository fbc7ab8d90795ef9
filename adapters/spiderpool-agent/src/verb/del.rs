//! DEL: what a container holds on an interface goes back, unless its pod lives on.

use super::{ask, freed, key};
use crate::agent::Agent;
use crate::facts::Freshness;
use crate::failure::Failure;
use crate::metrics::Outcome;
use serde_json::{Value, json};
use spiderpool_agent_api::message::IpamDelArgs;
use spiderpool_core::command::{Command, Release, Standing};
use spiderpool_core::name::Name;
use std::time::{Duration, Instant};

pub(crate) async fn run(agent: &Agent, args: IpamDelArgs) -> Result<Value, Failure> {
    let begun = Instant::now();
    let mut waited = Duration::ZERO;
    let answer = serve(agent, &args, &mut waited).await;
    let outcome = answer.as_ref().map_or_else(|failure| failure.outcome, |_| Outcome::Done);
    agent.metrics.released(outcome, waited, begun.elapsed());
    log("DEL", &args, &answer);
    answer.map(|_| json!({}))
}

/// What a release came to.
#[derive(Debug)]
pub(crate) enum Released {
    /// The pod lives on, and keeps its addresses.
    Kept,
    /// These are free.
    Freed(Vec<Standing>),
}

#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
pub(crate) fn log(verb: &str, args: &IpamDelArgs, answer: &Result<Released, Failure>) {
    let IpamDelArgs { container_id, if_name, pod_namespace, pod_name, .. } = args;
    let pod = format!("{pod_namespace}/{pod_name}");
    match answer {
        Ok(Released::Kept) => {
            tracing::info!(
                pod,
                container_id,
                if_name,
                "{verb}: the pod lives on and keeps its addresses"
            );
        }
        Ok(Released::Freed(freed)) => {
            let addresses: Vec<_> = freed.iter().map(|s| s.place.address.to_string()).collect();
            tracing::info!(pod, container_id, if_name, freed = addresses.join(","), "{verb}");
        }
        Err(failure) => {
            tracing::warn!(pod, container_id, if_name, why = failure.body.message, "{verb} failed");
        }
    }
}

async fn serve(
    agent: &Agent,
    args: &IpamDelArgs,
    waited: &mut Duration,
) -> Result<Released, Failure> {
    let session = agent.session(&args.container_id, args.deadline_ms).await?;
    *waited = session.waited;
    if lives_on(agent, args).await? {
        return Ok(Released::Kept);
    }
    let release = Release {
        container: Name::new(&args.container_id)?,
        attachment: Some(Name::new(&args.if_name)?),
        ticket: session.turn.ticket,
    };
    let answer = ask(agent, &session, Command::Release(release), None).await?;
    freed(answer).map(Released::Freed)
}

/// Whether the live object says that the same pod goes on, in another sandbox: it is there, with the same
/// UID, neither told to go nor finished. Where the runtime gave no UID, the name has to do: what is kept in
/// error is reclaimed later, what is given away in error is not.
async fn lives_on(agent: &Agent, args: &IpamDelArgs) -> Result<bool, Failure> {
    let Some(key) = key(&args.pod_namespace, &args.pod_name)? else { return Ok(false) };
    let Some(pod) = agent.facts.pod(&key, Freshness::Live).await? else { return Ok(false) };
    let is_same = args.pod_uid.is_empty() || pod.is(&args.pod_uid);
    Ok(is_same && pod.is_alive() && !pod.is_finished())
}
