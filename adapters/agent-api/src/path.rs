//! The paths of the socket, base path included.
//!
//! Used by client and agent alike. Those of the reference come first (section 2.3, and coordination,
//! section 7); the last four are of version 2.

/// `GET`: whether the agent serves.
pub const HEALTHY: &str = "/v1/ipam/healthy";
/// `POST` [`IpamAddArgs`](crate::message::IpamAddArgs), `DELETE` [`IpamDelArgs`](crate::message::IpamDelArgs).
pub const IP: &str = "/v1/ipam/ip";
/// `POST` does nothing; `DELETE` [`IpamBatchDelArgs`](crate::message::IpamBatchDelArgs).
pub const IPS: &str = "/v1/ipam/ips";
/// `GET` with a [`PodQuery`](crate::message::PodQuery).
pub const WORKLOAD_ENDPOINT: &str = "/v1/workloadendpoint";
/// `GET` with a [`PodQuery`](crate::message::PodQuery), in the body or in the query.
pub const COORDINATOR_CONFIG: &str = "/v1/coordinator/config";

/// `POST` [`IpamCheckArgs`](crate::message::IpamCheckArgs); version 2.
pub const CHECK: &str = "/v1/ipam/check";
/// `POST` [`IpamGcArgs`](crate::message::IpamGcArgs); version 2.
pub const GC: &str = "/v1/ipam/gc";
/// `GET` with an [`IpamStatusQuery`](crate::message::IpamStatusQuery); version 2.
pub const STATUS: &str = "/v1/ipam/status";
/// `POST` [`IpamConflictArgs`](crate::message::IpamConflictArgs); version 2.
pub const CONFLICT: &str = "/v1/ipam/conflict";
