//! What pods and namespaces ask for in their annotations.
//!
//! [`PodAnnotations::read`] and [`NamespaceAnnotations::read`] turn a map of annotations into plain
//! values; the CNI plugin and the agent call them and map the result to what the core takes. Keys
//! that are not of this project or Multus are somebody else's and are left alone.
//!
//! Invariants:
//! 1. All flaws are told at once, each with its key (`every_flaw_is_told`).
//! 2. What is not supported is refused, never passed over (`application_pools_are_refused`).
//! 3. Fields beyond the known ones are ignored, as the reference does (its e2e case A00002;
//!    `unknown_fields_are_ignored`).
//! 4. No text makes a reader panic (`tests::arbitrary_text_never_panics`).

mod error;
mod json;
mod network;
mod pools;

#[cfg(test)]
mod tests;

pub use error::{BadAnnotation, BadAnnotations, Flaw};
pub use network::{BadNetwork, NetworkRef};
pub use pools::{BadPools, NicPools, PoolNames};

use spiderpool_core::definition::{BadRoute, Route, RouteDraft};
use std::collections::BTreeMap;

/// The pools of every NIC of a pod.
pub const IPPOOL: &str = "ipam.spidernet.io/ippool";
/// The pools of each NIC of a pod.
pub const IPPOOLS: &str = "ipam.spidernet.io/ippools";
/// Further routes of a pod.
pub const ROUTES: &str = "ipam.spidernet.io/routes";
/// The subnet that a pool is to be made from for one NIC; refused.
pub const SUBNET: &str = "ipam.spidernet.io/subnet";
/// The subnets that pools are to be made from; refused.
pub const SUBNETS: &str = "ipam.spidernet.io/subnets";
/// The IPv4 pools of a namespace.
pub const DEFAULT_V4: &str = "ipam.spidernet.io/default-ipv4-ippool";
/// The IPv6 pools of a namespace.
pub const DEFAULT_V6: &str = "ipam.spidernet.io/default-ipv6-ippool";
/// The further networks of a pod, read by Multus.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The first network of a pod, read by Multus.
pub const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";

/// What the annotations of a pod ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAnnotations {
    /// The pools of every NIC, from [`IPPOOL`].
    pub ippool: Option<PoolNames>,
    /// The pools of each NIC, from [`IPPOOLS`]; goes before `ippool`. At least one item.
    pub ippools: Option<Vec<NicPools>>,
    /// Further routes, from [`ROUTES`]; default routes are allowed.
    pub routes: Vec<Route>,
    /// The further networks in order, from [`NETWORKS`].
    pub networks: Vec<NetworkRef>,
    /// The first network, from [`DEFAULT_NETWORK`].
    pub default_network: Option<NetworkRef>,
}

impl PodAnnotations {
    /// Reads what is of concern among the annotations of a pod.
    ///
    /// # Errors
    /// [`BadAnnotations`] lists every annotation that cannot be read or is not supported.
    ///
    /// ```
    /// use spiderpool_kube::annotation::{IPPOOL, PodAnnotations};
    /// let annotations = [(IPPOOL.to_owned(), r#"{"ipv4": ["blue", "green-*"]}"#.to_owned())];
    /// let read = PodAnnotations::read(&annotations.into())?;
    /// assert_eq!(read.ippool.unwrap_or_default().v4, ["blue", "green-*"]);
    /// # Ok::<(), spiderpool_kube::annotation::BadAnnotations>(())
    /// ```
    pub fn read(annotations: &BTreeMap<String, String>) -> Result<Self, BadAnnotations> {
        let mut reader = Reader { annotations, flaws: Vec::new() };
        reader.refuse(SUBNET);
        reader.refuse(SUBNETS);
        let read = Self {
            ippool: reader.take(IPPOOL, pools::read_one),
            ippools: reader.take(IPPOOLS, pools::read_each),
            routes: reader.take(ROUTES, read_routes).unwrap_or_default(),
            networks: reader.take(NETWORKS, network::read_list).unwrap_or_default(),
            default_network: reader.take(DEFAULT_NETWORK, network::read_single).flatten(),
        };
        reader.finish(read)
    }
}

/// What the annotations of a namespace ask for on behalf of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceAnnotations {
    /// The pools of pods that name none, from [`DEFAULT_V4`] and [`DEFAULT_V6`]; absent when both are
    /// absent or empty. A family without pools is not filled from elsewhere.
    pub default_pools: Option<PoolNames>,
}

impl NamespaceAnnotations {
    /// Reads what is of concern among the annotations of a namespace.
    ///
    /// # Errors
    /// [`BadAnnotations`] lists every annotation that cannot be read.
    ///
    /// ```
    /// use spiderpool_kube::annotation::{DEFAULT_V6, NamespaceAnnotations};
    /// let annotations = [(DEFAULT_V6.to_owned(), r#"["blue-v6"]"#.to_owned())];
    /// let read = NamespaceAnnotations::read(&annotations.into())?;
    /// assert_eq!(read.default_pools.unwrap_or_default().v6, ["blue-v6"]);
    /// # Ok::<(), spiderpool_kube::annotation::BadAnnotations>(())
    /// ```
    pub fn read(annotations: &BTreeMap<String, String>) -> Result<Self, BadAnnotations> {
        let mut reader = Reader { annotations, flaws: Vec::new() };
        let pools = PoolNames {
            v4: reader.take(DEFAULT_V4, pools::read_names).unwrap_or_default(),
            v6: reader.take(DEFAULT_V6, pools::read_names).unwrap_or_default(),
        };
        reader.finish(Self { default_pools: Some(pools).filter(|pools| !pools.is_empty()) })
    }
}

/// Reads annotations by key and collects what is wrong with them.
struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    flaws: Vec<BadAnnotation>,
}

impl Reader<'_> {
    fn take<T>(&mut self, key: &'static str, read: fn(&str) -> Result<T, Flaw>) -> Option<T> {
        let text = self.annotations.get(key)?;
        read(text).map_err(|flaw| self.flaws.push(BadAnnotation { key, flaw })).ok()
    }

    fn refuse(&mut self, key: &'static str) {
        if self.annotations.contains_key(key) {
            self.flaws.push(BadAnnotation { key, flaw: Flaw::ApplicationPools });
        }
    }

    fn finish<T>(self, read: T) -> Result<T, BadAnnotations> {
        if self.flaws.is_empty() { Ok(read) } else { Err(BadAnnotations { flaws: self.flaws }) }
    }
}

fn read_routes(text: &str) -> Result<Vec<Route>, Flaw> {
    let expected = r#"[{"dst": "10.1.0.0/16", "gw": "10.6.0.1"}]"#;
    let drafts: Vec<RouteDraft> = json::read(text, expected)?;
    let routes = drafts.iter().enumerate().map(|(position, draft)| draft.parse(position));
    Ok(routes.collect::<Result<_, BadRoute>>()?)
}
