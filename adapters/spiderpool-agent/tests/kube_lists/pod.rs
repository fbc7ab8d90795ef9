//! Pods, and what a plugin asks of their node's agent.

use crate::room::{eventually, room};
use serde_json::Value;
use spiderpool_agent_api::message::{IpamAddArgs, IpamAddResponse, IpamBatchDelArgs, IpamDelArgs};
use spiderpool_agent_api::{AgentFault, ApiVersion, ErrorBody};
use std::time::{Duration, Instant};

/// A pod that is on a node, with its sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) container: String,
}

/// What an agent said to an ADD.
pub(crate) type Answer = Result<IpamAddResponse, AgentFault>;

impl Pod {
    /// The pod of a JSON, with its first sandbox.
    pub(crate) fn of(json: &Value) -> Self {
        let text =
            |path: &str| json.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let uid = text("/metadata/uid");
        Self {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            node: text("/spec/nodeName"),
            container: format!("c-{uid}"),
            uid,
        }
    }

    /// The same pod in another sandbox.
    pub(crate) fn again(&self) -> Self {
        Self { container: format!("{}-again", self.container), ..self.clone() }
    }

    /// What a plugin asks for one of its interfaces.
    pub(crate) fn request(&self, nic: &str) -> IpamAddArgs {
        IpamAddArgs {
            container_id: self.container.clone(),
            if_name: nic.to_owned(),
            net_namespace: format!("/var/run/netns/{}", self.container),
            pod_namespace: self.namespace.clone(),
            pod_name: self.name.clone(),
            pod_uid: self.uid.clone(),
            api_version: ApiVersion::CURRENT,
            network_name: Some("lists".to_owned()),
            ..IpamAddArgs::default()
        }
    }

    /// One ADD.
    pub(crate) fn ask(&self, request: &IpamAddArgs) -> Answer {
        let client = room().client(&self.node);
        let deadline_ms = Some(client.deadline_ms());
        client.add(&IpamAddArgs { deadline_ms, ..request.clone() })
    }

    /// ADDs until one is granted, as a kubelet does: a definition that was made a moment ago reaches an
    /// agent a moment later.
    #[track_caller]
    pub(crate) fn add_with(&self, request: &IpamAddArgs) -> IpamAddResponse {
        let begun = Instant::now();
        loop {
            match self.ask(request) {
                Ok(reply) => return reply,
                Err(fault) if begun.elapsed() > Duration::from_secs(20) => {
                    panic!("{}: {fault}\n{}", self.name, room().log(&self.node))
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// An ADD for an interface that is granted.
    #[track_caller]
    pub(crate) fn add(&self, nic: &str) -> IpamAddResponse {
        self.add_with(&self.request(nic))
    }

    /// ADDs that are all refused, until the reason is the expected one.
    pub(crate) fn refused_with(&self, request: &IpamAddArgs, expected: &str) -> ErrorBody {
        let mut said = String::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            match self.ask(request) {
                Ok(reply) => {
                    panic!("{} was granted {:?}, not refused: {expected}", self.name, reply.ips)
                }
                Err(AgentFault::Refused { body, .. }) if body.message.contains(expected) => {
                    return *body;
                }
                Err(fault) => said = fault.to_string(),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} was told `{said}`, not `{expected}`", self.name)
    }

    /// An ADD for an interface that is refused for a reason.
    pub(crate) fn refused(&self, nic: &str, expected: &str) -> ErrorBody {
        self.refused_with(&self.request(nic), expected)
    }

    /// A DEL for one of its interfaces, which is answered with success.
    pub(crate) fn del(&self, nic: &str) {
        let args = self.going(nic);
        let done = || room().client(&self.node).release(&args).ok();
        eventually(&format!("DEL of {}", self.name), done);
    }

    /// What a plugin does after an ADD that it cannot use.
    pub(crate) fn give_back(&self, nic: &str) {
        let args = IpamBatchDelArgs { who: self.going(nic), is_release_conflict_ips: false };
        room().client(&self.node).give_back(&args).unwrap();
    }

    fn going(&self, nic: &str) -> IpamDelArgs {
        IpamDelArgs {
            container_id: self.container.clone(),
            if_name: nic.to_owned(),
            pod_namespace: self.namespace.clone(),
            pod_name: self.name.clone(),
            pod_uid: self.uid.clone(),
            api_version: ApiVersion::CURRENT,
            ..IpamDelArgs::default()
        }
    }
}

/// The addresses of an interface, with the length of their prefixes.
pub(crate) fn addresses(reply: &IpamAddResponse, nic: &str) -> Vec<String> {
    of_nic(reply, nic, |ip| ip.address.clone())
}

/// The pools that they are of.
pub(crate) fn pools(reply: &IpamAddResponse, nic: &str) -> Vec<String> {
    of_nic(reply, nic, |ip| ip.ip_pool.clone().unwrap_or_default())
}

fn of_nic(
    reply: &IpamAddResponse,
    nic: &str,
    show: impl Fn(&spiderpool_agent_api::message::IpConfig) -> String,
) -> Vec<String> {
    reply.ips.iter().filter(|ip| ip.nic == nic).map(show).collect()
}

/// The routes of an interface, each as `DST via GW`.
pub(crate) fn routes(reply: &IpamAddResponse, nic: &str) -> Vec<String> {
    let routes = reply.routes.iter().filter(|route| route.if_name == nic);
    let mut routes: Vec<_> =
        routes.map(|route| format!("{} via {}", route.dst, route.gw)).collect();
    routes.sort();
    routes
}
