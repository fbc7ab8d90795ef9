//! Validation rules in CEL, as `x-kubernetes-validations` writes them, and those that several kinds share.
//!
//! The API server estimates the cost of every rule from the longest text and list that the schema
//! allows, and refuses a definition that could cost too much; so whatever a rule looks at states its
//! bounds (`tests/kube_crd`: `the_definitions_are_taken_without_a_warning`). The functions on addresses
//! need Kubernetes 1.31 or later. What CEL cannot tell stays with whoever lifts the object: the order of
//! the ends of an IPv6 range, overlapping entries, whether a text is JSON.

use serde_json::{Value, json};

/// The most entries of `ips` and `excludeIPs`.
pub(super) const MAX_RANGES: u32 = 4_096;

/// The most routes of a pool or subnet.
pub(super) const MAX_ROUTES: u32 = 128;

/// The most bytes of an address, in any of its forms.
pub(super) const ADDRESS_MAX: u32 = 45;

/// The most bytes of a prefix.
pub(super) const PREFIX_MAX: u32 = 49;

/// The most bytes of a range: two addresses and a dash.
pub(super) const RANGE_MAX: u32 = 91;

/// One rule: what has to be true, what is said when it is not, and the field that is meant, as a path
/// from where the rule stands.
pub(super) struct Rule {
    pub(super) holds: String,
    pub(super) message: &'static str,
    pub(super) field: Option<&'static str>,
}

/// A rule about the value that it stands at.
pub(super) fn rule(holds: impl Into<String>, message: &'static str) -> Rule {
    Rule { holds: holds.into(), message, field: None }
}

/// A rule about a field of the value that it stands at.
pub(super) fn about(field: &'static str, holds: impl Into<String>, message: &'static str) -> Rule {
    Rule { field: Some(field), ..rule(holds, message) }
}

/// The rules as a schema writes them.
pub(super) fn lower(rules: impl IntoIterator<Item = Rule>) -> Value {
    let lowered = rules.into_iter().map(|Rule { holds, message, field }| match field {
        Some(field) => json!({"rule": holds, "message": message, "fieldPath": field}),
        None => json!({"rule": holds, "message": message}),
    });
    lowered.collect()
}

/// An address.
pub(super) fn address() -> Value {
    lower([rule(
        "isIP(self)",
        "is not an IP address; write one such as `10.6.0.1` or `fd00::1`, without a prefix length",
    )])
}

/// A prefix in network form.
pub(super) fn prefix() -> Value {
    lower(prefix_rules())
}

/// The prefix of a pool or subnet, which never changes.
pub(super) fn fixed_prefix() -> Value {
    let fixed = rule(
        "self == oldSelf",
        "cannot be changed, because addresses of it may be in use; make another object with the new subnet",
    );
    lower(prefix_rules().into_iter().chain([fixed]))
}

fn prefix_rules() -> [Rule; 2] {
    [
        rule(
            "isCIDR(self)",
            "is not a prefix; write an address and a length such as `10.6.0.0/16` or `fd00::/64`",
        ),
        rule(
            "!isCIDR(self) || cidr(self) == cidr(self).masked()",
            "has bits set behind its length; write the network's own address, such as `10.6.0.0/16` and not `10.6.0.1/16`",
        ),
    ]
}

/// A version of the Internet Protocol that never changes.
pub(super) fn fixed_version() -> Value {
    lower([rule("self == oldSelf", "cannot be changed; make another object for the other version")])
}

/// An entry of `ips` or `excludeIPs`.
pub(super) fn range() -> Value {
    // The ends of an IPv4 range as numbers: lists and loops would cost ten times as much.
    let number = |end: u8| {
        let octet = |at: u8| format!("int(self.split('-')[{end}].split('.')[{at}])");
        let [a, b, c, d] = [0, 1, 2, 3].map(octet);
        format!("(({a} * 256 + {b}) * 256 + {c}) * 256 + {d}")
    };
    let ends =
        "self.matches('^[0-9.]+-[0-9.]+$') && isIP(self.split('-')[0]) && isIP(self.split('-')[1])";
    lower([
        rule(
            "self.contains('/') ? isCIDR(self) && cidr(self) == cidr(self).masked() : self.split('-').size() <= 2 && isIP(self.split('-')[0]) && (!self.contains('-') || isIP(self.split('-')[1]))",
            "is not an address, a range or a prefix; write `10.6.0.9`, `10.6.0.10-10.6.0.20` or `10.6.1.0/24`, without blanks",
        ),
        rule(
            format!("!({ends}) || {} <= {}", number(0), number(1)),
            "runs backwards; write the lower address first",
        ),
    ])
}

