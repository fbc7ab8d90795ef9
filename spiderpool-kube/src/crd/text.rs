//! Texts with rules of their own: addresses, prefixes, ranges and names.

use super::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An IPv4 or IPv6 address without a prefix length, such as `10.6.0.1` or `fd00::1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maxLength" = rule::ADDRESS_MAX, "x-kubernetes-validations" = rule::address()))]
pub struct Address(pub String);

/// A prefix in network form, such as `10.6.0.0/16` or `fd00::/64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maxLength" = rule::PREFIX_MAX, "x-kubernetes-validations" = rule::prefix()))]
pub struct Prefix(pub String);

/// A prefix in network form that stays what it is for as long as its object lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maxLength" = rule::PREFIX_MAX, "x-kubernetes-validations" = rule::fixed_prefix()))]
pub struct FixedPrefix(pub String);

/// One address `10.6.0.9`, an inclusive range `10.6.0.10-10.6.0.20`, or a prefix `10.6.1.0/24`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maxLength" = rule::RANGE_MAX, "x-kubernetes-validations" = rule::range()))]
pub struct RangeText(pub String);

/// A version of the Internet Protocol, 4 or 6, that stays what it is for as long as its object lives.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline, extend("enum" = [4, 6], "x-kubernetes-validations" = rule::fixed_version()))]
pub struct FixedVersion(pub i64);

/// The name of an address space: a DNS label, such as `default` or `red-vrf`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("minLength" = 1, "maxLength" = 63, "x-kubernetes-validations" = rule::space_name()))]
pub struct SpaceName(pub String);

/// The name of an object of the cluster: 1 to 253 characters without blanks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("minLength" = 1, "maxLength" = 253, "x-kubernetes-validations" = rule::object_name()))]
pub struct ObjectName(pub String);

/// The name of a network: `namespace/name`, or `name` for one in the namespace of Spiderpool's agents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("minLength" = 1, "maxLength" = 317, "x-kubernetes-validations" = rule::network_name()))]
pub struct NetworkName(pub String);

/// The name of an interface of a node or pod: 1 to 15 characters, as the kernel takes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("minLength" = 1, "maxLength" = 15, "x-kubernetes-validations" = rule::interface_name()))]
pub struct InterfaceName(pub String);
