//! What a pod's request is made of: everything that its node's agent would know.
//!
//! Invariant: what lies on the node alone, and was not given, is told
//! (`tests/kube`: `commands_on_a_cluster`).

use super::super::api::kind_path;
use super::super::fault::Fault;
use super::super::pods::Agents;
use super::super::{AGENT_NAMESPACE, Cluster};
use crate::failure::Failure;
use crate::listing::parse_name;
use crate::request::{Ipam, NetworkConf, RequestArgs};
use serde_json::Value;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources};
use spiderpool_core::view::View;
use spiderpool_kube::annotation::PodAnnotations;
use spiderpool_kube::cluster::request::{
    Attach, Configuration, FIRST_INTERFACE, Surroundings, lift, networks,
};
use spiderpool_kube::cluster::workload::{Identity, Pod};
use std::collections::BTreeMap;

type Texts = BTreeMap<String, String>;

/// Where a pod is, and what it is told there.
#[derive(Clone, Debug)]
pub(super) struct Site {
    agents: Agents,
    /// The labels and the annotations of its namespace.
    namespace: (Texts, Texts),
    node_labels: Texts,
    /// The interfaces in the order of their ADDs, each with its network, as far as that is known.
    interfaces: Vec<(String, Option<String>)>,
    /// What the configuration of an interface's network names.
    configured: BTreeMap<String, Ipam>,
    /// Why the configuration of an interface's network is not known.
    missing: BTreeMap<String, String>,
    pub(super) workload: String,
    pub(super) notes: Vec<String>,
}

impl Site {
    /// Reads everything but the pod.
    pub(super) fn read(
        cluster: &Cluster,
        pod: &Pod,
        (args, view): (&RequestArgs, &View),
    ) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        let agents = cluster.agents(&mut notes)?;
        let workload = workload(cluster, pod, &mut notes)?;
        let mut site = Self {
            namespace: cluster.namespace(&pod.namespace)?,
            node_labels: cluster.node_labels(pod, &mut notes)?,
            interfaces: interfaces(&agents, pod),
            configured: BTreeMap::new(),
            missing: BTreeMap::new(),
            agents,
            workload,
            notes,
        };
        site.configure(cluster, args, view)?;
        Ok(site)
    }

    /// Reads the configuration of each network, and takes that of the first from the arguments.
    fn configure(
        &mut self,
        cluster: &Cluster,
        args: &RequestArgs,
        view: &View,
    ) -> Result<(), Failure> {
        let (_, mut given) = args.read_conf()?;
        let named = args.named_pools(view);
        given.default_ipv4_ippool.extend(named.v4);
        given.default_ipv6_ippool.extend(named.v6);
        for (interface, network) in self.interfaces.clone() {
            let is_given = interface == FIRST_INTERFACE && given != Ipam::default();
            let ipam = match network.as_deref() {
                _ if is_given => Some(given.clone()),
                Some(network) => cluster.network_ipam(network)?,
                None => None,
            };
            match ipam {
                Some(ipam) => drop(self.configured.insert(interface, ipam)),
                None => {
                    let why = match network {
                        Some(network) => format!(
                            "the configuration of network {network} of {interface} is not in the cluster, or must not be read: what it asks for is left out"
                        ),
                        None => format!(
                            "the configuration of {interface} lies on the node: if it names pools, give it with --conf"
                        ),
                    };
                    self.missing.insert(interface, why);
                }
            }
        }
        Ok(())
    }

    /// Whose the pod's addresses are.
    pub(super) fn owner(&self, pod: &Pod) -> Result<Owner, Failure> {
        let identity = Identity::of(pod, self.agents.switches);
        identity.owner().map_err(|bad| Failure::bad("the pod's name is too long").because(&bad))
    }

    /// The interfaces of the pod, in the order of their ADDs.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().map(|(interface, _)| interface.as_str())
    }

    /// What the agent asks the core for one interface; the inner error is what the pod is told instead.
    pub(super) fn request(
        &self,
        pod: &Pod,
        interface: &str,
    ) -> Result<Result<Request, String>, Failure> {
        let network = self.interfaces.iter().find(|(name, _)| name == interface);
        let network = network.and_then(|(_, network)| network.as_deref()).unwrap_or("unnamed");
        let ipam = self.configured.get(interface).cloned().unwrap_or_default();
        let attach = Attach {
            container: &parse_name("container", "explained")?,
            interface: &parse_name("interface", interface)?,
            network: &parse_name("network", network)?,
            node: &pod.node.clone().map_or_else(|| parse_name("node", "none"), Ok)?,
            pod_uid: None,
            addresses: "",
            master: None,
            ticket: u64::MAX,
        };
        let around = Surroundings {
            pod,
            namespace_labels: &self.namespace.0,
            namespace_annotations: &self.namespace.1,
            node_labels: &self.node_labels,
        };
        let configuration = Configuration {
            pools: PoolNames { v4: ipam.default_ipv4_ippool, v6: ipam.default_ipv6_ippool },
            clean_gateway: ipam.clean_gateway,
            families: FamilyPolicy::default(),
            agent_namespace: AGENT_NAMESPACE.to_owned(),
            cluster_network: self.agents.network.clone(),
        };
        Ok(match lift(&attach, &around, &configuration, self.agents.switches) {
            Ok(mut lifted) => {
                lifted.request.only = self.agents.only;
                Ok(lifted.request)
            }
            Err(bad) => Err(super::super::fault::chain(&bad)),
        })
    }

    /// What is not known of an interface and would have a say in its request.
    pub(super) fn unknown(&self, interface: &str, sources: &Sources) -> Option<&str> {
        let is_silent =
            sources.per_nic.is_some() || sources.pod.is_some() || sources.namespace.is_some();
        self.missing.get(interface).filter(|_| !is_silent).map(String::as_str)
    }
}