/// That every entry of a list lies within `subnet`.
fn within(list: &'static str, field: &'static str) -> Rule {
    let inside = "(r.contains('/') ? !isCIDR(r) || cidr(self.subnet).containsCIDR(r) : (!isIP(r.split('-')[0]) || cidr(self.subnet).containsIP(r.split('-')[0])) && (!isIP(r.split('-')[r.split('-').size() - 1]) || cidr(self.subnet).containsIP(r.split('-')[r.split('-').size() - 1])))";
    about(
        field,
        format!("!has(self.{list}) || !isCIDR(self.subnet) || self.{list}.all(r, {inside})"),
        "has an address outside of `subnet`; list only addresses of that prefix and version",
    )
}

/// What pools and subnets have in common.
pub(super) fn ground() -> Value {
    lower(ground_rules())
}

fn ground_rules() -> Vec<Rule> {
    vec![
        about(
            ".ipVersion",
            "!has(self.ipVersion) || !isCIDR(self.subnet) || cidr(self.subnet).ip().family() == self.ipVersion",
            "is not the version of `subnet`; write 4 for an IPv4 subnet and 6 for an IPv6 one, or leave it out",
        ),
        within("ips", ".ips"),
        within("excludeIPs", ".excludeIPs"),
        about(
            ".gateway",
            "!has(self.gateway) || !isIP(self.gateway) || !isCIDR(self.subnet) || cidr(self.subnet).containsIP(self.gateway)",
            "is not within `subnet`; write the address of the router in that prefix",
        ),
        about(
            ".routes",
            "!has(self.routes) || !isCIDR(self.subnet) || self.routes.all(r, !isIP(r.gw) || cidr(self.subnet).containsIP(r.gw))",
            "has a next hop outside of `subnet`; `gw` is a router that pods reach directly",
        ),
        about(
            ".routes",
            "!has(self.routes) || self.routes.all(r, self.routes.exists_one(other, other.dst == r.dst))",
            "has a destination twice; list each `dst` once",
        ),
        about(
            ".space",
            "(has(self.space) ? self.space : 'default') == (has(oldSelf.space) ? oldSelf.space : 'default')",
            "cannot be changed; make another object in the other space",
        ),
    ]
}

/// A route of a pool or subnet.
pub(super) fn route() -> Value {
    lower([
        about(
            ".dst",
            "!isCIDR(self.dst) || cidr(self.dst).prefixLength() > 0",
            "is a default route; name the default router in `gateway`",
        ),
        about(
            ".gw",
            "!isCIDR(self.dst) || !isIP(self.gw) || cidr(self.dst).ip().family() == ip(self.gw).family()",
            "is not of the version of `dst`; write a next hop of the same version",
        ),
    ])
}

/// A label selector that asks for something.
pub(super) fn selector() -> Value {
    lower([rule(
        "(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)",
        "asks for nothing, and so would match everything; name a label, or leave the field out",
    )])
}

/// One expression of a selector.
pub(super) fn expression() -> Value {
    lower([about(
        ".values",
        "self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 : !has(self.values) || self.values.size() == 0",
        "`In` and `NotIn` take at least one value, `Exists` and `DoesNotExist` take none",
    )])
}

/// The name of an address space.
pub(super) fn space_name() -> Value {
    lower([rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "is not the name of a space; write lower-case letters, digits and dashes, such as `red-vrf`",
    )])
}

/// The name of a namespace, a node or a pool.
pub(super) fn object_name() -> Value {
    lower([rule(
        "!self.matches('[ \\t\\n/]')",
        "is not a name; write one without blanks and slashes",
    )])
}

/// The name of a network.
pub(super) fn network_name() -> Value {
    lower([rule(
        "self.matches('^[^ \\t\\n/]+(/[^ \\t\\n/]+)?$')",
        "does not name a network; write `namespace/name`, or `name` for one in the namespace of the agents",
    )])
}

/// The name of an interface.
pub(super) fn interface_name() -> Value {
    lower([rule(
        "!self.matches('[ \\t\\n/]')",
        "is not the name of an interface; write 1 to 15 characters without blanks and slashes, such as `eth0`",
    )])
}

/// What all objects of the protocol have in common: a later format is never written over.
pub(super) fn format() -> Rule {
    about(
        ".format",
        "self.format >= oldSelf.format",
        "cannot go back; a later version wrote this object, use that version",
    )
}
