//! A plugin's ADD lifted to a request of the core, by the rules that all programs share
//! ([`spiderpool_kube::cluster::request`]).
//!
//! Invariant: a family that is switched off is not asked for
//! (`a_family_that_is_off_is_not_asked_for`, `default_pools_of_a_family_that_is_off_are_passed_over`).

use crate::agent::Site;
use crate::conf::Conf;
use crate::facts::Surroundings;
use crate::failure::Failure;
use crate::log::chain;
use spiderpool_agent_api::message::IpamAddArgs;
use spiderpool_core::label::Labels;
use spiderpool_core::name::Name;
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request};
use spiderpool_kube::annotation::PodAnnotations;
use spiderpool_kube::cluster::object::EndpointFacts;
use spiderpool_kube::cluster::request::{self, Attach, BadRequest, Configuration};
use spiderpool_kube::cluster::workload::{Identity, Pod, Reading, Switches};
use std::net::IpAddr;

/// The network's name where neither plugin nor pod says any.
const UNNAMED: &str = "unnamed";

/// What an ADD is lifted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) site: &'a Site,
    pub(crate) conf: &'a Conf,
    pub(crate) pod: &'a Pod,
    pub(crate) namespace: &'a Surroundings,
    pub(crate) node_labels: &'a Labels,
}

/// A request with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifted {
    pub(crate) request: Request,
    /// Whose the addresses are.
    pub(crate) identity: Identity,
    /// The endpoint of a static identity.
    pub(crate) endpoint: Option<EndpointFacts>,
    /// If this object exists, it is not asked whether another host has the addresses.
    pub(crate) migration: Option<Reading>,
}

/// The switches of static identities.
pub(crate) const fn switches(conf: &Conf) -> Switches {
    Switches {
        stateful_sets: conf.statics.stateful_sets,
        virtual_machines: conf.statics.virtual_machines,
    }
}

/// What an ADD asks for.
pub(crate) fn lift(ground: Ground<'_>, args: &IpamAddArgs, ticket: u64) -> Result<Lifted, Failure> {
    let Ground { site, conf, pod, .. } = ground;
    let configuration = Configuration {
        pools: PoolNames {
            v4: args.default_ipv4_ippool.clone(),
            v6: args.default_ipv6_ippool.clone(),
        },
        clean_gateway: args.clean_gateway,
        families: policy(conf, args)?,
        agent_namespace: site.namespace.clone(),
        cluster_network: conf.own.network.clone().or_else(|| site.network.clone()),
    };
    let (container, interface) = (Name::new(&args.container_id)?, Name::new(&args.if_name)?);
    let network = network(pod, args, &configuration)?;
    let master = master(args)?;
    let attach = Attach {
        container: &container,
        interface: &interface,
        network: &network,
        node: &site.node,
        pod_uid: Some(args.pod_uid.as_str()),
        addresses: &args.cni_args_ip.join(","),
        master: master.as_deref(),
        ticket,
    };
    let around = request::Surroundings {
        pod,
        namespace_labels: &ground.namespace.labels,
        namespace_annotations: &ground.namespace.annotations,
        node_labels: ground.node_labels,
    };
    let lifted = request::lift(&attach, &around, &configuration, switches(conf))?;
    let request::Lifted { mut request, identity, migration } = lifted;
    request.only = conf.families.only();
    let endpoint = identity.kind.map(|_| endpoint(ground, &identity));
    Ok(Lifted { request, identity, endpoint, migration })
}

impl From<BadRequest> for Failure {
    fn from(bad: BadRequest) -> Self {
        match bad {
            BadRequest::OtherPod { .. } | BadRequest::NotAlive { .. } => {
                Self::refused(bad.to_string())
            }
            BadRequest::Pod { .. }
            | BadRequest::Namespace { .. }
            | BadRequest::Address { .. }
            | BadRequest::Name { .. } => Self::bad(format!("wrong input: {}", chain(&bad))),
        }
    }
}

fn endpoint(ground: Ground<'_>, identity: &Identity) -> EndpointFacts {
    let controller = ground.pod.controller.as_ref();
    EndpointFacts {
        key: identity.endpoint.clone(),
        pod_uid: ground.pod.uid.to_string(),
        node: ground.site.node.to_string(),
        owner_kind: controller.map_or_else(|| "Pod".to_owned(), |owner| owner.kind.clone()),
        owner_name: controller.map_or(&ground.pod.name, |owner| &owner.name).to_string(),
    }
}

/// The name of the network: the plugin's, and of a plugin that says none the definition's that the pod
/// names for the interface.
fn network(pod: &Pod, args: &IpamAddArgs, configuration: &Configuration) -> Result<Name, Failure> {
    if let Some(network) = &args.network_name {
        return Ok(Name::new(network)?);
    }
    // Annotations that cannot be read are told by whoever needs them.
    let annotations = PodAnnotations::read(&pod.annotations).unwrap_or_default();
    let networks = request::networks(&annotations, &pod.namespace, configuration);
    Ok(Name::new(networks.get(&args.if_name).map_or(UNNAMED, String::as_str))?)
}

fn policy(conf: &Conf, args: &IpamAddArgs) -> Result<FamilyPolicy, Failure> {
    match args.families.as_deref() {
        None => Ok(conf.own.family_policy),
        Some("require") => Ok(FamilyPolicy::Require),
        Some("prefer") => Ok(FamilyPolicy::Prefer),
        Some(got) => Err(Failure::bad(format!("`families` is `{got}`; give require or prefer"))),
    }
}

fn master(args: &IpamAddArgs) -> Result<Option<Vec<IpAddr>>, Failure> {
    if !args.match_master_subnet {
        return Ok(None);
    }
    if args.master_addresses.is_empty() {
        return Err(Failure::bad(
            "`match_master_subnet` is set, and the plugin found no address of a master interface; does the network's configuration name one that has an address, and is the plugin as new as the agent?",
        ));
    }
    let parsed = args.master_addresses.iter().map(|text| {
        let bare = text.split_once('/').map_or(text.as_str(), |(bare, _)| bare);
        let told = || Failure::bad(format!("`masterAddresses` has `{text}`, which is no address"));
        bare.parse().map_err(|_| told())
    });
    parsed.collect::<Result<_, _>>().map(Some)
}
