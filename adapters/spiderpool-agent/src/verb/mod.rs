//! What plugins ask of the agent: one file for each verb.
//!
//! A verb reads what it needs, asks the store, and lowers the answer. No rule about an address lives here.

pub(crate) mod add;
pub(crate) mod batch;
pub(crate) mod check;
pub(crate) mod conflict;
pub(crate) mod coordinator;
pub(crate) mod del;
pub(crate) mod endpoint;
pub(crate) mod gc;
pub(crate) mod status;

use crate::agent::{Agent, Session};
use crate::facts::Freshness;
use crate::failure::Failure;
use spiderpool_core::command::{Answer, Command, Standing};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::{EndpointFacts, EndpointKey};
use spiderpool_kube::cluster::port::Ask;
use spiderpool_kube::cluster::workload::Pod;
use std::sync::Arc;

/// Has a command decided, within a session's deadline.
async fn ask(
    agent: &Agent,
    session: &Session<'_>,
    command: Command,
    endpoint: Option<EndpointFacts>,
) -> Result<Answer, Failure> {
    let ask = Ask { command, endpoint, deadline_ms: session.deadline_ms };
    Ok(agent.store.ask(ask).await?)
}

/// What ended, as the store answers a release.
fn freed(answer: Answer) -> Result<Vec<Standing>, Failure> {
    let Answer::Freed(freed) = answer else { return Err(unexpected(&answer)) };
    Ok(freed)
}

/// An answer that does not belong to its command.
fn unexpected(answer: &Answer) -> Failure {
    tracing::error!(?answer, "the store gave an answer that does not belong to its command: a bug");
    Failure::new(
        spiderpool_agent_api::reason::INTERNAL,
        999,
        "the store gave an answer that does not belong to its command: a bug",
    )
}

/// A pod's key, if the runtime said which pod it is.
fn key(namespace: &str, name: &str) -> Result<Option<EndpointKey>, Failure> {
    if namespace.is_empty() || name.is_empty() {
        return Ok(None);
    }
    Ok(Some(EndpointKey { namespace: Name::new(namespace)?, name: Name::new(name)? }))
}

/// The pod of that name and UID, as last heard where that is the one, and live otherwise. Without a UID
/// only a live read can tell.
async fn pod(agent: &Agent, key: &EndpointKey, uid: &str) -> Result<Option<Arc<Pod>>, Failure> {
    if !uid.is_empty()
        && let Some(pod) = agent.facts.pod(key, Freshness::Cached).await?
        && pod.is(uid)
    {
        return Ok(Some(pod));
    }
    Ok(agent.facts.pod(key, Freshness::Live).await?)
}
