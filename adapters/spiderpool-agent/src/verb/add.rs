//! ADD: addresses for one interface of a pod.

use super::{ask, key, pod, unexpected};
use crate::agent::{Agent, Session};
use crate::conf::Conf;
use crate::failure::Failure;
use crate::herald::{About, Told, Weight};
use crate::lift::{Ground, lift};
use crate::metrics::Outcome;
use spiderpool_agent_api::message::{IpConfig, IpamAddArgs, IpamAddResponse, Route};
use spiderpool_agent_api::{ApiVersion, reason};
use spiderpool_core::address::Family;
use spiderpool_core::command::{Allocated, Answer, Command, Granted};
use spiderpool_core::definition::Route as CoreRoute;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::workload::Pod;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) async fn run(agent: &Agent, args: IpamAddArgs) -> Result<IpamAddResponse, Failure> {
    let begun = Instant::now();
    let mut waited = Duration::ZERO;
    let answer = serve(agent, &args, &mut waited).await;
    let outcome = answer.as_ref().map_or_else(|failure| failure.outcome, |_| Outcome::Done);
    agent.metrics.allocated(outcome, waited, begun.elapsed());
    log(&args, &answer, begun.elapsed());
    answer
}

#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
fn log(args: &IpamAddArgs, answer: &Result<IpamAddResponse, Failure>, took: Duration) {
    let IpamAddArgs { container_id, if_name, pod_namespace, pod_name, .. } = args;
    let pod = format!("{pod_namespace}/{pod_name}");
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match answer {
        Ok(reply) => {
            let own = reply.ips.iter().filter(|ip| ip.nic == *if_name);
            let addresses: Vec<_> = own.map(|ip| ip.address.as_str()).collect();
            let addresses = addresses.join(",");
            tracing::info!(pod, container_id, if_name, addresses, took_ms, "ADD");
        }
        Err(failure) => {
            let why = &failure.body.message;
            tracing::warn!(pod, container_id, if_name, why, took_ms, "ADD failed");
        }
    }
}

async fn serve(
    agent: &Agent,
    args: &IpamAddArgs,
    waited: &mut Duration,
) -> Result<IpamAddResponse, Failure> {
    let Some(key) = key(&args.pod_namespace, &args.pod_name)? else {
        return Err(Failure::bad("the runtime did not say which pod it is"));
    };
    let session = agent.session(&args.container_id, args.deadline_ms).await?;
    *waited = session.waited;
    let pod = pod(agent, &key, &args.pod_uid).await?;
    let pod = admitted(agent, &key, pod)?;
    let answer = grant(agent, &session, args, &pod).await;
    if let Err(failure) = &answer {
        tell(agent, &pod, args, failure);
    }
    answer
}

/// The pod, if there is one, and on this node.
fn admitted(agent: &Agent, key: &EndpointKey, pod: Option<Arc<Pod>>) -> Result<Arc<Pod>, Failure> {
    let Some(pod) = pod else {
        return Err(Failure::refused(format!(
            "there is no pod {key}; it was deleted while its sandbox was made"
        )));
    };
    match &pod.node {
        Some(node) if *node != agent.site.node => Err(Failure::refused(format!(
            "pod {key} belongs to node {node}, and this is the agent of {}",
            agent.site.node
        ))),
        Some(_) | None => Ok(pod),
    }
}

async fn grant(
    agent: &Agent,
    session: &Session<'_>,
    args: &IpamAddArgs,
    pod: &Pod,
) -> Result<IpamAddResponse, Failure> {
    let conf = agent.conf();
    let namespace = agent.facts.namespace(&pod.namespace).await?.unwrap_or_default();
    let node_labels = agent.facts.node_labels().await?;
    let ground = Ground {
        site: &agent.site,
        conf: &conf,
        pod,
        namespace: &namespace,
        node_labels: &node_labels,
    };
    let lifted = lift(ground, args, session.turn.ticket)?;
    let is_moving = match &lifted.migration {
        Some(reading) => agent.facts.object(reading).await?.is_some(),
        None => false,
    };
    let command = Command::Allocate(lifted.request);
    let answer = ask(agent, session, command, lifted.endpoint).await?;
    let Answer::Allocated(allocated) = answer else { return Err(unexpected(&answer)) };
    agent.outbox.mark(pod, &allocated, Agent::moment()?.now_ms);
    lower(&conf, args, &allocated, is_moving)
}

fn lower(
    conf: &Conf,
    args: &IpamAddArgs,
    allocated: &Allocated,
    is_moving: bool,
) -> Result<IpamAddResponse, Failure> {
    let is_own = |granted: &Granted| *granted.demand.attachment == *args.if_name;
    if !allocated.addresses.iter().any(is_own) {
        return Err(Failure::new(
            reason::NO_ADDRESS,
            100,
            format!(
                "no address for interface `{}`: every pool that is named for it is of a family that is switched off",
                args.if_name
            ),
        ));
    }
    let detection = conf.detection;
    let ips = allocated.addresses.iter().map(|granted| IpConfig {
        version: match granted.demand.family {
            Family::V4 => 4,
            Family::V6 => 6,
        },
        address: granted.address.to_string(),
        nic: granted.demand.attachment.to_string(),
        ip_pool: Some(granted.pool.to_string()),
        gateway: granted.gateway.map(|gateway| gateway.to_string()),
        vlan: 0,
        mac: None,
        enable_gateway_detection: detection.gateway,
        enable_ip_conflict_detection: detection.conflict && !is_moving,
        space: Some(granted.space.to_string()),
        generation: Some(granted.generation),
        kept: granted.kept,
    });
    let routes = allocated.routes.iter().map(|placed| Route {
        if_name: placed.attachment.to_string(),
        dst: placed.route.dst.to_string(),
        gw: placed.route.gw.to_string(),
    });
    Ok(IpamAddResponse {
        ips: ips.collect(),
        routes: routes.collect(),
        dns: None,
        api_version: ApiVersion::CURRENT,
        warnings: allocated.unplaced.iter().map(unplaced).collect(),
    })
}

fn unplaced(route: &CoreRoute) -> String {
    format!(
        "the route to {} is left out: no interface of the pod has its gateway {} in its prefix",
        route.dst, route.gw
    )
}

/// Says on the pod why it has no address.
fn tell(agent: &Agent, pod: &Pod, args: &IpamAddArgs, failure: &Failure) {
    let reason = match failure.outcome {
        Outcome::NoPool | Outcome::Full => "NoAddress",
        Outcome::Done | Outcome::Exhausted | Outcome::Internal => "AddressNotAssigned",
    };
    agent.herald.tell(Told {
        about: About::Pod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.to_string(),
        },
        weight: Weight::Warning,
        reason,
        text: format!("interface {}: {}", args.if_name, failure.body.message),
    });
}
