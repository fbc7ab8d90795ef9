//! What can be wrong with a definition, by field.

use super::route::BadRoute;
use crate::address::{BadEntry, Range};
use crate::label::BadSelector;
use crate::name::BadName;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;

/// A definition was refused; every field that has to be mended is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDefinition {
    /// The kind and the name of the object, such as `pool blue`.
    pub object: String,
    /// At least one.
    pub fields: Vec<BadField>,
}

impl fmt::Display for BadDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        for (at, field) in self.fields.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{field}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadDefinition {}

/// One field and its flaw.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{field}`: {flaw}")]
pub struct BadField {
    /// The field as manifests name it.
    pub field: String,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a field, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] BadName),
    /// An entry of a list of addresses.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// A route.
    #[error(transparent)]
    Route(#[from] BadRoute),
    /// A selector.
    #[error(transparent)]
    Selector(#[from] BadSelector),
    /// Not a prefix at all.
    #[error("`{got}` is not a prefix; write it as `10.0.0.0/24` or `fd00::/64`")]
    Prefix {
        /// What was written.
        got: String,
    },
    /// A prefix that is not in network form.
    #[error("`{got}` has host bits set; write `{network}`")]
    HostBits {
        /// What was written.
        got: String,
        /// The network form.
        network: IpNet,
    },
    /// Not an address.
    #[error("`{got}` is not an address")]
    Address {
        /// What was written.
        got: String,
    },
    /// The version does not agree with the prefix.
    #[error("is {got}, but `{prefix}` is IPv{expected}; leave it out, it follows from the prefix")]
    Version {
        /// What was written.
        got: i64,
        /// The prefix.
        prefix: IpNet,
        /// The version of the prefix.
        expected: u8,
    },
    /// Addresses outside of the prefix.
    #[error("{range} is not within `{prefix}`")]
    Outside {
        /// The first offending run.
        range: Range,
        /// The prefix.
        prefix: IpNet,
    },
    /// The gateway is not in the prefix.
    #[error("{gateway} is not within `{prefix}`")]
    GatewayOutside {
        /// What was written.
        gateway: IpAddr,
        /// The prefix.
        prefix: IpNet,
    },
    /// The gateway would be given to a pod.
    #[error("{gateway} is among the addresses to give out; add it to `excludeIPs`")]
    GatewayInRange {
        /// What was written.
        gateway: IpAddr,
    },
    /// A selector that matches everything.
    #[error("is an empty selector, which matches everything; leave it out or write a requirement")]
    EmptySelector,
    /// A list of addresses that says nothing.
    #[error("is empty; name at least one address")]
    EmptyList,
}
