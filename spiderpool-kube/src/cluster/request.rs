//! A CNI ADD, with what the server says of its pod, lifted to a request of the core.
//!
//! Where pools are named, strongest first: the pod's annotations (`ippools`, then `ippool`), its
//! namespace's, the network's configuration, the pools marked as default. The core takes the first that
//! names any; here they are only read. Subnets in annotations are refused with a reason.
//!
//! Invariants:
//! 1. A pod of another UID than the one that asks is never taken for it
//!    (`tests::another_pod_is_not_taken_for_this_one`).
//! 2. What cannot be read is told, except where it has no say: the annotations of a namespace whose pod
//!    names its own pools are not looked at (`tests::the_first_source_silences_the_others`).
//! 3. The networks of interfaces are listed as far as they are known, and a missing one is no error:
//!    only a pool with `multusName` asks for it (`tests::networks_come_from_all_places`).

use super::workload::{Identity, Pod, Reading, Switches, migration};
use crate::annotation::{self, BadAnnotations, NamespaceAnnotations, NetworkRef, PodAnnotations};
use spiderpool_core::label::Labels;
use spiderpool_core::name::{BadName, Name};
use spiderpool_core::owner::Holder;
use spiderpool_core::request::{FamilyPolicy, NicPools, PoolNames, Request, Sources, Subject};
use std::collections::BTreeMap;
use std::net::IpAddr;
use thiserror::Error;

/// The interface of a pod's first network.
pub const FIRST_INTERFACE: &str = "eth0";

/// What the ADD itself says.
#[derive(Clone, Copy, Debug)]
pub struct Attach<'a> {
    /// The container id.
    pub container: &'a Name,
    /// The interface.
    pub interface: &'a Name,
    /// The network that attaches it.
    pub network: &'a Name,
    /// The node.
    pub node: &'a Name,
    /// `K8S_POD_UID`, if the runtime gives it.
    pub pod_uid: Option<&'a str>,
    /// The argument `IP`: addresses with commas between them; empty without.
    pub addresses: &'a str,
    /// The addresses of the master interface, if pools have to match it.
    pub master: Option<&'a [IpAddr]>,
    /// A number that grows in the order in which verbs for this container arrive.
    pub ticket: u64,
}

/// What the network's configuration and the agent's say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// `default_ipv4_ippool` and `default_ipv6_ippool`.
    pub pools: PoolNames,
    /// `clean_gateway`.
    pub clean_gateway: bool,
    /// Whether both families are needed where both are asked for.
    pub families: FamilyPolicy,
    /// The namespace that a pod's first network is in when it is not said.
    pub agent_namespace: String,
    /// The first network of pods that name none (`MULTUS_CLUSTER_NETWORK`).
    pub cluster_network: Option<String>,
}

/// What the server says.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The labels of its namespace.
    pub namespace_labels: &'a Labels,
    /// The annotations of its namespace.
    pub namespace_annotations: &'a BTreeMap<String, String>,
    /// The labels of its node.
    pub node_labels: &'a Labels,
}

/// An ADD, lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// What is asked of the core.
    pub request: Request,
    /// Whose the addresses are.
    pub identity: Identity,
    /// If this object exists, it is not asked whether another host has the addresses.
    pub migration: Option<Reading>,
}

