//! Pools, subnets and reservations, through the manifests that people write.
//!
//! Invariants:
//! 1. A pool whose addresses another engine gives out gives out nothing here
//!    (`a_pool_of_another_engine_is_disabled`).

use super::error::BadObject;
use super::read::part;
use crate::cluster::object::Meta;
use crate::manifest::{Metadata, Object, PoolSpec, ReservedIPSpec, Spec, SubnetSpec};
use serde_json::Value;
use spiderpool_core::definition::{
    BadDefinition, Policy, Pool, PoolDraft, Reservation, Subnet, SubnetDraft,
};
use std::sync::Arc;

/// The annotation of a pool that says who gives out its addresses.
pub const ENGINE_ANNOTATION: &str = "ipam.spidernet.io/engine";

/// What [`ENGINE_ANNOTATION`] says of a pool whose truth is in blocks: this project's.
pub const ENGINE_BLOCKS: &str = "blocks";

/// Who gives out the addresses of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This project: blocks say who has an address.
    Blocks,
    /// The reference: the pool's own status says it.
    Status,
    /// One that is not known here, by the name that the annotation gives.
    Other(String),
}

/// Who gives out the addresses of a pool, as its object says: the annotation if there is one, and
/// otherwise this project, unless the reference's record of allocations is not empty.
///
/// Whoever projects allocations into that record writes the annotation first.
#[must_use]
pub fn engine_of(json: &Value) -> Engine {
    let annotations = json.pointer("/metadata/annotations");
    let marked = annotations.and_then(|all| all.get(ENGINE_ANNOTATION)).and_then(Value::as_str);
    match marked {
        Some(ENGINE_BLOCKS) => Engine::Blocks,
        Some("status") => Engine::Status,
        Some(other) => Engine::Other(other.to_owned()),
        None if has_record(json) => Engine::Status,
        None => Engine::Blocks,
    }
}

/// Whether the reference's record has an entry; one that cannot be read counts as having some.
fn has_record(json: &Value) -> bool {
    let record = json.pointer("/status/allocatedIPs").and_then(Value::as_str).unwrap_or_default();
    match serde_json::from_str(record) {
        Ok(Value::Object(entries)) => !entries.is_empty(),
        Ok(Value::Null) => false,
        Ok(_) => true,
        Err(_) => !record.trim().is_empty(),
    }
}

/// The pool that an object says: disabled when another engine gives out its addresses, and `spread`
/// when it names no policy.
pub(super) fn lift_pool(
    json: &Value,
    meta: Meta,
    agent_namespace: &str,
) -> Result<Arc<Pool>, BadObject> {
    let mut manifest = manifest::<PoolSpec>(json)?;
    manifest.spec.policy.get_or_insert(Policy::Spread);
    let draft = manifest.lift(agent_namespace)?;
    let disabled = draft.disabled || engine_of(json) != Engine::Blocks;
    let pool = Pool::try_from(PoolDraft { deleting: meta.deleting, disabled, ..draft })?;
    Ok(Arc::new(pool))
}

/// The subnet that an object says.
pub(super) fn lift_subnet(json: &Value) -> Result<Arc<Subnet>, BadObject> {
    Ok(Arc::new(Subnet::try_from(manifest::<SubnetSpec>(json)?.lift())?))
}

/// The reservation that an object says.
pub(super) fn lift_reservation(json: &Value) -> Result<Arc<Reservation>, BadObject> {
    Ok(Arc::new(Reservation::try_from(manifest::<ReservedIPSpec>(json)?.lift())?))
}

/// The manifest in an object; its kind has been looked at, if it is told at all (items of a list do
/// not).
fn manifest<S: Spec>(json: &Value) -> Result<Object<S>, BadObject> {
    let metadata: Metadata = part(json, "/metadata")?;
    Ok(Object { metadata, spec: part(json, "/spec")? })
}

/// The `spec` of a definition, and the labels that go with it.
pub(super) fn lower<S: Spec>(object: &Object<S>) -> (Value, Value) {
    // Neither holds anything that JSON has no words for.
    let spec = serde_json::to_value(&object.spec).unwrap_or_default();
    let labels = serde_json::to_value(&object.metadata.labels).unwrap_or_default();
    (spec, labels)
}

/// The pool with what it takes from its subnet: gateway and routes that it does not say itself. A
/// pool of another prefix or space takes nothing.
///
/// # Errors
/// [`BadDefinition`] when the subnet's gateway is an address that the pool would give out.
pub fn inherit(pool: &Pool, subnet: &Subnet) -> Result<Pool, BadDefinition> {
    if pool.prefix() != subnet.prefix() || pool.space() != subnet.space() {
        return Ok(pool.clone());
    }
    let draft = PoolDraft::from(pool.clone());
    let from = SubnetDraft::from(subnet.clone());
    Pool::try_from(PoolDraft {
        subnet: Some(from.name),
        gateway: draft.gateway.or(from.gateway),
        routes: draft.routes.or(from.routes),
        ..draft
    })
}
