//! Custom resources of Spiderpool as text: read strictly, lifted to core drafts, written canonically.
//!
//! [`read_value`] reads one JSON value, `read_manifests` (feature `yaml`) a whole file; both give
//! [`Document`]s. [`SpiderIPPool::lift`] and its like turn a manifest into a draft that the core
//! checks, and `lower` turns what the core has checked back into a manifest. The command line tool
//! and the programs that talk to an API server call in here.
//!
//! The types also read with plain serde, as objects come from an API server; that way is lenient
//! (fields of a later version must not stop a watch), while the readers named above are strict.
//!
//! Invariants:
//! 1. A manifest's `apiVersion` and `kind` are those of its type: they are not stored at all
//!    (`object`: `another_kind_is_refused`).
//! 2. All flaws of a text are told at once, each with its place (`tests/golden`: `refusals`).
//! 3. Lowering and lifting again gives the same definition (`tests/round_trip`:
//!    `manifests_round_trip`).

mod document;
mod error;
mod lift;
mod node;
mod object;
mod shape;
mod spec;
mod typo;
#[cfg(feature = "yaml")]
mod yaml;

pub use document::{Document, Manifest, read_value};
pub use error::{BadDocument, BadField, BadManifest, DocumentFlaw, FieldFlaw, LiftFlaw, Warning};
pub use object::{Metadata, Object, Spec, SpiderIPPool, SpiderReservedIP, SpiderSubnet};
pub use spec::{Expression, LabelSelector, PoolSpec, ReservedIPSpec, Route, SubnetSpec};
#[cfg(feature = "yaml")]
pub use yaml::{MAX_INPUT_BYTES, Unwritable, read_manifests, write_manifest};

/// The API group and version of every resource that is read here.
pub const API_VERSION: &str = "spiderpool.spidernet.io/v2beta1";

/// The label of a pool that names the subnet it was carved from.
pub const OWNER_SUBNET_LABEL: &str = "ipam.spidernet.io/owner-spider-subnet";