/// An ADD that cannot be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadRequest {
    /// The pod that was read is another one.
    #[error(
        "pod {namespace}/{name} is another one, with the UID {found} instead of {asked}; read it live and ask again"
    )]
    OtherPod {
        /// Its namespace.
        namespace: Name,
        /// Its name.
        name: Name,
        /// The UID that the runtime gave.
        asked: String,
        /// The UID that was read.
        found: Name,
    },
    /// The pod is going or has ended.
    #[error("pod {namespace}/{name} is terminating or has finished; it gets no address")]
    NotAlive {
        /// Its namespace.
        namespace: Name,
        /// Its name.
        name: Name,
    },
    /// The pod's annotations.
    #[error("pod {namespace}/{name} cannot be given addresses as annotated")]
    Pod {
        /// Its namespace.
        namespace: Name,
        /// Its name.
        name: Name,
        /// What is wrong.
        #[source]
        source: BadAnnotations,
    },
    /// The namespace's annotations.
    #[error("the pods of namespace {namespace} cannot be given addresses as it is annotated")]
    Namespace {
        /// The namespace.
        namespace: Name,
        /// What is wrong.
        #[source]
        source: BadAnnotations,
    },
    /// An address that is asked for.
    #[error("`IP={listed}` in CNI_ARGS: `{got}` is not an address; write `IP=10.1.2.3`")]
    Address {
        /// All that was written.
        listed: String,
        /// The part that cannot be read.
        got: String,
    },
    /// Something is no name.
    #[error("{what} cannot be used")]
    Name {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: BadName,
    },
}

/// Lifts an ADD to a request for all interfaces that it covers.
///
/// # Errors
/// [`BadRequest`] when the pod is another one or not alive, or when something that has a say cannot be
/// read.
pub fn lift(
    attach: &Attach<'_>,
    around: &Surroundings<'_>,
    configuration: &Configuration,
    switches: Switches,
) -> Result<Lifted, BadRequest> {
    let pod = around.pod;
    check(attach, pod)?;
    let annotations = PodAnnotations::read(&pod.annotations).map_err(|source| BadRequest::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        source,
    })?;
    let names_own = annotations.ippools.is_some() || annotations.ippool.is_some();
    let of_namespace = if names_own { None } else { namespace_pools(around)? };
    let identity = Identity::of(pod, switches);
    let bad_name = |what| move |source| BadRequest::Name { what, source };
    let holder = Holder {
        owner: identity.owner().map_err(bad_name("the pod's identity"))?,
        pod_uid: Some(pod.uid_on_node()),
        container: Some(attach.container.clone()),
        node: attach.node.clone(),
    };
    let subject = Subject {
        pod_labels: pod.labels.clone(),
        namespace: pod.namespace.to_string(),
        namespace_labels: around.namespace_labels.clone(),
        node_labels: around.node_labels.clone(),
        networks: networks(&annotations, &pod.namespace, configuration),
    };
    let request = Request {
        holder,
        attachment: attach.interface.clone(),
        network: attach.network.clone(),
        subject,
        named: named(attach.addresses)?,
        routes: annotations.routes.clone(),
        sources: sources(annotations, of_namespace, configuration.pools.clone())
            .map_err(bad_name("an `interface` in `ipam.spidernet.io/ippools`"))?,
        clean_gateway: configuration.clean_gateway,
        families: configuration.families,
        only: None,
        master: attach.master.map(<[IpAddr]>::to_vec),
        ticket: attach.ticket,
    };
    Ok(Lifted { request, identity, migration: migration(pod, switches) })
}

fn check(attach: &Attach<'_>, pod: &Pod) -> Result<(), BadRequest> {
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    if let Some(asked) = attach.pod_uid.filter(|uid| !uid.is_empty() && !pod.is(uid)) {
        let (asked, found) = (asked.to_owned(), pod.uid.clone());
        return Err(BadRequest::OtherPod { namespace, name, asked, found });
    }
    if pod.is_alive() { Ok(()) } else { Err(BadRequest::NotAlive { namespace, name }) }
}

fn namespace_pools(around: &Surroundings<'_>) -> Result<Option<PoolNames>, BadRequest> {
    let read = NamespaceAnnotations::read(around.namespace_annotations).map_err(|source| {
        BadRequest::Namespace { namespace: around.pod.namespace.clone(), source }
    })?;
    Ok(read.default_pools.map(pool_names))
}

/// Where pools are named, from annotations and configuration.
///
/// # Errors
/// [`BadName`] when the name of an interface cannot be one.
pub fn sources(
    annotations: PodAnnotations,
    namespace: Option<PoolNames>,
    configured: PoolNames,
) -> Result<Sources, BadName> {
    let per_nic = annotations.ippools.map(|nics| nics.into_iter().map(nic_pools).collect());
    Ok(Sources {
        per_nic: per_nic.transpose()?,
        pod: annotations.ippool.map(pool_names),
        namespace,
        configured: Some(configured).filter(|names| !names.is_empty()),
    })
}

