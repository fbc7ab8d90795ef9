//! What pools and subnets have in common: a prefix, addresses within it, a gateway, routes.

use super::route::parse_routes;
use super::{BadDefinition, BadField, Flaw, Route, RouteDraft};
use crate::address::{AddressSet, Family, Range, parse_list};
use crate::name::Name;
use ipnet::IpNet;
use std::net::IpAddr;

/// Collects every flaw of a draft, so that one round of mending is enough.
#[derive(Debug, Default)]
pub(super) struct Flaws(Vec<BadField>);

impl Flaws {
    pub(super) fn add(&mut self, field: &str, flaw: impl Into<Flaw>) {
        self.0.push(BadField { field: field.to_owned(), flaw: flaw.into() });
    }

    /// The value, or its error as a flaw of `field`.
    pub(super) fn keep<T, E: Into<Flaw>>(
        &mut self,
        field: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|flaw| self.add(field, flaw)).ok()
    }

    /// The checked form, unless something is wrong with the draft.
    pub(super) fn finish<T>(self, object: String, checked: Option<T>) -> Result<T, BadDefinition> {
        match checked {
            Some(checked) if self.0.is_empty() => Ok(checked),
            _ => Err(BadDefinition { object, fields: self.0 }),
        }
    }

    /// The name of the object.
    pub(super) fn name(&mut self, text: &str) -> Option<Name> {
        self.keep("metadata.name", Name::new(text))
    }

    /// The address space that a draft names; nothing stands for `default`.
    pub(super) fn space(&mut self, text: &str) -> Option<Name> {
        let text = if text.is_empty() { "default" } else { text };
        self.keep("space", Name::new(text))
    }
}

/// The common fields as they were written.
pub(super) struct GroundDraft<'a> {
    pub(super) version: Option<i64>,
    pub(super) prefix: &'a str,
    pub(super) ranges: &'a [String],
    pub(super) excluded: &'a [String],
    pub(super) gateway: Option<&'a str>,
    pub(super) routes: Option<&'a [RouteDraft]>,
}

/// The common fields, checked against each other.
pub(super) struct Ground {
    pub(super) prefix: IpNet,
    pub(super) ranges: AddressSet,
    pub(super) excluded: AddressSet,
    pub(super) gateway: Option<IpAddr>,
    pub(super) routes: Option<Vec<Route>>,
}

impl GroundDraft<'_> {
    /// Checks every field; `None` when a later one cannot be judged for lack of an earlier one.
    pub(super) fn check(&self, flaws: &mut Flaws) -> Option<Ground> {
        let prefix = flaws.keep("subnet", parse_prefix(self.prefix))?;
        check_version(flaws, self.version, prefix);
        let ranges = parse_within(flaws, "ips", prefix, self.ranges);
        let excluded = parse_within(flaws, "excludeIPs", prefix, self.excluded);
        let usable = ranges.difference(&excluded);
        let gateway = parse_gateway(flaws, prefix, &usable, self.gateway);
        let routes = match self.routes {
            Some(routes) => Some(flaws.keep("routes", parse_routes(prefix, routes))?),
            None => None,
        };
        Some(Ground { prefix, ranges, excluded, gateway, routes })
    }
}

fn check_version(flaws: &mut Flaws, version: Option<i64>, prefix: IpNet) {
    let expected = Family::of(prefix.addr()).version();
    if let Some(got) = version.filter(|got| *got != i64::from(expected)) {
        flaws.add("ipVersion", Flaw::Version { got, prefix, expected });
    }
}

/// The prefix that a draft names, in network form.
fn parse_prefix(text: &str) -> Result<IpNet, Flaw> {
    let prefix: IpNet = text.trim().parse().map_err(|_| Flaw::Prefix { got: text.to_owned() })?;
    if prefix.trunc() == prefix {
        Ok(prefix)
    } else {
        Err(Flaw::HostBits { got: text.to_owned(), network: prefix.trunc() })
    }
}

/// The addresses that `ips` and `excludeIPs` name, each judged against the prefix.
fn parse_within(flaws: &mut Flaws, field: &str, prefix: IpNet, entries: &[String]) -> AddressSet {
    let family = Family::of(prefix.addr());
    let set =
        flaws.keep(field, parse_list(family, entries)).unwrap_or_else(|| AddressSet::empty(family));
    let all = AddressSet::from_ranges(family, [Range::of_prefix(prefix)]);
    let outside = set.difference(&all);
    if let Some(range) = outside.ranges().next() {
        flaws.add(field, Flaw::Outside { range, prefix });
    }
    set
}

/// The gateway, judged against the prefix and the addresses that would be given out.
fn parse_gateway(
    flaws: &mut Flaws,
    prefix: IpNet,
    usable: &AddressSet,
    text: Option<&str>,
) -> Option<IpAddr> {
    let text = text.filter(|t| !t.is_empty())?;
    let parsed = text.parse::<IpAddr>().map_err(|_| Flaw::Address { got: text.to_owned() });
    let gateway = flaws.keep("gateway", parsed)?;
    if !prefix.contains(&gateway) {
        flaws.add("gateway", Flaw::GatewayOutside { gateway, prefix });
    } else if usable.contains(gateway) {
        flaws.add("gateway", Flaw::GatewayInRange { gateway });
    }
    Some(gateway)
}
