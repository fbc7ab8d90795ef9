//! A CNI call lifted to a request of the core.

use crate::conf::{Ipam, OwnerKind};
use crate::failure;
use crate::master;
use crate::session::{Attachment, Session, name};
use spiderpool_cni::{Call, CniError, NetConf, code};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{PoolNames, Request, Sources, Subject};
use spiderpool_kube::annotation::PodAnnotations;
use spiderpool_kube::cluster::request::{self, Configuration};
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// What an ADD asks for.
///
/// # Errors
/// Code 4, 6 or 7 for whatever in arguments, annotations or configuration cannot be used.
pub(crate) fn request(
    session: &Session,
    call: &Call<PathBuf>,
    conf: &NetConf,
    ticket: u64,
) -> Result<Request, CniError> {
    let ipam = &session.ipam;
    let Attachment { container, interface } = Attachment::of(call)?;
    let annotations = PodAnnotations::read(&conf.runtime.pod_annotations)
        .map_err(|error| failure::told(code::BAD_NETWORK_CONFIG, &error))?;
    let argument = |key: &str| call.args.get(key).filter(|value| !value.is_empty());
    let pod_uid = argument("K8S_POD_UID").map(|uid| name(uid)).transpose()?;
    let namespace = argument("K8S_POD_NAMESPACE").cloned().unwrap_or_default();
    let owner = owner(
        ipam,
        (pod_uid.as_ref(), &namespace, argument("K8S_POD_NAME")),
        (&session.network, &container),
    )?;
    let master = if ipam.match_master_subnet { Some(master::addresses(conf)?) } else { None };
    Ok(Request {
        holder: Holder { owner, pod_uid, container: Some(container), node: node(ipam)? },
        subject: Subject {
            networks: networks(&annotations, (ipam, conf), (&namespace, &interface)),
            namespace,
            ..Subject::default()
        },
        attachment: interface,
        network: session.network.clone(),
        routes: annotations.routes.clone(),
        sources: sources(annotations, ipam)?,
        named: named(call, conf)?,
        clean_gateway: ipam.clean_gateway,
        families: ipam.families.unwrap_or_default(),
        only: None,
        master,
        ticket,
    })
}

fn owner(
    ipam: &Ipam,
    (pod_uid, namespace, pod): (Option<&Name>, &str, Option<&String>),
    (network, container): (&Name, &Name),
) -> Result<Owner, CniError> {
    let owner = match (ipam.owner, pod, pod_uid) {
        (OwnerKind::Name, Some(pod), _) => {
            let identity =
                if namespace.is_empty() { pod.clone() } else { format!("{namespace}/{pod}") };
            Owner::identity(&name(&identity)?)
        }
        (OwnerKind::Name, None, _) => {
            let told = "`ipam.owner` is `name`, but CNI_ARGS has no K8S_POD_NAME; set it, or leave `owner` out";
            return Err(CniError::new(code::BAD_ENVIRONMENT, told));
        }
        (OwnerKind::Pod, _, Some(uid)) => Owner::pod(uid),
        (OwnerKind::Pod, _, None) => Owner::container(network, container),
    };
    owner.map_err(|error| failure::told(code::BAD_ENVIRONMENT, &error))
}

fn node(ipam: &Ipam) -> Result<Name, CniError> {
    if let Some(node) = &ipam.node_name {
        return name(node);
    }
    let read = fs::read_to_string("/proc/sys/kernel/hostname");
    let host = read.map_err(|error| failure::told(code::IO_FAILURE, &error))?;
    name(host.trim())
}

fn sources(annotations: PodAnnotations, ipam: &Ipam) -> Result<Sources, CniError> {
    let configured =
        PoolNames { v4: ipam.default_ipv4_ippool.clone(), v6: ipam.default_ipv6_ippool.clone() };
    request::sources(annotations, None, configured)
        .map_err(|error| failure::told(code::BAD_ENVIRONMENT, &error))
}

/// The addresses that were asked for by name: `IP=` in the arguments, the `ips` capability, and
/// `args.cni.ips`.
pub(crate) fn named(call: &Call<PathBuf>, conf: &NetConf) -> Result<Vec<IpAddr>, CniError> {
    let mut named: Vec<IpAddr> = conf.requested_ips()?.iter().map(|ip| ip.address).collect();
    let listed = call.args.get("IP").map(String::as_str).unwrap_or_default();
    for text in listed.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let ip: spiderpool_cni::RequestedIp = text.parse().map_err(|_| {
            let told = format!(
                "`IP={listed}` in CNI_ARGS: `{text}` is not an address; write `IP=10.1.2.3`"
            );
            CniError::new(code::BAD_ENVIRONMENT, told)
        })?;
        named.push(ip.address);
    }
    let mut unique = Vec::with_capacity(named.len());
    for address in named {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    Ok(unique)
}

/// Which network each interface comes from, as `namespace/name`: by the pod's annotations, and for
/// the interface that asks without them, by the name of the network's own configuration.
fn networks(
    annotations: &PodAnnotations,
    (ipam, conf): (&Ipam, &NetConf),
    (namespace, interface): (&str, &Name),
) -> BTreeMap<String, String> {
    let agent_namespace = ipam.agent_namespace.clone();
    let configuration = Configuration { agent_namespace, ..Configuration::default() };
    let mut networks = request::networks(annotations, namespace, &configuration);
    let own = || format!("{}/{}", ipam.agent_namespace, conf.name);
    networks.entry(interface.to_string()).or_insert_with(own);
    networks
}
