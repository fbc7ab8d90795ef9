//! One custom resource: metadata and a spec, with the kind told by the type of the spec.
//!
//! Invariant: `apiVersion` and `kind` cannot disagree with the spec (`another_kind_is_refused`).

use super::API_VERSION;
use super::spec::{PoolSpec, ReservedIPSpec, SubnetSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Addresses with one prefix to allocate from, as a custom resource.
pub type SpiderIPPool = Object<PoolSpec>;

/// A prefix that pools are carved from, as a custom resource.
pub type SpiderSubnet = Object<SubnetSpec>;

/// Addresses that nobody may be given, as a custom resource.
pub type SpiderReservedIP = Object<ReservedIPSpec>;

/// A cluster-scoped custom resource of [`API_VERSION`] whose kind follows from its spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire<S>", into = "Wire<S>")]
#[serde(bound(serialize = "S: Spec", deserialize = "S: Spec"))]
pub struct Object<S: Spec> {
    /// What it is called.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: S,
}

/// The part of an object's metadata that means something here; other fields are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A spec that makes an [`Object`] with its own kind; the three kinds are all there are.
pub trait Spec: Clone + Debug + Serialize + for<'de> Deserialize<'de> + sealed::Known {
    /// The kind, as `kind:` writes it.
    const KIND: &'static str;
}

mod sealed {
    /// Keeps [`super::Spec`] to the kinds that are known here.
    #[expect(unnameable_types, reason = "a bound that nobody else can meet is what seals a trait")]
    pub trait Known {}
    impl Known for super::PoolSpec {}
    impl Known for super::SubnetSpec {}
    impl Known for super::ReservedIPSpec {}
}

impl Spec for PoolSpec {
    const KIND: &'static str = "SpiderIPPool";
}

impl Spec for SubnetSpec {
    const KIND: &'static str = "SpiderSubnet";
}

impl Spec for ReservedIPSpec {
    const KIND: &'static str = "SpiderReservedIP";
}

impl<S: Spec> Object<S> {
    /// An object with nothing but a name and a spec.
    #[must_use]
    pub fn named(name: &str, spec: S) -> Self {
        Self { metadata: Metadata { name: name.to_owned(), ..Metadata::default() }, spec }
    }
}

/// The object with its kind spelled out, in the canonical order.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<S> {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: S,
}

impl<S: Spec> From<Object<S>> for Wire<S> {
    fn from(object: Object<S>) -> Self {
        let (api_version, kind) = (API_VERSION.to_owned(), S::KIND.to_owned());
        Self { api_version, kind, metadata: object.metadata, spec: object.spec }
    }
}

impl<S: Spec> TryFrom<Wire<S>> for Object<S> {
    type Error = String;

    fn try_from(wire: Wire<S>) -> Result<Self, String> {
        if wire.api_version == API_VERSION && wire.kind == S::KIND {
            Ok(Self { metadata: wire.metadata, spec: wire.spec })
        } else {
            let Wire { api_version, kind, .. } = wire;
            Err(format!("is a {kind} of `{api_version}`; expected {} of `{API_VERSION}`", S::KIND))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_kind_is_refused() {
        let text = |kind: &str, version: &str| {
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "uid": "1"},
                   "spec": {"subnet": "10.0.0.0/8"}, "status": {"totalIPCount": 1}})
        };
        let read = |value| serde_json::from_value::<SpiderSubnet>(value).map_err(|e| e.to_string());
        assert_eq!(read(text("SpiderSubnet", API_VERSION)).unwrap().metadata.name, "x");
        let refused = read(text("SpiderIPPool", "spiderpool.spidernet.io/v2beta1")).unwrap_err();
        assert_eq!(
            refused,
            "is a SpiderIPPool of `spiderpool.spidernet.io/v2beta1`; expected SpiderSubnet of `spiderpool.spidernet.io/v2beta1`"
        );
        assert!(read(text("SpiderSubnet", "v1")).is_err());
    }
}