fn workload(cluster: &Cluster, pod: &Pod, notes: &mut Vec<String>) -> Result<String, Failure> {
    Ok(match cluster.workload(pod)? {
        Ok(workload) if workload.chain.is_empty() => "nothing".to_owned(),
        Ok(workload) => {
            let chain = workload.chain.iter().map(|(kind, name)| format!("{kind} {name}"));
            chain.collect::<Vec<_>>().join(", ")
        }
        Err(why) => {
            notes.push(why);
            "an owner that cannot be told".to_owned()
        }
    })
}

/// Annotations that cannot be read name no networks; the request says what is wrong with them.
fn interfaces(agents: &Agents, pod: &Pod) -> Vec<(String, Option<String>)> {
    let annotations = PodAnnotations::read(&pod.annotations).unwrap_or_default();
    let configuration = Configuration {
        agent_namespace: AGENT_NAMESPACE.to_owned(),
        cluster_network: agents.network.clone(),
        ..Configuration::default()
    };
    let networks = networks(&annotations, &pod.namespace, &configuration);
    let further = (1..)
        .zip(&annotations.networks)
        .map(|(at, network)| network.interface.clone().unwrap_or_else(|| format!("net{at}")));
    let named = std::iter::once(FIRST_INTERFACE.to_owned()).chain(further);
    named.map(|interface| (interface.clone(), networks.get(&interface).cloned())).collect()
}

impl Cluster {
    fn namespace(&self, name: &Name) -> Result<(Texts, Texts), Failure> {
        let json = self.core(("namespaces", "namespace"), None, name)?.unwrap_or_default();
        Ok((texts(&json, "/metadata/labels"), texts(&json, "/metadata/annotations")))
    }

    fn node_labels(&self, pod: &Pod, notes: &mut Vec<String>) -> Result<Texts, Failure> {
        let Some(node) = &pod.node else {
            notes.push(
                "it has no node yet: pools that ask for one are weighed as for none".to_owned(),
            );
            return Ok(Texts::default());
        };
        let json = self.core(("nodes", "node"), None, node)?;
        if json.is_none() {
            notes.push(format!("node {node} does not exist"));
        }
        Ok(texts(&json.unwrap_or_default(), "/metadata/labels"))
    }

    /// What the configuration of a network asks of IPAM; `None` when there is no such configuration, or
    /// it is in a file on the node.
    fn network_ipam(&self, network: &str) -> Result<Option<Ipam>, Failure> {
        let Some((namespace, name)) = network.split_once('/') else { return Ok(None) };
        let path =
            kind_path("k8s.cni.cncf.io/v1", Some(namespace), "network-attachment-definitions");
        let read = match self.read(&path, name) {
            Err(Fault::NoKind | Fault::Refused { code: 403, .. }) => None,
            read => read.map_err(|fault| fault.tell(&format!("cannot read network {network}")))?,
        };
        let text = read.as_ref().and_then(|json| json.pointer("/spec/config")?.as_str());
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let conf: NetworkConf = serde_json::from_str(text).map_err(|bad| {
            Failure::bad(format!("the configuration of network {network} cannot be read"))
                .because(&bad)
        })?;
        Ok(Some(conf.ipam()))
    }
}

fn texts(json: &Value, path: &str) -> Texts {
    let map = json.pointer(path).and_then(Value::as_object);
    let pairs = map.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
