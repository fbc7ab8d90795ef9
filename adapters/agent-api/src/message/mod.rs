//! The messages, with the names that they have on the wire.
//!
//! Plain data; addresses and prefixes are texts here, and whoever receives them lifts them to its own
//! types. Fields of the reference come first in each, those of version 2 after `api_version`. Optional
//! fields that are unset are left out, and `null` counts as unset.

mod add;
mod pod;
mod release;
mod verbs;

pub use add::{Dns, IpConfig, IpamAddArgs, IpamAddResponse, Route};
pub use pod::{CoordinatorConfig, InterfaceStatus, PodQuery, PolicyRoute, WorkloadEndpointStatus};
pub use release::{IpamBatchDelArgs, IpamDelArgs};
pub use verbs::{
    Attachment, Freed, IpamCheckArgs, IpamCheckResponse, IpamConflictArgs, IpamConflictResponse,
    IpamGcArgs, IpamGcResponse, IpamStatus, IpamStatusQuery, Outcome,
};