fn pool_names(pools: annotation::PoolNames) -> PoolNames {
    PoolNames { v4: pools.v4, v6: pools.v6 }
}

fn nic_pools(nic: annotation::NicPools) -> Result<NicPools, BadName> {
    Ok(NicPools {
        attachment: nic.interface.as_deref().map(Name::new).transpose()?,
        pools: pool_names(nic.pools),
        clean_gateway: nic.clean_gateway,
    })
}

/// Which network (`namespace/name`) each interface comes from, as far as it is known. The entries of
/// an `ippools` without interfaces are for the networks in their order, under the names that the core
/// holds them by until their ADD comes.
#[must_use]
pub fn networks(
    annotations: &PodAnnotations,
    namespace: &str,
    configuration: &Configuration,
) -> BTreeMap<String, String> {
    let full = |network: &NetworkRef, default: &str| {
        format!("{}/{}", network.namespace.as_deref().unwrap_or(default), network.name)
    };
    let agent = &*configuration.agent_namespace;
    let cluster = || {
        let name = configuration.cluster_network.as_deref().filter(|name| !name.is_empty())?;
        Some(if name.contains('/') { name.to_owned() } else { format!("{agent}/{name}") })
    };
    let first = annotations.default_network.as_ref().map(|network| full(network, agent));
    let mut networks = BTreeMap::new();
    networks.extend(first.or_else(cluster).map(|first| (FIRST_INTERFACE.to_owned(), first)));
    let in_order = annotations.ippools.iter().flatten().all(|nic| nic.interface.is_none());
    for (at, network) in (1..).zip(&annotations.networks) {
        let path = full(network, namespace);
        let nic = network.interface.clone().unwrap_or_else(|| format!("net{at}"));
        networks.insert(nic, path.clone());
        if in_order && annotations.ippools.is_some() {
            networks.insert(format!("#{at}"), path);
        }
    }
    networks
}

