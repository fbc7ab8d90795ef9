//! The arguments that describe a pod which does not exist yet, and the requests it would make.
//!
//! Called by `explain` and `simulate`. What a runtime, an API server and a CNI configuration would
//! say is given by arguments. Invariant: what cannot be read is told before anything is tried
//! (`tests/golden`: `explain`).

use crate::failure::Failure;
use crate::listing::parse_name;
use crate::session::host_name;
use clap::Args;
use serde::Deserialize;
use spiderpool_core::address::Family;
use spiderpool_core::decide::glob_matches;
use spiderpool_core::label::Labels;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, NicPools, PoolNames, Request, Sources, Subject};
use spiderpool_core::view::View;
use spiderpool_kube::annotation::{self, PodAnnotations};
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// A pod that is only imagined.
#[derive(Clone, Debug, Args)]
pub(crate) struct RequestArgs {
    /// The pod; its namespace counts for affinities
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pod: Option<String>,
    /// The interface that asks (the first one of a pod with several)
    #[arg(long, default_value = "eth0", value_name = "IF")]
    interface: String,
    /// The network that attaches it; --conf names one, too
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// A CNI network configuration (.conf or .conflist), whose ipam section names pools
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// The pod's annotation ipam.spidernet.io/ippool
    #[arg(long, value_name = "JSON", conflicts_with = "ippools")]
    ippool: Option<String>,
    /// The pod's annotation ipam.spidernet.io/ippools, for each interface
    #[arg(long, value_name = "JSON")]
    ippools: Option<String>,
    /// Names or patterns of pools, as the network's configuration would name them
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "conf")]
    pool: Vec<String>,
    /// The node [default: this host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// A label of the pod
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// A label of the node
    #[arg(long = "node-label", value_name = "KEY=VALUE", value_parser = parse_label)]
    node_labels: Vec<(String, String)>,
    /// The pod's namespace, unless --pod names it
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// A label of the namespace
    #[arg(long = "namespace-label", value_name = "KEY=VALUE", value_parser = parse_label)]
    namespace_labels: Vec<(String, String)>,
    /// The network attachment (namespace/name) of the interface, for pools with multusName
    #[arg(long, value_name = "NAMESPACE/NAME")]
    multus: Option<String>,
    /// An address that has to be given
    #[arg(long = "ip", value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

/// The part of a network configuration that says which pools to use.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct NetworkConf {
    #[serde(default)]
    name: String,
    #[serde(default)]
    ipam: Option<Ipam>,
    #[serde(default)]
    plugins: Vec<Plugin>,
}

#[derive(Debug, Default, Deserialize)]
struct Plugin {
    #[serde(default)]
    ipam: Option<Ipam>,
}

impl NetworkConf {
    /// What the plugin, or the first of several that has such a section, asks of IPAM.
    pub(crate) fn ipam(&self) -> Ipam {
        let listed = self.plugins.iter().find_map(|plugin| plugin.ipam.clone());
        self.ipam.clone().or(listed).unwrap_or_default()
    }
}

/// The IPAM section of a network configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Ipam {
    pub(crate) default_ipv4_ippool: Vec<String>,
    pub(crate) default_ipv6_ippool: Vec<String>,
    pub(crate) clean_gateway: bool,
    match_master_subnet: bool,
}

/// What the arguments come to: the requests of as many pods as one likes.
#[derive(Clone, Debug)]
pub(crate) struct Imagined {
    template: Request,
    /// What of the configuration cannot be judged here.
    pub(crate) notes: Vec<String>,
}

impl Imagined {
    /// The request of one interface of one pod; both are numbered from 1.
    pub(crate) fn request(&self, pod: u64, interface: u64) -> Result<Request, Failure> {
        let mut request = self.template.clone();
        let container = parse_name("container id", &format!("imagined-{pod}"))?;
        request.holder.owner = Owner::container(&request.network, &container)
            .map_err(|bad| Failure::bad("the network's name is too long").because(&bad))?;
        request.holder.container = Some(container);
        if interface > 1 {
            request.attachment = parse_name("interface", &format!("net{}", interface - 1))?;
            let first = &self.template.attachment;
            if let Some(network) = request.subject.networks.get(first.as_str()).cloned() {
                request.subject.networks.insert(request.attachment.to_string(), network);
            }
        }
        Ok(request)
    }
}

