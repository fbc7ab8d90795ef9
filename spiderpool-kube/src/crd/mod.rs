//! The definitions of the custom resources: their fields as Rust types, the rules that an API server
//! holds them to, and the YAML in `crds/`.
//!
//! Whoever installs or checks the definitions calls [`definitions`]; whoever wants a typed client uses the
//! kinds. What is allocated goes through `crate::cluster::wire` instead, which tells apart what it can
//! read from what it must not touch.
//!
//! Invariants:
//! 1. `crds/` holds what the types say (`tests/crd`: `the_checked_in_definitions_are_these`).
//! 2. Every field explains itself, and no schema has a format that API servers do not know
//!    (`tests/crd`: `every_field_explains_itself`).
//! 3. A real API server takes the definitions without a warning, and each rule accepts and refuses what
//!    its table says (`tests/kube_crd`).

mod block;
mod coordinator;
mod endpoint;
mod finish;
mod network;
mod pool;
mod rule;
mod text;

pub use block::{
    BlockIndexSpec, BlockSpec, LedgerSpec, Listing, Recovery, Slot, SpiderBlock, SpiderBlockIndex,
    SpiderLedger,
};
pub use coordinator::{
    CoordinatorSpec, CoordinatorStatus, Destination, PolicyRoute, SpiderCoordinator,
};
pub use endpoint::{
    Attachment, Current, EndpointSpec, EndpointStatus, PlacedRoute, Pointer, SpiderEndpoint,
};
pub use network::{
    BondSpec, ChildSpec, IbSriovSpec, IpoibSpec, MultusConfigSpec, OvsSpec, Pools,
    SpiderMultusConfig, SriovSpec, Trunk, VlanSpec,
};
pub use pool::{
    Condition, Expression, LabelSelector, PoolSpec, PoolStatus, ReservedIPSpec, Route,
    SpiderIPPool, SpiderReservedIP, SpiderSubnet, SubnetSpec, SubnetStatus,
};
pub use text::{
    Address, FixedPrefix, FixedVersion, InterfaceName, NetworkName, ObjectName, Prefix, RangeText,
    SpaceName,
};

use kube::CustomResourceExt;
use serde_json::Value;

/// The definition of every kind (a `CustomResourceDefinition` of `apiextensions.k8s.io/v1`), in the order
/// of their names.
#[must_use]
pub fn definitions() -> Vec<Value> {
    let network = finish::finish(SpiderMultusConfig::crd());
    let mut coordinator = finish::finish(SpiderCoordinator::crd());
    finish::require(&mut coordinator, "podCIDRType");
    let mut endpoint = finish::finish(SpiderEndpoint::crd());
    finish::drop_subresources(&mut endpoint);
    vec![
        finish::finish(SpiderBlockIndex::crd()),
        finish::finish(SpiderBlock::crd()),
        coordinator,
        endpoint,
        finish::finish(SpiderIPPool::crd()),
        finish::finish(SpiderLedger::crd()),
        network,
        finish::finish(SpiderReservedIP::crd()),
        finish::finish(SpiderSubnet::crd()),
    ]
}
