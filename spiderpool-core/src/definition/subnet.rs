//! Subnets: prefixes that pools are carved from. The data path never allocates from one.

use super::pool::check_version;
use super::route::parse_routes;
use super::{
    BadDefinition, Flaws, Route, RouteDraft, lower_set, parse_gateway, parse_prefix, parse_within,
};
use crate::address::{AddressSet, Family};
use crate::name::Name;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A subnet as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubnetDraft {
    /// The subnet's name.
    pub name: String,
    /// The address space; empty means `default`.
    pub space: String,
    /// 4 or 6; follows from `prefix` when left out.
    pub version: Option<i64>,
    /// The prefix in network form.
    pub prefix: String,
    /// Addresses that pools may be carved from.
    pub ranges: Vec<String>,
    /// Addresses that no pool may have although `ranges` names them.
    pub excluded: Vec<String>,
    /// What pools inherit when they name no gateway.
    pub gateway: Option<String>,
    /// What pools inherit when they name no routes.
    pub routes: Option<Vec<RouteDraft>>,
}

/// A subnet whose fields have been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SubnetDraft", into = "SubnetDraft")]
pub struct Subnet {
    pub(crate) name: Name,
    pub(crate) space: Name,
    pub(crate) prefix: IpNet,
    pub(crate) ranges: AddressSet,
    pub(crate) excluded: AddressSet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) routes: Option<Vec<Route>>,
}

impl Subnet {
    /// The subnet's name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The address space that its addresses belong to.
    #[must_use]
    pub const fn space(&self) -> &Name {
        &self.space
    }

    /// The prefix, in network form.
    #[must_use]
    pub const fn prefix(&self) -> IpNet {
        self.prefix
    }

    /// The family of all its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.prefix.addr())
    }

    /// The addresses that pools may be carved from.
    #[must_use]
    pub fn usable(&self) -> AddressSet {
        self.ranges.difference(&self.excluded)
    }
}

impl TryFrom<SubnetDraft> for Subnet {
    type Error = BadDefinition;

    fn try_from(draft: SubnetDraft) -> Result<Self, BadDefinition> {
        let mut flaws = Flaws::default();
        let subnet = check(&draft, &mut flaws);
        match subnet {
            Some(subnet) if flaws.0.is_empty() => Ok(subnet),
            _ => Err(BadDefinition { object: format!("subnet {}", draft.name), fields: flaws.0 }),
        }
    }
}

fn check(draft: &SubnetDraft, flaws: &mut Flaws) -> Option<Subnet> {
    let name = flaws.keep("metadata.name", Name::new(&draft.name));
    let space = if draft.space.is_empty() { "default" } else { &draft.space };
    let space = flaws.keep("space", Name::new(space));
    let prefix = flaws.keep("subnet", parse_prefix(&draft.prefix))?;
    check_version(flaws, draft.version, prefix);
    let ranges = parse_within(flaws, "ips", prefix, &draft.ranges);
    let excluded = parse_within(flaws, "excludeIPs", prefix, &draft.excluded);
    let usable = ranges.difference(&excluded);
    let gateway = parse_gateway(flaws, prefix, &usable, draft.gateway.as_deref());
    let routes = match &draft.routes {
        Some(routes) => Some(flaws.keep("routes", parse_routes(prefix, routes))?),
        None => None,
    };
    Some(Subnet { name: name?, space: space?, prefix, ranges, excluded, gateway, routes })
}

impl From<Subnet> for SubnetDraft {
    fn from(subnet: Subnet) -> Self {
        Self {
            name: subnet.name.to_string(),
            space: subnet.space.to_string(),
            version: Some(subnet.family().version().into()),
            prefix: subnet.prefix.to_string(),
            ranges: lower_set(&subnet.ranges),
            excluded: lower_set(&subnet.excluded),
            gateway: subnet.gateway.map(|gateway| gateway.to_string()),
            routes: subnet.routes.map(|routes| routes.iter().map(RouteDraft::from).collect()),
        }
    }
}