impl RequestArgs {
    /// Reads everything that was given; names of pools are looked up for their family.
    pub(crate) fn imagine(&self, view: &View) -> Result<Imagined, Failure> {
        let mut notes = Vec::new();
        let (conf, ipam) = self.read_conf()?;
        if ipam.match_master_subnet {
            notes.push(
                "note: match_master_subnet is left out: there is no master interface here"
                    .to_owned(),
            );
        }
        let network =
            self.network.clone().or_else(|| Some(conf.name).filter(|name| !name.is_empty()));
        let network = parse_name("network", network.as_deref().unwrap_or("imagined"))?;
        let attachment = parse_name("interface", &self.interface)?;
        let node = self.node.clone().unwrap_or_else(host_name);
        let template = Request {
            holder: Holder {
                owner: Owner::container(&network, &attachment)
                    .map_err(|bad| Failure::bad("the network's name is too long").because(&bad))?,
                pod_uid: None,
                container: None,
                node: parse_name("node", &node)?,
            },
            subject: self.subject(&attachment)?,
            sources: self.sources(view, &ipam)?,
            attachment,
            network,
            named: self.addresses.clone(),
            routes: Vec::new(),
            clean_gateway: ipam.clean_gateway,
            families: FamilyPolicy::default(),
            only: None,
            master: None,
            ticket: u64::MAX,
        };
        Ok(Imagined { template, notes })
    }

    /// The pools that --pool names, by the family of what they name.
    #[cfg(feature = "cluster")]
    pub(crate) fn named_pools(&self, view: &View) -> PoolNames {
        if self.pool.is_empty() { PoolNames::default() } else { by_family(view, &self.pool) }
    }

    pub(crate) fn read_conf(&self) -> Result<(NetworkConf, Ipam), Failure> {
        let Some(path) = &self.conf else { return Ok(Default::default()) };
        let what = || format!("cannot read the network configuration `{}`", path.display());
        let text = fs::read_to_string(path).map_err(|e| Failure::bad(what()).because(&e))?;
        let conf: NetworkConf =
            serde_json::from_str(&text).map_err(|e| Failure::bad(what()).because(&e))?;
        let ipam = conf.ipam();
        Ok((conf, ipam))
    }

    fn subject(&self, attachment: &Name) -> Result<Subject, Failure> {
        let labels = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<Labels>();
        let of_pod = match self.pod.as_deref().map(|pod| pod.split_once('/')) {
            None => None,
            Some(Some((namespace, name))) if !namespace.is_empty() && !name.is_empty() => {
                Some(namespace.to_owned())
            }
            Some(_) => {
                return Err(Failure::bad("--pod is not a pod").try_this("write NAMESPACE/NAME"));
            }
        };
        let networks = self.multus.iter().map(|name| (attachment.to_string(), name.clone()));
        Ok(Subject {
            pod_labels: labels(&self.labels),
            namespace: of_pod.or_else(|| self.namespace.clone()).unwrap_or_default(),
            namespace_labels: labels(&self.namespace_labels),
            node_labels: labels(&self.node_labels),
            networks: networks.collect(),
        })
    }

    fn sources(&self, view: &View, ipam: &Ipam) -> Result<Sources, Failure> {
        let mut written = BTreeMap::new();
        let pairs = [(annotation::IPPOOL, &self.ippool), (annotation::IPPOOLS, &self.ippools)];
        for (key, text) in pairs {
            written.extend(text.clone().map(|text| (key.to_owned(), text)));
        }
        let read = PodAnnotations::read(&written)
            .map_err(|bad| Failure::bad("the annotations cannot be used").because(&bad))?;
        let nics = read.ippools.map(|nics| nics.into_iter().map(lift_nic).collect()).transpose()?;
        let configured = if self.pool.is_empty() {
            PoolNames { v4: ipam.default_ipv4_ippool.clone(), v6: ipam.default_ipv6_ippool.clone() }
        } else {
            by_family(view, &self.pool)
        };
        Ok(Sources {
            per_nic: nics,
            pod: read.ippool.map(|pools| PoolNames { v4: pools.v4, v6: pools.v6 }),
            namespace: None,
            configured: Some(configured).filter(|names| !names.is_empty()),
        })
    }
}

fn lift_nic(nic: annotation::NicPools) -> Result<NicPools, Failure> {
    let attachment = nic.interface.map(|name| parse_name("interface", &name)).transpose()?;
    let pools = PoolNames { v4: nic.pools.v4, v6: nic.pools.v6 };
    Ok(NicPools { attachment, pools, clean_gateway: nic.clean_gateway })
}

/// Sorts names by the family of the pools they name; what names no pool is kept under IPv4, so that
/// the answer can say so.
fn by_family(view: &View, names: &[String]) -> PoolNames {
    let mut sorted = PoolNames::default();
    for name in names {
        let mut families: Vec<Family> = (view.pools().into_iter().flatten())
            .filter(|entry| {
                **entry.pool.name() == **name || glob_matches(name, entry.pool.name()) == Ok(true)
            })
            .map(|entry| entry.pool.family())
            .collect();
        families.sort_unstable();
        families.dedup();
        if families.contains(&Family::V6) {
            sorted.v6.push(name.clone());
        }
        if families.contains(&Family::V4) || families.is_empty() {
            sorted.v4.push(name.clone());
        }
    }
    sorted
}