/// The addresses that the argument `IP` lists, each once; the length of a prefix is passed over, since
/// it is the pool's.
fn named(listed: &str) -> Result<Vec<IpAddr>, BadRequest> {
    let mut named = Vec::new();
    for got in listed.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let bad = || BadRequest::Address { listed: listed.to_owned(), got: got.to_owned() };
        let (address, length) = got.split_once('/').unwrap_or((got, "0"));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        length.parse::<u8>().ok().filter(|length| *length <= longest).ok_or_else(bad)?;
        if !named.contains(&address) {
            named.push(address);
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::{
        DEFAULT_NETWORK, DEFAULT_V4, IPPOOL, IPPOOLS, NETWORKS, ROUTES, SUBNET,
    };
    use crate::cluster::workload::{CONFIG_HASH, CONFIG_MIRROR, MIGRATION_JOB, lift_pod};
    use serde_json::json;

    /// An ADD for `eth0` of a pod with these annotations in a namespace with those.
    struct Scene {
        annotations: Vec<(&'static str, &'static str)>,
        namespace: Vec<(&'static str, &'static str)>,
        owner: Option<(&'static str, &'static str)>,
        uid: &'static str,
        phase: &'static str,
        addresses: &'static str,
        configuration: Configuration,
    }

    fn scene(annotations: &[(&'static str, &'static str)]) -> Scene {
        let pools = PoolNames { v4: vec!["configured".into()], v6: vec![] };
        Scene {
            annotations: annotations.to_vec(),
            namespace: vec![(DEFAULT_V4, r#"["of-namespace"]"#)],
            owner: None,
            uid: "u",
            phase: "Pending",
            addresses: "",
            configuration: Configuration {
                pools,
                agent_namespace: "kube-system".into(),
                ..Configuration::default()
            },
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    impl Scene {
        fn lift(&self) -> Result<Lifted, String> {
            let name = |text| Name::new(text).unwrap();
            let owners = self.owner.map(|(api, kind)| {
                json!([{"apiVersion": api, "kind": kind, "name": "vm", "uid": "o", "controller": true}])
            });
            let metadata = json!({
                "namespace": "ns", "name": "web-0", "uid": "u", "ownerReferences": owners,
                "annotations": map(&self.annotations), "labels": {"app": "web"},
            });
            let spec = json!({"restartPolicy": "Never"});
            let status = json!({"phase": self.phase});
            let json = json!({"metadata": metadata, "spec": spec, "status": status});
            let attach = Attach {
                container: &name("box"),
                interface: &name("eth0"),
                network: &name("macvlan"),
                node: &name("worker"),
                pod_uid: Some(self.uid),
                addresses: self.addresses,
                master: None,
                ticket: 3,
            };
            let around = Surroundings {
                pod: &lift_pod(&json).unwrap(),
                namespace_labels: &map(&[("team", "a")]),
                namespace_annotations: &map(&self.namespace),
                node_labels: &map(&[("zone", "z")]),
            };
            let lifted = lift(&attach, &around, &self.configuration, Switches::default());
            lifted.map_err(|error| {
                let cause = std::error::Error::source(&error).map(|c| format!(": {c}"));
                format!("{error}{}", cause.unwrap_or_default())
            })
        }

        fn request(&self) -> Request {
            self.lift().unwrap().request
        }
    }

    #[test]
    fn everything_around_a_pod_is_lifted() {
        let route = r#"[{"dst": "10.1.0.0/16", "gw": "10.6.0.1"}]"#;
        let mut scene = scene(&[(ROUTES, route)]);
        scene.addresses = "10.6.0.9, fd00::9/64,10.6.0.9/16";
        (scene.configuration.clean_gateway, scene.configuration.families) =
            (true, FamilyPolicy::Prefer);
        let request = scene.request();
        assert_eq!(request.holder.owner.to_string(), "pod/u");
        assert_eq!(request.holder.pod_uid.as_deref(), Some("u"));
        let named: Vec<_> = request.named.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["10.6.0.9", "fd00::9"]);
        assert_eq!(request.routes[0].to_string(), "10.1.0.0/16 via 10.6.0.1");
        let subject = &request.subject;
        let labels = [&subject.pod_labels, &subject.namespace_labels, &subject.node_labels];
        assert_eq!(labels.map(BTreeMap::len), [1, 1, 1]);
        assert_eq!(&*subject.namespace, "ns");
        assert!(request.clean_gateway && request.families == FamilyPolicy::Prefer);
        assert_eq!((&*request.network, request.ticket), ("macvlan", 3));
    }

    #[test]
    fn every_source_is_read() {
        let each = r#"[{"interface": "eth0", "ipv4": ["a"], "cleangateway": true}, {"interface": "net1", "ipv6": ["b"]}]"#;
        let sources = scene(&[(IPPOOLS, each), (IPPOOL, r#"{"ipv4": ["c"]}"#)]).request().sources;
        let nics = sources.per_nic.unwrap();
        assert_eq!(
            (nics.len(), nics[0].clean_gateway, &*nics[1].pools.v6[0]),
            (2, Some(true), "b")
        );
        assert_eq!(sources.pod.unwrap().v4, ["c"]);
        assert_eq!(sources.namespace, None);
        assert_eq!(sources.configured.unwrap().v4, ["configured"]);
        let bare = scene(&[]).request().sources;
        assert_eq!((bare.per_nic, bare.pod), (None, None));
        assert_eq!(bare.namespace.unwrap().v4, ["of-namespace"]);
        let mut none = scene(&[]);
        (none.namespace, none.configuration.pools) = (vec![], PoolNames::default());
        assert_eq!(none.request().sources, Sources::default());
    }

    #[test]
    fn the_first_source_silences_the_others() {
        let mut scene = scene(&[(IPPOOL, r#"{"ipv4": ["a"]}"#)]);
        scene.namespace = vec![(DEFAULT_V4, "broken")];
        assert!(scene.lift().is_ok());
        scene.annotations.clear();
        let told = scene.lift().unwrap_err();
        assert!(told.starts_with("the pods of namespace ns cannot be given addresses"), "{told}");
        assert!(
            told.contains("annotation `ipam.spidernet.io/default-ipv4-ippool`: line 1"),
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_taken_is_told() {
        let told = |scene: Scene| scene.lift().unwrap_err();
        assert_eq!(
            told(scene(&[(SUBNET, "{}")])),
            "pod ns/web-0 cannot be given addresses as annotated: annotation `ipam.spidernet.io/subnet`: \
             pools made for an application come later; name pools with `ipam.spidernet.io/ippool`"
        );
        let address = |addresses| told(Scene { addresses, ..scene(&[]) });
        assert_eq!(
            address("10.6.0.9,web"),
            "`IP=10.6.0.9,web` in CNI_ARGS: `web` is not an address; write `IP=10.1.2.3`"
        );
        assert!(address("10.6.0.9/33").contains("`10.6.0.9/33` is not an address"));
        let ended = Scene { phase: "Succeeded", ..scene(&[]) };
        assert_eq!(told(ended), "pod ns/web-0 is terminating or has finished; it gets no address");
    }

    #[test]
    fn another_pod_is_not_taken_for_this_one() {
        let told = Scene { uid: "new", ..scene(&[]) }.lift().unwrap_err();
        assert!(told.starts_with("pod ns/web-0 is another one, with the UID u instead of new"));
        assert!(Scene { uid: "", ..scene(&[]) }.lift().is_ok());
        let mirror = Scene { uid: "h", ..scene(&[(CONFIG_HASH, "h"), (CONFIG_MIRROR, "h")]) };
        assert_eq!(mirror.request().holder.owner.to_string(), "pod/h");
    }

    #[test]
    fn identities_hold_by_name() {
        let of = |api, kind| {
            let scene = scene(&[(MIGRATION_JOB, "job")]);
            Scene { owner: Some((api, kind)), ..scene }.lift().unwrap()
        };
        let replica = of("apps/v1", "StatefulSet");
        assert_eq!(replica.request.holder.owner.to_string(), "identity/ns/web-0");
        assert_eq!(replica.migration, None);
        let machine = of("kubevirt.io/v1", "VirtualMachineInstance");
        assert_eq!(machine.request.holder.owner.to_string(), "identity/ns/vm");
        assert_eq!(&*machine.migration.unwrap().name, "job");
        assert_eq!(of("apps/v1", "ReplicaSet").request.holder.owner.to_string(), "pod/u");
    }

    #[test]
    fn networks_come_from_all_places() {
        let check = |annotations: &[(&'static str, &'static str)],
                     cluster: &str,
                     expected: &str| {
            let mut scene = scene(annotations);
            scene.configuration.cluster_network = Some(cluster.to_owned());
            let networks = scene.request().subject.networks;
            let told: Vec<_> = networks.iter().map(|(nic, path)| format!("{nic}={path}")).collect();
            assert_eq!(told.join(" "), expected, "{annotations:?} {cluster}");
        };
        check(&[], "", "");
        check(&[], "macvlan", "eth0=kube-system/macvlan");
        check(&[], "net/macvlan", "eth0=net/macvlan");
        check(&[(DEFAULT_NETWORK, "own")], "macvlan", "eth0=kube-system/own");
        check(&[(NETWORKS, "a,other/b@data")], "", "data=other/b net1=ns/a");
        let unnamed = (IPPOOLS, r#"[{"ipv4": ["p"]}, {"ipv4": ["q"]}]"#);
        check(&[unnamed, (NETWORKS, "a")], "c", "#1=ns/a eth0=kube-system/c net1=ns/a");
        let named = (IPPOOLS, r#"[{"interface": "eth0", "ipv4": ["p"]}]"#);
        check(&[named, (NETWORKS, "a")], "", "net1=ns/a");
    }
}
